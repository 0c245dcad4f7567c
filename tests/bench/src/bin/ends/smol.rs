//! smoltcp at either end of connections, with services that do what ours do, in the same way:
//! what is sent is copied from a text, what arrives is looked at where it lies.
//!
//! It takes what has arrived, lets the services run, and sends then, so that nothing is looked
//! at twice and acknowledgements ride on answers. Its settings are its own, but for Nagle's
//! algorithm, which ours leaves off, too.

use crate::pair::{End, PASSIVE, address, station};
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};
use waitless_bench::wire::Wire;
use waitless_tests::traffic::{BYTES, Job, PORT, REQUEST, RESPONSE};

/// An end.
pub struct SmolEnd {
    interface: Interface,
    sockets: SocketSet<'static>,
    connections: Vec<Connection>,
    wire: Wire,
    job: Job,
    to_open: usize,
    next_port: u16,
    done: u64,
    micros: u64,
}

struct Connection {
    handle: SocketHandle,
    /// Whether this end asked, or opened the connection.
    begun: bool,
}

/// Bytes that wait either way: as many as the windows of ours.
const BUFFER: usize = 65_535;
const FIRST_PORT: u16 = 49_152;

impl SmolEnd {
    /// The end with this number, with so many sockets.
    pub fn new(number: u8, count: usize) -> Self {
        let mut wire = Wire::default();
        let hardware = HardwareAddress::Ethernet(EthernetAddress(station(number)));
        let mut interface = Interface::new(Config::new(hardware), &mut wire, Instant::ZERO);
        let [a, b, c, d] = address(number);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(Ipv4Address::new(a, b, c, d).into(), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let connections = (0..count)
            .map(|_| {
                let mut socket = Socket::new(buffer(), buffer());
                socket.set_nagle_enabled(false);
                Connection { handle: sockets.add(socket), begun: false }
            })
            .collect();
        Self {
            interface,
            sockets,
            connections,
            wire,
            job: Job::Serve,
            to_open: 0,
            next_port: 0,
            done: 0,
            micros: 0,
        }
    }

    fn serve(&mut self) {
        for connection in &mut self.connections {
            let socket = self.sockets.get_mut::<Socket>(connection.handle);
            if !socket.is_open() && (self.to_open > 0 || self.job.is_passive()) {
                if self.job.is_passive() {
                    socket.listen(PORT).expect("a closed socket listens");
                    continue;
                }
                self.to_open -= 1;
                connection.begun = false;
                self.next_port = (self.next_port + 1) % (u16::MAX - FIRST_PORT);
                let [a, b, c, d] = address(PASSIVE);
                let remote = (Ipv4Address::new(a, b, c, d), PORT);
                let connected =
                    socket.connect(self.interface.context(), remote, FIRST_PORT + self.next_port);
                connected.expect("a closed socket connects");
                continue;
            }
            self.done += connection.look_after(socket, self.job);
        }
    }
}

impl Connection {
    /// Does the job on one connection; what is done.
    fn look_after(&mut self, socket: &mut Socket<'_>, job: Job) -> u64 {
        let mut done = 0;
        match job {
            Job::Serve => {
                while socket.recv_queue() >= REQUEST {
                    let _ = take(socket, REQUEST);
                    let _ = socket.send_slice(&BYTES[..RESPONSE]);
                }
            }
            Job::Sink => done += take(socket, usize::MAX),
            Job::Ask if socket.may_send() => {
                let answered = socket.recv_queue() >= RESPONSE;
                if answered {
                    done += 1;
                    let _ = take(socket, RESPONSE);
                }
                if answered || !self.begun {
                    self.begun = true;
                    let _ = socket.send_slice(&BYTES[..REQUEST]);
                }
            }
            Job::Pour => while socket.can_send() && socket.send_slice(&BYTES) != Ok(0) {},
            Job::Visit => match socket.state() {
                State::Established => socket.close(),
                State::TimeWait if !self.begun => {
                    self.begun = true;
                    done += 1;
                }
                _ => {}
            },
            Job::Ask => {}
        }
        if job.is_passive() && socket.state() == State::CloseWait && !socket.can_recv() {
            socket.close();
        }
        done
    }
}

/// Takes at most so many bytes that have arrived; how many it took.
fn take(socket: &mut Socket<'_>, most: usize) -> u64 {
    let mut taken = 0;
    // The ring may hold them in two pieces.
    while taken < most && socket.can_recv() {
        let count = socket.recv(|bytes| {
            let count = bytes.len().min(most - taken);
            (count, count)
        });
        taken += count.unwrap_or(0);
    }
    taken as u64
}

impl End for SmolEnd {
    fn begin(&mut self, job: Job, connections: usize) {
        (self.job, self.to_open) = (job, connections);
        if job.is_passive() {
            self.serve();
        }
    }

    fn deliver(&mut self, frame: &[u8]) {
        self.wire.deliver(frame);
    }

    #[inline(never)]
    fn turn(&mut self, micros: u64) {
        self.micros = micros;
        let now = Instant::from_micros(self.micros as i64);
        let Self { interface, sockets, wire, .. } = self;
        interface.poll_maintenance(now);
        while interface.poll_ingress_single(now, wire, sockets) != PollIngressSingleResult::None {}
        self.serve();
        let Self { interface, sockets, wire, .. } = self;
        while interface.poll_egress(now, wire, sockets) != PollResult::None {}
    }

    #[inline(never)]
    fn work(&mut self, micros: u64) {
        self.turn(micros);
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        self.wire.sent(into)
    }

    fn done(&self) -> u64 {
        self.done
    }
}
