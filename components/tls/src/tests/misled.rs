//! Servers that break rules, and the alerts that they get.

use super::impostor::{Answer, Impostor, certificate_message, extensions, message, verify_message};
use super::script::message_of;
use super::until_2030;
use crate::crypto::{Group, Hash};
use crate::wire::codes::extension as ext;
use crate::wire::hello::ClientHello;
use crate::wire::record::Content;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Phase, StreamPort};

type Change = fn(Answer) -> Answer;

#[track_caller]
fn answered(cases: &[(&str, Change, u8)]) {
    for (what, change, expected) in cases {
        let mut it = Impostor::new();
        let hello = change(it.answer()).message();
        it.say_clear(22, &hello);
        assert_eq!(it.alert(), *expected, "{what}");
    }
}

#[test]
fn hellos_of_servers_are_checked() {
    answered(&[
        ("1.1 where 1.2 belongs", |it| Answer { version: 0x0302, ..it }, 47),
        ("SSL 3.0 where 1.2 belongs", |it| Answer { version: 0x0300, ..it }, 70),
        ("no version", |it| it.without(ext::SUPPORTED_VERSIONS), 70),
        ("1.2", |it| it.with(ext::SUPPORTED_VERSIONS, [3, 3]), 47),
        ("1.4", |it| it.with(ext::SUPPORTED_VERSIONS, [3, 5]), 47),
        ("half a version", |it| it.with(ext::SUPPORTED_VERSIONS, [3]), 50),
        ("two versions", |it| it.with(ext::SUPPORTED_VERSIONS, [3, 4, 3, 4]), 50),
        ("another session", |it| Answer { session_id: vec![1; 32], ..it }, 47),
        ("no session", |it| Answer { session_id: vec![], ..it }, 47),
        ("a suite that nobody offered", |it| Answer { suite: 0x1304, ..it }, 47),
        ("compression", |it| Answer { compression: 1, ..it }, 47),
        ("no key", |it| it.without(ext::KEY_SHARE), 109),
        ("a key of no bytes", |it| it.with(ext::KEY_SHARE, [0, 0x1d, 0, 0]), 50),
        ("a group without a key", |it| it.with(ext::KEY_SHARE, [0, 0x1d]), 50),
        (
            "a key of zeros",
            |it| it.with(ext::KEY_SHARE, [&[0, 0x1d, 0, 32][..], &[0; 32]].concat()),
            47,
        ),
        (
            "a short key",
            |it| it.with(ext::KEY_SHARE, [&[0, 0x1d, 0, 31][..], &[5; 31]].concat()),
            47,
        ),
        (
            "a group not shown",
            |it| it.with(ext::KEY_SHARE, [&[0, 0x17, 0, 65][..], &[4; 65]].concat()),
            47,
        ),
        (
            "a group of nobody",
            |it| it.with(ext::KEY_SHARE, [&[1, 0x17, 0, 5][..], &[4; 5]].concat()),
            47,
        ),
        (
            "a short ciphertext",
            |it| it.with(ext::KEY_SHARE, [&[0x11, 0xec, 0, 65][..], &[4; 65]].concat()),
            47,
        ),
        ("an unknown extension", |it| it.with(0x1234, []), 110),
        ("the protocol in clear", |it| it.with(ext::ALPN, *b"\0\x03\x02h2"), 47),
        ("a cookie", |it| it.with(ext::COOKIE, [0, 1, 1]), 47),
        ("a key that was not offered", |it| it.with(ext::PRE_SHARED_KEY, [0, 0]), 110),
        ("bytes behind", |it| Answer { trailing: vec![0], ..it }, 50),
        (
            "an extension twice",
            |mut it| {
                it.extensions.push((ext::SUPPORTED_VERSIONS, vec![3, 4]));
                it
            },
            47,
        ),
    ]);
}

