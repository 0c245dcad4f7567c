//! The component, lent a fake port of HTTP and a shelf of certificates.

extern crate std;

use super::*;
use alloc::boxed::Box;
use alloc::string::ToString;
use core::net::SocketAddr;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::format;
use waitless::http::{self, HeadBytes, Layout, Response, Span, Version};
use waitless::{Certificate, CertificateRefusal, Packet, testing};

/// Requests that wait, and what became of them.
#[derive(Default)]
struct Port {
    waiting: VecDeque<(Head, SocketAddr)>,
    exchanges: Vec<Served>,
    news: VecDeque<u32>,
    /// Pieces of answers that there is no room for.
    refusals: u32,
    /// Whether they come by TLS.
    secure: bool,
}

/// One request.
#[derive(Default)]
struct Served {
    tag: u32,
    peer: Option<SocketAddr>,
    body: VecDeque<Chunk>,
    is_gone: bool,
    status: u16,
    media: String,
    fields: String,
    text: String,
    is_finished: bool,
    is_aborted: bool,
}

impl Port {
    fn of(&mut self, exchange: Exchange) -> &mut Served {
        &mut self.exchanges[exchange.index as usize]
    }

    /// More of a body.
    fn arrive(&mut self, index: usize, chunk: Chunk) {
        self.exchanges[index].body.push_back(chunk);
        self.tell(index);
    }

    /// An exchange has news.
    fn tell(&mut self, index: usize) {
        self.news.push_back(self.exchanges[index].tag);
    }
}

impl HttpPort for Port {
    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn waiting_since(&self) -> Instant {
        Instant::NEVER
    }

    fn accept(&mut self, tag: u32) -> Option<(Exchange, Head)> {
        let (head, peer) = self.waiting.pop_front()?;
        self.exchanges.push(Served { tag, peer: Some(peer), ..Served::default() });
        Some((Exchange { index: self.exchanges.len() as u32 - 1, generation: 0 }, head))
    }

    fn news(&mut self) -> Option<u32> {
        self.news.pop_front()
    }

    fn is_gone(&self, exchange: Exchange) -> bool {
        self.exchanges[exchange.index as usize].is_gone
    }

    fn body(&mut self, exchange: Exchange) -> Chunk {
        self.of(exchange).body.pop_front().unwrap_or(Chunk::Pending)
    }

    fn respond(&mut self, exchange: Exchange, response: Response) -> Result<(), Response> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(response);
        }
        let served = self.of(exchange);
        assert_eq!(served.status, 0, "one answer");
        served.status = response.code().code();
        served.media = response.media_type().unwrap_or_default().into();
        let fields = response.fields().map_or(&b""[..], http::Fields::bytes);
        served.fields = String::from_utf8(fields.to_vec()).unwrap();
        Ok(())
    }

    fn send(&mut self, exchange: Exchange, part: Packet) -> Result<(), Packet> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(part);
        }
        let served = self.of(exchange);
        served.text += core::str::from_utf8(part.bytes()).unwrap();
        Ok(())
    }

    fn finish(&mut self, exchange: Exchange) {
        self.of(exchange).is_finished = true;
    }

    fn abort(&mut self, exchange: Exchange) {
        self.of(exchange).is_aborted = true;
    }

    fn shed(&mut self, _: Duration) -> bool {
        false
    }

    fn is_secure(&self) -> bool {
        self.secure
    }

    fn peer(&self, exchange: Exchange) -> Option<SocketAddr> {
        self.exchanges[exchange.index as usize].peer
    }
}

/// Certificates: what is offered becomes the serial number.
struct Shelf(Vec<Certificate>);

impl CertificatePort for Shelf {
    fn certificate(&self, place: usize) -> Option<Certificate> {
        self.0.get(place).cloned()
    }

