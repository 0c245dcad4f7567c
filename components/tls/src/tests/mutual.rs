//! Servers that ask their clients who they are.

use super::client::Ends;
use super::impostor::{certificate_message, message, verify_message};
use super::line::{NOW, World};
use super::rustls_client::{self, rsa_key};
use super::script::{Hello, Peer};
use super::{config, trusting, usual};
use crate::crypto::{Anchors, Distrust, Hash, Identity, Presented, Scheme, SigningKey};
use crate::handshake::proof::{CLIENT_CONTEXT, SERVER_CONTEXT, to_be_signed};
use crate::handshake::{Clients, Server};
use crate::{Chain, ClientCertificate, Config};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use waitless::{Duration, Phase, Random, StreamPort};

type Asking = Server<true>;

/// Who may vouch for clients.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

fn leak(bytes: &[u8]) -> &'static [u8] {
    bytes.to_vec().leak()
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self::with(params, KeyPair::generate().unwrap())
    }

    fn with(params: CertificateParams, key: KeyPair) -> Self {
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn der(&self) -> &'static [u8] {
        leak(self.0.der())
    }

    /// A certificate for a client called `name`, good from 2020 to 2030, as `change` wants it.
    pub fn issue(
        &self,
        name: &str,
        key: &KeyPair,
        change: impl Fn(&mut CertificateParams),
    ) -> Chain {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        change(&mut params);
        let made = params.signed_by(key, &self.0).unwrap();
        Chain { certificates: vec![leak(made.der())].leak(), names: &[] }
    }
}

/// A server that trusts `authority` to vouch for clients.
pub fn asking(authority: &Authority, client_certificate: ClientCertificate) -> Config {
    let clients = Some(&*vec![authority.der()].leak());
    Config { clients, client_certificate, ..usual() }
}

/// That, and a client with `own` that trusts it.
fn ends(config: Config, own: Option<(Chain, &KeyPair)>) -> Ends<true> {
    let mut trust = trusting(config.certificate);
    if let Some((chain, key)) = own {
        trust.certificate = Some(&*vec![chain].leak());
        trust.key = Some(&*vec![leak(&key.serialize_der())].leak());
    }
    Ends { client: World::client(trust), server: World::asking(config, Some(NOW)) }
}

#[test]
fn who_shows_a_certificate_is_known_also_when_it_resumes() {
    let authority = Authority::new("authority");
    for key in [
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        rsa_key(),
    ] {
        let chain = authority.issue("alice", &key, |_| {});
        for wanted in [ClientCertificate::Required, ClientCertificate::Optional] {
            let mut ends = ends(asking(&authority, wanted), Some((chain, &key)));
            for resumed in 0..3 {
                let pair = ends.connect("localhost");
                assert_eq!(ends.server.tls.identity(pair.1).as_deref(), Some("CN=alice"));
                assert_eq!(ends.client.tls.identity(pair.0), None);
                ends.talk(pair);
                ends.hang_up(pair);
                assert_eq!(ends.server.tls.counters.resumed.get(), resumed);
            }
        }
    }
}

#[test]
fn who_has_no_certificate_is_refused_or_not_known() {
    let authority = Authority::new("authority");
    let mut ends = ends(asking(&authority, ClientCertificate::Optional), None);
    for resumed in 0..2 {
        let pair = ends.connect("localhost");
        assert_eq!(ends.server.tls.identity(pair.1), None);
        ends.talk(pair);
        ends.hang_up(pair);
        assert_eq!(ends.server.tls.counters.resumed.get(), resumed);
    }
    let mut ends = self::ends(asking(&authority, ClientCertificate::Required), None);
    let (stream, wire) = ends.client.dial("localhost");
    let peer = ends.server.connect();
    ends.exchange(wire, peer);
    assert_eq!(ends.client.tls.status(stream).phase, Phase::Reset);
    assert_eq!(ends.client.tls.failure(stream), Some("the other end wants a certificate"));
    let counters = ends.server.tls.counters;
    assert_eq!((counters.completed.get(), counters.faulty.get()), (0, 1));
}

