//! Certificates that take the place of others while connections go on.

use super::line::{NOW, World};
use super::rustls_client::{Client, rsa_key, talk, trusting};
use super::std;
use super::{certificate, config};
use crate::handshake::{Server, Staple};
use crate::{Chain, Config, Tls};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, HandshakeKind};
use std::format;
use waitless::counter::leak;
use waitless::{Certificate, CertificateOffer, CertificatePort, RefusalKind};

/// A block of PEM.
fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
}

/// A certificate and its key, as they are sent.
struct Made {
    chain: Chain,
    key: KeyPair,
}

impl Made {
    /// One for `names`, good from 2020 until the first of January in the year `until`.
    fn until(until: i32, key: KeyPair, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        Self::of(&params, key)
    }

    fn of(params: &CertificateParams, key: KeyPair) -> Self {
        let der: &'static [u8] = params.self_signed(&key).unwrap().der().to_vec().leak();
        Self { chain: Chain { certificates: vec![der].leak(), names: &[] }, key }
    }

    fn new(names: &[&str]) -> Self {
        Self::until(2100, p256(), names)
    }

    fn pem(&self) -> String {
        self.certificate() + &pem("PRIVATE KEY", self.key.serialized_der())
    }

    fn certificate(&self) -> String {
        pem("CERTIFICATE", self.chain.certificates[0])
    }
}

fn p256() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// A server with certificates for these lists of names.
fn serving(names: &[&[&str]]) -> (World, Vec<Chain>) {
    let made = names.iter().map(|names| certificate(&PKCS_ECDSA_P256_SHA256, names));
    let (chains, keys): (Vec<_>, Vec<_>) = made.unzip();
    (World::new(config(chains.clone(), keys)), chains)
}

fn offer<'a>(which: &'a str, pem: &'a [u8]) -> CertificateOffer<'a> {
    CertificateOffer { which, pem, other_names: false, unix_secs: Some(NOW) }
}

fn replace(world: &mut World, which: &str, pem: &str) -> Result<usize, (RefusalKind, String)> {
    let replaced = world.tls.replace(&offer(which, pem.as_bytes()));
    replaced.map_err(|why| (why.kind, why.text))
}

fn served(tls: &Tls<Server>) -> Vec<Certificate> {
    (0..).map_while(|place| tls.certificate(place)).collect()
}

/// A client that trusts `chains` and remembers sessions.
fn client(chains: &[Chain]) -> Arc<ClientConfig> {
    let mut client = trusting(chains, ring::default_provider());
    client.resumption = Resumption::in_memory_sessions(64);
    Arc::new(client)
}

#[test]
fn the_next_handshake_gets_it_and_open_connections_go_on() {
    let (mut world, chains) = serving(&[&["localhost"]]);
    let made = Made::new(&["localhost"]);
    let (old, new) = (client(&chains), client(&[made.chain]));
    let mut before = Client::connect(&mut world, &old, "localhost");
    let stream = talk(&mut before, &mut world);
    // One who is being answered finishes with the old one.
    let mut half = Client::connect(&mut world, &old, "localhost");
    half.say(&mut world);
    assert_eq!(replace(&mut world, "LOCALHOST", &made.pem()), Ok(0));
    before.write(b"still here", &mut world);
    assert_eq!(world.read(stream), b"still here");
    world.write(stream, b"so am I");
    before.exchange(&mut world).unwrap();
    assert_eq!(before.read(), b"so am I");
    talk(&mut half, &mut world);
    let mut refused = Client::connect(&mut world, &old, "localhost");
    assert!(refused.exchange(&mut world).is_err(), "the old one is gone");
    talk(&mut Client::connect(&mut world, &new, "localhost"), &mut world);
}

#[test]
fn a_session_that_began_with_the_old_one_is_not_resumed() {
    let (mut world, chains) = serving(&[&["localhost"], &["other.example"]]);
    let made = Made::new(&["localhost"]);
    let client = client(&[chains[0], chains[1], made.chain]);
    let kind = |world: &mut World, name| {
        let mut client = Client::connect(world, &client, name);
        talk(&mut client, world);
        client.kind()
    };
    let names = ["localhost", "other.example"];
    assert_eq!(names.map(|name| kind(&mut world, name)), [HandshakeKind::Full; 2]);
    assert_eq!(names.map(|name| kind(&mut world, name)), [HandshakeKind::Resumed; 2]);
    replace(&mut world, "localhost", &made.pem()).unwrap();
    let expected = [HandshakeKind::Full, HandshakeKind::Resumed];
    assert_eq!(names.map(|name| kind(&mut world, name)), expected);
    assert_eq!(names.map(|name| kind(&mut world, name)), [HandshakeKind::Resumed; 2]);
    // The same once more: nothing changes, and nobody must shake hands anew.
    replace(&mut world, "localhost", &made.pem()).unwrap();
    assert_eq!(names.map(|name| kind(&mut world, name)), [HandshakeKind::Resumed; 2]);
}

