//! Turns packets into records of a capture, whatever edge they come from.

use crate::Config;
use crate::wire::{self, Direction, LinkType};
use waitless::capture::{Capture, Recorded};
use waitless::checksum::checksum;
use waitless::packet::ChecksumState;
use waitless::{Context, InitError, Instant, Packet};

/// Having one proves that its capture is known to the system, under a name of its own.
pub struct Recorder {
    capture: &'static Capture,
    /// Nanoseconds from 1970 to the image's start, where the platform knows; otherwise 0.
    start: u64,
    snaplen: usize,
    counters: &'static Counters,
}

waitless::counters! {
    /// What became of frames.
    pub struct Counters {
        /// Frames on their way up that were recorded.
        counter received: frames,
        /// Frames on their way down that were recorded.
        counter sent: frames,
        /// Frames of which only the first bytes were recorded.
        counter cut: frames,
        /// Frames that passed unrecorded, because the memory is too small or a download went on.
        counter missed: frames,
        /// Recorded frames that newer ones replaced.
        counter overwritten: frames,
        /// Frames that the component below refused although it had said there was room.
        counter refused: frames,
    }
}

impl Recorder {
    /// A recorder of packets of the kind `link`.
    pub fn new(
        config: &Config,
        link: LinkType,
        counters: &'static Counters,
        cx: &mut Context,
    ) -> Result<Self, InitError> {
        let snaplen = usize::from(config.snaplen);
        let head = wire::head(link, u32::from(config.snaplen));
        let limit = usize::try_from(config.bytes).unwrap_or(usize::MAX);
        let capture = Capture::new(config.file, head, limit).ok_or(NO_MEMORY)?;
        let capture = waitless::counter::leak(capture);
        if !cx.system().offer(capture) {
            return Err(TAKEN);
        }
        let seconds = cx.wall_clock().unwrap_or(0);
        let start = (seconds * 1_000_000_000).saturating_sub(cx.now().as_nanos());
        Ok(Self { capture, start, snaplen, counters })
    }

    /// Records `packet` as it passes at the time `now`.
    pub fn record(&self, packet: &Packet, direction: Direction, now: Instant) {
        let bytes = packet.bytes();
        let kept = bytes.len().min(self.snaplen);
        let time = self.start.saturating_add(now.as_nanos());
        let (front, back) = wire::record(kept, bytes.len(), direction, time);
        let recorded = match completed(packet) {
            Some((field, sum)) if field + 2 <= kept => self.capture.record(&[
                &front,
                &bytes[..field],
                &sum,
                &bytes[field + 2..kept],
                wire::padding(kept),
                &back,
            ]),
            _ => self.capture.record(&[&front, &bytes[..kept], wire::padding(kept), &back]),
        };
        self.count(recorded, direction);
        if kept < bytes.len() {
            self.counters.cut.add(1);
        }
    }

    fn count(&self, recorded: Recorded, direction: Direction) {
        match (recorded, direction) {
            (Recorded::Missed, _) => return self.counters.missed.add(1),
            (_, Direction::Inbound) => self.counters.received.add(1),
            (_, Direction::Outbound) => self.counters.sent.add(1),
        }
        if let Recorded::Kept { overwritten } = recorded {
            self.counters.overwritten.add(overwritten as u64);
        }
    }
}

const NO_MEMORY: InitError = InitError("no memory for the capture: give it fewer `bytes`");
const TAKEN: InitError =
    InitError("another pcap writes to this file: give each its own `file` in the manifest");

/// The checksum that is left to the card, and where in the packet it goes.
fn completed(packet: &Packet) -> Option<(usize, [u8; 2])> {
    let ChecksumState::Partial { start, offset } = packet.info().checksum else { return None };
    let from = usize::from(start).checked_sub(packet.headroom())?;
    let sum = checksum(packet.bytes().get(from..)?);
    Some((from + usize::from(offset), sum.to_be_bytes()))
}
