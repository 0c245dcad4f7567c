//! Conversations over WebSocket, with a client that keeps the rules of RFC 6455 and breaks them.

use super::wire::{Bench, CONFIG};
use crate::Config;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use waitless::Duration;
use waitless::http::{
    CloseCode, Files, Finished, Handler, Request, Response, Router, ServerConfig, Status, WebSocket,
};

/// Sends everything back, but for some words.
async fn echo(request: Request) -> Result<Finished, Response> {
    if !request.is_same_origin() {
        return Err(Response::plain(Status::FORBIDDEN));
    }
    let mut socket = WebSocket::accept(request, &["chat", "superchat"], 10_000)?;
    while let Some(message) = socket.receive().await {
        match message.text() {
            Some("close") => return Ok(socket.close(CloseCode::GOING_AWAY, "as you wish").await),
            Some("ping") => socket.ping(b"there?").await,
            _ => socket.send(message).await,
        }
    }
    Ok(socket.close(CloseCode::NORMAL, "").await)
}

fn site() -> impl Handler {
    Router::new().get("/echo", echo).post("/post", echo)
}

fn request(fields: &[(&str, &str)]) -> String {
    let mut all = vec![
        ("Host", "h"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in fields {
        all.retain(|(other, _)| other != name);
        all.push((name, value));
    }
    let lines: String = all
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("GET /echo HTTP/1.1\r\n{lines}\r\n")
}

/// A frame as clients send it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        0..=125 => bytes.push(0x80 | payload.len() as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The same as servers send it.
fn answer(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first, payload);
    let mask = bytes.len() - payload.len() - 4;
    bytes.drain(mask..mask + 4);
    bytes.truncate(mask);
    bytes.extend(payload);
    bytes[1] &= 0x7f;
    bytes
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

struct Client<H: Handler> {
    bench: Bench<H>,
    line: usize,
}

fn client() -> Client<impl Handler> {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let response = bench.ask(line, request(&[]).as_bytes());
    assert!(response.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{response}");
    assert!(response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(response.contains("\r\nConnection: upgrade\r\n"), "{response}");
    assert!(response.contains("\r\nUpgrade: websocket\r\n"), "{response}");
    Client { bench, line }
}

impl<H: Handler> Client<H> {
    fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.bench.deliver(self.line, bytes);
        self.bench.settle();
        core::mem::take(&mut self.bench.wire.lines[self.line].sent)
    }

    fn is_closed(&self) -> bool {
        self.bench.wire.lines[self.line].closed
    }
}

#[test]
fn messages_of_every_length_come_back() {
    let mut client = client();
    for length in [0, 1, 2, 125, 126, 127, 1440, 1441, 2000, 9_999, 10_000] {
        let payload = vec![b'x'; length];
        for opcode in [0x81, 0x82] {
            assert_eq!(client.say(&frame(opcode, &payload)), answer(opcode, &payload), "{length}");
        }
    }
    let text = "\u{1f600} caf\u{e9}".as_bytes();
    assert_eq!(client.say(&frame(0x81, text)), answer(0x81, text));
    assert_eq!(client.say(&frame(0x82, b"\xff\xfe")), answer(0x82, b"\xff\xfe"));
    // Several at once, and one in single bytes.
    let two = [frame(0x81, b"one"), frame(0x81, b""), frame(0x82, b"two")].concat();
    let expected = [answer(0x81, b"one"), answer(0x81, b""), answer(0x82, b"two")].concat();
    assert_eq!(client.say(&two), expected);
    let answers: Vec<u8> = two.iter().flat_map(|byte| client.say(&[*byte])).collect();
    assert_eq!(answers, expected);
    assert!(!client.is_closed());
}

#[test]
fn a_message_may_come_in_frames_with_control_frames_between() {
    let mut client = client();
    let mut all = frame(0x01, b"\xf0\x9f");
    all.extend(frame(0x89, b"ping"));
    all.extend(frame(0x00, b"\x98"));
    all.extend(frame(0x00, b""));
    all.extend(frame(0x8a, b"nobody asked"));
    all.extend(frame(0x80, b"\x80!"));
    let expected = [answer(0x8a, b"ping"), answer(0x81, "\u{1f600}!".as_bytes())].concat();
    assert_eq!(client.say(&all), expected);
    let answers: Vec<u8> = all.iter().flat_map(|byte| client.say(&[*byte])).collect();
    assert_eq!(answers, expected);
    for piece in [100, 1000, 3000] {
        let payload = vec![b'y'; piece];
        let first = client.say(&frame(0x02, &payload));
        let second = client.say(&frame(0x00, &payload));
        assert!(first.is_empty() && second.is_empty());
        assert_eq!(client.say(&frame(0x80, &payload)), answer(0x82, &payload.repeat(3)));
    }
    assert_eq!(client.say(&frame(0x89, &[b'p'; 125])), answer(0x8a, &[b'p'; 125]));
    assert_eq!(client.say(&frame(0x89, b"")), answer(0x8a, b""));
    assert_eq!(client.say(&frame(0x81, b"ping")), answer(0x89, b"there?"));
    assert_eq!(client.say(&frame(0x8a, b"there?")), b"");
}

#[test]
fn who_breaks_a_rule_is_told_which_and_closed() {
    let long = vec![b'x'; 10_001];
    let halves = [frame(0x01, &long[..6000]), frame(0x80, &long[..6000])].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("reserved bit", frame(0xc1, b"a"), 1002),
        ("unknown opcode", frame(0x83, b"a"), 1002),
        ("unknown control", frame(0x8f, b"a"), 1002),
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a ping in pieces", frame(0x09, b"a"), 1002),
        ("not masked", answer(0x81, b"a"), 1002),
        ("nothing to continue", frame(0x80, b"a"), 1002),
        ("begun twice", [frame(0x01, b"a"), frame(0x81, b"b")].concat(), 1002),
        ("no text", frame(0x81, b"\xff"), 1007),
        ("no text in a piece", frame(0x01, b"\xed\xa0\x80"), 1007),
        ("half a character", frame(0x81, b"\xe2\x82"), 1007),
        ("half a character at the end", [frame(1, b"a\xe2"), frame(0x80, b"\x82")].concat(), 1007),
        ("too long", frame(0x81, &long), 1009),
        ("too long together", halves, 1009),
        ("endless", vec![0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], 1009),
        ("a close of one byte", frame(0x88, b"\x03"), 1002),
        ("a close with a code for nobody", frame(0x88, &close(1005, "")), 1002),
        ("a close with an unknown code", frame(0x88, &close(1100, "")), 1002),
        ("a close without text", frame(0x88, b"\x03\xe8\xff"), 1007),
    ];
    for (rule, bytes, code) in cases {
        let mut client = client();
        assert_eq!(client.say(&bytes), answer(0x88, &close(code, "")), "{rule}");
        assert!(client.is_closed(), "{rule}");
        client.bench.finish(client.line);
        client.bench.settle();
        let pool = client.bench.pool();
        assert_eq!(pool.available(), pool.count(), "{rule}: a packet was lost");
    }
}

#[test]
fn the_end_is_agreed_on_by_whoever_begins() {
    for payload in [&b""[..], &close(1000, "bye"), &close(1001, ""), &close(4999, &"r".repeat(123))]
    {
        let mut client = client();
        let code = payload.get(..2).unwrap_or(b"");
        assert_eq!(client.say(&frame(0x88, payload)), answer(0x88, code));
        assert!(client.is_closed());
    }
    // What comes behind a close frame is not looked at.
    let mut ended = client();
    let bytes = [frame(0x88, &close(1000, "")), frame(0x81, b"more"), frame(0xff, b"")].concat();
    assert_eq!(ended.say(&bytes), answer(0x88, &close(1000, "")));
    assert!(ended.is_closed());
    // Ours waits for the client's, and not for ever.
    let expected = answer(0x88, &close(1001, "as you wish"));
    let mut polite = client();
    assert_eq!(polite.say(&frame(0x81, b"close")), expected);
    assert!(!polite.is_closed());
    assert_eq!(polite.say(&[frame(0x89, b"late"), frame(0x88, b"")].concat()), b"");
    assert!(polite.is_closed());
    let mut silent = client();
    assert_eq!(silent.say(&frame(0x81, b"close")), expected);
    silent.bench.pass(Duration::from_secs(2));
    assert!(silent.is_closed());
    // A client that is gone without a word.
    let mut gone = client();
    gone.bench.finish(gone.line);
    gone.bench.settle();
    assert!(gone.is_closed());
    let pool = gone.bench.pool();
    assert_eq!(pool.available(), pool.count(), "a packet was lost");
}

#[test]
fn an_idle_conversation_stays() {
    let mut client = client();
    client.bench.pass(Duration::from_secs(7200));
    assert_eq!(client.say(&frame(0x81, b"still")), answer(0x81, b"still"));
}

/// Gives up who says nothing for twice ten seconds.
async fn listen(request: Request) -> Result<Finished, Response> {
    let socket = WebSocket::accept(request, &[], 1000)?;
    let mut socket = socket.silence(Duration::from_secs(10));
    while let Some(message) = socket.receive().await {
        socket.send(message).await;
    }
    Ok(socket.close(CloseCode::NORMAL, "").await)
}

#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let mut bench = Bench::new(Router::new().get("/echo", listen));
    let (alive, silent) = (bench.connect(), bench.connect());
    for line in [alive, silent] {
        assert!(bench.ask(line, request(&[]).as_bytes()).starts_with("HTTP/1.1 101"));
    }
    let sent = |bench: &mut Bench<_>, line: usize| -> Vec<u8> {
        core::mem::take(&mut bench.wire.lines[line].sent)
    };
    for _ in 0..3 {
        bench.pass(Duration::from_millis(10_100));
        assert_eq!(sent(&mut bench, alive), answer(0x89, b""));
        bench.deliver(alive, &frame(0x8a, b""));
        bench.settle();
        assert!(!bench.wire.lines[alive].closed);
    }
    assert!(bench.wire.lines[silent].closed);
    assert_eq!(sent(&mut bench, silent), answer(0x89, b""));
    bench.deliver(alive, &frame(0x81, b"hi"));
    bench.settle();
    assert_eq!(sent(&mut bench, alive), answer(0x81, b"hi"));
}

#[test]
fn who_is_silent_for_long_gives_way_when_tasks_are_few() {
    static USUAL: Config = CONFIG;
    static SMALL: ServerConfig =
        ServerConfig { tasks: 16, patience: Duration::from_secs(1), files: Files::NONE };
    async fn slow(request: Request) {
        request.sleep(Duration::from_secs(5)).await;
    }
    let handlers = Router::new().get("/echo", echo).get("/slow", slow);
    let mut bench = Bench::with(&USUAL, &SMALL, handlers, 4000);
    let lines: Vec<usize> = (0..16).map(|_| bench.connect()).collect();
    for &line in &lines {
        assert!(bench.ask(line, request(&[]).as_bytes()).starts_with("HTTP/1.1 101"));
    }
    bench.pass(Duration::from_secs(3600));
    assert!(lines.iter().all(|&line| !bench.wire.lines[line].aborted), "nobody has to wait");
    for &line in &lines[..8] {
        bench.deliver(line, &frame(0x8a, b""));
    }
    bench.settle();
    const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n";
    let others: Vec<usize> = (0..12).map(|_| bench.connect()).collect();
    for &other in &others {
        bench.deliver(other, SLOW);
        bench.settle();
    }
    bench.pass(Duration::from_secs(6));
    let answers = others.iter().map(|&line| bench.taken(line));
    assert_eq!(answers.filter(|answer| answer.starts_with("HTTP/1.1 204")).count(), 8);
    assert!(lines[..8].iter().all(|&line| !bench.wire.lines[line].aborted), "they said something");
    assert!(lines[8..].iter().all(|&line| bench.wire.lines[line].aborted));
}

#[test]
fn a_handshake_is_as_the_rfc_has_it() {
    let status = |request: &str| {
        let response = Bench::new(site()).once(request.as_bytes());
        response.get(9..12).unwrap_or("none").to_owned()
    };
    assert_eq!(status(&request(&[("Upgrade", "WebSocket, other")])), "101");
    assert_eq!(status(&request(&[("Connection", "keep-alive, UPGRADE")])), "101");
    for (origin, expected) in [
        ("http://h", "101"),
        ("https://H", "101"),
        ("http://h:8080", "403"),
        ("http://h.evil", "403"),
        ("null", "403"),
        ("h", "403"),
    ] {
        assert_eq!(status(&request(&[("Origin", origin)])), expected, "{origin}");
    }
    assert_eq!(status(&request(&[("Upgrade", "")])), "426");
    assert_eq!(status(&request(&[("Connection", "")])), "426");
    assert_eq!(status(&request(&[("Upgrade", "h2c")])), "426");
    assert_eq!(status(&request(&[("Sec-WebSocket-Key", "")])), "400");
    assert_eq!(status(&request(&[("Sec-WebSocket-Key", "c2hvcnQ=")])), "400");
    assert_eq!(status(&request(&[("Sec-WebSocket-Version", "")])), "426");
    assert_eq!(status(&request(&[]).replace("GET", "POST")), "405");
    assert_eq!(status(&request(&[]).replace("GET /echo", "POST /post")), "400");
    // `HEAD` is answered as `GET` is, where nothing is agreed on.
    let head = request(&[]).replace("GET", "HEAD");
    assert_eq!(status(&head), "400");
    assert_eq!(status(&head.replace("Upgrade: websocket\r\n", "")), "426");
    assert_eq!(status(&head.replace("Version: 13", "Version: 8")), "426");
    let twice = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(status(&request(&[]).replace(twice, &twice.repeat(2))), "400");
    let mut bench = Bench::new(site());
    let response = bench.once(request(&[("Sec-WebSocket-Version", "8")]).as_bytes());
    assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"), "{response}");
    let chosen = |listed: &str| {
        let request = request(&[("Sec-WebSocket-Protocol", listed)]);
        let response = Bench::new(site()).once(request.as_bytes());
        let found = response.split_once("Sec-WebSocket-Protocol: ");
        found.map(|(_, rest)| rest.lines().next().unwrap_or("").to_owned())
    };
    assert_eq!(chosen("superchat, chat").as_deref(), Some("chat"));
    assert_eq!(chosen("superchat").as_deref(), Some("superchat"));
    assert_eq!(chosen("other"), None);
    assert_eq!(chosen("Chat, SUPERCHAT"), None, "names in another case are others");
}

/// Whatever comes, nothing panics, leaks or goes on for ever.
#[test]
fn noise_ends_and_leaves_nothing_behind() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..500 {
        let mut client = client();
        for _ in 0..random() % 8 {
            let opcode =
                [0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x89, 0x8a, 0x88][random() as usize % 9];
            let length = [0, 1, 3, 126, 1500, 5000][random() as usize % 6];
            let mut bytes = frame(opcode, &vec![b'z'; length]);
            if random() % 4 == 0 {
                let place = random() as usize % bytes.len();
                bytes[place] ^= random() as u8;
            }
            let cut = random() as usize % (bytes.len() + 1);
            client.say(&bytes[..cut]);
            client.say(&bytes[cut..]);
        }
        client.bench.finish(client.line);
        client.bench.pass(Duration::from_secs(5));
        let pool = client.bench.pool();
        assert_eq!(pool.available(), pool.count(), "a packet was lost");
    }
}
