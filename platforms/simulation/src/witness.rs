//! Sees every frame that a host sends, before the wire does anything to it, and knows what TCP
//! (RFC 9293) allows.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// What was seen of all connections.
#[derive(Default)]
pub struct Witness {
    ways: BTreeMap<Way, Seen>,
}

/// One direction of a connection.
type Way = (Ipv4Addr, u16, Ipv4Addr, u16);

/// What was seen of it. Positions count from the SYN, which has number 0.
#[derive(Default)]
struct Seen {
    /// The SYN's sequence number.
    first: Option<u32>,
    /// The bytes of the stream.
    bytes: Vec<u8>,
    /// Where it ends.
    end: Option<u32>,
    /// The other side's highest acknowledgement.
    acknowledged: u32,
    /// The furthest that the other side ever had room for.
    edge: u32,
    /// The shift of this side's windows.
    scale: Option<u8>,
    /// Whether the other side's SYN and this one's agree on windows being scaled is decided by
    /// both having a scale.
    opened: bool,
}

/// A segment, as far as it matters here.
struct Segment<'a> {
    way: Way,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    scale: Option<u8>,
    payload: &'a [u8],
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

impl Witness {
    /// A host sends `frame`.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn saw(&mut self, frame: &[u8]) -> Result<(), String> {
        let Some(segment) = parse(frame) else { return Ok(()) };
        if segment.flags & RST != 0 {
            return Ok(());
        }
        let (a, b, c, d) = segment.way;
        let back = (c, d, a, b);
        let say = |what: &str| Err(format!("{a}:{b} to {c}:{d}: {what}"));
        if segment.flags & SYN != 0 {
            self.opens(&segment, back);
        }
        if !self.ways.get(&segment.way).is_some_and(|seen| seen.opened) {
            return Ok(());
        }
        if let Err(what) = self.says(&segment, back) {
            return say(&what);
        }
        if segment.flags & ACK != 0
            && let Err(what) = self.acknowledges(&segment, back)
        {
            return say(&what);
        }
        Ok(())
    }

    /// A SYN: of a new connection, unless it is the same again.
    fn opens(&mut self, segment: &Segment, back: Way) {
        let seen = self.ways.entry(segment.way).or_default();
        if seen.first == Some(segment.sequence) && seen.opened {
            return;
        }
        // Whoever opens anew has forgotten both directions.
        let edge = seen.edge;
        let answers = segment.flags & ACK != 0;
        *seen = Seen {
            first: Some(segment.sequence),
            scale: segment.scale,
            opened: true,
            ..Seen::default()
        };
        if answers {
            // The SYN that it answers said how much may be sent.
            seen.edge = edge;
        } else {
            self.ways.insert(back, Seen::default());
            self.ways.entry(segment.way).or_default().edge = 0;
        }
        // Without an acknowledgement, the window of a SYN counts from the other side's SYN.
        let other = self.ways.entry(back).or_default();
        other.edge = other.edge.max(1 + u32::from(segment.window));
    }

    /// What it says of this side's stream.
    fn says(&mut self, segment: &Segment, back: Way) -> Result<(), String> {
        let probes = 1;
        let Some(seen) = self.ways.get_mut(&segment.way) else { return Ok(()) };
        let Some(first) = seen.first else { return Ok(()) };
        let at = segment.sequence.wrapping_sub(first);
        let length = segment.payload.len() as u32;
        if segment.flags & SYN != 0 || length == 0 && segment.flags & FIN == 0 {
            return Ok(());
        }
        let place = at.wrapping_sub(1) as usize;
        if place > seen.bytes.len() {
            return Err(format!("sends from {at} on, and nothing before"));
        }
        for (byte, offset) in segment.payload.iter().zip(place..) {
            match seen.bytes.get(offset) {
                Some(known) if known != byte => {
                    return Err(format!("the byte at {} changes", offset + 1));
                }
                Some(_) => {}
                None => seen.bytes.push(*byte),
            }
        }
        let end = at + length;
        if seen.end.is_some_and(|known| end > known) {
            return Err(format!("sends up to {end}, behind its end"));
        }
        if segment.flags & FIN != 0 {
            if seen.end.is_some_and(|known| known != end) {
                return Err(format!("ends at {end}, and ended elsewhere before"));
            }
            seen.end = Some(end);
        }
        let (edge, known) = (seen.edge, self.ways.get(&back).is_some_and(|it| it.opened));
        if known && end > edge + probes {
            return Err(format!("sends up to {end}, and the window ends at {edge}"));
        }
        Ok(())
    }

    /// What it says of the other side's.
    fn acknowledges(&mut self, segment: &Segment, back: Way) -> Result<(), String> {
        let scale = match (self.ways.get(&segment.way), self.ways.get(&back)) {
            (Some(Seen { scale: Some(own), .. }), Some(Seen { scale: Some(_), .. })) => *own,
            _ => 0,
        };
        let scale = if segment.flags & SYN != 0 { 0 } else { scale.min(14) };
        let Some(other) = self.ways.get_mut(&back) else { return Ok(()) };
        let Some(first) = other.first else { return Ok(()) };
        let at = segment.acknowledgement.wrapping_sub(first);
        let sent = 1 + other.bytes.len() as u32 + u32::from(other.end.is_some());
        if at > sent {
            return Err(format!("acknowledges {at} of {sent}"));
        }
        if at < other.acknowledged {
            return Err(format!("acknowledges {at} after {}", other.acknowledged));
        }
        other.acknowledged = at;
        let ended = other.end.is_some_and(|end| at > end);
        let edge = at + (u32::from(segment.window) << scale);
        // What a window says is rounded to its scale.
        if !ended && edge + (1 << scale) <= other.edge && segment.flags & SYN == 0 {
            return Err(format!("its window ends at {edge}, and ended at {} before", other.edge));
        }
        other.edge = other.edge.max(edge);
        Ok(())
    }
}

/// The segment in a frame, if there is one.
fn parse(frame: &[u8]) -> Option<Segment<'_>> {
    let is_tcp = frame.get(12..14)? == [8, 0] && *frame.get(23)? == 6;
    let packet = frame.get(14..).filter(|_| is_tcp)?;
    let header = usize::from(packet[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let tcp = packet.get(header..total).filter(|tcp| tcp.len() >= 20)?;
    let address = |at: usize| Ipv4Addr::from([0, 1, 2, 3].map(|it| packet[at + it]));
    let short = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let long = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|it| tcp[at + it]));
    let behind = usize::from(tcp[12] >> 4) * 4;
    Some(Segment {
        way: (address(12), short(0), address(16), short(2)),
        sequence: long(4),
        acknowledgement: long(8),
        flags: tcp[13],
        window: short(14),
        scale: scale_of(tcp.get(20..behind)?),
        payload: tcp.get(behind..)?,
    })
}

fn scale_of(mut options: &[u8]) -> Option<u8> {
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => return None,
            (1, _) => options = rest,
            (3, [3, shift, ..]) => return Some(*shift),
            (_, [length, ..]) if *length >= 2 => options = options.get(usize::from(*length)..)?,
            _ => return None,
        }
    }
    None
}