#[test]
fn what_was_shown_is_believed_for_a_day_and_not_longer_than_it_is_good() {
    let authority = Authority::new("authority");
    let key = KeyPair::generate().unwrap();
    let long = authority.issue("alice", &key, |_| {});
    // Good until the next midnight but one.
    let day = NOW / 86_400 + 2;
    let (year, month, date) = waitless::calendar::date_of(day);
    let short = authority.issue("alice", &key, |params| {
        params.not_after = rcgen::date_time_ymd(year as i32, month as u8, date as u8);
    });
    let left = Duration::from_secs(day * 86_400 - NOW - 60);
    let week = Duration::from_secs(604_800);
    let config = asking(&authority, ClientCertificate::Required);
    let mut known = ends(Config { ticket_lifetime: week, ..config }, Some((long, &key)));
    for (turn, resumes) in [false, true, true, false, true].into_iter().enumerate() {
        let before = known.server.tls.counters.resumed.get();
        let pair = known.connect("localhost");
        let now = known.server.tls.counters.resumed.get();
        assert_eq!(now > before, resumes, "{turn}");
        assert_eq!(known.server.tls.identity(pair.1).as_deref(), Some("CN=alice"));
        known.hang_up(pair);
        known.client.pass(Duration::from_secs(30_000));
        known.server.pass(Duration::from_secs(30_000));
    }
    // The certificate ends while its ticket would be good for long.
    let config = asking(&authority, ClientCertificate::Required);
    let mut ends = ends(config, Some((short, &key)));
    ends.client.pass(left);
    ends.server.pass(left);
    let pair = ends.connect("localhost");
    ends.hang_up(pair);
    ends.client.pass(Duration::from_secs(61));
    ends.server.pass(Duration::from_secs(61));
    let (stream, wire) = ends.client.dial("localhost");
    let peer = ends.server.connect();
    ends.exchange(wire, peer);
    let counters = ends.server.tls.counters;
    assert_eq!((counters.resumed.get(), counters.faulty.get()), (0, 1));
    let why = ends.client.tls.failure(stream);
    assert_eq!(why, Some("the other end does not accept a certificate"));
}

#[test]
fn tickets_of_the_unknown_do_not_do_where_somebody_must_be_known() {
    let authority = Authority::new("authority");
    let trust = [authority.der()];
    let trust = Some(&trust[..]);
    let required = Clients::new(trust, ClientCertificate::Required).unwrap();
    let optional = Clients::new(trust, ClientCertificate::Optional).unwrap();
    assert!(!required.remembers(None, Some(NOW)) && optional.remembers(None, Some(NOW)));
    let alice = Identity { subject: "CN=alice".into(), until: NOW };
    for clients in [&required, &optional] {
        assert!(clients.remembers(Some(&alice), Some(NOW - 1)));
        assert!(!clients.remembers(Some(&alice), Some(NOW)));
        assert!(!clients.remembers(Some(&alice), None));
    }
    for nobody in [None, Some(&[][..]), Some(&[&b"no certificate"[..]][..])] {
        assert!(Clients::new(nobody, ClientCertificate::Optional).is_err());
    }
}

/// A client of [`asking`] that has heard the server's flight.
struct Meeting {
    server: World<Asking>,
    peer: Peer,
    chain: Chain,
    key: SigningKey,
}

impl Meeting {
    fn new(config: Config, now: Option<u64>, own: (Chain, &KeyPair)) -> Self {
        let mut server = World::asking(config, now);
        let peer = Peer::greet(&mut server, &Hello::new());
        let key = SigningKey::from_pkcs8(&own.1.serialize_der()).unwrap();
        Self { server, peer, chain: own.0, key }
    }

