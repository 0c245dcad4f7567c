//! Two ends in one process: a client that others have written talks to the server.

use super::line::World;
use super::std;
use super::{certificate, certificate_of, config, usual};
use crate::role::Role;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore};
use waitless::{Phase, Stream, StreamPort};

/// A client that trusts the first certificate of `chain`.
pub fn trusting(chains: &[crate::Chain], provider: CryptoProvider) -> ClientConfig {
    showing(chains, provider, None)
}

/// The same with a certificate of its own.
pub fn showing(
    chains: &[crate::Chain],
    provider: CryptoProvider,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for chain in chains {
        roots.add(chain.certificates[0].to_vec().into()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

pub struct Client {
    tls: ClientConnection,
    wire: usize,
    /// Bytes of a packet of what it says.
    pub piece: usize,
    got: Vec<u8>,
}

impl Client {
    pub fn connect(
        world: &mut World<impl Role>,
        config: &Arc<ClientConfig>,
        name: &'static str,
    ) -> Self {
        let tls = ClientConnection::new(config.clone(), name.try_into().unwrap()).unwrap();
        Self { tls, wire: world.connect(), piece: 1400, got: Vec::new() }
    }

    /// Passes on what it says, and nothing of what it is told.
    pub fn say(&mut self, world: &mut World<impl Role>) {
        let mut said = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut said).unwrap();
        }
        world.say_in(self.wire, &said, self.piece);
    }

    /// Passes bytes both ways until neither end says anything.
    pub fn exchange(&mut self, world: &mut World<impl Role>) -> Result<(), rustls::Error> {
        loop {
            let said = self.said();
            if !said.is_empty() {
                world.say_in(self.wire, &said, self.piece);
            }
            let heard = world.heard(self.wire);
            if said.is_empty() && heard.is_empty() {
                return Ok(());
            }
            let mut heard = heard.as_slice();
            while !heard.is_empty() {
                self.tls.read_tls(&mut heard).unwrap();
                self.tls.process_new_packets()?;
                self.take();
            }
        }
    }

    /// Says `bytes` early, before anything was exchanged. How many of them may be.
    pub fn write_early(&mut self, bytes: &[u8]) -> usize {
        use std::io::Write as _;
        self.tls.early_data().map_or(0, |mut early| early.write(bytes).unwrap())
    }

    /// Whether the server has accepted what was said early.
    pub fn is_early_accepted(&self) -> bool {
        self.tls.is_early_data_accepted()
    }

    /// What it says now.
    pub fn said(&mut self) -> Vec<u8> {
        let mut said = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut said).unwrap();
        }
        said
    }

    pub fn write(&mut self, bytes: &[u8], world: &mut World<impl Role>) {
        use std::io::Write as _;
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(bytes).unwrap();
        self.exchange(world).unwrap();
    }

    /// What has arrived.
    pub fn read(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.got)
    }

    fn take(&mut self) {
        use std::io::Read as _;
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = self.tls.reader().read(&mut chunk) {
            self.got.extend_from_slice(&chunk[..count]);
        }
    }

    /// The group that was agreed.
    pub fn group(&self) -> NamedGroup {
        self.tls.negotiated_key_exchange_group().unwrap().name()
    }

    /// How its keys came to be.
    pub fn kind(&self) -> HandshakeKind {
        self.tls.handshake_kind().unwrap()
    }

    /// Whether the server has said that nothing follows.
    fn heard_end(&mut self) -> bool {
        use std::io::Read as _;
        matches!(self.tls.reader().read(&mut [0; 16]), Ok(0))
    }
}

/// Data passes both ways, of lengths around the borders of records and packets.
pub fn talk(client: &mut Client, world: &mut World<impl Role>) -> Stream {
    talk_after(client, world, &[])
}

