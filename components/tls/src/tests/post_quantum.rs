//! The hybrid key exchange with a client of rustls, to which it is added here: ring's X25519 and
//! the other half of the same ML-KEM, which the vectors of Wycheproof check.

use super::line::World;
use super::rustls_client::{Client, talk, trusting};
use super::usual;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use ml_kem::{Decapsulate, DecapsulationKey, KeyExport, MlKem768};
use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup, ring};
use rustls::{Error, HandshakeKind, NamedGroup, PeerMisbehaved};

/// X25519MLKEM768.
#[derive(Debug)]
struct Hybrid;

static HYBRID: Hybrid = Hybrid;

/// A client's half of one exchange.
struct Half {
    key: DecapsulationKey<MlKem768>,
    classic: Box<dyn ActiveKeyExchange>,
    public: Vec<u8>,
}

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut seed = [0; 64];
        ring::default_provider().secure_random.fill(&mut seed).unwrap();
        let key = DecapsulationKey::from_seed(seed.into());
        let classic = ring::kx_group::X25519.start()?;
        let public = [&key.encapsulation_key().to_bytes(), classic.pub_key()].concat();
        Ok(Box::new(Half { key, classic, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl ActiveKeyExchange for Half {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let (ciphertext, point) =
            peer.split_first_chunk::<1088>().ok_or(PeerMisbehaved::InvalidKeyShare)?;
        let secret = self.key.decapsulate(&(*ciphertext).into());
        let classic = self.classic.complete(point)?;
        Ok([&secret, classic.secret_bytes()].concat().into())
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

#[test]
fn the_hybrid_agrees() {
    let config = usual();
    let mut provider = ring::default_provider();
    provider.kx_groups = vec![&HYBRID, ring::kx_group::X25519];
    let client = Arc::new(trusting(config.certificate, provider));
    let mut world = World::new(config);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = Client::connect(&mut world, &client, "localhost");
        talk(&mut client, &mut world);
        assert_eq!(client.group(), NamedGroup::X25519MLKEM768);
        assert_eq!(client.kind(), kind);
    }
    assert_eq!(world.tls.counters.retried.get(), 0);
}

#[test]
fn the_hybrid_is_asked_for_where_a_client_can_do_it() {
    let config = usual();
    let mut provider = ring::default_provider();
    // Its first group is none that there is, so that a second hello is asked for.
    provider.kx_groups = vec![&super::rustls_client::STRANGE, ring::kx_group::X25519, &HYBRID];
    let client = Arc::new(trusting(config.certificate, provider));
    let mut world = World::new(config);
    let mut client = Client::connect(&mut world, &client, "localhost");
    talk(&mut client, &mut world);
    assert_eq!(client.group(), NamedGroup::X25519MLKEM768);
    assert_eq!(world.tls.counters.retried.get(), 1);
}
