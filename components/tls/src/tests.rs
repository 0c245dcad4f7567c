//! Tests of the whole, and of what reaches over files.

extern crate std;

mod fuzz;
mod limits;
mod line;
mod post_quantum;
mod rfc8448;
mod rustls_client;
mod schedule;
mod script;
mod wrong;
mod wycheproof;

use crate::{Chain, Config};
use alloc::boxed::Box;
use alloc::vec::Vec;
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use waitless::Duration;

/// A configuration that is the same for most tests.
fn config(chains: Vec<Chain>, keys: Vec<&'static [u8]>) -> Config {
    Config {
        certificate: chains.leak(),
        key: keys.leak(),
        alpn: &["http/1.1"],
        connections: 100,
        handshakes: 10,
        handshake_timeout: Duration::from_secs(10),
        hello_limit: 8192,
        tickets: 2,
        ticket_lifetime: Duration::from_secs(3600),
    }
}

/// A certificate for `names` that vouches for itself, and its key.
fn certificate(algorithm: &'static SignatureAlgorithm, names: &[&str]) -> (Chain, &'static [u8]) {
    certificate_of(&KeyPair::generate_for(algorithm).unwrap(), names)
}

/// A certificate for `names` by `key`, and that as PKCS#8.
fn certificate_of(key: &KeyPair, names: &[&str]) -> (Chain, &'static [u8]) {
    let names: Vec<_> = names.iter().map(|name| (*name).into()).collect();
    let made = CertificateParams::new(names.clone()).unwrap().self_signed(key).unwrap();
    let leak = |bytes: Vec<u8>| -> &'static [u8] { bytes.leak() };
    let names =
        names.into_iter().map(|name: alloc::string::String| -> &'static str { name.leak() });
    let chain = Chain {
        certificates: Box::leak(Box::new([leak(made.der().to_vec())])),
        names: names.collect::<Vec<_>>().leak(),
    };
    (chain, leak(key.serialize_der()))
}

/// The usual one.
fn usual() -> Config {
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    config(alloc::vec![chain], alloc::vec![key])
}
