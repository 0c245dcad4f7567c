//! Early data: accepted once, for a short time, where nothing is different; and what clients do
//! wrong with it.

use super::fuzz::mutate;
use super::line::{NOW, World};
use super::mutual::{Authority, asking};
use super::script::{Hello, Peer, codes, open, record, records, retry_of, shares, vector};
use super::{rustls_client, usual};
use crate::crypto::{Hash, Keyed, Secret, Suite};
use crate::handshake::{Early, Seed, Server, Tickets};
use crate::key_schedule::{EarlySecret, ticket_key};
use crate::record::Protection;
use crate::wire::codes::extension as ext;
use crate::wire::record::Content;
use crate::wire::server::NewSessionTicket;
use crate::{Config, wire};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Duration, Instant, Phase, Random, Stream, StreamPort};

type EarlyWorld = World<Server<false, true>>;

const UNEXPECTED_MESSAGE: Option<u8> = Some(10);
const BAD_RECORD_MAC: Option<u8> = Some(20);
const DECODE_ERROR: Option<u8> = Some(50);
const SUITE: Suite = Suite::Aes128GcmSha256;
const LIMIT: usize = 16_384;
const END: &[u8] = &[5, 0, 0, 0];

fn config() -> Config {
    Config { early_data: Some(LIMIT as u64), ..usual() }
}

/// A ticket, and when it came.
#[derive(Clone)]
struct Ticket {
    key: Secret,
    age_add: u32,
    ticket: Vec<u8>,
    came: Instant,
}

/// What is the same of the first hello and of those that resume.
fn first() -> Hello {
    let name = vector(&[&[&[0][..], &vector(&[b"localhost"])].concat()]);
    Hello::new().with(ext::ALPN, *b"\0\x09\x08http/1.1").with(ext::SERVER_NAME, name)
}

/// A ticket of a whole handshake that began with `hello`.
fn ticket(world: &mut EarlyWorld, hello: &Hello) -> Ticket {
    let mut peer = Peer::greet(world, hello);
    peer.complete(world);
    let stream = world.accept();
    assert!(!world.tls.is_early(stream));
    let mut said = Vec::new();
    for record in records(&world.heard(peer.wire)) {
        said.extend(open(&mut peer.read, &record).unwrap().1);
    }
    let length = usize::from(u16::from_be_bytes([said[2], said[3]]));
    let new = NewSessionTicket::parse(&said[4..4 + length]).unwrap();
    // The extension is the last of the message: its kind, its length, and how much may come.
    let limit = (LIMIT as u32).to_be_bytes();
    assert_eq!(said[4 + length - 10..4 + length], [&[0, 8, 0, 42, 0, 4], &limit[..]].concat());
    let ticket = Ticket {
        key: ticket_key(&Keyed::new(Hash::Sha256, peer.resumption().bytes()), new.nonce),
        age_add: new.age_add,
        ticket: new.ticket.to_vec(),
        came: world.cx.now(),
    };
    world.tls.abort(stream);
    world.tls.release(stream);
    world.settle();
    ticket
}

/// The message of `hello` that shows `tickets`, the first one with the age `age`.
fn resuming(hello: Hello, tickets: &[&Ticket], age: Duration) -> Vec<u8> {
    let age = age.as_millis() as u32;
    let identity = |ticket: &&Ticket| {
        let age = age.wrapping_add(ticket.age_add).to_be_bytes();
        [&vector(&[&ticket.ticket])[..], &age].concat()
    };
    let identities: Vec<u8> = tickets.iter().flat_map(identity).collect();
    let none = [&[32][..], &[0; 32]].concat().repeat(tickets.len());
    let keys = [vector(&[&identities]), vector(&[&none])].concat();
    let hello = hello.with(ext::PSK_KEY_EXCHANGE_MODES, [1, 1]).with(ext::EARLY_DATA, []);
    let mut message = hello.with(ext::PRE_SHARED_KEY, keys).bytes();
    let covered = message.len() - none.len() - 2;
    let digest = Hash::Sha256.of(&[&message[..covered]]);
    for (number, ticket) in tickets.iter().enumerate() {
        let binder = EarlySecret::new(Hash::Sha256, &ticket.key).binder(&digest);
        let start = covered + 2 + number * 33 + 1;
        message[start..start + 32].copy_from_slice(binder.bytes());
    }
    message
}

/// What protects the early data behind the hello `message`.
fn protection(ticket: &Ticket, message: &[u8]) -> Protection {
    let secret = EarlySecret::new(Hash::Sha256, &ticket.key);
    Protection::new(SUITE, secret.early_traffic(&Hash::Sha256.of(&[message])))
}

fn seal(protection: &mut Protection, content: u8, bytes: &[u8]) -> Vec<u8> {
    let mut inner = [bytes, &[content]].concat();
    let (header, tag) = protection.seal(&mut inner).unwrap();
    [&header[..], &inner, &tag].concat()
}

