//! A process without descriptors left. The limit is the whole process's, so this test has one of
//! its own.

use host_tcp::{Config, HostTcp};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration as HostDuration, Instant as Clock};
use waitless::device::Platform;
use waitless::{
    Component, Context, Duration, Inspect, Instant, Service, Stream, StreamPort, testing,
};

static CONFIG: Config = Config {
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

#[test]
fn without_descriptors_connections_wait_and_then_come() {
    let mut cx = testing::context_on(&Host, 256, 1);
    let mut tcp = HostTcp::new(&CONFIG, &mut cx);
    tcp.init(&mut (), &mut cx).unwrap();
    let service = tcp.attach().unwrap();
    tcp.listen(service, 0).unwrap();
    let address = tcp.listening().next().unwrap();

    let mut peers: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    // The lowest number that is free now is the first that is not allowed.
    let free = std::fs::File::open("/dev/null").unwrap();
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit;
    limit.current = Some(std::os::fd::AsRawFd::as_raw_fd(&free) as u64);
    drop(free);
    setrlimit(Resource::Nofile, limit).unwrap();

    let start = Clock::now();
    assert!(news(&mut tcp, service, &mut cx, start, HostDuration::from_millis(300)).is_none());
    assert!((1..10).contains(&count(&tcp, "no_descriptors")), "it tries again, now and then");
    assert!(Component::<()>::deadline(&tcp) > cx.now(), "and sleeps meanwhile");

    setrlimit(Resource::Nofile, before).unwrap();
    for _ in 0..4 {
        let wait = HostDuration::from_secs(30);
        let stream = news(&mut tcp, service, &mut cx, start, wait).expect("a connection");
        tcp.writable(stream)[..2].copy_from_slice(b"ok");
        tcp.commit(stream, 2);
        tcp.close(stream);
    }
    tcp.transmit(&mut (), &mut cx);
    for peer in &mut peers {
        let mut answer = Vec::new();
        peer.write_all(b"x").unwrap();
        peer.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"ok");
    }
}

/// The first news of a connection that has none yet.
fn news(
    tcp: &mut HostTcp,
    service: Service,
    cx: &mut Context,
    start: Clock,
    wait: HostDuration,
) -> Option<Stream> {
    let end = Clock::now() + wait;
    while Clock::now() < end {
        cx.set_now(Instant::from_nanos(start.elapsed().as_nanos() as u64));
        tcp.receive(&mut (), cx);
        while let Some(stream) = tcp.news(service) {
            if tcp.tag(stream).is_none() {
                tcp.set_tag(stream, 1);
                return Some(stream);
            }
        }
        std::thread::sleep(HostDuration::from_millis(1));
    }
    None
}

fn count(tcp: &HostTcp, name: &str) -> u64 {
    let counters = tcp.counters();
    let all = (0..counters.count()).filter_map(|index| counters.metric(index));
    all.filter(|metric| metric.name == name).map(|metric| metric.value).sum()
}
