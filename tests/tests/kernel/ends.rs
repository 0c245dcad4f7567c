//! Bytes that pass a connection, and both of its ends to pass them through.

use crate::link::Link;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use waitless::{Phase, Stream, StreamPort};
use waitless_tests::live::Live;

/// The byte at `position` of what the end numbered `side` sends.
fn byte(side: usize, position: usize) -> u8 {
    (position.wrapping_mul(31) ^ (position >> 8).wrapping_mul(7) ^ side.wrapping_mul(101)) as u8
}

/// How far an end is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub to_send: usize,
    pub sent: usize,
    pub received: usize,
    /// The other end has ended, and all before that was read.
    pub finished: bool,
    closed: bool,
}

impl Progress {
    pub fn new(to_send: usize) -> Self {
        Self { to_send, ..Self::default() }
    }

    pub fn is_sent(&self) -> bool {
        self.sent == self.to_send
    }

    fn check(&mut self, side: usize, bytes: &[u8]) {
        for &got in bytes {
            assert_eq!(got, byte(side, self.received), "at {}", self.received);
            self.received += 1;
        }
    }

    fn next(&self, side: usize, room: &mut [u8]) -> usize {
        let count = room.len().min(self.to_send - self.sent);
        for (at, place) in room[..count].iter_mut().enumerate() {
            *place = byte(side, self.sent + at);
        }
        count
    }
}

/// The graph's end.
pub struct Ours {
    pub stream: Stream,
    pub progress: Progress,
}

/// The kernel's.
pub struct Theirs {
    pub socket: TcpStream,
    pub progress: Progress,
}

impl Ours {
    pub fn write(&mut self, link: &mut Link) {
        let tcp = link.tcp();
        while !self.progress.is_sent() {
            let count = self.progress.next(1, tcp.writable(self.stream));
            if count == 0 {
                return;
            }
            tcp.commit(self.stream, count);
            self.progress.sent += count;
        }
    }

    pub fn read(&mut self, link: &mut Link) {
        let tcp = link.tcp();
        while !tcp.readable(self.stream).is_empty() {
            let bytes = tcp.readable(self.stream);
            let count = bytes.len();
            self.progress.check(2, bytes);
            tcp.consume(self.stream, count);
        }
        self.progress.finished = tcp.status(self.stream).finished;
    }

    pub fn close(&mut self, link: &mut Link) {
        if !self.progress.closed {
            self.progress.closed = true;
            link.tcp().close(self.stream);
        }
    }
}

impl Theirs {
    #[track_caller]
    pub fn write(&mut self) {
        let mut bytes = [0; 16_384];
        while !self.progress.is_sent() {
            let count = self.progress.next(2, &mut bytes);
            match self.socket.write(&bytes[..count]) {
                Ok(count) => self.progress.sent += count,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(why) => panic!("the kernel cannot send: {why}"),
            }
        }
    }

    #[track_caller]
    pub fn read(&mut self) {
        let mut bytes = [0; 16_384];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return self.progress.finished = true,
                Ok(count) => self.progress.check(1, &bytes[..count]),
                Err(why) if why.kind() == ErrorKind::WouldBlock => return,
                Err(why) => panic!("the kernel cannot receive: {why}"),
            }
        }
    }

    pub fn close(&mut self) {
        if !self.progress.closed {
            self.progress.closed = true;
            self.socket.shutdown(Shutdown::Write).expect("an open socket");
        }
    }
}

/// Sends `up` bytes from the kernel and `down` from the graph, and ends the connection in
/// agreement, each end as soon as it has sent everything.
#[track_caller]
pub fn exchange(link: &mut Link, ends: (Stream, TcpStream), up: usize, down: usize) {
    let (stream, socket) = ends;
    let mut ours = Ours { stream, progress: Progress::new(down) };
    let mut theirs = Theirs { socket, progress: Progress::new(up) };
    link.until("everything, both ways", |link| {
        theirs.write();
        theirs.read();
        ours.read(link);
        ours.write(link);
        if theirs.progress.is_sent() {
            theirs.close();
        }
        if ours.progress.is_sent() {
            ours.close(link);
        }
        (ours.progress.finished && theirs.progress.finished).then_some(())
    });
    assert_eq!((theirs.progress.received, ours.progress.received), (down, up));
    link.expect_phase(stream, Phase::Closed);
    link.tcp().release(stream);
}
