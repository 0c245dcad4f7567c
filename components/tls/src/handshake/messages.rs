//! The messages that a server writes.

use crate::crypto::{Group, Suite};
use crate::wire::Writer;
use crate::wire::codes::{RETRY_RANDOM, TLS12, TLS13, extension, message};
use crate::wire::record::PLAINTEXT_MAX;
use alloc::vec::Vec;

/// What differs between hellos of a server.
pub(super) struct ServerHello<'a> {
    pub(super) session_id: &'a [u8],
    pub(super) suite: Suite,
    pub(super) group: Group,
    pub(super) share: &'a [u8],
    /// The place of the pre-shared key that is used.
    pub(super) key: Option<u16>,
}

/// RFC 8446 section 4.1.3.
pub(super) fn server_hello(out: &mut Vec<u8>, random: &[u8; 32], hello: &ServerHello<'_>) {
    let ServerHello { session_id, suite, group, share, key } = *hello;
    hello_like(out, random, session_id, suite, |extensions| {
        extensions.extension(extension::KEY_SHARE, |content| {
            content.u16(group.code());
            content.vector::<2>(|key| key.bytes(share));
        });
        extensions.extension(extension::SUPPORTED_VERSIONS, |content| content.u16(TLS13));
        if let Some(index) = key {
            extensions.extension(extension::PRE_SHARED_KEY, |content| content.u16(index));
        }
    });
}

/// RFC 8446 section 4.1.4.
pub(super) fn retry_request(
    out: &mut Vec<u8>,
    session_id: &[u8],
    suite: Suite,
    group: Group,
    cookie: &[u8],
) {
    hello_like(out, &RETRY_RANDOM, session_id, suite, |extensions| {
        extensions.extension(extension::SUPPORTED_VERSIONS, |content| content.u16(TLS13));
        extensions.extension(extension::KEY_SHARE, |content| content.u16(group.code()));
        extensions.extension(extension::COOKIE, |content| {
            content.vector::<2>(|bytes| bytes.bytes(cookie));
        });
    });
}

fn hello_like(
    out: &mut Vec<u8>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: Suite,
    extensions: impl FnOnce(&mut Writer<'_>),
) {
    Writer(out).message(message::SERVER_HELLO, |body| {
        body.u16(TLS12);
        body.bytes(random);
        body.vector::<1>(|id| id.bytes(session_id));
        body.u16(suite.code());
        body.u8(0); // no compression
        body.vector::<2>(extensions);
    });
}

/// RFC 8446 section 4.3.1: the answers to what the client has asked for.
pub(super) fn encrypted_extensions(
    out: &mut Vec<u8>,
    named: bool,
    protocol: Option<&[u8]>,
    limits_records: bool,
    takes_early_data: bool,
) {
    Writer(out).message(message::ENCRYPTED_EXTENSIONS, |body| {
        body.vector::<2>(|extensions| {
            if named {
                extensions.extension(extension::SERVER_NAME, |_| {});
            }
            if let Some(name) = protocol {
                extensions.extension(extension::ALPN, |content| {
                    content.vector::<2>(|list| list.vector::<1>(|bytes| bytes.bytes(name)));
                });
            }
            if limits_records {
                extensions.extension(extension::RECORD_SIZE_LIMIT, |content| {
                    content.u16(PLAINTEXT_MAX as u16 + 1);
                });
            }
            if takes_early_data {
                extensions.extension(extension::EARLY_DATA, |_| {});
            }
        });
    });
}

/// RFC 8446 section 4.4.4.
pub(crate) fn finished(out: &mut Vec<u8>, verify: &[u8]) {
    Writer(out).message(message::FINISHED, |body| body.bytes(verify));
}

/// A ticket for a client.
pub(super) struct NewTicket<'a> {
    pub(super) lifetime_secs: u32,
    /// What the client adds to its age.
    pub(super) age_add: u32,
    /// Which of a connection's it is.
    pub(super) number: u8,
    pub(super) ticket: &'a [u8],
    /// The most bytes of early data that it is good for, if it is for any.
    pub(super) early_data: Option<u32>,
}

/// RFC 8446 section 4.6.1.
pub(super) fn new_session_ticket(out: &mut Vec<u8>, new: &NewTicket<'_>) {
    Writer(out).message(message::NEW_SESSION_TICKET, |body| {
        body.u32(new.lifetime_secs);
        body.u32(new.age_add);
        body.vector::<1>(|nonce| nonce.u8(new.number));
        body.vector::<2>(|bytes| bytes.bytes(new.ticket));
        body.vector::<2>(|extensions| {
            if let Some(limit) = new.early_data {
                extensions.extension(extension::EARLY_DATA, |content| content.u32(limit));
            }
        });
    });
}
