//! The head of a response: from what it says to bytes, right where they are sent from.

use crate::Config;
use alloc::boxed::Box;
use alloc::vec::Vec;
use waitless::http::{Integer, Noted, Status};
use waitless::packet::NoRoom;
use waitless::{Packet, Pool};

/// A date as HTTP writes it.
pub(crate) type Date = [u8; 29];

/// The present: in seconds since 1970, and as the line says it.
pub(crate) struct Now {
    pub(crate) unix: u32,
    pub(crate) line: Date,
}

/// What a response's head says.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(crate) status: Status,
    pub(crate) date: Option<&'a Date>,
    /// Lines that all responses have, each behind the break before it.
    pub(crate) fixed: &'a [u8],
    pub(crate) media: Option<&'static str>,
    pub(crate) length: Announced,
    pub(crate) connection: Persistence,
    /// More lines, complete.
    pub(crate) fields: &'a [u8],
    /// All of it as bytes, where they stand ready.
    pub(crate) ready: Option<&'a [u8]>,
}

/// What a head says of the body's length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announced {
    Nothing,
    Length(u64),
    Chunked,
}

/// What a head says of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Persistence {
    /// What is usual for the version.
    Usual,
    /// It stays open, which an old client does not expect.
    Kept,
    /// It is closed after this.
    Closed,
    /// It speaks another protocol after this.
    Upgraded,
    /// It stays open, which an old client does not expect, and this says what it could be
    /// upgraded to.
    Offered,
    /// It is closed after this, which says what it could have been upgraded to.
    Refused,
}

impl Lines<'_> {
    /// Leaves to the fields what they say by themselves.
    #[cold]
    pub(crate) fn leave_out(&mut self, noted: Noted) {
        //= RFC 9110 6.6.1: that of a message which somebody else has made stays as it is
        self.date = self.date.filter(|_| !noted.has(Noted::DATE));
        //= RFC 9110 5.3: a field that is no list is sent once
        self.media = self.media.filter(|_| !noted.has(Noted::MEDIA));
        let secure = self.fixed.windows(HSTS.len()).position(|line| line == HSTS);
        let (server, secure) = self.fixed.split_at(secure.unwrap_or(self.fixed.len()));
        self.fixed = match (noted.has(Noted::SERVER), noted.has(Noted::SECURE)) {
            (false, false) => self.fixed,
            (false, true) => server,
            (true, false) => secure,
            (true, true) => &[],
        };
    }

    /// Bytes of the head.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        if let Some(ready) = self.ready {
            return ready.len();
        }
        let status = match self.status {
            Status::OK => OK.len(),
            status => VERSION.len() + 4 + status.reason().len(),
        };
        let named = |name: &[u8], length: usize| name.len() + length;
        let date = self.date.map_or(0, |date| named(DATE, date.len()));
        let media = self.media.map_or(0, |media| named(MEDIA, media.len()));
        let length = match self.length {
            Announced::Nothing => 0,
            Announced::Length(length) => named(LENGTH, digits(length)),
            Announced::Chunked => CHUNKED.len(),
        };
        let connection = match self.connection {
            Persistence::Usual => 0,
            Persistence::Kept => KEPT.len(),
            Persistence::Closed => CLOSED.len(),
            Persistence::Upgraded => UPGRADED.len(),
            Persistence::Offered => OFFERED.len(),
            Persistence::Refused => REFUSED.len(),
        };
        status
            + date
            + self.fixed.len()
            + media
            + length
            + connection
            + self.fields.len()
            + 2 * BREAK.len()
    }

    /// Puts the head, `length` bytes long, in front of what `packet` holds.
    #[inline]
    pub(crate) fn prepend(&self, length: usize, packet: &mut Packet) -> Result<(), NoRoom> {
        let room = packet.grow_front(length)?.get_mut(..length).ok_or(NoRoom)?;
        match self.ready {
            Some(ready) if ready.len() == length => room.copy_from_slice(ready),
            _ => self.write(room),
        }
        Ok(())
    }

    /// Fills `room`, which is as long as the head.
    #[inline]
    fn write(self, room: &mut [u8]) {
        // From the end to the front: so a number is written as it is divided.
        let mut head = Backwards(room);
        head.put(BREAK);
        if !self.fields.is_empty() {
            head.put_slice(self.fields);
        }
        head.put(BREAK);
        match self.connection {
            Persistence::Usual => {}
            Persistence::Kept => head.put(KEPT),
            Persistence::Closed => head.put(CLOSED),
            Persistence::Upgraded => head.put(UPGRADED),
            Persistence::Offered => head.put(OFFERED),
            Persistence::Refused => head.put(REFUSED),
        }
        match self.length {
            Announced::Nothing => {}
            Announced::Length(length) => {
                head.put_number(length);
                head.put(LENGTH);
            }
            Announced::Chunked => head.put(CHUNKED),
        }
        if let Some(media) = self.media {
            head.put_slice(media.as_bytes());
            head.put(MEDIA);
        }
        if !self.fixed.is_empty() {
            head.put_slice(self.fixed);
        }
        if let Some(date) = self.date {
            head.put(date);
            head.put(DATE);
        }
        match self.status {
            Status::OK => head.put(OK),
            status => {
                head.put_slice(status.reason().as_bytes());
                head.put(b" ");
                head.put(&status.digits());
                head.put(VERSION);
            }
        }
        debug_assert!(head.0.is_empty(), "the length was that of the head");
    }
}

