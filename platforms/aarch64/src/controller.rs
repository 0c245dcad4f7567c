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
    /// Registers in memory: the core's interface, and the distributor, which shows each core its
    /// own first interrupts and passes them on to others.
    Two(Registers, Registers),
    /// System registers.
    Three,
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
        for id in (32..count).step_by(32) {
            this.write(distributor::DISABLE + gic::place(id, 1).0, u32::MAX);
            if three {
                this.write(distributor::GROUP + gic::place(id, 1).0, u32::MAX);
            }
        }
        for id in (32..count).step_by(4) {
            let priorities = u32::from_ne_bytes([gic::PRIORITY; 4]);
            this.write(distributor::PRIORITY + gic::place(id, 8).0, priorities);
        }
        // Group 0 or 1, whichever is seen as the only one; by affinity in version 3.
        this.write(distributor::CONTROL, if three { 0x13 } else { 1 });
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
            let at = distributor::ROUTE + 8 * id as usize;
            self.write(at, affinity as u32);
            self.write(at + 4, (affinity >> 32) as u32);
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
                enable_private(&shared, timer, false);
                own.write32(interface::MASK, 0xff);
                own.write32(interface::CONTROL, 1);
                Some(Self::Two(own, shared))
            }
            Gic::Three { redistributors, .. } => {
                let wanted = gic::packed(cpu::affinity());
                let mut regions = redistributors.iter();
                let own = regions.find_map(|region| redistributor_of(*region, wanted))?;
                wake(&own.registers)?;
                let private = own.registers.part(redistributor::PRIVATE, 0x1_0000)?;
                enable_private(&private, timer, true);
                turn_on();
                Some(Self::Three)
            }
        }
    }

    /// Interrupts the core with this affinity.
    pub(crate) fn wake(&self, affinity: u64) {
        // What it is woken for must be there first.
        cpu::barrier();
        match self {
            Self::Two(_, distributor) => {
                distributor.write32(distributor::SEND, 1 << (16 + (affinity & 7)));
            }
            Self::Three => cpu::send_interrupt(gic::sent_to(affinity)),
        }
    }

    /// Takes what is pending: calls `taken` with the id of each interrupt, then ends it.
    #[inline]
    pub(crate) fn take(&self, mut taken: impl FnMut(u32)) {
        match self {
            Self::Two(registers, _) => {
                for _ in 0..PATIENCE {
                    let id = registers.read32(interface::ACKNOWLEDGE);
                    if id & 0x3ff >= gic::NONE {
                        return;
                    }
                    taken(id & 0x3ff);
                    registers.write32(interface::END, id);
                }
            }
            Self::Three => {
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

/// Keeps all private interrupts out but `timer`, and 0, which cores send each other. `registers`
/// are laid out as a distributor.
fn enable_private(registers: &Registers, timer: u32, three: bool) {
    registers.write32(distributor::DISABLE, u32::MAX);
    if three {
        registers.write32(distributor::GROUP, u32::MAX);
    }
    for id in (0..32).step_by(4) {
        let priorities = u32::from_ne_bytes([gic::PRIORITY; 4]);
        registers.write32(distributor::PRIORITY + gic::place(id, 8).0, priorities);
    }
    registers.write32(distributor::ENABLE, 1 | 1u32.checked_shl(timer).unwrap_or(0));
}

/// The redistributor of the core with the affinity `wanted`.
pub(crate) fn redistributor_of(region: Range, wanted: u32) -> Option<Redistributor> {
    let all = map(region)?;
    let mut at = 0;
    // Each step goes on by 128 KiB or more.
    loop {
        let registers = all.part(at, 0x2_0000)?;
        let half = |offset| u64::from(registers.read32(redistributor::TYPE + offset));
        let whose = Whose::read(half(0) | half(4) << 32);
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
