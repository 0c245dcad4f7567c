//! Requests changed at random: nothing panics, nothing is lost, and the answer does not depend on
//! how the bytes were cut.

use super::site;
use super::wire::Bench;
use crate::parse::{Limits, parse};
use alloc::string::String;
use alloc::vec::Vec;
use waitless::http::wire::chunked::Decoder;
use waitless::http::{Head, HeadBytes};
use waitless::{Duration, Random};

const SEEDS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /show?a=b HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nX: y\r\n\r\n\
     GET / HTTP/1.0\r\n\r\n",
    "POST /show HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n\
     abcdeGET /page HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
     3;x=\"y\"\r\nabc\r\n0\r\nT: u\r\n\r\n",
    "POST /show HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nHEAD http://h/count?bytes=9 HTTP/1.1\r\nHost: h\r\n\r\n",
];

const SPICES: &[&str] = &[
    "\r\n",
    "\r",
    "\n",
    "\0",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "0",
    "ffffffffffffffff",
    "Host: h\r\n",
    "Content-Length: 1\r\n",
    "Transfer-Encoding: chunked\r\n",
    "HTTP/1.0",
    "\u{e9}",
    "\"",
    "#",
];

fn mutate(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::from(SEEDS[random.below(SEEDS.len() as u64) as usize]);
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64 + 1) as usize;
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.u32() as u8,
            1 if at < bytes.len() => {
                bytes.remove(at);
            }
            2 => bytes.truncate(at),
            3 => {
                let end = (at + random.below(20) as usize).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let spice = SPICES[random.below(SPICES.len() as u64) as usize];
                bytes.splice(at..at, spice.bytes());
            }
        }
    }
    bytes
}

/// What a client sees of the server's behaviour.
fn outcome<H: waitless::http::Handler>(
    bench: &mut Bench<H>,
    bytes: &[u8],
    random: Option<&mut Random>,
) -> (String, bool, bool) {
    let line = bench.connect();
    match random {
        None => bench.deliver(line, bytes),
        Some(random) => {
            let mut rest = bytes;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
                bench.deliver(line, now);
                bench.settle();
                rest = later;
            }
        }
    }
    bench.settle();
    let aborted = bench.wire.lines[line].aborted;
    let closed = bench.wire.lines[line].closed;
    bench.finish(line);
    bench.settle();
    bench.pass(Duration::from_secs(6));
    assert!(bench.wire.lines[line].released, "{}", String::from_utf8_lossy(bytes));
    let sent = core::mem::take(&mut bench.wire.lines[line].sent);
    (String::from_utf8_lossy(&sent).into_owned(), aborted, closed)
}

#[test]
fn mutated_requests_are_answered_the_same_however_they_are_cut() {
    let mut random = Random::new([42; 32]);
    let mut bench = Bench::new(site());
    for _ in 0..4_000 {
        let bytes = mutate(&mut random);
        let (mut whole, ..) = outcome(&mut bench, &bytes, None);
        let (mut cut, ..) = outcome(&mut bench, &bytes, Some(&mut random));
        // Chunks of an echo, and the word to go on, follow the cuts.
        let follows_cuts = |text: &str| text.contains("chunked") || text.contains("100 Continue");
        if follows_cuts(&whole) || follows_cuts(&cut) {
            for text in [&mut whole, &mut cut] {
                text.retain(|c| c.is_ascii_alphabetic());
                *text = text.replace("HTTPContinue", "");
            }
            continue;
        }
        assert_eq!(whole, cut, "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!((bench.count("open"), bench.count("tasks")), (0, 0));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn the_parser_judges_a_prefix_as_it_judges_the_whole() {
    let limits = Limits { head: 200, line: 60, fields: 5, secure: false };
    let mut random = Random::new([43; 32]);
    for _ in 0..4_000 {
        let bytes = mutate(&mut random);
        let whole = parse(&bytes, &limits);
        for end in 0..bytes.len() {
            match parse(&bytes[..end], &limits) {
                Ok(None) => {}
                decided => assert_eq!(decided, whole, "{:?}", String::from_utf8_lossy(&bytes)),
            }
        }
    }
}

/// What is smuggled is what two parsers read differently: whatever is accepted here, `httparse`
/// must read as the same request of the same length, and what it refuses must be refused here.
#[test]
fn a_well_kept_parser_reads_the_same_in_what_is_accepted() {
    let limits = Limits { head: 4096, line: 1024, fields: 60, secure: false };
    let mut random = Random::new([45; 32]);
    let mut compared = 0;
    for _ in 0..40_000 {
        let bytes = mutate(&mut random);
        let Ok(Some(parsed)) = parse(&bytes, &limits) else { continue };
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let text = String::from_utf8_lossy(&bytes);
        match request.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => assert_eq!(length, parsed.length, "{text:?}"),
            // A minor version that nobody has defined is read as the highest that somebody has.
            Err(httparse::Error::Version) => {
                let line = text.trim_start().lines().next().unwrap();
                assert!(!line.ends_with("HTTP/1.1") && !line.ends_with("HTTP/1.0"), "{text:?}");
                continue;
            }
            other => panic!("{other:?} {text:?}"),
        }
        let at = |span: waitless::http::Span| &bytes[span.start.into()..span.end.into()];
        assert_eq!(request.method.unwrap().as_bytes(), at(parsed.layout.name), "{text:?}");
        assert_eq!(request.path.unwrap().as_bytes(), at(parsed.layout.target), "{text:?}");
        let memory = HeadBytes::Memory(bytes[..parsed.length].into());
        let head = Head::new(memory, parsed.layout);
        let ours = head.fields();
        let theirs = request.headers.iter().map(|field| (field.name, field.value.trim_ascii()));
        assert!(ours.eq(theirs), "{text:?}");
        compared += 1;
    }
    assert!(compared > 1000, "{compared} of them were accepted");
}

#[test]
fn the_chunk_decoder_finds_the_same_body_however_it_is_cut() {
    let mut random = Random::new([44; 32]);
    let seed = "3;x=\"y\"\r\nabc\r\n00a \t;\r\n0123456789\r\n0\r\nT: u\r\n\r\nGET /";
    for _ in 0..20_000 {
        let mut bytes = Vec::from(seed);
        for _ in 0..random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            let spice = SPICES[random.below(SPICES.len() as u64) as usize];
            match random.below(2) {
                0 => bytes[at] = random.u32() as u8,
                _ => drop(bytes.splice(at..at, spice.bytes())),
            }
        }
        let whole = decode(&bytes, |rest| rest);
        let cut = decode(&bytes, |rest| 1 + random.below(rest as u64) as usize);
        assert_eq!(whole, cut, "{:?}", String::from_utf8_lossy(&bytes));
    }
}

/// The body, and how many bytes were used if it is complete; `None` when it is malformed.
fn decode(bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> Option<(Vec<u8>, Option<usize>)> {
    let mut decoder = Decoder::new();
    let (mut body, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let mut piece = bytes[at..at + cut(bytes.len() - at)].to_vec();
        let progress = decoder.decode(&mut piece).ok()?;
        body.extend_from_slice(&piece[..progress.data]);
        at += progress.used;
        if progress.done {
            return Some((body, Some(at)));
        }
        assert_eq!(progress.used, piece.len());
    }
    Some((body, None))
}
