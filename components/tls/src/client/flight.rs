//! What a server says under the keys of the handshake, and the client's answer
//! (RFC 8446 sections 4.3 and 4.4).

use super::answer::misplaced;
use super::{Client, Late, State, Target};
use crate::alert::Fault;
use crate::crypto::{Distrust, Presented, Scheme, Secret, Suite, Transcript, equal};
use crate::handshake::messages::SERVER_CONTEXT;
use crate::handshake::{Flight, Level, Step, Surroundings, messages};
use crate::key_schedule::{Schedule, Traffic, finished};
use crate::wire::codes::{extension, message};
use crate::wire::server::{Extensions, certificate_request, certificates};
use crate::wire::{Reader, Writer};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// The rest of the server's flight is awaited.
pub(super) struct Flighted {
    pub(super) target: Target,
    pub(super) suite: Suite,
    /// Up to the last message.
    pub(super) transcript: Transcript,
    /// At the handshake secret.
    pub(super) schedule: Schedule,
    pub(super) traffic: Traffic,
    pub(super) awaited: Awaited,
    pub(super) resumes: bool,
    /// The server wants a certificate of the client's.
    pub(super) asked: bool,
    /// The server's own certificate, once it was found good.
    pub(super) own: Vec<u8>,
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
        around: &Surroundings<'_>,
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
                certificate_request(body)?;
                self.asked = true;
                Awaited::Certificate
            }
            (Awaited::CertificateOrRequest | Awaited::Certificate, message::CERTIFICATE) => {
                self.own = self.believe(body, client, around)?;
                Awaited::Verify
            }
            (Awaited::Verify, message::CERTIFICATE_VERIFY) => {
                self.verify(body, client)?;
                Awaited::Finished
            }
            (Awaited::Finished, message::FINISHED) => return self.finish(whole, flight),
            _ => return Err(Fault::UnexpectedMessage),
        };
        self.transcript.add(whole);
        Ok(State::Flight(self))
    }

    /// Whether the server is who it should be, if it has the key: its own certificate.
    fn believe(
        &self,
        body: &[u8],
        client: &mut Client,
        around: &Surroundings<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let chain = certificates(body)?;
        // Nothing is believed because nobody knows better.
        let now = around.unix_secs.ok_or(Fault::NoClock)?;
        let own = chain.first().map_or_else(Vec::new, |own| own.to_vec());
        let chain = Presented(chain.into_iter().map(Into::into).collect());
        match client.anchors.check(&chain, &self.target.name, now) {
            Ok(()) => Ok(own),
            Err(why) => Err(fault_of(why, client)),
        }
    }

    //= RFC 8446 4.4.3: the server has the key of its certificate, and has signed all of this
    fn verify(&self, body: &[u8], client: &mut Client) -> Result<(), Fault> {
        let mut reader = Reader::new(body);
        let scheme = Scheme::from_code(reader.u16()?);
        let scheme = scheme.filter(|scheme| client.schemes.contains(scheme));
        let scheme = scheme.ok_or(Fault::SchemeNotOffered)?;
        let signature = reader.vector16(0..=0xffff)?;
        reader.end()?;
        let content = messages::to_be_signed(SERVER_CONTEXT, &self.transcript.digest());
        let own = Presented(alloc::vec![self.own.as_slice().into()]);
        own.verify(scheme, &content, signature).map_err(|why| match why {
            // The key is of another kind.
            Distrust::Unsupported(text) => {
                client.detail = Some(text);
                Fault::SchemeNotOffered
            }
            _ => Fault::BadSignature,
        })
    }

    fn finish(mut self: Box<Self>, whole: &[u8], flight: &mut Flight) -> Result<State, Fault> {
        let hash = self.suite.hash();
        let mut reader = Reader::new(whole);
        reader.bytes(4)?;
        let verify = reader.bytes(hash.length())?;
        reader.end()?;
        let expected = finished(hash, &self.traffic.server, &self.transcript.digest());
        //= RFC 8446 4.4.4: what is wrong ends the handshake
        if !equal(verify, expected.bytes()) {
            return Err(Fault::BadFinished);
        }
        self.transcript.add(whole);
        let schedule = self.schedule.into_master();
        let application = schedule.application_traffic(&self.transcript.digest());
        let start = flight.bytes.len();
        //= RFC 8446 4.4.2: who is asked and has no certificate says so
        if self.asked {
            Writer(&mut flight.bytes).message(message::CERTIFICATE, |body| {
                body.u8(0); // no context
                body.vector::<3>(|_| {});
            });
        }
        self.transcript.add(flight.bytes.get(start..).unwrap_or_default());
        let verify = finished(hash, &self.traffic.client, &self.transcript.digest());
        let start = flight.bytes.len();
        messages::finished(&mut flight.bytes, verify.bytes());
        self.transcript.add(flight.bytes.get(start..).unwrap_or_default());
        flight.send(Level::Handshake)?;
        let resumption: Secret = schedule.resumption(&self.transcript.digest());
        flight.step(Step::WriteKeys(Level::Application, self.suite, application.client))?;
        flight.step(Step::ReadKeys(Level::Application, self.suite, application.server))?;
        flight.step(Step::Complete(self.resumes))?;
        let (target, suite) = (self.target, self.suite);
        Ok(State::Late(Box::new(Late { target, suite, resumption, tickets: 0 })))
    }
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
            extension::SERVER_NAME | extension::ALPN => return Err(Fault::ExtensionNotOffered),
            _ => return Err(misplaced(kind)),
        }
        content.end()?;
    }
    Ok(())
}

fn fault_of(why: Distrust, client: &mut Client) -> Fault {
    let (fault, detail) = match why {
        Distrust::Expired(text) => (Fault::CertificateExpired, text),
        Distrust::NotYet(text) => (Fault::CertificateNotYetGood, text),
        Distrust::OtherName(text) => (Fault::CertificateOfOther, text),
        Distrust::Unknown => (Fault::CertificateUnknown, String::new()),
        Distrust::NotAllowed(text) => (Fault::CertificateNotAllowed, text),
        Distrust::Unsupported(text) => (Fault::CertificateUnsupported, text),
        Distrust::Broken(text) => (Fault::CertificateBroken, text),
    };
    client.detail = Some(detail).filter(|detail| !detail.is_empty());
    fault
}