    /// One of a client with a good certificate.
    fn usual(authority: &Authority, wanted: ClientCertificate) -> Self {
        let key = KeyPair::generate().unwrap();
        let good = authority.issue("alice", &key, |_| {});
        Self::new(asking(authority, wanted), Some(NOW), (good, &key))
    }

    fn certificate(&self) -> Vec<u8> {
        certificate_message(&[], self.chain.certificates, &[0, 0])
    }

    fn verify_with(&self, context: &[u8; 34], code: u16) -> Vec<u8> {
        let content = to_be_signed(context, &Hash::Sha256.of(&[&self.peer.transcript]));
        let scheme = self.key.schemes()[0];
        let signature = self.key.sign(scheme, &content, &mut Random::new([5; 32])).unwrap();
        verify_message(code, &signature)
    }

    fn verify(&self) -> Vec<u8> {
        self.verify_with(CLIENT_CONTEXT, self.key.schemes()[0].code())
    }

    fn tell(&mut self, message: &[u8]) {
        self.peer.tell(&mut self.server, message);
    }

    fn finish(&mut self) {
        let finished = self.peer.finish();
        self.tell(&finished);
    }

    #[track_caller]
    fn alert(mut self, what: &str) -> Option<u8> {
        let alert = self.peer.alert(&mut self.server);
        assert_eq!(self.server.tls.counters.completed.get(), u64::from(alert.is_none()), "{what}");
        self.server.pass(Duration::from_secs(30));
        if alert.is_some() {
            let open = self.server.tls.counters.open.get();
            assert_eq!((self.server.buffers_out(), open), (0, 0), "{what}");
        }
        alert
    }
}

/// What a client does.
type Act<'a> = &'a dyn Fn(&mut Meeting);

#[test]
fn certificates_of_clients_are_answered_with_the_alert_for_them() {
    let authority = Authority::new("authority");
    let none = certificate_message(&[], &[], &[]);
    let cases: [(&str, Act<'_>, Option<u8>); 12] = [
        ("nothing", &Meeting::finish, Some(10)),
        ("no certificate", &|it| it.tell(&none), Some(116)),
        ("a proof of nothing", &|it| it.tell(&it.verify()), Some(10)),
        (
            "a context",
            &|it| it.tell(&certificate_message(&[1], it.chain.certificates, &[0, 0])),
            Some(47),
        ),
        (
            "an extension",
            &|it| it.tell(&certificate_message(&[], it.chain.certificates, &[0, 4, 0, 5, 0, 0])),
            Some(110),
        ),
        (
            "half an extension",
            &|it| it.tell(&certificate_message(&[], it.chain.certificates, &[0, 3, 0, 5, 0])),
            Some(50),
        ),
        ("no bytes", &|it| it.tell(&certificate_message(&[], &[b""], &[0, 0])), Some(50)),
        ("no end", &|it| it.tell(&message(11, |body| body.bytes(&[0, 0, 0, 9]))), Some(50)),
        ("more", &|it| it.tell(&message(11, |body| body.bytes(&[0, 0, 0, 0, 7]))), Some(50)),
        ("rubbish", &|it| it.tell(&certificate_message(&[], &[b"rubbish"], &[0, 0])), Some(42)),
        ("a lot", &|it| it.tell(&certificate_message(&[], &[&[0; 9000]], &[0, 0])), Some(42)),
        (
            "too much",
            &|it| it.tell(&certificate_message(&[], &[&[0; 33_000]], &[0, 0])[..9000]),
            Some(50),
        ),
    ];
    for (what, act, expected) in cases {
        let mut it = Meeting::usual(&authority, ClientCertificate::Required);
        act(&mut it);
        assert_eq!(it.alert(what), expected, "{what}");
    }
}

#[test]
fn proofs_of_clients_are_answered_with_the_alert_for_them() {
    let authority = Authority::new("authority");
    let cases: [(&str, Act<'_>, Option<u8>); 7] = [
        (
            "no proof",
            &|it| {
                it.tell(&it.certificate());
                it.finish();
            },
            Some(10),
        ),
        (
            "another certificate",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.certificate());
            },
            Some(10),
        ),
        (
            "the server's words",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.verify_with(SERVER_CONTEXT, 0x0403));
            },
            Some(51),
        ),
        (
            "a scheme of certificates only",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.verify_with(CLIENT_CONTEXT, 0x0401));
            },
            Some(47),
        ),
        (
            "a scheme of another key",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.verify_with(CLIENT_CONTEXT, 0x0804));
            },
            Some(47),
        ),
        (
            "a wrong Finished",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.verify());
                it.tell(&message(20, |body| body.bytes(&[0; 32])));
            },
            Some(51),
        ),
        (
            "all as it should be",
            &|it| {
                it.tell(&it.certificate());
                it.tell(&it.verify());
                it.finish();
            },
            None,
        ),
    ];
    for (what, act, expected) in cases {
        let mut it = Meeting::usual(&authority, ClientCertificate::Required);
        act(&mut it);
        assert_eq!(it.alert(what), expected, "{what}");
    }
}

