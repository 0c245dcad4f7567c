//! A tap between a fake card and a test that plays the component above.

extern crate std;

mod edges;

use crate::{Config, Pcap};
use core::sync::atomic::{AtomicU32, Ordering};
use std::boxed::Box;
use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;
use waitless::{Component, Context, Inspect, Instant, Mac, NicPort, Offloads, Packet, testing};

#[derive(Default)]
struct FakeNic {
    incoming: VecDeque<Packet>,
    sent: Vec<Packet>,
    room: usize,
}

impl NicPort for FakeNic {
    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> u16 {
        1500
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: true, segmentation: 65_535 }
    }

    fn recv(&mut self) -> Option<Packet> {
        self.incoming.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.sent.len() == self.room {
            return Err(frame);
        }
        self.sent.push(frame);
        Ok(())
    }

    fn room(&self) -> usize {
        self.room - self.sent.len()
    }
}

struct Bench {
    cx: Context,
    nic: FakeNic,
    pcap: Pcap,
}

const CONFIG: Config =
    Config { file: "a.pcapng", bytes: 100_000, snaplen: 2048, share: false, keys: false };

impl Bench {
    fn new(config: Config) -> Self {
        let mut cx = testing::context(256, 1);
        let pcap = Pcap::new(Box::leak(Box::new(config)), &mut cx);
        let mut bench = Self { cx, nic: FakeNic { room: 256, ..FakeNic::default() }, pcap };
        bench.pcap.init(&mut bench.nic, &mut bench.cx).unwrap();
        bench
    }

    fn packet(&self, bytes: &[u8]) -> Packet {
        let mut packet = self.cx.packet().unwrap();
        packet.append(bytes).unwrap();
        packet
    }

    fn sweep(&mut self) -> Vec<Packet> {
        self.pcap.receive(&mut self.nic, &mut self.cx);
        let up = std::iter::from_fn(|| self.pcap.recv()).collect();
        self.pcap.transmit(&mut self.nic, &mut self.cx);
        up
    }

    fn file(&self) -> Vec<u8> {
        let capture = self.cx.system().capture(0).unwrap();
        let mut download = capture.download();
        let mut file = std::vec![0; download.left()];
        assert_eq!(download.read(&mut file), file.len());
        file
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.pcap.counters();
        (0..counters.count())
            .filter_map(|index| counters.metric(index))
            .find(|metric| metric.name == name)
            .unwrap_or_else(|| panic!("no counter {name}"))
            .value
    }
}

/// A record as a reader of the format sees it.
#[derive(PartialEq, Debug)]
struct Record {
    time: u64,
    length: usize,
    outbound: bool,
    data: Vec<u8>,
}

/// Reads a file block by block, checking the lengths at both ends of each.
fn records(file: &[u8]) -> Vec<Record> {
    let word = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().unwrap());
    let (mut at, mut records, mut kinds) = (0, Vec::new(), Vec::new());
    while at < file.len() {
        let total = word(at + 4) as usize;
        assert_eq!(total % 4, 0);
        assert_eq!(word(at + total - 4) as usize, total, "both lengths agree");
        kinds.push(word(at));
        if word(at) == 6 {
            let kept = word(at + 20) as usize;
            let data = file[at + 28..at + 28 + kept].to_vec();
            let flags = word(at + 28 + kept.next_multiple_of(4) + 4);
            let time = u64::from(word(at + 12)) << 32 | u64::from(word(at + 16));
            let length = word(at + 24) as usize;
            records.push(Record { time, length, outbound: flags == 2, data });
        }
        at += total;
    }
    assert_eq!(kinds[..2], [0x0a0d_0d0a, 1]);
    records
}

#[test]
fn frames_pass_unchanged_both_ways_and_are_recorded_with_time_and_direction() {
    let mut bench = Bench::new(CONFIG);
    bench.cx.set_now(Instant::from_nanos(7_000_000_009));
    let up = bench.packet(b"upwards");
    bench.nic.incoming.push_back(up);
    let down = bench.packet(b"down");
    bench.pcap.send(down).unwrap();
    let up = bench.sweep();
    assert_eq!(up[0].bytes(), b"upwards");
    assert_eq!(bench.nic.sent[0].bytes(), b"down");
    let record = |outbound, data: &[u8]| Record {
        time: 7_000_000_009,
        length: data.len(),
        outbound,
        data: data.to_vec(),
    };
    assert_eq!(records(&bench.file()), [record(false, b"upwards"), record(true, b"down")]);
    assert_eq!((bench.count("received"), bench.count("sent")), (1, 1));
    assert_eq!(Component::<FakeNic>::deadline(&bench.pcap), Instant::NEVER);
}

#[test]
fn secrets_stand_in_front_of_what_they_are_needed_for_and_only_where_asked_for() {
    let line = std::format!("A_SECRET {} 0102\n", "07".repeat(32));
    for keys in [false, true] {
        let mut bench = Bench::new(Config { keys, ..CONFIG });
        assert_eq!(bench.cx.system().keys().is_watched(), keys);
        bench.nic.incoming.push_back(bench.packet(b"first"));
        bench.sweep();
        bench.cx.system().keys().tell("A_SECRET", &[7; 32], &[1, 2]);
        bench.nic.incoming.push_back(bench.packet(b"second"));
        bench.sweep();
        let file = bench.file();
        assert_eq!(records(&file).len(), 2);
        let place = |part: &[u8]| file.windows(part.len()).position(|window| window == part);
        let Some(secret) = place(line.as_bytes()) else {
            assert!(!keys);
            continue;
        };
        assert!(keys && place(b"first") < Some(secret) && Some(secret) < place(b"second"));
        // A block of its kind, with secrets of their kind, and their length.
        let word = |at: usize| u32::from_le_bytes(*file[at..].first_chunk().unwrap());
        assert_eq!((word(secret - 16), word(secret - 8)), (10, 0x544c_534b));
        assert_eq!(word(secret - 4) as usize, line.len());
    }
}

