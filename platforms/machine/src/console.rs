//! The console: lines of text on a serial port, whoever writes them.

use core::fmt::{self, Arguments, Write};
use core::sync::atomic::{AtomicBool, Ordering};
use spinning_top::Spinlock;
use waitless::log::Sink;

/// A serial port.
pub trait Serial {
    /// Writes bytes, waiting for room. Gives up on a port that never has any, and does nothing
    /// where there is no port.
    fn write(&mut self, bytes: &[u8]);

    /// The same port, for whoever cannot wait for its lock: somebody died while holding it.
    fn again() -> Self;
}

/// A console, which one core at a time writes a line to.
#[derive(Debug)]
pub struct Console<S> {
    port: Spinlock<S>,
    /// Whether a line has waited for the lock in vain, since it was free last.
    given_up: AtomicBool,
}

/// How often the lock is tried, so that a report gets through whoever holds it: for the better part
/// of a second, as the hypervisor may have taken the processor from a core in the middle of a line.
/// A report has many lines, of which only the first waits for somebody who died.
const TRIES: u32 = 50_000_000;

impl<S: Serial> Console<S> {
    /// A console on `serial`.
    pub const fn new(serial: S) -> Self {
        Self { port: Spinlock::new(serial), given_up: AtomicBool::new(false) }
    }

    /// Replaces the port.
    pub fn set(&self, serial: S) {
        *self.port.lock() = serial;
    }

    /// Writes a line, even when somebody died while writing one.
    pub fn line(&self, text: Arguments<'_>) {
        for _ in 0..self.tries() {
            if let Some(mut serial) = self.port.try_lock() {
                self.given_up.store(false, Ordering::Relaxed);
                let _ = Lines(&mut *serial).write_fmt(format_args!("{text}\r\n"));
                return;
            }
        }
        self.given_up.store(true, Ordering::Relaxed);
        let _ = Lines(&mut S::again()).write_fmt(format_args!("{text}\r\n"));
    }

    /// How often the next line tries the lock.
    fn tries(&self) -> u32 {
        if self.given_up.load(Ordering::Relaxed) { 1 } else { TRIES }
    }
}

impl<S: Serial + Send> Sink for Console<S> {
    fn write(&self, line: Arguments<'_>) {
        self.line(line);
    }
}

struct Lines<'a, S>(&'a mut S);

impl<S: Serial> Write for Lines<'_, S> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
