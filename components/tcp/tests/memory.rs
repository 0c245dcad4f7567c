//! What connections cost: bytes for each idle one, and no allocation once warmed up.

mod fake;

use fake::{Ip, LOCAL, REMOTE};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use tcp::{Config, Tcp};
use waitless::packet::ChecksumState;
use waitless::testing::context;
use waitless::{Component, Context, Duration, Instant, Phase, Service, Stream, StreamPort};

/// Counts what is allocated.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static CONFIG: Config = Config::DEFAULT;

struct End {
    cx: Context,
    tcp: Tcp,
    ip: Ip,
    service: Service,
}

impl End {
    fn new(local: IpAddr, seed: u8) -> Self {
        let mut cx = context(512, seed);
        let mut tcp = Tcp::new(&CONFIG, &mut cx);
        let service = tcp.attach().unwrap();
        Self { cx, tcp, ip: Ip::new(local), service }
    }

    fn receive(&mut self, now: Instant) {
        self.cx.set_now(now);
        self.tcp.receive(&mut self.ip, &mut self.cx);
    }

    fn transmit(&mut self) {
        self.tcp.transmit(&mut self.ip, &mut self.cx);
    }
}

fn carry(from: &mut End, to: &mut End) {
    while let Some(packet) = from.ip.sent.pop_front() {
        let mut copy = to.cx.packet().unwrap();
        copy.append(packet.bytes()).unwrap();
        let (local, remote) = (packet.info().local, packet.info().remote);
        (copy.info_mut().local, copy.info_mut().remote) = (remote, local);
        copy.info_mut().checksum = ChecksumState::Unknown;
        to.ip.inbox.push_back(copy);
    }
}

/// One exchange on `stream`, answered by whoever is asked.
fn exchange(one: &mut End, two: &mut End, stream: Stream, now: Instant) -> usize {
    write(one, stream, 100);
    one.transmit();
    carry(one, two);
    two.receive(now);
    while let Some(stream) = two.tcp.news(two.service) {
        let count = two.tcp.readable(stream).len();
        two.tcp.consume(stream, count);
        if count > 0 {
            write(two, stream, 1000);
        }
    }
    two.transmit();
    carry(two, one);
    one.receive(now);
    let mut read = 0;
    while let Some(stream) = one.tcp.news(one.service) {
        let count = one.tcp.readable(stream).len();
        one.tcp.consume(stream, count);
        read += count;
    }
    read
}

fn write(end: &mut End, stream: Stream, count: usize) {
    let window = end.tcp.writable(stream);
    window[..count].fill(b'x');
    end.tcp.commit(stream, count);
}

// One test, because the allocator counts for the whole process.
#[test]
fn idle_connections_are_small_and_exchanges_do_not_allocate() {
    let (mut one, mut two) = (End::new(LOCAL, 1), End::new(REMOTE, 2));
    for port in 0..10 {
        two.tcp.listen(two.service, 80 + port).unwrap();
    }
    let mut now = Instant::ZERO;
    let mut streams = Vec::with_capacity(100_000);
    let before = BYTES.load(Ordering::Relaxed);
    let mut worst = 0;
    for count in 0..100_000u32 {
        now += Duration::from_millis(1);
        // More connections than ports of one pair of addresses.
        let remote = SocketAddr::new(REMOTE, 80 + (count % 10) as u16);
        let stream = one.tcp.connect(one.service, remote).unwrap();
        for _ in 0..2 {
            one.transmit();
            carry(&mut one, &mut two);
            two.receive(now);
            two.transmit();
            carry(&mut two, &mut one);
            one.receive(now);
        }
        streams.push(stream);
        assert_eq!(exchange(&mut one, &mut two, stream, now), 1000);
        if count > 10_000 {
            let used = BYTES.load(Ordering::Relaxed) - before;
            // Both ends are in this process.
            worst = worst.max(used / 2 / count as usize);
        }
    }
    let used = (BYTES.load(Ordering::Relaxed) - before) / 2 / streams.len();
    println!("{used} bytes for each of 100000 idle connections, {worst} at worst");
    assert!(worst <= 1024, "{worst} bytes");

    // The last acknowledgements go out, and then nothing is held.
    for _ in 0..3 {
        now += Duration::from_secs(1);
        for _ in 0..10_000 {
            one.receive(now);
            one.transmit();
            carry(&mut one, &mut two);
            two.receive(now);
            two.transmit();
            carry(&mut two, &mut one);
            if one.ip.inbox.is_empty() && Component::<Ip>::deadline(&one.tcp) > now {
                break;
            }
        }
    }
    assert_eq!((one.tcp.kept(), two.tcp.kept()), (0, 0));

    let calls = CALLS.load(Ordering::Relaxed);
    for round in 0..20_000 {
        now += Duration::from_micros(100);
        let stream = streams[round * 4];
        assert_eq!(exchange(&mut one, &mut two, stream, now), 1000);
        assert_eq!(one.tcp.status(stream).phase, Phase::Open);
    }
    assert_eq!(CALLS.load(Ordering::Relaxed) - calls, 0, "allocations in the steady state");
    assert_eq!(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), REMOTE);
}
