//! What a server wants to know of its clients: who they are, by a certificate that leads to one
//! whom it trusts (RFC 8446 sections 4.3.2, 4.4.2 and 4.4.3).

use super::{ExpectFinished, State, Surroundings, proof};
use crate::ClientCertificate;
use crate::alert::Fault;
use crate::crypto::{Anchors, Identity, Presented, Scheme};
use crate::wire::Writer;
use crate::wire::codes::{extension, message};
use crate::wire::server::certificates;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use waitless::InitError;

/// Who may vouch for clients, and whether somebody must.
pub struct Clients {
    anchors: Anchors,
    required: bool,
    /// The whole message that asks for a certificate.
    pub(super) request: Vec<u8>,
}

/// A certificate that was found good, of a client that has not shown yet to have its key.
pub(super) struct Shown {
    pub(super) expected: Box<ExpectFinished>,
    /// In DER.
    own: Vec<u8>,
    identity: Identity,
}

/// Bytes of the names of those who may vouch that are told to clients, to choose by. With more of
/// them, clients choose without.
const AUTHORITIES_MAX: usize = 4096;

impl Clients {
    /// Those whom one of `trust` vouches for, each in DER.
    ///
    /// # Errors
    /// Why nobody can be trusted.
    pub fn new(
        trust: Option<&[&'static [u8]]>,
        wanted: ClientCertificate,
    ) -> Result<Self, InitError> {
        let nobody = InitError("nobody is trusted to vouch for clients: set `clients`");
        let trust = trust.filter(|trust| !trust.is_empty()).ok_or(nobody)?;
        let anchors = Anchors::new(trust);
        let anchors = anchors.map_err(|_| InitError("a trusted certificate cannot be read"))?;
        let request = request(&anchors);
        Ok(Self { anchors, required: wanted == ClientCertificate::Required, request })
    }

    /// The message that asks.
    #[cfg(test)]
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Bytes of what is asked.
    pub fn longest(&self) -> usize {
        self.request.len()
    }

    /// Reads the client's Certificate, and says what comes next.
    pub(super) fn certificate(
        &self,
        whole: &[u8],
        mut expected: Box<ExpectFinished>,
        around: &Surroundings<'_>,
        detail: &mut Option<String>,
    ) -> Result<State, Fault> {
        let chain = certificates(whole.get(4..).ok_or(Fault::Truncated)?, false)?;
        expected.hear(whole);
        let Some(own) = chain.first().map(|own| own.to_vec()) else {
            //= RFC 8446 4.4.2.4: who must have a certificate and has none is told so
            if self.required {
                return Err(Fault::CertificateMissing);
            }
            return Ok(State::Finished(expected));
        };
        // Nobody is believed because nobody knows better.
        let now = around.unix_secs.ok_or(Fault::NoClock)?;
        let chain = Presented(chain.into_iter().map(Into::into).collect());
        let mut identity =
            self.anchors.check_client(&chain, now).map_err(|why| proof::fault_of(why, detail))?;
        identity.until = identity.until.min(now + proof::BELIEVED_MAX);
        Ok(State::Proof(Box::new(Shown { expected, own, identity })))
    }

    /// Whether who resumes need not show anything. `client` is who it was then, if it said.
    pub(crate) fn remembers(&self, client: Option<&Identity>, unix_secs: Option<u64>) -> bool {
        match client {
            None => !self.required,
            Some(identity) => unix_secs.is_some_and(|now| now < identity.until),
        }
    }
}

impl Shown {
    //= RFC 8446 4.4.3: the client has the key of its certificate, and has signed all of this
    pub(super) fn proof(
        mut self,
        whole: &[u8],
        detail: &mut Option<String>,
    ) -> Result<State, Fault> {
        let body = whole.get(4..).ok_or(Fault::Truncated)?;
        let digest = &self.expected.digest;
        proof::check(body, proof::CLIENT_CONTEXT, digest, &self.own, &Scheme::ALL, detail)?;
        self.expected.hear(whole);
        self.expected.client = Some(Box::new(self.identity));
        Ok(State::Finished(self.expected))
    }
}

//= RFC 8446 4.3.2: what signatures are taken, and of whom
fn request(anchors: &Anchors) -> Vec<u8> {
    let mut bytes = Vec::new();
    Writer(&mut bytes).message(message::CERTIFICATE_REQUEST, |body| {
        body.u8(0); // no context: it is asked once
        body.vector::<2>(|list| {
            list.extension(extension::SIGNATURE_ALGORITHMS, |content| {
                content.vector::<2>(|schemes| proof::offer(&Scheme::ALL, schemes));
            });
            let total: usize = anchors.subjects().map(|subject| subject.len() + 2).sum();
            if total <= AUTHORITIES_MAX {
                list.extension(extension::CERTIFICATE_AUTHORITIES, |content| {
                    content.vector::<2>(|names| {
                        anchors.subjects().for_each(|subject| {
                            names.vector::<2>(|name| name.bytes(&subject));
                        });
                    });
                });
            }
        });
    });
    bytes
}