#[test]
fn every_kind_of_key_in_every_form_can_be_sent() {
    use rsa::pkcs1::EncodeRsaPrivateKey as _;
    use rsa::pkcs8::DecodePrivateKey as _;
    let sec1 = |key: &KeyPair| {
        // The key in PKCS#8 is one of SEC1: behind version and algorithm, in a string of bytes.
        let der = key.serialized_der();
        let inner = der.windows(5).position(|part| part[0] == 0x30 && part[2..] == [2, 1, 1]);
        pem("EC PRIVATE KEY", &der[inner.expect("a key of SEC1 within")..])
    };
    let pkcs1 = |key: &KeyPair| {
        let key = rsa::PrivateKey::from_pkcs8_der(key.serialized_der()).unwrap();
        pem("RSA PRIVATE KEY", key.to_pkcs1_der().unwrap().as_bytes())
    };
    let pkcs8 = |key: &KeyPair| pem("PRIVATE KEY", key.serialized_der());
    let p384 = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    type Form = fn(&KeyPair) -> String;
    let cases: [(KeyPair, Form, &str); 6] = [
        (p256(), pkcs8, "P-256"),
        (p256(), sec1, "P-256"),
        (p384(), pkcs8, "P-384"),
        (ed25519, pkcs8, "Ed25519"),
        (rsa_key(), pkcs8, "RSA"),
        (rsa_key(), pkcs1, "RSA"),
    ];
    let (mut world, _) = serving(&[&["localhost"]]);
    for (key, form, kind) in cases {
        let key_pem = form(&key);
        let made = Made::until(2100, key, &["localhost"]);
        // In front of the certificate, and with what is for people around both.
        let sent = format!("key\r\n{}certificate\n{}", key_pem, made.certificate());
        assert_eq!(replace(&mut world, "0", &sent), Ok(0), "{kind}: {key_pem}");
        assert_eq!(served(&world.tls)[0].key, kind);
        let client = client(&[made.chain]);
        talk(&mut Client::connect(&mut world, &client, "localhost"), &mut world);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_old_one_stays() {
    let (mut world, chains) = serving(&[&["a.example", "*.b.example"], &["a.example"]]);
    let fits = &["a.example", "*.b.example"];
    let (good, other) = (Made::new(fits), Made::new(fits));
    let (old, future) = (Made::until(2026, p256(), fits), {
        let mut params = CertificateParams::new(fits.map(String::from)).unwrap();
        params.not_before = rcgen::date_time_ymd(2027, 1, 1);
        Made::of(&params, p256())
    });
    let key = pem("PRIVATE KEY", good.key.serialized_der());
    let before = served(&world.tls);
    use RefusalKind::{Ambiguous, Unfit, Unknown, Unreadable};
    for (which, sent, kind, part) in [
        ("c.example", good.pem(), Unknown, "no certificate in service is for `c.example`"),
        ("+0", good.pem(), Unknown, "no certificate in service is for `+0`"),
        ("2", good.pem(), Unknown, "no place 2: the last one is 1"),
        ("a.example", good.pem(), Ambiguous, "name the place of one, of 0, 1"),
        ("0", String::new(), Unreadable, "no private key"),
        ("0", "-----BEGIN NOTHING".into(), Unreadable, "has no end"),
        ("0", good.certificate(), Unreadable, "no private key"),
        ("0", key.clone(), Unreadable, "no certificate"),
        ("0", good.pem() + &key, Unreadable, "several private keys"),
        ("0", good.pem().replace("PRIVATE", "ENCRYPTED PRIVATE"), Unreadable, "is encrypted"),
        ("0", good.pem().replace("PRIVATE", "DSA PRIVATE"), Unreadable, "DSA PRIVATE KEY"),
        ("0", good.certificate() + &pem("PRIVATE KEY", b"none"), Unreadable, "must be of P-256"),
        ("0", pem("CERTIFICATE", b"none") + &key, Unreadable, "certificate 1 cannot be read"),
        ("0", good.pem().replace("MII", "!!!"), Unreadable, "cannot be read as PEM"),
        ("0", good.certificate().repeat(33), Unreadable, "more than 32"),
        ("0", other.certificate() + &key, Unfit, "is not the certificate's"),
        ("0", other.certificate() + &good.pem(), Unfit, "is not the certificate's"),
        ("0", old.pem(), Unfit, "was good until 2026-01-01 00:00:00 UTC"),
        ("0", future.pem(), Unfit, "is good from 2027-01-01 00:00:00 UTC on"),
        ("0", Made::new(&["a.example"]).pem(), Unfit, "not for `*.b.example`"),
        ("0", Made::new(&["*.b.example"]).pem(), Unfit, "not for `a.example`"),
        ("0", Made::new(&[]).pem(), Unfit, "for no host name"),
    ] {
        let (found, text) = replace(&mut world, which, &sent).unwrap_err();
        assert!(found == kind && text.contains(part), "{found:?} {text}, for {part}");
        assert_eq!(served(&world.tls), before, "{part}");
    }
    let client = client(&chains);
    talk(&mut Client::connect(&mut world, &client, "x.b.example"), &mut world);
}

#[test]
fn one_for_addresses_alone_can_take_the_place_of_another() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let sent = Made::new(&["203.0.113.7", "2001:db8::7"]).pem();
    let (_, why) = replace(&mut world, "0", &sent).unwrap_err();
    assert!(why.contains("not for `localhost`"), "{why}");
    let offer = CertificateOffer { other_names: true, ..offer("0", sent.as_bytes()) };
    assert_eq!(world.tls.replace(&offer).map_err(|why| why.text), Ok(0));
    // It has no host name, so another takes its place by number.
    assert_eq!(replace(&mut world, "0", &Made::new(&["203.0.113.7"]).pem()), Ok(0));
}

#[test]
fn what_an_issuers_certificate_says_besides_is_for_clients_to_know() {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // Critical, and of no meaning here.
    let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 9], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions.push(unknown);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, p256()).unwrap();
    let key = p256();
    let own = CertificateParams::new(["localhost".to_string()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    let sent = pem("CERTIFICATE", own.der())
        + &pem("CERTIFICATE", issuer.der())
        + &pem("PRIVATE KEY", key.serialized_der());
    let (mut world, _) = serving(&[&["localhost"]]);
    assert_eq!(replace(&mut world, "0", &sent), Ok(0));
    assert_eq!(served(&world.tls)[0].chain, 2);
}

#[test]
fn damaged_bytes_do_no_harm() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let made = Made::new(&["localhost"]);
    let (certificate, key) = (made.chain.certificates[0], made.key.serialized_der());
    let mut random = waitless::Random::new([3; 32]);
    let mut taken = 0;
    for _ in 0..1000 {
        let (mut certificate, mut key) = (certificate.to_vec(), key.to_vec());
        let damaged = if random.u32().is_multiple_of(4) { &mut key } else { &mut certificate };
        let place = random.u32() as usize % damaged.len();
        match random.u32() % 3 {
            0 => damaged.truncate(place),
            1 => damaged[place] ^= 1 << (random.u32() % 8),
            _ => damaged[place] = random.u32() as u8,
        }
        let mut text = pem("CERTIFICATE", &certificate) + &pem("PRIVATE KEY", &key);
        if random.u32().is_multiple_of(4) {
            text.truncate(random.u32() as usize % text.len());
        }
        let before = served(&world.tls);
        match replace(&mut world, "localhost", &text) {
            Ok(_) => taken += 1,
            Err((_, why)) => assert!(served(&world.tls) == before && !why.is_empty()),
        }
    }
    // Nobody has asked who signed it, so some damage is not seen, as in the build.
    assert!((1..700).contains(&taken), "{taken}");
    replace(&mut world, "localhost", &made.pem()).unwrap();
    let client = client(&[made.chain]);
    talk(&mut Client::connect(&mut world, &client, "localhost"), &mut world);
}

