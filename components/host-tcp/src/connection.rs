//! One connection: its socket, the bytes that wait on either side, and where it is in its life.

use mio::net::TcpStream;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use waitless::packet::{CAPACITY, HEADROOM};
use waitless::{Packet, Phase, Pool, Service};

/// A connection. `socket` is there as long as the phase is `Opening` or `Open`.
pub struct Connection {
    pub socket: Option<TcpStream>,
    pub service: Service,
    pub tag: Option<u32>,
    pub phase: Phase,
    pub peer: SocketAddr,
    /// Bytes for the service.
    arrived: VecDeque<Packet>,
    arrived_bytes: usize,
    /// Bytes for the host.
    queued: VecDeque<Packet>,
    queued_bytes: usize,
    /// What the service may write into, and how much of it is committed (and in `queued_bytes`).
    window: Option<Packet>,
    committed: usize,
    /// Whether the socket may have something to read: known to be false after it said so.
    pub may_read: bool,
    /// Whether the socket may take something.
    pub may_write: bool,
    /// Whether the host has told that nothing follows what it has.
    pub peer_ended: bool,
    /// Whether everything that the peer sent has been read, and nothing follows.
    pub is_finished: bool,
    /// Whether nothing follows what is queued.
    pub is_closing: bool,
    /// Whether the host was told so.
    pub is_shut: bool,
    /// Whether the service has given it up.
    pub is_released: bool,
    /// Whether all that had arrived when it was given up is gone.
    is_drained: bool,
    /// Whether the last read filled all that it was given.
    is_busy: bool,
    /// Which lists it is in.
    pub in_news: bool,
    pub in_readable: bool,
    pub in_dirty: bool,
    pub in_starved: bool,
}

/// The memory that an ended connection leaves to the next one, so that neither allocates.
#[derive(Default)]
pub struct Remains {
    arrived: VecDeque<Packet>,
    queued: VecDeque<Packet>,
}

/// What a read brought.
pub enum Read {
    /// Nothing now.
    Nothing,
    /// So many bytes.
    Bytes(usize),
    /// The end.
    End,
    /// Bytes for a connection that was given up.
    Unwanted,
}

/// Whether a service can write.
pub enum Window {
    /// There is room.
    Open,
    /// As much is queued as may be, or nothing may follow.
    Shut,
    /// It takes a packet, and there is none.
    NoPacket,
}

/// What a flush did.
pub struct Flushed {
    /// Bytes that the host took.
    pub bytes: usize,
    /// Whether the host knows all that there was to say, the end included.
    pub is_done: bool,
}

/// Payload of a packet read into.
pub const SEGMENT: usize = CAPACITY - HEADROOM;
/// Packets that one read fills at most.
const READ_PACKETS: usize = 8;
/// Packets that one write empties at most.
const WRITE_PACKETS: usize = 16;
/// Writes for one connection in one sweep.
const WRITES: usize = 4;
/// Reads of 2 KiB whose bytes are discarded when a connection was given up.
const DISCARD_READS: usize = 64;

impl Connection {
    /// A connection to `peer`; `Opening` when it is not agreed yet.
    pub fn new(
        socket: TcpStream,
        service: Service,
        phase: Phase,
        peer: SocketAddr,
        remains: Remains,
    ) -> Self {
        Self {
            socket: Some(socket),
            service,
            tag: None,
            phase,
            peer,
            arrived: remains.arrived,
            arrived_bytes: 0,
            queued: remains.queued,
            queued_bytes: 0,
            window: None,
            committed: 0,
            may_read: false,
            may_write: phase == Phase::Open,
            peer_ended: false,
            is_finished: false,
            is_closing: false,
            is_shut: false,
            is_released: false,
            is_drained: false,
            is_busy: false,
            in_news: false,
            in_readable: false,
            in_dirty: false,
            in_starved: false,
        }
    }

    /// What is left when the connection is over. The host closes the socket with it.
    pub fn into_remains(self) -> Remains {
        let Self { mut arrived, mut queued, .. } = self;
        arrived.clear();
        queued.clear();
        Remains { arrived, queued }
    }

