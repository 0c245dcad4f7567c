//! The serial console: a PL011, written without interrupts.

use core::sync::atomic::{AtomicU64, Ordering};
use platform_machine::console::{Console, Serial};

/// The console, as a place for messages.
pub static CONSOLE: Console<Pl011> = Console::new(Pl011 { base: 0 });

/// Where the port is; 0 while there is none.
static BASE: AtomicU64 = AtomicU64::new(0);

/// A PL011.
pub struct Pl011 {
    base: u64,
}

const DATA: u64 = 0x00;
const FLAGS: u64 = 0x18;
const CONTROL: u64 = 0x30;

/// Flags: no byte fits.
const FULL: u32 = 1 << 5;
/// Control: on, sending, receiving.
const ON: u32 = 1 | 1 << 8 | 1 << 9;
/// How often the flags are read before a byte is given up. At 115,200 baud a byte takes 87 µs,
/// which is less than so many reads of a real port.
const PATIENCE: u32 = 20_000;

/// Uses the port at `base`, with the speed that firmware set.
///
/// # Safety
/// There is a PL011, it is mapped as a device there, and stays so.
pub(crate) unsafe fn use_port(base: u64) {
    // SAFETY: the caller vouches for the port.
    unsafe { write(base + CONTROL, ON) };
    BASE.store(base, Ordering::Relaxed);
    CONSOLE.set(Pl011 { base });
}

impl Serial for Pl011 {
    fn write(&mut self, bytes: &[u8]) {
        if self.base == 0 {
            return;
        }
        for byte in bytes {
            // SAFETY: `use_port` was told that the port is there; reading flags changes nothing.
            let full = || unsafe { read(self.base + FLAGS) } & FULL != 0;
            let _ = (0..PATIENCE).find(|_| !full());
            // SAFETY: as above; the port takes a byte at any time.
            unsafe { write(self.base + DATA, (*byte).into()) };
        }
    }

    fn again() -> Self {
        Self { base: BASE.load(Ordering::Relaxed) }
    }
}

/// # Safety
/// There is a register of 32 bits at `address`.
unsafe fn write(address: u64, value: u32) {
    // SAFETY: the caller vouches for it. Only this form of a store can be emulated by every
    // hypervisor.
    unsafe {
        core::arch::asm!("str {0:w}, [{1}]", in(reg) value, in(reg) address, options(nostack));
    }
}

/// # Safety
/// There is a register of 32 bits at `address`.
unsafe fn read(address: u64) -> u32 {
    let value: u32;
    // SAFETY: the caller vouches for it. Only this form of a load can be emulated by every
    // hypervisor.
    unsafe {
        core::arch::asm!("ldr {0:w}, [{1}]", out(reg) value, in(reg) address, options(nostack));
    }
    value
}
