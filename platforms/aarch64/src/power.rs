//! Ends the image: off, or with a status for whoever started it.

use crate::board::Conduit;
use crate::{cpu, machine};
use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use platform_machine::{SUCCESS, Slot};
use waitless::device::Registers;

/// PSCI functions (Arm DEN 0022).
mod function {
    pub const CPU_ON: u64 = 0xc400_0003;
    pub const SYSTEM_OFF: u64 = 0x8400_0008;
    pub const SYSTEM_RESET: u64 = 0x8400_0009;
}

/// A request to a debugger: end with a reason and a status.
const EXIT: u64 = 0x18;
/// The reason that means: the program ended by itself.
const APPLICATION_EXIT: u64 = 0x2_0026;

/// What a finisher takes: it failed, with the status in the upper half.
const FAIL: u32 = 0x3333;

/// How the firmware is called, once it is known.
static CONDUIT: Slot<Conduit> = Slot::new();
/// What ends a virtual machine with a status, where there is one.
static FINISHER: Slot<Finisher> = Slot::new();
/// Whether a debugger was called that may not be there.
static CALLED: AtomicBool = AtomicBool::new(false);

/// A register that ends a virtual machine.
struct Finisher(Registers);

// SAFETY: it is written by one instruction, from any core, and the machine ends there.
unsafe impl Sync for Finisher {}

/// Remembers how the device tree says that the firmware is called.
pub(crate) fn learn(conduit: Option<Conduit>) {
    match conduit {
        Some(Conduit::Hypervisor) => CONDUIT.set(&Conduit::Hypervisor),
        Some(Conduit::Monitor) => CONDUIT.set(&Conduit::Monitor),
        None => {}
    }
}

/// Remembers the finisher at `address`, once memory is mapped. It is mapped here: that takes the
/// heap's lock, which whoever dies may hold.
pub(crate) fn learn_finisher(address: Option<u64>) {
    if let Some(register) = address.and_then(|address| machine::try_map(address, 4)) {
        FINISHER.set(Box::leak(Box::new(Finisher(register))));
    }
}

/// Switches the machine off. `status` reaches whoever started it where there is a way: by a
/// finisher, or, as QEMU's exit status `status * 2 + 1`, by semihosting.
pub fn exit(status: u8) -> ! {
    cpu::mask_all();
    if status != SUCCESS {
        finish(status);
        call_debugger(status);
    }
    power_off()
}

/// Resets the machine.
pub fn restart() -> ! {
    cpu::mask_all();
    call([function::SYSTEM_RESET, 0, 0, 0]);
    halt()
}

/// Whether an exception is only due to a debugger that is not there. If so, the machine is
/// switched off without it.
pub(crate) fn is_without_debugger() -> bool {
    CALLED.load(Ordering::Relaxed)
}

pub(crate) fn power_off() -> ! {
    call([function::SYSTEM_OFF, 0, 0, 0]);
    halt()
}

fn halt() -> ! {
    loop {
        cpu::wait();
    }
}

fn finish(status: u8) {
    if let Some(Finisher(register)) = FINISHER.get() {
        register.write32(0, u32::from(status) << 16 | FAIL);
    }
}

/// Ends a virtual machine whose host plays a debugger. Elsewhere it is an undefined instruction.
fn call_debugger(status: u8) {
    CALLED.store(true, Ordering::Relaxed);
    // As QEMU's exit device on x86: a value that its own failures do not have.
    let parameters = [APPLICATION_EXIT, u64::from(status) * 2 + 1];
    // SAFETY: the debugger reads the two words. Without one, the exception's handler switches the
    // machine off.
    unsafe { asm!("hlt #0xf000", in("x0") EXIT, in("x1") &raw const parameters) };
}

/// Starts the core of `affinity` at the address `entry`, with `context` in its first register.
/// Whether the firmware does.
pub(crate) fn start_core(affinity: u64, entry: u64, context: u64) -> bool {
    CONDUIT.get().is_some() && call([function::CPU_ON, affinity, entry, context]) == 0
}

/// Calls the firmware: a function, and its arguments.
fn call([function, a, b, c]: [u64; 4]) -> u64 {
    let result;
    match CONDUIT.get() {
        // SAFETY: what the function does is its caller's concern; registers are as the calling
        // convention says.
        Some(Conduit::Monitor) => unsafe {
            asm!("smc #0", inlateout("x0") function => result, in("x1") a, in("x2") b,
                in("x3") c, clobber_abi("C"));
        },
        // Where the tree is not known, a hypervisor is likelier.
        // SAFETY: as above.
        _ => unsafe {
            asm!("hvc #0", inlateout("x0") function => result, in("x1") a, in("x2") b,
                in("x3") c, clobber_abi("C"));
        },
    }
    result
}
