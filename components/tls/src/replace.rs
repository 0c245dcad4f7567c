//! Certificates that take the place of others while connections go on: see [`CertificatePort`].

use crate::Tls;
use crate::crypto::{Facts, SigningKey, sha256};
use crate::handshake::{Certificates, Entry, Server, matches};
use crate::pem::{Block, blocks};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use waitless::calendar::date_of;
use waitless::{Certificate, CertificateOffer, CertificatePort, CertificateRefusal, RefusalKind};

impl<const ASKS: bool, const EARLY: bool> CertificatePort for Tls<Server<ASKS, EARLY>> {
    fn certificate(&self, place: usize) -> Option<Certificate> {
        let entry = self.shared.as_ref()?.role.certificates.all().get(place)?;
        let own = entry.certificates().next()?;
        let facts = Facts::of(own);
        let times = facts.as_ref().map_or((0, 0), |facts| (facts.not_before, facts.not_after));
        Some(Certificate {
            names: entry.names.iter().map(ToString::to_string).collect(),
            subject: facts.as_ref().map(Facts::subject_text).unwrap_or_default(),
            serial: facts.map(|facts| facts.serial).unwrap_or_default(),
            not_before: times.0,
            not_after: times.1,
            sha256: sha256(&[own]),
            key: entry.key.kind(),
            chain: entry.certificates().count(),
            stapled: entry.is_stapled(),
        })
    }

    fn replace(&mut self, offer: &CertificateOffer<'_>) -> Result<usize, CertificateRefusal> {
        let refusal = |kind| move |text| CertificateRefusal { kind, text };
        let shared = self.shared.as_mut();
        let all = shared.map(|shared| &mut shared.role.certificates);
        let all =
            all.ok_or_else(|| refusal(RefusalKind::Unknown)("nothing is in service".into()))?;
        let place = place(all, offer.which)?;
        let blocks = blocks(offer.pem).map_err(refusal(RefusalKind::Unreadable))?;
        let key = key(&blocks).map_err(refusal(RefusalKind::Unreadable))?;
        let chain = chain(&blocks).map_err(refusal(RefusalKind::Unreadable))?;
        let unfit = refusal(RefusalKind::Unfit);
        let own = fit(&chain, &key, offer.unix_secs).map_err(unfit)?;
        let unfit = refusal(RefusalKind::Unfit);
        let entry = all.get_mut(place).ok_or_else(|| unfit("it is gone".into()))?;
        let names = own.names.iter().cloned().map(Cow::Owned).collect();
        covers(own, entry, offer.other_names).map_err(refusal(RefusalKind::Unfit))?;
        let ders: Vec<&[u8]> = chain.iter().map(|(der, _)| *der).collect();
        // The old key is wiped. What the issuer says of the old certificate is shown for that
        // alone: it stays where the certificate does.
        *entry = Entry::new(names, &ders, key).stapled_as(entry);
        Ok(place)
    }
}

/// The place of the certificate that `which` names.
fn place(all: &Certificates, which: &str) -> Result<usize, CertificateRefusal> {
    let count = all.all().len();
    if let Some(place) = Certificate::place(which) {
        if place < count {
            return Ok(place);
        }
        let text = format!("there is no place {place}: the last one is {}", count - 1);
        return Err(CertificateRefusal { kind: RefusalKind::Unknown, text });
    }
    let is_for = |entry: &Entry| entry.names.iter().any(|name| name.eq_ignore_ascii_case(which));
    let found = all.all().iter().enumerate().filter(|(_, entry)| is_for(entry));
    let found: Vec<_> = found.map(|(place, _)| place).collect();
    match &found[..] {
        [place] => Ok(*place),
        [] => {
            let names = all.all().iter().flat_map(|entry| &entry.names).map(|name| &**name);
            let names = names.take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
            let text = format!(
                "no certificate in service is for `{which}`: name one of {names}, or a place"
            );
            Err(CertificateRefusal { kind: RefusalKind::Unknown, text })
        }
        several => {
            let places = several.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text = format!(
                "several certificates are for `{which}`: name the place of one, of {places}"
            );
            Err(CertificateRefusal { kind: RefusalKind::Ambiguous, text })
        }
    }
}

/// Names that a message lists.
const NAMES_SHOWN: usize = 16;

