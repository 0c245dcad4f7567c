//! What does not fit is asked for over TCP.

use super::*;

/// A question whose answer did not fit, and the connection that was begun for it.
fn truncated() -> (Bench, Question) {
    let mut bench = Bench::new();
    let question = bench.ask("long.example");
    let seen = bench.sent().unwrap();
    let mut message = seen.answer(0, &[], &[]);
    message[2] |= 2;
    bench.reply(&seen, &message);
    assert_eq!(bench.tcp.remote, Some(SocketAddr::new(FIRST, 53)));
    assert_eq!(bench.dns.counters.truncated.get(), 1);
    (bench, question)
}

/// The connection is open now; the question that came over it.
fn opened(bench: &mut Bench) -> Seen {
    bench.tcp.status.phase = Phase::Open;
    news(bench);
    let sent = core::mem::take(&mut bench.tcp.sent);
    let (length, message) = sent.split_first_chunk().unwrap();
    assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
    Seen::new(Socket(0), FIRST, message)
}

fn news(bench: &mut Bench) {
    bench.tcp.news = true;
    bench.sweep();
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[test]
fn an_answer_comes_in_parts() {
    let (mut bench, question) = truncated();
    let seen = opened(&mut bench);
    assert_eq!(seen.short(), "long.example 1");
    assert_eq!(seen.bytes[12..25], *b"\x04long\x07example", "small letters");
    let records: Vec<_> = (1..=120).map(|number| a(number, 60)).collect();
    for part in framed(&seen.answer(0, &records, &[])).chunks(7) {
        assert_eq!(bench.outcome(question), "waits");
        bench.tcp.arrived.extend(part);
        news(&mut bench);
    }
    assert!(bench.outcome(question).starts_with("192.0.2.1 192.0.2.2"));
    assert_eq!(bench.tcp.released, 1);
    bench.expect_rest();
}

#[test]
fn a_connection_that_ends_early_leads_to_the_next_server() {
    for phase in [Phase::Reset, Phase::Unreachable, Phase::TimedOut, Phase::Closed] {
        let (mut bench, question) = truncated();
        bench.tcp.status.phase = phase;
        news(&mut bench);
        let seen = bench.sent().unwrap();
        assert_eq!((seen.server, bench.tcp.released), (SECOND, 1));
        bench.reply(&seen, &seen.answer(0, &[a(1, 60)], &[]));
        assert_eq!(bench.outcome(question), "192.0.2.1");
        bench.expect_rest();
    }
    let (mut bench, _) = truncated();
    let seen = opened(&mut bench);
    let answer = framed(&seen.answer(0, &[a(1, 60)], &[]));
    bench.tcp.arrived.extend(&answer[..answer.len() - 1]);
    bench.tcp.status.finished = true;
    news(&mut bench);
    assert_eq!(bench.sent().unwrap().server, SECOND, "the last byte was missing");
}

#[test]
fn what_is_truncated_or_another_answer_leads_to_the_next_server() {
    let (mut bench, _) = truncated();
    let seen = opened(&mut bench);
    let mut cut = seen.answer(0, &[], &[]);
    cut[2] |= 2;
    let mut other = seen.answer(0, &[a(1, 60)], &[]);
    other[0] ^= 1;
    for bytes in [framed(&cut), framed(&other), framed(b"")] {
        let (mut bench, _) = truncated();
        opened(&mut bench);
        bench.tcp.arrived.extend(bytes);
        news(&mut bench);
        assert_eq!(bench.sent().unwrap().server, SECOND);
        assert_eq!((bench.tcp.released, bench.tcp.remote), (1, None));
    }
}

#[test]
fn of_what_is_too_long_the_first_records_count() {
    let (mut bench, question) = truncated();
    let seen = opened(&mut bench);
    let long = record(&wire("other.example"), 16, 60, &[b'x'; 200]);
    let mut message = seen.answer(0, &[&[a(1, 60)][..], &vec![long; 250]].concat(), &[]);
    message[6..8].copy_from_slice(&251_u16.to_be_bytes());
    for part in framed(&message).chunks(1000) {
        assert_eq!((bench.outcome(question).as_str(), bench.tcp.released), ("waits", 0));
        bench.tcp.arrived.extend(part);
        news(&mut bench);
        if bench.tcp.released > 0 {
            break;
        }
    }
    assert_eq!(bench.outcome(question), "192.0.2.1");
    bench.tcp.arrived.clear();
    bench.expect_rest();
}

#[test]
fn a_connection_that_says_nothing_is_given_up_in_time() {
    let (mut bench, _) = truncated();
    opened(&mut bench);
    bench.pass(2_001);
    assert_eq!((bench.sent().unwrap().server, bench.tcp.released), (SECOND, 1));
    assert_eq!(bench.dns.counters.timeouts.get(), 1);
}

#[test]
fn without_a_route_the_next_server_is_asked() {
    let mut bench = Bench::new();
    bench.tcp.no_route = true;
    bench.ask("long.example");
    let seen = bench.sent().unwrap();
    let mut message = seen.answer(0, &[], &[]);
    message[2] |= 2;
    bench.reply(&seen, &message);
    bench.sweep();
    assert_eq!(bench.sent().unwrap().server, SECOND);
}