#[test]
fn who_shows_no_certificate_proves_nothing() {
    let authority = Authority::new("authority");
    let none = certificate_message(&[], &[], &[]);
    let mut it = Meeting::usual(&authority, ClientCertificate::Optional);
    it.tell(&none);
    it.tell(&it.verify());
    assert_eq!(it.alert("a proof without a certificate"), Some(10));
    let mut it = Meeting::usual(&authority, ClientCertificate::Optional);
    it.tell(&none);
    it.finish();
    assert_eq!(it.alert("nothing to show"), None);
}

#[test]
fn certificates_that_are_not_good_are_refused_with_the_alert_for_it() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let key = KeyPair::generate().unwrap();
    let good = authority.issue("alice", &key, |_| {});
    let for_servers = authority.issue("alice", &key, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let for_secrets = authority.issue("alice", &key, |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    });
    let an_authority = authority.issue("alice", &key, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let nobody = authority.issue("", &key, |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
    });
    let forged = {
        let mut bytes = good.certificates[0].to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Chain { certificates: vec![leak(&bytes)].leak(), names: &[] }
    };
    let years = 4 * 366 * 86_400;
    for (what, chain, now, expected) in [
        ("another authority's", other.issue("alice", &key, |_| {}), Some(NOW), 48),
        ("one of old", good, Some(NOW + years), 45),
        ("one of tomorrow", good, Some(5), 45),
        ("one for servers", for_servers, Some(NOW), 42),
        ("one for secrets", for_secrets, Some(NOW), 42),
        ("an authority", an_authority, Some(NOW), 42),
        ("nobody's", nobody, Some(NOW), 43),
        ("a forged one", forged, Some(NOW), 42),
        ("what nobody can check", good, None, 80),
    ] {
        let config = asking(&authority, ClientCertificate::Optional);
        let mut it = Meeting::new(config, now, (chain, &key));
        it.tell(&it.certificate());
        assert_eq!(it.alert(what), Some(expected), "{what}");
    }
    // The certificate is somebody else's.
    let config = asking(&authority, ClientCertificate::Optional);
    let mut it = Meeting::new(config, Some(NOW), (good, &KeyPair::generate().unwrap()));
    it.tell(&it.certificate());
    it.tell(&it.verify());
    assert_eq!(it.alert("another key"), Some(51));
}