/// The same after `early` was said early.
pub fn talk_after(client: &mut Client, world: &mut World<impl Role>, early: &[u8]) -> Stream {
    client.exchange(world).unwrap();
    let stream = world.accept();
    assert_eq!(world.read(stream), early);
    world.tls.set_tag(stream, 5);
    for length in [1, 100, 1379, 1400, 5000, 16_384, 16_385, 40_000] {
        let question: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        client.write(&question, world);
        assert_eq!(world.read(stream), question, "{length} bytes");
        assert_eq!(world.tls.tag(stream), Some(5));
        let answer = &question[..length.min(20_000)];
        world.write(stream, answer);
        client.exchange(world).unwrap();
        assert_eq!(client.read(), answer, "{length} bytes");
    }
    stream
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
    for (chain, key) in kinds {
        let mut world = World::new(config(vec![chain], vec![key]));
        for suite in &suites {
            for group in &all.kx_groups {
                let mut provider = ring::default_provider();
                provider.cipher_suites = vec![**suite];
                provider.kx_groups = vec![*group];
                let client = Arc::new(trusting(&[chain], provider));
                let mut client = Client::connect(&mut world, &client, "localhost");
                let stream = talk(&mut client, &mut world);
                assert_eq!(client.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
                assert_eq!(client.tls.negotiated_cipher_suite(), Some(**suite));
                assert_eq!((client.group(), client.kind()), (group.name(), HandshakeKind::Full));
                world.tls.abort(stream);
                world.tls.release(stream);
                world.settle();
            }
        }
        assert_eq!(world.buffers_out(), 0);
        assert_eq!(world.tls.counters.completed.get(), 9);
    }
}

/// A key of RSA with 2,048 bits, made anew.
pub fn rsa_key() -> rcgen::KeyPair {
    use rsa::pkcs8::EncodePrivateKey as _;
    let mut random = waitless::Random::new([7; 32]);
    let key = rsa::PrivateKey::new(&mut crate::crypto::Entropy(&mut random), 2048).unwrap();
    let der = key.to_pkcs8_der().unwrap().as_bytes().to_vec();
    rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &rcgen::PKCS_RSA_SHA256).unwrap()
}

/// Every way of RSA to sign, alone.
#[test]
fn rsa_signs_by_the_hash_that_the_client_can_do() {
    let (chain, key) = certificate_of(&rsa_key(), &["localhost"]);
    for scheme in ["SHA256", "SHA384", "SHA512"] {
        let mut provider = ring::default_provider();
        let all = provider.signature_verification_algorithms.mapping;
        let name = alloc::format!("RSA_PSS_{scheme}");
        let one: Vec<_> =
            all.iter().filter(|(it, _)| it.as_str() == Some(&name)).copied().collect();
        assert_eq!(one.len(), 1);
        provider.signature_verification_algorithms.mapping = one.leak();
        let client = Arc::new(trusting(&[chain], provider));
        let mut world = World::new(config(vec![chain], vec![key]));
        talk(&mut Client::connect(&mut world, &client, "localhost"), &mut world);
    }
}

#[test]
fn a_client_whose_first_group_is_none_of_ours_is_asked_again() {
    let config = usual();
    let mut provider = ring::default_provider();
    // Its hello has a share of the first only, and the server prefers another one.
    let find = |name| *provider.kx_groups.iter().find(|it| it.name() == name).unwrap();
    let (p256, p384) = (find(NamedGroup::secp256r1), find(NamedGroup::secp384r1));
    provider.kx_groups = vec![&STRANGE, p384, p256];
    let mut client = trusting(config.certificate, provider);
    client.resumption = Resumption::store(Arc::new(Forgetful(ClientSessionMemoryCache::new(8))));
    let client = Arc::new(client);
    let mut world = World::new(config);
    for _ in 0..2 {
        let mut client = Client::connect(&mut world, &client, "localhost");
        talk(&mut client, &mut world);
        assert_eq!(client.group(), NamedGroup::secp256r1);
    }
    assert_eq!(world.tls.counters.retried.get(), 2);
    // Also with a key of an earlier connection.
    assert_eq!(world.tls.counters.resumed.get(), 1);
}

/// Remembers sessions, but not which group a server took.
#[derive(Debug)]
struct Forgetful(ClientSessionMemoryCache);

impl ClientSessionStore for Forgetful {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(name, value);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

/// A group that nobody has.
#[derive(Debug)]
pub struct Strange;

/// The one that there is of it.
pub static STRANGE: Strange = Strange;

impl rustls::crypto::SupportedKxGroup for Strange {
    fn start(
        &self,
    ) -> Result<alloc::boxed::Box<dyn rustls::crypto::ActiveKeyExchange>, rustls::Error> {
        Ok(alloc::boxed::Box::new(Strange))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe00)
    }
}

impl rustls::crypto::ActiveKeyExchange for Strange {
    fn complete(
        self: alloc::boxed::Box<Self>,
        _: &[u8],
    ) -> Result<rustls::crypto::SharedSecret, rustls::Error> {
        Err(rustls::Error::General("nobody has this group".to_string()))
    }

    fn pub_key(&self) -> &[u8] {
        b"a key"
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::Unknown(0xfe00)
    }
}

#[test]
fn a_hello_may_come_byte_by_byte() {
    let config = usual();
    let client = Arc::new(trusting(config.certificate, ring::default_provider()));
    for piece in [1, 2, 3, 5, 7, 100] {
        let mut world = World::with(usual_like(&config), 4096);
        let mut client = Client::connect(&mut world, &client, "localhost");
        client.piece = piece;
        client.exchange(&mut world).unwrap();
        let stream = world.accept();
        client.write(&[7; 3000], &mut world);
        assert_eq!(world.read(stream), [7; 3000]);
    }
}

