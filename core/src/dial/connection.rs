//! A handler's end of a connection that it began.

use super::{Broken, Dialer, Line};
use crate::packet::HEADROOM;
use crate::task::{Task, sleep};
use crate::{Duration, Packet};
use core::fmt;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

/// A connection that a handler began. Dropping it gives it up: what was written is still sent, and
/// the end is agreed with the other side.
pub struct Connection {
    dialer: &'static Dialer,
    line: &'static Line,
}

/// Why a packet was not sent.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// There is no room now: the packet.
    Full(Packet),
    /// There never will be.
    Broken(Broken),
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
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Sends `packet`, once there is room.
    pub async fn send(&mut self, packet: Packet) -> Result<(), Broken> {
        let mut waiting = Some(packet);
        poll_fn(|cx| {
            let Some(packet) = waiting.take() else { return Poll::Ready(Ok(())) };
            match self.try_send(packet, cx) {
                Ok(()) => Poll::Ready(Ok(())),
                Err(Unsent::Broken(why)) => Poll::Ready(Err(why)),
                Err(Unsent::Full(packet)) => {
                    waiting = Some(packet);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next bytes, as [`recv`](Self::recv) gives them; or the task is woken once there is
    /// something.
    pub(crate) fn poll_recv(&self, cx: &Context<'_>) -> Poll<Result<Option<Packet>, Broken>> {
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
    }

    /// Sends `packet`; or the task is woken once there may be room for it.
    pub(crate) fn try_send(&self, packet: Packet, cx: &Context<'_>) -> Result<(), Unsent> {
        if let Some(why) = self.line.broken.get() {
            return Err(Unsent::Broken(why));
        }
        if self.line.finished.get() {
            return Err(Unsent::Broken(Broken::Finished));
        }
        match self.line.outgoing.push(packet) {
            Ok(()) => {
                self.dialer.touch(self.line.index());
                Ok(())
            }
            Err(packet) => {
                self.line.wait(Task::expect(cx));
                Err(Unsent::Full(packet))
            }
        }
    }

    /// Whether it is open, and the other side has said nothing that was not received.
    pub(crate) fn is_quiet(&self) -> bool {
        self.line.incoming.is_empty() && !self.line.has_ended()
    }

    /// Nobody waits for anything here any more.
    pub(crate) fn rest(&self) {
        self.line.forget();
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
        self.say_all();
    }

    /// The same, for who shares it.
    pub(crate) fn say_all(&self) {
        self.line.finished.set(true);
        self.dialer.touch(self.line.index());
    }

    /// An empty packet, once there is one.
    async fn packet(&self) -> Packet {
        loop {
            if let Some(packet) = self.line.pool.packet() {
                return packet;
            }
            // Nobody tells when one comes back; until then the core may sleep.
            sleep(Duration::from_millis(1)).await;
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
