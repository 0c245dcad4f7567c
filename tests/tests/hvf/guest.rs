//! A guest of the runner for Apple silicon that is a graph in this process: its memory is the
//! graph's packets, and its registers are the machine's.

#![allow(unsafe_code, reason = "the machine reaches the graph's packets as a device does")]

use hvf_runner::devices::{Pl011, Pl031, host_clock};
use hvf_runner::layout;
use hvf_runner::machine::{Lines, Machine, Parts};
use hvf_runner::memory::Memory;
use hvf_runner::network::{Config, Network};
use hvf_runner::power::End;
use hvf_runner::virtio::mmio;
use hvf_runner::virtio::net::Net;
use hvf_runner::virtio::rng::{self, Rng};
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};
use waitless::device::{Dma, MmioDevice, Model, Platform, Registers};
use waitless::packet::{CAPACITY, HEADROOM};
use waitless::{Context, testing};

/// Bytes of memory for queues.
const ARENA: usize = 256 << 10;
/// The alignment that components may count on.
const DMA_ALIGNMENT: usize = 4096;

/// The machine around a graph.
pub struct Guest {
    machine: OnceLock<Machine>,
    lines: Line,
    arena: &'static [AtomicU64],
    /// Bytes of it that are given away.
    taken: AtomicUsize,
}

/// The guest's interrupt controller: one line for all devices.
#[derive(Clone, Default)]
pub struct Line(Arc<(Mutex<Vec<u32>>, Condvar)>);

impl Lines for Line {
    fn set(&self, number: u32, level: bool) {
        let (raised, changed) = &*self.0;
        let mut raised = raised.lock().unwrap();
        raised.retain(|other| *other != number);
        if level {
            raised.push(number);
            changed.notify_all();
        }
    }
}

impl Line {
    /// Waits for an interrupt until `end`.
    fn wait(&self, end: Instant) {
        let (raised, changed) = &*self.0;
        let mut raised = raised.lock().unwrap();
        while raised.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (raised, _) = changed.wait_timeout(raised, left).unwrap();
        }
    }
}

/// A machine with what serves its network, and the surroundings of a graph in it.
pub struct Started {
    pub guest: &'static Guest,
    pub cx: Context,
    network: Network,
    woken: UnixStream,
    start: Instant,
}

impl Started {
    /// A machine whose guest has `packets` buffers.
    pub fn new(packets: usize, config: &Config) -> Self {
        let arena = (0..ARENA / 8).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        let guest: &'static Guest = Box::leak(Box::new(Guest {
            machine: OnceLock::new(),
            lines: Line::default(),
            arena,
            taken: AtomicUsize::new(0),
        }));
        let cx = testing::context_on(guest, packets, 7);
        let parts = Parts {
            memory: memory(&cx, guest.arena),
            cores: 1,
            console: Pl011::new(Box::new(std::io::sink())),
            clock: Pl031::new(host_clock),
            net: Net::new([0x52, 0x54, 0, 0, 0, 1]),
            rng: Rng::new(rng::host),
            lines: Box::new(guest.lines.clone()),
        };
        let (machine, woken) = Machine::new(parts).unwrap();
        assert!(guest.machine.set(machine).is_ok());
        let network = Network::new(config).unwrap();
        Self { guest, cx, network, woken, start: Instant::now() }
    }

    /// The port of this machine that leads to the guest's `port`.
    pub fn port(&self, port: u16) -> u16 {
        self.network.forwards().into_iter().find(|f| f.guest == port).unwrap().host
    }

    /// Runs the guest, with the network beside it, for as long as `run` takes.
    pub fn run<R>(self, run: impl FnOnce(&mut Running) -> R) -> R {
        let Self { guest, cx, mut network, woken, start } = self;
        let machine = guest.machine();
        std::thread::scope(|scope| {
            scope.spawn(move || machine.serve_network(&mut network, woken).unwrap());
            let result = run(&mut Running { guest, cx, start });
            machine.end(End::Interrupted);
            result
        })
    }
}

