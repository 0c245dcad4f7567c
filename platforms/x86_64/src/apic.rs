//! The local interrupt controller: one timer, one vector for all devices, nothing else.

use crate::cpu::Features;
use crate::interrupts::{SPURIOUS, TIMER};
use crate::lapic::{self, Command};
use platform_machine::clock::Clock;
use waitless::device::Registers;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

/// A core's local interrupt controller.
pub(crate) struct LocalApic {
    /// Where its registers are in memory; `None` where they are model-specific ones (x2APIC).
    registers: Option<Registers>,
    address: u64,
    timer: Timer,
}

/// How the timer is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    /// To a value of the processor's counter.
    Deadline,
    /// To a number of its own ticks, of this frequency.
    OneShot(u64),
}

mod register {
    pub const ID: u32 = 0x20;
    pub const PRIORITY: u32 = 0x80;
    pub const END: u32 = 0xb0;
    pub const SPURIOUS: u32 = 0xf0;
    pub const COMMAND: u32 = 0x300;
    pub const COMMAND_TO: u32 = 0x310;
    pub const TIMER: u32 = 0x320;
    pub const LINT0: u32 = 0x350;
    pub const LINT1: u32 = 0x360;
    pub const INITIAL: u32 = 0x380;
    pub const CURRENT: u32 = 0x390;
    pub const DIVIDE: u32 = 0x3e0;
}

const BASE_MSR: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const DEADLINE_MSR: u32 = 0x6e0;

const MASKED: u32 = 1 << 16;
const MODE_DEADLINE: u32 = 2 << 17;
const SOFTWARE_ENABLE: u32 = 1 << 8;
const NON_MASKABLE: u32 = 4 << 8;
const DIVIDE_BY_1: u32 = 0xb;

/// A command that was not yet accepted.
const PENDING: u32 = 1 << 12;
/// How often that is looked at. It takes microseconds.
const PENDING_LOOKS: u32 = 100_000;

impl LocalApic {
    /// Turns it on, in its newer form where there is one. `map` makes its registers reachable.
    pub(crate) fn new(
        features: &Features,
        map: impl FnOnce(u64) -> Option<Registers>,
    ) -> Option<Self> {
        mask_old_controllers();
        let mut base = Msr::new(BASE_MSR);
        // SAFETY: every 64-bit processor has this register. The address in it stays.
        let (old, registers) = unsafe {
            let old = base.read();
            let newer = old & BASE_X2APIC != 0 || features.x2apic;
            // The newer form can only be reached from the older one.
            base.write(old | BASE_ENABLE);
            if newer {
                base.write(old | BASE_ENABLE | BASE_X2APIC);
            }
            (old, !newer)
        };
        let address = lapic::address(old);
        let registers = if registers { Some(map(address)?) } else { None };
        let timer = if features.deadline_timer { Timer::Deadline } else { Timer::OneShot(0) };
        let apic = Self { registers, address, timer };
        apic.write(register::SPURIOUS, SOFTWARE_ENABLE | u32::from(SPURIOUS));
        apic.write(register::PRIORITY, 0);
        apic.write(register::LINT0, MASKED);
        apic.write(register::LINT1, NON_MASKABLE);
        match timer {
            Timer::Deadline => apic.write(register::TIMER, MODE_DEADLINE | u32::from(TIMER)),
            Timer::OneShot(_) => {
                apic.write(register::DIVIDE, DIVIDE_BY_1);
                apic.write(register::TIMER, u32::from(TIMER) | MASKED);
            }
        }
        Some(apic)
    }

    /// The address of the register that ends an interrupt; 0 where it is model-specific.
    pub(crate) fn end_register(&self) -> u64 {
        if self.registers.is_some() { self.address + u64::from(register::END) } else { 0 }
    }

    /// The core's interrupt id.
    pub(crate) fn id(&self) -> u32 {
        lapic::id(self.read(register::ID), self.is_newer())
    }

    /// Whether it is in its newer form.
    pub(crate) fn is_newer(&self) -> bool {
        self.registers.is_none()
    }

    /// Sends a command to the core with the interrupt id `id`.
    pub(crate) fn send(&self, id: u32, command: Command) {
        let bits = command.bits();
        if self.registers.is_none() {
            // SAFETY: the mode is on, and no command here does more than wake, start or stop a
            // core of this image's.
            unsafe {
                Msr::new(lapic::model_specific(register::COMMAND)).write(lapic::command(id, bits));
            }
            return;
        }
        let accepted = || self.read(register::COMMAND) & PENDING == 0;
        let _ = (0..PENDING_LOOKS).find(|_| accepted());
        let (to, bits) = lapic::command_halves(id, bits);
        self.write(register::COMMAND_TO, to);
        self.write(register::COMMAND, bits);
    }

    /// Ticks of the timer's own counter in a second, where it is set by those.
    pub(crate) fn frequency(&self) -> u64 {
        match self.timer {
            Timer::Deadline => 0,
            Timer::OneShot(hertz) => hertz,
        }
    }

    /// Whether the timer's own frequency must be found out.
    pub(crate) fn needs_frequency(&self) -> bool {
        self.timer != Timer::Deadline
    }

    /// Starts the timer's own counter, masked, to measure its frequency.
    pub(crate) fn start_counter(&self) {
        self.write(register::INITIAL, u32::MAX);
    }

    /// Ticks of the timer's own counter since [`start_counter`](Self::start_counter).
    pub(crate) fn counter(&self) -> u64 {
        u64::from(u32::MAX - self.read(register::CURRENT))
    }

    /// Sets the timer's own frequency.
    pub(crate) fn set_frequency(&mut self, hertz: u64) {
        if self.timer != Timer::Deadline {
            self.timer = Timer::OneShot(hertz);
            self.write(register::INITIAL, 0);
            self.write(register::TIMER, u32::from(TIMER));
        }
    }

    /// Interrupts this core at `deadline`, in nanoseconds of `clock`, or a little later, or
    /// earlier when that is further off than the timer reaches. `None` for never.
    pub(crate) fn set_timer(&self, clock: &Clock, now: u64, deadline: Option<u64>) {
        match self.timer {
            Timer::Deadline => {
                let ticks = deadline.map_or(0, |deadline| clock.ticks(deadline));
                // SAFETY: the processor has the register, and the handler is in place.
                unsafe { Msr::new(DEADLINE_MSR).write(ticks) };
            }
            Timer::OneShot(hertz) => {
                let count = deadline.map_or(0, |deadline| {
                    let nanos = u128::from(deadline.saturating_sub(now));
                    let ticks = (nanos * u128::from(hertz)).div_ceil(1_000_000_000);
                    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
                });
                self.write(register::INITIAL, count);
            }
        }
    }

    fn read(&self, offset: u32) -> u32 {
        match &self.registers {
            Some(registers) => registers.read32(offset as usize),
            // SAFETY: the mode was turned on, and the offsets above all exist in it.
            None => unsafe { Msr::new(lapic::model_specific(offset)).read() as u32 },
        }
    }

    fn write(&self, offset: u32, value: u32) {
        match &self.registers {
            Some(registers) => registers.write32(offset as usize, value),
            // SAFETY: as for reading; no write above turns on more than a wake-up.
            None => unsafe { Msr::new(lapic::model_specific(offset)).write(value.into()) },
        }
    }
}

/// Keeps the two old controllers quiet. Firmware leaves a timer on one of them running.
fn mask_old_controllers() {
    for port in [0x21, 0xa1] {
        // SAFETY: the mask ports of the two controllers, or nobody's.
        unsafe { Port::<u8>::new(port).write(0xff) };
    }
}
