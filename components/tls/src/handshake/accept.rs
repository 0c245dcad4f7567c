//! From a hello to the server's Finished, or to a request for another hello.

use super::early::{self, Refusal};
use super::negotiate::{self, Choice, Resumed};
use super::{ExpectFinished, Flight, Level, Server, State, Step, Surroundings, messages, proof};
use crate::alert::Fault;
use crate::crypto::{Group, Hash, Shared, Suite, Transcript, exchange};
use crate::key_schedule::{
    APPLICATION_LABELS, EARLY_LABEL, HANDSHAKE_LABELS, Schedule, TrafficSecret,
};
use crate::wire::codes::message::MESSAGE_HASH;
use crate::wire::hello::ClientHello;
use alloc::boxed::Box;

/// Answers the first hello.
pub(super) fn hello<const ASKS: bool, const EARLY: bool>(
    message: &[u8],
    server: &mut Server<ASKS, EARLY>,
    around: &mut Surroundings<'_>,
    flight: &mut Flight,
) -> Result<State, Fault> {
    let hello = negotiate::parse(message)?;
    let choice = negotiate::choose(&hello, server)?;
    let Some((group, share)) = negotiate::share(&hello)? else {
        let group = negotiate::group(&hello)?;
        return retry(message, &hello, choice.suite, group, server, around, flight);
    };
    let shared = exchange(group, share, around.random)?;
    let transcript = Transcript::new(choice.suite.hash());
    Answer { message, hello, choice, group, shared, transcript, compatibility: true }
        .give(server, around, flight)
}

/// Asks for a hello with a key share of `group`. Nothing is kept: all that must be known later
/// goes to the client and back in a cookie.
fn retry<const ASKS: bool, const EARLY: bool>(
    message: &[u8],
    hello: &ClientHello<'_>,
    suite: Suite,
    group: Group,
    server: &mut Server<ASKS, EARLY>,
    around: &mut Surroundings<'_>,
    flight: &mut Flight,
) -> Result<State, Fault> {
    let digest = suite.hash().of(&[message]);
    let cookie = server.cookies.make(hello, suite, group, &digest, around.now);
    messages::retry_request(&mut flight.bytes, hello.session_id, suite, group, &cookie);
    flight.send(Level::Initial)?;
    if !hello.session_id.is_empty() {
        flight.step(Step::ChangeCipherSpec)?;
    }
    if hello.early_data {
        flight.early = Some(Err(Refusal::Retried)).filter(|_| EARLY);
        flight.step(Step::SkipEarlyData)?;
    }
    flight.step(Step::Retried)?;
    Ok(State::SecondHello)
}

/// Answers the hello that [`retry`] asked for.
pub(super) fn second_hello<const ASKS: bool, const EARLY: bool>(
    message: &[u8],
    server: &mut Server<ASKS, EARLY>,
    around: &mut Surroundings<'_>,
    flight: &mut Flight,
) -> Result<State, Fault> {
    let hello = negotiate::parse(message)?;
    let cookie = hello.cookie.ok_or(Fault::BadCookie)?;
    let first = server.cookies.open(cookie, &hello, around.now)?;
    if hello.early_data {
        return Err(Fault::EarlyDataAfterRetry);
    }
    let choice = negotiate::choose(&hello, server)?;
    if choice.suite != first.suite {
        return Err(Fault::ChangedHello);
    }
    let share = negotiate::only_share(&hello, first.group)?;
    let shared = exchange(first.group, share, around.random)?;
    //= RFC 8446 4.4.1: the first hello counts as its hash
    let hash = first.suite.hash();
    let mut transcript = Transcript::new(hash);
    transcript.add(&[MESSAGE_HASH, 0, 0, hash.length() as u8]);
    transcript.add(first.digest);
    let start = flight.bytes.len();
    messages::retry_request(&mut flight.bytes, hello.session_id, first.suite, first.group, cookie);
    transcript.add(flight.bytes.get(start..).unwrap_or_default());
    flight.bytes.truncate(start);
    let group = first.group;
    Answer { message, hello, choice, group, shared, transcript, compatibility: false }
        .give(server, around, flight)
}

/// All that the server's answer depends on.
struct Answer<'a> {
    message: &'a [u8],
    hello: ClientHello<'a>,
    choice: Choice<'a>,
    group: Group,
    shared: Shared,
    /// Up to the hello, which is not in it.
    transcript: Transcript,
    /// Whether a change_cipher_spec may be due.
    compatibility: bool,
}

