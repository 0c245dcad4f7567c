//! Code points (RFC 8446 appendix B, and IANA's registries for what came later).

/// TLS 1.3 in `supported_versions`.
pub const TLS13: u16 = 0x0304;
/// What TLS 1.3 writes where older versions had theirs.
pub const TLS12: u16 = 0x0303;

/// SSL 3.0, which was broken long ago.
pub const SSL30: u16 = 0x0300;

/// Handshake messages.
#[allow(missing_docs, reason = "the names are the RFC's")]
pub mod message {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const NEW_SESSION_TICKET: u8 = 4;
    pub const END_OF_EARLY_DATA: u8 = 5;
    pub const ENCRYPTED_EXTENSIONS: u8 = 8;
    pub const CERTIFICATE: u8 = 11;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const CERTIFICATE_VERIFY: u8 = 15;
    pub const FINISHED: u8 = 20;
    pub const KEY_UPDATE: u8 = 24;
    pub const MESSAGE_HASH: u8 = 254;
}

/// Extensions.
#[allow(missing_docs, reason = "the names are the RFCs'")]
pub mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const STATUS_REQUEST: u16 = 5;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const RECORD_SIZE_LIMIT: u16 = 28;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const EARLY_DATA: u16 = 42;
    pub const SUPPORTED_VERSIONS: u16 = 43;
    pub const COOKIE: u16 = 44;
    pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub const CERTIFICATE_AUTHORITIES: u16 = 47;
    pub const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
    pub const KEY_SHARE: u16 = 51;
    pub const QUIC_TRANSPORT_PARAMETERS: u16 = 57;
}

/// The one kind of status of certificates (RFC 6066 section 8).
pub const OCSP: u8 = 1;

/// The mode of a pre-shared key that still exchanges keys; the only one that is used.
pub const PSK_DHE_KE: u8 = 1;

/// How the random of a server ends that speaks TLS 1.3 and was asked for an older version, but
/// for the last byte, which is 0 or 1 (RFC 8446 section 4.1.3).
pub const DOWNGRADE: [u8; 7] = *b"DOWNGRD";

/// The random of a HelloRetryRequest: SHA-256 of its name (RFC 8446 section 4.1.3).
pub const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
