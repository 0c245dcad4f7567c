//! The contract of a stream port, against real connections on the loopback interface.

use crate::{Config, HostTcp};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration as HostDuration, Instant as Clock};
use waitless::device::Platform;
use waitless::{
    Component, ConnectError, Context, Duration, Inspect, Instant, ListenError, Phase, Service,
    Status, Stream, StreamPort, testing,
};

const CONFIG: Config = Config {
    bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
    connections: 100,
    receive_buffer: 64 << 10,
    send_buffer: 64 << 10,
    linger: Duration::from_secs(60),
};

#[derive(Debug)]
struct Host;

impl Platform for Host {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wake_on(&self, _: i32) -> bool {
        true
    }
}

/// An image's TCP with one service, and a clock that is real unless it is set.
struct Bench {
    cx: Context,
    tcp: HostTcp,
    service: Service,
    start: Clock,
}

impl Bench {
    fn new(config: Config, packets: usize) -> Self {
        let mut cx = testing::context_on(&Host, packets, 1);
        let mut tcp = HostTcp::new(Box::leak(Box::new(config)), &mut cx);
        tcp.init(&mut (), &mut cx).unwrap();
        let service = tcp.attach().unwrap();
        Self { cx, tcp, service, start: Clock::now() }
    }

    /// A bench that listens, and where.
    fn listening(config: Config) -> (Self, SocketAddr) {
        let mut bench = Self::new(config, 1_024);
        bench.tcp.listen(bench.service, 0).unwrap();
        let address = bench.tcp.listening().next().unwrap();
        (bench, address)
    }

    /// A bench with one connection, and the other end of it.
    fn connected(config: Config) -> (Self, Stream, TcpStream) {
        let (mut bench, address) = Self::listening(config);
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(HostDuration::from_secs(30))).unwrap();
        let stream = bench.wait_news();
        (bench, stream, peer)
    }

    fn sweep(&mut self) {
        self.cx.set_now(Instant::from_nanos(self.start.elapsed().as_nanos() as u64));
        self.tcp.receive(&mut (), &mut self.cx);
        self.tcp.transmit(&mut (), &mut self.cx);
    }

    /// Sweeps until `done` gives something.
    fn wait<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Clock::now() + HostDuration::from_secs(30);
        while Clock::now() < end {
            self.sweep();
            if let Some(found) = done(self) {
                return found;
            }
            std::thread::sleep(HostDuration::from_micros(100));
        }
        panic!("it did not happen in time");
    }

    fn wait_news(&mut self) -> Stream {
        self.wait(|bench| bench.tcp.news(bench.service))
    }

    fn wait_status(&mut self, stream: Stream, is_wanted: impl Fn(Status) -> bool) -> Status {
        self.wait(|bench| Some(bench.tcp.status(stream)).filter(|status| is_wanted(*status)))
    }

    /// Reads `count` bytes through windows.
    fn read(&mut self, stream: Stream, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.wait(|bench| {
            while !bench.tcp.readable(stream).is_empty() {
                let window = bench.tcp.readable(stream);
                let taken = window.len().min(1_000);
                bytes.extend_from_slice(&window[..taken]);
                bench.tcp.consume(stream, taken);
            }
            (bytes.len() >= count).then_some(())
        });
        bytes
    }

    /// Writes through windows, as far as there is room.
    fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> usize {
        let mut written = 0;
        while !bytes.is_empty() {
            let window = self.tcp.writable(stream);
            let count = window.len().min(bytes.len());
            if count == 0 {
                break;
            }
            window[..count].copy_from_slice(&bytes[..count]);
            self.tcp.commit(stream, count);
            bytes = &bytes[count..];
            written += count;
        }
        written
    }

    fn deadline(&self) -> Instant {
        Component::<()>::deadline(&self.tcp)
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.tcp.counters();
        (0..counters.count())
            .filter_map(|index| counters.metric(index))
            .find(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("no counter {name}"))
            .value
    }

    /// Whether all packets are back.
    fn is_clean(&self) -> bool {
        self.cx.pool().available() == self.cx.pool().count()
    }
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 31 + index / 256) as u8).collect()
}

