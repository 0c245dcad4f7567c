//! What nobody should send. The image answers as the protocol says, or not at all, and goes on.

use crate::serve::Served;
use std::net::Ipv4Addr;
use std::time::Duration;
use waitless_tests::corpus;
use waitless_tests::lab::{
    Connection, Dhcp, Frames, Lab, Machine, PATIENCE, Tap, UdpProbe, curl, ping,
};
use waitless_tests::mutate::Mutator;

/// A request, and the statuses that may answer it; none when the connection may just end.
const REQUESTS: &[(&str, &[u16])] = &[
    ("GARBAGE\r\n\r\n", &[400]),
    ("GET / HTTP/9.9\r\nHost: x\r\n\r\n", &[400, 505]),
    ("GET / HTTP/1.1\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", &[400]),
    ("GET / HTTP/1.1\r\nHost: x\r\nA\0B: c\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", &[400]),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &[400]),
    (
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", &[400, 501]),
    ("DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", &[405, 501]),
    ("GET /compute?n=many HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
    ("GET /download?bytes=-1 HTTP/1.1\r\nHost: x\r\n\r\n", &[400]),
];

pub fn requests(lab: &Lab) {
    let mut served = Served::boot(lab, "webserver", Machine::new());
    for (request, statuses) in REQUESTS {
        let mut connection = Connection::to(served.address, 80);
        connection.send(request.as_bytes());
        let status = connection.answer().map(|answer| answer.status);
        assert!(status.is_some_and(|it| statuses.contains(&it)), "{request:?}: {status:?}");
    }
    let mut long = Connection::to(served.address, 80);
    long.send(format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000)).as_bytes());
    let status = long.answer().map(|answer| answer.status);
    assert!(matches!(status, Some(400 | 414 | 431) | None), "{status:?}");
    let mut bad_chunk = Connection::to(served.address, 80);
    bad_chunk.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
    // The answer may have begun before the chunk was seen to be bad.
    assert!(bad_chunk.ends(PATIENCE));
    // A smuggled second request behind a bad first one must not be answered.
    let mut smuggle = Connection::to(served.address, 80);
    smuggle.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(smuggle.answer().map(|answer| answer.status), Some(400));
    assert_eq!(smuggle.answer(), None);
    many_idle_connections(served.address);
    still_serves(&mut served);
}

/// Connections that say nothing keep nobody else from being served.
fn many_idle_connections(address: Ipv4Addr) {
    let idle: Vec<Connection> = (0..100).map(|_| Connection::to(address, 80)).collect();
    let mut connection = Connection::to(address, 80);
    connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.answer().map(|answer| answer.status), Some(200));
    drop(idle);
}

/// Hundreds of clients that take nothing of what they asked for, or a little now and then, or
/// send nothing of what they announced, keep nobody waiting.
pub fn slow_clients(lab: &Lab) {
    let mut served = Served::boot(lab, "webserver", Machine::new());
    let download = b"GET /download?bytes=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n";
    let upload = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    let mut crowd = Vec::new();
    for number in 0..SLOW_CLIENTS {
        let mut client = Connection::to(served.address, 80);
        client.send(if number % 4 == 3 { upload } else { download });
        crowd.push(client);
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while std::time::Instant::now() < until {
        // A third of them reads: a little.
        for client in crowd.iter_mut().step_by(3) {
            client.taste();
        }
        let before = std::time::Instant::now();
        let mut other = Connection::to(served.address, 80);
        other.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(other.answer().map(|answer| answer.status), Some(200));
        let took = before.elapsed();
        // On a busy machine, an emulated one is slow; but what waits here waits for half a minute.
        assert!(took < Duration::from_secs(5), "{took:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(crowd);
    still_serves(&mut served);
}

/// More than there are tasks for in a machine of this size.
const SLOW_CLIENTS: usize = 900;

pub fn frames(lab: &Lab) {
    let (tap, frames) = (Tap::new(), Frames::new());
    let dhcp = Dhcp::on(&tap, &[]);
    let mut vm = Machine::new().on_hub(&tap, &frames).boot(&lab.images.image("webserver"));
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 80);
    let guest = guest_mac(&frames, address);
    let mut mutator = Mutator::new(7);
    let seeds = corpus::frames();
    for round in 0..40 {
        for _ in 0..100 {
            let mut frame = mutator.pick(&seeds).clone();
            corpus::readdress(&mut frame, guest, address);
            mutator.mutate(&mut frame, 1514);
            if mutator.below(2) == 0 {
                corpus::repair_frame(&mut frame);
            }
            frames.send(&frame);
        }
        std::thread::sleep(Duration::from_millis(20));
        if round % 10 == 0 {
            vm.assert_alive();
        }
    }
    let mut served = Served { vm, address, dhcp, tap };
    still_serves(&mut served);
}

/// The image's card, by asking who has its address.
fn guest_mac(frames: &Frames, address: Ipv4Addr) -> [u8; 6] {
    let ours = [0x02, 0, 0, 0, 0, 0x77];
    let mut sender = address.octets();
    sender[3] = 200;
    let question = corpus::arp_request(ours, sender.into(), address);
    waitless_tests::lab::wait_for("an ARP reply", PATIENCE, || {
        frames.send(&question);
        let frame = frames.receive()?;
        let is_reply = frame.get(12..14)? == [8, 6] && frame.get(20..22)? == [0, 2];
        let from: [u8; 6] = frame.get(22..28)?.try_into().ok()?;
        (is_reply && frame.get(28..32)? == address.octets()).then_some(from)
    })
}

#[track_caller]
fn still_serves(served: &mut Served) {
    served.vm.assert_alive();
    served.vm.expect_http(served.address, 80);
    ping(served.address, 2, 56);
    UdpProbe::to((served.address, 7).into()).expect_echo(b"still here");
    curl(&["--fail", &format!("http://{}/health", served.address)]);
}