    fn replace(&mut self, offer: &CertificateOffer<'_>) -> Result<usize, CertificateRefusal> {
        let kinds = [
            (&b"ambiguous"[..], RefusalKind::Ambiguous),
            (b"unfit", RefusalKind::Unfit),
            (b"unknown", RefusalKind::Unknown),
            (b"unreadable", RefusalKind::Unreadable),
        ];
        if let Some((_, kind)) = kinds.iter().find(|(text, _)| *text == offer.pem) {
            return Err(CertificateRefusal { kind: *kind, text: "it is bad".into() });
        }
        let named = |it: &Certificate| it.names.iter().any(|name| name == offer.which);
        let place = Certificate::place(offer.which).or_else(|| self.0.iter().position(named));
        let Some((place, found)) = place.and_then(|it| Some((it, self.0.get_mut(it)?))) else {
            return Err(CertificateRefusal { kind: RefusalKind::Unknown, text: "none".into() });
        };
        found.serial = offer.pem.to_vec();
        found.stapled = offer.other_names;
        Ok(place)
    }
}

fn certificate(names: &[&str]) -> Certificate {
    Certificate {
        names: names.iter().map(ToString::to_string).collect(),
        subject: "CN=\"x\"\\".into(),
        serial: Vec::from([0, 0xab]),
        not_before: 0,
        not_after: 1_896_134_400,
        sha256: [7; 32],
        key: "P-256",
        chain: 2,
        stapled: true,
    }
}

/// One core: what it has of the component, and what that stands on.
struct Core {
    admin: Admin,
    http: Port,
    shelf: Shelf,
    cx: Context,
}

const TOKEN: &str = "Bearer open sesame";
const PEER: &str = "192.0.2.1:50000";

impl Core {
    fn all(count: usize, clear: bool) -> Vec<Self> {
        Self::over(true, count, clear)
    }

    fn over(secure: bool, count: usize, clear: bool) -> Vec<Self> {
        let token_sha256 = Sha256::digest(b"open sesame").into();
        let config = Box::leak(Box::new(Config { token_sha256, body_limit: 4096, clear }));
        let core = |mut cx: Context| {
            let mut core = Self {
                admin: Admin::new(config, &mut cx),
                http: Port { secure, ..Port::default() },
                shelf: Shelf(Vec::from([certificate(&["a.example", "*.b.example"])])),
                cx,
            };
            core.admin.init(&mut (&mut core.http, &mut core.shelf), &mut core.cx).unwrap();
            core
        };
        testing::contexts(count, &testing::Nothing, 16, 1).map(core).collect()
    }

    fn one() -> Self {
        Self::all(1, false).pop().unwrap()
    }

    fn sweep(&mut self) {
        self.admin.receive(&mut (&mut self.http, &mut self.shelf), &mut self.cx);
    }

    fn pass(&mut self, time: Duration) {
        self.cx.set_now(self.cx.now() + time);
        self.sweep();
    }

    fn deadline(&self) -> Instant {
        <Admin as Component<(&mut Port, &mut Shelf)>>::deadline(&self.admin)
    }

    fn may_sleep(&mut self) -> bool {
        <Admin as Component<(&mut Port, &mut Shelf)>>::arm(&mut self.admin)
    }

    /// A request of somebody, by its number.
    fn ask(&mut self, request: &str, token: &str, peer: &str, body: Length) -> usize {
        let head = head(request, token, body, true);
        self.http.waiting.push_back((head, peer.parse().unwrap()));
        self.sweep();
        self.http.exchanges.len() - 1
    }

    /// The status of the answer to a request that has the token.
    fn get(&mut self, request: &str) -> (u16, &str) {
        let number = self.ask(request, TOKEN, PEER, Length::None);
        let served = &self.http.exchanges[number];
        assert!(served.is_finished);
        (served.status, &served.text)
    }

    fn packet(&self, bytes: &[u8]) -> Chunk {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        Chunk::Data(packet)
    }

