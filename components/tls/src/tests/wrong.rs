//! Everything that a client can do wrong, and the alert for it.

use super::line::World;
use super::script::{
    Hello, Peer, alert_for, codes, open, public, record, records, retry_of, shares, vector,
};
use super::usual;
use crate::wire::codes::extension as ext;
use crate::wire::record::Content;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Duration, Phase, StreamPort};

const UNEXPECTED_MESSAGE: Option<u8> = Some(10);
const BAD_RECORD_MAC: Option<u8> = Some(20);
const RECORD_OVERFLOW: Option<u8> = Some(22);
const HANDSHAKE_FAILURE: Option<u8> = Some(40);
const ILLEGAL_PARAMETER: Option<u8> = Some(47);
const DECODE_ERROR: Option<u8> = Some(50);
const DECRYPT_ERROR: Option<u8> = Some(51);
const PROTOCOL_VERSION: Option<u8> = Some(70);
const MISSING_EXTENSION: Option<u8> = Some(109);
const UNSUPPORTED_EXTENSION: Option<u8> = Some(110);
const NO_APPLICATION_PROTOCOL: Option<u8> = Some(120);

#[track_caller]
fn answered(name: &str, hello: &Hello, expected: Option<u8>) {
    let mut world = World::new(usual());
    assert_eq!(alert_for(&mut world, &record(22, &hello.bytes())), expected, "{name}");
    world.pass(Duration::from_secs(3));
    assert_eq!(world.tls.counters.faulty.get(), u64::from(expected.is_some()), "{name}");
    world.pass(Duration::from_secs(30));
    assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0), "{name}");
}

#[test]
fn a_hello_that_is_right_gets_no_alert() {
    answered("right", &Hello::new(), None);
    // What nobody knows is ignored, wherever it stands.
    let strange = Hello {
        suites: vec![0x0a0a, 0x1301, 0x00ff, 0x5600],
        ..Hello::new().with(0x0a0a, []).with(0xfe0d, [0; 50]).with(21, [0; 300])
    };
    answered("strange", &strange, None);
    let groups = codes(&[0x2a2a, 0x1d]);
    let share = shares(&[(0x2a2a, &[0]), (0x1d, &public())]);
    let hello = Hello::new().with(ext::SUPPORTED_GROUPS, groups).with(ext::KEY_SHARE, share);
    answered("strange groups", &hello.with(ext::SUPPORTED_VERSIONS, [4, 0x1a, 0x1a, 3, 4]), None);
    // A key of an earlier connection that nobody knows any more.
    let keys = keys(&[b"ticket"], &[&[0; 32]]);
    let hello = Hello::new().with(ext::PSK_KEY_EXCHANGE_MODES, [1, 1]);
    answered("unknown key", &hello.with(ext::PRE_SHARED_KEY, keys), None);
}

