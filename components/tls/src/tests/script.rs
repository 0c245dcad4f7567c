//! A client that says what a test wants it to say.

use super::line::World;
use crate::crypto::{Hash, Secret, Suite};
use crate::key_schedule::{EarlySecret, Schedule, TrafficSecret};
use crate::record::Protection;
use crate::role::Role;
use crate::wire::codes::extension;
use crate::wire::record::{Content, HEADER, Header};
use crate::wire::{Reader, Writer};
use alloc::vec;
use alloc::vec::Vec;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// The client's secret number.
const SECRET: [u8; 32] = [9; 32];
const SUITE: Suite = Suite::Aes128GcmSha256;

/// A hello, field by field.
pub struct Hello {
    pub version: u16,
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub suites: Vec<u16>,
    pub compression: Vec<u8>,
    /// In this order.
    pub extensions: Vec<(u16, Vec<u8>)>,
    /// Bytes behind the last field.
    pub trailing: Vec<u8>,
}

impl Hello {
    /// One that gets an answer.
    pub fn new() -> Self {
        let public = x25519(SECRET, X25519_BASEPOINT_BYTES);
        Self {
            version: 0x0303,
            random: [1; 32],
            session_id: vec![2; 32],
            suites: vec![SUITE.code()],
            compression: vec![0],
            extensions: vec![
                (extension::SUPPORTED_VERSIONS, vec![2, 3, 4]),
                (extension::SUPPORTED_GROUPS, codes(&[0x1d, 0x17, 0x18, 0x11ec])),
                (extension::SIGNATURE_ALGORITHMS, codes(&[0x0403])),
                (extension::PSK_KEY_EXCHANGE_MODES, vec![1, 1]),
                (extension::KEY_SHARE, shares(&[(0x1d, &public)])),
            ],
            trailing: Vec::new(),
        }
    }

    /// With the extension `kind` as `content`, where it stands or at the end.
    pub fn with(mut self, kind: u16, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        match self.extensions.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, place)) => *place = content,
            None => self.extensions.push((kind, content)),
        }
        self
    }

    pub fn without(mut self, kind: u16) -> Self {
        self.extensions.retain(|(other, _)| *other != kind);
        self
    }

    /// The message.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer(&mut bytes).message(1, |body| {
            body.u16(self.version);
            body.bytes(&self.random);
            body.vector::<1>(|id| id.bytes(&self.session_id));
            body.vector::<2>(|list| self.suites.iter().for_each(|suite| list.u16(*suite)));
            body.vector::<1>(|list| list.bytes(&self.compression));
            body.vector::<2>(|list| {
                for (kind, content) in &self.extensions {
                    list.extension(*kind, |bytes| bytes.bytes(content));
                }
            });
            body.bytes(&self.trailing);
        });
        bytes
    }
}

/// A list of code points with its length in front.
pub fn codes(codes: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).vector::<2>(|list| codes.iter().for_each(|code| list.u16(*code)));
    bytes
}

pub fn shares(shares: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).vector::<2>(|list| {
        for (group, key) in shares {
            list.u16(*group);
            list.vector::<2>(|bytes| bytes.bytes(key));
        }
    });
    bytes
}

/// A vector with a length of two bytes around `parts`.
pub fn vector(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).vector::<2>(|all| parts.iter().for_each(|part| all.bytes(part)));
    bytes
}

/// A record in clear.
pub fn record(content: u8, bytes: &[u8]) -> Vec<u8> {
    let [high, low] = (bytes.len() as u16).to_be_bytes();
    [&[content, 3, 1, high, low], bytes].concat()
}

/// A record as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    pub content: u8,
    pub body: Vec<u8>,
}

/// The records in `bytes`.
pub fn records(bytes: &[u8]) -> Vec<Record> {
    let (mut reader, mut records) = (Reader::new(bytes), Vec::new());
    while !reader.is_empty() {
        let content = reader.u8().unwrap();
        let version = reader.u16().unwrap();
        assert!(version == 0x0303 || version == 0x0301 && content == 22, "{version:04x}");
        let body = reader.vector16(1..=16_640).unwrap().to_vec();
        records.push(Record { content, body });
    }
    records
}