impl Answer<'_> {
    fn give<const ASKS: bool, const EARLY: bool>(
        mut self,
        server: &mut Server<ASKS, EARLY>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        let (suite, hash) = (self.choice.suite, self.choice.suite.hash());
        let resumed = self.resume(server, around)?;
        let early = self.early(resumed.as_ref(), server, around, flight);
        let start = flight.bytes.len();
        messages::server_hello(
            &mut flight.bytes,
            &around.random.bytes(),
            &messages::ServerHello {
                session_id: self.hello.session_id,
                suite,
                group: self.group,
                share: &self.shared.share,
                key: resumed.as_ref().map(|resumed| resumed.index),
            },
        );
        self.say(flight, start);
        flight.send(Level::Initial)?;
        if self.compatibility && !self.hello.session_id.is_empty() {
            flight.step(Step::ChangeCipherSpec)?;
        }
        let secret = resumed.as_ref().map(|resumed| &resumed.secret);
        let schedule = Schedule::new(hash, secret, &self.shared.secret);
        let traffic = schedule.handshake_traffic(&self.transcript.digest());
        traffic.tell(around.keys, HANDSHAKE_LABELS, self.hello.random);
        flight.step(Step::WriteKeys(Level::Handshake, suite, traffic.server.clone()))?;
        let takes_early_data = early.is_some();
        self.read_keys(early, &traffic.client, flight)?;
        if let Some(limit) = self.choice.record_size_limit {
            flight.step(Step::RecordLimit(limit))?;
        }
        self.protected(resumed.is_some(), takes_early_data, server, around, flight)?;
        let verify = traffic.server.finished(&self.transcript.digest());
        let start = flight.bytes.len();
        messages::finished(&mut flight.bytes, verify.bytes());
        self.say(flight, start);
        flight.send(Level::Handshake)?;
        let schedule = schedule.into_master();
        let digest = self.transcript.digest();
        let application = schedule.application_traffic(&digest);
        application.tell(around.keys, APPLICATION_LABELS, self.hello.random);
        flight.step(Step::WriteKeys(Level::Application, suite, application.server))?;
        let resumes = resumed.is_some();
        let expected = Box::new(ExpectFinished {
            suite,
            transcript: self.transcript,
            digest,
            schedule,
            client_handshake: traffic.client,
            client_application: application.client,
            certificate: resumed.as_ref().map_or(self.choice.mark, |resumed| resumed.mark),
            resumes,
            bound: if EARLY { early::bound(&self.hello, &self.choice) } else { [0; 16] },
            client: resumed.and_then(|resumed| resumed.client),
            //= RFC 8446 4.2.9: none for who could not resume with an exchange of keys
            tickets: if self.choice.resumable { server.ticket_count } else { 0 },
        });
        //= RFC 8446 4.3.2: who resumes is not asked
        Ok(match (takes_early_data, ASKS && !resumes) {
            (true, _) => State::Early(expected),
            (false, true) => State::Certificate(expected),
            (false, false) => State::Finished(expected),
        })
    }

    /// What is read with after the server's hello.
    fn read_keys(
        &self,
        early: Option<(u32, TrafficSecret)>,
        handshake: &TrafficSecret,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let suite = self.choice.suite;
        if let Some((limit, secret)) = early {
            flight.step(Step::ReadKeys(Level::Early, suite, secret))?;
            return flight.step(Step::AcceptEarlyData(limit));
        }
        flight.step(Step::ReadKeys(Level::Handshake, suite, handshake.clone()))?;
        //= RFC 8446 4.2.10: what comes early and is not accepted is skipped
        if self.hello.early_data {
            flight.step(Step::SkipEarlyData)?;
        }
        Ok(())
    }

    /// How much early data is accepted, and the secret of what protects it; `None` when none is.
    fn early<const ASKS: bool, const EARLY: bool>(
        &self,
        resumed: Option<&Resumed>,
        server: &Server<ASKS, EARLY>,
        around: &Surroundings<'_>,
        flight: &mut Flight,
    ) -> Option<(u32, TrafficSecret)> {
        let early = server.early.as_ref().filter(|_| EARLY && self.hello.early_data)?;
        let wanted = around.early;
        let verdict = early.admit(&self.hello, &self.choice, resumed, wanted, around.now);
        flight.early = Some(verdict);
        verdict.ok()?;
        let secret = resumed?.secret.early_traffic(&self.transcript.digest());
        if let Some(keys) = around.keys {
            keys.tell(EARLY_LABEL, self.hello.random, secret.bytes());
        }
        Some((early.limit, secret))
    }

    /// The earlier connection that the client offers and this server still takes. The hello is in
    /// the transcript then.
    fn resume<const ASKS: bool, const EARLY: bool>(
        &mut self,
        server: &Server<ASKS, EARLY>,
        around: &Surroundings<'_>,
    ) -> Result<Option<Resumed>, Fault> {
        let binders = self.hello.keys.map_or(0, |keys| keys.binders_length());
        let covered = self.message.len().saturating_sub(binders);
        let (covered, binders) = self.message.split_at_checked(covered).unwrap_or_default();
        self.transcript.add(covered);
        let resumed = match self.hello.keys {
            None => None,
            Some(_) => {
                let digest = self.transcript.digest();
                negotiate::resume(&self.hello, &self.choice, &digest, server, around)?
            }
        };
        self.transcript.add(binders);
        Ok(resumed)
    }

    /// What comes between the server's hello and its Finished.
    fn protected<const ASKS: bool, const EARLY: bool>(
        &mut self,
        resumes: bool,
        takes_early_data: bool,
        server: &Server<ASKS, EARLY>,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let start = flight.bytes.len();
        messages::encrypted_extensions(
            &mut flight.bytes,
            self.choice.is_named && !resumes,
            self.choice.protocol,
            self.choice.record_size_limit.is_some(),
            takes_early_data,
        );
        if resumes {
            self.say(flight, start);
            return Ok(());
        }
        if ASKS && let Some(clients) = server.clients {
            flight.bytes.extend_from_slice(&clients.request);
        }
        let entry = server.certificates.get(self.choice.certificate).ok_or(Fault::Internal)?;
        let message = entry.message(self.hello.wants_status, around.unix_secs);
        flight.bytes.extend_from_slice(message);
        self.say(flight, start);
        let scheme = self.choice.scheme.ok_or(Fault::NoCommonSignature)?;
        let (start, digest) = (flight.bytes.len(), self.transcript.digest());
        let key = (&entry.key, scheme);
        proof::give(&mut flight.bytes, proof::SERVER_CONTEXT, &digest, key, around.random)?;
        self.say(flight, start);
        Ok(())
    }

    /// Adds what was written to the flight since `start` to the transcript.
    fn say(&mut self, flight: &Flight, start: usize) {
        self.transcript.add(flight.bytes.get(start..).unwrap_or_default());
    }
}

/// The longest digest fits where lengths of one byte are written.
const _: () = assert!(Hash::Sha384.length() < 256);