/// A client that has sent a hello and `data` early, in records of `piece` bytes.
struct Client {
    peer: Peer,
    early: Protection,
}

impl Client {
    fn greet(world: &mut EarlyWorld, ticket: &Ticket, data: &[u8], piece: usize) -> Self {
        Self::greet_by(world, first(), ticket, data, piece)
    }

    /// The same with another hello.
    fn greet_by(
        world: &mut EarlyWorld,
        hello: Hello,
        ticket: &Ticket,
        data: &[u8],
        piece: usize,
    ) -> Self {
        let age = world.cx.now().since(ticket.came);
        let message = resuming(hello, &[ticket], age);
        let mut early = protection(ticket, &message);
        let records: Vec<u8> =
            data.chunks(piece).flat_map(|part| seal(&mut early, 23, part)).collect();
        let peer = Peer::greet_with(world, &message, Some(&ticket.key), &records);
        Self { peer, early }
    }

    /// Says a record with the keys of early data.
    fn say(&mut self, world: &mut EarlyWorld, content: u8, bytes: &[u8]) {
        let record = seal(&mut self.early, content, bytes);
        world.say(self.peer.wire, &record);
    }

    fn end(&mut self, world: &mut EarlyWorld) {
        self.say(world, 22, END);
        self.peer.transcript.extend_from_slice(END);
    }

    /// What the server has said as data.
    fn heard(&mut self, world: &mut EarlyWorld) -> Vec<u8> {
        let mut data = Vec::new();
        for record in records(&world.heard(self.peer.wire)) {
            let (content, bytes) = open(&mut self.peer.read, &record).unwrap();
            if content == Content::Data {
                data.extend(bytes);
            }
        }
        data
    }
}

/// Whether anything is left of connections.
#[track_caller]
fn nothing_is_left(world: &mut EarlyWorld, stream: Option<Stream>) {
    if let Some(stream) = stream {
        world.tls.abort(stream);
        world.tls.release(stream);
    }
    world.pass(Duration::from_secs(30));
    let counters = world.tls.counters;
    let left = (world.buffers_out(), counters.open.get(), counters.shaking.get());
    assert_eq!(left, (0, 0, 0));
}

#[test]
fn early_data_is_read_before_the_handshake_is_complete_and_marked_until_then() {
    // In records of many lengths, so that they share packets and span them.
    for (length, piece) in [(1, 1), (5, 5), (3000, 100), (LIMIT, 2000), (LIMIT, LIMIT), (900, 1)] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        world.pass(Duration::from_secs(100));
        let question: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let mut client = Client::greet(&mut world, &ticket, &question, piece);
        let stream = world.accept();
        world.tls.set_tag(stream, 5);
        assert!(world.tls.is_early(stream));
        assert_eq!(world.tls.status(stream).phase, Phase::Open);
        assert_eq!(world.read(stream), question, "{length} in {piece}");
        // It is answered at once.
        world.write(stream, b"an answer");
        assert_eq!(client.heard(&mut world), b"an answer");
        let counters = world.tls.counters;
        assert_eq!((counters.completed.get(), counters.shaking.get()), (1, 1));
        while world.news().is_some() {}
        client.end(&mut world);
        assert!(world.tls.is_early(stream));
        client.peer.complete(&mut world);
        assert_eq!(world.news(), Some(stream), "that it is complete is news");
        assert!(!world.tls.is_early(stream));
        client.peer.say(&mut world, 23, b"more");
        assert_eq!(world.read(stream), b"more");
        assert_eq!((counters.completed.get(), counters.shaking.get()), (2, 0));
        assert_eq!((counters.resumed.get(), counters.early.get()), (1, 1));
        assert_eq!((counters.early_refused.get(), counters.faulty.get()), (0, 0));
        nothing_is_left(&mut world, Some(stream));
    }
}

#[test]
fn a_client_of_others_says_something_early() {
    let mut provider = rustls::crypto::ring::default_provider();
    for suite in provider.cipher_suites.clone() {
        if suite.tls13().is_none() {
            continue;
        }
        provider.cipher_suites = [suite].into();
        let config = config();
        let mut client = rustls_client::trusting(config.certificate, provider.clone());
        client.enable_early_data = true;
        let client = Arc::new(client);
        let mut world = EarlyWorld::early(config);
        let connect =
            |world: &mut EarlyWorld| rustls_client::Client::connect(world, &client, "localhost");
        let mut one = connect(&mut world);
        assert_eq!(one.write_early(b"early"), 0, "nobody knows the server yet");
        rustls_client::talk(&mut one, &mut world);
        for length in [5, LIMIT] {
            let mut next = connect(&mut world);
            let question: Vec<u8> = (0..LIMIT + 100).map(|at| (at % 251) as u8).collect();
            assert_eq!(next.write_early(&question[..length.min(LIMIT)]), length);
            rustls_client::talk_after(&mut next, &mut world, &question[..length]);
            assert!(next.is_early_accepted());
            assert_eq!(next.kind(), rustls::HandshakeKind::Resumed);
        }
        assert_eq!(outcome(&world), [2, 0, 0]);
        // It seems to come late: what it says early is skipped, and it knows.
        world.pass(Duration::from_secs(60));
        let mut late = connect(&mut world);
        late.write_early(b"early");
        rustls_client::talk(&mut late, &mut world);
        assert!(!late.is_early_accepted());
        assert_eq!(outcome(&world), [2, 1, 0]);
    }
}