#[test]
fn a_server_that_asks_for_another_hello_is_checked() {
    answered(&[
        ("a key to ask again", |it| it.retry(Some(0x17)).with(ext::PRE_SHARED_KEY, [0, 0]), 47),
        ("another hello for nothing", |it| it.retry(None), 47),
        ("another hello of a group shown", |it| it.retry(Some(0x1d)), 47),
        ("another hello of a group of nobody", |it| it.retry(Some(0x1234)), 47),
        (
            "a cookie that is too long",
            |it| it.retry(None).with(ext::COOKIE, [&[0x10, 1][..], &[7; 0x1001]].concat()),
            47,
        ),
        ("an empty cookie", |it| it.retry(None).with(ext::COOKIE, [0, 0]), 50),
        ("another hello and an unknown extension", |it| it.retry(Some(0x17)).with(0x1234, []), 110),
    ]);
}

#[test]
fn old_versions_are_refused_and_downgrades_found() {
    for (last, expected) in [(None, 70), (Some(1), 47), (Some(0), 47), (Some(2), 70)] {
        let mut it = Impostor::new();
        let mut hello = it.answer().without(ext::SUPPORTED_VERSIONS).without(ext::KEY_SHARE);
        if let Some(last) = last {
            hello.random[24..31].copy_from_slice(b"DOWNGRD");
            hello.random[31] = last;
        }
        // As an old server has it.
        let hello = hello.with(0xff01, [0]);
        it.say_clear(22, &hello.message());
        assert_eq!(it.alert(), expected);
    }
    // It may even have no extensions.
    let mut it = Impostor::new();
    let hello = it.answer();
    let bytes = message(2, |body| {
        body.u16(0x0303);
        body.bytes(&hello.random);
        body.bytes(&[0, 0, 0x2f, 0]);
    });
    it.say_clear(22, &bytes);
    assert_eq!(it.alert(), 70);
}

#[test]
fn another_hello_is_said_once() {
    let again = |retry: &dyn Fn(Answer) -> Answer| {
        let mut it = Impostor::new();
        let answer = retry(it.answer());
        it.ask_again(&answer);
        it
    };
    let p256 = |it: Answer| it.retry(Some(0x17)).with(ext::COOKIE, [0, 2, 7, 7]);
    let hello = again(&p256).hello;
    let hello = ClientHello::parse(&hello[4..]).unwrap();
    assert_eq!(hello.cookie, Some(&[7, 7][..]));
    let groups: Vec<_> = hello.key_shares.unwrap().iter().map(|(group, _)| group).collect();
    assert_eq!(groups, [0x17]);
    // For a cookie alone, the keys stay as they were.
    let mut it = again(&|it| it.retry(None).with(ext::COOKIE, [0, 1, 7]));
    it.agree(Group::X25519);
    let mut it = it.until(4);
    assert_eq!(it.phase(), Phase::Open, "{:?}", it.client.tls.failure(it.stream));
    it.client.tls.abort(it.stream);
    // Twice is too often.
    let mut it = again(&p256);
    let hello = it.answer().retry(Some(0x18)).message();
    it.say_clear(22, &hello);
    assert_eq!(it.alert(), 10);
    // What was chosen stays.
    let mut it = again(&p256);
    it.agree(Group::P256);
    let hello = Answer { suite: 0x1303, ..it.answer() }.message();
    it.say_clear(22, &hello);
    assert_eq!(it.alert(), 47);
    let mut it = again(&p256);
    let hello = it.answer().message();
    it.say_clear(22, &hello);
    assert_eq!(it.alert(), 47);
}