/// The message in the records in clear at the front of `bytes`.
pub fn message_of(bytes: &[u8]) -> Vec<u8> {
    let clear = records(bytes).into_iter().take_while(|record| record.content == 22);
    clear.flat_map(|record| record.body).collect()
}

/// The alert in clear that a server answers `bytes` with, a whole connection's.
pub fn alert_for(world: &mut World<impl Role>, bytes: &[u8]) -> Option<u8> {
    let wire = world.connect();
    world.say(wire, bytes);
    let heard = records(&world.heard(wire));
    let alert = heard.iter().find(|record| record.content == 21);
    alert.map(|alert| {
        assert_eq!(alert.body[0], 2);
        assert!(world.line.wires[wire].closed, "the stream goes on behind an alert");
        alert.body[1]
    })
}

/// A client that has heard the server's flight.
pub struct Peer {
    pub wire: usize,
    pub read: Protection,
    pub write: Protection,
    /// The next keys, for after the client's Finished.
    next: (TrafficSecret, TrafficSecret),
    pub finished: Vec<u8>,
    /// Everything that was said, and the secret of the client's Finished.
    pub transcript: Vec<u8>,
    secret: TrafficSecret,
    /// At the master secret.
    master: Schedule,
}

impl Peer {
    /// Says `hello` and hears the flight.
    pub fn greet(world: &mut World<impl Role>, hello: &Hello) -> Self {
        Self::greet_with(world, &hello.bytes(), None, &[])
    }

    /// Says the hello `message`, which offers `key`, and the records `behind` it, and hears the
    /// flight.
    pub fn greet_with(
        world: &mut World<impl Role>,
        message: &[u8],
        key: Option<&Secret>,
        behind: &[u8],
    ) -> Self {
        let wire = world.connect();
        world.say(wire, &[&record(22, message), behind].concat());
        let heard = records(&world.heard(wire));
        let answer = &heard[0].body;
        assert_eq!((heard[0].content, answer[0]), (22, 2), "{heard:?}");
        let shared = x25519(SECRET, server_share(answer));
        let key = key.filter(|_| extension_of(answer, extension::PRE_SHARED_KEY).is_some());
        let early = key.map(|key| EarlySecret::new(Hash::Sha256, key));
        let schedule = Schedule::new(Hash::Sha256, early.as_ref(), &shared);
        let traffic = schedule.handshake_traffic(&Hash::Sha256.of(&[message, answer]));
        let mut read = Protection::new(SUITE, traffic.server);
        let mut flight = Vec::new();
        for record in heard.iter().filter(|record| record.content == 23) {
            let (content, bytes) = open(&mut read, record).unwrap();
            assert_eq!(content, Content::Handshake);
            flight.extend(bytes);
        }
        let digest = Hash::Sha256.of(&[message, answer, &flight]);
        let verify = traffic.client.finished(&digest);
        let master = schedule.into_master();
        let application = master.application_traffic(&digest);
        Self {
            wire,
            read: Protection::new(SUITE, application.server.clone()),
            write: Protection::new(SUITE, traffic.client.clone()),
            transcript: [message, answer, &flight].concat(),
            secret: traffic.client,
            master,
            next: (application.client, application.server),
            finished: [&[20, 0, 0, 32], verify.bytes()].concat(),
        }
    }

    /// A connection whose handshake is complete.
    pub fn connect(world: &mut World<impl Role>) -> Self {
        let mut peer = Self::greet(world, &Hello::new());
        peer.complete(world);
        for record in records(&world.heard(peer.wire)) {
            assert_eq!(open(&mut peer.read, &record).unwrap().0, Content::Handshake);
        }
        peer
    }

