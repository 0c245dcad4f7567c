//! Ends the image: off, or with a status for whoever started it.

use crate::acpi::{Acpi, Power, Register};
use crate::machine::try_map;
use alloc::boxed::Box;
use platform_machine::{SUCCESS, Slot};
use waitless::device::Registers;
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

/// What the firmware said, once it is known.
static FIRMWARE: Slot<Switches> = Slot::new();

/// What switches the machine off, and what resets it.
struct Switches {
    power: Option<Switch>,
    reset: Option<Switch>,
}

// SAFETY: a register is written by one instruction, from any core, and the machine ends there.
unsafe impl Sync for Switches {}

/// What to write where.
enum Switch {
    Port16(u16, u16),
    Port8(u16, u8),
    Memory16(Registers, u16),
    Memory8(Registers, u8),
}

/// A device of QEMU's and of our own runners: a value written here ends the machine with the
/// exit status `value * 2 + 1`. Elsewhere nothing listens.
const EXIT_PORT: u16 = 0xf4;

/// Remembers what the firmware says about switching off. Registers in memory are mapped here:
/// that takes the heap's lock, which whoever dies may hold.
pub(crate) fn learn(acpi: &Acpi) {
    let power = acpi.power.and_then(|power| match power {
        Power::Control(register, value) => Switch::of_16(register, value),
        Power::Sleep(register, value) => Switch::of_8(register, value),
    });
    let reset = acpi.reset.and_then(|(register, value)| Switch::of_8(register, value));
    FIRMWARE.set(Box::leak(Box::new(Switches { power, reset })));
}

impl Switch {
    fn of_16(register: Register, value: u16) -> Option<Self> {
        Some(match register {
            Register::Port(port) => Self::Port16(port, value),
            Register::Memory(address) => Self::Memory16(try_map(address, 2)?, value),
        })
    }

    fn of_8(register: Register, value: u8) -> Option<Self> {
        Some(match register {
            Register::Port(port) => Self::Port8(port, value),
            Register::Memory(address) => Self::Memory8(try_map(address, 1)?, value),
        })
    }

    fn press(&self) {
        match self {
            // SAFETY: the machine ends here; whoever else uses this port does not matter any more.
            Self::Port16(port, value) => unsafe { Port::new(*port).write(*value) },
            // SAFETY: as above.
            Self::Port8(port, value) => unsafe { Port::new(*port).write(*value) },
            Self::Memory16(register, value) => register.write16(0, *value),
            Self::Memory8(register, value) => register.write8(0, *value),
        }
    }
}

/// Switches the machine off. `status` reaches whoever started it where there is a way: for
/// anything but [`SUCCESS`], a virtual machine's exit status is `status * 2 + 1`.
pub fn exit(status: u8) -> ! {
    x86_64::instructions::interrupts::disable();
    if status != SUCCESS {
        // SAFETY: the port is the exit device's, or nobody's: old machines had it reset a
        // coprocessor that no 64-bit processor has.
        unsafe { Port::<u32>::new(EXIT_PORT).write(status.into()) };
    }
    power_off();
    reset();
    loop {
        x86_64::instructions::hlt();
    }
}

/// Resets the machine.
pub fn restart() -> ! {
    x86_64::instructions::interrupts::disable();
    reset();
    loop {
        x86_64::instructions::hlt();
    }
}

fn power_off() {
    if let Some(power) = FIRMWARE.get().and_then(|firmware| firmware.power.as_ref()) {
        power.press();
    }
    // Still here: the ports of QEMU's, Bochs's and Cloud Hypervisor's switches.
    Switch::Port16(0x604, 0x2000).press();
    Switch::Port16(0xb004, 0x2000).press();
    Switch::Port8(0x600, 0x34).press();
}

fn reset() {
    if let Some(reset) = FIRMWARE.get().and_then(|firmware| firmware.reset.as_ref()) {
        reset.press();
    }
    // Still here: the chipset's reset register, then the keyboard controller's reset line,
    // which is also how Firecracker ends.
    Switch::Port8(0xcf9, 6).press();
    Switch::Port8(0x64, 0xfe).press();
    // Still here: a fault that nothing handles, nor the fault of handling that.
    let none = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: the machine ends here.
    unsafe {
        lidt(&none);
        core::arch::asm!("ud2");
    }
}
