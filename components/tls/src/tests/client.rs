//! Two ends in one process: our client talks to our server.

use super::line::World;
use super::rustls_client::rsa_key;
use super::script::message_of;
use super::{certificate, certificate_of, config, trusting, until_2030, usual};
use crate::Config;
use crate::client::Client;
use crate::crypto::{Group, Scheme, Suite};
use crate::handshake::Server;
use crate::wire::hello::ClientHello;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Component, ConnectError, Duration, Phase, Stream, StreamPort};

/// A client and a server, and a connection between them.
pub struct Ends<const ASKS: bool = false> {
    pub client: World<Client>,
    pub server: World<Server<ASKS>>,
}

impl Ends {
    /// A server, and a client that trusts it.
    pub fn new(config: crate::Config) -> Self {
        let trust = trusting(config.certificate);
        Self { client: World::client(trust), server: World::new(config) }
    }
}

impl<const ASKS: bool> Ends<ASKS> {
    /// Passes bytes both ways until neither end says anything.
    pub fn exchange(&mut self, wire: usize, peer: usize) {
        for _ in 0..100 {
            let (said, heard) = (self.client.heard(wire), self.server.heard(peer));
            if said.is_empty() && heard.is_empty() {
                return;
            }
            self.server.say(peer, &said);
            self.client.say(wire, &heard);
        }
        panic!("there is no end to it");
    }

    /// The ends of a connection to `name`: the client's and the server's.
    #[track_caller]
    pub fn connect(&mut self, name: &str) -> (Stream, Stream) {
        let (stream, wire) = self.client.dial(name);
        assert_eq!(self.client.tls.status(stream).phase, Phase::Opening);
        let peer = self.server.connect();
        self.exchange(wire, peer);
        let status = self.client.tls.status(stream);
        let why = self.client.tls.failure(stream);
        assert_eq!(status.phase, Phase::Open, "{why:?}");
        (stream, self.server.accept())
    }

    /// Data passes both ways, of lengths around the borders of records and packets.
    pub fn talk(&mut self, (stream, peer): (Stream, Stream)) {
        let wires = (self.client.line.wires.len() - 1, self.server.line.wires.len() - 1);
        for length in [1, 100, 1379, 1400, 5000, 16_384, 16_385, 30_000] {
            let question: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            self.client.write(stream, &question);
            self.exchange(wires.0, wires.1);
            assert_eq!(self.server.read(peer), question, "{length} bytes");
            self.server.write(peer, &question);
            self.exchange(wires.0, wires.1);
            assert_eq!(self.client.read(stream), question, "{length} bytes");
        }
        assert_eq!(self.client.tls.tag(stream), Some(7));
    }