#[test]
fn chains_are_checked_and_sent_in_order() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    let authority_key = p256();
    let authority = Made::of(&params, p256());
    let issuer = rcgen::Issuer::from_params(&params, authority_key);
    let key = p256();
    let own = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    let key = pem("PRIVATE KEY", key.serialized_der());
    let (own, authority) = (pem("CERTIFICATE", own.der()), authority.certificate());
    let (_, text) = replace(&mut world, "0", &[&own, &own, &*key].concat()).unwrap_err();
    assert!(text.contains("certificate 2 did not issue certificate 1"), "{text}");
    assert_eq!(replace(&mut world, "0", &[&own, &authority, &*key].concat()), Ok(0));
    let served = &served(&world.tls)[0];
    assert_eq!((served.chain, &*served.names), (2, &["localhost".to_string()][..]));
}

#[test]
fn names_may_be_others_where_that_is_said() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let made = Made::new(&["Example.org", "www.example.org"]);
    let pem = made.pem();
    let all = CertificateOffer { other_names: true, ..offer("localhost", pem.as_bytes()) };
    assert_eq!(world.tls.replace(&all), Ok(0));
    assert_eq!(served(&world.tls)[0].names, ["example.org", "www.example.org"]);
    let client = client(&[made.chain]);
    talk(&mut Client::connect(&mut world, &client, "www.example.org"), &mut world);
    // A star covers what it stands for.
    let star = Made::new(&["*.example.org", "example.org"]);
    assert_eq!(replace(&mut world, "example.org", &star.pem()), Ok(0));
}

