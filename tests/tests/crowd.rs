//! A hundred thousand connections to one host: what each costs while it is idle, and that all of
//! it comes back. `WAITLESS_CROWD=1000000` makes it a million.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use waitless::http::Handler;
use waitless::{Duration, Instant};
use waitless_tests::allocations::{self, Counting};
use waitless_tests::corpus::{self, Segment, Station};
use waitless_tests::graphs::{self, bench};
use waitless_tests::peer::flags::{ACK, FIN, PSH, SYN};
use waitless_tests::world::{Host, OnCard};

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many there are where the environment does not say.
const CROWD: usize = 100_000;
/// Ports of each address of the other side.
const PORTS: usize = 60_000;
/// Far fewer than there are connections: an idle one must not keep any.
const PACKETS: usize = 1024;
/// Bytes of memory for an idle connection, of TCP and HTTP together.
const EACH: usize = 1024;
/// Connections that are dealt with at once.
const AT_ONCE: usize = 100;

const SERVER: (Station, Ipv4Addr) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 1));
const STATION: Station = [2, 0, 0, 0, 0, 2];
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

/// The other side of all connections: several addresses, as one has not enough ports.
struct Crowd<G> {
    host: Host<G>,
    now: Instant,
    sides: Vec<Side>,
    /// Which side has an address and a port.
    places: HashMap<(Ipv4Addr, u16), usize>,
}

struct Side {
    from: (Ipv4Addr, u16),
    next: u32,
    expected: u32,
    /// Bytes that came.
    came: usize,
    finished: bool,
}

impl<G: OnCard> Crowd<G> {
    fn new(host: Host<G>, count: usize) -> Self {
        let address = |at: usize| Ipv4Addr::new(10, 0, 0, 2 + (at / PORTS) as u8);
        let from = |at: usize| (address(at), 2_000 + (at % PORTS) as u16);
        let side =
            |at| Side { from: from(at), next: at as u32, expected: 0, came: 0, finished: false };
        let places = (0..count).map(|at| (from(at), at)).collect();
        Self { host, now: Instant::ZERO, sides: (0..count).map(side).collect(), places }
    }

    fn send(&mut self, at: usize, flags: u8, payload: &[u8]) {
        let side = &mut self.sides[at];
        let segment = Segment {
            from: side.from,
            to: (SERVER.1, 80),
            sequence: side.next,
            acknowledgement: side.expected,
            flags,
            window: 65_535,
            options: if flags & SYN == 0 { &[] } else { &[2, 4, 5, 180] },
            payload,
        };
        let ends = u32::from(flags & (SYN | FIN) != 0);
        side.next = side.next.wrapping_add(payload.len() as u32 + ends);
        let packet = corpus::ipv4(side.from.0, SERVER.1, 6, &segment.bytes());
        self.host.put(&corpus::ethernet(SERVER.0, STATION, 0x0800, &packet));
    }

    /// Sweeps until the host has nothing to do, and takes what it sent.
    fn settle(&mut self) {
        self.now += Duration::from_micros(10);
        while self.host.graph.deadline() <= self.now {
            self.host.sweep(self.now);
            while let Some(frame) = self.host.graph.card().take() {
                self.take(frame.bytes());
            }
        }
    }

    fn take(&mut self, frame: &[u8]) {
        if frame[12..14] == [8, 6] {
            let ours = Ipv4Addr::from(<[u8; 4]>::try_from(&frame[38..42]).unwrap());
            if ours != SERVER.1 {
                let reply = corpus::arp(2, (STATION, ours), SERVER);
                self.host.put(&corpus::ethernet(SERVER.0, STATION, 0x0806, &reply));
            }
            return;
        }
        let to = Ipv4Addr::from(<[u8; 4]>::try_from(&frame[30..34]).unwrap());
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let tcp = &frame[34..14 + total];
        let side = &mut self.sides[self.places[&(to, u16::from_be_bytes([tcp[2], tcp[3]]))]];
        let (flags, payload) = (tcp[13], tcp.len() - usize::from(tcp[12] >> 4) * 4);
        assert_eq!(flags & 4, 0, "a reset");
        let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        if flags & SYN != 0 {
            side.expected = sequence;
        }
        assert_eq!(side.expected, sequence, "out of order");
        let ends = u32::from(flags & (SYN | FIN) != 0);
        side.expected = side.expected.wrapping_add(payload as u32 + ends);
        side.came += payload;
        side.finished |= flags & FIN != 0;
    }

    /// Sends segments on each of `count` connections, one after the other.
    fn each(&mut self, count: usize, segments: &[(u8, &[u8])]) {
        for first in (0..count).step_by(AT_ONCE) {
            for &(flags, payload) in segments {
                (first..count.min(first + AT_ONCE)).for_each(|at| self.send(at, flags, payload));
                self.settle();
            }
        }
    }

    /// Opens `count` connections, a few at a time as there is a limit to those half open, and
    /// asks for something on each.
    fn arrive(&mut self, count: usize) {
        self.each(count, &[(SYN, b""), (ACK | PSH, REQUEST), (ACK, b"")]);
        let answered = self.sides.iter().filter(|side| side.came > 0).count();
        assert_eq!(answered, count, "\n{}", self.host.counters());
    }

    fn leave(&mut self, count: usize) {
        self.each(count, &[(ACK | FIN, b""), (ACK, b"")]);
        let finished = self.sides.iter().filter(|side| side.finished).count();
        assert_eq!(finished, count, "\n{}", self.host.counters());
        for side in &mut self.sides {
            (side.came, side.finished) = (0, false);
        }
    }

    #[track_caller]
    fn holds(&self, connections: u64) {
        let host = &self.host;
        for (instance, gauge) in [("tcp", "open"), ("http", "open")] {
            assert_eq!(host.counter(instance, gauge), connections, "{instance}.{gauge}");
        }
        assert_eq!(host.buffers_out(), 0, "packets that nobody needs");
        assert_eq!((host.counter("tcp", "half_open"), host.counter("site", "tasks")), (0, 0));
    }
}

fn crowd(count: usize) -> Crowd<bench::Graph<impl Handler>> {
    let mut crowd = Crowd::new(graphs::bench(PACKETS), count);
    crowd.settle();
    // The host learns who asks, so that no first answer has to wait for that.
    for at in (0..count).step_by(PORTS) {
        let frame = corpus::arp_request(STATION, crowd.sides[at].from.0, SERVER.1);
        crowd.host.put(&frame);
        crowd.settle();
    }
    crowd
}

#[test]
fn idle_connections_cost_little_and_give_all_of_it_back() {
    let count = std::env::var("WAITLESS_CROWD")
        .map_or(CROWD, |count| count.parse().expect("WAITLESS_CROWD is a number"));
    assert!((10_000..=1_000_000).contains(&count), "WAITLESS_CROWD: 10,000 to 1,000,000");
    let mut crowd = crowd(count);
    let before = allocations::live();
    crowd.arrive(count);
    crowd.holds(count as u64);
    let all = (allocations::live() - before) as usize;
    let each = all / count;
    println!("{count} idle connections: {each} bytes each, {} MiB together", all >> 20);
    assert!(each <= EACH, "{each} bytes for each idle connection");

    crowd.leave(count);
    crowd.holds(0);
    // The places are there to be used again: a second crowd needs no more memory.
    let before = allocations::live();
    crowd.arrive(10_000);
    crowd.holds(10_000);
    crowd.leave(10_000);
    crowd.holds(0);
    assert_eq!(allocations::live(), before);
}
