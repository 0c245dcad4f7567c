//! The machine: its devices at their addresses, and what a core that left the guest wants.

use crate::devices::{Pl011, Pl031, finish};
use crate::layout;
use crate::memory::Memory;
use crate::network::Network;
use crate::power::{End, Outcome, Power};
use crate::traps::{self, Access, Trap};
use crate::virtio::mmio::{Effect, Transport};
use crate::virtio::net::{Counters, Net};
use crate::virtio::rng::Rng;
use crate::virtio::{Device, mmio};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a core that waits is away at most. It may come back for nothing, and must come back
/// for interrupts that nobody here sees.
const WAIT: Duration = Duration::from_millis(1);
/// How often a device serves its queues for one notification at most, when it finds more each
/// time.
const ROUNDS_MAX: usize = 256;

/// The interrupt lines of devices.
pub trait Lines: Send + Sync {
    /// Sets the level of the shared interrupt `number`.
    fn set(&self, number: u32, level: bool);
}

/// A core, as far as its exits are concerned.
pub trait Core {
    /// Reads X0 to X30.
    fn register(&self, number: u8) -> u64;
    /// Writes X0 to X30.
    fn set_register(&mut self, number: u8, value: u64);
    /// The program counter.
    fn counter(&self) -> u64;
    /// Sets the program counter.
    fn set_counter(&mut self, address: u64);
    /// Lets the guest take a synchronous exception with this syndrome at this address. `false`
    /// when it has no handler yet.
    fn inject(&mut self, syndrome: u64, address: u64) -> bool;
}

/// What an exit leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The core goes on.
    Run,
    /// It is off, until it is started again.
    Off,
    /// The machine has ended.
    Ended,
}

/// Everything but the cores.
pub struct Machine {
    /// The guest's memory.
    pub memory: Memory,
    /// Its cores' state, and its end.
    pub power: Power,
    console: Mutex<Pl011>,
    clock: Mutex<Pl031>,
    net: Slot<Net>,
    rng: Slot<Rng>,
    lines: Box<dyn Lines>,
    /// Wakes the network.
    wake: UnixStream,
}

/// A virtio device and its interrupt.
struct Slot<D> {
    transport: Mutex<Transport<D>>,
    interrupt: u32,
}

/// What a machine is made of.
pub struct Parts {
    /// The guest's memory.
    pub memory: Memory,
    /// How many cores there are.
    pub cores: usize,
    /// The console.
    pub console: Pl011,
    /// The wall clock.
    pub clock: Pl031,
    /// The network card.
    pub net: Net,
    /// The source of entropy.
    pub rng: Rng,
    /// The interrupt controller.
    pub lines: Box<dyn Lines>,
}