/// The one private key among `blocks`.
fn key(blocks: &[Block<'_>]) -> Result<SigningKey, String> {
    let mut keys = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
    let (block, another) = (keys.next().ok_or(NO_KEY)?, keys.next());
    if another.is_some() {
        return Err("there are several private keys: send the certificate's alone".into());
    }
    let key = match block.label {
        "PRIVATE KEY" => SigningKey::from_pkcs8(&block.der),
        "EC PRIVATE KEY" => SigningKey::from_sec1(&block.der),
        "RSA PRIVATE KEY" => SigningKey::from_pkcs1(&block.der),
        "ENCRYPTED PRIVATE KEY" => {
            return Err("the private key is encrypted: decrypt it by `openssl pkey`".into());
        }
        label => return Err(format!("a private key of the kind {label} cannot be used: {KINDS}")),
    };
    key.map_err(|_| format!("the private key cannot be used: {KINDS}"))
}

const NO_KEY: &str = "there is no private key: send it behind the certificates, as PEM";
const KINDS: &str = "it must be of P-256, P-384, Ed25519, or RSA with 2,048 to 8,192 bits, as \
                     PKCS#8, SEC1 or PKCS#1";

/// The certificates among `blocks`, and what stands in them: one at least.
fn chain<'a>(blocks: &'a [Block<'_>]) -> Result<Vec<(&'a [u8], Facts)>, String> {
    let certificates = blocks.iter().filter(|block| block.label == "CERTIFICATE").zip(1..);
    let read = |(block, number): (&'a Block<'_>, usize)| {
        let facts = match number {
            1 => Facts::of(&block.der),
            _ => Facts::of_issuer(&block.der),
        };
        let why = || format!("certificate {number} cannot be read: it must be one of X.509 v3");
        Ok((block.der.as_slice(), facts.ok_or_else(why)?))
    };
    let chain = certificates.map(read).collect::<Result<Vec<_>, String>>()?;
    match chain.is_empty() {
        true => Err("there is no certificate: send it in front of its key, as PEM".into()),
        false => Ok(chain),
    }
}

/// How late the image's clock may be. One that counts whole seconds is late already when
/// a certificate arrives that was made a moment ago.
const CLOCK_LATE_SECS: u64 = 60;

/// Whether `chain` can be in service with `key`: its own certificate, if so.
fn fit<'a>(
    chain: &'a [(&[u8], Facts)],
    key: &SigningKey,
    unix_secs: Option<u64>,
) -> Result<&'a Facts, String> {
    let all = || chain.iter().map(|(_, facts)| facts).zip(1..);
    for ((this, number), (next, _)) in all().zip(all().skip(1)) {
        if this.issuer != next.subject {
            let next = number + 1;
            return Err(format!(
                "the chain is out of order: certificate {next} did not issue certificate {number}"
            ));
        }
    }
    for (facts, number) in all() {
        let Some(now) = unix_secs else { break };
        let (from, until) = (Time(facts.not_before), Time(facts.not_after));
        if now.saturating_add(CLOCK_LATE_SECS) < facts.not_before {
            let now = Time(now);
            return Err(format!("certificate {number} is good from {from} on, and it is {now}"));
        }
        if now >= facts.not_after {
            let now = Time(now);
            return Err(format!("certificate {number} was good until {until}, and it is {now}"));
        }
    }
    let (own, _) = all().next().ok_or("there is no certificate")?;
    if !own.signs {
        return Err("its key is not for signatures: its KeyUsage lacks digitalSignature".into());
    }
    if !key.belongs_to(&own.public) {
        let kind = key.kind();
        return Err(format!(
            "the private key, of {kind}, is not the certificate's: send the one it was made for"
        ));
    }
    Ok(own)
}

/// Whether the certificate `own` can stand in for `entry`, as far as its host names go.
fn covers(own: &Facts, entry: &Entry, other_names: bool) -> Result<(), String> {
    let names = &own.names;
    if names.is_empty() && own.addresses.is_empty() {
        return Err("it is for no host name: clients want a subjectAltName".into());
    }
    let is_covered = |old: &str| names.iter().any(|new| matches(new.as_bytes(), old.as_bytes()));
    let missing = entry.names.iter().find(|old| !is_covered(old)).filter(|_| !other_names);
    let Some(missing) = missing else { return Ok(()) };
    let shown = names.iter().take(NAMES_SHOWN).map(|name| &**name).collect::<Vec<_>>().join(", ");
    Err(format!(
        "it is for {shown}, and not for `{missing}`, which the one in service is for: \
         send one for all its names, or allow others by `?names=other`"
    ))
}

/// A time, for a message.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / 86_400);
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}
