//! QEMU's firmware configuration device, at two ports.

use crate::cpu::Features;
use core::arch::asm;
use platform_machine::fw_cfg::{self, Device};
use platform_machine::options::CommandLine;
use x86_64::instructions::port::Port;

const SELECTOR: u16 = 0x510;
const DATA: u16 = 0x511;

struct Ports;

impl Device for Ports {
    fn select(&mut self, item: u16) {
        // SAFETY: on a virtual machine the port is the device's, or nobody's.
        unsafe { Port::new(SELECTOR).write(item) };
    }

    fn read(&mut self, room: &mut [u8]) {
        // All in one instruction: a hypervisor is left once for many bytes.
        // SAFETY: as above; just the room's bytes are written, and the direction flag is clear.
        unsafe {
            asm!("rep insb", in("dx") DATA, inout("rdi") room.as_mut_ptr() => _,
                inout("rcx") room.len() => _, options(nostack, preserves_flags));
        }
    }
}

/// What QEMU's user says of keys. Hardware is not asked: something else may be at those ports.
pub(crate) fn words(features: &Features) -> Option<CommandLine> {
    if !features.hypervisor {
        return None;
    }
    fw_cfg::words(&mut Ports, fw_cfg::FILE)
}