/// The last head that said something twice in a row, ready for the third time.
pub(crate) struct Template {
    says: Option<Says>,
    /// Bytes of the head that are ready; 0 while it was said once.
    length: usize,
    bytes: [u8; TEMPLATE_LONG],
}

/// What the heads of one server differ in, beside the date, and fields that a handler adds.
#[derive(Clone, Copy)]
struct Says {
    status: Status,
    media: Option<&'static str>,
    length: Announced,
    connection: Persistence,
}

impl PartialEq for Says {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let media = match (self.media, other.media) {
            // The same text elsewhere counts as another: it is just written again.
            (Some(one), Some(two)) => core::ptr::eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        };
        media
            && self.status == other.status
            && self.length == other.length
            && self.connection == other.connection
    }
}

impl Template {
    pub(crate) const fn new() -> Self {
        Self { says: None, length: 0, bytes: [0; TEMPLATE_LONG] }
    }

    /// Forgets it: the date is another now.
    pub(crate) fn forget(&mut self) {
        self.says = None;
    }

    /// The head that `lines`, which have no more fields, would be written to, if it is ready.
    #[inline]
    pub(crate) fn find(&mut self, lines: &Lines<'_>) -> Option<&[u8]> {
        let Lines { status, media, length, connection, .. } = *lines;
        let says = Says { status, media, length, connection };
        if self.says != Some(says) {
            self.says = Some(says);
            self.length = 0;
            return None;
        }
        if self.length == 0 {
            let length = lines.len();
            lines.write(self.bytes.get_mut(..length)?);
            self.length = length;
        }
        self.bytes.get(..self.length)
    }
}

/// The longest head that stands ready.
const TEMPLATE_LONG: usize = 192;

/// Room that is filled from its end. What does not fit is left out.
struct Backwards<'a>(&'a mut [u8]);

impl Backwards<'_> {
    #[inline]
    fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        if let Some((front, place)) = core::mem::take(&mut self.0).split_last_chunk_mut() {
            *place = *bytes;
            self.0 = front;
        }
    }

    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        let room = core::mem::take(&mut self.0);
        if let Some(at) = room.len().checked_sub(bytes.len()) {
            let (front, place) = room.split_at_mut(at);
            place.copy_from_slice(bytes);
            self.0 = front;
        }
    }

    #[inline]
    fn put_number(&mut self, mut number: u64) {
        loop {
            self.put(&[b'0' + (number % 10) as u8]);
            number /= 10;
            if number == 0 {
                return;
            }
        }
    }
}

/// The lines that all responses have: the server's name, and that clients are to come by TLS from
/// now on (RFC 6797 section 6.1).
pub(crate) fn fixed_lines(config: &Config) -> Box<[u8]> {
    let mut lines = Vec::new();
    // As much of it as surely fits.
    let server = match config.server.len() {
        0..=SERVER_LONG => config.server,
        _ => config.server.get(..SERVER_LONG).unwrap_or(""),
    };
    if !server.is_empty() {
        lines.extend_from_slice(SERVER);
        lines.extend_from_slice(server.as_bytes());
    }
    //= RFC 6797 6.1: how long, in seconds
    if let Some(lifetime) = config.hsts {
        lines.extend_from_slice(HSTS);
        lines.extend_from_slice(Integer::new(lifetime.as_secs()).bytes());
    }
    lines.into()
}

/// How many decimal digits `number` has.
#[inline]
fn digits(number: u64) -> usize {
    match number {
        0..10 => 1,
        10..100 => 2,
        100..1_000 => 3,
        1_000..10_000 => 4,
        _ => number.ilog10() as usize + 1,
    }
}

/// The longest `Server` field.
const SERVER_LONG: usize = 256;

/// The longest head that goes into one packet.
pub(crate) const HEAD_LONG: usize = 1400;

