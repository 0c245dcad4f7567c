//! Tests of what apps write with. `http1` tests the same over connections.

extern crate std;

use super::*;
use crate::{Pool, testing};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use serde::Serialize;

fn pool() -> Pool {
    testing::context(64, 1).pool()
}

fn body(response: &mut Response) -> String {
    let mut bytes = Vec::new();
    match response.take_body() {
        Body::Packet(packet) => {
            let mut next = Some(packet);
            while let Some(mut packet) = next {
                bytes.extend_from_slice(packet.bytes());
                next = packet.take_next();
            }
        }
        Body::Static(text) => bytes.extend_from_slice(text),
        Body::Empty | Body::Stream => {}
    }
    String::from_utf8(bytes).unwrap()
}

fn json(value: impl Serialize) -> String {
    let mut response = Json(value).into_response(pool());
    assert_eq!(response.code(), Status::OK);
    body(&mut response)
}

#[derive(Serialize)]
enum Shape {
    Unit,
    New(u8),
    Tuple(u8, i8),
    Struct { a: bool },
}

#[derive(Serialize)]
struct All<'a> {
    text: &'a str,
    number: i64,
    large: u64,
    fraction: f64,
    nothing: Option<u8>,
    something: Option<char>,
    list: &'a [u8],
    pair: (u8, &'a str),
    shapes: [Shape; 4],
    map: BTreeMap<u8, ()>,
}

#[test]
fn json_has_a_form_for_everything_usual() {
    let shapes = [Shape::Unit, Shape::New(1), Shape::Tuple(2, -3), Shape::Struct { a: true }];
    let all = All {
        text: "a\"b\\c\n\u{1}\u{e9}",
        number: i64::MIN,
        large: u64::MAX,
        fraction: 0.5,
        nothing: None,
        something: Some('x'),
        list: &[1, 2],
        pair: (3, ""),
        shapes,
        map: BTreeMap::from([(7, ())]),
    };
    assert_eq!(
        json(all),
        "{\"text\":\"a\\\"b\\\\c\\n\\u0001\u{e9}\",\"number\":-9223372036854775808,\
         \"large\":18446744073709551615,\"fraction\":0.5,\"nothing\":null,\"something\":\"x\",\
         \"list\":[1,2],\"pair\":[3,\"\"],\"shapes\":[\"Unit\",{\"New\":1},{\"Tuple\":[2,-3]},\
         {\"Struct\":{\"a\":true}}],\"map\":{\"7\":null}}"
    );
    assert_eq!(json(f64::NAN), "null");
    assert_eq!(json(core::net::Ipv4Addr::LOCALHOST), "\"127.0.0.1\"");
}

#[test]
fn a_body_grows_over_packets_up_to_a_limit() {
    let pool = pool();
    let free = pool.available();
    let long = "x".repeat(10_000);
    let mut response = Text(long.clone()).into_response(pool);
    assert_eq!(response.body_length(), Length::Known(10_000));
    assert_eq!(body(&mut response), long);
    drop(response);
    assert_eq!(json(vec![long.as_str()]).len(), 10_004);
    let response = Text("x".repeat(Writer::LIMIT)).into_response(pool);
    assert_eq!(response.body_length(), Length::Known(Writer::LIMIT as u64));
    drop(response);
    let response = Text("x".repeat(Writer::LIMIT + 1)).into_response(pool);
    assert_eq!(response.code(), Status::SERVICE_UNAVAILABLE);
    drop(response);
    assert_eq!(pool.available(), free);
}

#[test]
fn a_value_without_a_form_is_no_response() {
    let map = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(Json(map).into_response(pool()).code(), Status::SERVICE_UNAVAILABLE);
}