    /// A certificate is sent, in one piece.
    fn put(&mut self, target: &str, bytes: &[u8]) -> usize {
        let length = Length::Known(bytes.len() as u64);
        let number = self.ask(&format!("PUT {target}"), TOKEN, PEER, length);
        let chunk = self.packet(bytes);
        self.http.arrive(number, chunk);
        self.http.arrive(number, Chunk::End);
        self.sweep();
        number
    }
}

fn head(request: &str, token: &str, body: Length, secure: bool) -> Head {
    let (method, target) = request.split_once(' ').unwrap();
    let field = format!("Authorization: {token}\r\n");
    let fields = if token.is_empty() { "" } else { &field };
    let bytes = [target, fields].concat().into_bytes();
    let question = target.find('?');
    let path = question.unwrap_or(target.len());
    let layout = Layout {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "PUT" => Method::Put,
            _ => Method::Delete,
        },
        version: Version::Http11,
        body,
        name: Span::default(),
        target: Span::new(0, target.len()),
        authority: Span::default(),
        path: Span::new(0, path),
        query: question.map(|at| Span::new(at + 1, target.len())),
        fields: Span::new(target.len(), bytes.len()),
        secure,
    };
    Head::new(HeadBytes::Memory(bytes.into()), layout)
}

#[test]
fn nobody_is_heard_without_the_token() {
    let mut core = Core::one();
    for (token, expected) in [
        ("", 401),
        ("Bearer ", 401),
        ("Basic open sesame", 401),
        ("Bearer open barley", 401),
        ("Bearer open sesam", 401),
        (TOKEN, 200),
        ("bearer  open sesame ", 200),
    ] {
        // What there is, is not told either.
        for target in ["GET /certificates", "GET /nothing"] {
            let number = core.ask(target, token, PEER, Length::None);
            let served = &core.http.exchanges[number];
            let expected = if target.ends_with("ng") && expected == 200 { 404 } else { expected };
            assert_eq!((served.status, served.is_finished), (expected, true), "{token}");
            let challenge = served.fields.contains("WWW-Authenticate: Bearer");
            assert_eq!(challenge, expected == 401);
        }
        // Each wrong token counts, so they come from another address each.
        core.cx.set_now(core.cx.now() + Duration::from_secs(61));
    }
    assert_eq!(core.admin.counters.unauthorized.get(), 10);
}

#[test]
fn who_tries_wrong_tokens_is_not_heard_for_a_while() {
    let mut core = Core::one();
    let status = |core: &mut Core, token, peer| {
        let number = core.ask("GET /certificates", token, peer, Length::None);
        core.http.exchanges[number].status
    };
    let network = ["[2001:db8::1]:1", "[2001:db8::2]:2"];
    for peers in [[PEER, "[::ffff:192.0.2.1]:7"], network] {
        // A request without any tries nothing.
        assert_eq!(status(&mut core, "", peers[0]), 401);
        for number in 0..5 {
            assert_eq!(status(&mut core, "Bearer x", peers[number % 2]), 401);
        }
        assert_eq!(status(&mut core, TOKEN, peers[0]), 429);
        assert_eq!(status(&mut core, TOKEN, peers[1]), 429);
    }
    for peer in ["192.0.2.2:50000", "[2001:db8:0:1::1]:1"] {
        assert_eq!(status(&mut core, TOKEN, peer), 200);
    }
    core.cx.set_now(core.cx.now() + Duration::from_secs(59));
    assert_eq!(status(&mut core, TOKEN, PEER), 429);
    core.cx.set_now(core.cx.now() + Duration::from_secs(1));
    assert_eq!(status(&mut core, TOKEN, PEER), 200);
    assert_eq!(core.admin.counters.throttled.get(), 5);
    // Many addresses: the table has a bound, and the one that is longest there is forgotten.
    for number in 0..40 {
        let peer = format!("10.0.0.{number}:1");
        core.cx.set_now(core.cx.now() + Duration::from_millis(1));
        let number = core.ask("GET /certificates", "Bearer x", &peer, Length::None);
        assert_eq!(core.http.exchanges[number].status, 401);
    }
}

