//! Devices that are no virtio: console, wall clock and the way out.

mod finisher;
mod pl011;
mod pl031;

pub use finisher::finish;
pub use pl011::Pl011;
pub use pl031::{Pl031, host as host_clock};

/// The identification registers of an Arm PrimeCell, from FE0h on: its part number, and the mark
/// of all PrimeCells.
fn primecell(part: u16, revision: u8, offset: u64) -> Option<u64> {
    let index = offset.checked_sub(0xfe0)?;
    let [low, high] = part.to_le_bytes();
    let id = [low, high | 0x10, revision << 4 | 4, 0, 0x0d, 0xf0, 0x05, 0xb1];
    id.get((index / 4) as usize).copied().map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_to_the_console_appears_line_by_line() {
        let screen = Screen::default();
        let mut console = Pl011::new(Box::new(screen.clone()));
        for byte in b"hello\nwor" {
            assert_eq!(console.read(0x18) & 0x20, 0, "there is room");
            console.write(0x00, u64::from(*byte));
        }
        assert_eq!(*screen.0.lock().unwrap(), b"hello\n");
        drop(console);
        assert_eq!(*screen.0.lock().unwrap(), b"hello\nwor", "the rest at the end");
    }

    #[test]
    fn a_long_line_appears_in_parts() {
        let screen = Screen::default();
        let mut console = Pl011::new(Box::new(screen.clone()));
        for _ in 0..5000 {
            console.write(0x00, b'x'.into());
        }
        assert_eq!(screen.0.lock().unwrap().len(), 4096);
    }

    #[test]
    fn console_and_clock_say_what_they_are() {
        let mut console = Pl011::new(Box::new(Vec::new()));
        let mut clock = Pl031::new(|| 0);
        let id = |read: &mut dyn FnMut(u64) -> u64| {
            (0..8).map(|index| read(0xfe0 + 4 * index) as u8).collect::<Vec<_>>()
        };
        let console = id(&mut |offset| console.read(offset));
        assert_eq!(console, [0x11, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1]);
        let clock = id(&mut |offset| clock.read(offset));
        assert_eq!(clock, [0x31, 0x10, 0x04, 0, 0x0d, 0xf0, 0x05, 0xb1]);
    }

    #[test]
    fn the_clock_tells_the_time_and_can_be_set() {
        let mut clock = Pl031::new(|| 1_800_000_000);
        assert_eq!(clock.read(0x00), 1_800_000_000);
        clock.write(0x08, 100);
        assert_eq!((clock.read(0x00), clock.read(0x08)), (100, 100));
        assert_eq!(clock.read(0x0c), 1, "it runs");
    }

    #[test]
    fn the_way_out_tells_how_it_ended() {
        use crate::power::End;
        assert_eq!(finish(0x5555), Some(End::Status(0)));
        assert_eq!(finish(3 << 16 | 0x3333), Some(End::Status(3)));
        assert_eq!(finish(0x3333), Some(End::Status(1)), "a failure is never a success");
        assert_eq!(finish(0x100_0000 | 0x3333), Some(End::Status(1)));
        assert_eq!(finish(0x7777), Some(End::Reset));
        assert_eq!(finish(0), None);
    }
}
