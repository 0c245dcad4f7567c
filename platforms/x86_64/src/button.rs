//! The power button of ACPI's fixed hardware: how whoever runs the machine asks it to end.
//!
//! It is looked at, some times a second, instead of interrupting: nothing else does on that line.

use crate::acpi::{Button, Register};
use x86_64::instructions::port::Port;

/// The button's bit, of the register that says what happened and of the one that lets it.
const BUTTON: u16 = 1 << 8;
/// The bit of the control register that says whose the fixed hardware is: set when the image's.
const OURS: u16 = 1;
/// How often the firmware is looked at for having let go.
const TRIES: u32 = 100_000;

/// A button that can be looked at.
pub(crate) struct PowerButton {
    status: u16,
}

impl PowerButton {
    /// Takes `button` over from the firmware, and forgets what was pressed before. `None` where
    /// its registers are no ports, and where the firmware does not let go.
    pub(crate) fn new(button: &Button) -> Option<Self> {
        let Register::Port(status) = button.status else { return None };
        let Register::Port(control) = button.control else { return None };
        let enable = status.checked_add(u16::from(button.length / 2))?;
        if let Some((port, value)) = button.take_over.filter(|_| read(control) & OURS == 0) {
            // SAFETY: the tables say that this is how the firmware lets go.
            unsafe { Port::new(port).write(value) };
        }
        let free = (0..TRIES).any(|_| {
            core::hint::spin_loop();
            read(control) & OURS != 0
        });
        if !free {
            return None;
        }
        write(status, BUTTON);
        write(enable, BUTTON);
        Some(Self { status })
    }

    /// Whether it was pressed.
    pub(crate) fn is_pressed(&self) -> bool {
        let status = read(self.status);
        // All ones: there is none.
        status != u16::MAX && status & BUTTON != 0
    }
}

fn read(port: u16) -> u16 {
    // SAFETY: the tables name the port as a register of power management, which reading does not
    // change.
    unsafe { Port::new(port).read() }
}

/// Writes a register of power management's events. Nobody else does.
fn write(port: u16, value: u16) {
    // SAFETY: the tables name the port; ones clear an event, or let it be noted.
    unsafe { Port::new(port).write(value) };
}
