//! The interrupt controller in use: which interrupt wakes which core, and taking what is pending.

use crate::board::{Board, Gic};
use crate::cpu;
use crate::gic::{self, Whose, distributor, interface, redistributor};
use core::arch::asm;
use platform_machine::memory::Range;
use waitless::device::Registers;

/// How often a register is read that says when something is done. That takes microseconds.
const PATIENCE: u32 = 1_000_000;

/// What all cores share of the controller.
pub(crate) struct Distributor {
    registers: Registers,
    /// Whether it is of version 3.
    three: bool,
    count: u32,
}

// SAFETY: registers of a device, which any core may use.
unsafe impl Send for Distributor {}

/// A core's own part of the controller.
pub(crate) enum Interface {
    /// Registers in memory.
    Two {
        /// The core's own.
        own: Registers,
        /// The distributor's, which show each core its own first interrupts and pass them on to
        /// others.
        shared: Registers,
        /// Whether another core can stop this one whatever it does.
        stops: bool,
    },
    /// System registers.
    Three {
        /// Whether another core can stop this one whatever it does.
        stops: bool,
    },
}

/// A core's redistributor.
pub(crate) struct Redistributor {
    pub(crate) registers: Registers,
    /// Where they are.
    pub(crate) address: u64,
    pub(crate) whose: Whose,
}

impl Distributor {
    /// Turns the distributor on, with all shared interrupts kept out.
    pub(crate) fn new(gic: &Gic) -> Option<Self> {
        let (range, three) = match gic {
            Gic::Two { distributor, .. } => (distributor, false),
            Gic::Three { distributor, .. } => (distributor, true),
        };
        let registers = map(*range)?;
        let count = gic::count(registers.read32(distributor::TYPE));
        let this = Self { registers, three, count };
        this.write(distributor::CONTROL, 0);
        // Version 2 may have no groups, or keep them from whoever is not secure.
        this.registers.write32(distributor::GROUP, u32::MAX);
        let grouped = three || this.registers.read32(distributor::GROUP) == u32::MAX;
        for id in (32..count).step_by(32) {
            this.write(distributor::DISABLE + gic::place(id, 1).0, u32::MAX);
            if grouped {
                this.write(distributor::GROUP + gic::place(id, 1).0, u32::MAX);
            }
        }
        for id in (32..count).step_by(4) {
            let priorities = u32::from_ne_bytes([gic::PRIORITY; 4]);
            this.write(distributor::PRIORITY + gic::place(id, 8).0, priorities);
        }
        // Both groups, or whichever is seen as the only one; by affinity in version 3.
        this.write(
            distributor::CONTROL,
            match (three, grouped) {
                (true, _) => 0x13,
                (false, true) => 3,
                (false, false) => 1,
            },
        );
        Some(this)
    }

    /// Lets the shared interrupt `id` wake the core of `affinity`, by its edges or its level.
    pub(crate) fn route(&self, id: u32, edge: bool, affinity: u64) -> bool {
        if !(32..self.count).contains(&id) {
            return false;
        }
        let (at, shift) = gic::place(id, 2);
        let value = if edge { 2 } else { 0 };
        self.change(distributor::CONFIGURATION + at, 3 << shift, value << shift);
        if self.three {
            // At once: not every hypervisor's controller takes halves.
            self.registers.write64(distributor::ROUTE + 8 * id as usize, affinity);
        } else {
            let (at, shift) = gic::place(id, 8);
            // Version 2 knows eight cores, by their place in the first cluster.
            let Some(target) = 1u32.checked_shl(affinity as u32 & 0xff).filter(|it| *it < 256)
            else {
                return false;
            };
            self.change(distributor::TARGETS + at, 0xff << shift, target << shift);
        }
        let (at, shift) = gic::place(id, 1);
        self.write(distributor::ENABLE + at, 1 << shift);
        true
    }

    fn change(&self, offset: usize, mask: u32, bits: u32) {
        let old = self.registers.read32(offset);
        self.registers.write32(offset, old & !mask | bits);
    }

    fn write(&self, offset: usize, value: u32) {
        self.registers.write32(offset, value);
        if self.three && offset == distributor::CONTROL {
            // The top bit says that a write is on its way.
            let done = || self.registers.read32(offset) >> 31 == 0;
            let _ = (0..PATIENCE).find(|_| done());
        }
    }
}