/// Pre-shared keys.
fn keys(identities: &[&[u8]], binders: &[&[u8]]) -> Vec<u8> {
    let identities: Vec<_> =
        identities.iter().map(|id| [&vector(&[id])[..], &[0; 4]].concat()).collect();
    let identities = vector(&identities.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let binders: Vec<_> =
        binders.iter().map(|binder| [&[binder.len() as u8], *binder].concat()).collect();
    let binders = vector(&binders.iter().map(Vec::as_slice).collect::<Vec<_>>());
    [identities, binders].concat()
}

#[test]
fn versions_suites_and_compression_are_checked() {
    let new = Hello::new;
    for (name, hello, expected) in [
        ("no versions", new().without(ext::SUPPORTED_VERSIONS), PROTOCOL_VERSION),
        ("1.2 only", new().with(ext::SUPPORTED_VERSIONS, [2, 3, 3]), PROTOCOL_VERSION),
        ("half a version", new().with(ext::SUPPORTED_VERSIONS, [3, 3, 4, 3]), DECODE_ERROR),
        ("old and bare", Hello { extensions: vec![], ..new() }, PROTOCOL_VERSION),
        ("nothing", Hello { version: 0, ..new() }, PROTOCOL_VERSION),
        ("SSL 2.0", Hello { version: 0x0002, ..new() }, PROTOCOL_VERSION),
        ("SSL 3.0", Hello { version: 0x0300, ..new() }, PROTOCOL_VERSION),
        // What stands there says nothing otherwise.
        ("1.0 of old", Hello { version: 0x0301, ..new() }, None),
        ("1.3 of old", Hello { version: 0x0304, ..new() }, None),
        ("no suites", Hello { suites: vec![], ..new() }, DECODE_ERROR),
        ("other suites", Hello { suites: vec![0x1304, 0xc02f], ..new() }, HANDSHAKE_FAILURE),
        ("compression", Hello { compression: vec![1, 0], ..new() }, ILLEGAL_PARAMETER),
        ("no compression", Hello { compression: vec![], ..new() }, DECODE_ERROR),
        ("long session id", Hello { session_id: vec![0; 33], ..new() }, DECODE_ERROR),
        ("trailing", Hello { trailing: vec![0], ..new() }, DECODE_ERROR),
    ] {
        answered(name, &hello, expected);
    }
}

#[test]
fn extensions_are_checked() {
    let new = Hello::new;
    let twice = |kind| {
        let mut hello = new();
        hello.extensions.push((kind, vec![]));
        hello.extensions.push((kind, vec![]));
        hello
    };
    let name = |name: &[u8]| [&[0], &vector(&[name])[..]].concat();
    let names = |names: &[&[u8]]| vector(names);
    for (what, hello, expected) in [
        ("unknown twice", twice(0x1234), ILLEGAL_PARAMETER),
        ("no groups", new().without(ext::SUPPORTED_GROUPS), MISSING_EXTENSION),
        ("no shares", new().without(ext::KEY_SHARE), MISSING_EXTENSION),
        ("no signatures", new().without(ext::SIGNATURE_ALGORITHMS), MISSING_EXTENSION),
        ("odd groups", new().with(ext::SUPPORTED_GROUPS, [0, 3, 0, 29, 0]), DECODE_ERROR),
        ("trailing", new().with(ext::SUPPORTED_GROUPS, [0, 2, 0, 29, 0]), DECODE_ERROR),
        ("short", new().with(ext::SUPPORTED_GROUPS, [0, 4, 0, 29]), DECODE_ERROR),
        (
            "other signatures",
            new().with(ext::SIGNATURE_ALGORITHMS, codes(&[0x0804, 0x0503])),
            HANDSHAKE_FAILURE,
        ),
        (
            "half a signature of certificates",
            new().with(ext::SIGNATURE_ALGORITHMS_CERT, [0, 3, 4, 3, 5]),
            DECODE_ERROR,
        ),
        (
            "signatures of certificates",
            new().with(ext::SIGNATURE_ALGORITHMS_CERT, codes(&[9])),
            None,
        ),
        ("protocols", new().with(ext::ALPN, [0, 3, 2, b'h', b'2']), NO_APPLICATION_PROTOCOL),
        ("no protocol", new().with(ext::ALPN, [0, 0]), DECODE_ERROR),
        ("empty protocol", new().with(ext::ALPN, [0, 1, 0]), DECODE_ERROR),
        ("a status", new().with(ext::STATUS_REQUEST, [1, 0, 0, 0, 0]), None),
        ("a status of its kind", new().with(ext::STATUS_REQUEST, [2, 9]), None),
        ("half a status", new().with(ext::STATUS_REQUEST, [1, 0, 0, 0]), DECODE_ERROR),
        ("status and more", new().with(ext::STATUS_REQUEST, [1, 0, 0, 0, 0, 0]), DECODE_ERROR),
        ("no status", new().with(ext::STATUS_REQUEST, []), DECODE_ERROR),
        ("small records", new().with(ext::RECORD_SIZE_LIMIT, [0, 63]), ILLEGAL_PARAMETER),
        ("QUIC", new().with(ext::QUIC_TRANSPORT_PARAMETERS, []), UNSUPPORTED_EXTENSION),
        ("no name", new().with(ext::SERVER_NAME, [0, 0]), DECODE_ERROR),
        ("empty name", new().with(ext::SERVER_NAME, [0, 3, 0, 0, 0]), DECODE_ERROR),
        (
            "two names",
            new().with(ext::SERVER_NAME, names(&[&name(b"a"), &name(b"b")])),
            ILLEGAL_PARAMETER,
        ),
    ] {
        answered(what, &hello, expected);
    }
}

#[test]
fn what_is_said_of_earlier_keys_is_checked() {
    let new = Hello::new;
    let with_modes = || new().with(ext::PSK_KEY_EXCHANGE_MODES, [1, 1]);
    let good = keys(&[b"ticket"], &[&[0; 32]]);
    for (what, hello, expected) in [
        (
            "no modes",
            new().without(ext::PSK_KEY_EXCHANGE_MODES).with(ext::PRE_SHARED_KEY, good.clone()),
            MISSING_EXTENSION,
        ),
        (
            "an unknown key and no signatures",
            new().without(ext::SIGNATURE_ALGORITHMS).with(ext::PRE_SHARED_KEY, good.clone()),
            MISSING_EXTENSION,
        ),
        (
            "an unknown key and no shares",
            new()
                .without(ext::SUPPORTED_GROUPS)
                .without(ext::KEY_SHARE)
                .with(ext::PRE_SHARED_KEY, good.clone()),
            MISSING_EXTENSION,
        ),
        (
            "not last",
            with_modes().with(ext::PRE_SHARED_KEY, good.clone()).with(0x1234, []),
            ILLEGAL_PARAMETER,
        ),
        (
            "binders",
            with_modes().with(ext::PRE_SHARED_KEY, keys(&[b"a", b"b"], &[&[0; 32]])),
            ILLEGAL_PARAMETER,
        ),
        (
            "short binder",
            with_modes().with(ext::PRE_SHARED_KEY, keys(&[b"ticket"], &[&[0; 31]])),
            DECODE_ERROR,
        ),
    ] {
        answered(what, &hello, expected);
    }
}

#[test]
fn public_keys_are_checked() {
    let of = |list: &[(u16, &[u8])]| Hello::new().with(ext::KEY_SHARE, shares(list));
    let mut point = [1; 65];
    point[0] = 4;
    let mut large = [1; 97];
    large[0] = 4;
    for (name, hello, expected) in [
        ("other group", of(&[(0x19, &[4; 133])]), ILLEGAL_PARAMETER),
        ("twice", of(&[(0x1d, &public()), (0x1d, &public())]), ILLEGAL_PARAMETER),
        ("empty", of(&[(0x1d, &[])]), DECODE_ERROR),
        ("short x25519", of(&[(0x1d, &[1; 31])]), ILLEGAL_PARAMETER),
        ("zero x25519", of(&[(0x1d, &[0; 32])]), ILLEGAL_PARAMETER),
        ("off the curve", of(&[(0x17, &point)]), ILLEGAL_PARAMETER),
        ("off the large curve", of(&[(0x18, &large)]), ILLEGAL_PARAMETER),
        ("compressed", of(&[(0x17, &[2; 33])]), ILLEGAL_PARAMETER),
        ("at infinity", of(&[(0x17, &[0])]), ILLEGAL_PARAMETER),
        ("short hybrid", of(&[(0x11ec, &[1; 1215])]), ILLEGAL_PARAMETER),
        ("not reduced", of(&[(0x11ec, &[0xff; 1216])]), ILLEGAL_PARAMETER),
    ] {
        answered(name, &hello, expected);
    }
    let groups = Hello::new().with(ext::SUPPORTED_GROUPS, codes(&[0x19]));
    let share = shares(&[(0x19, &[4; 133])]);
    answered("no common group", &groups.with(ext::KEY_SHARE, share), HANDSHAKE_FAILURE);
}

#[test]
fn records_before_there_are_keys_are_checked() {
    let hello = Hello::new().bytes();
    let mut long = vec![1, 0, 0x30, 0];
    long.resize(8000, 0);
    let two = [record(22, &hello[..50]), record(21, &[1, 0])].concat();
    for (name, bytes, expected) in [
        ("data", record(23, &[0; 20]), UNEXPECTED_MESSAGE),
        ("heartbeat", record(24, &[0]), UNEXPECTED_MESSAGE),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), UNEXPECTED_MESSAGE),
        ("too long", vec![22, 3, 1, 0x40, 1], RECORD_OVERFLOW),
        ("empty", record(22, &[]), UNEXPECTED_MESSAGE),
        ("change_cipher_spec first", record(20, &[1]), UNEXPECTED_MESSAGE),
        ("another message", record(22, &[20, 0, 0, 0]), UNEXPECTED_MESSAGE),
        ("a long message", record(22, &long), DECODE_ERROR),
        ("bytes behind it", record(22, &[&hello[..], &[0]].concat()), UNEXPECTED_MESSAGE),
        ("a long alert", record(21, &[1, 0, 0]), DECODE_ERROR),
        ("an alert between", two, UNEXPECTED_MESSAGE),
    ] {
        assert_eq!(alert_for(&mut World::new(usual()), &bytes), expected, "{name}");
    }
}