/// Lines begin with the break before them, so that each is one piece.
const OK: &[u8; 15] = b"HTTP/1.1 200 OK";
const VERSION: &[u8; 9] = b"HTTP/1.1 ";
const DATE: &[u8; 8] = b"\r\nDate: ";
const SERVER: &[u8; 10] = b"\r\nServer: ";
const HSTS: &[u8; 37] = b"\r\nStrict-Transport-Security: max-age=";
const MEDIA: &[u8; 16] = b"\r\nContent-Type: ";
const LENGTH: &[u8; 18] = b"\r\nContent-Length: ";
const CHUNKED: &[u8; 28] = b"\r\nTransfer-Encoding: chunked";
const KEPT: &[u8; 24] = b"\r\nConnection: keep-alive";
const CLOSED: &[u8; 19] = b"\r\nConnection: close";
const UPGRADED: &[u8; 21] = b"\r\nConnection: upgrade";
const OFFERED: &[u8; 33] = b"\r\nConnection: keep-alive, upgrade";
const REFUSED: &[u8; 28] = b"\r\nConnection: close, upgrade";
const BREAK: &[u8; 2] = b"\r\n";

/// The interim response that asks for the body; `None` when there is no packet.
pub(crate) fn continue_packet(pool: Pool) -> Option<Packet> {
    let mut packet = pool.packet()?;
    packet.append(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    Some(packet)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use waitless::http::wire::chunked::ChunkFrame;

    #[test]
    fn heads_are_as_long_as_they_say() {
        let date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        let full = Lines {
            status: Status::NOT_FOUND,
            date: Some(&date),
            fixed: b"\r\nServer: test",
            media: Some("text/plain"),
            length: Announced::Length(12_345),
            connection: Persistence::Closed,
            fields: b"A: b\r\n",
            ready: None,
        };
        let cx = waitless::testing::context(1, 1);
        let written = |lines: &Lines<'_>| {
            let mut packet = cx.packet().unwrap();
            packet.append(b"body").unwrap();
            lines.prepend(lines.len(), &mut packet).unwrap();
            std::string::String::from_utf8(packet.bytes().into()).unwrap()
        };
        assert_eq!(
            written(&full),
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: test\r\n\
             Content-Type: text/plain\r\nContent-Length: 12345\r\nConnection: close\r\nA: b\r\n\
             \r\nbody"
        );
        let bare = Lines {
            status: Status::OK,
            date: None,
            fixed: b"",
            media: None,
            length: Announced::Chunked,
            connection: Persistence::Kept,
            fields: b"",
            ready: None,
        };
        assert_eq!(
            written(&bare),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\nbody"
        );
        for power in 0..20 {
            for number in [10_u64.pow(power), 10_u64.pow(power) - 1, u64::MAX] {
                let head = written(&Lines { length: Announced::Length(number), ..bare });
                assert!(head.contains(&std::format!("Content-Length: {number}\r\n")), "{head}");
            }
        }
    }

    #[test]
    fn what_is_said_again_stands_ready_and_nothing_else_does() {
        let dates = [*b"Sun, 06 Nov 1994 08:49:37 GMT", *b"Sun, 06 Nov 1994 08:49:38 GMT"];
        let mut template = Template::new();
        let mut ready = 0;
        for step in 0..4_000_u32 {
            if step % 50 == 0 {
                template.forget();
            }
            // Each difference alone, and often none.
            let pick = |from: u32, to: u32| step / 3 % 7 == from && step % to == 0;
            let lines = Lines {
                status: if pick(1, 2) { Status::NOT_FOUND } else { Status::OK },
                date: dates.get(step as usize / 50 % 2),
                fixed: b"",
                media: [Some("a/b"), None][usize::from(pick(2, 2))],
                length: Announced::Length(if pick(3, 2) { 16 } else { 15 }),
                connection: if pick(4, 2) { Persistence::Closed } else { Persistence::Usual },
                fields: b"",
                ready: None,
            };
            let mut expected = std::vec![0; lines.len()];
            lines.write(&mut expected);
            if let Some(found) = template.find(&lines) {
                ready += 1;
                assert_eq!(found, expected);
            }
        }
        assert!(ready > 500, "{ready}");
    }

    #[test]
    fn chunks_are_framed_in_hexadecimal() {
        assert_eq!(ChunkFrame::new(1, true).bytes(), b"1\r\n");
        assert_eq!(ChunkFrame::new(0x5a0, false).bytes(), b"\r\n5a0\r\n");
        assert_eq!(ChunkFrame::new(usize::MAX, false).bytes().len(), 20);
    }
}
