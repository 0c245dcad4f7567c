//! Starts the other cores, one after the other, by PSCI.
//!
//! A core starts without translation at `enter_core`, with its seat's address. It takes the first
//! core's page tables and stacks of its own, sets its part of the interrupt controller up, and
//! joins the crew. A core that does not come is not waited for, and neither are those behind it.
//!
//! All cores' counters agree: the architecture has one, which each of them shows.

use crate::controller::Interface;
use crate::entry::CONTROL_STRICT;
use crate::machine::{Aarch64, Local, Machine};
use crate::stacks::{self, Stacks};
use crate::{cpu, exceptions, power};
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform_machine::memory::Range;
use platform_machine::percore::Core;
use platform_machine::{Arch, crew, panic};
use waitless::Duration;

/// How long a core is waited for. An emulator on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits for a core that starts. The first four words are read by `enter_core`.
#[repr(C, align(64))]
pub(crate) struct Seat {
    /// The root of the page tables.
    root: u64,
    /// `SCTLR_EL1`.
    control: u64,
    /// The top of the stack for everything.
    main: u64,
    /// The top of the stack for exceptions.
    fault: u64,
    number: usize,
}

unsafe extern "C" {
    static enter_core: u8;
}

/// Starts cores until `most` run, this one included, and gives their affinities, by number.
pub(crate) fn start(machine: &'static Machine, most: usize) -> Vec<u64> {
    let own = cpu::affinity();
    let mut affinities = Vec::from([own]);
    let others = machine.arch.cores.iter().copied().filter(|affinity| *affinity != own);
    let seats = others.zip((1..most).zip(stacks::others()));
    for (affinity, (number, stacks)) in seats {
        if !bring(machine, affinity, number, *stacks) {
            panic::report::<Aarch64>(format_args!("core {number} does not start; it is left out"));
            break;
        }
        affinities.push(affinity);
    }
    affinities
}

/// Starts one core and waits until it has joined. Whether it has.
fn bring(machine: &Machine, affinity: u64, number: usize, stacks: Stacks) -> bool {
    let [main, fault] = stacks.rooms().map(Range::end);
    let (root, control) = (cpu::read!("ttbr0_el1"), CONTROL_STRICT);
    // It is never given back: a core that comes too late must find it.
    let seat = Box::leak(Box::new(Seat { root, control, main, fault, number }));
    cpu::clean(seat);
    let entry = &raw const enter_core as u64;
    if !power::start_core(affinity, entry, core::ptr::from_ref(seat).expose_provenance() as u64) {
        return false;
    }
    let start = machine.now();
    while machine.now().since(start) < PATIENCE {
        if crew::joined() >= number {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// Where a core gets to, on its own stack, with interrupts masked.
pub(crate) extern "C" fn arrive(seat: &'static Seat) -> ! {
    exceptions::init();
    let arch = &Aarch64::machine().arch;
    let Some(interface) = Interface::new(&arch.gic, arch.timer) else { Aarch64::stop() };
    let local = Local { interface, timer: arch.timer };
    let core = Box::leak(Box::new(Core::<Aarch64>::new(seat.number, local)));
    cpu::set_this_core(core::ptr::from_ref(core).cast());
    crew::join::<Aarch64>()
}