    /// Says the Finished. What comes back was not looked at.
    pub fn complete(&mut self, world: &mut World<impl Role>) {
        let finished = self.finish();
        self.tell(world, &finished);
        self.write = Protection::new(SUITE, self.next.0.clone());
    }

    /// What later connections resume with, once this one is complete.
    pub fn resumption(&self) -> Secret {
        self.master.resumption(&Hash::Sha256.of(&[&self.transcript]))
    }

    /// Says a message that counts.
    pub fn tell(&mut self, world: &mut World<impl Role>, message: &[u8]) {
        self.transcript.extend_from_slice(message);
        self.say(world, 22, message);
    }

    /// The Finished behind all that was told.
    pub fn finish(&self) -> Vec<u8> {
        let digest = Hash::Sha256.of(&[&self.transcript]);
        [&[20, 0, 0, 32], self.secret.finished(&digest).bytes()].concat()
    }

    /// A protected record.
    pub fn seal(&mut self, content: u8, bytes: &[u8]) -> Vec<u8> {
        let mut inner = [bytes, &[content]].concat();
        let (header, tag) = self.write.seal(&mut inner).unwrap();
        [&header[..], &inner, &tag].concat()
    }

    pub fn say(&mut self, world: &mut World<impl Role>, content: u8, bytes: &[u8]) {
        let record = self.seal(content, bytes);
        world.say(self.wire, &record);
    }

    /// The alert that the server has sent since it was asked last.
    pub fn alert(&mut self, world: &mut World<impl Role>) -> Option<u8> {
        for record in records(&world.heard(self.wire)) {
            let (content, bytes) = open(&mut self.read, &record).unwrap();
            if content == Content::Alert {
                assert!(world.line.wires[self.wire].closed);
                return Some(bytes[1]);
            }
        }
        None
    }
}

pub fn open(protection: &mut Protection, record: &Record) -> Option<(Content, Vec<u8>)> {
    let header = Header::bytes(Content::Data, record.body.len() as u16);
    let header: &[u8; HEADER] = &header;
    let mut body = record.body.clone();
    let opened = protection.open(header, &mut body).ok()?;
    Some((opened.content, body[..opened.length].to_vec()))
}

/// The key in a server's hello.
fn server_share(message: &[u8]) -> [u8; 32] {
    let share = extension_of(message, extension::KEY_SHARE).unwrap();
    share[4..].try_into().unwrap()
}

/// What is in an extension of a server's hello.
fn extension_of(message: &[u8], kind: u16) -> Option<&[u8]> {
    let mut reader = Reader::new(&message[4..]);
    reader.bytes(34).unwrap();
    reader.vector8(0..=32).unwrap();
    reader.bytes(3).unwrap();
    let mut extensions = Reader::new(reader.vector16(0..=500).unwrap());
    while !extensions.is_empty() {
        let other = extensions.u16().unwrap();
        let content = extensions.vector16(0..=500).unwrap();
        if other == kind {
            return Some(content);
        }
    }
    None
}

/// The cookie in a request for another hello, and the group that it asks for.
pub fn retry_of(message: &[u8]) -> (Vec<u8>, u16) {
    let mut reader = Reader::new(&message[4..]);
    reader.bytes(34).unwrap();
    reader.vector8(0..=32).unwrap();
    reader.bytes(3).unwrap();
    let mut extensions = Reader::new(reader.vector16(0..=500).unwrap());
    let (mut cookie, mut group) = (Vec::new(), 0);
    while !extensions.is_empty() {
        let kind = extensions.u16().unwrap();
        let content = extensions.vector16(0..=500).unwrap();
        match kind {
            extension::KEY_SHARE => group = u16::from_be_bytes([content[0], content[1]]),
            extension::COOKIE => cookie = content.to_vec(),
            _ => {}
        }
    }
    (cookie, group)
}

/// The client's public key in X25519.
pub fn public() -> [u8; 32] {
    x25519(SECRET, X25519_BASEPOINT_BYTES)
}
