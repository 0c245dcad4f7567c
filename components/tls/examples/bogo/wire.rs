//! The stream below the component: a socket to the runner.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use waitless::{
    ConnectError, ListenError, Packet, Phase, Pool, Service, Status, Stream, StreamPort,
};

/// Bytes that a packet brings.
const PIECE: usize = 1400;
/// How long the other end may say nothing before time passes here.
const PATIENCE: Duration = Duration::from_millis(20);

/// One connection at a time.
pub struct Wire {
    pool: Pool,
    socket: TcpStream,
    number: u32,
    arrived: VecDeque<Packet>,
    /// The other end sends nothing more.
    finished: bool,
    closed: bool,
    aborted: bool,
    pub released: bool,
    tag: Option<u32>,
    in_news: bool,
}

impl Wire {
    /// A connection to the runner, which is told whose it is.
    pub fn open(number: u32, to: (bool, u16, u64), pool: Pool) -> Result<Self, String> {
        let (ipv6, port, id) = to;
        let address: SocketAddr = match ipv6 {
            true => (Ipv6Addr::LOCALHOST, port).into(),
            false => (Ipv4Addr::LOCALHOST, port).into(),
        };
        let open = || {
            let mut socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.write_all(&id.to_le_bytes())?;
            Ok(socket)
        };
        let socket = open().map_err(|why: std::io::Error| format!("{address}: {why}"))?;
        Ok(Self {
            pool,
            socket,
            number,
            arrived: VecDeque::new(),
            finished: false,
            closed: false,
            aborted: false,
            released: false,
            tag: None,
            in_news: false,
        })
    }

    /// Waits for a moment for what the other end says.
    pub fn listen(&mut self) {
        let mut bytes = [0; 8 * PIECE];
        if self.finished || !self.arrived.is_empty() {
            return std::thread::sleep(Duration::from_millis(1));
        }
        match self.socket.read(&mut bytes) {
            Ok(0) => self.finished = true,
            Ok(count) => {
                for part in bytes[..count].chunks(PIECE) {
                    let mut packet = self.pool.packet().expect("a packet");
                    packet.append(part).expect("room in a packet");
                    self.arrived.push_back(packet);
                }
            }
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            Err(_) => (self.finished, self.aborted) = (true, true),
        }
        self.in_news = true;
    }

    /// Lets the other end read everything.
    pub fn drain(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write);
        let mut left = 100;
        while !self.finished && left > 0 {
            self.arrived.clear();
            self.listen();
            left -= 1;
        }
    }

    fn stream(&self) -> Stream {
        Stream { index: 0, generation: self.number }
    }

    fn is(&self, stream: Stream) -> bool {
        stream == self.stream() && !self.released
    }
}

impl StreamPort for Wire {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(0))
    }

    fn listen(&mut self, _: Service, _: u16) -> Result<(), ListenError> {
        // Whom the runner has connected to.
        self.in_news = true;
        Ok(())
    }

    fn connect(&mut self, _: Service, _: SocketAddr) -> Result<Stream, ConnectError> {
        self.in_news = true;
        Ok(self.stream())
    }

    fn news(&mut self, _: Service) -> Option<Stream> {
        let news = std::mem::take(&mut self.in_news) && !self.released;
        news.then(|| self.stream())
    }

    fn status(&self, stream: Stream) -> Status {
        if !self.is(stream) {
            return Status::default();
        }
        Status {
            phase: match self.aborted || self.closed && self.finished {
                true => Phase::Closed,
                false => Phase::Open,
            },
            readable: self.arrived.iter().map(Packet::len).sum(),
            writable: usize::MAX,
            unacknowledged: 0,
            finished: self.finished,
            segment: 1448,
        }
    }

    fn tag(&self, stream: Stream) -> Option<u32> {
        self.tag.filter(|_| self.is(stream))
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        if self.is(stream) {
            self.tag = Some(tag);
        }
    }

    fn peer(&self, _: Stream) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    fn local(&self, _: Stream) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    fn readable(&self, _: Stream) -> &[u8] {
        self.arrived.front().map_or(&[], Packet::bytes)
    }

    fn consume(&mut self, stream: Stream, count: usize) {
        if let Some(packet) = self.arrived.front_mut().filter(|_| stream.index == 0) {
            packet.trim_front(count);
        }
    }

    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        if self.is(stream) { self.arrived.pop_front() } else { None }
    }

    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }

    fn commit(&mut self, _: Stream, _: usize) {}

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        assert!(self.is(stream) && !self.closed, "data behind the end");
        // Who does not listen any more is found out by reading.
        let _ = self.socket.write_all(packet.bytes());
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        if self.is(stream) && !std::mem::replace(&mut self.closed, true) {
            let _ = self.socket.shutdown(Shutdown::Write);
            self.in_news = true;
        }
    }

    fn abort(&mut self, stream: Stream) {
        if self.is(stream) {
            self.aborted = true;
            self.arrived.clear();
            self.in_news = true;
        }
    }

    fn release(&mut self, stream: Stream) {
        if self.is(stream) {
            self.released = true;
            self.arrived.clear();
        }
    }
}