#[test]
fn who_shows_a_certificate_is_known_also_when_it_says_something_early() {
    let authority = Authority::new("authority");
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = authority.issue("alice", &key, |_| {});
    let config = Config {
        early_data: Some(LIMIT as u64),
        ..asking(&authority, crate::ClientCertificate::Required)
    };
    let provider = rustls::crypto::ring::default_provider();
    let own = [chain.certificates[0].to_vec().into()].to_vec();
    let own = (own, rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap());
    let mut client = rustls_client::showing(config.certificate, provider, Some(own));
    client.enable_early_data = true;
    let client = Arc::new(client);
    let mut world = World::<Server<true, true>>::serving(config, 256, Some(NOW));
    world.tls.take_early(world.service);
    for turn in 0..3 {
        let mut one = rustls_client::Client::connect(&mut world, &client, "localhost");
        let said: &[u8] = if turn == 0 { b"" } else { b"early" };
        assert_eq!(one.write_early(said), said.len());
        world.say(turn, &one.said());
        if turn > 0 {
            let stream = world.accept();
            assert!(world.tls.is_early(stream));
            assert_eq!(world.tls.identity(stream).as_deref(), Some("CN=alice"));
        }
        let stream = rustls_client::talk_after(&mut one, &mut world, said);
        assert_eq!(world.tls.identity(stream).as_deref(), Some("CN=alice"));
    }
    let counters = world.tls.counters;
    assert_eq!((counters.early.get(), counters.resumed.get(), counters.faulty.get()), (2, 2, 0));
}

/// All that is said early is kept until it is read, in few packets, so that the handshake goes on.
#[test]
fn a_service_may_leave_early_data_unread() {
    for piece in [3, 700, LIMIT] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let data = [7; LIMIT];
        let mut client = Client::greet(&mut world, &ticket, &data, piece);
        let stream = world.accept();
        world.tls.set_tag(stream, 5);
        // A sweep takes a batch of records.
        (0..LIMIT / piece / 32 + 1).for_each(|_| world.sweep());
        assert_eq!(world.tls.status(stream).readable, LIMIT, "{piece}");
        assert!(world.buffers_out() <= LIMIT / 1800 + 2, "{} packets", world.buffers_out());
        client.end(&mut world);
        client.peer.complete(&mut world);
        client.peer.say(&mut world, 23, b"!");
        assert!(!world.tls.is_early(stream));
        assert_eq!(world.read(stream), [&data[..], b"!"].concat());
        nothing_is_left(&mut world, Some(stream));
    }
}

/// However many say something early that nobody reads, others find packets.
#[test]
fn early_data_that_is_not_read_leaves_packets_to_others() {
    let mut world = EarlyWorld::early(Config { handshakes: 100, ..config() });
    let ticket = ticket(&mut world, &first());
    let greet = |world: &mut EarlyWorld, number: u8| {
        let hello = Hello { random: [number; 32], ..first() };
        let client = Client::greet_by(world, hello, &ticket, b"", 1);
        while let Some(stream) = world.news() {
            world.tls.set_tag(stream, number.into());
        }
        client
    };
    let mut clients: Vec<_> = (0..40).map(|number| greet(&mut world, number)).collect();
    for client in &mut clients {
        for _ in 0..LIMIT / 1024 {
            if world.cx.pool().available() > 4 {
                client.say(&mut world, 23, &[7; 1024]);
            }
        }
    }
    assert_eq!(outcome(&world), [3, 37, 0]);
    assert!(world.cx.pool().available() > 190, "{} packets", world.buffers_out());
    let mut peer = Peer::greet(&mut world, &first());
    peer.complete(&mut world);
    let stream = world.accept();
    assert_eq!(world.tls.status(stream).phase, Phase::Open);
    // What was promised is given back when a handshake is complete, or will never be.
    world.tls.set_tag(stream, 40);
    clients[0].end(&mut world);
    clients[0].peer.complete(&mut world);
    clients[1].say(&mut world, 21, &[2, 80]);
    world.finish(clients[2].peer.wire);
    (100..103).for_each(|number| drop(greet(&mut world, number)));
    assert_eq!(outcome(&world), [6, 37, 0]);
    world.pass(Duration::from_secs(11));
    (110..113).for_each(|number| drop(greet(&mut world, number)));
    assert_eq!(outcome(&world), [9, 37, 0]);
}