/// A guest while it runs.
pub struct Running {
    pub guest: &'static Guest,
    pub cx: Context,
    start: Instant,
}

impl Running {
    /// The guest's time moves on to now.
    pub fn tick(&mut self) -> waitless::Instant {
        let now = waitless::Instant::from_nanos(self.start.elapsed().as_nanos() as u64);
        self.cx.set_now(now);
        now
    }

    /// Sleeps until an interrupt, or until `deadline` of the guest's time.
    pub fn sleep(&self, deadline: waitless::Instant) {
        let deadline = Duration::from_nanos(deadline.as_nanos());
        // A test that sleeps for a minute has failed.
        let end = self.start + deadline.min(self.start.elapsed() + Duration::from_secs(60));
        self.guest.lines.wait(end);
    }
}

impl Guest {
    /// The machine.
    pub fn machine(&self) -> &Machine {
        self.machine.get().expect("the machine was put together")
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Guest")
    }
}

/// What a graph may ask of the machine, as the platform of aarch64 answers from a device tree.
impl Platform for Guest {
    fn name(&self) -> &'static str {
        "hvf"
    }

    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        let places = [(layout::NET, layout::NET_INTERRUPT), (layout::RNG, layout::RNG_INTERRUPT)];
        let (address, interrupt) = *places.get(index)?;
        let line = Some(layout::SHARED + interrupt);
        Some(MmioDevice { address, length: mmio::LENGTH as usize, line })
    }

    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        let machine = self.machine();
        let model: &'static Device = Box::leak(Box::new(Device {
            // SAFETY: a guest is leaked, and its machine is never taken out of it.
            machine: unsafe { &*std::ptr::from_ref(machine) },
            address,
        }));
        Some(Registers::modelled(model, length))
    }

    fn dma(&self, length: usize) -> Option<Dma> {
        let length = length.next_multiple_of(DMA_ALIGNMENT);
        let offset = self.taken.fetch_add(length, Ordering::Relaxed);
        let part = self.arena.get(offset / 8..(offset + length) / 8)?;
        let base = NonNull::from(part).cast::<u8>();
        let address = base.as_ptr() as u64;
        // SAFETY: the arena is leaked, consists of atomics, which may be written through shared
        // references, and no part of it is given away twice.
        Some(unsafe { Dma::new(base, length, address) })
    }

    fn route_line(&self, _: u32, core: usize) -> bool {
        core == 0
    }
}

/// A device's registers: each access leaves the guest.
struct Device {
    machine: &'static Machine,
    address: u64,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({:#x})", self.address)
    }
}

impl Model for Device {
    fn read(&self, offset: usize, size: usize) -> u64 {
        self.machine.read(self.address + offset as u64, size).expect("a device is there")
    }

    fn write(&self, offset: usize, size: usize, value: u64) {
        assert!(self.machine.write(self.address + offset as u64, size, value));
    }
}

/// What the machine's devices may reach: the queues, and the bytes of each packet.
fn memory(cx: &Context, arena: &'static [AtomicU64]) -> Memory {
    let mut memory = Memory::new();
    let base = NonNull::from(arena).cast::<u8>();
    // SAFETY: the arena is leaked, and consists of atomics.
    unsafe { memory.add(base.as_ptr() as u64, base, size_of_val(arena)) };
    let packets: Vec<_> = std::iter::from_fn(|| cx.packet()).collect();
    for packet in &packets {
        let start = packet.dma_address() - HEADROOM as u64;
        let base = NonNull::new(start as *mut u8).expect("a packet's bytes");
        // SAFETY: pools are leaked. A driver holds no reference to the bytes of a packet while a
        // device has it, and devices keep to what they have; that this holds is what is tested.
        unsafe { memory.add(start, base, CAPACITY) };
    }
    memory
}