#[test]
fn what_comes_in_clear_is_refused_unless_it_is_allowed() {
    // The scheme that the manifest says does not count: the connections do.
    for scheme_is_https in [false, true] {
        for (secure, clear, expected) in
            [(false, false, 403), (false, true, 200), (true, false, 200), (true, true, 200)]
        {
            let mut core = Core::over(secure, 1, clear).pop().unwrap();
            let head = head("GET /certificates", TOKEN, Length::None, scheme_is_https);
            core.http.waiting.push_back((head, PEER.parse().unwrap()));
            core.sweep();
            assert_eq!(core.http.exchanges[0].status, expected);
            assert_eq!(core.admin.counters.clear.get(), u64::from(expected == 403));
        }
    }
}

#[test]
fn certificates_are_listed() {
    let mut core = Core::one();
    core.shelf.0.push(certificate(&["c.example"]));
    let first = "{\"place\":0,\"names\":[\"a.example\",\"*.b.example\"],\
        \"subject\":\"CN=\\\"x\\\"\\\\\",\"serial\":\"AB\",\
        \"not_before\":\"1970-01-01T00:00:00Z\",\"not_after\":\"2030-02-01T00:00:00Z\",\
        \"sha256\":\"0707070707070707070707070707070707070707070707070707070707070707\",\
        \"key\":\"P-256\",\"chain\":2,\"ocsp\":true}";
    for target in ["0", "a.example", "A.example", "*.b.example", "%2A.b.example"] {
        let expected = format!("[{first}]\n");
        assert_eq!(core.get(&format!("GET /certificates/{target}")), (200, &*expected), "{target}");
    }
    for target in ["/certificates", "/certificates/"] {
        let (status, text) = core.get(&format!("HEAD {target}"));
        assert!(status == 200 && text.starts_with(&format!("[{first},\n {{\"place\":1,")));
    }
    assert_eq!(core.http.exchanges[0].media, "application/json");
    for target in ["/certificates/2", "/certificates/d.example", "/certificatesx", "/"] {
        assert_eq!(core.get(&format!("GET {target}")).0, 404, "{target}");
    }
    for target in ["%zz", "a%0ab", "%ff"] {
        assert_eq!(core.get(&format!("GET /certificates/{target}")).0, 400, "{target}");
    }
    for (target, allowed) in [("", "Allow: GET, HEAD\r\n"), ("/0", "Allow: GET, HEAD, PUT\r\n")] {
        assert_eq!(core.get(&format!("DELETE /certificates{target}")).0, 405);
        assert_eq!(core.http.exchanges.last().unwrap().fields, allowed);
    }
}

#[test]
fn a_long_list_is_sent_in_pieces_as_there_is_room() {
    let mut core = Core::one();
    core.shelf.0 = (0..100).map(|number| certificate(&[&*number.to_string()])).collect();
    core.http.refusals = 5;
    let number = core.ask("GET /certificates", TOKEN, PEER, Length::None);
    let packets: Vec<_> = core::iter::from_fn(|| core.cx.packet()).collect();
    for turn in 0..5 {
        assert!(!core.http.exchanges[number].is_finished);
        core.http.tell(number);
        core.sweep();
        if turn == 4 {
            // The head is on its way. Nobody tells when there are packets: it looks by itself.
            assert_eq!(core.deadline(), core.cx.now() + PACKET_WAIT);
        }
    }
    drop(packets);
    // The list is longer than all packets together are, and there is no room for some.
    core.http.refusals = 3;
    for _ in 0..10 {
        core.pass(PACKET_WAIT);
        core.http.tell(number);
    }
    let served = &core.http.exchanges[number];
    assert!(served.is_finished && served.text.len() > 16 * 1400, "{}", served.text.len());
    assert_eq!(served.text.matches("\"place\":").count(), 100);
    assert_eq!(core.deadline(), Instant::NEVER);
}

