//! Bodies that are sent.

use crate::http::Body;
use crate::http::slot::Reply;
use crate::task::{Receiver, Task};
use crate::{Packet, Pool};
use alloc::vec::Vec;
use core::pin::pin;
use core::task::{Context, Poll};

/// Where the parts of a body come from that is sent as it comes.
///
/// A part is asked for when there is room for it, so who is slow to take them holds who makes
/// them up.
pub trait Source {
    /// The next part; `None` behind the last. Where there is none yet, whatever brings it wakes
    /// the task.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Packet>>;
}

/// A [`Source`] without any parts: of a request whose body is not streamed.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Source for Nothing {
    fn poll_part(&mut self, _: &mut Context<'_>) -> Poll<Option<Packet>> {
        Poll::Ready(None)
    }
}

/// The body of the request that is being handled: see
/// [`Request::incoming`](crate::http::Request::incoming).
pub struct Incoming(Reply);

impl Incoming {
    pub(in crate::http) fn new(reply: Reply) -> Self {
        Self(reply)
    }
}

impl Source for Incoming {
    fn poll_part(&mut self, _: &mut Context<'_>) -> Poll<Option<Packet>> {
        match self.0.slot() {
            Some(_) => self.0.poll_chunk(),
            // Its request is over, which is no end of the body.
            None => Poll::Pending,
        }
    }
}

impl core::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Incoming")
    }
}

/// Packets that somebody sends into a [`channel`](crate::task::channel); the body ends when all
/// senders are gone.
impl Source for Receiver<Packet> {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Packet>> {
        pin!(self.recv()).poll(cx)
    }
}

/// A body, one way or the other.
#[derive(Debug)]
pub(super) enum Outgoing<S> {
    /// What is known from the start, and how much of it was sent.
    Whole(Whole, usize),
    /// What comes bit by bit, and whether anything did.
    Parts(S, bool),
}

/// A body that is known from the start.
#[derive(Debug)]
pub(super) enum Whole {
    None,
    Static(&'static [u8]),
    One(Packet),
    Many(Vec<Packet>),
}

impl Whole {
    /// The same as [`Body`], which is none of those that are streamed.
    pub fn of(body: Body) -> Self {
        match body {
            Body::Empty | Body::Stream => Self::None,
            Body::Static(bytes) => Self::Static(bytes),
            Body::Packet(mut first) => {
                let Some(second) = first.take_next() else { return Self::One(first) };
                let mut packets = Vec::from([first]);
                let mut next = Some(second);
                while let Some(mut packet) = next {
                    next = packet.take_next();
                    packets.push(packet);
                }
                Self::Many(packets)
            }
        }
    }

    /// Its bytes; `None` where there is no body.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Static(bytes) => Some(bytes.len() as u64),
            Self::One(packet) => Some(packet.len() as u64),
            Self::Many(packets) => Some(packets.iter().map(|packet| packet.len() as u64).sum()),
        }
    }

    /// All bytes, where they stand together.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Static(bytes) => Some(bytes),
            Self::One(packet) => Some(packet.bytes()),
            Self::None | Self::Many(_) => None,
        }
    }

    /// What follows the first `sent` parts; and how many are sent with it.
    fn part(&self, sent: usize) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Static(bytes) => bytes.chunks(PART).nth(sent).unwrap_or(&[]),
            Self::One(packet) => {
                if sent == 0 {
                    packet.bytes()
                } else {
                    &[]
                }
            }
            Self::Many(packets) => packets.get(sent).map_or(&[], Packet::bytes),
        }
    }
}

impl<S: Source> Outgoing<S> {
    /// The next part. Of what is known from the start, it is a copy: it may have to be sent again.
    pub fn poll_part(&mut self, pool: Pool, cx: &mut Context<'_>) -> Poll<Option<Packet>> {
        match self {
            Self::Whole(whole, sent) => {
                let part = whole.part(*sent);
                if part.is_empty() {
                    return Poll::Ready(None);
                }
                let copied = crate::http::wire::copy(part, pool).ok();
                match copied {
                    Some(packet) => {
                        *sent += 1;
                        Poll::Ready(Some(packet))
                    }
                    None => {
                        // Nobody tells when packets come back.
                        Task::expect(cx).wake();
                        Poll::Pending
                    }
                }
            }
            Self::Parts(source, begun) => {
                let part = source.poll_part(cx);
                *begun |= part.is_ready();
                part
            }
        }
    }

    /// Makes it ready to be sent again. Whether it could.
    pub fn rewind(&mut self) -> bool {
        match self {
            Self::Whole(_, sent) => {
                *sent = 0;
                true
            }
            Self::Parts(_, begun) => !*begun,
        }
    }

    /// Makes it ready to be sent, if it can be sent as often as may be.
    pub fn rewind_whole(&mut self) -> bool {
        matches!(self, Self::Whole(..)) && self.rewind()
    }
}

/// Bytes of a part that a body is cut into.
const PART: usize = 1400;
