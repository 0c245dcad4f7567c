//! The component, lent a fake port of HTTP.

extern crate std;

use super::*;
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;
use waitless::http::{HeadBytes, Layout, Length, Method, Span, Version};
use waitless::{Chunk, Duration, Packet, testing};

/// Requests that wait, and the answers to them.
#[derive(Default)]
struct Port {
    waiting: VecDeque<Head>,
    answers: Vec<(u32, Response)>,
    accepted: u32,
    /// Answers that there is no room for.
    refusals: u32,
}

impl HttpPort for Port {
    fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn waiting_since(&self) -> Instant {
        Instant::NEVER
    }

    fn accept(&mut self, _: u32) -> Option<(Exchange, Head)> {
        let head = self.waiting.pop_front()?;
        self.accepted += 1;
        Some((Exchange { index: self.accepted, generation: 0 }, head))
    }

    fn news(&mut self) -> Option<u32> {
        None
    }

    fn is_gone(&self, _: Exchange) -> bool {
        false
    }

    fn body(&mut self, _: Exchange) -> Chunk {
        unreachable!("no body is read")
    }

    fn respond(&mut self, exchange: Exchange, response: Response) -> Result<(), Response> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(response);
        }
        self.answers.push((exchange.index, response));
        Ok(())
    }

    fn send(&mut self, _: Exchange, _: Packet) -> Result<(), Packet> {
        unreachable!("no body is streamed")
    }

    fn finish(&mut self, _: Exchange) {}

    fn abort(&mut self, _: Exchange) {}

    fn shed(&mut self, _: Duration) -> bool {
        false
    }

    fn peer(&self, _: Exchange) -> Option<core::net::SocketAddr> {
        None
    }
}

/// The head of a request for `target` of `authority`.
fn request(authority: &str, target: &str) -> Head {
    let bytes = [target, authority].concat().into_bytes();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| {
        (path, Some(Span::new(path.len() + 1, path.len() + 1 + query.len())))
    });
    let layout = Layout {
        method: Method::Get,
        version: Version::Http11,
        body: Length::None,
        name: Span::default(),
        target: Span::new(0, target.len()),
        authority: Span::new(target.len(), bytes.len()),
        path: Span::new(0, path.len()),
        query,
        fields: Span::default(),
        secure: false,
    };
    Head::new(HeadBytes::Memory(bytes.into()), layout)
}

fn new(port: u16, packets: usize) -> (Redirect, Context) {
    let mut cx = testing::context(packets, 1);
    let config = std::boxed::Box::leak(std::boxed::Box::new(Config { port }));
    (Redirect::new(config, &mut cx), cx)
}

/// Where a request is sent, on the port `port` of the same host.
fn location(port: u16, authority: &str, target: &str) -> (Status, String) {
    let (mut redirect, mut cx) = new(port, 4);
    let mut below = Port { waiting: [request(authority, target)].into(), ..Port::default() };
    redirect.receive(&mut below, &mut cx);
    let (_, response) = below.answers.pop().unwrap();
    let fields = response.fields().map_or(&b""[..], Fields::bytes);
    (response.code(), String::from_utf8(fields.to_vec()).unwrap())
}

#[test]
fn requests_are_sent_to_the_same_place() {
    for (port, authority, target, expected) in [
        (443, "example.org", "/", "https://example.org/"),
        (443, "example.org:80", "/a/b?c=d", "https://example.org/a/b?c=d"),
        (8443, "localhost:8080", "/x", "https://localhost:8443/x"),
        (443, "[2001:db8::12]:80", "/x?", "https://[2001:db8::12]/x?"),
        (8443, "[::1]", "/", "https://[::1]:8443/"),
        (443, "example.org:", "", "https://example.org/"),
        (443, "example.org", "*", "https://example.org/"),
    ] {
        let expected = std::format!("Location: {expected}\r\n");
        assert_eq!(location(port, authority, target), (Status::PERMANENT_REDIRECT, expected));
    }
    assert_eq!(location(443, "", "/"), (Status::BAD_REQUEST, String::new()));
    assert_eq!(location(443, ":80", "/"), (Status::BAD_REQUEST, String::new()));
}

#[test]
fn an_answer_without_room_waits_and_no_other_overtakes_it() {
    let (mut redirect, mut cx) = new(443, 4);
    let waiting = [request("a", "/"), request("b", "/")].into();
    let mut below = Port { waiting, refusals: 2, ..Port::default() };
    for _ in 0..2 {
        redirect.receive(&mut below, &mut cx);
        assert_eq!((below.answers.len(), below.accepted), (0, 1));
        assert_eq!(<Redirect as Component<Port>>::deadline(&redirect), Instant::ZERO);
    }
    redirect.receive(&mut below, &mut cx);
    assert_eq!(below.answers.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(<Redirect as Component<Port>>::deadline(&redirect), Instant::NEVER);
    assert_eq!(redirect.counters.redirected.get(), 2);
}

#[test]
fn one_sweep_answers_a_batch() {
    let (mut redirect, mut cx) = new(443, 100);
    let waiting = (0..40).map(|_| request("a", "/")).collect();
    let mut below = Port { waiting, ..Port::default() };
    redirect.receive(&mut below, &mut cx);
    assert_eq!(below.answers.len(), BATCH);
    assert_eq!(<Redirect as Component<Port>>::deadline(&redirect), Instant::ZERO);
    redirect.receive(&mut below, &mut cx);
    assert_eq!(below.answers.len(), 40);
}
