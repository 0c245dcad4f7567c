use crate::http::{Fields, Head, Response};
use crate::{Duration, Instant, Packet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Requests and their responses, whatever the version of HTTP that carries them.
///
/// One service stands on it. It [`accept`](Self::accept)s requests whose head has arrived and
/// owes each exchange exactly one [`respond`](Self::respond). When the response's body is
/// streamed, its parts follow by [`send`](Self::send), and [`finish`](Self::finish) after the
/// last; any other body is complete with the response itself. After that, or after
/// [`abort`](Self::abort), the exchange is over: its handle is not valid any more. On a handle
/// that is not valid, every method does nothing and reads as gone.
///
/// A response of the status 101 whose body is streamed leaves HTTP behind: the parts that are sent
/// and the body that is received are the bytes of the protocol that it names, up to the end of the
/// connection. Its head says `Connection: upgrade` by itself.
///
/// An exchange has news, by the tag that it was accepted with, when bytes of its body have
/// arrived after [`body`](Self::body) said [`Chunk::Pending`], when there is room after
/// [`send`](Self::send) had refused, and when it is gone.
pub trait HttpPort {
    /// How many requests wait to be accepted.
    fn waiting(&self) -> usize;

    /// When the one of them came that waits longest; [`Instant::NEVER`] when none waits.
    fn waiting_since(&self) -> Instant;

    /// The next request. `tag` is the service's own number for the exchange. What the body
    /// holds is not asked for before [`body`](Self::body) is called.
    fn accept(&mut self, tag: u32) -> Option<(Exchange, Head)>;

    /// The tag of the next exchange with news.
    fn news(&mut self) -> Option<u32>;

    /// Whether the client is gone, or has broken the rules of the protocol. What is left to do
    /// is to [`abort`](Self::abort) the exchange.
    fn is_gone(&self, exchange: Exchange) -> bool;

    /// The next part of the request's body.
    fn body(&mut self, exchange: Exchange) -> Chunk;

    /// The trailer fields of the request, as lines `name: value` with CR LF after each, once
    /// [`body`](Self::body) said [`Chunk::End`]; empty when there are none.
    fn trailers(&mut self, exchange: Exchange) -> Vec<u8> {
        let _ = exchange;
        Vec::new()
    }

    /// Sends the response's head, and its body unless that is streamed. `Err` when there is no
    /// room now: the exchange has news then as soon as there is.
    fn respond(&mut self, exchange: Exchange, response: Response) -> Result<(), Response>;

    /// Sends a part of a streamed body: a packet, without what may stand behind it. `Err` when
    /// there is no room now. Costs no copy when
    /// the packet has the headroom of a fresh one. Where the response has no body to send, as
    /// for `HEAD`, and on an exchange that is gone, the part is dropped.
    fn send(&mut self, exchange: Exchange, part: Packet) -> Result<(), Packet>;

    /// Sets the trailer fields of a streamed response, before [`finish`](Self::finish). They are
    /// dropped where the response's framing has no place for them.
    fn trail(&mut self, exchange: Exchange, trailers: Fields) {
        let _ = (exchange, trailers);
    }

    /// A streamed body is complete. When it is shorter than its response had said, this is an
    /// [`abort`](Self::abort).
    fn finish(&mut self, exchange: Exchange);

    /// Ends the exchange, so that the client sees that its response is not complete. What was
    /// sent before still reaches it, whole responses to earlier requests above all.
    fn abort(&mut self, exchange: Exchange);

    /// Makes room where there is none for new requests: ends the exchange whose client is the
    /// slowest to take its response, or to send its body, if it is behind by at least `slow`. The
    /// exchange is gone then, and has news. `false` when there is none such: all of them wait for
    /// the service itself, or move on.
    fn shed(&mut self, slow: Duration) -> bool;

    /// The client's address.
    fn peer(&self, exchange: Exchange) -> Option<SocketAddr>;

    /// Whether nobody on the way to its clients can read or change what passes, as
    /// [`StreamPort::is_secure`](crate::StreamPort::is_secure) says it of the connections, once
    /// the port is initialized. The [scheme](crate::http::Head::is_secure) of a request says
    /// nothing of that.
    fn is_secure(&self) -> bool {
        false
    }

    /// Who the client has shown to be, as [`StreamPort::identity`](crate::StreamPort::identity)
    /// says it of its connection. Asked once, when the request is accepted.
    fn identity(&mut self, exchange: Exchange) -> Option<Rc<str>> {
        let _ = exchange;
        None
    }
}

/// A request and its response, as their [`HttpPort`] knows them: a place and a generation, so
/// that an old handle never reaches a new exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exchange {
    /// The place in the provider's table.
    pub index: u32,
    /// How often the place was used before.
    pub generation: u32,
}

/// A part of a request's body.
#[derive(Debug)]
pub enum Chunk {
    /// The next bytes, at least one.
    Data(Packet),
    /// Nothing has arrived yet.
    Pending,
    /// There is nothing more: the body was complete, or there was none.
    End,
    /// There is nothing more, and the body was not complete: the exchange is gone.
    Aborted,
}