#[test]
fn bytes_pass_both_ways_through_windows() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    let status = bench.tcp.status(stream);
    assert_eq!((status.phase, bench.tcp.tag(stream)), (Phase::Open, None));
    assert_eq!(bench.tcp.peer(stream), peer.local_addr().ok());
    assert_eq!(bench.tcp.local(stream), peer.peer_addr().ok());
    bench.tcp.set_tag(stream, 7);
    assert_eq!(bench.tcp.tag(stream), Some(7));

    peer.write_all(b"request").unwrap();
    assert_eq!(bench.wait_news(), stream, "arrival is news");
    assert_eq!(bench.tcp.status(stream).readable, 7);
    assert_eq!(bench.tcp.readable(stream), b"request");
    bench.tcp.consume(stream, 3);
    assert_eq!(bench.tcp.readable(stream), b"uest");
    bench.tcp.consume(stream, 400);
    assert!(bench.tcp.readable(stream).is_empty());

    assert_eq!(bench.write(stream, b"answer"), 6);
    assert_eq!(bench.tcp.status(stream).unacknowledged, 6);
    bench.sweep();
    assert_eq!(bench.tcp.status(stream).unacknowledged, 0);
    let mut answer = [0; 6];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    assert_eq!(bench.wait_news(), stream, "room is news");
}

#[test]
fn bytes_pass_both_ways_as_packets_in_the_order_of_calls() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    peer.write_all(b"packet").unwrap();
    let packet = bench.wait(|bench| bench.tcp.recv(stream));
    assert_eq!(packet.bytes(), b"packet");
    assert!(bench.tcp.recv(stream).is_none());
    bench.write(stream, b"one ");
    bench.tcp.send(stream, packet).unwrap();
    bench.write(stream, b" two");
    bench.sweep();
    let mut answer = [0; 14];
    peer.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"one packet two");
}

#[test]
fn an_idle_port_sleeps() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    peer.write_all(b"x").unwrap();
    bench.read(stream, 1);
    bench.write(stream, b"y");
    bench.sweep();
    assert_eq!(bench.deadline(), Instant::ZERO, "news waits");
    while bench.tcp.news(bench.service).is_some() {}
    bench.sweep();
    assert_eq!(bench.deadline(), Instant::NEVER);
    assert!(bench.is_clean());
}

#[test]
fn large_amounts_pass_unharmed_at_the_peers_pace() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    let sent = pattern(3_000_000);
    let echo = std::thread::spawn({
        let mut writer = peer.try_clone().unwrap();
        let sent = sent.clone();
        move || writer.write_all(&sent).unwrap()
    });
    let total = sent.len();
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; total];
        peer.read_exact(&mut all).unwrap();
        all
    });
    let mut echoed = 0;
    bench.wait(|bench| {
        while let Some(packet) = bench.tcp.recv(stream) {
            let length = packet.len();
            // This service has nowhere to put what does not fit, so it looks first.
            bench.tcp.send(stream, packet).unwrap();
            echoed += length;
            if bench.tcp.status(stream).writable < 2_048 {
                break;
            }
        }
        while bench.tcp.news(bench.service).is_some() {}
        (echoed == total && bench.tcp.status(stream).unacknowledged == 0).then_some(())
    });
    echo.join().unwrap();
    assert!(reader.join().unwrap() == sent);
}

