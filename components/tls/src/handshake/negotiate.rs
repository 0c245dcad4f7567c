//! What both ends can do, and which of it is done.

use super::certificates::Mark;
use super::early::{Grant, Offer};
use super::{Server, Surroundings};
use crate::alert::Fault;
use crate::crypto::{Digest, Group, Identity, Scheme, Suite, equal};
use crate::key_schedule::EarlySecret;
use crate::wire::codes::{PSK_DHE_KE, SSL30, TLS13};
use crate::wire::hello::ClientHello;
use alloc::boxed::Box;

/// What was chosen from a hello.
pub(super) struct Choice<'a> {
    pub(super) suite: Suite,
    pub(super) certificate: u8,
    /// What tickets know it by.
    pub(super) mark: Mark,
    /// Whether the client named it.
    pub(super) is_named: bool,
    /// `None` where the client must resume, because it takes no signature.
    pub(super) scheme: Option<Scheme>,
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) record_size_limit: Option<u16>,
    /// Whether the client can resume connections, this or an earlier one.
    pub(super) resumable: bool,
}

/// An earlier connection that goes on.
pub(super) struct Resumed {
    /// The place of its key among those that were offered.
    pub(super) index: u16,
    /// The certificate that the client saw then.
    pub(super) mark: Mark,
    /// What the key schedule begins with.
    pub(super) secret: EarlySecret,
    /// Who the client was then.
    pub(super) client: Option<Box<Identity>>,
    /// What early data is judged by, where the server accepts it.
    pub(super) offer: Option<Offer>,
}

/// Keys of earlier connections that are looked at.
const KEYS_MAX: usize = 8;

/// The hello in `message`, when it is one of TLS 1.3.
pub(super) fn parse(message: &[u8]) -> Result<ClientHello<'_>, Fault> {
    let body = message.get(4..).ok_or(Fault::Truncated)?;
    let hello = ClientHello::parse(body)?;
    //= RFC 8446 D.5: whoever says SSL 3.0, or less, gets no answer of any version
    if hello.legacy_version <= SSL30 {
        return Err(Fault::NoCommonVersion);
    }
    //= RFC 8446 4.2.1: the list of versions alone says which there are
    if !hello.versions.is_some_and(|versions| versions.contains(TLS13)) {
        return Err(Fault::NoCommonVersion);
    }
    if hello.compression != [0] {
        return Err(Fault::BadCompression);
    }
    //= RFC 8446 9.2: what a hello cannot do without
    let with_key = hello.keys.is_some();
    //= RFC 8446 4.2.9: who exchanges keys to resume shows one
    let exchanges = hello.key_modes.is_some_and(|modes| modes.contains(&PSK_DHE_KE));
    if !with_key && (hello.signatures.is_none() || hello.groups.is_none())
        || hello.groups.is_some() != hello.key_shares.is_some()
        || exchanges && hello.groups.is_none()
    {
        return Err(Fault::MissingExtension);
    }
    if with_key && hello.key_modes.is_none() {
        return Err(Fault::MissingKeyModes);
    }
    if hello.record_size_limit.is_some_and(|limit| limit < 64) {
        return Err(Fault::BadRecordSizeLimit);
    }
    Ok(hello)
}

/// Everything but the group.
pub(super) fn choose<'a, const ASKS: bool, const EARLY: bool>(
    hello: &ClientHello<'a>,
    server: &Server<ASKS, EARLY>,
) -> Result<Choice<'a>, Fault> {
    let suite = suite(hello)?;
    let chosen = server.certificates.choose(hello.server_name, hello.signatures);
    let protocol = match hello.protocols {
        Some(offered) if !server.protocols.is_empty() => {
            let ours = server.protocols.iter().map(|name| name.as_bytes());
            let found = ours.into_iter().find(|name| offered.contains(name));
            Some(found.ok_or(Fault::NoCommonProtocol)?)
        }
        _ => None,
    };
    if chosen.scheme.is_none() && hello.keys.is_none() {
        return Err(Fault::NoCommonSignature);
    }
    Ok(Choice {
        suite,
        certificate: chosen.index,
        mark: chosen.mark,
        is_named: chosen.is_named,
        scheme: chosen.scheme,
        protocol,
        record_size_limit: hello.record_size_limit,
        resumable: hello.key_modes.unwrap_or_default().contains(&PSK_DHE_KE),
    })
}

