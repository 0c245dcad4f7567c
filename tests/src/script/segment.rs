//! Segments as bytes, and as a script writes them.

use super::host::{Ends, Sent};
use super::syntax::{FLAGS, Segment, TcpOption};
use std::collections::BTreeMap;
use std::fmt::Write;
use waitless::checksum::Checksum;

/// The number of the other side's SYN: its numbers soon wrap.
pub const THEIR_FIRST: u32 = u32::MAX - 3_000;

const SYN: u8 = 2;
const ACK: u8 = 16;

/// Between what a script says and what is on the wire: one for each pair of ports.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// What is added to the script's numbers of what the component sends, once it sent a SYN.
    pub ours: Option<u32>,
    /// What is added to the script's clock of the component, once it sent one.
    pub clock: Option<u32>,
    /// The component's clock when it sent what the script has as this clock: scripts whose own
    /// clock does not tick as the component's does.
    pub clocks: BTreeMap<u32, u32>,
    /// What the component acknowledged last.
    pub told: u32,
    /// The script's number of the first byte that the component sends.
    pub our_first: u32,
    /// The script's number of the first byte that arrives.
    pub their_first: u32,
}

/// The byte at `position` of the stream that `ours` or the other side sends.
pub fn byte(ours: bool, position: u32) -> u8 {
    let side = if ours { 0 } else { 101 };
    (position.wrapping_mul(31) ^ (position >> 8).wrapping_mul(7) ^ side) as u8
}

/// A segment that arrives, as bytes. `ports` are the sender's and the receiver's.
pub fn encode(segment: &Segment, ends: Ends, ports: (u16, u16), flow: &mut Flow) -> Vec<u8> {
    if segment.flags & SYN != 0 {
        flow.their_first = segment.sequence.wrapping_add(1);
    }
    let ours = flow.ours.unwrap_or(0);
    let options = encode_options(segment.options.as_deref().unwrap_or_default(), flow);
    // A segment with the bit and without the number acknowledges nothing new.
    let acknowledges = segment.flags & ACK != 0;
    let acknowledgement = segment.acknowledgement.or(acknowledges.then_some(0));
    let acknowledgement = acknowledgement.map_or(0, |it| it.wrapping_add(ours));
    let mut bytes = Vec::new();
    bytes.extend(ports.0.to_be_bytes());
    bytes.extend(ports.1.to_be_bytes());
    bytes.extend(segment.sequence.wrapping_add(THEIR_FIRST).to_be_bytes());
    bytes.extend(acknowledgement.to_be_bytes());
    bytes.extend([(5 + options.len() as u8 / 4) << 4, segment.flags]);
    bytes.extend(segment.window.unwrap_or(0).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    let first = segment.sequence.wrapping_sub(flow.their_first);
    bytes.extend((0..segment.length).map(|at| byte(false, first.wrapping_add(at))));
    let sum = Checksum::new().pseudo(ends.local, ends.remote, 6, bytes.len() as u16).add(&bytes);
    bytes[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    bytes
}

fn encode_options(options: &[TcpOption], flow: &Flow) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in options {
        match option {
            TcpOption::Nop => bytes.push(1),
            TcpOption::End => bytes.push(0),
            TcpOption::Mss(mss) => {
                bytes.extend([2, 4]);
                bytes.extend(mss.to_be_bytes());
            }
            TcpOption::Scale(shift) => bytes.extend([3, 3, *shift]),
            TcpOption::SackPermitted => bytes.extend([4, 2]),
            TcpOption::Sack(ranges) => {
                bytes.extend([5, 2 + 8 * ranges.len() as u8]);
                for number in ranges.iter().flat_map(|(from, to)| [from, to]) {
                    bytes.extend(number.wrapping_add(flow.ours.unwrap_or(0)).to_be_bytes());
                }
            }
            TcpOption::Stamps(value, echo) => {
                bytes.extend([8, 10]);
                bytes.extend(value.to_be_bytes());
                let counted = echo.wrapping_add(flow.clock.unwrap_or(0));
                let known = flow.clocks.get(echo).copied().unwrap_or(counted);
                let echo = if *echo == 0 { 0 } else { known };
                bytes.extend(echo.to_be_bytes());
            }
            TcpOption::Other(kind, content) => {
                bytes.extend([*kind, 2 + content.len() as u8]);
                bytes.extend(content);
            }
        }
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What the component sent, in the script's numbers. `expected` is what the script expects
/// there: the first SYN and the first timestamp decide what the numbers count from.
pub fn decode(
    sent: &Sent,
    expected: &Segment,
    ends: Ends,
    flow: &mut Flow,
) -> Result<Segment, String> {
    let bytes = &sent.bytes;
    let sum = Checksum::new().pseudo(ends.local, ends.remote, 6, bytes.len() as u16).add(bytes);
    if bytes.len() < 20 || !sum.is_valid() {
        return Err("a segment whose checksum is wrong".to_owned());
    }
    let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let long = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|it| bytes[at + it]));
    let (flags, header) = (bytes[13], usize::from(bytes[12] >> 4) * 4);
    let options = bytes.get(20..header).ok_or("a segment whose header does not fit")?;
    if flags & SYN != 0 {
        flow.ours = Some(long(4).wrapping_sub(expected.sequence));
        flow.our_first = expected.sequence.wrapping_add(1);
    }
    // Who answers for nobody takes over the numbers of what it answers.
    let ours = flow.ours.unwrap_or(0);
    let payload = &bytes[header..];
    let sequence = long(4).wrapping_sub(ours);
    let first = sequence.wrapping_sub(flow.our_first);
    let right = payload.iter().enumerate();
    for (at, &got) in right {
        let position = first.wrapping_add(at as u32);
        if got != byte(true, position) {
            return Err(format!("a segment whose byte at {position} of the stream is wrong"));
        }
    }
    Ok(Segment {
        ports: Some((short(0), short(2))),
        mark: Some(sent.class & 3),
        flags,
        sequence,
        length: payload.len() as u32,
        acknowledgement: (flags & ACK != 0).then(|| long(8).wrapping_sub(THEIR_FIRST)),
        window: Some(short(14)),
        options: Some(decode_options(options, expected, flow)?),
    })
}

fn decode_options(
    mut rest: &[u8],
    expected: &Segment,
    flow: &mut Flow,
) -> Result<Vec<TcpOption>, String> {
    let mut options = Vec::new();
    while let [kind, after @ ..] = rest {
        let length = match kind {
            0 | 1 => 1,
            _ => usize::from(*after.first().unwrap_or(&0)),
        };
        if length == 0 || length > rest.len() {
            return Err("a segment with an option that does not fit".to_owned());
        }
        let (option, more) = rest.split_at(length);
        rest = more;
        let long = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|it| option[at + it]));
        options.push(match (kind, length) {
            (0, _) => TcpOption::End,
            (1, _) => TcpOption::Nop,
            (2, 4) => TcpOption::Mss(u16::from_be_bytes([option[2], option[3]])),
            (3, 3) => TcpOption::Scale(option[2]),
            (4, 2) => TcpOption::SackPermitted,
            (5, 10 | 18 | 26 | 34) => TcpOption::Sack(
                (2..length)
                    .step_by(8)
                    .map(|at| [long(at), long(at + 4)].map(|it| it.wrapping_sub(THEIR_FIRST)))
                    .map(|[from, to]| (from, to))
                    .collect(),
            ),
            (8, 10) => {
                let value = stamp_of(expected).unwrap_or(0);
                let clock = *flow.clock.get_or_insert(long(2).wrapping_sub(value));
                if stamp_of(expected).is_some() {
                    flow.clocks.insert(value, long(2));
                }
                TcpOption::Stamps(long(2).wrapping_sub(clock), long(6))
            }
            _ => TcpOption::Other(*kind, option[2..].to_vec()),
        });
    }
    Ok(options)
}

