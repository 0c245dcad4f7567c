//! The head of a request: from bytes to a layout, in one pass (RFC 9112, sections 2 to 6).
//!
//! Strict, because what two parsers read differently is how requests are smuggled: lines end in
//! CR LF and nothing else, the request line has single spaces, and framing that can be misread is
//! refused.
//!
//! What comes out depends on the bytes alone, not on how they were cut into packets: an error in
//! the first bytes of a head is the error of the whole head.

use waitless::http::wire::scan::{
    find_control, name_length, path_length, target_length, token_length,
};
use waitless::http::wire::{Codings, Options, is_host, length};
use waitless::http::{Layout, Length, Method, Span, Status, Version};

/// A head that is complete and keeps the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parsed {
    pub(crate) layout: Layout,
    /// Bytes of the head, with what stood before it and the empty line.
    pub(crate) length: usize,
    /// Whether the connection may be used for another request.
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
}

/// How long a head may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// All of it, in bytes; at most 65535.
    pub(crate) head: usize,
    /// The request line, in bytes.
    pub(crate) line: usize,
    /// Fields.
    pub(crate) fields: usize,
    /// Whether targets with a scheme come with `https`.
    pub(crate) secure: bool,
}

impl Limits {
    /// Whether it is worth parsing again, now that there are `after` bytes of a head instead of
    /// `before`. A long head that comes in small pieces is parsed once a line, so that the work
    /// for it stays within bounds.
    pub(crate) fn may_tell(&self, before: usize, after: usize, ends_line: bool) -> bool {
        let line_is_full = before <= self.line + 2 * EMPTY_LINES && after >= self.line;
        ends_line || before < SHORT || line_is_full || after >= self.head
    }
}

/// Parses the head that `bytes` begin with. `None` when it is not complete; the status to answer
/// with, before the connection is closed, when it breaks a rule.
#[inline(always)]
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<Parsed>, Status> {
    let window = bytes.get(..limits.head).unwrap_or(bytes);
    match parse_window(window, limits) {
        Err(Stop::Refused(status)) => Err(status),
        Err(Stop::More(too_long, limit)) if bytes.len() >= limit => Err(too_long),
        Err(Stop::More(..)) => Ok(None),
        Ok(parsed) => Ok(Some(parsed)),
    }
}

/// Why parsing stopped before the end of the head.
enum Stop {
    Refused(Status),
    /// The bytes are used up; the status for when there are as many as there may be, and how
    /// many that are.
    More(Status, usize),
}

const BAD: Stop = Stop::Refused(Status::BAD_REQUEST);

#[inline(always)]
fn parse_window(window: &[u8], limits: &Limits) -> Result<Parsed, Stop> {
    let start = skip_empty_lines(window, limits)?;
    let line = parse_line(window, start, limits)?;
    let mut fields = Fields::new(line.version);
    let mut at = line.end;
    let more = Stop::More(Status::REQUEST_HEADER_FIELDS_TOO_LARGE, limits.head);
    let end = loop {
        match window.get(at..).unwrap_or(&[]) {
            [b'\r', b'\n', ..] => break at,
            [] | [b'\r'] => return Err(more),
            [b'\r', ..] => return Err(BAD),
            rest => match fields.parse_field(rest, at, limits)? {
                Some(length) => at += length,
                None => return Err(more),
            },
        }
    };
    let body = fields.body_length()?;
    let target = parse_target(window, &line, limits)?;
    if line.version == Version::Http11 && fields.host.is_none() {
        return Err(BAD);
    }
    if line.version == Version::Http11 && fields.unknown_expectation {
        return Err(Stop::Refused(Status::EXPECTATION_FAILED));
    }
    let keep_alive = match line.version {
        Version::Http11 => !fields.options.close,
        _ => fields.options.keep_alive && !fields.options.close,
    };
    Ok(Parsed {
        layout: Layout {
            method: line.method,
            version: line.version,
            body,
            name: line.name,
            target: line.target,
            authority: target.authority.or(fields.host).unwrap_or_default(),
            path: target.path,
            query: target.query,
            fields: span(line.end, end),
            secure: limits.secure,
        },
        length: end + 2,
        keep_alive,
        expects_continue: line.version == Version::Http11
            && fields.expects_continue
            && body != Length::None,
    })
}