#[test]
fn what_completes_the_handshake_needs_hardly_any_packets() {
    for (said, rest) in [(&b"early"[..], 3), (b"", 3)] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let mut client = Client::greet(&mut world, &ticket, said, 5);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        let left = world.cx.pool().available() - rest;
        let taken: Vec<_> = (0..left).map(|_| world.cx.packet().unwrap()).collect();
        client.end(&mut world);
        client.peer.complete(&mut world);
        assert!(!world.tls.is_early(stream), "it is not complete");
        drop(taken);
        nothing_is_left(&mut world, Some(stream));
    }
}

/// What became of a hello with early data: the counters of what was accepted, of what was not,
/// and of replays.
fn outcome(world: &EarlyWorld) -> [u64; 3] {
    let counters = world.tls.counters;
    [&counters.early, &counters.early_refused, &counters.replayed].map(|counter| counter.get())
}

const ACCEPTED: [u64; 3] = [1, 0, 0];
const REFUSED: [u64; 3] = [0, 1, 0];

/// Says `message` and early data, to a server that accepted nothing before.
#[track_caller]
fn judged(world: &mut EarlyWorld, name: &str, message: &[u8], expected: [u64; 3]) {
    let wire = world.connect();
    world.say(wire, &[record(22, message), record(23, &[9; 50])].concat());
    let heard = records(&world.heard(wire));
    assert!(heard.iter().all(|record| record.content != 21), "{name}: {heard:?}");
    let alerted = world.tls.counters.faulty.get();
    // Early data that does not decrypt is a fault where it is accepted, and skipped elsewhere.
    assert_eq!((outcome(world), alerted), (expected, expected[0]), "{name}");
}

#[test]
fn early_data_is_accepted_only_where_nothing_is_different() {
    type Edit = fn(Hello) -> Hello;
    let cases: [(&str, Edit, [u64; 3]); 6] = [
        ("the same", |hello| hello, ACCEPTED),
        ("no protocol", |hello| hello.without(ext::ALPN), REFUSED),
        ("another suite", |hello| Hello { suites: [0x1303].into(), ..hello }, REFUSED),
        ("no name", |hello| hello.without(ext::SERVER_NAME), REFUSED),
        (
            "another name",
            |hello| hello.with(ext::SERVER_NAME, *b"\0\x0c\0\0\x09localhosT"),
            REFUSED,
        ),
        (
            "another list of protocols",
            |hello| hello.with(ext::ALPN, *b"\0\x0c\x02h2\x08http/1.1"),
            ACCEPTED,
        ),
    ];
    for (name, edit, expected) in cases {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let message = resuming(edit(first()), &[&ticket], Duration::ZERO);
        // Where it is accepted, what follows does not decrypt.
        let wire = world.connect();
        world.say(wire, &record(22, &message));
        assert_eq!((outcome(&world), world.tls.counters.faulty.get()), (expected, 0), "{name}");
    }
}

#[test]
fn early_data_is_accepted_only_when_it_was_sent_just_now() {
    for (passes, says, expected) in [
        (0, 0, ACCEPTED),
        (1000, 1000, ACCEPTED),
        (1009, 1000, ACCEPTED),
        (1000, 1001, ACCEPTED),
        (1011, 1000, REFUSED),
        (1000, 1003, REFUSED),
        (1000, 1011, REFUSED),
        (1000, 0, REFUSED),
        (0, 3_000_000, REFUSED),
    ] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        world.pass(Duration::from_secs(passes));
        let message = resuming(first(), &[&ticket], Duration::from_secs(says));
        let wire = world.connect();
        world.say(wire, &record(22, &message));
        assert_eq!(outcome(&world), expected, "{passes} {says}");
    }
}

/// What is refused at first is said again by its client, so a copy of it must not be good later.
#[test]
fn a_hello_that_was_refused_is_not_good_later() {
    // There are no packets, for a moment.
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    let hello = resuming(first(), &[&ticket], Duration::ZERO);
    let taken: Vec<_> = (0..140).map(|_| world.cx.packet().unwrap()).collect();
    judged(&mut world, "no packets", &hello, REFUSED);
    drop(taken);
    judged(&mut world, "and then there are some", &hello, [0, 2, 1]);
    // It seems to come from the future, for a moment.
    for ahead in [3, 11, 15] {
        let mut world = EarlyWorld::early(config());
        let ticket = self::ticket(&mut world, &first());
        world.pass(Duration::from_secs(1000));
        let hello = resuming(first(), &[&ticket], Duration::from_secs(1000 + ahead));
        judged(&mut world, "ahead", &hello, REFUSED);
        for (turn, seconds) in [ahead - 2, 1, 1, 10].into_iter().enumerate() {
            world.pass(Duration::from_secs(seconds));
            judged(&mut world, "later", &hello, [0, 2 + turn as u64, 1 + turn as u64]);
        }
        world.pass(Duration::from_secs(3));
        judged(&mut world, "too late", &hello, [0, 6, 4]);
    }
}

