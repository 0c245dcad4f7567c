//! What arrives before the client has shown to be there, and may be a copy (RFC 8470).

use super::wire::{Bench, CONFIG, Line, TASKS};
use super::{hello, status};
use alloc::format;
use alloc::string::String;
use waitless::Duration;
use waitless::http::{Finished, Handler, Request, Response, Router, Status};

static STATIC: crate::Config = CONFIG;

async fn mark(mut request: Request) -> Response {
    let body = request.collect(1 << 20).await.unwrap_or_default().len();
    let early = request.is_early();
    request.text(format_args!("{} {early} {body}", request.head().method_name()))
}

/// Does nothing for a request that may be a copy.
async fn pay(request: Request) -> Result<&'static str, Status> {
    if request.is_early() { Err(Status::TOO_EARLY) } else { Ok("paid") }
}

async fn switch(request: Request) -> Result<Finished, Response> {
    let upgraded = request.upgrade("other", Response::new(Status::SWITCHING_PROTOCOLS))?;
    Ok(upgraded.finish().await)
}

fn site() -> impl Handler {
    Router::new()
        .get("/", mark)
        .post("/", mark)
        .put("/", mark)
        .delete("/", mark)
        .get("/pay", pay)
        .get("/switch", switch)
        .get("/hello", hello)
}

fn bench() -> Bench<impl Handler> {
    let bench = Bench::new(site());
    assert!(bench.wire.takes_early);
    bench
}

/// The connection is one with early data until [`complete`].
fn early(bench: &mut Bench<impl Handler>) -> usize {
    let line = bench.connect();
    bench.wire.lines[line].early = true;
    line
}

fn complete(bench: &mut Bench<impl Handler>, line: usize) -> String {
    bench.wire.lines[line].early = false;
    bench.wire.report(line);
    bench.settle();
    bench.taken(line)
}

#[test]
fn a_request_that_does_no_harm_is_answered_at_once_and_marked() {
    let mut bench = bench();
    for (method, body) in [("GET", ""), ("GET", "Content-Length: 3\r\n\r\nabc")] {
        let line = early(&mut bench);
        let end = if body.is_empty() { "\r\n" } else { "" };
        let ask = format!("{method} / HTTP/1.1\r\nHost: h\r\n{body}{end}");
        let length = if body.is_empty() { 0 } else { 3 };
        let answer = bench.ask(line, ask.as_bytes());
        assert!(answer.ends_with(&format!("GET true {length}")), "{answer}");
        // The next one on the same connection, once that is complete, is not.
        assert_eq!(complete(&mut bench, line), "");
        let answer = bench.ask(line, ask.as_bytes());
        assert!(answer.ends_with(&format!("GET false {length}")), "{answer}");
    }
    for (method, expected) in [("HEAD", "200"), ("OPTIONS", "204")] {
        let line = early(&mut bench);
        let ask = format!("{method} /hello HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&bench.ask(line, ask.as_bytes())), expected, "{method}");
    }
}

#[test]
fn others_wait_until_the_handshake_is_complete() {
    let mut bench = bench();
    let body = "x".repeat(20_000);
    for (method, fields) in [
        ("POST", "Content-Length: 20000\r\n"),
        ("PUT", "Content-Length: 20000\r\n"),
        ("DELETE", "Content-Length: 20000\r\n"),
        ("GET", "uPGRADE: other\r\nConnection: upgrade\r\nContent-Length: 20000\r\n"),
    ] {
        for pieces in [1, 7] {
            let line = early(&mut bench);
            let ask = format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}");
            for piece in ask.as_bytes().chunks(ask.len().div_ceil(pieces)) {
                assert_eq!(bench.ask(line, piece), "", "{method}");
            }
            let before = bench.count("requests");
            bench.pass(Duration::from_secs(5));
            assert_eq!((bench.taken(line).len(), bench.count("requests")), (0, before));
            let answer = complete(&mut bench, line);
            assert!(answer.ends_with(&format!("{method} false 20000")), "{answer}");
        }
    }
}

/// How long it waits is up to the port below, whose handshake has its own time.
#[test]
fn what_waits_has_all_the_time_that_the_handshake_has() {
    let mut bench = bench();
    let of = |method: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
    for (asks, answered) in [(of("GET") + &of("POST"), "GET true 0"), (of("POST"), "")] {
        let line = early(&mut bench);
        assert!(bench.ask(line, asks.as_bytes()).ends_with(answered));
        bench.pass(Duration::from_secs(11));
        assert_eq!(bench.taken(line), "");
        bench.pass(Duration::from_secs(80));
        assert_eq!(bench.taken(line), "");
        let answer = complete(&mut bench, line);
        assert!(answer.ends_with("POST false 0"), "{answer}");
    }
}

#[test]
fn of_several_requests_the_first_that_may_do_harm_waits_and_so_do_all_behind_it() {
    let mut bench = bench();
    let line = early(&mut bench);
    let of = |method: &str, fields: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let post = of("POST", "Content-Length: 0\r\n");
    let all = [of("GET", ""), of("GET", ""), post, of("GET", "")].concat();
    let answer = bench.ask(line, all.as_bytes());
    assert_eq!(answer.matches("GET true 0").count(), 2, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 2, "{answer}");
    let answer = complete(&mut bench, line);
    assert!(answer.contains("POST false 0") && answer.ends_with("GET false 0"), "{answer}");
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn a_handler_may_want_to_be_asked_again() {
    let mut bench = bench();
    let line = early(&mut bench);
    let ask = b"GET /pay HTTP/1.1\r\nHost: h\r\n\r\n";
    let answer = bench.ask(line, ask);
    assert!(answer.starts_with("HTTP/1.1 425 Too Early\r\n"), "{answer}");
    complete(&mut bench, line);
    assert!(bench.ask(line, ask).ends_with("paid"));
    // A gateway may say that it is early, and nobody here knows better, whatever the value.
    for value in ["1", "0", ""] {
        let ask = format!("GET /pay HTTP/1.1\r\nHost: h\r\nearly-data: {value}\r\n\r\n");
        assert_eq!(status(&bench.once(ask.as_bytes())), "425", "{value}");
    }
}

/// The connection ends while the first of its requests is answered, and the second is looked at
/// before anybody says so.
#[test]
fn nothing_is_handed_over_of_a_connection_that_has_ended() {
    type End = fn(&mut Line);
    let ends: [(&str, End); 3] = [
        ("a reset", |line| line.reset = true),
        ("a reset, nothing of it early", |line| (line.reset, line.early) = (true, false)),
        ("an end", |line| (line.closed, line.finished) = (true, true)),
    ];
    for (name, end) in ends {
        let mut bench = Bench::with(&STATIC, &TASKS, site(), 100);
        let line = early(&mut bench);
        let of = |method: &str| format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        bench.deliver(line, [of("GET"), of("POST")].concat().as_bytes());
        // The first is handed over, answered and sent in one sweep.
        bench.sweep();
        assert_eq!(bench.count("requests"), 1, "{name}");
        end(&mut bench.wire.lines[line]);
        bench.settle();
        assert_eq!((bench.count("requests"), bench.count("open")), (1, 0), "{name}");
        assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
    }
}

#[test]
fn what_waits_is_forgotten_when_its_connection_ends() {
    let mut bench = Bench::with(&STATIC, &TASKS, site(), 100);
    for _ in 0..3 {
        let line = early(&mut bench);
        let ask = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(bench.ask(line, ask), "");
        bench.wire.lines[line].reset = true;
        bench.wire.report(line);
        bench.settle();
    }
    assert_eq!((bench.count("open"), bench.count("requests")), (0, 0));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}