    /// The client gives a connection up, and nothing is left of it.
    pub fn hang_up(&mut self, (stream, peer): (Stream, Stream)) {
        let wires = (self.client.line.wires.len() - 1, self.server.line.wires.len() - 1);
        self.client.tls.release(stream);
        self.client.settle();
        self.exchange(wires.0, wires.1);
        self.server.tls.release(peer);
        self.server.settle();
        assert!(self.client.line.wires[wires.0].closed);
        assert_eq!((self.client.buffers_out(), self.client.tls.counters.open.get()), (0, 0));
        assert_eq!((self.server.buffers_out(), self.server.tls.counters.open.get()), (0, 0));
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
    for (chain, key) in kinds {
        let mut ends = Ends::new(config(vec![chain], vec![key]));
        for suite in &Suite::ALL {
            for group in &Group::ALL {
                let role = ends.client.role();
                role.suites = core::slice::from_ref(suite);
                role.groups = core::slice::from_ref(group);
                // Without a hint, and with a new server: each is a full handshake.
                let pair = ends.connect("localhost");
                ends.talk(pair);
                ends.hang_up(pair);
                ends.client.pass(Duration::from_secs(90_000));
            }
        }
        assert_eq!(ends.client.tls.counters.completed.get(), 12);
        assert_eq!(ends.server.tls.counters.completed.get(), 12);
        assert_eq!(ends.server.tls.counters.retried.get(), 0);
    }
}

#[test]
fn rsa_is_verified_by_every_hash() {
    let (chain, key) = certificate_of(&rsa_key(), &["localhost"]);
    let mut ends = Ends::new(config(vec![chain], vec![key]));
    for scheme in Scheme::ALL.iter().filter(|scheme| scheme.code() >> 8 == 8).skip(1) {
        ends.client.role().schemes = core::slice::from_ref(scheme);
        let pair = ends.connect("localhost");
        ends.hang_up(pair);
        ends.client.pass(Duration::from_secs(90_000));
    }
    assert_eq!(ends.server.tls.counters.resumed.get(), 0);
    assert_eq!(ends.server.tls.counters.completed.get(), 3);
}

#[test]
fn the_first_hello_alone_says_the_version_of_old() {
    let mut ends = Ends::new(usual());
    let (stream, wire) = ends.client.dial("localhost");
    let versions = |bytes: &[u8]| {
        let (mut rest, mut versions) = (bytes, Vec::new());
        while let [_, a, b, high, low, behind @ ..] = rest {
            versions.push([*a, *b]);
            rest = &behind[usize::from(u16::from_be_bytes([*high, *low]))..];
        }
        versions
    };
    let first = ends.client.heard(wire);
    assert_eq!(versions(&first)[0], [3, 1]);
    assert!(versions(&first).iter().all(|version| *version == [3, 1]), "{first:?}");
    ends.client.tls.abort(stream);
    ends.client.tls.release(stream);
    // Who is asked again has been answered by 1.3.
    let role = ends.client.role();
    (role.groups, role.shares) = (&[Group::P256], 0);
    let (_, wire) = ends.client.dial("localhost");
    let peer = ends.server.connect();
    ends.server.say(peer, &ends.client.heard(wire));
    let asked = ends.server.heard(peer);
    ends.client.say(wire, &asked);
    let second = versions(&ends.client.heard(wire));
    assert!(second.len() >= 2 && second.iter().all(|version| *version == [3, 3]), "{second:?}");
}

/// Whichever certificate the server would show now.
#[test]
fn a_ticket_is_good_while_the_certificate_that_it_comes_from_is_in_service() {
    let (one, one_key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    let (two, two_key) = certificate(&rcgen::PKCS_ED25519, &["localhost"]);
    let mut ends = Ends::new(config(vec![one, two], vec![one_key, two_key]));
    for (resumed, schemes) in
        [&[Scheme::Ed25519][..], &Scheme::ALL, &[Scheme::EcdsaP256Sha256]].into_iter().enumerate()
    {
        ends.client.role().schemes = schemes;
        let pair = ends.connect("localhost");
        ends.hang_up(pair);
        assert_eq!(ends.server.tls.counters.resumed.get(), resumed as u64);
    }
}

/// However many connections go on from the first, the certificate is looked at again.
#[test]
fn a_server_is_believed_for_a_day_and_not_longer_than_its_certificate_is_good() {
    let ticket_lifetime = Duration::from_secs(604_800);
    let mut ends = Ends::new(Config { ticket_lifetime, ..usual() });
    let visit = |ends: &mut Ends| {
        let before = ends.client.tls.counters.resumed.get();
        let pair = ends.connect("localhost");
        ends.hang_up(pair);
        ends.client.tls.counters.resumed.get() > before
    };
    for (turn, resumes) in [false, true, true, false, true].into_iter().enumerate() {
        assert_eq!(visit(&mut ends), resumes, "{turn}");
        ends.client.pass(Duration::from_secs(30_000));
        ends.server.pass(Duration::from_secs(30_000));
    }
    // The certificate ends while its ticket would be good for long.
    let (chain, key) = until_2030();
    let config = Config { ticket_lifetime, ..config(vec![chain], vec![key]) };
    let trust = trusting(config.certificate);
    // The first of January in 2030.
    let end = 1_893_456_000;
    let client = World::client_at(trust, Some(end - 100));
    let mut ends = Ends { client, server: World::new(config) };
    assert_eq!([visit(&mut ends), visit(&mut ends)], [false, true]);
    ends.client.pass(Duration::from_secs(101));
    let (stream, wire) = ends.client.dial("localhost");
    let peer = ends.server.connect();
    ends.exchange(wire, peer);
    let why = ends.client.tls.failure(stream);
    assert!(why.is_some_and(|why| why.contains("not good any more")), "{why:?}");
}

#[test]
fn who_shows_no_key_of_a_common_group_is_asked_again() {
    for suite in &Suite::ALL {
        for group in &Group::ALL {
            let mut ends = Ends::new(usual());
            let role = ends.client.role();
            role.suites = core::slice::from_ref(suite);
            (role.groups, role.shares) = (core::slice::from_ref(group), 0);
            let pair = ends.connect("localhost");
            ends.talk(pair);
            ends.hang_up(pair);
            // Also with a key of an earlier connection.
            let pair = ends.connect("localhost");
            ends.hang_up(pair);
            let counters = ends.client.tls.counters;
            assert_eq!((counters.retried.get(), counters.resumed.get()), (2, 1));
            let counters = ends.server.tls.counters;
            assert_eq!((counters.retried.get(), counters.resumed.get()), (2, 1));
        }
    }
}

#[test]
fn connections_are_resumed_by_name_once_for_each_ticket() {
    let (one, one_key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["one.example"]);
    let (two, two_key) = certificate(&rcgen::PKCS_ED25519, &["two.example"]);
    let mut ends = Ends::new(config(vec![one, two], vec![one_key, two_key]));
    let resumed = |ends: &mut Ends, name: &str| {
        let before = ends.client.tls.counters.resumed.get();
        let pair = ends.connect(name);
        ends.talk(pair);
        ends.hang_up(pair);
        let now = ends.client.tls.counters.resumed.get();
        assert_eq!(now, ends.server.tls.counters.resumed.get());
        now > before
    };
    assert!(!resumed(&mut ends, "one.example"));
    assert!(resumed(&mut ends, "one.example"));
    assert!(!resumed(&mut ends, "two.example"));
    assert!(resumed(&mut ends, "two.example"));
    assert!(resumed(&mut ends, "one.example"));
    // Each ticket is shown once: two are left, and then none.
    for expected in [true, true, false] {
        let (stream, wire) = ends.client.dial("one.example");
        let hello = ends.client.heard(wire);
        let message = message_of(&hello);
        let hello = ClientHello::parse(&message[4..]).unwrap();
        assert_eq!(hello.keys.is_some(), expected);
        ends.client.tls.abort(stream);
        ends.client.tls.release(stream);
        ends.client.settle();
    }
    // What is old is forgotten.
    assert!(resumed(&mut ends, "two.example"));
    ends.client.pass(Duration::from_secs(4000));
    ends.server.pass(Duration::from_secs(4000));
    assert!(!resumed(&mut ends, "two.example"));
}

#[test]
fn both_ends_may_replace_their_keys() {
    let mut ends = Ends::new(usual());
    let (stream, peer) = ends.connect("localhost");
    ends.client.tls.connections[0].session.want_update();
    ends.client.write(stream, b"with new keys");
    ends.exchange(0, 0);
    assert_eq!(ends.server.read(peer), b"with new keys");
    ends.server.write(peer, b"and with ours");
    ends.exchange(0, 0);
    assert_eq!(ends.client.read(stream), b"and with ours");
    assert_eq!(ends.client.tls.counters.updated.get(), 1);
    assert_eq!(ends.server.tls.counters.updated.get(), 1);
    ends.server.tls.connections[0].session.want_update();
    ends.server.write(peer, b"again");
    ends.exchange(0, 0);
    assert_eq!(ends.client.read(stream), b"again");
    ends.talk((stream, peer));
    assert_eq!(ends.client.tls.counters.updated.get(), 2);
}

#[test]
fn the_end_is_agreed_and_a_cut_is_seen() {
    let mut ends = Ends::new(usual());
    // The server closes first; the client still says what it has to say.
    let (stream, peer) = ends.connect("localhost");
    ends.server.write(peer, b"bye");
    ends.server.tls.close(peer);
    ends.server.settle();
    ends.exchange(0, 0);
    assert_eq!(ends.client.read(stream), b"bye");
    let status = ends.client.tls.status(stream);
    assert!(status.finished && status.phase == Phase::Open);
    ends.client.write(stream, b"so long");
    ends.client.tls.close(stream);
    ends.client.settle();
    ends.exchange(0, 0);
    assert_eq!(ends.server.read(peer), b"so long");
    ends.client.finish(0);
    assert_eq!(ends.client.tls.status(stream).phase, Phase::Closed);
    ends.client.tls.release(stream);
    // The stream below ends and nobody has said so.
    let (stream, _) = ends.connect("localhost");
    ends.client.finish(1);
    assert_eq!(ends.client.tls.status(stream).phase, Phase::Reset);
    assert_eq!(ends.client.tls.counters.truncated.get(), 1);
    ends.client.tls.release(stream);
    // Nor does it help that we had said the end ourselves: what was still to come was cut off.
    let (stream, _) = ends.connect("localhost");
    ends.client.tls.close(stream);
    ends.client.settle();
    ends.client.finish(2);
    assert_eq!(ends.client.tls.status(stream).phase, Phase::Reset);
    assert_eq!(ends.client.tls.counters.truncated.get(), 2);
    ends.client.tls.release(stream);
    assert_eq!((ends.client.buffers_out(), ends.client.tls.counters.open.get()), (0, 0));
}

/// What becomes of a connection to `name`: the phase, and what the client says of it.
fn outcome(ends: &mut Ends, name: &str) -> (Phase, &'static str) {
    let (stream, wire) = ends.client.dial(name);
    let peer = ends.server.connect();
    ends.exchange(wire, peer);
    let phase = ends.client.tls.status(stream).phase;
    let why = ends.client.tls.failure(stream).unwrap_or("nothing is wrong");
    ends.client.tls.release(stream);
    ends.client.settle();
    ends.client.finish(wire);
    assert_eq!((ends.client.buffers_out(), ends.client.tls.counters.open.get()), (0, 0));
    (phase, why)
}

/// What the client says of a server with `chain` and `key`, at `now`, when it trusts `trusted`.
fn verdict(
    chain: crate::Chain,
    key: &'static [u8],
    trusted: crate::Chain,
    now: u64,
) -> &'static str {
    let client = World::client_at(trusting(&[trusted]), Some(now));
    let mut ends = Ends { client, server: World::new(config(vec![chain], vec![key])) };
    let (phase, why) = outcome(&mut ends, "localhost");
    let good = phase == Phase::Open;
    assert!(good || phase == Phase::Reset, "{phase:?}");
    // The server has heard of it, and nobody has sent data.
    assert_eq!(ends.server.tls.counters.rejected.get(), u64::from(!good));
    assert_eq!(ends.server.tls.counters.completed.get(), u64::from(good));
    why
}

#[test]
fn only_certificates_that_are_good_now_are_believed() {
    use super::line::NOW;
    let (chain, key) = until_2030();
    let (other, other_key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &["localhost"]);
    let later = NOW + 4 * 366 * 86_400;
    for (served, key, trusted, now, expected) in [
        (chain, key, chain, NOW, "nothing is wrong"),
        (chain, key, other, NOW, "Nobody who is trusted vouches for the other end's certificate."),
        (
            other,
            other_key,
            chain,
            NOW,
            "Nobody who is trusted vouches for the other end's certificate.",
        ),
        (chain, key, chain, 5, "A certificate of the other end's is not good yet."),
        (chain, key, chain, later, "A certificate of the other end's is not good any more."),
        // Somebody shows a certificate without having its key.
        (
            chain,
            other_key,
            chain,
            NOW,
            "The other end's signature is wrong: it does not have the key of its certificate.",
        ),
    ] {
        assert_eq!(verdict(served, key, trusted, now), expected);
    }
}

#[test]
fn the_certificate_must_be_for_who_was_dialled() {
    let names = ["localhost", "*.example.org", "192.0.2.7", "2001:db8::7"];
    let (chain, key) = certificate(&rcgen::PKCS_ECDSA_P256_SHA256, &names);
    let mut ends = Ends::new(config(vec![chain], vec![key]));
    let other = "The server's certificate is for other names.";
    for (name, expected) in [
        ("localhost", "nothing is wrong"),
        ("LOCALHOST.", "nothing is wrong"),
        ("www.example.org", "nothing is wrong"),
        ("example.org", other),
        ("a.www.example.org", other),
        ("192.0.2.7", "nothing is wrong"),
        ("192.0.2.8", other),
        ("2001:db8::7", "nothing is wrong"),
        ("2001:db8::8", other),
    ] {
        assert_eq!(outcome(&mut ends, name).1, expected, "{name}");
    }
    // A plain connect is one to the address.
    let remote = ([10, 0, 0, 1], 443).into();
    assert!(ends.client.tls.connect(ends.client.service, remote).is_ok());
    let no_name = ends.client.tls.connect_to(ends.client.service, remote, "no name");
    assert_eq!(no_name, Err(ConnectError::BadAddress));
}

#[test]
fn who_is_not_believed_is_told_although_nobody_waits() {
    let config = usual();
    let mut client = World::client(trusting(&[until_2030().0]));
    let (stream, wire) = client.dial("localhost");
    let mut server = World::new(config);
    let peer = server.connect();
    server.say(peer, &client.heard(wire));
    let mut packet_after_packet = server.heard(peer);
    for part in packet_after_packet.chunks_mut(1400) {
        let mut packet = client.cx.packet().unwrap();
        packet.append(part).unwrap();
        client.line.arrive(wire, packet);
    }
    // Who dialled gives up in the same sweep in which it hears of it, as a dialler does.
    for _ in 0..10 {
        client.tls.receive(&mut client.line, &mut client.cx);
        if client.tls.status(stream).phase == Phase::Reset {
            client.tls.release(stream);
        }
        client.tls.transmit(&mut client.line, &mut client.cx);
    }
    server.say(peer, &client.heard(wire));
    assert_eq!(server.tls.counters.rejected.get(), 1);
    client.finish(wire);
    assert_eq!((client.buffers_out(), client.tls.counters.open.get()), (0, 0));
}

#[test]
fn without_a_clock_nobody_is_believed() {
    let config = usual();
    let client = World::client_at(trusting(config.certificate), None);
    assert_eq!(client.cx.wall_clock(), None);
    let mut ends = Ends { client, server: World::new(config) };
    let (phase, why) = outcome(&mut ends, "localhost");
    assert_eq!(phase, Phase::Reset);
    assert!(why.starts_with("Nobody here knows the time"), "{why}");
}

#[test]
fn authorities_in_between_are_followed() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let new = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let leak = |bytes: Vec<u8>| -> &'static [u8] { bytes.leak() };
    let (root_key, middle_key, leaf_key) = (new(), new(), new());
    let root = authority("root").self_signed(&root_key).unwrap();
    let issuer = Issuer::new(authority("root"), &root_key);
    let middle = authority("middle").signed_by(&middle_key, &issuer).unwrap();
    let issuer = Issuer::new(authority("middle"), &middle_key);
    let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let [root, middle, leaf] = [root, middle, leaf].map(|made| leak(made.der().to_vec()));
    let chain = |all: &[&'static [u8]]| crate::Chain {
        certificates: all.to_vec().leak(),
        names: &["localhost"],
    };
    let key = leak(leaf_key.serialize_der());
    let trusted = chain(&[root]);
    let now = super::line::NOW;
    assert_eq!(verdict(chain(&[leaf, middle]), key, trusted, now), "nothing is wrong");
    // Without who stands between, the way is not found.
    let unknown = "Nobody who is trusted vouches for the other end's certificate.";
    assert_eq!(verdict(chain(&[leaf]), key, trusted, now), unknown);
    // An authority is no server.
    let middle_key = leak(middle_key.serialize_der());
    let wrong = verdict(chain(&[middle]), middle_key, trusted, now);
    assert!(wrong.contains("another purpose"), "{wrong}");
}