#[test]
fn only_the_first_key_is_good_for_early_data() {
    let mut world = EarlyWorld::early(config());
    let good = ticket(&mut world, &first());
    let bad = Ticket { ticket: b"nobody's".to_vec(), ..good.clone() };
    let message = resuming(first(), &[&bad, &good], Duration::ZERO);
    judged(&mut world, "the second", &message, REFUSED);
    let message = resuming(first(), &[&good, &bad], Duration::ZERO);
    let wire = world.connect();
    world.say(wire, &record(22, &message));
    assert_eq!(outcome(&world), [1, 1, 0]);
    // Without any key, there is nothing to protect it with.
    let wire = world.connect();
    world.say(wire, &record(22, &first().with(ext::EARLY_DATA, []).bytes()));
    assert_eq!(outcome(&world), [1, 2, 0]);
    // What the extension may hold is nothing.
    let wire = world.connect();
    world.say(wire, &record(22, &first().with(ext::EARLY_DATA, [0]).bytes()));
    assert_eq!(records(&world.heard(wire))[0].body, [2, 50]);
}

/// Two cores whose tickets are good at either.
fn cores() -> [EarlyWorld; 2] {
    let (config, other) = (config(), config());
    let other = Config { certificate: config.certificate, key: config.key, ..other };
    let mut worlds = [config, other].map(EarlyWorld::early);
    let random = &mut Random::new([8; 32]);
    let hour = Duration::from_secs(3600);
    let seed = Seed::new(hour, Instant::ZERO, 2, random);
    let register = worlds[0].tls.shared.as_ref().unwrap().role.early.as_ref().unwrap().register;
    for world in &mut worlds {
        let role = &mut world.tls.shared.as_mut().unwrap().role;
        role.tickets = Tickets::new(hour, &seed, random);
        role.early = Some(Early { limit: LIMIT as u32, register });
    }
    worlds
}

#[test]
fn a_hello_that_is_sent_again_is_good_for_early_data_once_on_all_cores() {
    let [mut one, mut other] = cores();
    let ticket = ticket(&mut one, &first());
    let message = resuming(first(), &[&ticket], Duration::ZERO);
    let early = seal(&mut protection(&ticket, &message), 23, b"pay");
    let said = [record(22, &message), early].concat();
    let wire = one.connect();
    one.say(wire, &said);
    assert_eq!(outcome(&one), ACCEPTED);
    let stream = one.accept();
    assert_eq!(one.read(stream), b"pay");
    // Somebody who saw it says it again, to either core, until it is too old and longer.
    for (turn, seconds) in [0, 1, 9, 0, 3, 60, 4000].into_iter().enumerate() {
        for world in [&mut one, &mut other] {
            world.pass(Duration::from_secs(seconds));
            let wire = world.connect();
            world.say(wire, &said);
            assert!(records(&world.heard(wire)).iter().all(|record| record.content != 21));
            assert_eq!(world.tls.counters.early_refused.get(), turn as u64 + 1);
            assert!(world.news().is_none_or(|stream| world.tls.tag(stream).is_some()
                || world.tls.status(stream).phase != Phase::Open));
        }
    }
    assert_eq!((outcome(&one), outcome(&other)), ([1, 7, 4], [0, 7, 4]));
    // And the client itself may come with the same ticket, in another hello.
    let [mut one, mut other] = cores();
    let ticket = self::ticket(&mut one, &first());
    for (number, world) in [&mut one, &mut other].into_iter().enumerate() {
        let hello = Hello { random: [number as u8; 32], ..first() };
        let wire = world.connect();
        world.say(wire, &record(22, &resuming(hello, &[&ticket], Duration::ZERO)));
        assert_eq!(outcome(world), ACCEPTED);
    }
}

#[test]
fn early_data_that_is_not_accepted_is_skipped_and_the_handshake_goes_on() {
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    world.pass(Duration::from_secs(60));
    // It says that it is younger.
    let message = resuming(first(), &[&ticket], Duration::ZERO);
    let mut early = protection(&ticket, &message);
    // All that a ticket can be good for, in short records.
    let records: Vec<u8> =
        (0..(64 << 10) / 8).flat_map(|_| seal(&mut early, 23, &[1; 8])).collect();
    let mut peer = Peer::greet_with(&mut world, &message, Some(&ticket.key), &records);
    peer.complete(&mut world);
    let stream = world.accept();
    assert_eq!(world.tls.counters.resumed.get(), 1);
    peer.say(&mut world, 23, b"late");
    assert_eq!(world.read(stream), b"late");
    nothing_is_left(&mut world, Some(stream));
    // But not more than twice what is usual.
    let message = resuming(first(), &[&ticket], Duration::ZERO);
    let mut peer = Peer::greet_with(&mut world, &message, Some(&ticket.key), &[]);
    for _ in 0..9 {
        world.say(peer.wire, &record(23, &[0x55; 16_000]));
    }
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
    nothing_is_left(&mut world, None);
}

