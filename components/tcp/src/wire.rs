//! The wire format (RFC 9293 section 3.1): segments as bytes, and what they mean.

use crate::seq::Seq;

/// Where the fields of the fixed header are.
pub mod field {
    use core::ops::Range;
    /// The checksum's position, which offloading devices must know.
    pub const CHECKSUM: Range<usize> = 16..18;
    /// The fixed header.
    pub const HEADER: usize = 20;
}

/// Control bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// Congestion was marked (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// The congestion window was reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Whether one of the bits of `other` is set.
    #[inline]
    pub fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A timestamps option (RFC 7323 section 3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamps {
    /// The sender's clock.
    pub value: u32,
    /// The receiver's clock, as the sender saw it last.
    pub echo: u32,
}

/// A range of sequence numbers, the last one excluded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// The first number.
    pub from: Seq,
    /// The number behind the last.
    pub to: Seq,
}

/// The most ranges that one segment can report (RFC 2018 section 3).
pub const RANGES_MAX: usize = 4;

/// The options that this component knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The maximum segment size; 0 when the option is absent.
    pub mss: u16,
    /// The window's scale (RFC 7323 section 2.2).
    pub scale: Option<u8>,
    /// Whether selective acknowledgements are understood (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// The timestamps.
    pub stamps: Option<Stamps>,
    /// Where in the segment the received ranges stand; 0 when it reports none. Not written.
    pub sacks: u8,
}

/// A segment's header, parsed. Having one proves that the header lies inside the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// The first sequence number.
    pub seq: Seq,
    /// The acknowledgement number. Counts only with [`Flags::ACK`].
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window, not scaled.
    pub window: u16,
    /// Bytes of header, options included: 20 to 60.
    pub header: usize,
    /// Bytes of payload.
    pub payload: u32,
    /// The options.
    pub options: Options,
}

/// Why bytes are no segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Shorter than the fixed header.
    Short,
    /// The data offset is less than 5 words, or points behind the end.
    Offset,
    /// An option has an illegal length.
    Option,
}