#[test]
fn a_service_that_does_not_read_stops_the_peer() {
    let config = Config { receive_buffer: 8 << 10, ..CONFIG };
    let (mut bench, stream, mut peer) = Bench::connected(config);
    peer.set_nonblocking(true).unwrap();
    let chunk = pattern(10_000);
    let mut sent = 0;
    let end = Clock::now() + HostDuration::from_millis(300);
    while Clock::now() < end {
        match peer.write(&chunk[sent % 10_000..]) {
            Ok(count) => sent += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.sweep();
    }
    assert!(peer.write(&chunk).is_err(), "the host's window is closed");
    assert!(bench.tcp.status(stream).readable <= 8 << 10 | 2_048);
    // Once it reads, everything comes.
    let received = bench.read(stream, sent);
    assert_eq!(received.len(), sent);
    assert!(received.iter().enumerate().all(|(index, byte)| *byte == chunk[index % 10_000]));
}

#[test]
fn a_peer_that_does_not_read_stops_the_service_and_room_is_news() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    let bytes = pattern(100_000);
    let mut sent = 0;
    for _ in 0..1_000 {
        sent += bench.write(stream, &bytes[sent % 100_000..]);
        bench.sweep();
    }
    assert!(bench.tcp.writable(stream).is_empty());
    assert_eq!(bench.tcp.status(stream).writable, 0);
    let packet = bench.cx.packet().unwrap();
    let packet = {
        let mut packet = packet;
        packet.append(b"more").unwrap();
        packet
    };
    assert!(bench.tcp.send(stream, packet).is_err(), "it comes back");
    while bench.tcp.news(bench.service).is_some() {}
    assert!(bench.deadline() > Instant::ZERO, "it waits for the host, and does not spin");

    let reader = std::thread::spawn(move || {
        let mut all = vec![0; sent];
        peer.read_exact(&mut all).unwrap();
        all
    });
    assert_eq!(bench.wait_news(), stream);
    bench.wait_status(stream, |status| status.unacknowledged == 0);
    let all = reader.join().unwrap();
    assert!(all.iter().enumerate().all(|(index, byte)| *byte == bytes[index % 100_000]));
}

#[test]
fn the_peer_ends_first() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    peer.write_all(b"last words").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let status = bench.wait_status(stream, |status| status.finished);
    assert_eq!((status.phase, status.readable), (Phase::Open, 10), "half open, all arrived");
    bench.write(stream, b"farewell");
    bench.tcp.close(stream);
    assert!(bench.tcp.writable(stream).is_empty(), "nothing follows");
    let mut all = Vec::new();
    bench.wait_status(stream, |status| status.phase == Phase::Closed);
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"farewell");
    assert_eq!(bench.tcp.readable(stream), b"last words", "still there to be read");
    bench.tcp.release(stream);
    assert!(bench.is_clean());
}

#[test]
fn the_service_ends_first_and_goes_on_receiving() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    bench.write(stream, b"all I have");
    bench.tcp.close(stream);
    bench.sweep();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"all I have");
    peer.write_all(b"me too").unwrap();
    drop(peer);
    let status = bench.wait_status(stream, |status| status.phase == Phase::Closed);
    assert!(status.finished);
    assert_eq!(bench.tcp.readable(stream), b"me too");
}

#[test]
fn an_abort_resets_the_peer() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    bench.write(stream, b"lost");
    bench.tcp.abort(stream);
    assert_eq!(bench.tcp.status(stream).phase, Phase::Closed);
    let error = peer.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    bench.tcp.release(stream);
    assert!(bench.is_clean());
}

#[test]
fn a_reset_by_the_peer_is_news_and_what_had_arrived_stays() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    peer.write_all(b"before").unwrap();
    bench.wait_status(stream, |status| status.readable == 6);
    while bench.tcp.news(bench.service).is_some() {}
    socket2::SockRef::from(&peer).set_linger(Some(HostDuration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(bench.wait_news(), stream);
    assert_eq!(bench.tcp.status(stream).phase, Phase::Reset);
    assert_eq!(bench.tcp.readable(stream), b"before");
    assert_eq!(bench.write(stream, b"in vain"), 0);
    assert_eq!(bench.count("reset"), 1);
    bench.tcp.release(stream);
    assert!(bench.is_clean());
}

#[test]
fn a_released_connection_still_sends_what_is_queued_and_its_end() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    // More than the host takes at once, so that it goes on after the release.
    let bytes = pattern(60_000);
    for _ in 0..100 {
        bench.write(stream, &bytes);
        bench.sweep();
    }
    assert!(bench.tcp.status(stream).unacknowledged > 0);
    bench.tcp.release(stream);
    assert_eq!(bench.tcp.status(stream).phase, Phase::Closed, "the handle is old");
    assert!(bench.tcp.readable(stream).is_empty());
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all.len())
    });
    bench.wait(|bench| (bench.count("open") == 0).then_some(()));
    let received = reader.join().unwrap().expect("an end, not a reset");
    assert_eq!(received as u64, bench.count("sent"));
    assert!(bench.tcp.news(bench.service).is_none(), "nothing more is reported");
    assert!(bench.is_clean());
}