#[test]
fn another_hello_ends_early_data() {
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    let without = || {
        let groups = codes(&[0x1d, 0x17]);
        first().with(ext::KEY_SHARE, shares(&[])).with(ext::SUPPORTED_GROUPS, groups)
    };
    let again = |early: bool| {
        let mut world = EarlyWorld::early(config());
        let wire = world.connect();
        let message = resuming(without(), &[&ticket], Duration::ZERO);
        let early_data = seal(&mut protection(&ticket, &message), 23, b"early");
        world.say(wire, &[record(22, &message), early_data].concat());
        let (cookie, _) = retry_of(&records(&world.heard(wire))[0].body);
        assert_eq!((outcome(&world), world.tls.counters.faulty.get()), (REFUSED, 0));
        let hello = without().with(ext::COOKIE, cookie).with(ext::PSK_KEY_EXCHANGE_MODES, [1, 1]);
        let hello = hello.with(ext::KEY_SHARE, shares(&[(0x1d, &super::script::public())]));
        let hello = if early { hello.with(ext::EARLY_DATA, []) } else { hello };
        world.say(wire, &record(22, &hello.bytes()));
        let heard = records(&world.heard(wire));
        heard.iter().find(|record| record.content == 21).map(|alert| alert.body[1])
    };
    assert_eq!(again(false), None);
    assert_eq!(again(true), Some(47), "it is early still");
}

/// What a client does after it has sent something early.
type Say = fn(&mut Client, &mut EarlyWorld);

/// Whether that is answered by an alert.
#[track_caller]
fn told(name: &str, say: Say, expected: Option<u8>) {
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    let mut client = Client::greet(&mut world, &ticket, b"early", 5);
    let stream = world.accept();
    world.tls.set_tag(stream, 1);
    say(&mut client, &mut world);
    assert_eq!(client.peer.alert(&mut world), expected, "{name}");
    let phase = if expected.is_some() { Phase::Reset } else { Phase::Open };
    assert_eq!(world.tls.status(stream).phase, phase, "{name}");
    nothing_is_left(&mut world, Some(stream));
}

#[test]
fn early_data_is_as_much_as_was_said() {
    let cases: [(&str, Say, Option<u8>); 6] = [
        ("right", |it, world| (it.end(world), it.peer.complete(world)).1, None),
        ("as much as may be", |it, world| it.say(world, 23, &[0; LIMIT - 5]), None),
        ("too much", |it, world| it.say(world, 23, &[0; LIMIT - 4]), UNEXPECTED_MESSAGE),
        (
            "too much, bit by bit",
            |it, world| {
                (0..LIMIT / 64 + 1).for_each(|_| it.say(world, 23, &[0; 64]));
            },
            UNEXPECTED_MESSAGE,
        ),
        (
            "nothing, again and again",
            |it, world| (0..33).for_each(|_| it.say(world, 23, &[])),
            UNEXPECTED_MESSAGE,
        ),
        ("noise", |it, world| world.say(it.peer.wire, &record(23, &[0; 40])), BAD_RECORD_MAC),
    ];
    cases.into_iter().for_each(|(name, say, expected)| told(name, say, expected));
}

#[test]
fn early_data_ends_as_it_should() {
    let cases: [(&str, Say, Option<u8>); 10] = [
        ("no end of it", |it, world| it.peer.complete(world), BAD_RECORD_MAC),
        (
            "a Finished instead",
            |it, world| {
                let finished = it.peer.finish();
                it.say(world, 22, &finished);
            },
            UNEXPECTED_MESSAGE,
        ),
        ("new keys", |it, world| it.say(world, 22, &[24, 0, 0, 1, 0]), UNEXPECTED_MESSAGE),
        ("an end that says more", |it, world| it.say(world, 22, &[5, 0, 0, 1, 0]), DECODE_ERROR),
        (
            "an end and more",
            |it, world| it.say(world, 22, &[END, &[20]].concat()),
            UNEXPECTED_MESSAGE,
        ),
        (
            "an end in clear",
            |it, world| world.say(it.peer.wire, &record(22, END)),
            UNEXPECTED_MESSAGE,
        ),
        (
            "two ends",
            |it, world| {
                it.end(world);
                it.peer.say(world, 22, END);
            },
            UNEXPECTED_MESSAGE,
        ),
        (
            "more behind the end",
            |it, world| (it.end(world), it.say(world, 23, b"more")).1,
            BAD_RECORD_MAC,
        ),
        (
            "data behind the end, with the keys of the handshake",
            |it, world| (it.end(world), it.peer.say(world, 23, b"more")).1,
            UNEXPECTED_MESSAGE,
        ),
        (
            "a Finished that does not count the end",
            |it, world| {
                it.say(world, 22, END);
                it.peer.complete(world);
            },
            Some(51),
        ),
    ];
    cases.into_iter().for_each(|(name, say, expected)| told(name, say, expected));
}