/// Whether `bytes` are nothing but empty lines that are forgiven, the last perhaps in part: no
/// head has begun.
#[cold]
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    const LINES: &[u8; 2 * EMPTY_LINES] = b"\r\n\r\n\r\n\r\n";
    LINES.starts_with(bytes)
}

/// Some clients end a body with a line break too many: a few of them are forgiven.
fn skip_empty_lines(window: &[u8], limits: &Limits) -> Result<usize, Stop> {
    let mut at = 0;
    loop {
        match window.get(at..).unwrap_or(&[]) {
            [b'\r', b'\n', ..] if at < 2 * EMPTY_LINES => at += 2,
            [] | [b'\r'] => return Err(Stop::More(Status::URI_TOO_LONG, limits.head)),
            [b'\r', ..] => return Err(BAD),
            _ => return Ok(at),
        }
    }
}

/// The request line.
struct Line {
    method: Method,
    name: Span,
    target: Span,
    /// Where the first question mark of the target stands; its end where there is none.
    path_end: usize,
    version: Version,
    /// Behind its line break.
    end: usize,
}

/// `method SP request-target SP HTTP-version CRLF`
#[inline(always)]
fn parse_line(window: &[u8], start: usize, limits: &Limits) -> Result<Line, Stop> {
    let limit = limits.head.min(start + limits.line);
    let line = window.get(..limit).unwrap_or(window);
    let more = || Stop::More(Status::URI_TOO_LONG, limit);
    let rest = line.get(start..).unwrap_or(&[]);
    let (method, name_end) = match rest {
        [b'G', b'E', b'T', b' ', ..] => (Method::Get, start + 3),
        _ => {
            let length = token_length(rest);
            match rest.get(length) {
                Some(b' ') if length > 0 => {}
                Some(_) => return Err(BAD),
                None => return Err(more()),
            }
            (Method::parse(rest.get(..length).unwrap_or(&[])), start + length)
        }
    };
    let target_start = name_end + 1;
    let rest = line.get(target_start..).unwrap_or(&[]);
    let path_length = path_length(rest);
    let target_length = match rest.get(path_length) {
        Some(b'?') => path_length + target_length(rest.get(path_length..).unwrap_or(&[])),
        _ => path_length,
    };
    let (path_end, target_end) = (target_start + path_length, target_start + target_length);
    match line.get(target_end) {
        Some(b' ') if target_length > 0 => {}
        Some(_) => return Err(BAD),
        None => return Err(more()),
    }
    let version_start = target_end + 1;
    let version = match parse_version(line.get(version_start..).unwrap_or(&[]))? {
        Some(version) => version,
        None => return Err(more()),
    };
    Ok(Line {
        method,
        name: span(start, name_end),
        target: span(target_start, target_end),
        path_end,
        version,
        end: version_start + VERSION.len(),
    })
}

/// `HTTP/`, a digit, a dot, a digit and the line break; `None` when bytes are missing.
#[inline]
fn parse_version(bytes: &[u8]) -> Result<Option<Version>, Stop> {
    if bytes.first_chunk() == Some(b"HTTP/1.1\r\n") {
        return Ok(Some(Version::Http11));
    }
    for (&byte, &shape) in bytes.iter().zip(VERSION) {
        let fits = if shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
        if !fits {
            return Err(BAD);
        }
    }
    match bytes {
        [_, _, _, _, _, b'1', _, b'0', _, _, ..] => Ok(Some(Version::Http10)),
        // A higher minor version is spoken to in our own.
        [_, _, _, _, _, b'1', _, _, _, _, ..] => Ok(Some(Version::Http11)),
        [_, _, _, _, _, _, _, _, _, _, ..] => {
            Err(Stop::Refused(Status::HTTP_VERSION_NOT_SUPPORTED))
        }
        _ => Ok(None),
    }
}

/// What a target says.
#[derive(Default)]
struct Target {
    authority: Option<Span>,
    path: Span,
    query: Option<Span>,
}

