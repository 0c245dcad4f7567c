//! A server's first answer: its hello, or its request for another one (RFC 8446 sections 4.1.3
//! and 4.1.4).

use super::flight::{Awaited, Flighted};
use super::hello::Said;
use super::{Client, State, Target};
use crate::alert::Fault;
use crate::crypto::{Group, Keys, Suite, Transcript};
use crate::handshake::{Flight, Level, Step, Surroundings};
use crate::key_schedule::{EarlySecret, HANDSHAKE_LABELS, Schedule};
use crate::wire::Reader;
use crate::wire::codes::message::MESSAGE_HASH;
use crate::wire::codes::{DOWNGRADE, RETRY_RANDOM, SSL30, TLS12, TLS13, extension};
use crate::wire::server::{ServerHello, place, unexpected};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A hello was said, and the server's is awaited.
pub(super) struct ExpectHello {
    target: Target,
    said: Said,
    asked: Asked,
}

/// Bytes of a cookie that is sent back: what a server keeps with its client is far less. A longer
/// one is legal, but the extensions of a hello with it may be too long, which no alert is for: that
/// of a value that does not do comes nearest.
const COOKIE_MAX: usize = 4096;

/// How far the question has got.
enum Asked {
    /// This is the first hello. What its transcript is made with is the server's to choose.
    Once(Vec<u8>),
    /// This is the second one.
    Twice(Suite, Box<Transcript>),
}

/// What the extensions of a hello say.
#[derive(Default)]
struct Chosen<'a> {
    group: Option<u16>,
    key: &'a [u8],
    /// The place of the pre-shared key.
    index: Option<u16>,
    cookie: &'a [u8],
}

/// Says hello.
pub(super) fn begin(
    target: Target,
    client: &mut Client,
    around: &mut Surroundings<'_>,
    flight: &mut Flight,
) -> Result<State, Fault> {
    let said = Said::new(client, &target, around);
    let message = said.message(client, &target, &[], None, around)?;
    flight.bytes.extend_from_slice(&message);
    flight.send(Level::Initial)?;
    Ok(State::Hello(Box::new(ExpectHello { target, said, asked: Asked::Once(message) })))
}

impl ExpectHello {
    pub(super) fn read(
        self,
        message: &[u8],
        client: &mut Client,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        let hello = ServerHello::parse(message.get(4..).ok_or(Fault::Truncated)?)?;
        check_version(&hello)?;
        if hello.session_id != self.said.session_id {
            return Err(Fault::ForeignSessionId);
        }
        let suite = Suite::from_code(hello.suite).filter(|suite| client.suites.contains(suite));
        let suite = suite.ok_or(Fault::SuiteNotOffered)?;
        if hello.compression != 0 {
            return Err(Fault::BadCompression);
        }
        let retries = *hello.random == RETRY_RANDOM;
        let chosen = self.chosen(&hello, retries)?;
        if retries {
            self.retry(message, suite, &chosen, client, around, flight)
        } else {
            self.go_on(message, suite, &chosen, around, flight)
        }
    }