#[test]
fn a_certificate_is_replaced_and_nothing_of_it_stays_in_packets() {
    let mut core = Core::one();
    let length = Length::Known(14);
    let number = core.ask("PUT /certificates/a.example", TOKEN, PEER, length);
    for part in [&b"a private "[..], b"key."] {
        assert_eq!(core.http.exchanges[number].status, 0);
        let chunk = core.packet(part);
        core.http.arrive(number, chunk);
        core.sweep();
    }
    core.http.arrive(number, Chunk::End);
    core.sweep();
    let served = &core.http.exchanges[number];
    assert_eq!((served.status, served.is_finished), (200, true));
    assert!(served.text.contains("\"serial\":\"612070"), "{}", served.text);
    assert!(served.text.contains("\"ocsp\":false"), "all names must be covered");
    assert_eq!(core.admin.counters.replaced.get(), 1);
    let mut packets: Vec<_> = core::iter::from_fn(|| core.cx.packet()).collect();
    for packet in &mut packets {
        packet.reset(0);
        let bytes = packet.extend(packet.tailroom()).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"priv" || part == b"key."), "a trace");
    }
    drop(packets);
    let number = core.put("/certificates/a.example?x&names=other", b"two");
    assert!(core.http.exchanges[number].text.contains("\"ocsp\":true"), "they need not");
}

#[test]
fn what_is_refused_is_answered_with_why() {
    let mut core = Core::one();
    for (pem, expected) in
        [("ambiguous", 409), ("unfit", 422), ("unknown", 404), ("unreadable", 400)]
    {
        let number = core.put("/certificates/0", pem.as_bytes());
        let served = &core.http.exchanges[number];
        assert_eq!((served.status, &*served.text), (expected, "it is bad\n"));
    }
    assert_eq!(core.admin.counters.refused.get(), 4);
    assert_eq!(core.shelf.0[0].serial, [0, 0xab]);
    // Nothing is left that would keep a good one out.
    let number = core.put("/certificates/0", b"good");
    assert_eq!(core.http.exchanges[number].status, 200);
}

#[test]
fn what_is_too_long_is_refused() {
    let mut core = Core::one();
    let number = core.ask("PUT /certificates/0", TOKEN, PEER, Length::Known(4097));
    assert_eq!(core.http.exchanges[number].status, 413);
    // And one that does not say how long it is.
    let number = core.ask("PUT /certificates/0", TOKEN, PEER, Length::Unknown);
    for _ in 0..5 {
        let chunk = core.packet(&[b'x'; 1000]);
        core.http.arrive(number, chunk);
    }
    core.sweep();
    assert_eq!(core.http.exchanges[number].status, 413);
    assert!(core.http.exchanges[number].text.contains("4096 bytes"));
    // More than was announced, which no port would do.
    let number = core.ask("PUT /certificates/0", TOKEN, PEER, Length::Known(3));
    let chunk = core.packet(b"four");
    core.http.arrive(number, chunk);
    core.sweep();
    assert_eq!(core.http.exchanges[number].status, 413);
    assert_eq!(core.shelf.0[0].serial, [0, 0xab]);
}

#[test]
fn who_goes_away_leaves_nothing_behind() {
    let mut core = Core::one();
    for end in [true, false] {
        let number = core.ask("PUT /certificates/0", TOKEN, PEER, Length::Known(3));
        if end {
            core.http.arrive(number, Chunk::Aborted);
        } else {
            core.http.exchanges[number].is_gone = true;
            core.http.tell(number);
        }
        core.sweep();
        let served = &core.http.exchanges[number];
        assert_eq!((served.status, served.is_aborted), (0, true));
    }
    assert!(core.admin.calls.iter().all(Option::is_none));
}

