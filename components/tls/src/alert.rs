//! Alerts, and the faults that lead to them (RFC 8446 section 6).

use core::fmt;

/// What an alert says. All but the first and [`USER_CANCELED`](Self::USER_CANCELED) end the
/// connection at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alert(pub u8);

#[allow(missing_docs, reason = "the names are the RFC's")]
impl Alert {
    pub const CLOSE_NOTIFY: Self = Self(0);
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    pub const BAD_RECORD_MAC: Self = Self(20);
    pub const RECORD_OVERFLOW: Self = Self(22);
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    pub const BAD_CERTIFICATE: Self = Self(42);
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(43);
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    pub const UNKNOWN_CA: Self = Self(48);
    pub const ACCESS_DENIED: Self = Self(49);
    pub const DECODE_ERROR: Self = Self(50);
    pub const DECRYPT_ERROR: Self = Self(51);
    pub const PROTOCOL_VERSION: Self = Self(70);
    pub const INTERNAL_ERROR: Self = Self(80);
    pub const USER_CANCELED: Self = Self(90);
    pub const MISSING_EXTENSION: Self = Self(109);
    pub const UNSUPPORTED_EXTENSION: Self = Self(110);
    pub const UNRECOGNIZED_NAME: Self = Self(112);
    pub const BAD_CERTIFICATE_STATUS_RESPONSE: Self = Self(113);
    pub const CERTIFICATE_REQUIRED: Self = Self(116);
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);
}

impl Alert {
    /// What it says when the other end sends it, as a sentence for a person.
    pub const fn text(self) -> &'static str {
        match self {
            Self::UNEXPECTED_MESSAGE => "the other end did not expect what was said",
            Self::BAD_RECORD_MAC => "the other end could not decrypt a record",
            Self::RECORD_OVERFLOW => "the other end found a record too long",
            Self::HANDSHAKE_FAILURE => "the other end can agree to nothing that was offered",
            Self::BAD_CERTIFICATE
            | Self::UNSUPPORTED_CERTIFICATE
            | Self::CERTIFICATE_REVOKED
            | Self::CERTIFICATE_EXPIRED
            | Self::CERTIFICATE_UNKNOWN
            | Self::ACCESS_DENIED
            | Self::UNKNOWN_CA => "the other end does not accept a certificate",
            Self::CERTIFICATE_REQUIRED => "the other end wants a certificate",
            Self::ILLEGAL_PARAMETER | Self::DECODE_ERROR => "the other end found a message wrong",
            Self::DECRYPT_ERROR => "the other end found a signature or a Finished wrong",
            Self::PROTOCOL_VERSION => "the other end speaks no TLS 1.3",
            Self::INTERNAL_ERROR => "the other end has failed",
            Self::MISSING_EXTENSION => "the other end misses an extension",
            Self::UNSUPPORTED_EXTENSION => "the other end got an extension that it did not want",
            Self::UNRECOGNIZED_NAME => "the other end does not have that name",
            Self::NO_APPLICATION_PROTOCOL => "the other end speaks none of the protocols",
            _ => "the other end gave up",
        }
    }
}

