//! Turns packets into records of a capture, whatever edge they come from.

use crate::Config;
use crate::wire::{self, Direction, LinkType};
use waitless::capture::{Capture, Recorded};
use waitless::checksum::checksum;
use waitless::keys::KeyLog;
use waitless::packet::ChecksumState;
use waitless::{Context, InitError, Instant, Packet};

/// Having one proves that its capture is known to the system, under a name of its own.
pub struct Recorder {
    capture: &'static Capture,
    /// Nanoseconds from 1970 to the image's start, where the platform knows; otherwise 0.
    start: u64,
    snaplen: usize,
    /// Secrets that are to be written.
    keys: Option<&'static KeyLog>,
    counters: &'static Counters,
}

waitless::counters! {
    /// What became of frames, which are packets or datagrams on edges higher up.
    pub struct Counters {
        /// Frames on their way up that were recorded.
        counter received: frames,
        /// Frames on their way down that were recorded.
        counter sent: frames,
        /// Frames of which only the first bytes were recorded.
        counter cut: frames,
        /// Frames that passed unrecorded, because the memory is too small, a download went on,
        /// or their addresses are not those of IPv4.
        counter missed: frames,
        /// Recorded frames that newer ones replaced.
        counter overwritten: frames,
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
        let capture = if config.share { capture.share() } else { capture };
        let capture = waitless::counter::leak(capture);
        if !cx.system().offer(capture) {
            return Err(TAKEN);
        }
        let keys = config.keys.then(|| watch(config, cx));
        let seconds = cx.wall_clock().unwrap_or(0);
        let start = (seconds * 1_000_000_000).saturating_sub(cx.now().as_nanos());
        Ok(Self { capture, start, snaplen, keys, counters })
    }

    /// Records `packet`, with `head` in front of it, as it passes at the time `now`.
    pub fn record(&self, head: &[u8], packet: &Packet, direction: Direction, now: Instant) {
        if let Some(keys) = self.keys.filter(|keys| !keys.is_empty()) {
            self.record_secrets(keys);
        }
        let bytes = packet.bytes();
        let length = head.len() + bytes.len();
        let kept = length.min(self.snaplen);
        let head = head.get(..kept).unwrap_or(head);
        let bytes = bytes.get(..kept - head.len()).unwrap_or(bytes);
        let time = self.start.saturating_add(now.as_nanos());
        let (front, back) = wire::record(kept, length, direction, time);
        let padding = wire::padding(kept);
        let recorded = match completed(packet) {
            Some((field, sum)) if field + 2 <= bytes.len() => {
                let (before, after) = (&bytes[..field], &bytes[field + 2..]);
                self.capture.record(&[&front, head, before, &sum, after, padding, &back])
            }
            _ => self.capture.record(&[&front, head, bytes, padding, &back]),
        };
        self.count(recorded, direction);
        if kept < length {
            self.counters.cut.add(1);
        }
    }

    /// Records what was told of connections since the last packet, which stands in front of what
    /// it is needed for.
    #[cold]
    fn record_secrets(&self, keys: &KeyLog) {
        keys.drain(|lines| {
            let (front, back) = wire::secrets(lines.len());
            let padding = wire::padding(lines.len());
            match self.capture.record(&[&front, lines, padding, &back]) {
                Recorded::Missed => self.counters.missed.add(1),
                Recorded::Kept { overwritten } => {
                    self.counters.overwritten.add(overwritten as u64);
                }
            }
        });
    }

    /// Counts a packet that cannot be shown.
    pub fn miss(&self) {
        self.counters.missed.add(1);
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

/// Asks to be told the secrets of connections, and warns of it.
fn watch(config: &Config, cx: &Context) -> &'static KeyLog {
    let keys = waitless::counter::leak(KeyLog::new());
    cx.system().keys().enter(keys);
    let file = config.file;
    waitless::warn!(cx, "{file} will hold the secrets of TLS connections: who has it reads them");
    if config.share {
        waitless::warn!(cx, "{file} is shared with whoever asks for it, and the secrets with it");
    }
    keys
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
