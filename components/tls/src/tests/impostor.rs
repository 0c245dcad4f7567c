//! A server that says what a test wants it to say.

use super::line::World;
use super::script::{message_of, open, record, records};
use super::{certificate, trusting};
use crate::client::Client;
use crate::crypto::{Group, Hash, Scheme, SigningKey, Suite, exchange};
use crate::handshake::proof::{SERVER_CONTEXT, to_be_signed};
use crate::key_schedule::{Schedule, TrafficSecret};
use crate::record::Protection;
use crate::wire::Writer;
use crate::wire::codes::{RETRY_RANDOM, extension as ext};
use crate::wire::hello::ClientHello;
use crate::wire::record::Content;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Phase, Random, Stream, StreamPort};

const SUITE: Suite = Suite::Aes128GcmSha256;

/// A server's hello, field by field.
pub struct Answer {
    pub version: u16,
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub suite: u16,
    pub compression: u8,
    pub extensions: Vec<(u16, Vec<u8>)>,
    pub trailing: Vec<u8>,
}

impl Answer {
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

    /// A request for another hello instead.
    pub fn retry(mut self, group: Option<u16>) -> Self {
        self.random = RETRY_RANDOM;
        match group {
            Some(group) => self.with(ext::KEY_SHARE, group.to_be_bytes()),
            None => self.without(ext::KEY_SHARE),
        }
    }

    pub fn message(&self) -> Vec<u8> {
        message(2, |body| {
            body.u16(self.version);
            body.bytes(&self.random);
            body.vector::<1>(|id| id.bytes(&self.session_id));
            body.u16(self.suite);
            body.u8(self.compression);
            body.bytes(&extensions(&self.extensions));
            body.bytes(&self.trailing);
        })
    }
}

pub fn message(kind: u8, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).message(kind, write);
    bytes
}

/// Extensions with their length in front.
pub fn extensions(all: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).vector::<2>(|list| {
        all.iter().for_each(|(kind, content)| list.extension(*kind, |it| it.bytes(content)));
    });
    bytes
}

/// One connection of a client to the impostor.
pub struct Impostor {
    pub client: World<Client>,
    pub stream: Stream,
    /// What was said by both, message by message.
    pub transcript: Vec<u8>,
    pub hello: Vec<u8>,
    share: Vec<u8>,
    secret: Vec<u8>,
    schedule: Option<Schedule>,
    pub traffic: Option<(TrafficSecret, TrafficSecret)>,
    read: Option<Protection>,
    write: Option<Protection>,
    pub certificate: &'static [u8],
    key: SigningKey,
    wire: usize,
}

impl Impostor {
    /// A client has said hello.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A client, set up by `set`, has said hello.
    pub fn with(set: impl FnOnce(&mut crate::client::Config)) -> Self {
        let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
        let mut config = trusting(&[chain]);
        set(&mut config);
        let mut client = World::client(config);
        let (stream, wire) = client.dial("localhost");
        let hello = message_of(&client.heard(wire));
        let mut impostor = Self {
            client,
            stream,
            transcript: hello.clone(),
            hello,
            share: Vec::new(),
            secret: Vec::new(),
            schedule: None,
            traffic: None,
            read: None,
            write: None,
            certificate: chain.certificates[0],
            key: SigningKey::from_pkcs8(key).unwrap(),
            wire,
        };
        impostor.agree(Group::X25519);
        impostor
    }

    pub fn agree(&mut self, group: Group) {
        let hello = ClientHello::parse(&self.hello[4..]).unwrap();
        let share = hello.key_shares.unwrap().of(group.code()).unwrap();
        let shared = exchange(group, share, &mut Random::new([4; 32])).unwrap();
        self.share = [&group.code().to_be_bytes()[..], &vector(&shared.share)].concat();
        self.secret = shared.secret.to_vec();
    }

    /// A hello that the client likes.
    pub fn answer(&self) -> Answer {
        let hello = ClientHello::parse(&self.hello[4..]).unwrap();
        Answer {
            version: 0x0303,
            random: [9; 32],
            session_id: hello.session_id.to_vec(),
            suite: SUITE.code(),
            compression: 0,
            extensions: vec![
                (ext::SUPPORTED_VERSIONS, vec![3, 4]),
                (ext::KEY_SHARE, self.share.clone()),
            ],
            trailing: Vec::new(),
        }
    }

    pub fn say_clear(&mut self, content: u8, bytes: &[u8]) {
        self.client.say(self.wire, &record(content, bytes));
    }

    /// Asks for another hello, and hears it.
    pub fn ask_again(&mut self, answer: &Answer) {
        let asked = answer.message();
        self.say_clear(22, &asked);
        let heard = self.client.heard(self.wire);
        assert_eq!(records(&heard)[0].content, 20);
        self.hello = message_of(&heard[6..]);
        let first = Hash::Sha256.of(&[&self.transcript]);
        self.transcript = [&[254, 0, 0, 32], first.bytes(), &asked, &self.hello].concat();
    }