#[test]
fn an_end_of_early_data_that_was_not_accepted_is_a_fault() {
    let mut world = EarlyWorld::early(config());
    for hello in [first(), first().with(ext::EARLY_DATA, [])] {
        let mut peer = Peer::greet(&mut world, &hello);
        peer.say(&mut world, 22, END);
        assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
    }
    let mut peer = Peer::connect(&mut world);
    peer.say(&mut world, 22, END);
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}

#[test]
fn a_handshake_that_is_not_completed_after_early_data_ends() {
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    // Its client says no more.
    let _client = Client::greet(&mut world, &ticket, b"early", 5);
    let stream = world.accept();
    world.tls.set_tag(stream, 1);
    world.pass(Duration::from_secs(11));
    assert_eq!(world.tls.status(stream).phase, Phase::TimedOut);
    assert_eq!(world.tls.counters.timed_out.get(), 1);
    nothing_is_left(&mut world, Some(stream));
    // Its stream ends.
    let hello = Hello { random: [5; 32], ..first() };
    let age = world.cx.now().since(ticket.came);
    let message = resuming(hello, &[&ticket], age);
    let peer = Peer::greet_with(&mut world, &message, Some(&ticket.key), &[]);
    let stream = world.accept();
    world.finish(peer.wire);
    assert_eq!(world.tls.status(stream).phase, Phase::Reset);
    nothing_is_left(&mut world, Some(stream));
    // The service goes.
    let hello = Hello { random: [6; 32], ..first() };
    let age = world.cx.now().since(ticket.came);
    let message = resuming(hello, &[&ticket], age);
    Peer::greet_with(&mut world, &message, Some(&ticket.key), &[]);
    let stream = world.accept();
    nothing_is_left(&mut world, Some(stream));
    assert_eq!(outcome(&world), [3, 0, 0]);
}

/// What was not read until the connection ended may be a copy for good.
#[test]
fn early_data_is_marked_also_when_its_handshake_will_never_be_complete() {
    type End = fn(&mut Client, &mut EarlyWorld);
    let ends: [(&str, End, Phase, usize); 4] = [
        ("silence", |_, world| world.pass(Duration::from_secs(11)), Phase::TimedOut, 5),
        ("the stream's end", |it, world| world.finish(it.peer.wire), Phase::Reset, 5),
        (
            "close_notify",
            |it, world| {
                it.say(world, 21, &[1, 0]);
                world.finish(it.peer.wire);
                world.pass(Duration::from_secs(11));
            },
            Phase::TimedOut,
            5,
        ),
        ("an alert", |it, world| it.say(world, 21, &[2, 80]), Phase::Reset, 0),
    ];
    for (name, end, phase, readable) in ends {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let mut client = Client::greet(&mut world, &ticket, b"early", 5);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        end(&mut client, &mut world);
        let status = world.tls.status(stream);
        assert_eq!((status.phase, status.readable), (phase, readable), "{name}");
        assert!(world.tls.is_early(stream), "{name}");
        assert_eq!(world.tls.counters.shaking.get(), 0, "{name}");
        nothing_is_left(&mut world, Some(stream));
        // The next connection in that place is like any other.
        let mut peer = Peer::greet(&mut world, &first());
        peer.complete(&mut world);
        let stream = world.accept();
        assert!(!world.tls.is_early(stream), "{name}");
    }
}

#[test]
fn sessions_survive_what_clients_say_early() {
    let mut random = Random::new([9; 32]);
    let mut world = EarlyWorld::early(config());
    let ticket = ticket(&mut world, &first());
    for turn in 0..200_u8 {
        let hello = Hello { random: [turn; 32], ..first() };
        let mut client = Client::greet_by(&mut world, hello, &ticket, b"early", 3);
        for _ in 0..6 {
            let mut content = match random.below(4) {
                0 => END.to_vec(),
                1 => client.peer.finish(),
                2 => [1, 0].to_vec(),
                _ => random.bytes::<30>().to_vec(),
            };
            if random.below(3) == 0 {
                mutate(&mut content, &mut random);
            }
            let kind = [20, 21, 22, 22, 23, 23, 0][random.below(7) as usize];
            let mut record = match random.below(3) {
                0 => client.peer.seal(kind, &content),
                _ => seal(&mut client.early, kind, &content),
            };
            if random.below(8) == 0 {
                mutate(&mut record, &mut random);
            }
            let piece = 1 + random.below(200) as usize;
            world.say_in(client.peer.wire, &record, piece);
        }
        world.finish(client.peer.wire);
        while let Some(stream) = world.news() {
            world.read(stream);
            world.tls.abort(stream);
            world.tls.release(stream);
            world.settle();
        }
        world.pass(Duration::from_secs(3));
    }
    assert!(outcome(&world)[0] == 200 && world.tls.counters.faulty.get() > 50);
    nothing_is_left(&mut world, None);
}

