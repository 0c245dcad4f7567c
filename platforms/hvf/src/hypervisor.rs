//! The machine in the Hypervisor framework: the only part that needs macOS.
//!
//! The framework has the interrupt controller and the timers, so that cores wait and are
//! interrupted without leaving the guest. Interrupts of messages are not used: no device here
//! has any.

#![allow(unsafe_code, reason = "the guest's memory comes from the framework as a pointer")]

use crate::devices::{Pl011, Pl031, host_clock};
use crate::layout::{self, Layout};
use crate::machine::{Core, Lines, Machine, Next, Parts};
use crate::memory::Memory;
use crate::network::{self, Network};
use crate::options::Options;
use crate::power::{End, Start, affinity};
use crate::virtio::net::Net;
use crate::virtio::rng::{self, Rng};
use crate::{devicetree, image};
use applevisor::prelude::{
    ExitReason, GicConfig, GicEnabled, HypervisorError, MemPerms, Reg, SysReg, Vcpu, VcpuHandle,
    VirtualMachine, VirtualMachineConfig, VirtualMachineInstance,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ptr::NonNull;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;

type Vm = VirtualMachineInstance<GicEnabled>;
type Outcome<T> = Result<T, HypervisorError>;

/// The network card's address: a local one.
const ADDRESS: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// EL1 with its own stack pointer, exceptions masked: where images begin.
const EL1H_MASKED: u64 = 0x3c5;
/// Bit 31 of MPIDR_EL1, which is always set.
const MPIDR: u64 = 1 << 31;
/// From a handler table's start to what comes from the same exception level, on a stack of its own.
const SAME_LEVEL: u64 = 0x200;
/// How often in a row a core may leave the guest for no reason: a signal does that, if it comes to
/// the core's thread.
const CAUSELESS_MAX: usize = 100;
/// What a program that was interrupted ends with.
const INTERRUPTED: i32 = 130;

/// Runs an image until it ends or is ended by Ctrl-C.
///
/// # Errors
/// One line with the next step, when it cannot be started.
pub fn run(options: &Options) -> Result<End, String> {
    let path = options.image.display();
    let bytes =
        std::fs::read(&options.image).map_err(|why| format!("cannot read {path}: {why}"))?;
    let config =
        network::Config { forwards: options.forwards.clone(), nameserver: network::nameserver() };
    let mut network = Network::new(&config).map_err(|why| format!("a port is taken: {why}"))?;
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|why| why.to_string())?;
    let layout = layout(options).map_err(|why| explain(&why))??;
    let vm = create(&layout).map_err(|why| explain(&why))?;
    let (mut ram, memory) = ram(&vm, &layout).map_err(|why| explain(&why))?;
    let (entry, tree) = load(&bytes, options, &layout, &memory)?;
    let parts = Parts {
        memory,
        cores: options.cores,
        console: Pl011::new(Box::new(std::io::stdout())),
        clock: Pl031::new(host_clock),
        net: Net::new(ADDRESS),
        rng: Rng::new(rng::host),
        lines: Box::new(Controller(vm.clone())),
    };
    let (machine, woken) = Machine::new(parts).map_err(|why| why.to_string())?;
    let machine = &machine;
    let signal_handle = signals.handle();
    let end = thread::scope(|scope| {
        scope.spawn(move || {
            let mut signals = signals.forever();
            if signals.next().is_some() {
                machine.end(End::Interrupted);
            }
            // Somebody who asks again does not want to wait.
            if signals.next().is_some() {
                std::process::exit(INTERRUPTED);
            }
        });
        scope.spawn(move || {
            if let Err(why) = machine.serve_network(&mut network, woken) {
                machine.end(End::Broken(format!("the network broke down: {why}")));
            }
        });
        let end = run_cores(&vm, machine, options.cores, Start { entry, context: tree });
        signal_handle.close();
        end
    });
    // Only now, when no core is left and no device uses it.
    ram.unmap().map_err(|why| explain(&why))?;
    Ok(end)
}

/// Runs all cores, of which the first begins at `start`, until the machine ends.
fn run_cores(vm: &Vm, machine: &Machine, cores: usize, start: Start) -> End {
    // Who has it tells the framework to stop cores, which must all exist until then.
    let leaving = &Mutex::new(());
    thread::scope(|scope| {
        let stops = leaving.lock().unwrap_or_else(PoisonError::into_inner);
        let (ready, created) = channel();
        for index in 0..cores {
            let (vm, ready) = (vm.clone(), ready.clone());
            scope.spawn(move || {
                let broken = |why| End::Broken(format!("core {index}: {}", explain(&why)));
                match Processor::new(index, &vm) {
                    Ok(mut core) => {
                        // Nobody hears it when the machine could not be put together.
                        let _ = ready.send(core.vcpu.get_handle());
                        if let Err(why) = core.lives(index, machine) {
                            machine.end(broken(why));
                        }
                        drop(leaving.lock().unwrap_or_else(PoisonError::into_inner));
                    }
                    Err(why) => machine.end(broken(why)),
                }
            });
        }
        drop(ready);
        // The interrupt controller must know all cores before the first one runs.
        let handles: Vec<VcpuHandle> = created.iter().take(cores).collect();
        if handles.len() == cores {
            machine.power.start(0, start);
        }
        let end = machine.power.wait_for_end();
        machine.end(end.clone());
        // A core that is not in the guest now will leave it as soon as it enters.
        let stopped = if handles.is_empty() { Ok(()) } else { vm.vcpus_exit(&handles) };
        if let Err(why) = stopped {
            // They may never come back, but the machine has ended as it has.
            eprintln!("warning: the cores cannot be stopped: {}", explain(&why));
            std::process::exit(end.status().into());
        }
        drop(stops);
        end
    })
}