#[test]
fn what_does_not_open_fails() {
    let mut client = World::client(trusting(usual().certificate));
    let service = client.tls.attach().unwrap();
    assert_eq!(service, waitless::Service(1));
    let dial = |client: &mut World<Client>, port: u16| {
        let remote = ([10, 0, 0, 1], port).into();
        let stream = client.tls.connect_to(client.service, remote, "localhost").unwrap();
        client.settle();
        stream
    };
    // No way leads there.
    let stream = dial(&mut client, 1);
    assert_eq!(client.tls.status(stream).phase, Phase::Unreachable);
    client.tls.release(stream);
    // Nobody answers.
    let stream = dial(&mut client, 2);
    assert_eq!(client.tls.status(stream).phase, Phase::Opening);
    client.pass(Duration::from_secs(11));
    assert_eq!(client.tls.status(stream).phase, Phase::TimedOut);
    client.tls.release(stream);
    // Somebody answers, and says nothing.
    let (stream, _) = client.dial("localhost");
    client.pass(Duration::from_secs(11));
    assert_eq!(client.tls.status(stream).phase, Phase::TimedOut);
    assert_eq!(client.tls.counters.timed_out.get(), 2);
    client.tls.release(stream);
    // Who asked loses interest: before it was begun, and in the handshake.
    for opened in [false, true] {
        let remote = ([10, 0, 0, 1], 443).into();
        let stream = client.tls.connect_to(client.service, remote, "localhost").unwrap();
        if opened {
            client.settle();
        }
        client.tls.abort(stream);
        client.tls.release(stream);
        client.settle();
    }
    // There is a limit.
    let all: Vec<_> = (0..10).map(|_| client.dial("localhost").0).collect();
    let remote = ([10, 0, 0, 1], 443).into();
    let more = client.tls.connect_to(client.service, remote, "localhost");
    assert_eq!(more, Err(ConnectError::Full));
    for stream in all {
        client.tls.release(stream);
    }
    client.settle();
    let counters = client.tls.counters;
    assert_eq!((client.buffers_out(), counters.open.get(), counters.shaking.get()), (0, 0, 0));
}

#[test]
fn who_speaks_before_it_is_greeted_is_answered_at_once() {
    let mut client = World::client(trusting(usual().certificate));
    let remote = ([10, 0, 0, 1], 2).into();
    let stream = client.tls.connect_to(client.service, remote, "localhost").unwrap();
    client.settle();
    // It arrives together with the word that the stream below is open, and nothing follows.
    client.say(0, b"220 mail.example.org ESMTP");
    client.line.wires[0].opening = false;
    client.make_room(0, usize::MAX);
    assert_eq!(client.tls.status(stream).phase, Phase::Reset);
    assert_eq!(client.tls.counters.faulty.get(), 1);
    client.tls.release(stream);
}

#[test]
fn what_comes_byte_by_byte_is_understood() {
    for piece in [1, 3, 100] {
        let mut ends = Ends::new(usual());
        let (stream, wire) = ends.client.dial("localhost");
        let peer = ends.server.connect();
        for _ in 0..4 {
            let (said, heard) = (ends.client.heard(wire), ends.server.heard(peer));
            ends.server.say(peer, &said);
            for part in heard.chunks(100) {
                ends.client.say_in(wire, part, piece);
            }
        }
        assert_eq!(ends.client.tls.status(stream).phase, Phase::Open);
    }
}
