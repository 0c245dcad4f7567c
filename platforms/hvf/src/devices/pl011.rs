//! The console: what a guest needs of an Arm PL011 to print. Nothing is ever typed.

use super::primecell;
use std::io::Write;

/// Bytes of a line that is shown before it ends.
const LINE_MAX: usize = 4096;

/// Offsets of registers.
mod register {
    pub const DATA: u64 = 0x00;
    pub const FLAGS: u64 = 0x18;
    pub const LINE_CONTROL: u64 = 0x2c;
    pub const CONTROL: u64 = 0x30;
    pub const RAW_INTERRUPTS: u64 = 0x3c;
}

/// Flags: nothing was typed, and all that was written is gone.
const RECEIVE_EMPTY: u64 = 1 << 4;
const TRANSMIT_EMPTY: u64 = 1 << 7;

/// A console that writes whole lines.
pub struct Pl011 {
    output: Box<dyn Write + Send>,
    line: Vec<u8>,
    /// What the guest set, to be read back.
    control: u64,
    line_control: u64,
}

impl Pl011 {
    /// A console that writes to `output`.
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self { output, line: Vec::new(), control: 0x300, line_control: 0 }
    }

    /// Reads a register.
    pub fn read(&mut self, offset: u64) -> u64 {
        match offset {
            register::FLAGS => RECEIVE_EMPTY | TRANSMIT_EMPTY,
            register::LINE_CONTROL => self.line_control,
            register::CONTROL => self.control,
            // Only that it could send more, which nobody is interrupted for.
            register::RAW_INTERRUPTS => 1 << 5,
            _ => primecell(0x011, 1, offset).unwrap_or(0),
        }
    }

    /// Writes a register.
    pub fn write(&mut self, offset: u64, value: u64) {
        match offset {
            register::DATA => {
                self.line.push(value as u8);
                if value as u8 == b'\n' || self.line.len() >= LINE_MAX {
                    self.flush();
                }
            }
            register::LINE_CONTROL => self.line_control = value,
            register::CONTROL => self.control = value,
            _ => {}
        }
    }

    fn flush(&mut self) {
        // That nobody reads it is no reason to end the guest.
        let _ = self.output.write_all(&self.line);
        let _ = self.output.flush();
        self.line.clear();
    }
}

impl Drop for Pl011 {
    fn drop(&mut self) {
        self.flush();
    }
}