#[test]
fn more_than_a_few_wait_until_one_is_done() {
    let mut core = Core::one();
    for _ in 0..6 {
        let head = head("PUT /certificates/0", TOKEN, Length::Known(3), true);
        core.http.waiting.push_back((head, PEER.parse().unwrap()));
    }
    core.sweep();
    assert_eq!((core.http.exchanges.len(), core.http.waiting()), (CALLS, 2));
    let chunk = core.packet(b"abc");
    core.http.arrive(0, chunk);
    core.http.arrive(0, Chunk::End);
    core.sweep();
    assert_eq!((core.http.exchanges[0].status, core.http.waiting()), (200, 1));
    // And many that are answered at once are so in several sweeps.
    let mut core = Core::one();
    for _ in 0..BATCH + 1 {
        let head = head("GET /", TOKEN, Length::None, true);
        core.http.waiting.push_back((head, PEER.parse().unwrap()));
    }
    core.sweep();
    assert_eq!((core.http.waiting(), core.deadline()), (1, core.cx.now()));
    core.sweep();
    assert_eq!((core.http.waiting(), core.deadline()), (0, Instant::NEVER));
}

#[test]
fn the_answer_comes_when_all_cores_serve_it() {
    let mut cores = Core::all(3, false);
    for core in &mut cores {
        core.sweep();
        assert!(core.may_sleep());
    }
    let number = cores[1].put("/certificates/0", b"new");
    assert!(cores[1].may_sleep(), "nobody has said anything");
    assert_eq!(cores[1].deadline(), cores[1].cx.now() + PATIENCE);
    for other in [0, 2] {
        assert_eq!(cores[1].http.exchanges[number].status, 0);
        assert!(!cores[other].may_sleep(), "there is something to do");
        assert_eq!(cores[other].shelf.0[0].serial, [0, 0xab]);
        cores[other].sweep();
        assert_eq!(cores[other].shelf.0[0].serial, b"new");
        assert!(cores[other].may_sleep());
        cores[other].sweep();
        assert_eq!(cores[other].admin.counters.followed.get(), 1);
        if other == 0 {
            // Another one has to wait, on whichever core.
            let late = cores[0].put("/certificates/0", b"late");
            let served = &cores[0].http.exchanges[late];
            assert_eq!((served.status, &*served.fields), (503, "Retry-After: 1\r\n"));
            cores[1].sweep();
        }
    }
    assert!(!cores[1].may_sleep(), "all have answered");
    cores[1].sweep();
    assert_eq!(cores[1].http.exchanges[number].status, 200);
    assert_eq!(cores[1].deadline(), Instant::NEVER);
    let number = cores[0].put("/certificates/0", b"next");
    for core in [1, 2, 0] {
        cores[core].sweep();
        assert_eq!(cores[core].shelf.0[0].serial, b"next");
    }
    assert_eq!(cores[0].http.exchanges[number].status, 200);
}

#[test]
fn a_core_that_is_late_is_told_of() {
    let mut cores = Core::all(2, false);
    let number = cores[0].put("/certificates/0", b"one");
    cores[0].pass(PATIENCE);
    let served = &cores[0].http.exchanges[number];
    assert_eq!((served.status, served.is_finished), (503, true));
    assert!(served.text.starts_with("1 of 2 cores serve it"), "{}", served.text);
    assert!(served.text.ends_with("send it again, to /certificates/0.\n"), "{}", served.text);
    assert_eq!(cores[0].admin.counters.overdue.get(), 1);
    // Until it has come to that, no other takes its place: it could be for another one.
    let number = cores[0].put("/certificates/0", b"early");
    let served = &cores[0].http.exchanges[number];
    assert_eq!((served.status, &*served.fields), (503, "Retry-After: 1\r\n"));
    assert_eq!(cores[0].shelf.0[0].serial, b"one");
    cores[1].sweep();
    assert_eq!(cores[1].shelf.0[0].serial, b"one");
    assert_eq!(cores[1].admin.counters.followed.get(), 1);
    let number = cores[0].put("/certificates/0", b"two");
    cores[1].sweep();
    cores[0].sweep();
    assert_eq!(cores[0].http.exchanges[number].status, 200);
    assert_eq!(cores[1].shelf.0[0].serial, b"two");
    assert_eq!(cores[1].admin.counters.followed.get(), 2);
    // One that does not take it, as it has other certificates.
    let number = cores[0].put("/certificates/0", b"three");
    cores[1].shelf.0.clear();
    cores[1].sweep();
    cores[0].sweep();
    assert_eq!(cores[0].http.exchanges[number].status, 503);
}