/// The machine's layout, after what the framework's interrupt controller needs.
fn layout(options: &Options) -> Outcome<Result<Layout, String>> {
    let distributor =
        (GicConfig::get_distributor_size()?, GicConfig::get_distributor_base_alignment()?);
    let redistributors = (
        GicConfig::get_redistributor_region_size()?,
        GicConfig::get_redistributor_base_alignment()?,
    );
    let wide = |(length, alignment): (usize, usize)| (length as u64, alignment as u64);
    Ok(Layout::new(options.memory, options.cores, wide(distributor), wide(redistributors)))
}

fn create(layout: &Layout) -> Outcome<Vm> {
    let mut gic = GicConfig::new();
    gic.set_distributor_base(layout.distributor.0)?;
    gic.set_redistributor_base(layout.redistributors.0)?;
    let mut config = VirtualMachineConfig::new();
    let bits = u64::BITS - (layout.end() - 1).leading_zeros();
    if bits > VirtualMachineConfig::get_default_ipa_size()? {
        config.set_ipa_size(bits)?;
    }
    VirtualMachine::with_gic(config, gic)
}

/// The guest's memory: the framework's, which must outlive ours, and ours.
fn ram(vm: &Vm, layout: &Layout) -> Outcome<(applevisor::prelude::Memory, Memory)> {
    let size = usize::try_from(layout.memory).map_err(|_| HypervisorError::NoResources)?;
    let mut ram = vm.memory_create(size)?;
    ram.map(layout::RAM, MemPerms::ReadWriteExec)?;
    let base = NonNull::new(ram.host_addr()).ok_or(HypervisorError::NoResources)?;
    let mut memory = Memory::new();
    // SAFETY: the framework allocated that many bytes there, in whole pages; `ram` lives in
    // `run`, behind the machine that owns `memory`, until all threads have ended; and the
    // framework's own accessors, which make references, are not used.
    unsafe { memory.add(layout::RAM, base, size) };
    Ok((ram, memory))
}

/// Puts image and device tree into memory: the image's entry, and where the tree is.
fn load(
    bytes: &[u8],
    options: &Options,
    layout: &Layout,
    memory: &Memory,
) -> Result<(u64, u64), String> {
    let path = options.image.display();
    let loaded = image::load(bytes, memory, layout::RAM).map_err(|why| format!("{path}: {why}"))?;
    let mut seed = [0; 64];
    getrandom::fill(&mut seed).map_err(|why| format!("no randomness: {why}"))?;
    let tree = devicetree::describe(layout, &options.append, &seed)
        .map_err(|why| format!("the machine cannot be described: {why}"))?;
    let at = layout.tree();
    if tree.len() as u64 > layout::TREE_ROOM || loaded.end > at {
        return Err(format!("{path} does not fit; give it more by --memory"));
    }
    memory.write(at, &tree).map_err(|why| why.to_string())?;
    Ok((loaded.entry, at))
}

/// A core in the framework, on its own thread.
struct Processor {
    vcpu: Vcpu,
    /// SCTLR_EL1 as after a reset.
    control: u64,
    /// What went wrong while an exit was handled.
    failure: Option<HypervisorError>,
}

impl Processor {
    fn new(index: usize, vm: &Vm) -> Outcome<Self> {
        let vcpu = vm.vcpu_create()?;
        vcpu.set_sys_reg(SysReg::MPIDR_EL1, MPIDR | affinity(index))?;
        // Refused here, it would be so at the guest's first access to it, which says less.
        vcpu.get_redistributor_base()?;
        let control = vcpu.get_sys_reg(SysReg::SCTLR_EL1)?;
        Ok(Self { vcpu, control, failure: None })
    }

    /// Is the core `index` of the machine until the machine ends.
    fn lives(&mut self, index: usize, machine: &Machine) -> Outcome<()> {
        while let Some(start) = machine.power.wait_for_start(index) {
            // As after a reset: a core that was off before has its page tables on.
            self.vcpu.set_sys_reg(SysReg::SCTLR_EL1, self.control)?;
            self.vcpu.set_reg(Reg::CPSR, EL1H_MASKED)?;
            self.vcpu.set_reg(Reg::PC, start.entry)?;
            self.vcpu.set_reg(Reg::X0, start.context)?;
            for zero in [Reg::X1, Reg::X2, Reg::X3] {
                self.vcpu.set_reg(zero, 0)?;
            }
            self.runs(index, machine)?;
        }
        Ok(())
    }