#[test]
fn fields_are_added_and_cannot_split_a_response() {
    let pool = pool();
    let response = "text".header("A", 1_u64).header("B", "two").status(Status::CREATED);
    let response = response.header("C", format_args!("{}", 3)).into_response(pool);
    assert_eq!(response.code(), Status::CREATED);
    let lines = response.fields().map_or(&b""[..], Fields::bytes);
    assert_eq!(lines, b"A: 1\r\nB: two\r\nC: 3\r\n");
    for bad in ["a\r\nb", "a\nb", "a\0"] {
        let response = "text".header("A", bad).into_response(pool);
        assert_eq!(response.code(), Status::INTERNAL_SERVER_ERROR);
        assert!(response.fields().is_none());
    }
    for name in ["A B", "", "content-length", "Transfer-Encoding", "CONNECTION"] {
        let response = "text".header(name, "c").into_response(pool);
        assert_eq!(response.code(), Status::INTERNAL_SERVER_ERROR, "{name}");
    }
    let dated = "text".header("date", Date::from_unix(0)).into_response(pool);
    let noted = |response: &Response| response.fields().map(Fields::noted).unwrap_or_default();
    assert!(noted(&dated).has(Noted::DATE) && !noted(&dated).has(Noted::MEDIA));
    assert_eq!(noted(&response), Noted::default());
}

#[test]
fn what_could_not_be_made_does_not_pass_for_a_success() {
    let pool = pool();
    let long = || "x".repeat(Writer::LIMIT + 1);
    let state = Validators::new().tag(Tag::strong("v"));
    let broken = |status| "text".header("A", "a\nb").status(status);
    for (response, expected) in [
        (Json(long()).status(Status::CREATED).into_response(pool), 503),
        ((Status::CREATED, long()).into_response(pool), 503),
        (long().media("text/css").header("A", "b").into_response(pool), 503),
        (long().validators(state).into_response(pool), 503),
        (long().header("A", "a\nb").into_response(pool), 503),
        (broken(Status::OK).into_response(pool), 500),
        (broken(Status::OK).header("B", "c").media("text/css").into_response(pool), 500),
        (broken(Status::OK).into_response(pool).field(pool, "B", "c"), 500),
        (long().into_response(pool).content_type("text/css").length(1), 503),
        (long().into_response(pool).body(Body::Stream), 503),
    ] {
        assert!(matches!(response.body_ref(), Body::Static(_)));
        assert_eq!(response.code().code(), expected);
        assert!(response.fields().is_none());
        assert_eq!(response.media_type(), Some("text/plain; charset=utf-8"));
    }
    // What was meant to be one of these is still an answer like any other.
    let meant = Status::SERVICE_UNAVAILABLE.header("Retry-After", 1_u64).into_response(pool);
    assert_eq!(meant.fields().map_or(&b""[..], Fields::bytes), b"Retry-After: 1\r\n");
    let all: Vec<_> = core::iter::from_fn(|| pool.packet()).collect();
    let response = "text".header("A", "b").status(Status::CREATED).into_response(pool);
    assert_eq!(response.code(), Status::SERVICE_UNAVAILABLE);
    drop(all);
}

#[test]
fn statuses_have_the_words_of_the_rfc() {
    for (code, reason) in [
        (203, "Non-Authoritative Information"),
        (300, "Multiple Choices"),
        (402, "Payment Required"),
        (407, "Proxy Authentication Required"),
        (418, ""),
        (599, ""),
    ] {
        assert_eq!(Status::new(code).reason(), reason);
    }
}

#[test]
fn results_options_and_statuses_are_responses() {
    let pool = pool();
    let code = |response: Response| response.code().code();
    assert_eq!(code(().into_response(pool)), 204);
    assert_eq!(code(None::<&str>.into_response(pool)), 404);
    assert_eq!(code((Status::ACCEPTED, "yes").into_response(pool)), 202);
    let failed: Result<&str, Problem> = Err(Problem::bad_request("because"));
    let mut response = failed.into_response(pool);
    assert_eq!((response.code().code(), body(&mut response)), (400, "because".into()));
    assert_eq!(Status::NOT_MODIFIED.into_response(pool).body_length(), Length::None);
}

#[test]
fn integers_have_their_digits() {
    for value in [0, 7, 10, 99, 100, 12_345, u64::MAX - 1, u64::MAX] {
        let text = alloc::format!("{value}");
        assert_eq!(Integer::new(value).bytes(), text.as_bytes());
    }
    assert_eq!(Status::new(7).digits(), *b"100");
    assert_eq!(Status::new(1000).digits(), *b"999");
}