/// What becomes of a first hello.
type Edit = fn(Hello, &[u8]) -> Hello;

/// As the server wants it.
fn right(hello: Hello, cookie: &[u8]) -> Hello {
    hello.with(ext::COOKIE, cookie).with(ext::KEY_SHARE, shares(&[(0x1d, &public())]))
}

#[test]
fn the_second_hello_is_checked() {
    let cases: [(&str, Edit, u64, Option<u8>); 12] = [
        ("right", right, 1, None),
        ("no cookie", |hello, _| right(hello, &[]).without(ext::COOKIE), 1, ILLEGAL_PARAMETER),
        (
            "another cookie",
            |hello, cookie| {
                let mut cookie = cookie.to_vec();
                cookie[20] ^= 1;
                right(hello, &cookie)
            },
            1,
            ILLEGAL_PARAMETER,
        ),
        ("too late", right, 61, ILLEGAL_PARAMETER),
        ("no share", |hello, cookie| hello.with(ext::COOKIE, cookie), 1, ILLEGAL_PARAMETER),
        (
            "another group",
            |hello, cookie| right(hello, cookie).with(ext::KEY_SHARE, shares(&[(0x17, &[4; 65])])),
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "another random",
            |hello, cookie| Hello { random: [7; 32], ..right(hello, cookie) },
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "other suites",
            |hello, cookie| Hello { suites: vec![0x1301, 0x1303], ..right(hello, cookie) },
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "early data",
            |hello, cookie| right(hello, cookie).with(ext::EARLY_DATA, []),
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "a limit of records",
            |hello, cookie| right(hello, cookie).with(ext::RECORD_SIZE_LIMIT, [2, 0]),
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "a protocol",
            |hello, cookie| right(hello, cookie).with(ext::ALPN, *b"\0\x09\x08http/1.1"),
            1,
            ILLEGAL_PARAMETER,
        ),
        (
            "modes of keys",
            |hello, cookie| right(hello, cookie).with(ext::PSK_KEY_EXCHANGE_MODES, [1, 0]),
            1,
            ILLEGAL_PARAMETER,
        ),
    ];
    for (name, edit, seconds, expected) in cases {
        asked_again(name, edit, seconds, expected);
    }
}

