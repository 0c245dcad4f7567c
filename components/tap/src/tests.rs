//! A card on one end of a socket pair; the test is the host on the other.

use crate::{Config, Tap, local_mac};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use waitless::device::Platform;
use waitless::{BATCH, Component, Context, Inspect, Instant, Mac, NicPort, Packet, testing};

static CONFIG: Config = Config { device: "a socket pair", mac: None, mtu: None };

#[derive(Debug)]
struct Host;

impl Platform for Host {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wake_on(&self, descriptor: i32) -> bool {
        descriptor >= 0
    }
}

struct Bench {
    cx: Context,
    tap: Tap,
    host: UnixDatagram,
}

impl Bench {
    fn new() -> Self {
        let mut cx = testing::context_on(&Host, 128, 1);
        let (device, host) = UnixDatagram::pair().unwrap();
        device.set_nonblocking(true).unwrap();
        host.set_nonblocking(true).unwrap();
        let mut tap = Tap::over(&CONFIG, device.into(), &mut cx);
        tap.init(&mut (), &mut cx).unwrap();
        Self { cx, tap, host }
    }

    fn sweep(&mut self) -> Vec<Packet> {
        self.tap.receive(&mut (), &mut self.cx);
        let up = std::iter::from_fn(|| self.tap.recv()).collect();
        self.tap.transmit(&mut (), &mut self.cx);
        up
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Packet> {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        self.tap.send(packet)
    }

    fn deadline(&self) -> Instant {
        Component::<()>::deadline(&self.tap)
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.tap.counters();
        let all = (0..counters.count()).filter_map(|index| counters.metric(index));
        all.filter(|metric| metric.name == name).map(|metric| metric.value).sum()
    }
}

#[test]
fn frames_pass_whole_both_ways() {
    let mut bench = Bench::new();
    bench.host.send(&[1; 60]).unwrap();
    bench.host.send(&[2; 1514]).unwrap();
    let up = bench.sweep();
    assert_eq!((up[0].bytes(), up[1].bytes()), (&[1; 60][..], &[2; 1514][..]));
    bench.send(&[3; 1514]).unwrap();
    bench.sweep();
    let mut frame = [0; 2048];
    assert_eq!(bench.host.recv(&mut frame).unwrap(), 1514);
    assert_eq!(frame[..1514], [3; 1514]);
    assert_eq!((bench.count("received"), bench.count("sent")), (2, 1));
    assert_eq!(bench.deadline(), Instant::NEVER);
}

#[test]
fn a_frame_that_fits_into_no_packet_is_dropped_and_counted() {
    let mut bench = Bench::new();
    bench.host.send(&[1; 4000]).unwrap();
    bench.host.send(&[2; 60]).unwrap();
    assert_eq!(bench.sweep().len(), 1);
    assert_eq!(bench.count("too_long"), 1);
}

#[test]
fn without_packets_frames_are_dropped_and_counted() {
    let mut bench = Bench::new();
    let hoard: Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    bench.host.send(&[1; 60]).unwrap();
    assert!(bench.sweep().is_empty());
    assert_eq!(bench.count("no_packet"), 1);
    drop(hoard);
    bench.host.send(&[2; 60]).unwrap();
    assert_eq!(bench.sweep()[0].bytes(), [2; 60]);
}

#[test]
fn a_host_without_room_is_waited_for() {
    let mut bench = Bench::new();
    // A socket pair takes some hundred frames at most before it is full.
    let mut sent = 0;
    while sent < 100_000 && bench.send(&[5; 1000]).is_ok() {
        sent += 1;
        bench.sweep();
    }
    assert_eq!(bench.tap.room(), 0);
    assert!(bench.deadline() > bench.cx.now(), "it tries again later, and does not spin");
    let mut got = 0;
    let mut frame = [0; 2048];
    for _ in 0..1_000 {
        match bench.host.recv(&mut frame) {
            Ok(_) => got += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        bench.cx.set_now(bench.deadline().min(bench.cx.now() + crate::RETRY));
        bench.sweep();
    }
    assert_eq!(got, sent, "none is lost");
}

#[test]
fn one_sweep_takes_one_batch() {
    let mut bench = Bench::new();
    let mut sent = 0;
    while sent < 2 * BATCH && bench.host.send(&[1; 60]).is_ok() {
        sent += 1;
    }
    let mut received = 0;
    while received < sent {
        let count = bench.sweep().len();
        assert!((1..=BATCH).contains(&count));
        received += count;
    }
}

/// Of frames that are thrown away, too: more may come as fast as they go.
#[test]
fn one_sweep_looks_at_one_batch() {
    let mut bench = Bench::new();
    let hoard: Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    let mut sent = 0;
    while sent < BATCH + 5 && bench.host.send(&[1; 60]).is_ok() {
        sent += 1;
    }
    assert!(sent > BATCH);
    bench.sweep();
    assert_eq!(bench.count("no_packet"), BATCH as u64);
    bench.sweep();
    assert_eq!(bench.count("no_packet"), sent as u64);
    drop(hoard);
}

#[test]
fn a_checksum_left_to_the_card_is_completed() {
    let mut bench = Bench::new();
    let mut packet = bench.cx.packet().unwrap();
    packet.append(&[0x12, 0x34, 0, 0, 0x56, 0x78]).unwrap();
    packet.request_checksum(0, 2);
    bench.tap.send(packet).unwrap();
    bench.sweep();
    let mut frame = [0; 6];
    bench.host.recv(&mut frame).unwrap();
    assert!(waitless::checksum::Checksum::new().add(&frame).is_valid());
}

#[test]
fn a_device_that_goes_away_is_a_link_that_is_down() {
    let mut bench = Bench::new();
    // Reading from a socket that is shut down gives nothing, so a file's end stands for it.
    let (read, write) = std::io::pipe().unwrap();
    bench.tap.device = Some(write.into());
    drop(read);
    bench.sweep();
    assert!(!bench.tap.link_up());
    assert_eq!((bench.tap.room(), bench.deadline()), (0, Instant::NEVER));
}

#[test]
fn a_made_up_address_is_a_stations_own() {
    assert_eq!(local_mac([0xff; 6]), Mac([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]));
    assert_eq!(local_mac([0; 6]), Mac([2, 0, 0, 0, 0, 0]));
    let bench = Bench::new();
    assert!(!bench.tap.mac().is_multicast());
    assert_eq!(bench.tap.mtu(), 1500);
}