impl Machine {
    /// Puts a machine together. With it comes what wakes its network.
    ///
    /// # Errors
    /// When the system has no socket pair left.
    pub fn new(parts: Parts) -> std::io::Result<(Self, UnixStream)> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let machine = Self {
            memory: parts.memory,
            power: Power::new(parts.cores),
            console: Mutex::new(parts.console),
            clock: Mutex::new(parts.clock),
            net: Slot::new(parts.net, layout::NET_INTERRUPT),
            rng: Slot::new(parts.rng, layout::RNG_INTERRUPT),
            lines: parts.lines,
            wake,
        };
        Ok((machine, woken))
    }

    /// Ends the machine; cores that run in the guest have to be fetched from there.
    pub fn end(&self, end: End) {
        self.power.end(end);
        self.wake();
    }

    /// What the network card counted.
    pub fn card(&self) -> Counters {
        self.net.lock().device.counters()
    }

    /// Does what a core wants that left the guest by an exception.
    pub fn handle(
        &self,
        index: usize,
        core: &mut impl Core,
        syndrome: u64,
        address: u64,
        physical: u64,
    ) -> Next {
        match traps::decode(syndrome) {
            Trap::Wait => {
                skip(core);
                std::thread::park_timeout(WAIT);
                Next::Run
            }
            Trap::WaitForEvent => {
                skip(core);
                std::thread::yield_now();
                Next::Run
            }
            Trap::HypervisorCall => self.call(index, core),
            Trap::FirmwareCall => {
                skip(core);
                self.call(index, core)
            }
            Trap::SystemRegister { register, target, is_read } => {
                if known_to_be_harmless(register) {
                    if is_read {
                        core.set_register(target, 0);
                    }
                    skip(core);
                    return Next::Run;
                }
                self.inject(core, UNKNOWN, address, || {
                    format!("uses the system register {register:#06x}, which is not there")
                })
            }
            Trap::Access(access) => self.access(core, access, address, physical),
            Trap::CacheMaintenance => {
                skip(core);
                Next::Run
            }
            Trap::Undescribed => self.broken(core, || {
                format!("accesses {physical:#x} by an instruction that no device understands")
            }),
            Trap::NoMemory => self.inject(core, NO_INSTRUCTION, address, || {
                format!("executes at {physical:#x}, where there is no memory")
            }),
            Trap::Other(class) => {
                self.broken(core, || format!("did something unexpected, of class {class:#04x}"))
            }
        }
    }

    fn call(&self, index: usize, core: &mut impl Core) -> Next {
        let arguments = [0, 1, 2, 3].map(|number| core.register(number));
        let is_memory = |address| self.memory.check(address, 4).is_ok();
        match self.power.call(index, arguments, is_memory) {
            Outcome::Return(value) => {
                core.set_register(0, value);
                Next::Run
            }
            Outcome::Off => Next::Off,
            Outcome::Ended => {
                self.wake();
                Next::Ended
            }
        }
    }

    fn access(&self, core: &mut impl Core, access: Access, virt: u64, at: u64) -> Next {
        let register = access.register;
        let done = if access.is_write {
            let value = if register == 31 { 0 } else { core.register(register) };
            self.write(at, access.size, value)
        } else if let Some(value) = self.read(at, access.size) {
            if register != 31 {
                core.set_register(register, access.extend(value));
            }
            true
        } else {
            false
        };
        if !done {
            let what = if access.is_write { "writes" } else { "reads" };
            return self.inject(core, NO_DEVICE, virt, || {
                format!("{what} {at:#x}, where there is nothing")
            });
        }
        skip(core);
        if self.power.is_over() { Next::Ended } else { Next::Run }
    }

    /// Reads a register of a device; `None` where there is none.
    pub fn read(&self, address: u64, size: usize) -> Option<u64> {
        let (device, offset) = locate(address)?;
        Some(match device {
            Place::Console => lock(&self.console).read(offset),
            Place::Clock => lock(&self.clock).read(offset),
            Place::Finisher => 0,
            Place::Net => self.net.lock().read(offset, size),
            Place::Rng => self.rng.lock().read(offset, size),
        })
    }

    /// Writes a register of a device. `false` where there is none.
    pub fn write(&self, address: u64, size: usize, value: u64) -> bool {
        let Some((device, offset)) = locate(address) else { return false };
        match device {
            Place::Console => lock(&self.console).write(offset, value),
            Place::Clock => lock(&self.clock).write(offset, value),
            Place::Finisher => {
                if let Some(end) = finish(value as u32) {
                    self.end(end);
                }
            }
            Place::Net => {
                let mut net = self.net.lock();
                match net.write(&self.memory, offset, size, value) {
                    Effect::Serve => self.wake(),
                    Effect::Line => self.net.show(&net, &*self.lines),
                    Effect::None => {}
                }
            }
            Place::Rng => {
                let mut rng = self.rng.lock();
                match rng.write(&self.memory, offset, size, value) {
                    Effect::Serve => self.rng.serve(&mut rng, &self.memory, &*self.lines),
                    Effect::Line => self.rng.show(&rng, &*self.lines),
                    Effect::None => {}
                }
            }
        }
        true
    }

    /// Is the network card's other end until the machine ends. `woken` is what came with it.
    ///
    /// # Errors
    /// When the operating system cannot wait.
    pub fn serve_network(
        &self,
        network: &mut Network,
        mut woken: UnixStream,
    ) -> std::io::Result<()> {
        let start = Instant::now();
        while !self.power.is_over() {
            // What is written there does not matter, only that it is gone.
            while woken.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
            let busy = self.exchange(network, start.elapsed());
            let delay = if busy { Some(Duration::ZERO) } else { network.delay(start.elapsed()) };
            network.wait(woken.as_fd(), delay)?;
        }
        Ok(())
    }

    /// Moves frames between card and network. Whether there is more to move at once.
    pub fn exchange(&self, network: &mut Network, now: Duration) -> bool {
        let room = network.room();
        let frames: Vec<_> = {
            let mut net = self.net.lock();
            self.net.serve(&mut net, &self.memory, &*self.lines);
            std::iter::from_fn(|| net.device.sent()).take(room).collect()
        };
        // The card is free meanwhile, so that no core waits for the network.
        for frame in frames {
            network.put(frame, now);
        }
        network.poll(now);
        let mut net = self.net.lock();
        let is_live = net.is_live();
        while net.device.has_room() || !is_live {
            let Some(frame) = network.take() else { break };
            // Nobody hears what is sent to a card that is not in use.
            if is_live {
                net.device.deliver(frame);
            }
        }
        self.net.serve(&mut net, &self.memory, &*self.lines);
        net.device.has_sent() && network.room() > 0
    }

    fn wake(&self) {
        // A socket that is full wakes as well.
        let _ = (&self.wake).write(&[0]);
    }

    /// Lets the guest see its mistake; without a handler of its own it is broken.
    fn inject(
        &self,
        core: &mut impl Core,
        syndrome: u64,
        address: u64,
        what: impl Fn() -> String,
    ) -> Next {
        if core.inject(syndrome, address) { Next::Run } else { self.broken(core, what) }
    }

    fn broken(&self, core: &impl Core, what: impl Fn() -> String) -> Next {
        let message = format!("the image {} (at {:#x})", what(), core.counter());
        self.end(End::Broken(message));
        Next::Ended
    }
}

