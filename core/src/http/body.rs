//! Writing a response's body while it is sent.

use super::slot::{BROKEN, FINISHED, Reply, TRAILED, WANTS_ROOM};
use super::writer::PIECE;
use super::{Body, FieldValue, Fields, IntoResponse, Response, head};
use crate::task::sleep;
use crate::{Duration, Packet, Pool};
use core::future::poll_fn;
use core::task::Poll;

/// The body of a response whose head is on its way. Made by
/// [`Request::stream`](super::Request::stream).
///
/// What is written is gathered into packets, and waits for the client to take them: a handler
/// that writes faster than its client reads is held up, and needs no more memory for it. Dropped
/// before [`finish`](Self::finish), it cuts the connection off, so that the client sees that
/// something is missing.
#[must_use = "a body that is not finished is cut off"]
pub struct BodyWriter {
    reply: Reply,
    part: Option<Packet>,
    finished: bool,
}

/// Proof that a body was written to its end: what a handler returns that streams its response.
#[derive(Debug)]
pub struct Finished(());

impl BodyWriter {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, part: None, finished: false }
    }

    /// Writes `bytes`.
    pub async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.fill(|room| {
                let count = room.len().min(bytes.len());
                let (now, later) = bytes.split_at(count);
                room.get_mut(..count).unwrap_or(&mut []).copy_from_slice(now);
                bytes = later;
                count
            })
            .await;
        }
    }

    /// Lets `fill` write into the room that the current packet has, at least one byte; it says
    /// how many bytes it wrote, from the front on.
    pub async fn fill(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) {
        if self.part.as_ref().is_some_and(|part| part.len() >= PIECE) {
            self.flush().await;
        }
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.packet().await,
        };
        let before = part.len();
        let room = PIECE.saturating_sub(before);
        let count = part.extend(room).map_or(0, |room| fill(room).min(room.len()));
        part.truncate(before + count);
        self.part = Some(part);
    }

    /// Sends a packet as it is, behind what was written before. Best left with the headroom of
    /// a fresh one.
    pub async fn send(&mut self, packet: Packet) {
        self.flush().await;
        self.queue(packet).await;
    }

    /// Sends what was written, without waiting for a packet to be full.
    pub async fn flush(&mut self) {
        if let Some(part) = self.part.take() {
            self.queue(part).await;
        }
    }

    /// Adds a field that follows the body, such as a checksum of it (RFC 9110, section 6.5). It
    /// is sent where the body has no announced length and the client speaks HTTP/1.1 or later;
    /// others do not get it. A name or a value that is not allowed in a field, or a name that
    /// belongs into the head, breaks the response off. As nobody may rely on fields that stand
    /// there, they are left out where there is no packet to begin with, and where they are longer
    /// together than the port lets a head be.
    pub fn trailer(&mut self, name: &str, value: impl FieldValue) {
        let Some(slot) = self.reply.slot() else { return };
        let known = slot.response_trailers.take();
        let Some(mut fields) = known.or_else(|| Fields::new(slot.pool)) else { return };
        if head::is_of_head(name) || fields.add(name, value).is_err() {
            // A line that breaks off is nobody's, and least of all that of the next exchange.
            return slot.set(BROKEN);
        }
        slot.set(TRAILED);
        slot.response_trailers.set(Some(fields));
    }

    /// Sends the rest and completes the body.
    pub async fn finish(mut self) -> Finished {
        self.flush().await;
        if let Some(slot) = self.reply.slot() {
            slot.set(FINISHED);
        }
        self.finished = true;
        Finished(())
    }

    /// An empty packet, once there is one.
    pub async fn packet(&self) -> Packet {
        loop {
            if let Some(packet) = self.reply.environment().pool.packet() {
                return packet;
            }
            // Nobody tells when packets come back; the pool has counted that there were none.
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn queue(&self, packet: Packet) {
        if packet.is_empty() {
            return;
        }
        let mut waiting = Some(packet);
        poll_fn(|_| {
            let (Some(slot), Some(packet)) = (self.reply.slot(), waiting.take()) else {
                return Poll::Ready(());
            };
            // Where packets are few, one that waits for its client is enough.
            let full = slot.pool.is_short() && !slot.outgoing.is_empty();
            match if full { Err(packet) } else { slot.outgoing.push(packet) } {
                Ok(()) => Poll::Ready(()),
                Err(packet) => {
                    waiting = Some(packet);
                    slot.set(WANTS_ROOM);
                    Poll::Pending
                }
            }
        })
        .await;
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if !self.finished
            && let Some(slot) = self.reply.slot()
        {
            slot.set(BROKEN);
        }
    }
}

impl IntoResponse for Finished {
    fn into_response(self, _: Pool) -> Response {
        Response::ok().body(Body::Stream)
    }
}

impl core::fmt::Debug for BodyWriter {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BodyWriter").field("finished", &self.finished).finish_non_exhaustive()
    }
}