#[test]
fn a_client_that_does_not_wait_keeps_nobody_else_waiting() {
    let mut cores = Core::all(2, false);
    let number = cores[0].put("/certificates/0", b"one");
    cores[0].http.exchanges[number].is_gone = true;
    cores[0].http.tell(number);
    cores[0].sweep();
    assert!(cores[0].http.exchanges[number].is_aborted);
    // Its place is another's, who is not answered for it.
    let other = cores[0].ask("PUT /certificates/0", TOKEN, PEER, Length::Known(3));
    cores[1].sweep();
    cores[0].sweep();
    assert_eq!(cores[1].shelf.0[0].serial, b"one");
    assert_eq!(cores[0].http.exchanges[other].status, 0);
    let chunk = cores[0].packet(b"two");
    cores[0].http.arrive(other, chunk);
    cores[0].http.arrive(other, Chunk::End);
    cores[0].sweep();
    cores[1].sweep();
    cores[0].sweep();
    assert_eq!(cores[0].http.exchanges[other].status, 200);
}

#[test]
fn cores_that_differ_become_alike() {
    let mut cores = Core::all(2, false);
    // The second has not heard that the names are others.
    cores[0].shelf.0.insert(0, certificate(&["b.example"]));
    cores[1].shelf.0.insert(0, certificate(&["c.example"]));
    let number = cores[0].put("/certificates/b.example", b"new");
    cores[1].sweep();
    cores[0].sweep();
    assert_eq!(cores[0].http.exchanges[number].status, 200);
    let taken = &cores[1].shelf.0[0];
    assert!(taken.serial == b"new" && taken.stapled, "for whatever names");
    assert!(!cores[0].shelf.0[0].stapled, "that the first has looked at");
}

#[test]
fn who_is_not_heard_is_not_forgotten_because_of_others() {
    let mut core = Core::one();
    let status = |core: &mut Core, token, peer: &str| {
        core.cx.set_now(core.cx.now() + Duration::from_millis(1));
        let number = core.ask("GET /certificates", token, peer, Length::None);
        core.http.exchanges[number].status
    };
    for _ in 0..5 {
        assert_eq!(status(&mut core, "Bearer x", PEER), 401);
    }
    for number in 0..32 {
        let peer = format!("[2001:db8:0:{number}::1]:1");
        assert_eq!(status(&mut core, "Bearer x", &peer), 401);
    }
    assert_eq!(status(&mut core, TOKEN, PEER), 429);
}

#[test]
fn places_are_digits() {
    let mut core = Core::one();
    for target in ["+0", "-0", "%200", "0x0"] {
        let target = format!("GET /certificates/{target}");
        assert!([400, 404].contains(&core.get(&target).0), "{target}");
    }
    assert_eq!(core.get("GET /certificates/00").0, 200);
}

#[test]
fn an_answer_with_a_field_waits_for_a_packet() {
    let mut core = Core::one();
    let packets: Vec<_> = core::iter::from_fn(|| core.cx.packet()).collect();
    let number = core.ask("GET /certificates", "", PEER, Length::None);
    assert_eq!(core.http.exchanges[number].status, 0);
    assert_eq!(core.deadline(), core.cx.now() + PACKET_WAIT);
    drop(packets);
    core.pass(PACKET_WAIT);
    let served = &core.http.exchanges[number];
    assert_eq!((served.status, served.is_finished), (401, true));
    assert!(served.fields.contains("WWW-Authenticate"), "{}", served.fields);
}