/// A first hello without a share, then, after so many seconds, what `edit` makes of it.
fn asked_again(name: &str, edit: Edit, seconds: u64, expected: Option<u8>) {
    let first = || {
        let groups = codes(&[0x1d, 0x17]);
        Hello::new().with(ext::KEY_SHARE, shares(&[])).with(ext::SUPPORTED_GROUPS, groups)
    };
    let mut config = usual();
    config.handshake_timeout = Duration::from_secs(600);
    let mut world = World::new(config);
    let wire = world.connect();
    world.say(wire, &record(22, &first().bytes()));
    let heard = records(&world.heard(wire));
    // A request, and the one change_cipher_spec there is.
    assert_eq!(heard.iter().map(|it| it.content).collect::<Vec<_>>(), [22, 20]);
    let (cookie, group) = retry_of(&heard[0].body);
    assert_eq!(group, 0x1d);
    world.pass(Duration::from_secs(seconds));
    world.say(wire, &record(20, &[1]));
    // The extension holds the cookie with its length, as the request did.
    world.say(wire, &record(22, &edit(first(), &cookie).bytes()));
    let heard = records(&world.heard(wire));
    let alert = heard.iter().find(|it| it.content == 21).map(|it| it.body[1]);
    assert_eq!(alert, expected, "{name}");
    assert!(heard.iter().all(|it| it.content != 20), "a second change_cipher_spec");
}

