//! The power key of virtual machines, a pin of a PL061: how whoever runs the machine asks it to
//! end.
//!
//! It is looked at, some times a second, instead of interrupting: the controller remembers that
//! the pin rose.

use waitless::device::Registers;

/// Byte offsets of the PL061's registers, each with a bit for each pin (Arm DDI 0190).
mod register {
    pub const DIRECTION: usize = 0x400;
    pub const SENSE: usize = 0x404;
    pub const BOTH_EDGES: usize = 0x408;
    pub const EVENT: usize = 0x40c;
    pub const RAISED: usize = 0x414;
    pub const CLEAR: usize = 0x41c;
}

/// Bytes of its registers.
pub(crate) const LENGTH: usize = 0x1000;

/// A key that can be looked at.
pub(crate) struct PowerKey {
    registers: Registers,
    bit: u8,
}

impl PowerKey {
    /// The key at pin number `pin`, below 8, of the controller with `registers`. What was pressed
    /// before is forgotten.
    pub(crate) fn new(registers: Registers, pin: u8) -> Self {
        let bit = 1u8 << (pin & 7);
        let change = |at, set: bool| {
            let value = registers.read8(at);
            registers.write8(at, if set { value | bit } else { value & !bit });
        };
        change(register::DIRECTION, false);
        change(register::SENSE, false);
        change(register::BOTH_EDGES, false);
        change(register::EVENT, true);
        registers.write8(register::CLEAR, bit);
        Self { registers, bit }
    }

    /// Whether it was pressed.
    pub(crate) fn is_pressed(&self) -> bool {
        self.registers.read8(register::RAISED) & self.bit != 0
    }
}