#[test]
fn bytes_that_had_arrived_unread_do_not_turn_the_end_into_a_reset() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    peer.write_all(&pattern(30_000)).unwrap();
    bench.wait_status(stream, |status| status.readable > 0);
    bench.write(stream, b"enough");
    bench.tcp.release(stream);
    bench.sweep();
    bench.sweep();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"enough");
}

#[test]
fn bytes_that_arrive_after_the_release_reset_the_connection() {
    let (mut bench, stream, mut peer) = Bench::connected(CONFIG);
    bench.tcp.release(stream);
    bench.wait(|bench| (bench.count("open") == 0).then_some(()));
    assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0, "the end came first");
    let end = Clock::now() + HostDuration::from_secs(30);
    let error = loop {
        assert!(Clock::now() < end, "no reset");
        if let Err(error) = peer.write(b"more") {
            break error;
        }
        std::thread::sleep(HostDuration::from_millis(1));
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe));
}

#[test]
fn a_released_connection_whose_peer_never_reads_is_cut_off_in_time() {
    let config = Config { linger: Duration::from_millis(50), ..CONFIG };
    let (mut bench, stream, _peer) = Bench::connected(config);
    for _ in 0..1_000 {
        bench.write(stream, &pattern(60_000));
        bench.sweep();
    }
    bench.tcp.release(stream);
    bench.sweep();
    assert_eq!(bench.count("open"), 1);
    assert!(bench.deadline() < Instant::NEVER);
    bench.wait(|bench| (bench.count("open") == 0).then_some(()));
    assert_eq!(bench.count("unsent"), 1);
    assert!(bench.is_clean());
}

#[test]
fn an_old_handle_never_reaches_a_new_connection() {
    let (mut bench, old, peer) = Bench::connected(CONFIG);
    let address = peer.peer_addr().unwrap();
    bench.tcp.abort(old);
    bench.tcp.release(old);
    let _peer = TcpStream::connect(address).unwrap();
    let new = bench.wait_news();
    assert_eq!((new.index, new.generation != old.generation), (old.index, true));
    bench.tcp.set_tag(old, 1);
    bench.tcp.abort(old);
    bench.tcp.release(old);
    assert_eq!(bench.tcp.tag(new), None);
    assert_eq!(bench.tcp.status(new).phase, Phase::Open);
}

#[test]
fn a_connection_is_opened_to_somebody_who_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bench = Bench::new(CONFIG, 256);
    let stream = bench.tcp.connect(bench.service, listener.local_addr().unwrap()).unwrap();
    assert_eq!(bench.tcp.status(stream).phase, Phase::Opening);
    bench.write(stream, b"early");
    assert_eq!(bench.wait_news(), stream);
    bench.wait_status(stream, |status| status.phase == Phase::Open);
    let (mut peer, _) = listener.accept().unwrap();
    bench.wait_status(stream, |status| status.unacknowledged == 0);
    let mut early = [0; 5];
    peer.read_exact(&mut early).unwrap();
    assert_eq!((&early, bench.count("connected")), (b"early", 1));
}

#[test]
fn a_refused_connection_is_news() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut bench = Bench::new(CONFIG, 256);
    let stream = bench.tcp.connect(bench.service, address).unwrap();
    assert_eq!(bench.wait_news(), stream);
    assert_eq!(bench.tcp.status(stream).phase, Phase::Reset);
    bench.tcp.release(stream);
    bench.sweep();
    assert_eq!(bench.count("open"), 0);
}

#[test]
fn addresses_that_cannot_be_meant_are_refused_at_once() {
    let mut bench = Bench::new(CONFIG, 256);
    for address in ["127.0.0.1:0", "224.0.0.1:80", "255.255.255.255:80", "0.0.0.0:80"] {
        let outcome = bench.tcp.connect(bench.service, address.parse().unwrap());
        assert_eq!(outcome, Err(ConnectError::BadAddress), "{address}");
    }
}

