//! The head of an answer: from bytes to a layout, in one pass (RFC 9112, sections 4 to 6).
//!
//! As strict as the heads of requests are read, but for what the RFC asks of clients: a line that
//! goes on in the next one is put together, white space in front of a colon is none, and a length
//! that is said twice is one. And for what servers do: the space behind a status may be missing
//! with the words.

use super::Malformed;
use crate::http::fields::FRAMING;
use crate::http::wire::scan::{find_control, token_length};
use crate::http::wire::{Codings, Framing, Options, chunked::Decoder, length};
use crate::http::{Span, Status, Version};

/// A head that is complete and keeps the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parsed {
    pub status: Status,
    pub version: Version,
    pub reason: Span,
    pub fields: Span,
    /// Bytes of the head, with the empty line.
    pub length: usize,
    /// How the body ends, of an answer that has one.
    pub body: Framing,
    /// Whether the connection may be used for another request.
    pub keep_alive: bool,
}

/// How long a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// All of it, in bytes.
    pub head: u16,
    /// Fields.
    pub fields: u16,
}

/// Parses the head that `bytes` begin with. `None` when it is not complete.
pub(super) fn parse(bytes: &mut [u8], limits: &Limits) -> Result<Option<Parsed>, Malformed> {
    let limit = usize::from(limits.head);
    let enough = bytes.len() >= limit;
    let window = bytes.get_mut(..limit.min(bytes.len())).unwrap_or_default();
    match parse_window(window, limits) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(Stop::Broken(why)) => Err(why),
        Err(Stop::More) if enough => Err(Malformed::HeadTooLong(limits.head)),
        Err(Stop::More) => Ok(None),
    }
}

/// Why parsing stopped before the end of the head.
enum Stop {
    Broken(Malformed),
    More,
}

impl From<Malformed> for Stop {
    fn from(why: Malformed) -> Self {
        Self::Broken(why)
    }
}

fn parse_window(window: &mut [u8], limits: &Limits) -> Result<Parsed, Stop> {
    let line = parse_line(window)?;
    let mut fields = Fields::default();
    let mut count = 0_u16;
    let mut at = line.end;
    loop {
        match window.get(at..).unwrap_or(&[]) {
            [b'\r', b'\n', ..] => break,
            [] | [b'\r'] => return Err(Stop::More),
            _ => {}
        }
        let end = parse_field(window, at, &mut fields)?;
        count += 1;
        if count > limits.fields {
            return Err(Malformed::TooManyFields(limits.fields).into());
        }
        at = end;
    }
    let keep_alive = match line.version {
        Version::Http11 => !fields.options.close,
        _ => fields.options.keep_alive && !fields.options.close,
    };
    let (body, clear) = fields.body(&line)?;
    Ok(Parsed {
        status: line.status,
        version: line.version,
        reason: line.reason,
        fields: Span::new(line.end, at),
        length: at + 2,
        body,
        keep_alive: keep_alive && clear,
    })
}

/// The status line.
struct Line {
    version: Version,
    status: Status,
    reason: Span,
    /// Behind its line break.
    end: usize,
}

/// `HTTP-version SP status-code SP [ reason-phrase ] CRLF`
fn parse_line(window: &[u8]) -> Result<Line, Stop> {
    let shape = window.iter().zip(SHAPE).position(|(&byte, &shape)| match shape {
        b'0' => !byte.is_ascii_digit(),
        b'9' => !matches!(byte, b'1'..=b'9'),
        _ => byte != shape,
    });
    match shape {
        Some(0..5) => return Err(Malformed::NotHttp(part(window, 0)).into()),
        Some(5..9) => return Err(Malformed::Version(part(window, 5)).into()),
        Some(_) => return Err(Malformed::Status(part(window, 9)).into()),
        None => {}
    }
    let digits = window.get(9..12).ok_or(Stop::More)?;
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    let behind = window.get(12..).unwrap_or(&[]);
    let reason = match behind {
        [] => return Err(Stop::More),
        // Some servers leave the space out with the words.
        [b'\r', ..] => 0,
        [b' ', reason @ ..] => 1 + find_control(reason),
        [byte, ..] => return Err(Malformed::StatusLine(*byte).into()),
    };
    match behind.get(reason..).unwrap_or(&[]) {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] => return Err(Stop::More),
        [b'\r', byte, ..] | [byte, ..] => return Err(Malformed::StatusLine(*byte).into()),
    }
    Ok(Line {
        // A higher minor version is understood as our own.
        version: if window.get(7) == Some(&b'0') { Version::Http10 } else { Version::Http11 },
        status: Status::new(code),
        reason: Span::new(12 + reason.min(1), 12 + reason),
        end: 12 + reason + 2,
    })
}

