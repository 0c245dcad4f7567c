//! The serial console: a 16550 at port 0x3f8, written without interrupts.

use core::fmt::{self, Arguments, Write};
use spinning_top::Spinlock;
use waitless::log::Sink;
use x86_64::instructions::port::Port;

/// The console, as a place for messages.
pub static CONSOLE: Console = Console(Spinlock::new(Uart { present: false }));

/// The one serial console.
pub struct Console(Spinlock<Uart>);

struct Uart {
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
/// How often a lock is tried, so that a report gets through whoever holds it.
const TRIES: u32 = 1_000_000;

impl Console {
    /// Sets the line to 115,200 baud, 8 bits, no parity, if there is a 16550.
    pub(crate) fn init(&self) {
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
        self.0.lock().present = present;
    }

    /// Writes a line, even when somebody died while writing one.
    pub(crate) fn line(&self, text: Arguments<'_>) {
        for _ in 0..TRIES {
            if let Some(mut uart) = self.0.try_lock() {
                let _ = uart.write_fmt(format_args!("{text}\r\n"));
                return;
            }
        }
        let _ = Uart { present: true }.write_fmt(format_args!("{text}\r\n"));
    }
}

impl Sink for Console {
    fn write(&self, line: Arguments<'_>) {
        self.line(line);
    }
}

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.present {
            return Ok(());
        }
        for chunk in text.as_bytes().chunks(FIFO_DEPTH) {
            // SAFETY: reading the status of a 16550 changes nothing that matters here.
            let empty = || unsafe { read(STATUS) } & EMPTY != 0;
            let _ = (0..PATIENCE).find(|_| empty());
            for byte in chunk {
                // SAFETY: the data port of a 16550 takes a byte at any time.
                unsafe { write(DATA, *byte) };
            }
        }
        Ok(())
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