#[test]
fn the_client_must_finish() {
    type Say = fn(&mut Peer, &mut World);
    let cases: [(&str, Say, Option<u8>); 10] = [
        ("right", |peer, world| peer.say(world, 22, &peer.finished.clone()), None),
        (
            "another Finished",
            |peer, world| {
                peer.finished[10] ^= 1;
                peer.say(world, 22, &peer.finished.clone());
            },
            DECRYPT_ERROR,
        ),
        ("a short Finished", |peer, world| peer.say(world, 22, &[20, 0, 0, 1, 0]), DECODE_ERROR),
        (
            "bytes behind it",
            |peer, world| {
                let finished = [&peer.finished[..], &[24]].concat();
                peer.say(world, 22, &finished);
            },
            UNEXPECTED_MESSAGE,
        ),
        ("data", |peer, world| peer.say(world, 23, b"early"), UNEXPECTED_MESSAGE),
        ("a certificate", |peer, world| peer.say(world, 22, &[11, 0, 0, 0]), UNEXPECTED_MESSAGE),
        (
            "in clear",
            |peer, world| {
                world.say(peer.wire, &record(22, &peer.finished.clone()));
            },
            UNEXPECTED_MESSAGE,
        ),
        ("noise", |peer, world| world.say(peer.wire, &record(23, &[0; 40])), BAD_RECORD_MAC),
        (
            "a protected change_cipher_spec",
            |peer, world| peer.say(world, 20, &[1]),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a strange change_cipher_spec",
            |peer, world| world.say(peer.wire, &record(20, &[2])),
            UNEXPECTED_MESSAGE,
        ),
    ];
    for (name, say, expected) in cases {
        let mut world = World::new(usual());
        let mut peer = Peer::greet(&mut world, &Hello::new());
        say(&mut peer, &mut world);
        if expected.is_some() {
            // The server's keys for data are in use since its Finished.
            assert_eq!(peer.alert(&mut world), expected, "{name}");
            assert!(world.news().is_none(), "{name}");
        } else {
            assert!(world.news().is_some(), "{name}");
        }
    }
}

#[test]
fn change_cipher_spec_is_borne_a_few_times() {
    let mut world = World::new(usual());
    let mut peer = Peer::greet(&mut world, &Hello::new());
    for _ in 0..4 {
        world.say(peer.wire, &record(20, &[1]));
    }
    assert_eq!(peer.alert(&mut world), None);
    world.say(peer.wire, &record(20, &[1]));
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}

#[test]
fn what_comes_later_is_checked_too() {
    type Say = fn(&mut Peer, &mut World);
    let cases: [(&str, Say, Option<u8>); 15] = [
        ("data", |peer, world| peer.say(world, 23, b"data"), None),
        ("a hello", |peer, world| peer.say(world, 22, &Hello::new().bytes()), UNEXPECTED_MESSAGE),
        (
            "half a message, then data",
            |peer, world| {
                peer.say(world, 22, &[24, 0]);
                peer.say(world, 23, b"data");
            },
            UNEXPECTED_MESSAGE,
        ),
        (
            "an odd key update",
            |peer, world| peer.say(world, 22, &[24, 0, 0, 1, 2]),
            ILLEGAL_PARAMETER,
        ),
        (
            "a long key update",
            |peer, world| peer.say(world, 22, &[24, 0, 0, 2, 0, 0]),
            DECODE_ERROR,
        ),
        (
            "bytes behind a key update",
            |peer, world| peer.say(world, 22, &[24, 0, 0, 1, 0, 0]),
            UNEXPECTED_MESSAGE,
        ),
        ("empty handshake", |peer, world| peer.say(world, 22, &[]), UNEXPECTED_MESSAGE),
        ("empty alert", |peer, world| peer.say(world, 21, &[]), UNEXPECTED_MESSAGE),
        ("short alert", |peer, world| peer.say(world, 21, &[0]), DECODE_ERROR),
        ("no type", |peer, world| peer.say(world, 0, &[]), UNEXPECTED_MESSAGE),
        ("strange type", |peer, world| peer.say(world, 99, b"x"), UNEXPECTED_MESSAGE),
        (
            "an alert in clear",
            |peer, world| world.say(peer.wire, &record(21, &[2, 40])),
            UNEXPECTED_MESSAGE,
        ),
        (
            "a change_cipher_spec",
            |peer, world| world.say(peer.wire, &record(20, &[1])),
            UNEXPECTED_MESSAGE,
        ),
        ("too long", |peer, world| world.say(peer.wire, &[23, 3, 3, 0x41, 1]), RECORD_OVERFLOW),
        (
            "nothing, again and again",
            |peer, world| {
                (0..33).for_each(|_| peer.say(world, 23, &[]));
            },
            UNEXPECTED_MESSAGE,
        ),
    ];
    for (name, say, expected) in cases {
        let mut world = World::new(usual());
        let mut peer = Peer::connect(&mut world);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        say(&mut peer, &mut world);
        assert_eq!(peer.alert(&mut world), expected, "{name}");
        let phase = if expected.is_some() { Phase::Reset } else { Phase::Open };
        assert_eq!(world.tls.status(stream).phase, phase, "{name}");
        world.tls.abort(stream);
        world.tls.release(stream);
        world.pass(Duration::from_secs(3));
        assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0), "{name}");
    }
}