#[test]
fn only_what_was_asked_for_is_taken() {
    let cases: &[(u16, &[u8], Option<u8>)] = &[
        (ext::SERVER_NAME, b"", None),
        (ext::SERVER_NAME, b"x", Some(50)),
        (ext::SUPPORTED_GROUPS, &[0, 2, 0, 0x1d], None),
        (ext::SUPPORTED_GROUPS, &[0, 0], Some(50)),
        (ext::ALPN, b"\0\x09\x08http/1.1", None),
        (ext::ALPN, b"\0\x03\x02h2", Some(47)),
        (ext::ALPN, b"\0\x0c\x08http/1.1\x02h2", Some(50)),
        (ext::ALPN, b"\0\0", Some(50)),
        (ext::RECORD_SIZE_LIMIT, &[0, 64], None),
        (ext::RECORD_SIZE_LIMIT, &[0, 63], Some(47)),
        (ext::STATUS_REQUEST, b"", Some(47)),
        (ext::KEY_SHARE, &[0, 0x1d], Some(47)),
        (ext::SUPPORTED_VERSIONS, &[3, 4], Some(47)),
        (ext::SIGNATURE_ALGORITHMS, &[0, 2, 4, 3], Some(47)),
        (ext::EARLY_DATA, b"", Some(110)),
        (ext::QUIC_TRANSPORT_PARAMETERS, b"", Some(110)),
        (ext::PRE_SHARED_KEY, &[0, 0], Some(47)),
        (ext::COOKIE, &[0, 1, 7], Some(47)),
        (ext::CERTIFICATE_AUTHORITIES, b"", Some(47)),
        (0x1234, b"", Some(110)),
    ];
    for (kind, content, expected) in cases {
        let mut it = Impostor::new().greet();
        let list = extensions(&[(*kind, content.to_vec())]);
        it.tell(&message(8, |body| body.bytes(&list)));
        match expected {
            Some(expected) => assert_eq!(it.alert(), *expected, "{kind} {content:?}"),
            None => assert_eq!(it.phase(), Phase::Opening, "{kind} {content:?}"),
        }
    }
    // Without protocols of its own, a client wants none.
    let mut it = Impostor::with(|config| config.alpn = &[]).greet();
    let list = extensions(&[(ext::ALPN, b"\0\x09\x08http/1.1".to_vec())]);
    it.tell(&message(8, |body| body.bytes(&list)));
    assert_eq!(it.alert(), 110);
    // Twice is wrong.
    let mut it = Impostor::new().greet();
    let list = extensions(&[(ext::SERVER_NAME, vec![]), (ext::SERVER_NAME, vec![])]);
    it.tell(&message(8, |body| body.bytes(&list)));
    assert_eq!(it.alert(), 47);
}

#[test]
fn messages_come_in_their_order() {
    // What was said, and what is said then: extensions, certificate, verify, finished, others.
    for (step, wrong) in [
        (0, vec![11, 13, 15, 20]),
        (1, vec![8, 15, 20]),
        (2, vec![8, 11, 13, 20]),
        (3, vec![8, 11, 13, 15]),
    ] {
        for kind in [&wrong[..], &[0, 1, 2, 4, 5, 24, 99]].concat() {
            let mut it = Impostor::new().until(step);
            it.say(22, &message(kind, |body| body.bytes(&[0; 40])));
            assert_eq!(it.alert(), 10, "message {kind} at {step}");
        }
    }
    for kind in [0, 1, 8, 11, 20] {
        let mut it = Impostor::new();
        it.say_clear(22, &message(kind, |body| body.bytes(&[0; 40])));
        assert_eq!(it.alert(), 10, "message {kind}");
    }
}