/// The four forms of a target (RFC 9112, section 3.2).
#[inline(always)]
fn parse_target(window: &[u8], line: &Line, limits: &Limits) -> Result<Target, Stop> {
    let (start, end) = (usize::from(line.target.start), usize::from(line.target.end));
    let target = window.get(start..end).unwrap_or(&[]);
    match target {
        [b'/', ..] if line.method != Method::Connect => Ok(split_query(start, line.path_end, end)),
        _ => parse_rare_target(target, line, limits),
    }
}

#[cold]
fn parse_rare_target(target: &[u8], line: &Line, limits: &Limits) -> Result<Target, Stop> {
    if line.method == Method::Connect {
        // The authority form. No tunnels here: well-formed or not, the answer is no.
        let has_port = target.iter().rposition(|&byte| byte == b':').is_some_and(|colon| {
            colon + 1 < target.len() && colon > 0 && target.get(colon - 1) != Some(&b':')
        });
        let well_formed = has_port && is_host(target);
        return Err(if well_formed { Stop::Refused(Status::NOT_IMPLEMENTED) } else { BAD });
    }
    match target {
        b"*" if line.method == Method::Options => {
            Ok(Target { path: line.target, ..Target::default() })
        }
        _ => parse_absolute(target, usize::from(line.target.start), limits),
    }
}

/// `http://host/path?query`: its authority counts, whatever `Host` says.
fn parse_absolute(target: &[u8], start: usize, limits: &Limits) -> Result<Target, Stop> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or(BAD)?;
    let (scheme, rest) = target.split_at(colon);
    let rest = rest.strip_prefix(b"://").ok_or(BAD)?;
    let secure = scheme.eq_ignore_ascii_case(b"https");
    if !secure && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(BAD);
    }
    let length = rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(length);
    if authority.is_empty() || !is_host(authority) {
        return Err(BAD);
    }
    if secure != limits.secure {
        return Err(Stop::Refused(Status::MISDIRECTED_REQUEST));
    }
    let authority_start = start + colon + 3;
    let path_start = authority_start + length;
    let end = path_start + behind.len();
    let mark = behind.iter().position(|&byte| byte == b'?');
    let target = split_query(path_start, mark.map_or(end, |mark| path_start + mark), end);
    Ok(Target { authority: Some(span(authority_start, path_start)), ..target })
}

#[inline]
fn split_query(start: usize, path_end: usize, end: usize) -> Target {
    let query = (path_end < end).then(|| span(path_end + 1, end));
    Target { path: span(start, path_end), query, authority: None }
}

/// What the fields say that matters here.
struct Fields {
    version: Version,
    count: usize,
    host: Option<Span>,
    length: Option<u64>,
    codings: Option<Codings>,
    options: Options,
    expects_continue: bool,
    unknown_expectation: bool,
}

impl Fields {
    fn new(version: Version) -> Self {
        Self {
            version,
            count: 0,
            host: None,
            length: None,
            codings: None,
            options: Options::default(),
            expects_continue: false,
            unknown_expectation: false,
        }
    }

    /// The field line that `rest`, at the place `at` of the head, begins with: its length with
    /// the line break; `None` when bytes are missing.
    #[inline(always)]
    fn parse_field(
        &mut self,
        rest: &[u8],
        at: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, Stop> {
        if let Some((host, length)) = plain_host(rest)
            && self.host.is_none()
        {
            self.count_field(limits)?;
            self.host = Some(span(at + HOST.len(), at + HOST.len() + host));
            return Ok(Some(length));
        }
        let name_length = token_length(rest);
        match rest.get(name_length) {
            // A token and its colon: no empty name, no white space, no folded line.
            Some(b':') if name_length > 0 => {}
            Some(_) => return Err(BAD),
            None => return Ok(None),
        }
        let value_start = name_length + 1;
        let behind = rest.get(value_start..).unwrap_or(&[]);
        let value_length = find_control(behind);
        match behind.get(value_length..).unwrap_or(&[]) {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(None),
            _ => return Err(BAD),
        }
        self.count_field(limits)?;
        let (name, value) = (rest.get(..name_length), behind.get(..value_length));
        self.note(name.unwrap_or(&[]), value.unwrap_or(&[]), at + value_start)?;
        Ok(Some(value_start + value_length + 2))
    }

    #[inline]
    fn count_field(&mut self, limits: &Limits) -> Result<(), Stop> {
        self.count += 1;
        match self.count > limits.fields {
            true => Err(Stop::Refused(Status::REQUEST_HEADER_FIELDS_TOO_LARGE)),
            false => Ok(()),
        }
    }

    /// Takes notice of a field. `value` stands at the place `at`, white space included.
    #[inline]
    fn note(&mut self, name: &[u8], value: &[u8], at: usize) -> Result<(), Stop> {
        // Told apart by length and first letter before all of the name is looked at.
        let first = name.first().map_or(0, |first| first | 0x20);
        match (name.len(), first) {
            (4, b'h') if name.eq_ignore_ascii_case(b"host") => self.note_host(value, at),
            (6, b'e') if name.eq_ignore_ascii_case(b"expect") => {
                let known = value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
                self.expects_continue |= known;
                self.unknown_expectation |= !known;
                Ok(())
            }
            (10, b'c') if name.eq_ignore_ascii_case(b"connection") => {
                self.options.add(value);
                Ok(())
            }
            (14, b'c') if name.eq_ignore_ascii_case(b"content-length") => self.note_length(value),
            (17, b't') if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.note_coding(value)
            }
            _ => Ok(()),
        }
    }