#[test]
fn a_clock_may_be_a_minute_late_and_not_early() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let pem = Made::until(2026, p256(), &["localhost"]).pem();
    // The first of January in 2020 and in 2026.
    let (from, until) = (1_577_836_800, 1_767_225_600);
    for (now, fits) in [(from - 61, false), (from - 60, true), (until - 1, true), (until, false)] {
        let offer = CertificateOffer { unix_secs: Some(now), ..offer("0", pem.as_bytes()) };
        assert_eq!(world.tls.replace(&offer).is_ok(), fits, "{now}");
    }
}

#[test]
fn where_nobody_knows_the_time_it_is_not_asked() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let pem = Made::until(2026, p256(), &["localhost"]).pem();
    let timeless = CertificateOffer { unix_secs: None, ..offer("0", pem.as_bytes()) };
    assert_eq!(world.tls.replace(&timeless), Ok(0));
}

#[test]
fn what_is_in_service_is_told_and_the_issuers_word_belongs_to_one_certificate() {
    let (chain, key) = certificate(&PKCS_ECDSA_P256_SHA256, &["localhost"]);
    let staple = Staple { response: b"good, says the issuer", until: u64::MAX };
    let staples: &'static [Option<Staple>] = leak([Some(staple)]);
    let mut world = World::new(Config { ocsp: Some(staples), ..config(vec![chain], vec![key]) });
    let told = served(&world.tls);
    assert!(matches!(&told[..], [it] if it.stapled && it.names == ["localhost"]));
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x12, 0x34]));
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 2, 1);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "somebody");
    let made = Made::of(&params, p256());
    replace(&mut world, "localhost", &made.pem()).unwrap();
    let expected = Certificate {
        names: vec!["localhost".into()],
        subject: "CN=somebody".into(),
        serial: vec![0x12, 0x34],
        not_before: 1_577_836_800,
        not_after: 1_896_134_400,
        sha256: crate::crypto::sha256(&[made.chain.certificates[0]]),
        key: "P-256",
        chain: 1,
        stapled: false,
    };
    assert_eq!(served(&world.tls), [expected]);
    assert!(!format!("{:?}", offer("x", b"a secret")).contains("secret"));
}

#[test]
fn the_issuers_word_stays_where_the_certificate_does() {
    let key = p256();
    let made = Made::until(2100, key, &["localhost"]);
    let key: &'static [u8] = made.key.serialized_der().to_vec().leak();
    let staple = Staple { response: b"good, says the issuer", until: u64::MAX };
    let staples: &'static [Option<Staple>] = leak([Some(staple)]);
    let chain = Chain { names: &["localhost"], ..made.chain };
    let mut world = World::new(Config { ocsp: Some(staples), ..config(vec![chain], vec![key]) });
    let shown = |world: &World| {
        let shared = world.tls.shared.as_ref().unwrap();
        shared.role.certificates.all()[0].message(true, Some(NOW)).to_vec()
    };
    let before = shown(&world);
    assert!(before.windows(21).any(|part| part == staple.response));
    replace(&mut world, "localhost", &made.pem()).unwrap();
    assert!(shown(&world) == before && served(&world.tls)[0].stapled);
}

#[test]
fn a_key_of_rsa_that_could_sign_nothing_is_refused() {
    let (mut world, _) = serving(&[&["localhost"]]);
    let sent = Made::new(&["localhost"]).certificate() + SHORT_KEY;
    let (kind, text) = replace(&mut world, "0", &sent).unwrap_err();
    assert!(kind == RefusalKind::Unreadable && text.contains("2,048 to 8,192"), "{text}");
}

/// A good key of 512 bits.
const SHORT_KEY: &str = "-----BEGIN RSA PRIVATE KEY-----
MIIBOgIBAAJBAOrMts51JkqpO7DMDcCCY2kfrNDLKnYhCSmHVU6LgSwgmoiUuju6
6sgH2HsWZGIp+l6Aw9Ca+jQPt08eMu6WBWUCAwEAAQJBALZ2qaUdUsl4ZAOLPzCX
4wsBa3nCOFgeahFUsw1byeDwZAZQWjnP8gy54UdNl33sVRnTTdJFuM1cMa1R2DHA
Xu0CIQD9PdBThrq8dFNry1QEUzErF6MGPuuc/oqCaaZEkgY4pwIhAO1beUafEuQD
6a0oKYb4zOmGY/AEqnfCWcvyxCl5+scTAiBA3tjCzLyBEftcnZVEFlt+AmwMaYnJ
iZrJlW62GgHl+QIgTpz/W96P2Slamdk1d9irtaSnMPW6qBOcvinXwoz9/DUCIFoA
P8nsn/FCcjLwmObWntCo7wa0DfJLfn+6TyQGNnld
-----END RSA PRIVATE KEY-----
";