/// Syndromes, in the form of ESR_EL1: an unknown instruction, and external aborts of an
/// instruction and of an access.
const UNKNOWN: u64 = 1 << 25;
const NO_INSTRUCTION: u64 = 0x21 << 26 | 1 << 25 | 0x10;
const NO_DEVICE: u64 = 0x25 << 26 | 1 << 25 | 0x10;

/// Registers that firmware and debuggers use, and that read as zero: the OS lock, its double and
/// the OS lock's status.
fn known_to_be_harmless(register: u16) -> bool {
    matches!(register, 0x8084 | 0x808c | 0x809c)
}

fn skip(core: &mut impl Core) {
    core.set_counter(core.counter().wrapping_add(4));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device with registers.
enum Place {
    Console,
    Clock,
    Finisher,
    Net,
    Rng,
}

/// The device at an address, and where in it.
fn locate(address: u64) -> Option<(Place, u64)> {
    let places = [
        (Place::Net, layout::NET, mmio::LENGTH),
        (Place::Rng, layout::RNG, mmio::LENGTH),
        (Place::Console, layout::CONSOLE, layout::PAGE),
        (Place::Clock, layout::CLOCK, layout::PAGE),
        (Place::Finisher, layout::FINISHER, layout::PAGE),
    ];
    places.into_iter().find_map(|(place, start, length)| {
        let offset = address.checked_sub(start)?;
        (offset < length).then_some((place, offset))
    })
}

impl<D: Device> Slot<D> {
    fn new(device: D, interrupt: u32) -> Self {
        Self { transport: Mutex::new(Transport::new(device)), interrupt }
    }

    fn lock(&self) -> MutexGuard<'_, Transport<D>> {
        lock(&self.transport)
    }

    /// Serves the queues; says so when that stops the device.
    fn serve(&self, transport: &mut Transport<D>, memory: &Memory, lines: &dyn Lines) {
        for _ in 0..ROUNDS_MAX {
            match transport.serve(memory) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => {
                    eprintln!("virtio device of type {} stopped: the driver {fault}", D::KIND);
                    break;
                }
            }
        }
        self.show(transport, lines);
    }

    /// Sets the interrupt line; the device is locked, so that nobody sets it to what it was.
    fn show(&self, transport: &Transport<D>, lines: &dyn Lines) {
        lines.set(self.interrupt, transport.line());
    }
}

#[cfg(test)]
mod tests;