impl Interface {
    /// Turns on what belongs to the core that runs it, and lets the private interrupt `timer` in.
    pub(crate) fn new(gic: &Gic, timer: u32) -> Option<Self> {
        match gic {
            Gic::Two { distributor, interface } => {
                let (shared, own) = (map(*distributor)?, map(*interface)?);
                let stops = enable_private(&shared, timer, false);
                own.write32(interface::MASK, 0xff);
                own.write32(interface::CONTROL, if stops { interface::BOTH } else { 1 });
                if stops {
                    cpu::unmask_fast();
                }
                Some(Self::Two { own, shared, stops })
            }
            Gic::Three { distributor, redistributors } => {
                let wanted = gic::packed(cpu::affinity());
                let mut regions = redistributors.iter();
                let own = regions.find_map(|region| redistributor_of(*region, wanted))?;
                wake(&own.registers)?;
                let private = own.registers.part(redistributor::PRIVATE, 0x1_0000)?;
                let control = map(*distributor)?.read32(distributor::CONTROL);
                let grouped =
                    enable_private(&private, timer, true) && control & gic::ONE_STATE != 0;
                turn_on();
                let stops = grouped && has_both_groups();
                if stops {
                    turn_on_stop();
                }
                Some(Self::Three { stops })
            }
        }
    }

    /// Interrupts the core with this affinity.
    pub(crate) fn wake(&self, affinity: u64) {
        // What it is woken for must be there first.
        cpu::barrier();
        match self {
            Self::Two { shared, .. } => send(shared, affinity, gic::WAKE),
            Self::Three { .. } => cpu::send_interrupt(gic::sent_to(affinity, gic::WAKE)),
        }
    }

    /// Stops the core with this affinity, whatever it does, where that can be.
    pub(crate) fn stop(&self, affinity: u64) {
        cpu::barrier();
        match self {
            Self::Two { shared, stops: true, .. } => send(shared, affinity, gic::STOP),
            Self::Three { stops: true } => {
                cpu::send_fast_interrupt(gic::sent_to(affinity, gic::STOP));
            }
            _ => {}
        }
    }

    /// Takes the interrupt that stops this core, so that it can halt.
    pub(crate) fn accept_stop(&self) {
        match self {
            Self::Two { own, stops: true, .. } => _ = own.read32(interface::ACKNOWLEDGE),
            Self::Three { stops: true } => _ = cpu::read!("s3_0_c12_c8_0"), // ICC_IAR0_EL1
            _ => {}
        }
    }

    /// Takes what is pending: calls `taken` with the id of each interrupt, then ends it.
    #[inline]
    pub(crate) fn take(&self, mut taken: impl FnMut(u32)) {
        match self {
            Self::Two { own: registers, .. } => {
                for _ in 0..PATIENCE {
                    let id = registers.read32(interface::ACKNOWLEDGE);
                    if id & 0x3ff >= gic::NONE {
                        return;
                    }
                    taken(id & 0x3ff);
                    registers.write32(interface::END, id);
                }
            }
            Self::Three { .. } => {
                for _ in 0..PATIENCE {
                    let id = cpu::read!("s3_0_c12_c12_0") as u32;
                    if (gic::NONE..gic::FIRST_MESSAGE).contains(&id) {
                        return;
                    }
                    taken(id);
                    // SAFETY: ends the interrupt that was just taken (ICC_EOIR1_EL1).
                    unsafe {
                        asm!("msr s3_0_c12_c12_1, {}", "isb", in(reg) u64::from(id),
                            options(nomem, nostack, preserves_flags));
                    }
                }
            }
        }
    }
}