impl Segment {
    /// Parses a segment. The checksum is not looked at.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let head = bytes.first_chunk::<{ field::HEADER }>().ok_or(Malformed::Short)?;
        let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, ..] = *head;
        let header = usize::from(offset >> 4) * 4;
        let options = bytes.get(field::HEADER..header).ok_or(Malformed::Offset)?;
        Ok(Self {
            source: u16::from_be_bytes([s0, s1]),
            destination: u16::from_be_bytes([d0, d1]),
            seq: Seq(u32::from_be_bytes([q0, q1, q2, q3])),
            ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
            flags: Flags(flags),
            window: u16::from_be_bytes([w0, w1]),
            header,
            payload: (bytes.len() - header) as u32,
            options: Options::parse(options)?,
        })
    }

    /// The same in a place of its own, for who is called seldom: what nobody has the address of
    /// stays in registers.
    #[inline(always)]
    pub fn apart(&self) -> Self {
        *self
    }

    /// How much of the sequence space it takes: payload, SYN and FIN.
    #[inline]
    pub fn len(&self) -> u32 {
        let control = u32::from(self.flags.any(Flags::SYN)) + u32::from(self.flags.any(Flags::FIN));
        self.payload.wrapping_add(control)
    }

    /// The header as bytes with the checksum field zero. Timestamps are the only option.
    #[inline]
    pub fn header_stamped(&self, stamps: Stamps) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..20].copy_from_slice(&self.fixed(32));
        bytes[20..24].copy_from_slice(&STAMPS_ALIGNED);
        bytes[24..28].copy_from_slice(&stamps.value.to_be_bytes());
        bytes[28..].copy_from_slice(&stamps.echo.to_be_bytes());
        bytes
    }

    /// The header as bytes with the checksum field zero, without options.
    #[inline]
    pub fn header_plain(&self) -> [u8; 20] {
        self.fixed(20)
    }

    /// The header as bytes with all of [`options`](Self::options), the checksum field zero, and
    /// how many of the bytes there are.
    //= RFC 9293 3.1 MUST-69: options are aligned by no-operations, so nothing is padded
    pub fn header_full(&self) -> ([u8; 60], usize) {
        let mut bytes = [0; 60];
        let mut at = field::HEADER;
        let mut put = |option: &[u8]| {
            if let Some(room) = bytes.get_mut(at..at + option.len()) {
                room.copy_from_slice(option);
                at += option.len();
            }
        };
        let Options { mss, scale, sack_permitted, stamps, .. } = self.options;
        if mss != 0 {
            let [high, low] = mss.to_be_bytes();
            put(&[MSS, 4, high, low]);
        }
        if let Some(Stamps { value, echo }) = stamps {
            put(&if sack_permitted { [SACK_PERMITTED, 2, STAMPS, 10] } else { STAMPS_ALIGNED });
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        } else if sack_permitted {
            put(&[NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(scale) = scale {
            put(&[NOP, SCALE, 3, scale]);
        }
        let fixed = self.fixed(at);
        bytes[..field::HEADER].copy_from_slice(&fixed);
        (bytes, at)
    }

    /// The header as bytes with timestamps and what was received out of order: at most three
    /// ranges, or four without timestamps. The checksum field is zero.
    //= RFC 2018 3: each block is the first sequence number of a range and the one behind it
    pub fn header_sacks(&self, stamps: Option<Stamps>, ranges: &[Range]) -> ([u8; 60], usize) {
        let options = Options { stamps, ..Options::default() };
        let (mut bytes, mut at) = Self { options, ..*self }.header_full();
        let most = (bytes.len() - at - 4) / 8;
        let ranges = ranges.get(..most).unwrap_or(ranges);
        let mut put = |option: [u8; 4]| {
            if let Some(room) = bytes.get_mut(at..at + 4) {
                room.copy_from_slice(&option);
                at += 4;
            }
        };
        put([NOP, NOP, SACK, 2 + 8 * ranges.len() as u8]);
        for range in ranges {
            put(range.from.0.to_be_bytes());
            put(range.to.0.to_be_bytes());
        }
        let fixed = self.fixed(at);
        bytes[..field::HEADER].copy_from_slice(&fixed);
        (bytes, at)
    }

    /// The ranges that the other side reports; `bytes` are the segment's, which was parsed.
    pub fn ranges(&self, bytes: &[u8]) -> heapless::Vec<Range, RANGES_MAX> {
        let at = usize::from(self.options.sacks);
        let length = bytes.get(at + 1).map_or(0, |&length| usize::from(length));
        let blocks = bytes.get(at + 2..at + length).unwrap_or_default();
        let number = |bytes: [u8; 4]| Seq(u32::from_be_bytes(bytes));
        let (blocks, _) = blocks.as_chunks::<8>();
        let range = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| Range {
            from: number([a, b, c, d]),
            to: number([e, f, g, h]),
        };
        blocks.iter().take(if at == 0 { 0 } else { RANGES_MAX }).map(range).collect()
    }

    #[inline]
    fn fixed(&self, header: usize) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..2].copy_from_slice(&self.source.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.destination.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        bytes[12] = (header as u8 / 4) << 4;
        bytes[13] = self.flags.0;
        bytes[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes
    }
}

impl Options {
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        // What nearly every segment carries, and nothing else.
        if let Some(&[1, 1, STAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3]) = bytes.as_array::<12>() {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            let echo = u32::from_be_bytes([e0, e1, e2, e3]);
            return Ok(Self { stamps: Some(Stamps { value, echo }), ..Self::default() });
        }
        Self::parse_list(bytes)
    }

    /// Options in any order, at any alignment.
    //= RFC 9293 3.1 MUST-4, MUST-5, MUST-6, MUST-64: unknown options are skipped by length
    #[cold]
    fn parse_list(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        let end = field::HEADER + bytes.len();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind == END {
                break;
            }
            if kind == NOP {
                bytes = rest;
                continue;
            }
            //= RFC 9293 3.1 MUST-7: an illegal length is survived; the segment is dropped
            //= RFC 9293 3.1 MUST-68: all but these two have a length
            let length = usize::from(*rest.first().ok_or(Malformed::Option)?);
            if length < 2 {
                return Err(Malformed::Option);
            }
            let value = bytes.get(2..length).ok_or(Malformed::Option)?;
            match (kind, value) {
                (MSS, &[high, low]) => options.mss = u16::from_be_bytes([high, low]),
                (SCALE, &[scale]) => options.scale = Some(scale),
                (SACK_PERMITTED, &[]) => options.sack_permitted = true,
                (STAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => {
                    let value = u32::from_be_bytes([v0, v1, v2, v3]);
                    let echo = u32::from_be_bytes([e0, e1, e2, e3]);
                    options.stamps = Some(Stamps { value, echo });
                }
                //= RFC 2018 3: blocks of eight bytes each, at most four
                (SACK, blocks) if !blocks.is_empty() && blocks.len() % 8 == 0 => {
                    options.sacks = (end - bytes.len()) as u8;
                }
                _ => {}
            }
            bytes = bytes.get(length..).unwrap_or_default();
        }
        Ok(options)
    }
}

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const STAMPS: u8 = 8;
const STAMPS_ALIGNED: [u8; 4] = [NOP, NOP, STAMPS, 10];

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: Segment = Segment {
        source: 40_000,
        destination: 80,
        seq: Seq(0x0102_0304),
        ack: Seq(0),
        flags: Flags::SYN,
        window: 0xfaf0,
        header: 40,
        payload: 0,
        options: Options {
            mss: 1460,
            scale: Some(7),
            sack_permitted: true,
            stamps: Some(Stamps { value: 9, echo: 0 }),
            sacks: 0,
        },
    };

    #[test]
    fn every_header_reads_back() {
        let (bytes, length) = SYN.header_full();
        assert_eq!(Segment::parse(&bytes[..length]), Ok(SYN));
        for options in [
            Options { stamps: None, ..SYN.options },
            Options { sack_permitted: false, ..SYN.options },
            Options { scale: None, stamps: None, ..SYN.options },
            Options::default(),
        ] {
            let (bytes, length) = Segment { options, ..SYN }.header_full();
            let segment = Segment::parse(&bytes[..length]).unwrap();
            assert_eq!((segment.options, segment.header), (options, length));
        }
        let stamps = Stamps { value: 1, echo: 2 };
        let segment = Segment::parse(&SYN.header_stamped(stamps)).unwrap();
        assert_eq!((segment.options.stamps, segment.header), (Some(stamps), 32));
        assert_eq!(Segment::parse(&SYN.header_plain()).unwrap().options, Options::default());
    }

    fn with_options(options: &[u8]) -> Result<Segment, Malformed> {
        let mut bytes = [0u8; 60];
        let header = 20 + options.len().next_multiple_of(4);
        bytes[..20].copy_from_slice(&SYN.fixed(header));
        bytes[20..20 + options.len()].copy_from_slice(options);
        Segment::parse(&bytes[..header])
    }

    #[test]
    fn unknown_options_are_skipped_and_illegal_lengths_refused() {
        let segment = with_options(&[254, 5, 1, 2, 3, 1, 2, 4, 5, 180, 0, 99]).unwrap();
        assert_eq!(segment.options.mss, 1460);
        assert_eq!(with_options(&[254, 0, 0, 0]), Err(Malformed::Option));
        assert_eq!(with_options(&[254, 1, 0, 0]), Err(Malformed::Option));
        assert_eq!(with_options(&[254, 9, 0, 0]), Err(Malformed::Option));
        assert_eq!(with_options(&[1, 1, 1, 254]), Err(Malformed::Option));
        let wrong = with_options(&[2, 3, 5, 3, 4, 7, 7, 1]).unwrap();
        assert_eq!(wrong.options, Options::default(), "known options of wrong length are ignored");
    }

    #[test]
    fn as_many_ranges_are_reported_as_fit() {
        let ranges: [Range; 4] =
            core::array::from_fn(|i| Range { from: Seq(i as u32), to: Seq(9) });
        for (stamps, count, fit) in [(None, 4, 4), (None, 1, 1), (Some(Stamps::default()), 4, 3)] {
            let (bytes, length) = SYN.header_sacks(stamps, &ranges[..count]);
            assert_eq!(Segment::parse(&bytes[..length]).unwrap().options.stamps, stamps);
            let segment = Segment::parse(&bytes[..length]).unwrap();
            assert_eq!(segment.ranges(&bytes), ranges[..fit]);
        }
    }

    #[test]
    fn truncated_and_overlong_headers_are_refused() {
        let bytes = SYN.header_plain();
        assert_eq!(Segment::parse(&bytes[..19]), Err(Malformed::Short));
        for offset in [0x00, 0x40, 0x60, 0xf0] {
            let mut bytes = bytes;
            bytes[12] = offset;
            assert_eq!(Segment::parse(&bytes), Err(Malformed::Offset), "{offset:#x}");
        }
    }

    #[test]
    fn syn_and_fin_take_a_sequence_number_each() {
        let flags = Flags::SYN.and(Flags::FIN);
        assert_eq!(Segment { payload: 5, flags, ..SYN }.len(), 7);
    }
}
