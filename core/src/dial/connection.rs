//! A handler's end of a connection that it began.

use super::{Broken, Dialer, Line};
use crate::Packet;
use crate::packet::HEADROOM;
use crate::task::{Task, yield_now};
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

/// A connection that a handler began. Dropping it gives it up: what was written is still sent, and
/// the end is agreed with the other side.
pub struct Connection {
    dialer: &'static Dialer,
    line: &'static Line,
}

/// Bytes of a packet that [`Connection::write`] makes, at most: what fits into one segment on
/// every usual link.
const PACKET: usize = 1400;

impl Connection {
    pub(super) fn begin(
        dialer: &'static Dialer,
        line: &'static Line,
        host: &str,
        port: u16,
    ) -> Self {
        line.begin(host, port);
        dialer.touch(line.index());
        Self { dialer, line }
    }

    /// The other end.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.line.peer.get()
    }

    /// The next bytes, as they come; `None` once the other side has said all.
    pub async fn recv(&mut self) -> Result<Option<Packet>, Broken> {
        poll_fn(|cx| {
            let was_full = !self.line.has_room();
            if let Some(packet) = self.line.incoming.pop() {
                if was_full {
                    self.dialer.touch(self.line.index());
                }
                return Poll::Ready(Ok(Some(packet)));
            }
            if self.line.has_ended() {
                return Poll::Ready(self.line.broken.get().map_or(Ok(None), Err));
            }
            self.line.wait(Task::expect(cx));
            Poll::Pending
        })
        .await
    }

    /// Sends `packet`, once there is room.
    pub async fn send(&mut self, packet: Packet) -> Result<(), Broken> {
        let mut waiting = Some(packet);
        poll_fn(|cx| {
            if let Some(why) = self.line.broken.get() {
                return Poll::Ready(Err(why));
            }
            if self.line.finished.get() {
                return Poll::Ready(Err(Broken::Finished));
            }
            let Some(packet) = waiting.take() else { return Poll::Ready(Ok(())) };
            match self.line.outgoing.push(packet) {
                Ok(()) => {
                    self.dialer.touch(self.line.index());
                    Poll::Ready(Ok(()))
                }
                Err(packet) => {
                    waiting = Some(packet);
                    self.line.wait(Task::expect(cx));
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Sends a copy of `bytes`.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        for part in bytes.chunks(PACKET) {
            let mut packet = self.packet().await;
            packet.reset(HEADROOM);
            // It fits: a buffer holds more behind its headroom.
            let _ = packet.append(part);
            self.send(packet).await?;
        }
        Ok(())
    }

    /// Says that nothing follows. Receiving goes on.
    pub fn finish(&mut self) {
        self.line.finished.set(true);
        self.dialer.touch(self.line.index());
    }

    /// An empty packet, once there is one.
    async fn packet(&self) -> Packet {
        loop {
            if let Some(packet) = self.line.pool.packet() {
                return packet;
            }
            yield_now().await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.leave();
        self.dialer.touch(self.line.index());
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer()).finish_non_exhaustive()
    }
}
