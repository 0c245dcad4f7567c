//! The serial console: a 16550 at port 0x3f8, written without interrupts.

use platform_machine::console::{Console, Serial};
use x86_64::instructions::port::Port;

/// The console, as a place for messages.
pub static CONSOLE: Console<Uart> = Console::new(Uart { present: false });

/// The 16550 at port 0x3f8, if there is one.
pub struct Uart {
    present: bool,
}

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const INTERRUPTS: u16 = BASE + 1;
const FIFO: u16 = BASE + 2;
const LINE: u16 = BASE + 3;
const MODEM: u16 = BASE + 4;
const STATUS: u16 = BASE + 5;
const SCRATCH: u16 = BASE + 7;

/// Status: all that was written is on its way.
const EMPTY: u8 = 1 << 5;
/// Bytes that fit once it is empty.
const FIFO_DEPTH: usize = 16;
/// How often the status is read before a byte is given up. At 115,200 baud a full FIFO takes
/// 1.4 ms, which is less than so many reads of a real port.
const PATIENCE: u32 = 20_000;

/// Sets the line to 115,200 baud, 8 bits, no parity, if there is a 16550.
pub(crate) fn init() {
    // SAFETY: these ports are a 16550's on every PC, or nothing's.
    let present = unsafe {
        write(SCRATCH, 0x5a);
        read(SCRATCH) == 0x5a
    };
    if present {
        // SAFETY: as above, and now it is a 16550: no interrupts; divisor 1; 8n1; FIFO on
        // and empty; DTR, RTS.
        unsafe {
            write(INTERRUPTS, 0);
            write(LINE, 0x80);
            write(DATA, 1);
            write(INTERRUPTS, 0);
            write(LINE, 0x03);
            write(FIFO, 0x07);
            write(MODEM, 0x03);
        }
    }
    CONSOLE.set(Uart { present });
}

impl Serial for Uart {
    fn write(&mut self, bytes: &[u8]) {
        if !self.present {
            return;
        }
        for chunk in bytes.chunks(FIFO_DEPTH) {
            // SAFETY: reading the status of a 16550 changes nothing that matters here.
            let empty = || unsafe { read(STATUS) } & EMPTY != 0;
            let _ = (0..PATIENCE).find(|_| empty());
            for byte in chunk {
                // SAFETY: the data port of a 16550 takes a byte at any time.
                unsafe { write(DATA, *byte) };
            }
        }
    }

    fn again() -> Self {
        Self { present: true }
    }
}

/// # Safety
/// The port is the console's.
unsafe fn write(port: u16, value: u8) {
    // SAFETY: the caller vouches for the port.
    unsafe { Port::new(port).write(value) }
}

/// # Safety
/// The port is the console's.
unsafe fn read(port: u16) -> u8 {
    // SAFETY: the caller vouches for the port.
    unsafe { Port::new(port).read() }
}
