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
    let held = CONSOLE.port.lock();
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
    let held = console.port.lock();
    console.line(format_args!("two"));
    assert_eq!(WRITTEN.take(), b"one 1\r\ntwo\r\n");
    for line in 0..20 {
        assert_eq!(console.tries(), 1, "it has been waited for");
        console.line(format_args!("{line}"));
    }
    assert_eq!(WRITTEN.take().iter().filter(|byte| **byte == b'\n').count(), 20);
    drop(held);
    console.line(format_args!("three"));
    assert_eq!((WRITTEN.take(), console.tries()), (b"three\r\n".to_vec(), TRIES));
}