/// Ours first, unless the client would rather not do AES, having no instructions for it.
fn suite(hello: &ClientHello<'_>) -> Result<Suite, Fault> {
    let first = hello.suites.iter().find_map(Suite::from_code).ok_or(Fault::NoCommonSuite)?;
    if first == Suite::ChaCha20Poly1305Sha256 {
        return Ok(first);
    }
    let offered = |suite: &Suite| hello.suites.contains(suite.code());
    Suite::ALL.into_iter().find(offered).ok_or(Fault::NoCommonSuite)
}

/// The best of the groups that the client sent a key of; `None` when it sent none that we know.
pub(super) fn share<'a>(hello: &ClientHello<'a>) -> Result<Option<(Group, &'a [u8])>, Fault> {
    let shares = hello.key_shares.ok_or(Fault::NoCommonGroup)?;
    let of = |group: Group| Some((group, shares.of(group.code())?));
    Ok(Group::ALL.into_iter().find_map(of))
}

/// The best of the groups that the client can do.
pub(super) fn group(hello: &ClientHello<'_>) -> Result<Group, Fault> {
    let groups = hello.groups.ok_or(Fault::NoCommonGroup)?;
    let offered = |group: &Group| groups.contains(group.code());
    Group::ALL.into_iter().find(offered).ok_or(Fault::NoCommonGroup)
}

//= RFC 8446 4.1.2: the second hello has one share, of the group that was asked for
pub(super) fn only_share<'a>(hello: &ClientHello<'a>, group: Group) -> Result<&'a [u8], Fault> {
    let mut shares = hello.key_shares.ok_or(Fault::IgnoredRetry)?.iter();
    match (shares.next(), shares.next()) {
        (Some((code, share)), None) if code == group.code() => Ok(share),
        _ => Err(Fault::IgnoredRetry),
    }
}

/// The first of the offered keys that is good, if any is. `digest` is the transcript's up to
/// the binders.
pub(super) fn resume<const ASKS: bool, const EARLY: bool>(
    hello: &ClientHello<'_>,
    choice: &Choice<'_>,
    digest: &Digest,
    server: &Server<ASKS, EARLY>,
    around: &Surroundings<'_>,
) -> Result<Option<Resumed>, Fault> {
    let Some(keys) = hello.keys.filter(|_| choice.resumable) else {
        return may_sign(hello, choice);
    };
    for (index, (identity, binder)) in keys.iter().enumerate().take(KEYS_MAX) {
        let Some(mut contents) = server.tickets.open(identity, around.now) else { continue };
        let grant = if EARLY { Grant::take(&mut contents.said) } else { None };
        //= RFC 8446 4.2.11: the key's hash is that of the suite; and a name keeps its certificate
        // for as long as that is in service, also where others are for it, or the client does not
        // say what signatures it takes.
        let mark = contents.certificate;
        let fits = contents.suite.hash() == choice.suite.hash()
            && server.certificates.has(mark, hello.server_name);
        if !fits {
            continue;
        }
        let client = if ASKS { Identity::from_bytes(&contents.said).map(Box::new) } else { None };
        //= RFC 8446 4.6.1: what was shown once is believed for a time, and no longer
        if ASKS
            && let Some(clients) = server.clients
            && !clients.remembers(client.as_deref(), around.unix_secs)
        {
            continue;
        }
        let hash = choice.suite.hash();
        let secret = EarlySecret::new(hash, &contents.key);
        if !equal(binder, secret.binder(digest).bytes()) {
            return Err(Fault::BadBinder);
        }
        let (suite, made) = (contents.suite, contents.made);
        let offer = grant.and_then(|grant| Offer::new(grant, suite, made, binder));
        return Ok(Some(Resumed { index: index as u16, mark, secret, client, offer }));
    }
    may_sign(hello, choice)
}

/// Who does not resume needs a signature.
fn may_sign(hello: &ClientHello<'_>, choice: &Choice<'_>) -> Result<Option<Resumed>, Fault> {
    //= RFC 8446 4.2.3: who must be shown a certificate says what signatures it takes
    if hello.signatures.is_none() {
        return Err(Fault::MissingExtension);
    }
    choice.scheme.map(|_| None).ok_or(Fault::NoCommonSignature)
}