#[test]
fn tickets_are_for_who_can_resume() {
    for (modes, expected) in [(&[][..], 0), (&[1, 0], 0), (&[1, 1], 2), (&[2, 0, 1], 2)] {
        let mut world = World::new(usual());
        let hello = Hello::new().without(ext::PSK_KEY_EXCHANGE_MODES);
        let hello = match modes {
            [] => hello,
            _ => hello.with(ext::PSK_KEY_EXCHANGE_MODES, modes),
        };
        let mut peer = Peer::greet(&mut world, &hello);
        peer.complete(&mut world);
        let mut tickets = Vec::new();
        for record in records(&world.heard(peer.wire)) {
            let (content, bytes) = open(&mut peer.read, &record).unwrap();
            assert_eq!(content, Content::Handshake);
            tickets.extend(bytes);
        }
        let mut count = 0;
        let mut rest = &tickets[..];
        while let [4, a, b, c, behind @ ..] = rest {
            rest = &behind[u32::from_be_bytes([0, *a, *b, *c]) as usize..];
            count += 1;
        }
        assert_eq!((count, rest), (expected, &[][..]), "{modes:?}");
    }
}

#[test]
fn key_updates_are_borne_while_data_passes() {
    let mut world = World::new(usual());
    let mut peer = Peer::connect(&mut world);
    let stream = world.accept();
    for _ in 0..3 {
        for _ in 0..30 {
            peer.say(&mut world, 22, &[24, 0, 0, 1, 0]);
            peer.write.update();
        }
        peer.say(&mut world, 23, b"data");
        assert_eq!(world.read(stream), b"data");
    }
    for _ in 0..33 {
        peer.say(&mut world, 22, &[24, 0, 0, 1, 0]);
        peer.write.update();
    }
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}

#[test]
fn user_canceled_is_borne_a_few_times() {
    let mut world = World::new(usual());
    let mut peer = Peer::connect(&mut world);
    for _ in 0..2 {
        (0..32).for_each(|_| peer.say(&mut world, 21, &[1, 90]));
        peer.say(&mut world, 23, b"data");
    }
    assert_eq!(peer.alert(&mut world), None);
    (0..33).for_each(|_| peer.say(&mut world, 21, &[1, 90]));
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}

#[test]
fn early_data_is_skipped_within_a_limit() {
    let mut world = World::new(usual());
    let hello = || Hello::new().with(ext::EARLY_DATA, []);
    let mut peer = Peer::greet(&mut world, &hello());
    for _ in 0..3 {
        world.say(peer.wire, &record(23, &[0x55; 16_000]));
    }
    peer.say(&mut world, 22, &peer.finished.clone());
    assert!(world.news().is_some());
    // Afterwards, none is.
    world.say(peer.wire, &record(23, &[0x55; 100]));
    assert_eq!(world.tls.counters.faulty.get(), 1);
    let mut peer = Peer::greet(&mut world, &hello());
    for _ in 0..5 {
        world.say(peer.wire, &record(23, &[0x55; 16_000]));
    }
    assert_eq!(peer.alert(&mut world), UNEXPECTED_MESSAGE);
}
