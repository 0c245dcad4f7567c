//! The console: lines of text on a serial port, whoever writes them.

use core::fmt::{self, Arguments, Write};
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
pub struct Console<S>(Spinlock<S>);

/// How often the lock is tried, so that a report gets through whoever holds it: for the better part
/// of a second, as the hypervisor may have taken the processor from a core in the middle of a line.
const TRIES: u32 = 50_000_000;

impl<S: Serial> Console<S> {
    /// A console on `serial`.
    pub const fn new(serial: S) -> Self {
        Self(Spinlock::new(serial))
    }

    /// Replaces the port.
    pub fn set(&self, serial: S) {
        *self.0.lock() = serial;
    }

    /// Writes a line, even when somebody died while writing one.
    pub fn line(&self, text: Arguments<'_>) {
        for _ in 0..TRIES {
            if let Some(mut serial) = self.0.try_lock() {
                let _ = Lines(&mut *serial).write_fmt(format_args!("{text}\r\n"));
                return;
            }
        }
        let _ = Lines(&mut S::again()).write_fmt(format_args!("{text}\r\n"));
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
mod tests {
    extern crate std;
    use super::*;
    use std::cell::RefCell;
    use std::vec::Vec;

    std::thread_local!(static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

    struct Port;

    impl Serial for Port {
        fn write(&mut self, bytes: &[u8]) {
            WRITTEN.with_borrow_mut(|written| written.extend(bytes));
        }

        fn again() -> Self {
            Self
        }
    }

    #[test]
    fn a_line_waits_for_a_core_that_was_taken_away_in_the_middle_of_one() {
        static CONSOLE: Console<Port> = Console::new(Port);
        let held = CONSOLE.0.lock();
        let other = std::thread::spawn(|| CONSOLE.line(format_args!("two")));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!other.is_finished());
        drop(held);
        other.join().unwrap();
    }

    #[test]
    fn a_line_gets_through_although_nobody_will_unlock() {
        let console = Console::new(Port);
        console.line(format_args!("one {}", 1));
        let held = console.0.lock();
        console.line(format_args!("two"));
        drop(held);
        assert_eq!(WRITTEN.take(), b"one 1\r\ntwo\r\n");
    }
}
