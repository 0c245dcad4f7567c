//! Bodies, both ways.

use super::wire::{Bench, CONFIG};
use super::{site, status};
use crate::Config;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use waitless::Duration;
use waitless::http::{Files, ServerConfig};

fn chunked(body: &str) -> String {
    format!("POST /show HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn every_rule_of_chunks_is_kept() {
    let long_extension = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(5000));
    let many_extensions = format!("{}0\r\n\r\n", "1;a=bcdefghijklmnopqrstu\r\nx\r\n".repeat(900));
    let long_trailer = format!("0\r\nX: {}\r\n\r\n", "x".repeat(5000));
    let cases: &[(&str, &str)] = &[
        ("0\r\n\r\n", "[]"),
        ("3\r\nabc\r\n0\r\n\r\n", "[abc]"),
        ("3\r\nabc\r\n2\r\nde\r\n000\r\n\r\n", "[abcde]"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "[0123456789]"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "[0123456789]"),
        ("3;x\r\nabc\r\n0;y=z\r\n\r\n", "[abc]"),
        ("3;x=\"a;b\\\"\"\r\nabc\r\n0\r\n\r\n", "[abc]"),
        ("3 ;x\r\nabc\r\n0\r\n\r\n", "[abc]"),
        ("0000000000000003\r\nabc\r\n0\r\n\r\n", "[abc]"),
        ("3\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n", "[abc]"),
        ("00000000000000003\r\nabc\r\n0\r\n\r\n", "400"),
        ("10000000000000000\r\nabc\r\n0\r\n\r\n", "400"),
        ("fffffffffffffffff\r\nabc\r\n0\r\n\r\n", "400"),
        ("0x3\r\nabc\r\n0\r\n\r\n", "400"),
        ("+3\r\nabc\r\n0\r\n\r\n", "400"),
        ("-3\r\nabc\r\n0\r\n\r\n", "400"),
        ("1_0\r\nabc\r\n0\r\n\r\n", "400"),
        ("\r\nabc\r\n0\r\n\r\n", "400"),
        (" 3\r\nabc\r\n0\r\n\r\n", "400"),
        ("3 \r\nabc\r\n0\r\n\r\n", "400"),
        ("3\nabc\r\n0\r\n\r\n", "400"),
        ("3\rabc\r\n0\r\n\r\n", "400"),
        ("3\r\nabcd\r\n0\r\n\r\n", "400"),
        ("3\r\nabc0\r\n\r\n", "400"),
        ("3\r\nabc\n0\r\n\r\n", "400"),
        ("3\r\nabc\r0\r\n\r\n", "400"),
        ("3;x\nabc\r\n0\r\n\r\n", "400"),
        ("3;x\"a\r\nabc\"\r\n0\r\n\r\n", "400"),
        ("3;x=\"\0\"\r\nabc\r\n0\r\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\nX y\r\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\n: y\r\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\nX : y\r\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\nX: y\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\nX: \0\r\n\r\n", "400"),
        ("3\r\nabc\r\n0\r\n\n", "400"),
        (&long_extension, "400"),
        (&many_extensions, "400"),
        (&long_trailer, "400"),
    ];
    let mut bench = Bench::new(site());
    for &(body, expected) in cases {
        let request = chunked(body);
        for place in [request.len()].into_iter().chain(1..request.len().min(300)) {
            let line = bench.connect();
            let (front, back) = request.as_bytes().split_at(place);
            bench.deliver(line, front);
            bench.settle();
            let response = bench.ask(line, back);
            if expected == "400" {
                assert_eq!(status(&response), "400", "{body:?} split at {place}\n{response}");
            } else {
                assert_eq!(status(&response), "200", "{body:?} split at {place}\n{response}");
                assert!(response.ends_with(expected), "{body:?} split at {place}\n{response}");
            }
            bench.finish(line);
            bench.settle();
        }
    }
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn what_follows_a_chunked_body_is_the_next_request() {
    let mut bench = Bench::new(site());
    let two = format!("{}{}", chunked("3\r\nabc\r\n0\r\n\r\n"), chunked("1\r\nz\r\n0\r\n\r\n"));
    for place in 1..two.len() {
        let line = bench.connect();
        bench.deliver(line, &two.as_bytes()[..place]);
        bench.settle();
        let response = bench.ask(line, &two.as_bytes()[place..]);
        let first = response.find("[abc]").unwrap();
        assert!(response[first..].contains("[z]"), "split at {place}: {response}");
    }
}

#[test]
fn a_body_streams_through_in_both_codings() {
    let mut bench = Bench::new(site());
    let body: Vec<u8> = (0..60_000_u32).map(|number| (number % 251) as u8).collect();
    for coded in [false, true] {
        let line = bench.connect();
        let framing = if coded { "Transfer-Encoding: chunked" } else { "Content-Length: 60000" };
        bench.deliver(
            line,
            format!("POST /echo HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n").as_bytes(),
        );
        for piece in body.chunks(997) {
            if coded {
                bench.deliver(line, format!("{:x}\r\n", piece.len()).as_bytes());
            }
            bench.deliver(line, piece);
            if coded {
                bench.deliver(line, b"\r\n");
            }
            bench.sweep();
        }
        if coded {
            bench.deliver(line, b"0\r\n\r\n");
        }
        bench.settle();
        let response = core::mem::take(&mut bench.wire.lines[line].sent);
        let at = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = core::str::from_utf8(&response[..at]).unwrap();
        assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
        assert!(dechunk(&response[at..]) == body, "the echo differs");
        assert!(bench.ask(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
    }
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let at = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(core::str::from_utf8(&bytes[..at]).unwrap(), 16).unwrap();
        if size == 0 {
            assert_eq!(&bytes[at..], b"\r\n\r\n");
            return body;
        }
        body.extend_from_slice(&bytes[at + 2..at + 2 + size]);
        assert_eq!(&bytes[at + 2 + size..][..2], b"\r\n");
        bytes = &bytes[at + 4 + size..];
    }
}

#[test]
fn a_response_that_was_not_sent_can_still_become_a_refusal() {
    let mut bench = Bench::new(site());
    let bad = b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
    let line = bench.connect();
    assert_eq!(status(&bench.ask(line, bad)), "400");
    assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted);
    assert_eq!(bench.count("tasks"), 0);
}

#[test]
fn a_short_streamed_response_leaves_in_one_packet() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    for (framing, body) in
        [("Content-Length: 3", "abc"), ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")]
    {
        let before = bench.wire.lines[line].packets_sent;
        let request = format!("POST /echo HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n{body}");
        let response = bench.ask(line, request.as_bytes());
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert!(response.ends_with(chunked), "{response}");
        assert_eq!(bench.wire.lines[line].packets_sent - before, 1, "{framing}");
    }
    let before = bench.wire.lines[line].packets_sent;
    let response = bench.ask(line, b"GET /count?bytes=1000 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response.len() - response.find("\r\n\r\n").unwrap() - 4, 1000);
    assert_eq!(bench.wire.lines[line].packets_sent - before, 1);
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn an_old_client_gets_no_chunks() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let response = bench.ask(
        line,
        b"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert!(response.ends_with("Connection: close\r\n\r\nabc"), "{response}");
    assert!(!response.contains("chunked") && !response.contains("Content-Length"), "{response}");
    assert!(bench.wire.lines[line].closed);
}

#[test]
fn a_head_request_gets_the_head_of_a_get() {
    let mut bench = Bench::new(site());
    for path in ["/", "/page", "/count?bytes=100000", "/nothing", "/named/a/2", "/none"] {
        let get = bench.once(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let line = bench.connect();
        let head = bench.ask(line, format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert_eq!(head, &get[..get.find("\r\n\r\n").unwrap() + 4], "{path}");
        assert!(bench.ask(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"), "{path}");
    }
}

#[test]
fn a_response_without_a_body_has_no_framing() {
    let mut bench = Bench::new(site());
    let response = bench.once(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(response, "HTTP/1.1 204 No Content\r\n\r\n");
    let response = bench.once(b"PUT /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.contains("Allow: DELETE, GET, HEAD, OPTIONS\r\n"), "{response}");
}

#[test]
fn a_response_without_content_that_may_have_had_some_says_so() {
    // RFC 9112, section 6.3: without framing, a 205 would end with the connection.
    let mut bench = Bench::new(site());
    let reset = "HTTP/1.1 205 Reset Content\r\n";
    let response = bench.once(b"GET /status/205 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.starts_with(reset), "{response}");
    assert!(response.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{response}");
    let response = bench.once(b"GET /status/304 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(!response.contains("Content-Length"), "{response}");
    assert!(response.ends_with("\r\n\r\n"), "{response}");
}

#[test]
fn an_interim_status_is_no_response() {
    let mut bench = Bench::new(site());
    for status_code in ["100", "101", "199"] {
        let request = format!("GET /status/{status_code} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(status(&bench.once(request.as_bytes())), "500", "{status_code}");
    }
}

#[test]
fn a_head_request_costs_no_more_than_its_head() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let head = b"HEAD /count?bytes=1000000000000 HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = bench.ask(line, head);
    assert!(response.ends_with("Content-Length: 1000000000000\r\n\r\n"), "{response}");
    assert_eq!((bench.count("tasks"), bench.count("abandoned"), bench.count("broken")), (0, 0, 0));
    assert!(bench.ask(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
}

#[test]
fn what_is_refused_has_no_body_where_only_a_head_was_asked_for() {
    let mut bench = Bench::new(site());
    for bad in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "\r\nHEAD / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n",
        "HEAD /show HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n",
    ] {
        let response = bench.once(bad.as_bytes());
        assert!(status(&response).starts_with('4'), "{response}");
        assert!(response.ends_with("\r\n\r\n"), "{response}");
        assert_eq!(response.matches("\r\n\r\n").count(), 1, "{response}");
    }
}

#[test]
fn a_long_static_body_goes_out_in_segments() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let response = bench.ask(line, b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(response.contains("Content-Length: 10000\r\n"), "{}", &response[..200]);
    assert_eq!(response.len() - response.find("\r\n\r\n").unwrap() - 4, 10_000);
    assert_eq!(bench.wire.lines[line].packets_sent, 7);
}

#[test]
fn a_client_that_waits_is_told_to_go_on_only_when_its_body_is_wanted() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let head =
        b"POST /show HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(bench.ask(line, head), "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(bench.ask(line, b"abc").ends_with("[abc]"));
    assert!(!bench.wire.lines[line].closed);
    // Without waiting for it.
    let both = [head.as_slice(), b"abc"].concat();
    assert!(bench.ask(line, &both).ends_with("[abc]"));
    // Nobody reads the body: the final status comes at once, and then the end.
    let line = bench.connect();
    let head =
        b"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let response = bench.ask(line, head);
    assert_eq!(status(&response), "404");
    assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
    assert!(bench.wire.lines[line].closed);
}

#[test]
fn a_client_that_waits_is_told_to_go_on_before_a_streamed_response() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let head =
        b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let response = bench.ask(line, head);
    let final_one = response.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").expect(&response);
    assert_eq!(status(final_one), "200");
    assert_eq!(bench.ask(line, b"abc"), "3\r\nabc\r\n0\r\n\r\n");
    assert!(bench.ask(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
}

#[test]
fn a_client_that_waits_is_refused_by_a_streamed_response_too() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let head =
        b"PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let response = bench.ask(line, head);
    assert_eq!(status(&response), "413", "nothing before that: {response}");
    assert!(response.contains("\r\nConnection: close\r\n"), "the body may follow or not");
    assert!(bench.wire.lines[line].closed);
    // Sent elsewhere, the client takes its body there.
    let line = bench.connect();
    let head =
        b"PUT /elsewhere HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let response = bench.ask(line, head);
    assert_eq!(status(&response), "307", "nothing before that: {response}");
    assert!(bench.wire.lines[line].closed);
    // Where nobody waits, the connection goes on.
    let line = bench.connect();
    let head = b"PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    assert!(!bench.ask(line, head).contains("Connection"));
    assert!(bench.ask(line, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
}

#[test]
fn a_body_that_nobody_reads_is_drained_or_ends_the_connection() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let small = b"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
        GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = bench.ask(line, small);
    assert!(response.starts_with("HTTP/1.1 404") && response.ends_with("hello"), "{response}");
    let large = b"POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n";
    let response = bench.ask(line, large);
    assert_eq!(status(&response), "404");
    assert!(response.contains("\r\nConnection: close\r\n"), "{response}");
    assert!(bench.wire.lines[line].closed);
    // In chunks, with a broken one: the response stays whole, then the end.
    let line = bench.connect();
    let broken = chunked("3\r\nabc\r\nzzz").replace("/show", "/none");
    assert_eq!(status(&bench.ask(line, broken.as_bytes())), "404");
    assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted);
}

#[test]
fn a_slow_reader_holds_its_handler_up_and_costs_few_packets() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.wire.lines[line].window = 3000;
    bench.deliver(line, b"GET /count?bytes=1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.settle();
    let held = bench.pool().count() - bench.pool().available();
    assert!(held <= 20, "{held} packets are held");
    assert!(bench.wire.lines[line].sent.len() > 1500);
    // Others are served in the meantime.
    assert!(bench.once(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
    for _ in 0..1000 {
        bench.wire.lines[line].window += 2000;
        bench.wire.report(line);
        bench.settle();
    }
    let response = bench.taken(line);
    assert_eq!(response.len() - response.find("\r\n\r\n").unwrap() - 4, 1_000_000);
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn a_reader_that_stops_is_reset() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.wire.lines[line].window = 3000;
    bench.deliver(line, b"GET /count?bytes=1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.settle();
    bench.pass(Duration::from_secs(19));
    assert!(!bench.wire.lines[line].aborted);
    bench.pass(Duration::from_secs(2));
    assert!(bench.wire.lines[line].aborted && bench.wire.lines[line].released);
    assert_eq!((bench.count("stalled"), bench.count("tasks"), bench.count("abandoned")), (1, 0, 1));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn bodies_that_are_too_long_or_too_slow_are_refused() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.deliver(line, chunked("").replace("/show", "/echo").as_bytes());
    let response = bench.ask(line, b"4\r\nabcd\r\n");
    assert_eq!(status(&response), "200");
    bench.pass(Duration::from_secs(31));
    // An answer that was begun cannot become a 408, and must not look complete.
    assert_eq!(bench.taken(line), "");
    assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].aborted);
    let line = bench.connect();
    bench.ask(line, chunked("3\r\nabc").as_bytes());
    bench.pass(Duration::from_secs(31));
    assert_eq!(status(&bench.taken(line)), "408");
    static SMALL: Config = Config { body_limit: Some(10), ..CONFIG };
    static TASKS: ServerConfig =
        ServerConfig { tasks: 64, patience: Duration::from_secs(60), files: Files::NONE };
    let mut bench = Bench::with(&SMALL, &TASKS, site(), 100);
    let response = bench.once(chunked("6\r\nabcdef\r\n6\r\nabcdef\r\n0\r\n\r\n").as_bytes());
    assert_eq!(status(&response), "413");
}