/// Some bytes of the window for a message, with zeroes for those that are not there.
fn part<const N: usize>(window: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    for (room, byte) in part.iter_mut().zip(window.get(at..).unwrap_or(&[])) {
        *room = *byte;
    }
    part
}

/// The field line at the place `at`: where the next one begins.
fn parse_field(window: &mut [u8], at: usize, fields: &mut Fields) -> Result<usize, Stop> {
    let bad = |at: usize, byte: u8| {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        Stop::Broken(Malformed::Field { byte, at })
    };
    let rest = window.get(at..).unwrap_or(&[]);
    let (name, behind) = rest.split_at(token_length(rest).min(rest.len()));
    let colon = behind.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    // What it would frame is not to be guessed: others may have read it in another way.
    let frames = || FRAMING.iter().any(|it| name.eq_ignore_ascii_case(it.as_bytes()));
    match (colon.and_then(|colon| behind.get(colon)), behind.first()) {
        // A token and its colon: no empty name.
        (Some(b':'), _) if !name.is_empty() && (colon == Some(0) || !frames()) => {}
        (None, _) | (_, None) => return Err(Stop::More),
        (_, Some(byte)) => return Err(bad(at + name.len(), *byte)),
    }
    let name_end = at + name.len();
    if let Some(white @ 1..) = colon
        && let [first, .., last] = window.get_mut(name_end..=name_end + white).unwrap_or_default()
    {
        //= RFC 9112 5.1: white space in front of the colon goes no further
        (*first, *last) = (b':', b' ');
    }
    let start = name_end + 1;
    let mut end = start;
    loop {
        end += find_control(window.get(end..).unwrap_or(&[]));
        match window.get_mut(end..).unwrap_or(&mut []) {
            //= RFC 9112 5.2: a folded line is one line, with spaces for the break
            [cr @ b'\r', lf @ b'\n', b' ' | b'\t', ..] => (*cr, *lf) = (b' ', b' '),
            [b'\r', b'\n', _, ..] => break,
            [] | [b'\r'] | [b'\r', b'\n'] => return Err(Stop::More),
            //= RFC 9112 2.2: a CR without an LF, and an LF without a CR, are none of a line's ends
            [b'\r', byte, ..] => return Err(bad(end + 1, *byte)),
            [byte, ..] => return Err(bad(end, *byte)),
        }
    }
    let (name, value) = (window.get(at..start - 1), window.get(start..end));
    fields.note(name.unwrap_or(&[]), value.unwrap_or(&[]))?;
    Ok(end + 2)
}

/// What the fields say that matters here.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    codings: Option<Codings>,
    options: Options,
}

impl Fields {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => self.options.add(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.note_length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.note_coding(value)?,
            _ => {}
        }
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        match self.codings.get_or_insert_default().add(value) {
            true => Ok(()),
            false => Err(Malformed::Coding),
        }
    }

    /// A number, or several that are the same.
    fn note_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        for item in value.split(|&byte| byte == b',') {
            let said = length(item).ok_or(Malformed::Length)?;
            match self.length {
                //= RFC 9112 6.3: unless all values are the same
                Some(before) if before != said => return Err(Malformed::Lengths(before, said)),
                _ => self.length = Some(said),
            }
        }
        Ok(())
    }

    /// How the body ends, of an answer that has one (RFC 9112, section 6.3), with every ambiguity
    /// refused; and whether a further answer may follow.
    fn body(&self, line: &Line) -> Result<(Framing, bool), Malformed> {
        if let Some(codings) = self.codings {
            if line.version == Version::Http10 {
                return Err(Malformed::OldCoding);
            }
            //= RFC 9112 6.3: both of them ought to be handled as an error
            if self.length.is_some() {
                return Err(Malformed::LengthAndCoding);
            }
            if codings.unknown || !codings.chunked {
                return Err(Malformed::Coding);
            }
        }
        //= RFC 9112 6.3: these end with the empty line, whatever their fields say
        if matches!(line.status.code(), 100..200 | 204 | 304) {
            // What they must not say is not to be believed of what follows, either.
            let framed = self.codings.is_some() || self.length.is_some_and(|length| length > 0);
            return Ok((Framing::Done, !framed || line.status == Status::NOT_MODIFIED));
        }
        Ok(match (self.codings, self.length) {
            (Some(_), _) => (Framing::Chunked(Decoder::new()), true),
            (None, Some(0)) => (Framing::Done, true),
            (None, Some(length)) => (Framing::Length(length), true),
            //= RFC 9112 6.3: whatever comes before the connection is closed
            (None, None) => (Framing::UntilEnd, true),
        })
    }
}

/// The shape of a status line; `0` stands for a digit, and `9` for the first one of a status.
const SHAPE: &[u8; 12] = b"HTTP/1.0 900";