    /// Whether the connection could be opened; `false` when that is not known yet.
    pub fn finish_opening(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => {
                self.phase = Phase::Open;
                self.may_write = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads once, while fewer than `limit` bytes wait.
    pub fn read(&mut self, pool: Pool, limit: usize) -> io::Result<Read> {
        if self.is_released {
            return self.read_unwanted();
        }
        if !self.may_read || self.is_finished || !self.has_room(limit) {
            return Ok(Read::Nothing);
        }
        let Some(socket) = &mut self.socket else { return Ok(Read::Nothing) };
        // Most requests fit into one packet; who fills it gets more at the next read.
        let wanted = if self.is_busy { READ_PACKETS } else { 1 };
        let wanted = wanted.min((limit - self.arrived_bytes).div_ceil(SEGMENT));
        let mut packets = heapless::Vec::<Packet, READ_PACKETS>::new();
        packets.extend((0..wanted).map_while(|_| {
            let mut packet = pool.packet()?;
            packet.extend(SEGMENT).ok()?;
            Some(packet)
        }));
        let room = packets.len() * SEGMENT;
        if room == 0 {
            return Ok(Read::Nothing);
        }
        let count = match read_into(socket, &mut packets) {
            Ok(0) => {
                self.may_read = false;
                self.is_finished = true;
                return Ok(Read::End);
            }
            Ok(count) => count,
            Err(error) => {
                self.may_read &= error.kind() != ErrorKind::WouldBlock;
                return if is_transient(&error) { Ok(Read::Nothing) } else { Err(error) };
            }
        };
        self.is_busy = count == room;
        // A socket that did not fill the room is empty, unless its end is still to be read.
        self.may_read = self.is_busy || self.peer_ended;
        let mut left = count;
        for mut packet in packets {
            packet.truncate(left);
            left -= packet.len();
            if !packet.is_empty() {
                self.arrived.push_back(packet);
            }
        }
        self.arrived_bytes += count;
        Ok(Read::Bytes(count))
    }

    /// Reads for a connection that was given up: bytes that arrive now are unwanted.
    fn read_unwanted(&mut self) -> io::Result<Read> {
        let was_drained = self.is_drained;
        let mut scratch = [0; 2048];
        for _ in 0..DISCARD_READS {
            let Some(socket) = &mut self.socket else { return Ok(Read::Nothing) };
            match socket.read(&mut scratch) {
                Ok(0) => {
                    self.may_read = false;
                    self.is_finished = true;
                    return Ok(Read::End);
                }
                Ok(_) if was_drained => return Ok(Read::Unwanted),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.may_read = false;
                    self.is_drained = true;
                    return Ok(Read::Nothing);
                }
                Err(error) if is_transient(&error) => return Ok(Read::Nothing),
                Err(error) => return Err(error),
            }
        }
        Ok(Read::Unwanted)
    }

    /// Reads away what has arrived for a connection that was given up; `false` when so much
    /// arrives that it must be reset.
    pub fn discard_arrived(&mut self) -> bool {
        self.is_drained || self.is_finished || !matches!(self.read_unwanted(), Ok(Read::Unwanted))
    }

    /// Writes what is queued, and the end behind it.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        self.seal();
        let mut bytes = 0;
        for _ in 0..WRITES {
            if !self.may_write || self.queued.is_empty() {
                break;
            }
            bytes += self.write()?;
        }
        let is_done = self.queued.is_empty() && self.is_closing && self.phase == Phase::Open;
        if is_done
            && !self.is_shut
            && let Some(socket) = &self.socket
        {
            socket.shutdown(Shutdown::Write)?;
            self.is_shut = true;
        }
        Ok(Flushed { bytes, is_done })
    }

