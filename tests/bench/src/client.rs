//! A client made of frames: just enough TCP to drive a server over a wire that loses nothing.
//!
//! It costs the same whatever it drives, and is not part of what is measured.

/// What is measured: a network stack with a server on top, behind a wire.
pub trait Host {
    /// Puts a frame on the wire towards the host.
    fn deliver(&mut self, frame: &[u8]);
    /// Lets the host work until it has nothing left to do. This alone is measured.
    fn work(&mut self, now: u64);
    /// The next frame that the host sent, copied into `into`; its length.
    fn sent(&mut self, into: &mut [u8]) -> Option<usize>;
    /// What it counted, for a run that fails.
    fn counters(&self) -> String {
        String::new()
    }
}

/// The addresses of the wire.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The server's address.
pub const SERVER: [u8; 4] = [10, 0, 0, 1];
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The client's address.
pub const CLIENT: [u8; 4] = [10, 0, 0, 2];

/// Connections that each have one request under way at a time.
pub struct Client {
    connections: Vec<Connection>,
    server_port: u16,
    /// Received payload bytes since the round began, over all connections.
    received: usize,
    identification: u16,
}

struct Connection {
    port: u16,
    next: u32,
    acknowledged: u32,
    open: bool,
}

const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

impl Client {
    /// Opens `count` connections to `port` of the host.
    pub fn open(host: &mut impl Host, port: u16, count: usize) -> Self {
        let mut client = Self::reserve(port, count);
        for _ in 0..count {
            client.connect(host);
        }
        client
    }

    /// No connection yet, and room for `count` to `port` of the host.
    pub fn reserve(port: u16, count: usize) -> Self {
        let connections = Vec::with_capacity(count);
        Self { connections, server_port: port, received: 0, identification: 0 }
    }

    /// Opens one more connection.
    pub fn connect(&mut self, host: &mut impl Host) {
        let index = self.connections.len();
        self.connections.push(Connection {
            port: 20_000 + index as u16,
            next: 1_000 * index as u32,
            acknowledged: 0,
            open: false,
        });
        let frame = self.segment(index, SYN, &[]);
        self.connections[index].next += 1;
        host.deliver(&frame);
        for step in 0..8 {
            host.work(step);
            self.collect(host);
        }
        assert!(self.connections[index].open, "connection {index} did not open");
    }

    /// Sends `request` on the connection that was opened last, takes the answer and says so:
    /// nothing is under way afterwards.
    pub fn ask_once(&mut self, host: &mut impl Host, request: &[u8]) {
        let index = self.connections.len() - 1;
        self.received = 0;
        let asking = self.segment(index, PSH | ACK, request);
        let connection = &mut self.connections[index];
        connection.next = connection.next.wrapping_add(request.len() as u32);
        host.deliver(&asking);
        host.work(0);
        self.collect(host);
        assert!(self.received > 0, "connection {index} got no answer\n{}", host.counters());
        let thanks = self.segment(index, ACK, &[]);
        host.deliver(&thanks);
        host.work(0);
        self.collect(host);
    }

    /// Sends `request` on every connection and takes answers until `expected` bytes came on
    /// each. Gives how often the host had to work.
    pub fn round(&mut self, host: &mut impl Host, request: &[u8], expected: usize) -> usize {
        self.received = 0;
        for index in 0..self.connections.len() {
            let frame = self.segment(index, PSH | ACK, request);
            let connection = &mut self.connections[index];
            connection.next = connection.next.wrapping_add(request.len() as u32);
            host.deliver(&frame);
        }
        let want = expected * self.connections.len();
        for turn in 1..1_000 {
            host.work(turn as u64);
            self.collect(host);
            if self.received >= want {
                assert_eq!(self.received, want, "more was answered than expected");
                return turn;
            }
        }
        panic!("{} of {want} bytes were answered\n{}", self.received, host.counters());
    }

    /// Answers `request` once on the first connection, to learn how long the answer is.
    pub fn learn(&mut self, host: &mut impl Host, request: &[u8]) -> usize {
        self.received = 0;
        let frame = self.segment(0, PSH | ACK, request);
        self.connections[0].next = self.connections[0].next.wrapping_add(request.len() as u32);
        host.deliver(&frame);
        for turn in 0..64 {
            host.work(turn);
            self.collect(host);
        }
        self.received
    }

    fn collect(&mut self, host: &mut impl Host) {
        let mut frame = [0; 2048];
        while let Some(length) = host.sent(&mut frame) {
            let frame = &frame[..length];
            match frame[12..14] {
                [0x08, 0x06] => host.deliver(&arp_reply(frame)),
                [0x08, 0x00] if frame[23] == 6 => self.segment_arrived(host, frame),
                _ => {}
            }
        }
    }

    fn segment_arrived(&mut self, host: &mut impl Host, frame: &[u8]) {
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let tcp = &frame[34..14 + total];
        let port = u16::from_be_bytes([tcp[2], tcp[3]]);
        let index = usize::from(port - 20_000);
        let connection = &mut self.connections[index];
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let payload = tcp.len() - usize::from(tcp[12] >> 4) * 4;
        let syn = tcp[13] & SYN != 0;
        if syn {
            connection.open = true;
            connection.acknowledged = sequence.wrapping_add(1);
            let frame = self.segment(index, ACK, &[]);
            host.deliver(&frame);
        } else if payload > 0 && sequence == connection.acknowledged {
            connection.acknowledged = sequence.wrapping_add(payload as u32);
            self.received += payload;
        }
    }

    fn segment(&mut self, index: usize, flags: u8, payload: &[u8]) -> Vec<u8> {
        let connection = &self.connections[index];
        self.identification = self.identification.wrapping_add(1);
        let mut tcp = Vec::with_capacity(24 + payload.len());
        tcp.extend(connection.port.to_be_bytes());
        tcp.extend(self.server_port.to_be_bytes());
        tcp.extend(connection.next.to_be_bytes());
        tcp.extend(connection.acknowledged.to_be_bytes());
        let words = if flags & SYN != 0 { 6u8 } else { 5 };
        tcp.extend([words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        if flags & SYN != 0 {
            tcp.extend([2, 4, 0x05, 0xb4]);
        }
        tcp.extend(payload);
        let mut pseudo = Vec::from(CLIENT);
        pseudo.extend(SERVER);
        pseudo.extend([0, 6]);
        pseudo.extend((tcp.len() as u16).to_be_bytes());
        pseudo.extend(&tcp);
        tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
        ipv4(&tcp, self.identification)
    }
}

fn ipv4(payload: &[u8], identification: u16) -> Vec<u8> {
    let mut frame = Vec::from(SERVER_MAC);
    frame.extend(CLIENT_MAC);
    frame.extend([0x08, 0x00]);
    let mut header = vec![0x45, 0];
    header.extend((20 + payload.len() as u16).to_be_bytes());
    header.extend(identification.to_be_bytes());
    header.extend([0x40, 0, 64, 6, 0, 0]);
    header.extend(CLIENT);
    header.extend(SERVER);
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    frame.extend(header);
    frame.extend(payload);
    frame
}

fn arp_reply(request: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(&request[6..12]);
    frame.extend(CLIENT_MAC);
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2]);
    frame.extend(CLIENT_MAC);
    frame.extend(CLIENT);
    frame.extend(&request[22..32]);
    frame
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