#[test]
fn certificates_and_signatures_are_checked() {
    let own = Impostor::new().certificate;
    for (bytes, expected) in [
        (certificate_message(&[1], &[own], &[0, 0]), 47),
        (certificate_message(&[], &[], &[]), 50),
        (certificate_message(&[], &[&[]], &[0, 0]), 50),
        (certificate_message(&[], &[own], &[]), 50),
        (certificate_message(&[], &[own], &[0, 4, 0, 18, 0, 0]), 110),
        (certificate_message(&[], &[own], &[0, 6, 0, 51, 0, 2, 0, 29]), 47),
        (certificate_message(&[], &[own], &[0, 4, 0, 0, 0, 0]), 47),
        // A status without a kind, of another kind, of no bytes, and with bytes behind it.
        (certificate_message(&[], &[own], &[0, 4, 0, 5, 0, 0]), 50),
        (certificate_message(&[], &[own], &[0, 9, 0, 5, 0, 5, 2, 0, 0, 1, 9]), 113),
        (certificate_message(&[], &[own], &[0, 8, 0, 5, 0, 4, 1, 0, 0, 0]), 50),
        (certificate_message(&[], &[own], &[0, 10, 0, 5, 0, 6, 1, 0, 0, 1, 9, 9]), 50),
        (certificate_message(&[], &[b"no certificate"], &[0, 0]), 42),
        // Somebody else's, who calls himself as the one who is trusted.
        (certificate_message(&[], &[own], &[0, 0]), 42),
        (certificate_message(&[], &[until_2030().0.certificates[0]], &[0, 0]), 48),
    ] {
        let mut it = Impostor::new().until(1);
        it.tell(&bytes);
        assert_eq!(it.alert(), expected);
    }
    type Proof = fn(&Impostor) -> Vec<u8>;
    let wrong: &[(Proof, u8)] = &[
        (|it| [&it.verify()[..4], &[4, 1], &it.verify()[6..]].concat(), 47),
        (|it| [&it.verify()[..4], &[2, 3], &it.verify()[6..]].concat(), 47),
        // Schemes that were offered, but not of this key.
        (|it| [&it.verify()[..4], &[5, 3], &it.verify()[6..]].concat(), 47),
        (|it| [&it.verify()[..4], &[8, 4], &it.verify()[6..]].concat(), 47),
        (|it| [&it.verify()[..4], &[8, 7], &it.verify()[6..]].concat(), 47),
        (|_| verify_message(0x0403, &[]), 51),
        (|_| verify_message(0x0403, &[0x30, 6, 2, 1, 1, 2, 1, 1]), 51),
        (
            |it| {
                let mut bytes = it.verify();
                *bytes.last_mut().unwrap() ^= 1;
                bytes
            },
            51,
        ),
        (|it| [&[15, 0, 0, 2][..], &it.verify()[4..6]].concat(), 50),
    ];
    for (number, (bytes, expected)) in wrong.iter().enumerate() {
        let mut it = Impostor::new().until(2);
        let bytes = bytes(&it);
        it.tell(&bytes);
        assert_eq!(it.alert(), *expected, "signature {number}");
    }
}

/// How long it takes to find a way among certificates is not the other end's to choose.
#[test]
fn few_certificates_are_looked_at() {
    let named = |name: u8| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name.to_string());
        let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        made.der().to_vec()
    };
    let different: Vec<_> = (0..10).map(named).collect();
    let alike: Vec<_> = (0..4).map(|_| named(0)).collect();
    for (others, is_fine) in [
        (&different[..9], true),
        (&different[..], false),
        (&alike[..3], true),
        (&alike[..], false),
        (&vec![b"rubbish".to_vec(); 4][..], false),
    ] {
        let mut it = Impostor::new().until(1);
        let own = core::iter::once(it.certificate);
        let all: Vec<&[u8]> = own.chain(others.iter().map(|other| &other[..])).collect();
        it.tell(&certificate_message(&[], &all, &[0, 0]));
        match is_fine {
            true => assert_eq!(it.phase(), Phase::Opening),
            false => assert_eq!(it.alert(), 42, "{} others", others.len()),
        }
    }
}

#[test]
fn who_is_asked_for_a_certificate_says_that_there_is_none() {
    let request = |context: &[u8], list: &[(u16, Vec<u8>)]| {
        message(13, |body| {
            body.vector::<1>(|it| it.bytes(context));
            body.bytes(&extensions(list));
        })
    };
    let schemes = (ext::SIGNATURE_ALGORITHMS, vec![0, 2, 4, 3]);
    for (bytes, expected) in [
        (request(&[], &[]), 109),
        (request(&[1], core::slice::from_ref(&schemes)), 47),
        (request(&[], &[(ext::SIGNATURE_ALGORITHMS, vec![0, 1, 4])]), 50),
        (request(&[], &[schemes.clone(), schemes.clone()]), 47),
        (request(&[], &[schemes.clone(), (ext::KEY_SHARE, vec![0, 29])]), 47),
        (request(&[], &[schemes.clone(), (ext::ALPN, vec![0, 3, 2, 104, 50])]), 47),
    ] {
        let mut it = Impostor::new().until(1);
        it.tell(&bytes);
        assert_eq!(it.alert(), expected);
    }
    let mut it = Impostor::new().until(1);
    it.tell(&request(&[], &[(0x1234, vec![]), (ext::STATUS_REQUEST, vec![]), schemes]));
    for next in [Impostor::certificate, Impostor::verify, Impostor::finished] {
        let next = next(&it);
        it.tell(&next);
    }
    assert_eq!(it.phase(), Phase::Open);
    let heard: Vec<u8> = it.heard().into_iter().flat_map(|(_, bytes)| bytes).collect();
    let (none, last) = heard.split_at(8);
    assert_eq!(none, [11, 0, 0, 4, 0, 0, 0, 0]);
    let digest = Hash::Sha256.of(&[&it.transcript, none]);
    let verify = it.traffic.as_ref().unwrap().0.finished(&digest);
    assert_eq!(last[4..], *verify.bytes());
}

