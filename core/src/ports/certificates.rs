use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Certificates in service, each with its key, and how another takes the place of one while
/// connections go on.
///
/// One service stands on it: two that replaced at once could leave cores with different ones. It
/// is for whoever administers an image, and not for the loop: unlike those of other ports, its
/// methods allocate, and [`replace`](Self::replace) takes about as long as a handshake. Each core
/// has its own, so whoever replaces a certificate does it on all of them.
pub trait CertificatePort {
    /// The certificate in the place `place`, counted from 0; `None` behind the last.
    fn certificate(&self, place: usize) -> Option<Certificate>;

    /// Puts a certificate in the place of another, and says in which place. Handshakes that begin
    /// from now on get the new one; connections that are open go on, and those that began with the
    /// old one are not resumed. What the issuer has said of the old one is not shown any more,
    /// unless the new one is the same.
    ///
    /// The outcome depends on nothing but the offer and what is in service, so that what one core
    /// takes another does, too.
    ///
    /// # Errors
    /// Why not. What was in service still is.
    fn replace(&mut self, offer: &CertificateOffer<'_>) -> Result<usize, CertificateRefusal>;
}

/// A certificate that is in service, as whoever administers wants to see it. No key is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The host names that it is for, in lower case; the first label may be `*`.
    pub names: Vec<String>,
    /// Its subject, as in RFC 4514; empty where it cannot be read.
    pub subject: String,
    /// Its serial number, as the certificate has it.
    pub serial: Vec<u8>,
    /// From when on it is good, in seconds since 1970.
    pub not_before: u64,
    /// Until when it is good, in seconds since 1970.
    pub not_after: u64,
    /// The SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// The kind of its key, such as `P-256`.
    pub key: &'static str,
    /// How many certificates are sent: itself, and those that vouch for it.
    pub chain: usize,
    /// Whether it is sent with what its issuer says of it (OCSP).
    pub stapled: bool,
}

impl Certificate {
    /// The place that `which` names, in digits alone, which no host name is.
    pub fn place(which: &str) -> Option<usize> {
        which.bytes().all(|byte| byte.is_ascii_digit()).then(|| which.parse().ok())?
    }
}

/// A certificate that is to take the place of another.
#[derive(Clone, Copy)]
pub struct CertificateOffer<'a> {
    /// Which it replaces: the one for this host name, or the one in this place, in digits.
    pub which: &'a str,
    /// As PEM: the certificate, those that vouch for it in order, and its private key.
    pub pem: &'a [u8],
    /// Whether it need not be for all the names that the other is for.
    pub other_names: bool,
    /// Seconds since 1970, where somebody knows: then it must be good now.
    pub unix_secs: Option<u64>,
}

/// Why a certificate was not replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateRefusal {
    /// What kind of reason it is.
    pub kind: RefusalKind,
    /// What was expected, what came, and what to do: a line for a person.
    pub text: String,
}

/// What kind of reason there was to refuse a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalKind {
    /// Several certificates are for the name.
    Ambiguous,
    /// It cannot be used, or not in this place.
    Unfit,
    /// Nothing is in service that it could replace.
    Unknown,
    /// It cannot be read.
    Unreadable,
}

// What it holds is a secret.
impl fmt::Debug for CertificateOffer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateOffer").field("which", &self.which).finish_non_exhaustive()
    }
}
