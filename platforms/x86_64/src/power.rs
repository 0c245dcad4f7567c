//! Ends the image: off, or with a status for whoever started it.

use crate::acpi::{Acpi, Power, Register};
use platform_machine::{SUCCESS, Slot};
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

/// What the firmware said, once it is known.
static FIRMWARE: Slot<Acpi> = Slot::new();

/// A device of QEMU's and of our own runners: a value written here ends the machine with the
/// exit status `value * 2 + 1`. Elsewhere nothing listens.
const EXIT_PORT: u16 = 0xf4;

/// Remembers what the firmware says about switching off.
pub(crate) fn learn(acpi: &'static Acpi) {
    FIRMWARE.set(acpi);
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
    match FIRMWARE.get().and_then(|firmware| firmware.power) {
        Some(Power::Control(register, value)) => write16(register, value),
        Some(Power::Sleep(register, value)) => write8(register, value),
        None => {}
    }
    // Still here: the ports of QEMU's, Bochs's and Cloud Hypervisor's switches.
    write16(Register::Port(0x604), 0x2000);
    write16(Register::Port(0xb004), 0x2000);
    write8(Register::Port(0x600), 0x34);
}

fn reset() {
    if let Some((register, value)) = FIRMWARE.get().and_then(|firmware| firmware.reset) {
        write8(register, value);
    }
    // Still here: the chipset's reset register, then the keyboard controller's reset line,
    // which is also how Firecracker ends.
    write8(Register::Port(0xcf9), 6);
    write8(Register::Port(0x64), 0xfe);
    // Still here: a fault that nothing handles, nor the fault of handling that.
    let none = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: the machine ends here.
    unsafe {
        lidt(&none);
        core::arch::asm!("ud2");
    }
}

fn write16(register: Register, value: u16) {
    match register {
        // SAFETY: the machine ends here; whoever else uses this port does not matter any more.
        Register::Port(port) => unsafe { Port::new(port).write(value) },
        Register::Memory(address) => {
            if let Some(memory) = crate::machine::try_map(address, 2) {
                memory.write16(0, value);
            }
        }
    }
}

fn write8(register: Register, value: u8) {
    match register {
        // SAFETY: the machine ends here; whoever else uses this port does not matter any more.
        Register::Port(port) => unsafe { Port::new(port).write(value) },
        Register::Memory(address) => {
            if let Some(memory) = crate::machine::try_map(address, 1) {
                memory.write8(0, value);
            }
        }
    }
}
