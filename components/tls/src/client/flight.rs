//! What a server says under the keys of the handshake, and the client's answer
//! (RFC 8446 sections 4.3 and 4.4).

use super::{Client, Late, State, Target};
use crate::alert::Fault;
use crate::crypto::{Presented, Scheme, Secret, Suite, Transcript, equal};
use crate::handshake::{Flight, Level, Step, Surroundings, messages, proof};
use crate::key_schedule::{APPLICATION_LABELS, Schedule, Traffic};
use crate::wire::codes::{extension, message};
use crate::wire::server::{Extensions, certificate_request, certificates, place, unexpected};
use crate::wire::{Reader, Writer};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The rest of the server's flight is awaited.
pub(super) struct Flighted {
    pub(super) target: Target,
    /// Of the client's hello.
    pub(super) random: [u8; 32],
    pub(super) suite: Suite,
    /// Up to the last message.
    pub(super) transcript: Transcript,
    /// At the handshake secret.
    pub(super) schedule: Schedule,
    pub(super) traffic: Traffic,
    pub(super) awaited: Awaited,
    pub(super) resumes: bool,
    /// The server wants a certificate of the client's: which one that is, and how to sign with it,
    /// where there is one.
    pub(super) asked: Option<Option<(u8, Scheme)>>,
    /// The server's own certificate, once it was found good.
    pub(super) own: Vec<u8>,
    /// Until when the server is believed, now or since the connection that goes on, in seconds
    /// since 1970.
    pub(super) until: u64,
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    Extensions,
    /// A certificate, or first the request for one.
    CertificateOrRequest,
    Certificate,
    Verify,
    Finished,
}