/// Whoever is on the way could say in clear that early data ends where he likes.
#[test]
fn nobody_without_keys_says_where_early_data_ends() {
    for ends_early in [false, true] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let mut client = Client::greet(&mut world, &ticket, b"early", 5);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        if ends_early {
            client.end(&mut world);
        }
        world.say(client.peer.wire, &record(21, &[1, 0]));
        assert_eq!(world.tls.status(stream).phase, Phase::Reset);
        assert_eq!(client.peer.alert(&mut world), UNEXPECTED_MESSAGE);
        nothing_is_left(&mut world, Some(stream));
    }
    // Nor is one in clear behind anything else that took keys.
    let mut world = World::asking(
        asking(&Authority::new("authority"), crate::ClientCertificate::Optional),
        Some(NOW),
    );
    let mut peer = Peer::greet(&mut world, &Hello::new());
    peer.tell(&mut world, &[11, 0, 0, 4, 0, 0, 0, 0]);
    world.say(peer.wire, &record(21, &[1, 0]));
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}

/// The service has answered and gone before the client has got any answer.
#[test]
fn the_end_is_agreed_although_the_handshake_is_not_complete() {
    for releases in [false, true] {
        let mut world = EarlyWorld::early(config());
        let ticket = ticket(&mut world, &first());
        let mut client = Client::greet(&mut world, &ticket, b"early", 5);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        assert_eq!(world.read(stream), b"early");
        world.write(stream, b"an answer");
        world.tls.close(stream);
        if releases {
            world.tls.release(stream);
        }
        world.settle();
        let heard = records(&world.heard(client.peer.wire));
        let heard: Vec<_> =
            heard.iter().map(|it| open(&mut client.peer.read, it).unwrap()).collect();
        assert_eq!(heard[0], (Content::Data, b"an answer".to_vec()));
        assert_eq!(heard[1..], [(Content::Alert, vec![1, 0])]);
        let wire = client.peer.wire;
        assert!(world.line.wires[wire].closed && !world.line.wires[wire].aborted);
        assert!(!world.line.wires[wire].released, "what completes the handshake meets a reset");
        client.end(&mut world);
        client.peer.complete(&mut world);
        if !releases {
            client.peer.say(&mut world, 21, &[1, 0]);
            world.finish(wire);
        }
        assert!(world.heard(wire).is_empty(), "something behind the end");
        assert!(!world.line.wires[wire].aborted);
        let counters = world.tls.counters;
        assert_eq!((counters.completed.get(), counters.truncated.get()), (2, 0));
        nothing_is_left(&mut world, Some(stream).filter(|_| !releases));
    }
}

#[test]
fn nobody_is_given_early_data_who_cannot_tell() {
    let mut world = EarlyWorld::serving(config(), 256, None);
    let mut peer = Peer::greet(&mut world, &first());
    peer.complete(&mut world);
    let mut said = Vec::new();
    for record in records(&world.heard(peer.wire)) {
        said.extend(open(&mut peer.read, &record).unwrap().1);
    }
    let length = usize::from(u16::from_be_bytes([said[2], said[3]]));
    // No extensions.
    assert_eq!(said[4 + length - 2..4 + length], [0, 0]);
    let new = NewSessionTicket::parse(&said[4..4 + length]).unwrap();
    let ticket = Ticket {
        key: ticket_key(&Keyed::new(Hash::Sha256, peer.resumption().bytes()), new.nonce),
        age_add: new.age_add,
        ticket: new.ticket.to_vec(),
        came: world.cx.now(),
    };
    let message = resuming(first(), &[&ticket], Duration::ZERO);
    judged(&mut world, "unwanted", &message, REFUSED);
    // Nor where packets are few.
    let mut world = EarlyWorld::early(config());
    let ticket = self::ticket(&mut world, &first());
    let taken: Vec<_> = (0..140).map(|_| world.cx.packet().unwrap()).collect();
    let message = resuming(first(), &[&ticket], Duration::ZERO);
    judged(&mut world, "no packets", &message, REFUSED);
    drop(taken);
    let hello = wire::hello::ClientHello::parse(&message[4..]).unwrap();
    assert_eq!(hello.keys.unwrap().first_age(), Some(ticket.age_add));
}
