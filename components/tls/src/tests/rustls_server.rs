//! Two ends in one process: our client talks to a server that others have written.

use super::line::World;
use super::rustls_client::{STRANGE, rsa_key};
use super::std;
use super::{certificate, certificate_of, trusting, until_2030};
use crate::client::Client;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, NamedGroup, ServerConfig, ServerConnection};
use std::io::{Read, Write};
use waitless::{Phase, Stream, StreamPort};

fn serving(chain: crate::Chain, key: &'static [u8], provider: CryptoProvider) -> Arc<ServerConfig> {
    let chain = chain.certificates.iter().map(|der| der.to_vec().into()).collect();
    let key = PrivateKeyDer::try_from(key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A connection of the client to a server of rustls.
struct Peer {
    tls: ServerConnection,
    stream: Stream,
    wire: usize,
}

impl Peer {
    fn meet(client: &mut World<Client>, config: &Arc<ServerConfig>, name: &str) -> Self {
        let (stream, wire) = client.dial(name);
        let mut peer = Self { tls: ServerConnection::new(config.clone()).unwrap(), stream, wire };
        peer.tls.set_buffer_limit(None);
        peer.exchange(client).unwrap();
        peer
    }

    /// Passes bytes both ways until neither end says anything.
    fn exchange(&mut self, client: &mut World<Client>) -> Result<(), rustls::Error> {
        loop {
            let heard = client.heard(self.wire);
            let mut bytes = heard.as_slice();
            while !bytes.is_empty() {
                self.tls.read_tls(&mut bytes).unwrap();
                self.tls.process_new_packets()?;
            }
            let mut said = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut said).unwrap();
            }
            if said.is_empty() && heard.is_empty() {
                return Ok(());
            }
            client.say(self.wire, &said);
        }
    }

    fn talk(&mut self, client: &mut World<Client>) {
        let failure = client.tls.failure(self.stream);
        assert_eq!(client.tls.status(self.stream).phase, Phase::Open, "{failure:?}");
        for length in [1, 1379, 5000, 16_385] {
            let question: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            client.write(self.stream, &question);
            self.exchange(client).unwrap();
            let mut got = vec![0; length];
            self.tls.reader().read_exact(&mut got).unwrap();
            assert_eq!(got, question);
            self.tls.writer().write_all(&question).unwrap();
            self.exchange(client).unwrap();
            assert_eq!(client.read(self.stream), question);
        }
    }

    fn hang_up(mut self, client: &mut World<Client>) {
        client.tls.release(self.stream);
        client.settle();
        self.exchange(client).unwrap();
        assert!(matches!(self.tls.reader().read(&mut [0; 4]), Ok(0)), "the end was not agreed");
        client.finish(self.wire);
        assert_eq!((client.buffers_out(), client.tls.counters.open.get()), (0, 0));
    }
}

#[test]
fn every_suite_group_and_kind_of_key_works_alone() {
    let mut kinds = Vec::new();
    for kind in
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
    {
        kinds.push(certificate(kind, &["localhost"]));
    }
    kinds.push(certificate_of(&rsa_key(), &["localhost"]));
    let all = ring::default_provider();
    let suites: Vec<_> = all.cipher_suites.iter().filter(|it| it.tls13().is_some()).collect();
    assert_eq!((suites.len(), all.kx_groups.len()), (3, 3));
    let (mut retried, mut count) = (0, 0);
    for (chain, key) in kinds {
        for suite in &suites {
            for group in &all.kx_groups {
                let mut provider = ring::default_provider();
                provider.cipher_suites = vec![**suite];
                provider.kx_groups = vec![*group];
                let config = serving(chain, key, provider);
                let mut client = World::client(trusting(&[chain]));
                let mut peer = Peer::meet(&mut client, &config, "localhost");
                peer.talk(&mut client);
                assert_eq!(peer.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
                assert_eq!(peer.tls.negotiated_cipher_suite(), Some(**suite));
                let agreed = peer.tls.negotiated_key_exchange_group().unwrap().name();
                assert_eq!((agreed, peer.tls.server_name()), (group.name(), Some("localhost")));
                let again = peer.tls.handshake_kind().unwrap();
                retried += u32::from(again == HandshakeKind::FullWithHelloRetryRequest);
                count += 1;
                peer.hang_up(&mut client);
            }
        }
    }
    // P-256 and P-384 are not shown in a first hello.
    assert_eq!((count, retried), (36, 24));
}

#[test]
fn earlier_connections_are_resumed() {
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    for groups in [vec![NamedGroup::X25519], vec![NamedGroup::secp384r1]] {
        let mut provider = ring::default_provider();
        provider.kx_groups.retain(|group| groups.contains(&group.name()));
        // What nobody has does not disturb.
        provider.kx_groups.push(&STRANGE);
        let config = serving(chain, key, provider);
        let mut client = World::client(trusting(&[chain]));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let mut peer = Peer::meet(&mut client, &config, "localhost");
            peer.talk(&mut client);
            kinds.push(peer.tls.handshake_kind().unwrap());
            peer.hang_up(&mut client);
        }
        let first = match groups[0] {
            NamedGroup::X25519 => HandshakeKind::Full,
            _ => HandshakeKind::FullWithHelloRetryRequest,
        };
        assert!(kinds[0] == first && kinds[1] == kinds[2] && kinds[1] != first, "{kinds:?}");
        assert_eq!(client.tls.counters.resumed.get(), 2);
    }
}

#[test]
fn the_other_end_may_replace_its_keys() {
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    let config = serving(chain, key, ring::default_provider());
    let mut client = World::client(trusting(&[chain]));
    let mut peer = Peer::meet(&mut client, &config, "localhost");
    peer.talk(&mut client);
    peer.tls.refresh_traffic_keys().unwrap();
    peer.talk(&mut client);
    client.tls.connections[0].session.want_update();
    peer.talk(&mut client);
    // One of the other end's, its answer to which is ours, and one of ours.
    assert_eq!(client.tls.counters.updated.get(), 3);
    peer.hang_up(&mut client);
}

#[test]
fn what_is_wrong_with_certificates_is_said_to_the_server() {
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    let (other, _) = until_2030();
    for (trusted, name, expected) in
        [(other, "localhost", "UnknownCA"), (chain, "example.org", "BadCertificate")]
    {
        let config = serving(chain, key, ring::default_provider());
        let mut client = World::client(trusting(&[trusted]));
        let (stream, wire) = client.dial(name);
        let tls = ServerConnection::new(config).unwrap();
        let mut peer = Peer { tls, stream, wire };
        let why = peer.exchange(&mut client).unwrap_err().to_string();
        assert!(why.contains(expected), "{why}");
    }
}
