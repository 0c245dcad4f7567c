//! That the other end has the key of its certificate (RFC 8446 section 4.4.3): the same for both
//! ends, but for the words that are signed.

use crate::alert::Fault;
use crate::crypto::{Digest, Distrust, Presented, Scheme, SigningKey};
use crate::wire::codes::message;
use crate::wire::{Reader, Writer};
use alloc::string::String;
use alloc::vec::Vec;
use waitless::Random;

/// What tells a server's signature from others.
pub(crate) const SERVER_CONTEXT: &[u8; 34] = b"TLS 1.3, server CertificateVerify\0";
/// What tells a client's.
pub(crate) const CLIENT_CONTEXT: &[u8; 34] = b"TLS 1.3, client CertificateVerify\0";

/// How long somebody is believed without showing the certificate again, in seconds (section
/// 4.6.1: also when each connection resumes the one before).
pub(crate) const BELIEVED_MAX: u64 = 86_400;

/// rsa_pkcs1_sha256, rsa_pkcs1_sha384, rsa_pkcs1_sha512: of certificates only (section 4.2.3).
const RSA_PKCS1: [u16; 3] = [0x0401, 0x0501, 0x0601];

/// Lists `schemes` of signatures that are taken, and those that are taken in certificates.
pub(crate) fn offer(schemes: &[Scheme], list: &mut Writer<'_>) {
    schemes.iter().for_each(|scheme| list.u16(scheme.code()));
    RSA_PKCS1.iter().for_each(|scheme| list.u16(*scheme));
}

/// What a signature is made over: `digest` is the transcript's, up to the certificate.
pub(crate) fn to_be_signed(context: &[u8; 34], digest: &Digest) -> heapless::Vec<u8, 160> {
    let parts = [&[b' '; 64][..], context, digest.bytes()];
    let mut content = heapless::Vec::new();
    // It fits: 64, 34 and at most 48 bytes.
    parts.iter().for_each(|part| drop(content.extend_from_slice(part)));
    content
}

/// Adds a CertificateVerify to `out`: a signature by `key`, one of whose schemes is `scheme`.
pub(crate) fn give(
    out: &mut Vec<u8>,
    context: &[u8; 34],
    digest: &Digest,
    (key, scheme): (&SigningKey, Scheme),
    random: &mut Random,
) -> Result<(), Fault> {
    let signature = key.sign(scheme, &to_be_signed(context, digest), random)?;
    Writer(out).message(message::CERTIFICATE_VERIFY, |body| {
        body.u16(scheme.code());
        body.vector::<2>(|bytes| bytes.bytes(&signature));
    });
    Ok(())
}

/// Checks `body`, a CertificateVerify without its header, with the key of the certificate `own`,
/// in DER. More about what is wrong goes into `detail`.
pub(crate) fn check(
    body: &[u8],
    context: &[u8; 34],
    digest: &Digest,
    own: &[u8],
    offered: &[Scheme],
    detail: &mut Option<String>,
) -> Result<(), Fault> {
    let mut reader = Reader::new(body);
    let scheme = Scheme::from_code(reader.u16()?).filter(|scheme| offered.contains(scheme));
    let scheme = scheme.ok_or(Fault::SchemeNotOffered)?;
    let signature = reader.vector16(0..=0xffff)?;
    reader.end()?;
    let content = to_be_signed(context, digest);
    let own = Presented(alloc::vec![own.into()]);
    own.verify(scheme, &content, signature).map_err(|why| match why {
        // The key is of another kind.
        Distrust::Unsupported(text) => {
            *detail = Some(text);
            Fault::SchemeNotOffered
        }
        _ => Fault::BadSignature,
    })
}

/// What a certificate that is not believed is called, and more about it in `detail`.
pub(crate) fn fault_of(why: Distrust, detail: &mut Option<String>) -> Fault {
    let (fault, text) = match why {
        Distrust::Expired(text) => (Fault::CertificateExpired, text),
        Distrust::NotYet(text) => (Fault::CertificateNotYetGood, text),
        Distrust::OtherName(text) => (Fault::CertificateOfOther, text),
        Distrust::Unknown => (Fault::CertificateUnknown, String::new()),
        Distrust::NotAllowed(text) => (Fault::CertificateNotAllowed, text),
        Distrust::Unsupported(text) => (Fault::CertificateUnsupported, text),
        Distrust::Broken(text) => (Fault::CertificateBroken, text),
    };
    *detail = Some(text).filter(|text| !text.is_empty());
    fault
}