/// Turns on the interface in system registers: access to it, all priorities, group 1.
fn turn_on() {
    // SAFETY: the device tree says that it is there (ICC_SRE_EL1, ICC_PMR_EL1, ICC_IGRPEN1_EL1).
    // Interrupts are masked, so nothing but a wake-up follows.
    unsafe {
        asm!(
            "mrs {0}, s3_0_c12_c12_5",
            "orr {0}, {0}, #1",
            "msr s3_0_c12_c12_5, {0}",
            "isb",
            "msr s3_0_c4_c6_0, {1}",
            "msr s3_0_c12_c12_7, {2}",
            "isb",
            out(reg) _,
            in(reg) 0xffu64,
            in(reg) 1u64,
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Sends the interrupt `id` to the core with this affinity (version 2).
fn send(distributor: &Registers, affinity: u64, id: u32) {
    distributor.write32(distributor::SEND, 1 << (16 + (affinity & 7)) | id);
}

/// Whether group 0 is this image's: with a monitor that keeps it, the lowest bit of a priority
/// that is not secure gets lost.
fn has_both_groups() -> bool {
    let bits = (cpu::read!("s3_0_c12_c12_4") >> 8 & 7) + 1; // ICC_CTLR_EL1
    let lowest = 1u64 << (8 - bits);
    let kept: u64;
    // SAFETY: changes which priorities interrupt (ICC_PMR_EL1), and back.
    unsafe {
        asm!(
            "msr s3_0_c4_c6_0, {1}",
            "isb",
            "mrs {0}, s3_0_c4_c6_0",
            "msr s3_0_c4_c6_0, {2}",
            "isb",
            out(reg) kept,
            in(reg) lowest,
            in(reg) 0xffu64,
            options(nomem, nostack, preserves_flags)
        );
    }
    kept != 0
}

/// Lets the interrupt in that stops this core.
fn turn_on_stop() {
    // SAFETY: the group is this image's, and has one interrupt, which a core that dies sends
    // (ICC_IGRPEN0_EL1).
    unsafe {
        asm!("msr s3_0_c12_c12_6, {}", "isb", in(reg) 1u64,
            options(nomem, nostack, preserves_flags));
    }
    cpu::unmask_fast();
}

/// Keeps all private interrupts out but `timer` and those that cores send each other. `registers`
/// are laid out as a distributor. Whether the one that stops a core has a group of its own.
fn enable_private(registers: &Registers, timer: u32, three: bool) -> bool {
    registers.write32(distributor::DISABLE, u32::MAX);
    registers.write32(distributor::GROUP, gic::GROUPS);
    let grouped = registers.read32(distributor::GROUP) == gic::GROUPS;
    for id in (0..32).step_by(4) {
        let priorities = u32::from_ne_bytes([gic::PRIORITY; 4]);
        registers.write32(distributor::PRIORITY + gic::place(id, 8).0, priorities);
    }
    let mut enabled = 1 << gic::WAKE | 1u32.checked_shl(timer).unwrap_or(0);
    if grouped {
        let (at, shift) = gic::place(gic::STOP, 8);
        let old = registers.read32(distributor::PRIORITY + at);
        registers.write32(distributor::PRIORITY + at, old & !(0xff << shift));
        enabled |= 1 << gic::STOP;
    } else {
        registers.write32(distributor::GROUP, if three { u32::MAX } else { 0 });
    }
    registers.write32(distributor::ENABLE, enabled);
    grouped
}

/// The redistributor of the core with the affinity `wanted`.
pub(crate) fn redistributor_of(region: Range, wanted: u32) -> Option<Redistributor> {
    let all = map(region)?;
    let mut at = 0;
    // Each step goes on by 128 KiB or more.
    loop {
        let registers = all.part(at, 0x2_0000)?;
        let whose = Whose::read(registers.read64(redistributor::TYPE));
        if whose.affinity == wanted {
            let address = region.start() + at as u64;
            return Some(Redistributor { registers, address, whose });
        }
        if whose.last {
            return None;
        }
        at += whose.length as usize;
    }
}

/// Ends a redistributor's sleep.
fn wake(registers: &Registers) -> Option<()> {
    const SLEEP: u32 = 1 << 1;
    const ASLEEP: u32 = 1 << 2;
    let old = registers.read32(redistributor::WAKER);
    registers.write32(redistributor::WAKER, old & !SLEEP);
    let awake = || registers.read32(redistributor::WAKER) & ASLEEP == 0;
    (0..PATIENCE).find(|_| awake()).map(|_| ())
}

fn map(range: Range) -> Option<Registers> {
    crate::machine::try_map(range.start(), range.length() as usize)
}

/// The interrupt of the virtual timer, where the tree says none: that of all known machines.
const TIMER: u32 = 27;

/// The interrupt of the virtual timer.
pub(crate) fn timer(board: &Board) -> u32 {
    board.timer.unwrap_or(TIMER)
}