impl Flighted {
    pub(super) fn read(
        mut self: Box<Self>,
        whole: &[u8],
        client: &mut Client,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        let kind = whole.first().copied().ok_or(Fault::EmptyFragment)?;
        let body = whole.get(4..).ok_or(Fault::Truncated)?;
        self.awaited = match (self.awaited, kind) {
            (Awaited::Extensions, message::ENCRYPTED_EXTENSIONS) => {
                encrypted_extensions(body, &self.target, client, flight)?;
                if self.resumes { Awaited::Finished } else { Awaited::CertificateOrRequest }
            }
            (Awaited::CertificateOrRequest, message::CERTIFICATE_REQUEST) => {
                let schemes = certificate_request(body)?;
                let own = client.own.as_ref().map(|own| own.choose(None, Some(schemes)));
                self.asked = Some(own.and_then(|it| Some((it.index, it.scheme?))));
                Awaited::Certificate
            }
            (Awaited::CertificateOrRequest | Awaited::Certificate, message::CERTIFICATE) => {
                (self.own, self.until) = self.believe(body, client, around)?;
                Awaited::Verify
            }
            (Awaited::Verify, message::CERTIFICATE_VERIFY) => {
                let (schemes, detail) = (client.schemes, &mut client.detail);
                let digest = self.transcript.digest();
                //= RFC 8446 4.4.3: the server has the key of its certificate, and has signed this
                proof::check(body, proof::SERVER_CONTEXT, &digest, &self.own, schemes, detail)?;
                Awaited::Finished
            }
            (Awaited::Finished, message::FINISHED) => {
                return self.finish(whole, client, around, flight);
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        self.transcript.add(whole);
        Ok(State::Flight(self))
    }

    /// Whether the server is who it should be, if it has the key: its own certificate, and until
    /// when that is believed.
    fn believe(
        &self,
        body: &[u8],
        client: &mut Client,
        around: &Surroundings<'_>,
    ) -> Result<(Vec<u8>, u64), Fault> {
        let chain = certificates(body, true)?;
        //= RFC 8446 4.4.2.4: a server has a certificate
        let own = chain.first().ok_or(Fault::NoCertificate)?.to_vec();
        // Nothing is believed because nobody knows better.
        let now = around.unix_secs.ok_or(Fault::NoClock)?;
        let chain = Presented(chain.into_iter().map(Into::into).collect());
        match client.anchors.check(&chain, &self.target.name, now) {
            Ok(until) => Ok((own, until.min(now + proof::BELIEVED_MAX))),
            Err(why) => Err(proof::fault_of(why, &mut client.detail)),
        }
    }

    fn finish(
        mut self: Box<Self>,
        whole: &[u8],
        client: &Client,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<State, Fault> {
        let hash = self.suite.hash();
        let mut reader = Reader::new(whole);
        reader.bytes(4)?;
        let verify = reader.bytes(hash.length())?;
        reader.end()?;
        let expected = self.traffic.server.finished(&self.transcript.digest());
        //= RFC 8446 4.4.4: what is wrong ends the handshake
        if !equal(verify, expected.bytes()) {
            return Err(Fault::BadFinished);
        }
        self.transcript.add(whole);
        let digest = self.transcript.digest();
        let shown = match self.asked {
            Some(chosen) => {
                self.show(chosen, client, around, flight)?;
                self.transcript.digest()
            }
            None => digest,
        };
        let verify = self.traffic.client.finished(&shown);
        let start = flight.bytes.len();
        messages::finished(&mut flight.bytes, verify.bytes());
        self.say(flight, start);
        flight.send(Level::Handshake)?;
        let schedule = self.schedule.into_master();
        let application = schedule.application_traffic(&digest);
        application.tell(around.keys, APPLICATION_LABELS, &self.random);
        let resumption: Secret = schedule.resumption(&self.transcript.digest());
        flight.step(Step::WriteKeys(Level::Application, self.suite, application.client))?;
        flight.step(Step::ReadKeys(Level::Application, self.suite, application.server))?;
        flight.step(Step::Complete(self.resumes))?;
        let (target, suite, until) = (self.target, self.suite, self.until);
        Ok(State::Late(Box::new(Late { target, suite, resumption, until, tickets: 0 })))
    }

    /// Shows the certificate that was chosen, and that its key is here.
    fn show(
        &mut self,
        chosen: Option<(u8, Scheme)>,
        client: &Client,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let start = flight.bytes.len();
        let Some((index, scheme)) = chosen else {
            //= RFC 8446 4.4.2: who is asked and has no certificate says so
            none(&mut flight.bytes);
            self.say(flight, start);
            return Ok(());
        };
        let entry = client.own.as_ref().and_then(|own| own.get(index)).ok_or(Fault::Internal)?;
        flight.bytes.extend_from_slice(&entry.message);
        self.say(flight, start);
        let (start, digest) = (flight.bytes.len(), self.transcript.digest());
        let key = (&entry.key, scheme);
        proof::give(&mut flight.bytes, proof::CLIENT_CONTEXT, &digest, key, around.random)?;
        self.say(flight, start);
        Ok(())
    }

    /// Adds what was written to the flight since `start` to the transcript.
    fn say(&mut self, flight: &Flight, start: usize) {
        self.transcript.add(flight.bytes.get(start..).unwrap_or_default());
    }
}

/// No certificate.
fn none(bytes: &mut Vec<u8>) {
    Writer(bytes).message(message::CERTIFICATE, |body| {
        body.u8(0); // no context
        body.vector::<3>(|_| {});
    });
}

//= RFC 8446 4.3.1: answers to what was asked, and nothing else
fn encrypted_extensions(
    body: &[u8],
    target: &Target,
    client: &Client,
    flight: &mut Flight,
) -> Result<(), Fault> {
    let mut reader = Reader::new(body);
    let extensions = Extensions::parse(&mut reader)?;
    reader.end()?;
    for (kind, mut content) in extensions.iter() {
        match kind {
            extension::SERVER_NAME if target.host_name().is_some() => {}
            // Preferences for another time.
            extension::SUPPORTED_GROUPS => drop(content.vector16(2..=0xffff)?),
            extension::ALPN if !client.protocols.is_empty() => {
                let mut names = Reader::new(content.vector16(2..=0xffff)?);
                let name = names.vector8(1..=255)?;
                names.end()?;
                // RFC 7301 section 3.1: one of those that were offered.
                let offered = client.protocols.iter().any(|offered| offered.as_bytes() == name);
                if !offered {
                    return Err(Fault::ProtocolNotOffered);
                }
            }
            extension::RECORD_SIZE_LIMIT => {
                let limit = content.u16()?;
                //= RFC 8449 4: less would be no use
                if limit < 64 {
                    return Err(Fault::BadRecordSizeLimit);
                }
                flight.step(Step::RecordLimit(limit))?;
            }
            _ => return Err(unexpected(kind, place::ENCRYPTED_EXTENSIONS)),
        }
        content.end()?;
    }
    Ok(())
}