    /// What the extensions say, each of which must be one that may stand there.
    fn chosen<'a>(&self, hello: &ServerHello<'a>, retries: bool) -> Result<Chosen<'a>, Fault> {
        let mut chosen = Chosen::default();
        for (kind, mut content) in hello.extensions.iter() {
            match (kind, retries) {
                (extension::SUPPORTED_VERSIONS, _) => {
                    content.u16()?;
                }
                (extension::KEY_SHARE, true) => chosen.group = Some(content.u16()?),
                (extension::KEY_SHARE, false) => {
                    chosen.group = Some(content.u16()?);
                    chosen.key = content.vector16(1..=0xffff)?;
                }
                (extension::COOKIE, true) => chosen.cookie = content.vector16(1..=0xffff)?,
                (extension::PRE_SHARED_KEY, false) if self.said.remembered.is_some() => {
                    chosen.index = Some(content.u16()?);
                }
                (_, true) => return Err(unexpected(kind, place::RETRY_REQUEST)),
                (_, false) => return Err(unexpected(kind, place::SERVER_HELLO)),
            }
            content.end()?;
        }
        Ok(chosen)
    }

    /// Says hello again, as the server wants it.
    fn retry(
        mut self,
        message: &[u8],
        suite: Suite,
        chosen: &Chosen<'_>,
        client: &Client,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        //= RFC 8446 4.1.4: once, and no more
        let Asked::Once(first) = self.asked else { return Err(Fault::UnexpectedMessage) };
        match chosen.group.map(Group::from_code) {
            Some(group) => {
                //= RFC 8446 4.2.8: a group that was offered, and of which no key was shown
                let group = group.filter(|group| client.groups.contains(group));
                let group = group.filter(|group| !self.said.shown.contains(group));
                let group = group.ok_or(Fault::GroupNotOffered)?;
                self.said.shown = heapless::Vec::from_iter([group]);
                self.said.keys = Keys::new(&[group], around.random);
            }
            //= RFC 8446 4.1.4: a request that changes nothing is refused
            None if chosen.cookie.is_empty() => return Err(Fault::UselessRetry),
            None => {}
        }
        // What is longer leaves no room for the rest of a hello.
        if chosen.cookie.len() > COOKIE_MAX {
            return Err(Fault::BadCookie);
        }
        let hash = suite.hash();
        //= RFC 8446 4.1.4: a key whose hash is not the suite's is not offered again
        self.said.remembered.take_if(|remembered| remembered.suite.hash() != hash);
        //= RFC 8446 4.4.1: the first hello counts as its hash
        let mut transcript = Transcript::new(hash);
        transcript.add(&[MESSAGE_HASH, 0, 0, hash.length() as u8]);
        transcript.add(hash.of(&[&first]).bytes());
        transcript.add(message);
        let before = Some(&transcript);
        let second = self.said.message(client, &self.target, chosen.cookie, before, around)?;
        transcript.add(&second);
        flight.step(Step::ChangeCipherSpec)?;
        flight.bytes.extend_from_slice(&second);
        flight.send(Level::Initial)?;
        flight.step(Step::Retried)?;
        self.asked = Asked::Twice(suite, Box::new(transcript));
        Ok(State::Hello(Box::new(self)))
    }

    /// Has the keys of the handshake from here on.
    fn go_on(
        self,
        message: &[u8],
        suite: Suite,
        chosen: &Chosen<'_>,
        around: &Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        let hash = suite.hash();
        let (mut transcript, compatibility) = match self.asked {
            Asked::Once(first) => {
                let mut transcript = Transcript::new(hash);
                transcript.add(&first);
                (transcript, true)
            }
            Asked::Twice(before, transcript) if before == suite => (*transcript, false),
            Asked::Twice(..) => return Err(Fault::ChangedSuite),
        };
        transcript.add(message);
        let Said { random, shown, keys, remembered, .. } = self.said;
        //= RFC 8446 4.1.3: keys are always exchanged, as no other mode was offered
        let group = Group::from_code(chosen.group.ok_or(Fault::MissingExtension)?);
        let group = group.filter(|group| shown.contains(group)).ok_or(Fault::GroupNotOffered)?;
        let resumed = match (chosen.index, remembered) {
            (None, _) => None,
            //= RFC 8446 4.2.11: one that was offered, with a suite of its hash
            (Some(0), Some(one)) if one.suite.hash() == hash => Some(one),
            (Some(_), _) => return Err(Fault::KeyNotOffered),
        };
        let shared = keys.agree(group, chosen.key)?;
        let early = resumed.as_ref().map(|one| EarlySecret::new(hash, &one.key));
        let schedule = Schedule::new(hash, early.as_ref(), &shared.secret);
        let traffic = schedule.handshake_traffic(&transcript.digest());
        traffic.tell(around.keys, HANDSHAKE_LABELS, &random);
        if compatibility {
            flight.step(Step::ChangeCipherSpec)?;
        }
        flight.step(Step::ReadKeys(Level::Handshake, suite, traffic.server.clone()))?;
        flight.step(Step::WriteKeys(Level::Handshake, suite, traffic.client.clone()))?;
        Ok(State::Flight(Box::new(Flighted {
            target: self.target,
            random,
            suite,
            transcript,
            schedule,
            traffic,
            awaited: Awaited::Extensions,
            resumes: resumed.is_some(),
            asked: None,
            own: Vec::new(),
            until: resumed.map_or(0, |one| one.until),
        })))
    }
}

//= RFC 8446 4.1.3: a server that can do better, and one that cannot
fn check_version(hello: &ServerHello<'_>) -> Result<(), Fault> {
    //= RFC 8446 D.5: SSL 3.0 is refused, whatever else is said
    if hello.legacy_version <= SSL30 {
        return Err(Fault::OldServer);
    }
    let Some(mut version) = hello.extensions.find(extension::SUPPORTED_VERSIONS) else {
        let [.., a, b, c, d, e, f, g, last] = *hello.random;
        let downgraded = [a, b, c, d, e, f, g] == DOWNGRADE && last <= 1;
        return Err(if downgraded { Fault::Downgrade } else { Fault::OldServer });
    };
    let chosen = Reader::u16(&mut version)?;
    version.end()?;
    //= RFC 8446 4.2.1: what older versions chose by says 1.2, and the extension says 1.3
    if chosen != TLS13 || hello.legacy_version != TLS12 {
        return Err(Fault::VersionNotOffered);
    }
    Ok(())
}