/// Declares the faults: each with a sentence for a person, its alert, and where the rule stands.
macro_rules! faults {
    ($($(#[doc = $text:literal])+ $name:ident => $alert:ident,)*) => {
        /// What the other end did that ends its connection.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Fault {
            $($(#[doc = $text])+ $name,)*
        }

        impl Fault {
            /// The alert that tells the other end.
            pub const fn alert(self) -> Alert {
                match self {
                    $(Self::$name => Alert::$alert,)*
                }
            }

            /// What happened, as a sentence for a person.
            pub fn text(self) -> &'static str {
                // Faults are numbered in their order. Images are compiled without jump tables, so
                // that a `match` is 8 KB of comparisons.
                const TEXTS: &[&str] = &[$(concat!($($text),+).trim_ascii()),*];
                TEXTS.get(self as usize).copied().unwrap_or_default()
            }
        }
    };
}

faults! {
    /// A message ends before its last field does.
    Truncated => DECODE_ERROR,
    /// Bytes follow the last field of a message.
    TrailingBytes => DECODE_ERROR,
    /// A vector is shorter or longer than it may be.
    VectorLength => DECODE_ERROR,
    /// A handshake message is longer than the limit.
    HandshakeTooLong => DECODE_ERROR,
    /// An alert is not two bytes long.
    MalformedAlert => DECODE_ERROR,
    /// A record is longer than 2^14 bytes, or 2^14 + 256 when protected.
    RecordTooLong => RECORD_OVERFLOW,
    /// A record is longer than the limit that the client was told.
    RecordOverLimit => RECORD_OVERFLOW,
    /// A record does not authenticate.
    BadRecord => BAD_RECORD_MAC,
    /// The first record is none of TLS.
    NotTls => UNEXPECTED_MESSAGE,
    /// A record of a type that is not expected here.
    UnexpectedRecord => UNEXPECTED_MESSAGE,
    /// A protected record has no content type, just padding.
    NoContentType => UNEXPECTED_MESSAGE,
    /// A handshake message or alert of no bytes.
    EmptyFragment => UNEXPECTED_MESSAGE,
    /// A change_cipher_spec that is not the one of middlebox compatibility, or one too many.
    BadChangeCipherSpec => UNEXPECTED_MESSAGE,
    /// A handshake message that is not expected here.
    UnexpectedMessage => UNEXPECTED_MESSAGE,
    /// A record of another type between the parts of a handshake message.
    Interleaved => UNEXPECTED_MESSAGE,
    /// Bytes follow a message after which the keys change.
    DataAcrossKeyChange => UNEXPECTED_MESSAGE,
    /// More early data than is skipped, or than was said to be accepted.
    TooMuchEarlyData => UNEXPECTED_MESSAGE,
    /// Key updates without anything between them.
    TooManyKeyUpdates => UNEXPECTED_MESSAGE,
    /// Records that bring nothing, without anything between them.
    TooManyEmptyRecords => UNEXPECTED_MESSAGE,
    /// A key update asks for what is not defined.
    BadKeyUpdate => ILLEGAL_PARAMETER,
    /// The client does not speak TLS 1.3.
    NoCommonVersion => PROTOCOL_VERSION,
    /// The client accepts none of our cipher suites.
    NoCommonSuite => HANDSHAKE_FAILURE,
    /// The client accepts none of our groups.
    NoCommonGroup => HANDSHAKE_FAILURE,
    /// The client accepts no signature that our certificates can give.
    NoCommonSignature => HANDSHAKE_FAILURE,
    /// The client speaks none of our application protocols.
    NoCommonProtocol => NO_APPLICATION_PROTOCOL,
    /// The compression methods are not just the null method.
    BadCompression => ILLEGAL_PARAMETER,
    /// An extension stands twice in a message.
    DuplicateExtension => ILLEGAL_PARAMETER,
    /// QUIC's transport parameters came over a byte stream.
    QuicParameters => UNSUPPORTED_EXTENSION,
    /// More than one host name.
    SeveralNames => ILLEGAL_PARAMETER,
    /// A key share of a group that is not among the supported ones, or a second one of a group.
    BadKeyShare => ILLEGAL_PARAMETER,
    /// A public key that is none of its group.
    BadPublicKey => ILLEGAL_PARAMETER,
    /// A record size limit below 64.
    BadRecordSizeLimit => ILLEGAL_PARAMETER,
    /// Neither signature algorithms nor groups, nor a key to resume with.
    MissingExtension => MISSING_EXTENSION,
    /// Pre-shared keys without the modes to use them in.
    MissingKeyModes => MISSING_EXTENSION,
    /// The pre-shared keys are not the last extension.
    KeysNotLast => ILLEGAL_PARAMETER,
    /// Not as many binders as identities.
    BinderCount => ILLEGAL_PARAMETER,
    /// A binder that the pre-shared key did not make.
    BadBinder => DECRYPT_ERROR,
    /// A cookie is missing, none of ours, or too long.
    BadCookie => ILLEGAL_PARAMETER,
    /// The second hello differs from the first in what may not differ.
    ChangedHello => ILLEGAL_PARAMETER,
    /// The second hello has no key share of the group that was asked for, or others.
    IgnoredRetry => ILLEGAL_PARAMETER,
    /// Early data in a second hello.
    EarlyDataAfterRetry => ILLEGAL_PARAMETER,
    /// The Finished does not verify.
    BadFinished => DECRYPT_ERROR,
    /// The server speaks no TLS 1.3: its hello is of an older version.
    OldServer => PROTOCOL_VERSION,
    /// The server speaks TLS 1.3, but somebody on the way made it choose an older version.
    Downgrade => ILLEGAL_PARAMETER,
    /// The server chose a version that was not offered.
    VersionNotOffered => ILLEGAL_PARAMETER,
    /// The server did not send the session's identifier back as it was.
    ForeignSessionId => ILLEGAL_PARAMETER,
    /// The server chose a cipher suite that was not offered.
    SuiteNotOffered => ILLEGAL_PARAMETER,
    /// The server chose another cipher suite than when it asked for another hello.
    ChangedSuite => ILLEGAL_PARAMETER,
    /// The server chose a group that was not offered, or for which it had a key already.
    GroupNotOffered => ILLEGAL_PARAMETER,
    /// The server chose a pre-shared key that was not offered, or that does not fit its suite.
    KeyNotOffered => ILLEGAL_PARAMETER,
    /// The server chose an application protocol that was not offered.
    ProtocolNotOffered => ILLEGAL_PARAMETER,
    /// The other end signs by a scheme that was not offered, or that is not one of its key.
    SchemeNotOffered => ILLEGAL_PARAMETER,
    /// The server asks for another hello that would be the same.
    UselessRetry => ILLEGAL_PARAMETER,
    /// An extension that nobody asked for.
    ExtensionNotOffered => UNSUPPORTED_EXTENSION,
    /// An extension in a message that it does not belong to.
    ExtensionMisplaced => ILLEGAL_PARAMETER,
    /// A context for certificates, which the handshake has none for.
    BadContext => ILLEGAL_PARAMETER,
    /// The status of a certificate is of a kind that nobody asked for.
    BadStatusResponse => BAD_CERTIFICATE_STATUS_RESPONSE,
    /// The server has no certificate.
    NoCertificate => DECODE_ERROR,
    /// The client has no certificate, and must have one.
    CertificateMissing => CERTIFICATE_REQUIRED,
    /// A certificate of the other end's is not good any more.
    CertificateExpired => CERTIFICATE_EXPIRED,
    /// A certificate of the other end's is not good yet.
    CertificateNotYetGood => CERTIFICATE_EXPIRED,
    /// The server's certificate is for other names.
    CertificateOfOther => BAD_CERTIFICATE,
    /// Nobody who is trusted vouches for the other end's certificate.
    CertificateUnknown => UNKNOWN_CA,
    /// The other end's certificate is for another purpose, or its issuer may not issue it.
    CertificateNotAllowed => BAD_CERTIFICATE,
    /// The other end's certificate has a key or a signature of a kind that is not supported.
    CertificateUnsupported => UNSUPPORTED_CERTIFICATE,
    /// The other end's certificate cannot be read, or is not signed by who should have.
    CertificateBroken => BAD_CERTIFICATE,
    /// Nobody here knows the time, so no certificate can be checked: the image needs a clock.
    NoClock => INTERNAL_ERROR,
    /// The other end's signature is wrong: it does not have the key of its certificate.
    BadSignature => DECRYPT_ERROR,
    /// A key was used as often as it may be.
    KeyExhausted => INTERNAL_ERROR,
    /// Something failed here, not there.
    Internal => INTERNAL_ERROR,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