    /// Is in the guest until the core is off or the machine has ended.
    fn runs(&mut self, index: usize, machine: &Machine) -> Outcome<()> {
        let mut causeless = 0;
        while !machine.power.is_over() {
            self.vcpu.run()?;
            let exit = self.vcpu.get_exit_info();
            causeless = if exit.reason == ExitReason::UNKNOWN { causeless + 1 } else { 0 };
            let next = match exit.reason {
                ExitReason::CANCELED => Next::Run,
                ExitReason::EXCEPTION => {
                    let exception = exit.exception;
                    let (at, physical) = (exception.virtual_address, exception.physical_address);
                    machine.handle(index, self, exception.syndrome, at, physical)
                }
                // The interrupt controller has the timer; what it masks here, it unmasks.
                ExitReason::VTIMER_ACTIVATED => {
                    self.vcpu.set_vtimer_mask(false)?;
                    Next::Run
                }
                ExitReason::UNKNOWN if causeless <= CAUSELESS_MAX => Next::Run,
                ExitReason::UNKNOWN => {
                    eprintln!("core {index} leaves the guest at {:#x}, always", self.counter());
                    return Err(HypervisorError::Error);
                }
            };
            if let Some(why) = self.failure.take() {
                return Err(why);
            }
            if next != Next::Run {
                break;
            }
        }
        Ok(())
    }

    fn get(&self, register: SysReg) -> u64 {
        self.vcpu.get_sys_reg(register).unwrap_or(0)
    }

    fn note(&mut self, outcome: Outcome<()>) {
        if let Err(why) = outcome {
            self.failure.get_or_insert(why);
        }
    }
}

impl Core for Processor {
    fn register(&self, number: u8) -> u64 {
        general(number).and_then(|register| self.vcpu.get_reg(register).ok()).unwrap_or(0)
    }

    fn set_register(&mut self, number: u8, value: u64) {
        if let Some(register) = general(number) {
            let outcome = self.vcpu.set_reg(register, value);
            self.note(outcome);
        }
    }

    fn counter(&self) -> u64 {
        self.vcpu.get_reg(Reg::PC).unwrap_or(0)
    }

    fn set_counter(&mut self, address: u64) {
        let outcome = self.vcpu.set_reg(Reg::PC, address);
        self.note(outcome);
    }

    fn inject(&mut self, syndrome: u64, address: u64) -> bool {
        let table = self.get(SysReg::VBAR_EL1);
        if table == 0 {
            return false;
        }
        let state = self.vcpu.get_reg(Reg::CPSR);
        let outcome = state.and_then(|state| {
            self.vcpu.set_sys_reg(SysReg::ESR_EL1, syndrome)?;
            self.vcpu.set_sys_reg(SysReg::FAR_EL1, address)?;
            self.vcpu.set_sys_reg(SysReg::ELR_EL1, self.counter())?;
            self.vcpu.set_sys_reg(SysReg::SPSR_EL1, state)?;
            self.vcpu.set_reg(Reg::CPSR, EL1H_MASKED)?;
            // The handlers of who runs on the stack that EL0 has come first.
            let own_stack = state & 1 != 0;
            self.vcpu.set_reg(Reg::PC, table + if own_stack { SAME_LEVEL } else { 0 })
        });
        self.note(outcome);
        true
    }
}

/// X0 to X30; the one behind them is always zero.
fn general(number: u8) -> Option<Reg> {
    const REGISTERS: [Reg; 31] = [
        Reg::X0,
        Reg::X1,
        Reg::X2,
        Reg::X3,
        Reg::X4,
        Reg::X5,
        Reg::X6,
        Reg::X7,
        Reg::X8,
        Reg::X9,
        Reg::X10,
        Reg::X11,
        Reg::X12,
        Reg::X13,
        Reg::X14,
        Reg::X15,
        Reg::X16,
        Reg::X17,
        Reg::X18,
        Reg::X19,
        Reg::X20,
        Reg::X21,
        Reg::X22,
        Reg::X23,
        Reg::X24,
        Reg::X25,
        Reg::X26,
        Reg::X27,
        Reg::X28,
        Reg::X29,
        Reg::X30,
    ];
    REGISTERS.get(usize::from(number)).copied()
}

/// The framework's interrupt controller.
struct Controller(Vm);

impl Lines for Controller {
    fn set(&self, number: u32, level: bool) {
        if let Err(why) = self.0.gic_set_spi(layout::SHARED + number, level) {
            eprintln!("error: interrupt {number} cannot be set: {}", explain(&why));
        }
    }
}

/// What an error of the framework means, with the next step where there is one.
fn explain(why: &HypervisorError) -> String {
    match why {
        HypervisorError::Denied => "macOS denies the use of its hypervisor: the runner must be \
             signed with platforms/hvf/entitlements.plist, which `make run PLATFORM=hvf` does"
            .into(),
        HypervisorError::Unsupported => "this Mac or macOS has no hypervisor of the kind needed: \
             Apple silicon and macOS 15 or newer (`sysctl kern.hv_support` must say 1)"
            .into(),
        other => format!("the Hypervisor framework says: {other}"),
    }
}