#[test]
fn keys_are_used_for_what_they_are_for() {
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};
    let authority = Authority::new("authority");
    let anchors = Anchors::new(&[authority.der()]).unwrap();
    let check = |usages: Vec<KeyUsagePurpose>, issues: Vec<KeyUsagePurpose>| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "between");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = issues;
        let between = KeyPair::generate().unwrap();
        let between = CertifiedIssuer::signed_by(params, between, &authority.0).unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.key_usages = usages;
        let own = params.signed_by(&KeyPair::generate().unwrap(), &between).unwrap();
        let presented = Presented(vec![own.der().to_vec().into(), between.der().to_vec().into()]);
        anchors.check(&presented, "localhost", NOW).map(drop)
    };
    assert_eq!(check(vec![], vec![]), Ok(()));
    let both = vec![KeyEncipherment, DigitalSignature];
    assert_eq!(check(both, vec![CrlSign, KeyCertSign]), Ok(()));
    let not_allowed = |result| matches!(result, Err(Distrust::NotAllowed(_)));
    assert!(not_allowed(check(vec![KeyEncipherment, KeyAgreement], vec![])));
    assert!(not_allowed(check(vec![DigitalSignature], vec![CrlSign])));
}

/// RSA with these hashes, where a certificate says that of SHA-256.
#[test]
fn hashes_that_are_broken_make_certificates_bad() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Authority::with(params, rsa_key());
    let anchors = Anchors::new(&[authority.der()]).unwrap();
    let chain = authority.issue("alice", &KeyPair::generate().unwrap(), |_| {});
    for (hash, is_bad) in [(4, true), (5, true), (14, false)] {
        let mut der = chain.certificates[0].to_vec();
        let with_sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
        let at = |start: &usize| der[*start..].starts_with(&with_sha256);
        let places: Vec<_> = (0..der.len()).filter(at).collect();
        assert_eq!(places.len(), 2);
        places.iter().for_each(|start| der[start + 8] = hash);
        let found = anchors.check_client(&Presented(vec![der.into()]), NOW);
        match is_bad {
            true => assert!(matches!(found, Err(Distrust::Broken(_))), "{found:?}"),
            false => assert!(matches!(found, Err(Distrust::Unsupported(_))), "{found:?}"),
        }
    }
}

#[test]
fn clients_are_told_what_to_choose_by() {
    let authority = Authority::new("authority");
    let trust = [authority.der()];
    let clients = Clients::new(Some(&trust), ClientCertificate::Required).unwrap();
    let name = [&[0x30, 0x14, 0x31, 0x12, 0x30, 0x10, 6, 3, 0x55, 4, 3, 12, 9][..], b"authority"];
    let name = name.concat();
    assert_eq!(Anchors::new(&trust).unwrap().subjects().collect::<Vec<_>>(), [&name[..]]);
    let request = clients.request();
    let at = |bytes: &[u8]| request.windows(bytes.len()).any(|window| window == bytes);
    assert!(at(&[&[0, 47, 0, 26, 0, 24, 0, 22][..], &name].concat()), "{request:02x?}");
    for scheme in Scheme::ALL {
        assert!(at(&scheme.code().to_be_bytes()));
    }
    // So many names would be longer than all the rest.
    let many = vec![authority.der(); 200];
    let clients = Clients::new(Some(&many), ClientCertificate::Required).unwrap();
    assert!(clients.request().len() < 100);
}

#[test]
fn a_client_of_rustls_is_known() {
    let authority = Authority::new("authority");
    for key in [KeyPair::generate().unwrap(), rsa_key()] {
        let chain = authority.issue("bob", &key, |_| {});
        let (served, secret) = super::certificate(&rcgen::PKCS_ED25519, &["localhost"]);
        let asked = asking(&authority, ClientCertificate::Required);
        let config = Config { clients: asked.clients, ..config(vec![served], vec![secret]) };
        let mut server = World::asking(config, Some(NOW));
        let own = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let chain = chain.certificates.iter().map(|der| der.to_vec().into()).collect();
        let provider = ring::default_provider();
        let trusting = rustls_client::showing(&[served], provider, Some((chain, own)));
        let trusting = Arc::new(trusting);
        for resumed in 0..2 {
            let mut client = rustls_client::Client::connect(&mut server, &trusting, "localhost");
            let stream = rustls_client::talk(&mut client, &mut server);
            assert_eq!(server.tls.identity(stream).as_deref(), Some("CN=bob"));
            assert_eq!(server.tls.counters.resumed.get(), resumed);
        }
    }
}
