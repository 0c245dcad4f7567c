//! Tests of the whole, and of what reaches over files.

extern crate std;

mod client;
mod early;
mod fuzz;
mod impostor;
mod limits;
mod line;
mod misled;
mod mutual;
mod post_quantum;
mod replace;
mod rfc8448;
mod rustls_client;
mod rustls_server;
mod schedule;
mod script;
mod seen;
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
        ocsp: None,
        alpn: &["http/1.1"],
        connections: 100,
        handshakes: 10,
        handshake_timeout: Duration::from_secs(10),
        hello_limit: 8192,
        tickets: 2,
        ticket_lifetime: Duration::from_secs(3600),
        early_data: None,
        clients: None,
        client_certificate: crate::ClientCertificate::Required,
    }
}

/// A certificate for `names` that vouches for itself, and its key.
fn certificate(algorithm: &'static SignatureAlgorithm, names: &[&str]) -> (Chain, &'static [u8]) {
    certificate_of(&KeyPair::generate_for(algorithm).unwrap(), names)
}

/// A client that trusts the first certificate of `chains`.
fn trusting(chains: &[Chain]) -> crate::client::Config {
    let trust: Vec<_> = chains.iter().map(|chain| chain.certificates[0]).collect();
    crate::client::Config {
        trust: trust.leak(),
        certificate: None,
        key: None,
        alpn: &["http/1.1"],
        connections: 20,
        handshakes: 10,
        handshake_timeout: Duration::from_secs(10),
        message_limit: 65_536,
        sessions: 8,
    }
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

/// A certificate of another issuer, good from 2020 until 2030, and its key.
fn until_2030() -> (Chain, &'static [u8]) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(alloc::vec!["localhost".into()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "until 2030");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let made: &'static [u8] = params.self_signed(&key).unwrap().der().to_vec().leak();
    let chain = Chain { certificates: alloc::vec![made].leak(), names: &["localhost"] };
    (chain, key.serialize_der().leak())
}

/// The usual one.
fn usual() -> Config {
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    config(alloc::vec![chain], alloc::vec![key])
}