#[test]
fn a_port_is_listened_on_once() {
    let mut bench = Bench::new(CONFIG, 256);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    assert_eq!(bench.tcp.listen(bench.service, taken), Err(ListenError::Refused));
    drop(other);
    assert_eq!(bench.tcp.listen(bench.service, taken), Ok(()));
    assert_eq!(bench.tcp.listen(bench.service, taken), Err(ListenError::Taken));
}

#[test]
fn more_connections_than_there_are_places_wait_and_then_come() {
    let (mut bench, address) = Bench::listening(Config { connections: 2, ..CONFIG });
    let _peers: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let first = bench.wait_news();
    bench.wait_news();
    for _ in 0..20 {
        bench.sweep();
    }
    assert_eq!(bench.count("accepted"), 2);
    assert!(bench.count("full") > 0);
    assert_eq!(bench.deadline(), Instant::NEVER, "it waits for a place, and does not spin");
    bench.tcp.abort(first);
    bench.tcp.release(first);
    bench.wait_news();
    assert_eq!(bench.count("accepted"), 3);
    let outcome = bench.tcp.connect(bench.service, address);
    assert_eq!(outcome, Err(ConnectError::Full));
}

#[test]
fn without_packets_nothing_is_lost_and_everybody_comes_again() {
    let mut bench = Bench::new(CONFIG, 64);
    bench.tcp.listen(bench.service, 0).unwrap();
    let address = bench.tcp.listening().next().unwrap();
    let mut peer = TcpStream::connect(address).unwrap();
    let stream = bench.wait_news();
    let hoard: Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    peer.write_all(b"patience").unwrap();
    bench.wait(|bench| (bench.count("starved") > 0).then_some(()));
    assert!(bench.deadline() > bench.cx.now(), "it tries again later, and does not spin");
    assert!(bench.tcp.writable(stream).is_empty());
    while bench.tcp.news(bench.service).is_some() {}
    drop(hoard);
    assert_eq!(bench.wait_news(), stream, "packets to write into are news");
    assert_eq!(bench.read(stream, 8), b"patience");
    assert!(!bench.tcp.writable(stream).is_empty());
}

#[test]
fn two_services_hear_of_their_own_connections_only() {
    let mut bench = Bench::new(CONFIG, 256);
    let other = bench.tcp.attach().unwrap();
    bench.tcp.listen(bench.service, 0).unwrap();
    bench.tcp.listen(other, 0).unwrap();
    let address = bench.tcp.listening().nth(1).unwrap();
    let _peer = TcpStream::connect(address).unwrap();
    bench.wait(|bench| bench.tcp.news(other));
    assert!(bench.tcp.news(bench.service).is_none());
}

#[test]
fn connections_that_ended_are_not_kept_as_long_as_they_might_have_lingered() {
    let (mut bench, address) = Bench::listening(CONFIG);
    for _ in 0..50 {
        let peer = TcpStream::connect(address).unwrap();
        let stream = bench.wait_news();
        bench.tcp.release(stream);
        drop(peer);
        bench.wait(|bench| (bench.tcp.table.len() == 0).then_some(()));
    }
    let (kept, places) = (bench.tcp.lingering.len(), bench.tcp.table.places());
    assert!(kept <= 2 * places, "{kept} of {places} places");
}

#[test]
fn an_old_handle_reads_as_closed() {
    let mut bench = Bench::new(CONFIG, 256);
    let stream = Stream { index: 5, generation: 1 };
    assert_eq!(bench.tcp.status(stream).phase, Phase::Closed);
    assert!(bench.tcp.readable(stream).is_empty() && bench.tcp.writable(stream).is_empty());
    let packet = bench.cx.packet().unwrap();
    assert!(bench.tcp.send(stream, packet).is_err());
    bench.tcp.close(stream);
    bench.tcp.consume(stream, 1);
    bench.tcp.commit(stream, 1);
    assert_eq!(bench.tcp.peer(stream), None);
}