#[test]
fn every_method_has_the_name_it_is_parsed_from() {
    for method in Method::ALL {
        assert_eq!(Method::parse(method.name().as_bytes()), method);
        assert!(Methods::of(method).contains(method) && Methods::ANY.contains(method));
    }
    assert_eq!(Method::parse(b"get"), Method::Other);
    assert!(!Methods::of(Method::Get).contains(Method::Head));
}

#[test]
fn a_head_shows_its_fields_and_nothing_beyond_its_bytes() {
    let text = b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\nx-y: 2\r\nBin: \xff\r\n\r\n";
    let layout = Layout {
        method: Method::Get,
        version: Version::Http11,
        body: Length::None,
        name: Span::new(0, 3),
        target: Span::new(4, 8),
        authority: Span::new(25, 26),
        path: Span::new(4, 6),
        query: Some(Span::new(7, 8)),
        fields: Span::new(19, text.len() - 2),
        secure: false,
    };
    let head = Head::new(HeadBytes::Memory(text.as_slice().into()), layout);
    assert_eq!((head.method_name(), head.target(), head.path()), ("GET", "/a?b", "/a"));
    assert_eq!((head.query(), head.authority()), (Some("b"), "h"));
    assert_eq!((head.field("x-y"), head.field("host")), (Some("z"), Some("h")));
    assert_eq!((head.field("bin"), head.field_bytes("BIN")), (None, Some(b"\xff".as_slice())));
    assert_eq!(head.fields().count(), 4);
    let beyond = Layout { path: Span::new(70, 90), fields: Span::new(9, 5), ..layout };
    let head = Head::new(HeadBytes::Memory(text.as_slice().into()), beyond);
    assert_eq!((head.path(), head.field("host")), ("/", None));
}

/// A port on which there are always more requests.
#[derive(Default)]
struct Endless {
    accepted: u32,
}

impl crate::HttpPort for Endless {
    fn waiting(&self) -> usize {
        1
    }

    fn waiting_since(&self) -> crate::Instant {
        crate::Instant::NEVER
    }

    fn accept(&mut self, _: u32) -> Option<(crate::Exchange, Head)> {
        self.accepted += 1;
        let exchange = crate::Exchange { index: self.accepted, generation: 0 };
        let layout = Layout {
            method: Method::Get,
            version: Version::Http11,
            body: Length::None,
            name: Span::default(),
            target: Span::new(0, 1),
            authority: Span::default(),
            path: Span::new(0, 1),
            query: None,
            fields: Span::default(),
            secure: false,
        };
        Some((exchange, Head::new(HeadBytes::Memory(b"/"[..].into()), layout)))
    }

    fn news(&mut self) -> Option<u32> {
        None
    }

    fn is_gone(&self, _: crate::Exchange) -> bool {
        false
    }

    fn body(&mut self, _: crate::Exchange) -> crate::Chunk {
        crate::Chunk::Aborted
    }

    fn respond(&mut self, _: crate::Exchange, _: Response) -> Result<(), Response> {
        Ok(())
    }

    fn send(&mut self, _: crate::Exchange, _: crate::Packet) -> Result<(), crate::Packet> {
        Ok(())
    }

    fn finish(&mut self, _: crate::Exchange) {}

    fn abort(&mut self, _: crate::Exchange) {}

    fn shed(&mut self, _: crate::Duration) -> bool {
        false
    }

    fn peer(&self, _: crate::Exchange) -> Option<core::net::SocketAddr> {
        None
    }
}

#[test]
fn a_port_that_is_always_busy_leaves_the_others_their_turn() {
    let mut cx = testing::context(400, 1);
    let config =
        ServerConfig { tasks: 64, patience: crate::Duration::from_secs(1), files: Files::new(&[]) };
    let config = alloc::boxed::Box::leak(alloc::boxed::Box::new(config));
    let mut server = Server::new(config, async |_: Request| Status::OK, &mut cx);
    let mut ports = [Endless::default(), Endless::default(), Endless::default()];
    for _ in 0..6 {
        let [a, b, c] = &mut ports;
        crate::Component::receive(&mut server, &mut (a, b, c), &mut cx);
    }
    let accepted = ports.map(|port| port.accepted);
    assert!(accepted.iter().all(|it| *it > 0), "{accepted:?}");
}