fn stamp_of(segment: &Segment) -> Option<u32> {
    segment.options.iter().flatten().find_map(|option| match option {
        TcpOption::Stamps(value, _) => Some(*value),
        _ => None,
    })
}

/// The first thing in which `sent` is not as `expected`.
pub fn difference(expected: &Segment, sent: &Segment) -> Option<&'static str> {
    let says = |it: bool, what| if it { None } else { Some(what) };
    says(expected.ports.is_none() || expected.ports == sent.ports, "the ports")
        .or(says(expected.mark.is_none() || expected.mark == sent.mark, "the mark"))
        .or(says(expected.flags == sent.flags, "the control bits"))
        .or(says(expected.sequence == sent.sequence, "the sequence number"))
        .or(says(expected.length == sent.length, "the length"))
        .or(says(expected.acknowledgement == sent.acknowledgement, "the acknowledgement"))
        .or(says(expected.window.is_none() || expected.window == sent.window, "the window"))
        .or(says(expected.options.is_none() || expected.options == sent.options, "the options"))
}

/// A segment as a script writes it.
pub fn show(segment: &Segment) -> String {
    let mut text = String::new();
    let mark = segment.mark.and_then(|mark| ["", "[ect1] ", "[ect0] ", "[ce] "].get(mark as usize));
    text.push_str(mark.copied().unwrap_or_default());
    // Of two bits in an order of their own: as scripts usually have them.
    let order = ['S', 'F', 'R', 'P', 'U', 'E', 'W', '.'];
    let bit = |letter| FLAGS.iter().find(|(it, _)| *it == letter).map_or(0, |(_, bit)| *bit);
    let letters: String = order.into_iter().filter(|it| segment.flags & bit(*it) != 0).collect();
    text.push_str(if letters.is_empty() { "-" } else { &letters });
    let (from, length) = (segment.sequence, segment.length);
    let _ = write!(text, " {from}:{}({length})", from.wrapping_add(length));
    if let Some(acknowledgement) = segment.acknowledgement {
        let _ = write!(text, " ack {acknowledgement}");
    }
    if let Some(window) = segment.window {
        let _ = write!(text, " win {window}");
    }
    match segment.options.as_deref() {
        None => text.push_str(" <...>"),
        Some([]) => {}
        Some(options) => {
            let words: Vec<String> = options.iter().map(show_option).collect();
            let _ = write!(text, " <{}>", words.join(","));
        }
    }
    text
}

fn show_option(option: &TcpOption) -> String {
    match option {
        TcpOption::Nop => "nop".to_owned(),
        TcpOption::End => "eol".to_owned(),
        TcpOption::Mss(mss) => format!("mss {mss}"),
        TcpOption::Scale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".to_owned(),
        TcpOption::Sack(ranges) => {
            let words: Vec<String> = ranges.iter().map(|(a, b)| format!(" {a}:{b}")).collect();
            format!("sack{}", words.concat())
        }
        TcpOption::Stamps(value, echo) => format!("TS val {value} ecr {echo}"),
        TcpOption::Other(kind, bytes) => {
            let words: Vec<String> = bytes.iter().map(|it| format!(" {it:#04x}")).collect();
            format!("kind {kind}{}", words.concat())
        }
    }
}