    /// Says hello, and has keys.
    pub fn greet(mut self) -> Self {
        let hello = self.answer().message();
        self.transcript.extend_from_slice(&hello);
        self.say_clear(22, &hello);
        let schedule = Schedule::new(Hash::Sha256, None, &self.secret);
        let traffic = schedule.handshake_traffic(&Hash::Sha256.of(&[&self.transcript]));
        self.read = Some(Protection::new(SUITE, traffic.client.clone()));
        self.write = Some(Protection::new(SUITE, traffic.server.clone()));
        self.traffic = Some((traffic.client.clone(), traffic.server.clone()));
        self.schedule = Some(schedule);
        self
    }

    /// Says a message that the client knows of.
    pub fn tell(&mut self, bytes: &[u8]) {
        self.transcript.extend_from_slice(bytes);
        self.say(22, bytes);
    }

    pub fn say(&mut self, content: u8, bytes: &[u8]) {
        let record = self.seal(content, bytes);
        self.client.say(self.wire, &record);
    }

    pub fn seal(&mut self, content: u8, bytes: &[u8]) -> Vec<u8> {
        let mut inner = [bytes, &[content]].concat();
        let (header, tag) = self.write.as_mut().unwrap().seal(&mut inner).unwrap();
        [&header[..], &inner, &tag].concat()
    }

    pub fn certificate(&self) -> Vec<u8> {
        certificate_message(&[], &[self.certificate], &[0, 0])
    }

    pub fn verify(&self) -> Vec<u8> {
        let content = to_be_signed(SERVER_CONTEXT, &Hash::Sha256.of(&[&self.transcript]));
        let scheme = Scheme::EcdsaP256Sha256;
        let signature = self.key.sign(scheme, &content, &mut Random::new([5; 32])).unwrap();
        verify_message(scheme.code(), &signature)
    }

    pub fn finished(&self) -> Vec<u8> {
        let (_, server) = self.traffic.as_ref().unwrap();
        let verify = server.finished(&Hash::Sha256.of(&[&self.transcript]));
        message(20, |body| body.bytes(verify.bytes()))
    }

    /// Up to but not with the certificate, the signature of it, the Finished, or with all.
    pub fn until(mut self, step: usize) -> Self {
        self = self.greet();
        for number in 0..step {
            let next = match number {
                0 => message(8, |body| body.bytes(&[0, 0])),
                1 => self.certificate(),
                2 => self.verify(),
                _ => self.finished(),
            };
            self.tell(&next);
        }
        self
    }

    /// A connection that is open.
    pub fn open() -> Self {
        let mut it = Self::new().until(4);
        assert_eq!(it.phase(), Phase::Open, "{:?}", it.client.tls.failure(it.stream));
        let heard = it.heard();
        let (client, _) = it.traffic.as_ref().unwrap();
        let digest = Hash::Sha256.of(&[&it.transcript]);
        let verify = client.finished(&digest);
        let expected = message(20, |body| body.bytes(verify.bytes()));
        assert_eq!(heard, [(Content::Handshake, expected)]);
        let next = it.schedule.take().unwrap().into_master().application_traffic(&digest);
        it.read = Some(Protection::new(SUITE, next.client));
        it.write = Some(Protection::new(SUITE, next.server));
        it
    }

    /// What the client has said since.
    pub fn heard(&mut self) -> Vec<(Content, Vec<u8>)> {
        let heard = records(&self.client.heard(self.wire));
        let mut all = Vec::new();
        for record in heard.iter().filter(|record| record.content != 20) {
            all.push(match (&mut self.read, record.content) {
                (Some(read), 23) => open(read, record).unwrap(),
                (_, content) => (Content::from_code(content).unwrap(), record.body.clone()),
            });
        }
        all
    }

    pub fn phase(&self) -> Phase {
        self.client.tls.status(self.stream).phase
    }

    /// The alert that the client has sent, after which it says nothing.
    #[track_caller]
    pub fn alert(&mut self) -> u8 {
        let heard = self.heard();
        let failure = self.client.tls.failure(self.stream);
        let last = heard.last();
        let Some((content, bytes)) = last else { panic!("no alert: {failure:?}") };
        assert_eq!((*content, bytes[0]), (Content::Alert, 2), "{failure:?}");
        assert!(failure.is_some() && self.phase() == Phase::Reset);
        assert!(self.client.line.wires[self.wire].closed);
        self.client.tls.release(self.stream);
        self.client.settle();
        self.client.finish(self.wire);
        assert_eq!((self.client.buffers_out(), self.client.tls.counters.open.get()), (0, 0));
        bytes[1]
    }
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

pub fn certificate_message(context: &[u8], list: &[&[u8]], more: &[u8]) -> Vec<u8> {
    message(11, |body| {
        body.vector::<1>(|it| it.bytes(context));
        body.vector::<3>(|all| {
            for certificate in list {
                all.vector::<3>(|it| it.bytes(certificate));
                all.bytes(more);
            }
        });
    })
}

pub fn verify_message(scheme: u16, signature: &[u8]) -> Vec<u8> {
    message(15, |body| {
        body.u16(scheme);
        body.vector::<2>(|it| it.bytes(signature));
    })
}
