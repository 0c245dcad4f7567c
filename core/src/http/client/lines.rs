//! The head of a request: from what is to be said to packets.

use super::FetchError;
use super::place::Place;
use crate::http::head::lines;
use crate::http::{Fields, Integer};
use crate::packet::HEADROOM;
use crate::{Packet, Pool};
use alloc::vec::Vec;

/// The fields that a handler adds, in the packets that hold their lines, so that they can be sent
/// more than once.
#[derive(Debug, Default)]
pub(super) struct Lines(heapless::Vec<Packet, FIELDS_MAX>);

impl Lines {
    pub fn new(fields: Option<Fields>) -> Result<Self, FetchError> {
        let mut kept = heapless::Vec::new();
        let mut next = fields.map(Fields::into_packets);
        while let Some(mut packet) = next {
            next = packet.take_next();
            if next.is_none() {
                // The empty line, which the head gets by itself.
                packet.truncate(packet.len().saturating_sub(2));
            }
            kept.push(packet).map_err(|_| FetchError::BadField)?;
        }
        Ok(Self(kept))
    }

    /// Takes the fields away whose names are among those. For the rare case: allocates.
    pub fn remove(&mut self, among: fn(&str) -> bool, pool: Pool) -> Result<(), FetchError> {
        let all: Vec<u8> = self.0.iter().flat_map(Packet::bytes).copied().collect();
        let mut kept = Writer::new(pool);
        for (name, value) in lines(&all) {
            if !among(name) {
                [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| kept.put(part));
            }
        }
        self.0.clear();
        let packets = kept.packets()?;
        packets.into_iter().try_for_each(|it| self.0.push(it)).map_err(|_| FetchError::BadField)
    }
}

/// How the body of a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Announced {
    /// There is none, and nothing is said of it.
    Nothing,
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow.
    Chunks,
}

impl Announced {
    /// Whether anything follows, or may.
    pub fn is_content(self) -> bool {
        !matches!(self, Self::Nothing | Self::Length(0))
    }
}

/// What a head says.
pub(super) struct Said<'a> {
    pub method: &'a str,
    pub place: &'a Place<'a>,
    /// What `Host` says, where that is not the server's own name.
    pub host: Option<&'a str>,
    /// What is asked for instead of the URL's path and query.
    pub target: Option<&'a str>,
    pub agent: &'a str,
    pub fields: &'a Lines,
    pub body: Announced,
    /// Whether the body waits for a word from the server.
    pub expects: bool,
    /// The protocol that the server may go on with.
    pub upgrade: Option<&'a str>,
}

impl Said<'_> {
    /// The head in packets, and behind it `body` where that fits into the last one; whether it
    /// did.
    pub fn write(&self, body: &[u8], pool: Pool) -> Result<(Packet, bool), FetchError> {
        let mut out = Writer::new(pool);
        let target = self.target.unwrap_or(self.place.target);
        out.put(self.method.as_bytes());
        out.put(if target.starts_with('/') || target == "*" { b" " } else { b" /" });
        out.put(target.as_bytes());
        out.put(b" HTTP/1.1\r\nHost: ");
        out.put(self.host.unwrap_or(self.place.written).as_bytes());
        if let Some(port) = self.place.other_port().filter(|_| self.host.is_none()) {
            out.put(b":");
            out.put(Integer::new(port.into()).bytes());
        }
        if !self.agent.is_empty() {
            out.put(b"\r\nUser-Agent: ");
            out.put(self.agent.as_bytes());
        }
        match self.body {
            Announced::Nothing => {}
            Announced::Length(length) => {
                out.put(b"\r\nContent-Length: ");
                out.put(Integer::new(length).bytes());
            }
            Announced::Chunks => out.put(b"\r\nTransfer-Encoding: chunked"),
        }
        if self.expects {
            out.put(b"\r\nExpect: 100-continue");
        }
        if let Some(protocol) = self.upgrade {
            //= RFC 9110 7.8: only together with the option of the connection
            out.put(b"\r\nConnection: upgrade\r\nUpgrade: ");
            out.put(protocol.as_bytes());
        }
        out.put(b"\r\n");
        self.fields.0.iter().for_each(|lines| out.put(lines.bytes()));
        out.put(b"\r\n");
        let joined = body.len() <= out.room();
        if joined {
            out.put(body);
        }
        let mut packets = out.packets()?;
        let mut first = packets.pop().ok_or(FetchError::BadField)?;
        while let Some(mut before) = packets.pop() {
            before.set_next(Some(first));
            first = before;
        }
        Ok((first, joined))
    }
}

/// Bytes into packets of the size of a segment.
struct Writer {
    pool: Pool,
    packets: heapless::Vec<Packet, HEAD_MAX>,
    spoilt: bool,
}

impl Writer {
    fn new(pool: Pool) -> Self {
        Self { pool, packets: heapless::Vec::new(), spoilt: false }
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.spoilt {
            if self.room() == 0 || self.packets.is_empty() {
                let packet = self.pool.packet().map(|mut packet| {
                    packet.reset(HEADROOM);
                    packet
                });
                self.spoilt |= packet.is_none_or(|packet| self.packets.push(packet).is_err());
            }
            let (now, later) = bytes.split_at(self.room().min(bytes.len()));
            self.spoilt |= self.packets.last_mut().is_none_or(|last| last.append(now).is_err());
            bytes = later;
        }
    }

    /// Bytes that fit into the last packet, or into the first.
    fn room(&self) -> usize {
        PACKET.saturating_sub(self.packets.last().map_or(0, Packet::len))
    }

    fn packets(self) -> Result<heapless::Vec<Packet, HEAD_MAX>, FetchError> {
        if self.spoilt { Err(FetchError::BadField) } else { Ok(self.packets) }
    }
}

/// Bytes of a packet: what fits into one segment on every usual link.
const PACKET: usize = 1400;

/// Packets of fields that a handler adds, and of a whole head.
const FIELDS_MAX: usize = 48;
const HEAD_MAX: usize = 52;

const _: () = assert!(Fields::LIMIT / PACKET < FIELDS_MAX && FIELDS_MAX < HEAD_MAX);