#[test]
fn the_card_shows_through_but_not_its_segmentation() {
    let bench = Bench::new(CONFIG);
    assert_eq!(NicPort::mac(&bench.pcap), Mac([2, 0, 0, 0, 0, 1]));
    assert_eq!(NicPort::mtu(&bench.pcap), 1500);
    assert_eq!(bench.pcap.offloads(), Offloads { checksum: true, segmentation: 0 });
    assert!(bench.pcap.link_up());
}

#[test]
fn long_frames_are_cut_and_say_how_long_they_were() {
    let mut bench = Bench::new(Config { snaplen: 64, ..CONFIG });
    let frame = bench.packet(&[5; 1514]);
    bench.nic.incoming.push_back(frame);
    assert_eq!(bench.sweep()[0].len(), 1514);
    let records = records(&bench.file());
    assert_eq!((records[0].data.len(), records[0].length), (64, 1514));
    assert_eq!(bench.count("cut"), 1);
}

#[test]
fn a_checksum_left_to_the_card_is_completed_in_the_copy_alone() {
    let mut bench = Bench::new(CONFIG);
    let mut frame = bench.packet(&[0x12, 0x34, 0, 0, 0x56, 0x78]);
    frame.request_checksum(0, 2);
    frame.prepend([0xff; 14]).unwrap();
    let before = frame.bytes().to_vec();
    bench.pcap.send(frame).unwrap();
    bench.sweep();
    let copy = &records(&bench.file())[0].data;
    assert_eq!(copy.len(), 20);
    assert!(waitless::checksum::Checksum::new().add(&copy[14..]).is_valid());
    assert_eq!(bench.nic.sent[0].bytes(), before);
}

#[test]
fn a_card_without_room_is_waited_for_and_nothing_is_recorded_early() {
    let mut bench = Bench::new(CONFIG);
    bench.nic.room = 1;
    for value in 0..3 {
        let frame = bench.packet(&[value; 60]);
        bench.pcap.send(frame).unwrap();
    }
    bench.sweep();
    assert_eq!((bench.nic.sent.len(), bench.count("sent")), (1, 1));
    assert_eq!(Component::<FakeNic>::deadline(&bench.pcap), Instant::ZERO);
    bench.nic.room = 3;
    bench.sweep();
    assert_eq!((bench.nic.sent.len(), bench.count("sent")), (3, 3));
}

#[test]
fn a_small_memory_keeps_the_newest_frames() {
    let mut bench = Bench::new(Config { bytes: 4_096, ..CONFIG });
    for value in 0..20 {
        let frame = bench.packet(&[value; 1_000]);
        bench.pcap.send(frame).unwrap();
    }
    bench.sweep();
    let kept: Vec<u8> = records(&bench.file()).iter().map(|record| record.data[0]).collect();
    assert_eq!(kept, [17, 18, 19]);
    assert_eq!((bench.count("sent"), bench.count("overwritten")), (20, 17));
}

#[test]
fn two_taps_need_two_files() {
    let mut bench = Bench::new(CONFIG);
    let mut other = Pcap::new(Box::leak(Box::new(CONFIG)), &mut bench.cx);
    let error = other.init(&mut bench.nic, &mut bench.cx).unwrap_err();
    assert!(error.0.contains("`file`"), "{error}");
}

/// What the referee of the format, where this machine has it, says of `fields` of each record.
fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = std::format!("pcap-test-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, file).unwrap();
    let output = std::process::Command::new("tshark")
        .args(["-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"])
        .args(["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-r"])
        .arg(&path)
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .output();
    std::fs::remove_file(&path).unwrap();
    let output = output.ok()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| line.split('\t').map(String::from).collect();
    Some(text.lines().map(line).collect())
}

#[test]
fn tshark_reads_the_file() {
    let mut bench = Bench::new(CONFIG);
    // A UDP datagram to the broadcast address, its checksum left to the card.
    let mut frame = bench.packet(&[0, 7, 0, 7, 0, 13, 0, 0, b'h', b'e', b'l', b'l', b'o']);
    let pseudo = waitless::checksum::Checksum::new().pseudo(
        core::net::Ipv4Addr::new(10, 0, 2, 15).into(),
        core::net::Ipv4Addr::BROADCAST.into(),
        17,
        13,
    );
    frame.bytes_mut()[6..8].copy_from_slice(&pseudo.folded().to_be_bytes());
    frame.request_checksum(0, 6);
    let mut ip = [0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 15, 255, 255, 255, 255];
    let sum = waitless::checksum::checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    frame.prepend(ip).unwrap();
    frame.prepend([255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 0]).unwrap();
    bench.pcap.send(frame).unwrap();
    bench.sweep();
    let fields = ["udp.checksum.status", "frame.packet_flags_direction"];
    let Some(said) = tshark(&bench.file(), &fields) else { return };
    assert_eq!(said[0][0], "1", "the checksum is good");
    assert!(said[0][1].ends_with('2'), "it went out");
}
