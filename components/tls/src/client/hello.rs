//! What a client says first (RFC 8446 section 4.1.2).

use super::{Client, Remembered, Target};
use crate::alert::Fault;
use crate::crypto::{Group, Keys, Transcript};
use crate::handshake::{Surroundings, proof};
use crate::key_schedule::EarlySecret;
use crate::wire::Writer;
use crate::wire::codes::{OCSP, PSK_DHE_KE, TLS12, TLS13, extension, message};
use crate::wire::record::PLAINTEXT_MAX;
use alloc::vec::Vec;

/// What was said, as far as the server's answer is measured by it.
pub(super) struct Said {
    pub(super) random: [u8; 32],
    /// For the sake of middleboxes (appendix D.4).
    pub(super) session_id: [u8; 32],
    /// The groups whose public keys were shown.
    pub(super) shown: heapless::Vec<Group, 4>,
    pub(super) keys: Keys,
    /// The connection that may go on.
    pub(super) remembered: Option<Remembered>,
}

impl Said {
    /// A hello that nothing was said of yet.
    pub(super) fn new(client: &mut Client, target: &Target, around: &mut Surroundings<'_>) -> Self {
        // It fits: there are four groups.
        let shown: heapless::Vec<_, 4> =
            client.groups.iter().take(client.shares).copied().collect();
        Self {
            random: around.random.bytes(),
            session_id: around.random.bytes(),
            keys: Keys::new(&shown, around.random),
            shown,
            remembered: client.sessions.take(target, around),
        }
    }

    /// The message. `before` is what the transcript holds already, where this is the second one.
    pub(super) fn message(
        &self,
        client: &Client,
        target: &Target,
        cookie: &[u8],
        before: Option<&Transcript>,
        around: &Surroundings<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::with_capacity(2048);
        Writer(&mut bytes).message(message::CLIENT_HELLO, |body| {
            body.u16(TLS12);
            body.bytes(&self.random);
            body.vector::<1>(|id| id.bytes(&self.session_id));
            body.vector::<2>(|list| client.suites.iter().for_each(|suite| list.u16(suite.code())));
            body.vector::<1>(|methods| methods.u8(0)); // no compression
            body.vector::<2>(|extensions| {
                self.extensions(extensions, client, target, cookie, around)
            });
        });
        if let Some(remembered) = &self.remembered {
            bind(&mut bytes, remembered, before)?;
        }
        Ok(bytes)
    }

    fn extensions(
        &self,
        list: &mut Writer<'_>,
        client: &Client,
        target: &Target,
        cookie: &[u8],
        around: &Surroundings<'_>,
    ) {
        list.extension(extension::SUPPORTED_VERSIONS, |content| {
            content.vector::<1>(|versions| versions.u16(TLS13));
        });
        // RFC 6066 section 3: names, and no addresses.
        if let Some(name) = target.host_name() {
            list.extension(extension::SERVER_NAME, |content| {
                content.vector::<2>(|names| {
                    names.u8(0);
                    names.vector::<2>(|bytes| bytes.bytes(name.as_bytes()));
                });
            });
        }
        // RFC 6066 section 8: of anybody, and with nothing special.
        list.extension(extension::STATUS_REQUEST, |content| {
            content.u8(OCSP);
            content.u16(0);
            content.u16(0);
        });
        list.extension(extension::SUPPORTED_GROUPS, |content| {
            content.vector::<2>(|groups| {
                client.groups.iter().for_each(|group| groups.u16(group.code()));
            });
        });
        list.extension(extension::SIGNATURE_ALGORITHMS, |content| {
            content.vector::<2>(|schemes| {
                proof::offer(client.schemes, schemes);
            });
        });
        if !client.protocols.is_empty() {
            list.extension(extension::ALPN, |content| {
                content.vector::<2>(|names| {
                    for name in client.protocols {
                        names.vector::<1>(|bytes| bytes.bytes(name.as_bytes()));
                    }
                });
            });
        }
        list.extension(extension::RECORD_SIZE_LIMIT, |content| {
            content.u16(PLAINTEXT_MAX as u16 + 1);
        });
        list.extension(extension::KEY_SHARE, |content| {
            content.vector::<2>(|shares| {
                for group in &self.shown {
                    shares.u16(group.code());
                    shares.vector::<2>(|key| self.keys.share(*group, |part| key.bytes(part)));
                }
            });
        });
        if !cookie.is_empty() {
            list.extension(extension::COOKIE, |content| {
                content.vector::<2>(|bytes| bytes.bytes(cookie));
            });
        }
        list.extension(extension::PSK_KEY_EXCHANGE_MODES, |content| {
            content.vector::<1>(|modes| modes.u8(PSK_DHE_KE));
        });
        //= RFC 8446 4.2.11: the last of all
        if let Some(remembered) = &self.remembered {
            pre_shared_key(list, remembered, around);
        }
    }
}

/// The ticket, and room for its binder, which is put in when everything before it is known.
fn pre_shared_key(list: &mut Writer<'_>, remembered: &Remembered, around: &Surroundings<'_>) {
    list.extension(extension::PRE_SHARED_KEY, |content| {
        content.vector::<2>(|identities| {
            identities.vector::<2>(|ticket| ticket.bytes(&remembered.ticket));
            identities.u32(remembered.obfuscated_age(around.now));
        });
        content.vector::<2>(|binders| {
            let zeros = [0; 48];
            let length = remembered.suite.hash().length();
            binders.vector::<1>(|one| one.bytes(zeros.get(..length).unwrap_or_default()));
        });
    });
}

//= RFC 8446 4.2.11.2: the binder is made over everything that stands before the binders
fn bind(
    message: &mut [u8],
    remembered: &Remembered,
    before: Option<&Transcript>,
) -> Result<(), Fault> {
    let hash = remembered.suite.hash();
    let place = message.len().saturating_sub(hash.length());
    let (front, binder) = message.split_at_mut_checked(place).ok_or(Fault::Internal)?;
    let covered = front.len().saturating_sub(3); // the lengths of the list and of its only one
    let mut transcript = before.cloned().unwrap_or_else(|| Transcript::new(hash));
    transcript.add(front.get(..covered).unwrap_or_default());
    let made = EarlySecret::new(hash, &remembered.key).binder(&transcript.digest());
    binder.iter_mut().zip(made.bytes()).for_each(|(room, byte)| *room = *byte);
    Ok(())
}