    /// Exactly one, and well-formed.
    fn note_host(&mut self, value: &[u8], at: usize) -> Result<(), Stop> {
        let front = value.len() - value.trim_ascii_start().len();
        let host = value.trim_ascii();
        if self.host.is_some() || !is_host(host) {
            return Err(BAD);
        }
        self.host = Some(span(at + front, at + front + host.len()));
        Ok(())
    }

    /// Exactly one.
    fn note_length(&mut self, value: &[u8]) -> Result<(), Stop> {
        if self.length.is_some() {
            return Err(BAD);
        }
        self.length = Some(length(value).ok_or(BAD)?);
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Stop> {
        let known = self.codings.get_or_insert_default().add(value);
        if known { Ok(()) } else { Err(BAD) }
    }

    /// The body's length (RFC 9112, section 6.3), with every ambiguity refused.
    fn body_length(&self) -> Result<Length, Stop> {
        if let Some(codings) = self.codings {
            let refused = self.version == Version::Http10 || self.length.is_some();
            if refused || !codings.chunked {
                return Err(BAD);
            }
            if codings.unknown {
                return Err(Stop::Refused(Status::NOT_IMPLEMENTED));
            }
            return Ok(Length::Unknown);
        }
        Ok(match self.length {
            Some(0) | None => Length::None,
            Some(length) => Length::Known(length),
        })
    }
}

/// The usual `Host` line, of a name or address without a port that nothing but one space stands
/// around: how long that is, and how long the line is. Says nothing of any other line.
#[inline]
fn plain_host(rest: &[u8]) -> Option<(usize, usize)> {
    let (name, behind) = rest.split_first_chunk::<{ HOST.len() }>()?;
    // As one number, in lower case; what is no letter stays what it is.
    let [h, o, s, t, colon, space] = *name;
    let number = u64::from_le_bytes([h, o, s, t, colon, space, 0, 0]) | 0x2020_2020;
    if number != HOST_NUMBER {
        return None;
    }
    let length = name_length(behind);
    match behind.get(length..)? {
        [b'\r', b'\n', ..] => Some((length, HOST.len() + length + 2)),
        _ => None,
    }
}

/// A range of a head, which has at most 65535 bytes.
#[inline]
fn span(start: usize, end: usize) -> Span {
    debug_assert!(start <= end && end <= usize::from(u16::MAX));
    Span { start: start as u16, end: end as u16 }
}

/// The name of `Host` and what usually stands behind it.
const HOST: &[u8; 6] = b"host: ";
const HOST_NUMBER: u64 = u64::from_le_bytes(*b"host: \0\0");

/// The shape of a version and its line break; `0` stands for a digit.
const VERSION: &[u8; 10] = b"HTTP/0.0\r\n";

/// Empty lines before a request line that are forgiven.
const EMPTY_LINES: usize = 4;

/// Bytes of a head that are parsed whenever one more arrives.
pub(crate) const SHORT: usize = 1024;
