//! Responses that break off: the client must see it, and lose nothing that came before.

use super::wire::Bench;
use super::{site, status};
use alloc::format;
use alloc::string::String;
use waitless::Duration;

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn what_was_not_sent_becomes_a_500() {
    for path in ["/count?bytes=20&announced=10", "/drop", "/drop-empty"] {
        let mut bench = Bench::new(site());
        let line = bench.connect();
        let response = bench.ask(line, get(path).as_bytes());
        assert_eq!(status(&response), "500", "{path}: {response}");
        assert!(response.contains("\r\nConnection: close\r\n"), "{path}: {response}");
        assert!(response.contains("\r\nContent-Length: 21\r\n"), "{path}: {response}");
        assert!(response.ends_with("\r\n\r\nInternal Server Error"), "{path}: {response}");
        assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted, "{path}");
        assert_eq!((bench.count("tasks"), bench.count("aborted")), (0, 1), "{path}");
    }
}

#[test]
fn what_was_sent_in_part_ends_early() {
    for (path, body) in [
        ("/count?bytes=10&announced=20", "zzzzzzzzzz"),
        ("/give-up", "9\r\nsomething"),
        ("/give-up?announced=10", "something"),
    ] {
        let mut bench = Bench::new(site());
        let line = bench.connect();
        // One that is complete goes before it, and one that is never answered behind it.
        let pipeline = [get("/"), get(path), get("/")].concat();
        let response = bench.ask(line, pipeline.as_bytes());
        assert!(response.contains("\r\n\r\nhelloHTTP/1.1 200 OK\r\n"), "{path}: {response}");
        assert!(response.ends_with(&format!("\r\n\r\n{body}")), "{path}: {response}");
        let (closed, aborted) = (bench.wire.lines[line].closed, bench.wire.lines[line].aborted);
        assert!(closed && !aborted, "{path}: a reset would overtake what was sent");
        assert_eq!((bench.count("tasks"), bench.count("broken_off")), (0, 1), "{path}");
        bench.finish(line);
        bench.settle();
        assert!(bench.wire.lines[line].released, "{path}");
        assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
    }
}

/// RFC 9112, section 8: without framing, an end in agreement would make a response look complete.
#[test]
fn what_only_the_end_would_end_is_reset_once_the_rest_has_arrived() {
    for unacknowledged in [0, 100] {
        let mut bench = Bench::new(site());
        let line = bench.connect();
        bench.wire.lines[line].unacknowledged = unacknowledged;
        let old = "HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let response = bench.ask(line, format!("GET / {old}GET /give-up {old}").as_bytes());
        assert!(response.contains("\r\n\r\nhelloHTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nsomething"), "{response}");
        assert_eq!(bench.wire.lines[line].aborted, unacknowledged == 0);
        bench.pass(Duration::from_secs(3));
        assert!(bench.wire.lines[line].aborted && bench.wire.lines[line].released);
        assert!(!bench.wire.lines[line].closed);
        assert_eq!((bench.count("tasks"), bench.count("open")), (0, 0));
    }
}

#[test]
fn a_request_that_breaks_off_does_not_take_earlier_responses_with_it() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let post = "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = bench.ask(line, [get("/").as_str(), post, "3\r\nabc\r\n"].concat().as_bytes());
    assert!(response.ends_with("\r\n\r\n3\r\nabc"), "{response}");
    assert_eq!(bench.ask(line, b"x\r\n"), "", "no last chunk");
    assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted);
    assert_eq!((bench.count("tasks"), bench.count("abandoned")), (0, 1));
}

#[test]
fn a_complete_response_stays_whole_when_the_rest_of_its_request_is_broken() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.wire.lines[line].window = 5000;
    // The handler asks for the body, and answers without the end of it.
    let post = "POST /peek HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    bench.ask(line, format!("{post}3\r\nabc\r\n").as_bytes());
    bench.ask(line, b"x\r\n");
    bench.wire.lines[line].window = usize::MAX;
    bench.wire.report(line);
    bench.settle();
    assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted);
    assert_eq!(bench.count("broken_off"), 0);
}

#[test]
fn a_head_that_was_sent_is_not_followed_by_another_one() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let put = "PUT /hollow HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = bench.ask(line, put.as_bytes());
    assert!(response.ends_with("\r\nTransfer-Encoding: chunked\r\n\r\n"), "{response}");
    // The last chunk has to wait, and the request turns out to be broken.
    bench.wire.lines[line].window = 0;
    bench.pass(Duration::from_secs(2));
    bench.deliver(line, b"z\r\n");
    bench.settle();
    bench.wire.lines[line].window = usize::MAX;
    bench.wire.report(line);
    bench.settle();
    assert_eq!(bench.taken(line), "0\r\n\r\n");
}

#[test]
fn the_end_of_chunks_finds_its_way_through_a_full_outbox() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    // Packets without headroom, so that each chunk takes two places.
    let response = bench.ask(line, get("/bare?count=40").as_bytes());
    assert!(response.ends_with("\r\n0\r\n\r\n"), "{response}");
    assert_eq!(bench.count("tasks"), 0);
}