fn usual_like(other: &crate::Config) -> crate::Config {
    config(other.certificate.to_vec(), other.key.to_vec())
}

#[test]
fn earlier_connections_are_resumed_until_their_tickets_are_too_old() {
    let config = usual();
    let mut client = trusting(config.certificate, ring::default_provider());
    client.resumption = Resumption::in_memory_sessions(8);
    let client = Arc::new(client);
    let mut world = World::new(config);
    let kind = |world: &mut World| {
        let mut client = Client::connect(world, &client, "localhost");
        talk(&mut client, world);
        client.kind()
    };
    assert_eq!(kind(&mut world), HandshakeKind::Full);
    assert_eq!(kind(&mut world), HandshakeKind::Resumed);
    // Over the replacement of the key.
    world.pass(waitless::Duration::from_secs(3599));
    assert_eq!(kind(&mut world), HandshakeKind::Resumed);
    world.pass(waitless::Duration::from_secs(2000));
    assert_eq!(kind(&mut world), HandshakeKind::Resumed);
    world.pass(waitless::Duration::from_secs(3601));
    assert_eq!(kind(&mut world), HandshakeKind::Full);
    assert_eq!(world.tls.counters.resumed.get(), 3);
}

#[test]
fn the_name_chooses_the_certificate() {
    let (one, one_key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["one.example"]);
    let (two, two_key) = certificate(&rcgen::PKCS_ED25519, &["*.two.example"]);
    let chains = vec![one, two];
    for (name, expected) in [("one.example", 0), ("www.two.example", 1), ("ONE.example", 0)] {
        let mut world = World::new(config(chains.clone(), vec![one_key, two_key]));
        let client = Arc::new(trusting(&chains, ring::default_provider()));
        let mut client = Client::connect(&mut world, &client, name);
        talk(&mut client, &mut world);
        let got = &client.tls.peer_certificates().unwrap()[0];
        assert_eq!(got.as_ref(), chains[expected].certificates[0], "{name}");
    }
}

#[test]
fn the_end_is_agreed() {
    let config = usual();
    let client = Arc::new(trusting(config.certificate, ring::default_provider()));
    let mut world = World::new(config);
    // The client closes first, and still gets its answer.
    let mut one = Client::connect(&mut world, &client, "localhost");
    let stream = talk(&mut one, &mut world);
    one.write(b"bye", &mut world);
    one.tls.send_close_notify();
    one.exchange(&mut world).unwrap();
    assert_eq!(world.read(stream), b"bye");
    assert!(world.tls.status(stream).finished);
    assert_eq!(world.tls.status(stream).phase, Phase::Open);
    world.write(stream, b"so long");
    world.tls.close(stream);
    world.settle();
    one.exchange(&mut world).unwrap();
    assert_eq!(one.read(), b"so long");
    assert!(one.heard_end() && world.line.wires[0].closed);
    world.finish(0);
    assert_eq!(world.tls.status(stream).phase, Phase::Closed);
    world.tls.release(stream);
    // The service closes first and goes.
    let mut two = Client::connect(&mut world, &client, "localhost");
    let stream = talk(&mut two, &mut world);
    world.write(stream, &[1; 30_000]);
    world.tls.release(stream);
    world.settle();
    two.exchange(&mut world).unwrap();
    assert_eq!(two.read().len(), 30_000);
    assert!(two.heard_end() && world.line.wires[1].closed);
    assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0));
}

#[test]
fn a_stream_that_is_cut_off_reads_as_reset() {
    let config = usual();
    let client = Arc::new(trusting(config.certificate, ring::default_provider()));
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, &client, "localhost");
    let stream = talk(&mut client, &mut world);
    world.finish(0);
    assert_eq!(world.tls.status(stream).phase, Phase::Reset);
    assert_eq!(world.news(), Some(stream));
    assert_eq!(world.tls.counters.truncated.get(), 1);
    world.tls.release(stream);
    assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0));
}

#[test]
fn both_ends_may_replace_their_keys() {
    let config = usual();
    let client = Arc::new(trusting(config.certificate, ring::default_provider()));
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, &client, "localhost");
    let stream = talk(&mut client, &mut world);
    client.tls.refresh_traffic_keys().unwrap();
    client.write(b"with new keys", &mut world);
    assert_eq!(world.read(stream), b"with new keys");
    world.write(stream, b"and with ours");
    client.exchange(&mut world).unwrap();
    assert_eq!(client.read(), b"and with ours");
    assert_eq!(world.tls.counters.updated.get(), 2);
}