#[test]
fn the_server_must_finish() {
    type Change = fn(Vec<u8>) -> Vec<u8>;
    let wrong: &[(Change, u8)] = &[
        (
            |mut it| {
                it[4] ^= 1;
                it
            },
            51,
        ),
        (|it| [&[20, 0, 0, 31][..], &it[4..35]].concat(), 50),
        (|it| [&[20, 0, 0, 33][..], &it[4..], &[0]].concat(), 50),
        // A ticket in the same record would be of other keys.
        (|it| [&it[..], &[4, 0, 0, 0]].concat(), 10),
    ];
    for (change, expected) in wrong {
        let mut it = Impostor::new().until(3);
        let bytes = change(it.finished());
        it.say(22, &bytes);
        assert_eq!(it.alert(), *expected);
    }
}

#[test]
fn records_are_checked() {
    type Saying = fn(&mut Impostor);
    let cases: &[(&str, Saying, u8)] = &[
        ("a message in clear", |it| it.say_clear(22, &[8, 0, 0, 2, 0, 0]), 10),
        ("an alert in clear", |it| it.say_clear(21, &[2, 40]), 10),
        ("data", |it| it.say(23, b"early"), 10),
        ("a protected change_cipher_spec", |it| it.say(20, &[1]), 10),
        ("a strange change_cipher_spec", |it| it.say_clear(20, &[2]), 10),
        ("an unknown type", |it| it.say(99, &[2]), 10),
        ("padding only", |it| it.say(0, &[0; 10]), 10),
        ("an empty message", |it| it.say(22, &[]), 10),
        ("half an alert", |it| it.say(21, &[2]), 50),
        ("what does not decrypt", |it| it.say_clear(23, &[7; 40]), 20),
        ("what is too short for a tag", |it| it.say_clear(23, &[7; 4]), 20),
        ("a long record", |it| it.client.say(0, &[23, 3, 3, 0x41, 1]), 22),
        ("a long message", |it| it.say(22, &[11, 1, 0, 1]), 50),
        (
            "something between the halves",
            |it| {
                it.say(22, &[8, 0]);
                it.say(21, &[1, 90]);
            },
            10,
        ),
    ];
    for (what, say, expected) in cases {
        let mut it = Impostor::new().greet();
        say(&mut it);
        assert_eq!(it.alert(), *expected, "{what}");
    }
    // Before there are keys.
    for (content, bytes, expected) in
        [(23, &[7; 40][..], 10), (20, &[2], 10), (22, &[], 10), (24, &[1], 10), (21, &[1], 50)]
    {
        let mut it = Impostor::new();
        it.say_clear(content, bytes);
        assert_eq!(it.alert(), expected);
    }
    // Something behind the hello in the same record.
    let mut it = Impostor::new();
    let hello = [&it.answer().message()[..], &[8, 0, 0, 2, 0, 0]].concat();
    it.say_clear(22, &hello);
    assert_eq!(it.alert(), 10);
}