    fn write(&mut self) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Ok(0) };
        let (count, offered) = match write_from(socket, &self.queued) {
            Ok(counts) => counts,
            Err(error) => {
                self.may_write &= error.kind() != ErrorKind::WouldBlock;
                return if is_transient(&error) { Ok(0) } else { Err(error) };
            }
        };
        self.may_write = count == offered;
        self.queued_bytes -= count;
        drop_front(&mut self.queued, count);
        Ok(count)
    }

    /// Moves what is committed of the window into the queue, and gives an unused window back.
    fn seal(&mut self) {
        if let Some(mut packet) = self.window.take()
            && self.committed > 0
        {
            packet.truncate(self.committed);
            self.queued.push_back(packet);
        }
        self.committed = 0;
    }

    /// Ends the connection as `phase`. What has arrived can still be read.
    pub fn end(&mut self, phase: Phase) {
        self.socket = None;
        self.phase = phase;
        self.may_read = false;
        self.may_write = false;
        self.queued.clear();
        self.queued_bytes = 0;
        self.window = None;
        self.committed = 0;
    }

    /// Ends the connection and lets the host tell the peer by a reset.
    pub fn reset(&mut self) {
        if let Some(socket) = &self.socket {
            // Where it fails, the peer finds out by itself: the socket closes in any case.
            let socket = socket2::SockRef::from(socket);
            let _ = socket.set_linger(Some(std::time::Duration::ZERO));
        }
        self.end(Phase::Closed);
        self.forget_arrived();
    }

    /// Gives up: what is queued is still sent.
    pub fn release(&mut self) {
        self.is_released = true;
        self.is_closing = true;
        self.tag = None;
        self.forget_arrived();
    }

    /// Whether another read fits.
    pub fn has_room(&self, limit: usize) -> bool {
        self.arrived_bytes < limit
    }

    /// Whether a flush would do anything, as far as can be known.
    pub fn has_work(&self) -> bool {
        !self.queued.is_empty()
            || self.window.is_some()
            || (self.is_closing && self.phase == Phase::Open && (!self.is_shut || self.is_released))
    }

    /// Bytes for the service.
    pub fn arrived_bytes(&self) -> usize {
        self.arrived_bytes
    }

    /// Bytes for the host, committed ones included.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Bytes that can be queued when `limit` may be.
    pub fn room(&self, limit: usize) -> usize {
        let is_writable = matches!(self.phase, Phase::Opening | Phase::Open) && !self.is_closing;
        // Many small packets take as much memory as few large ones, so they are limited too.
        if !is_writable || self.queued.len() >= limit / 1024 {
            return 0;
        }
        limit.saturating_sub(self.queued_bytes)
    }

    /// The first bytes that have arrived.
    pub fn first_arrived(&self) -> &[u8] {
        self.arrived.front().map_or(&[], Packet::bytes)
    }

    /// Takes `count` arrived bytes away.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.arrived_bytes);
        self.arrived_bytes -= count;
        drop_front(&mut self.arrived, count);
    }

    /// Takes the first arrived packet.
    pub fn take_arrived(&mut self) -> Option<Packet> {
        let packet = self.arrived.pop_front()?;
        self.arrived_bytes -= packet.len();
        Some(packet)
    }

    /// Makes [`window`](Self::window) as large as it can be, when `limit` bytes may be queued.
    pub fn open_window(&mut self, pool: Pool, limit: usize) -> Window {
        if self.room(limit) == 0 {
            return Window::Shut;
        }
        if self.window.as_ref().is_some_and(|window| window.len() == self.committed) {
            self.seal();
        }
        if self.window.is_none() {
            let Some(mut packet) = pool.packet() else { return Window::NoPacket };
            if packet.extend(SEGMENT).is_err() {
                return Window::NoPacket;
            }
            self.window = Some(packet);
        }
        Window::Open
    }

    /// Where the service may write.
    pub fn window(&mut self, limit: usize) -> &mut [u8] {
        let room = self.room(limit);
        let window = self.window.as_mut().map(Packet::bytes_mut).unwrap_or_default();
        let window = window.get_mut(self.committed..).unwrap_or_default();
        let length = room.min(window.len());
        &mut window[..length]
    }

    /// Queues the first `count` bytes of the window.
    pub fn commit(&mut self, count: usize) {
        let window = self.window.as_ref().map_or(0, Packet::len);
        let count = count.min(window - self.committed);
        self.committed += count;
        self.queued_bytes += count;
    }

    /// Queues a packet, which [`room`](Self::room) has room for.
    pub fn push(&mut self, packet: Packet) {
        self.seal();
        self.queued_bytes += packet.len();
        if !packet.is_empty() {
            self.queued.push_back(packet);
        }
    }

    fn forget_arrived(&mut self) {
        self.arrived.clear();
        self.arrived_bytes = 0;
    }
}

/// Fills packets; how many bytes there were.
fn read_into(socket: &mut TcpStream, packets: &mut [Packet]) -> io::Result<usize> {
    let mut slices = heapless::Vec::<IoSliceMut<'_>, READ_PACKETS>::new();
    slices.extend(packets.iter_mut().map(|packet| IoSliceMut::new(packet.bytes_mut())));
    socket.read_vectored(&mut slices)
}

/// Offers packets; how many bytes the host took, of how many.
fn write_from(socket: &mut TcpStream, packets: &VecDeque<Packet>) -> io::Result<(usize, usize)> {
    let mut slices = heapless::Vec::<IoSlice<'_>, WRITE_PACKETS>::new();
    let first = packets.iter().take(WRITE_PACKETS);
    slices.extend(first.map(|packet| IoSlice::new(packet.bytes())));
    let offered = slices.iter().map(|slice| slice.len()).sum();
    socket.write_vectored(&slices).map(|count| (count, offered))
}

/// What became of a connection on which a call failed with `error`.
pub fn phase_of(error: &io::Error) -> Phase {
    match error.kind() {
        ErrorKind::TimedOut => Phase::TimedOut,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => Phase::Unreachable,
        _ => Phase::Reset,
    }
}

/// Whether `error` says that the process or the host has run out of something for now.
pub fn is_exhausted(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn drop_front(packets: &mut VecDeque<Packet>, mut count: usize) {
    while let Some(packet) = packets.front_mut() {
        if count < packet.len() {
            return packet.trim_front(count);
        }
        count -= packet.len();
        packets.pop_front();
    }
}
