//! The chunked coding: decoded in place, and what is put around what is sent (RFC 9112, section
//! 7.1).

use core::ops::Range;

/// What is known of a chunked body so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoder {
    state: State,
    /// Bytes that the current chunk still has, or what was read of its size.
    size: u64,
    /// Digits of the size that were read.
    digits: u8,
    /// Bytes around chunks beyond what their data justifies.
    excess: u32,
    /// Bytes of trailer fields.
    trailer: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Size,
    /// White space behind the size: only an extension may follow.
    Space,
    Extension,
    Quoted,
    Escaped,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer field, or of the last line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

/// What one call did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of data, which now stand in front.
    pub data: usize,
    /// Where the lines of trailer fields stand, as far as they are among these bytes. Decoding
    /// leaves them where they are.
    pub trailers: Range<usize>,
    /// Bytes that were used up. Less than all only behind the end.
    pub used: usize,
    /// Whether the body is complete.
    pub done: bool,
}

/// The body breaks a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a body.
    pub const fn new() -> Self {
        Self { state: State::Size, size: 0, digits: 0, excess: 0, trailer: 0 }
    }

    /// Moves the data in `bytes` to the front, and drops what is around it.
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Progress, Malformed> {
        let (mut data, mut used) = (0, 0);
        let mut trailers = 0..0;
        while used < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                let left = bytes.len() - used;
                let count = usize::try_from(self.size).map_or(left, |size| size.min(left));
                bytes.copy_within(used..used + count, data);
                data += count;
                used += count;
                self.size -= count as u64;
                if self.size == 0 {
                    self.state = State::DataCr;
                }
            } else {
                let byte = bytes.get(used).copied().ok_or(Malformed)?;
                let before = self.state;
                self.state = self.step(byte)?;
                use State::{Trailer, TrailerLf, TrailerName, TrailerValue};
                let ends_line = (before, self.state) == (TrailerLf, Trailer);
                if ends_line || matches!(self.state, TrailerName | TrailerValue | TrailerLf) {
                    let start = if trailers.is_empty() { used } else { trailers.start };
                    trailers = start..used + 1;
                }
                used += 1;
            }
        }
        Ok(Progress { data, trailers, used, done: self.state == State::Done })
    }

    /// The state after `byte`, which is no data.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        match (self.state, byte) {
            (State::Size, _) => self.step_size(byte),
            (State::Space, b' ' | b'\t') => self.count(State::Space),
            (State::Space | State::Extension, b';') => self.count(State::Extension),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, b'"') => self.count(State::Quoted),
            (State::Quoted, b'"') => self.count(State::Extension),
            (State::Quoted, b'\\') => self.count(State::Escaped),
            (State::Extension | State::Quoted, _) if is_text(byte) => self.count(self.state),
            (State::Escaped, _) if is_text(byte) => self.count(State::Quoted),
            (State::SizeLf, b'\n') => Ok(self.begin()),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::Trailer, b'\r') => Ok(State::LastLf),
            (State::Trailer | State::TrailerName, _) if crate::http::TOKEN[usize::from(byte)] => {
                self.count_trailer(State::TrailerName)
            }
            (State::TrailerName, b':') => self.count_trailer(State::TrailerValue),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_text(byte) => self.count_trailer(State::TrailerValue),
            (State::TrailerLf, b'\n') => Ok(State::Trailer),
            (State::LastLf, b'\n') => Ok(State::Done),
            _ => Err(Malformed),
        }
    }

    fn step_size(&mut self, byte: u8) -> Result<State, Malformed> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if self.digits == DIGITS {
                return Err(Malformed);
            }
            self.digits += 1;
            self.size = self.size << 4 | u64::from(digit);
            return Ok(State::Size);
        }
        match byte {
            _ if self.digits == 0 => Err(Malformed),
            b'\r' => Ok(State::SizeLf),
            b';' => self.count(State::Extension),
            b' ' | b'\t' => self.count(State::Space),
            _ => Err(Malformed),
        }
    }

    /// The size's line is complete.
    fn begin(&mut self) -> State {
        // Small chunks with long extensions would make us work for nothing.
        let earned = u32::try_from(self.size).unwrap_or(u32::MAX).saturating_mul(2);
        self.excess = self.excess.saturating_sub(earned.saturating_add(FREE));
        self.digits = 0;
        if self.size == 0 { State::Trailer } else { State::Data }
    }

    fn count(&mut self, state: State) -> Result<State, Malformed> {
        self.excess += 1;
        if self.excess > EXCESS { Err(Malformed) } else { Ok(state) }
    }

    fn count_trailer(&mut self, state: State) -> Result<State, Malformed> {
        self.trailer += 1;
        if self.trailer > TRAILER { Err(Malformed) } else { Ok(state) }
    }
}

/// What stands before a chunk of `length` bytes: the line break behind the chunk before, unless
/// this is the first, and the size in hexadecimal.
#[derive(Clone, Copy, Debug)]
pub struct ChunkFrame {
    bytes: [u8; 20],
    start: usize,
}

impl ChunkFrame {
    /// For a chunk of `length` bytes, the `first` one or another.
    #[inline]
    pub fn new(mut length: usize, first: bool) -> Self {
        let mut bytes = *b"                  \r\n";
        let mut start = 18;
        loop {
            start -= 1;
            bytes[start] = HEX[length & 15];
            length >>= 4;
            if length == 0 {
                break;
            }
        }
        if !first {
            bytes[start - 2..start].copy_from_slice(b"\r\n");
            start -= 2;
        }
        Self { bytes, start }
    }

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or(&[])
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What ends a chunked body: the last line break, unless there was no chunk, a chunk of nothing,
/// and the empty line, unless there are trailer fields before that.
pub fn last_chunk(first: bool, trailed: bool) -> &'static [u8] {
    match (first, trailed) {
        (true, false) => b"0\r\n\r\n",
        (false, false) => b"\r\n0\r\n\r\n",
        (true, true) => b"0\r\n",
        (false, true) => b"\r\n0\r\n",
    }
}

fn is_text(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// Digits of a size, leading zeros included: what 64 bits have.
const DIGITS: u8 = 16;

/// Bytes of extensions that the data has not earned: two for each byte, and `FREE` for each chunk.
const EXCESS: u32 = 4096;
const FREE: u32 = 16;

/// Bytes of trailer fields.
const TRAILER: u32 = 4096;