#[test]
fn later_messages_are_few() {
    let ticket = |life: u32, ticket: &[u8], more: &[(u16, Vec<u8>)]| {
        message(4, |body| {
            body.u32(life);
            body.u32(0);
            body.vector::<1>(|nonce| nonce.u8(7));
            body.vector::<2>(|it| it.bytes(ticket));
            body.bytes(&extensions(more));
        })
    };
    let early = (ext::EARLY_DATA, vec![0, 0, 0, 9]);
    let request = message(13, |body| body.bytes(&[0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]));
    for (bytes, expected) in [
        (message(0, |_| {}), 10),
        (message(1, |body| body.bytes(&[0; 60])), 10),
        (message(20, |body| body.bytes(&[0; 32])), 10),
        (request, 10),
        (message(24, |body| body.u8(2)), 47),
        (message(24, |_| {}), 50),
        ([message(24, |body| body.u8(0)), ticket(9, b"x", &[])].concat(), 10),
        (ticket(9, b"", &[]), 50),
        (ticket(9, b"x", &[early.clone(), early.clone()]), 47),
        (ticket(9, b"x", &[(ext::EARLY_DATA, vec![0, 0, 9])]), 50),
        (ticket(9, b"x", &[(ext::EARLY_DATA, vec![0, 0, 0, 9, 9])]), 50),
        (ticket(9, b"x", &[(ext::KEY_SHARE, vec![0, 29])]), 47),
        (message(4, |body| body.bytes(&[0; 9])), 50),
    ] {
        let mut it = Impostor::open();
        it.say(22, &bytes);
        assert_eq!(it.alert(), expected, "{bytes:?}");
    }
    let mut it = Impostor::open();
    it.say_clear(20, &[1]);
    assert_eq!(it.alert(), 10);
    // Several in one record, one in several, with extensions or without.
    let mut it = Impostor::open();
    let all = [ticket(9, b"one", &[early, (0x1234, vec![])]), ticket(0, b"two", &[])].concat();
    it.say(22, &all[..10]);
    it.say(22, &all[10..]);
    (0..9).for_each(|_| it.say(22, &ticket(600, &[5; 5000], &[])));
    (0..9).for_each(|_| it.say(22, &ticket(600, b"three", &[])));
    it.say(23, b"data");
    assert_eq!((it.phase(), it.client.read(it.stream)), (Phase::Open, b"data".to_vec()));
    // None of no time, and none too long; and not more of one connection than make sense.
    let shown = |it: &mut Impostor| {
        let (stream, wire) = it.client.dial("localhost");
        let hello = message_of(&it.client.heard(wire));
        it.client.tls.abort(stream);
        let keys = ClientHello::parse(&hello[4..]).unwrap().keys;
        keys.and_then(|keys| keys.iter().next().map(|(ticket, _)| ticket.to_vec()))
    };
    assert_eq!(shown(&mut it), Some(b"three".to_vec()));
    assert_eq!(shown(&mut it), Some(b"three".to_vec()));
    assert_eq!(shown(&mut it), None);
}

#[test]
fn alerts_of_the_server_are_said_to_who_dialled() {
    for (code, expected) in [
        (40, "the other end can agree to nothing that was offered"),
        (112, "the other end does not have that name"),
        (70, "the other end speaks no TLS 1.3"),
    ] {
        let mut it = Impostor::new();
        it.say_clear(21, &[2, code]);
        assert_eq!(it.phase(), Phase::Reset);
        assert_eq!(it.client.tls.failure(it.stream), Some(expected));
        assert_eq!(it.client.tls.counters.rejected.get(), 1);
    }
    let mut it = Impostor::new().greet();
    it.say(21, &[1, 0]);
    assert_eq!(it.phase(), Phase::Reset);
    let why = it.client.tls.failure(it.stream);
    assert_eq!(why, Some("the other end closed instead of finishing"));
    assert_eq!(it.heard(), [(Content::Alert, vec![1, 0])]);
}

#[test]
fn the_limit_of_messages_is_kept() {
    let long = certificate_message(&[], &[&[0; 5000]], &[0, 0]);
    for (limit, expected) in [(4096, 50), (8192, 42)] {
        let mut it = Impostor::with(|config| config.message_limit = limit).until(1);
        for part in long.chunks(1000) {
            it.say(22, part);
        }
        assert_eq!(it.alert(), expected);
    }
    // A hello has all in it that a server wants, and no more than fits two packets.
    let it = Impostor::new();
    assert!(it.hello.len() < 1700, "{} bytes", it.hello.len());
    assert_eq!(it.hello[0], 1);
}
