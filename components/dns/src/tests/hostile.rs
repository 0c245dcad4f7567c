//! Messages that somebody made up.

use super::*;

#[test]
fn what_is_no_answer_to_the_question_is_ignored() {
    let mut bench = Bench::new();
    let question = bench.ask("bank.example");
    let seen = bench.sent().unwrap();
    let good = seen.answer(0, &[a(66, 600)], &[]);
    let spoilt = |at: usize, flip: u8| {
        let mut message = good.clone();
        message[at] ^= flip;
        message
    };
    let end = seen.bytes.len();
    let forged = [
        ("another number", spoilt(0, 1)),
        ("no answer", spoilt(2, 0x80)),
        ("another kind of question", spoilt(2, 0x08)),
        ("no question", spoilt(5, 1)),
        ("no question and no answer", good[..4].iter().chain(&[0; 8]).copied().collect()),
        ("two questions", spoilt(5, 3)),
        ("another name", spoilt(13, 1)),
        ("another type", spoilt(end - 3, 28 ^ 1)),
        ("another class", spoilt(end - 1, 2)),
        ("cut off", good[..end - 2].to_vec()),
        ("the header alone", good[..12].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, message) in &forged {
        bench.reply(&seen, message);
        assert_eq!(bench.outcome(question), "waits", "{what}");
    }
    bench.deliver(seen.socket, SECOND, &good);
    assert_eq!(bench.outcome(question), "waits", "from a server that was not asked");
    let mut packet = bench.cx.packet().unwrap();
    packet.append(&good).unwrap();
    (packet.info_mut().remote, packet.info_mut().remote_port) = (FIRST, 5353);
    bench.udp.arrived.push_back((seen.socket, packet));
    bench.sweep();
    assert_eq!(bench.outcome(question), "waits", "from another port");
    assert_eq!(bench.dns.counters.foreign.get(), forged.len() as u64 + 2);
    bench.reply(&seen, &seen.answer(0, &[a(1, 600)], &[]));
    assert_eq!(bench.outcome(question), "192.0.2.1");
    bench.expect_rest();
}

#[test]
fn what_is_said_of_other_names_is_not_believed() {
    let mut bench = Bench::new();
    let other = |number| record(&wire("bank.example"), 1, 600, &[192, 0, 2, number]);
    assert_eq!(bench.resolve("evil.example", &[a(1, 600), other(66)]), "192.0.2.1");
    assert_eq!(bench.resolve("bank.example", &[a(2, 600)]), "192.0.2.2");
}

#[test]
fn letters_that_are_not_repeated_are_asked_for_over_tcp() {
    let mut bench = Bench::new();
    let question = bench.ask("abcdefgh.example");
    let seen = bench.sent().unwrap();
    let mut message = seen.answer(0, &[a(66, 600)], &[]);
    let at = (13..20).find(|at| message[*at].is_ascii_uppercase()).expect("a large letter");
    message[at] ^= 0x20;
    bench.reply(&seen, &message);
    assert_eq!(bench.outcome(question), "waits");
    assert_eq!(
        (bench.tcp.remote, bench.dns.counters.other_case.get()),
        (Some(SocketAddr::new(FIRST, 53)), 1)
    );
}

#[test]
fn records_that_make_no_sense_spoil_the_answer() {
    let spoilt = [
        record(ASKED, 1, 60, &[192, 0, 2]),
        record(ASKED, 5, 60, &[0xc0]),
        record(ASKED, 5, 60, &[1, b'a', 0, 7]),
        record(&[0xc0, 200], 1, 60, &[192, 0, 2, 1]),
        record(ASKED, 1, 60, &[192, 0, 2, 1])[..13].to_vec(),
        vec![0xc0],
    ];
    for record in spoilt {
        let mut bench = Bench::with(Config { attempts: 1, ..CONFIG });
        let question = bench.ask("example.org");
        for server in [FIRST, SECOND] {
            let seen = bench.sent().unwrap();
            assert_eq!(seen.server, server);
            bench.reply(&seen, &seen.answer(0, core::slice::from_ref(&record), &[]));
        }
        assert_eq!(bench.outcome(question), "Failed", "{}", record.escape_ascii());
        assert_eq!(bench.dns.counters.malformed.get(), 2);
        bench.expect_rest();
    }
}

#[test]
fn counts_of_records_have_a_limit() {
    let mut bench = Bench::with(Config { attempts: 1, ..CONFIG });
    let question = bench.ask("example.org");
    for _ in 0..2 {
        let seen = bench.sent().unwrap();
        let mut message = seen.answer(0, &[a(1, 60)], &[]);
        message[6..8].copy_from_slice(&[255, 255]);
        bench.reply(&seen, &message);
    }
    assert_eq!(bench.outcome(question), "Failed");
}

#[test]
fn of_many_records_the_first_are_looked_at() {
    let of_another = record(&wire("other.example"), 1, 60, &[192, 0, 2, 66]);
    let long =
        |front: &[Vec<u8>], end: &[Vec<u8>]| [front, &vec![of_another.clone(); 300], end].concat();
    let answer = |seen: &Seen, records: &[Vec<u8>]| {
        let mut message = seen.answer(0, records, &[]);
        message[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
        message
    };
    let mut bench = Bench::new();
    let question = bench.ask("example.org");
    let seen = bench.sent().unwrap();
    // That there is none cannot be known.
    let query = bench.dns.lookups[0].query;
    let last = query.understand(&answer(&seen, &long(&[], &[a(1, 60)])), false);
    assert_eq!(last, message::Meaning::Malformed);
    let alias = record(ASKED, 5, 60, &wire("b.example"));
    let first = query.understand(&answer(&seen, &long(&[alias], &[])), false);
    assert!(matches!(first, message::Meaning::Alias(..)), "{first:?}");
    let first = query.understand(&answer(&seen, &long(&[a(1, 60)], &[])), false);
    let message::Meaning::Found(addresses, 60) = first else { panic!("{first:?}") };
    assert_eq!(addresses.len(), 1);
    assert_eq!(bench.outcome(question), "waits");
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut random = waitless::Random::new([9; 32]);
    let mut bench = Bench::new();
    let question = bench.ask("example.org");
    let seen = bench.sent().unwrap();
    let records = [
        record(ASKED, 5, 60, &wire("b.example")),
        record(&wire("b.example"), 1, 60, &[1, 2, 3, 4]),
    ];
    let good = seen.answer(0, &records, &[soa(60, 60)]);
    let query = bench.dns.lookups[0].query;
    for _ in 0..200_000 {
        let mut message = good.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(message.len() as u64) as usize;
            message[at] = random.u32() as u8;
        }
        message.truncate(random.below(message.len() as u64 * 2) as usize);
        let _ = query.understand(&message, random.below(4) == 0);
    }
    assert_eq!(bench.outcome(question), "waits");
}
