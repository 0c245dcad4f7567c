//! Buffers and segments that follow the path, and settings of one connection.

use super::trace::*;
use crate::Config;
use crate::wire::Options;
use std::vec::Vec;
use waitless::{Duration, Phase, Setting, StreamPort};

const SCALED: Options = Options { scale: Some(7), sack_permitted: true, ..MSS };

/// A connection with room for more than it begins with, and a round trip of 100 ms.
fn open(config: Config) -> Trace {
    let mut t = Trace::listening(config);
    t.arrives(Seg { seq: 0, flags: SYN, options: SCALED, ..SEG });
    t.pop().unwrap();
    t.after(100);
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    t.tcp.conns[0].quick_acks = 0;
    t
}

/// Text of `count` segments arrives, each read at once or not, and a round trip passes.
fn arrive(t: &mut Trace, at: &mut u32, count: u32, reads: bool) {
    for _ in 0..count {
        t.arrives(Seg { seq: 1 + *at, flags: PSH, data: &BYTES[..1460], ..SEG });
        *at += 1460;
        if reads {
            t.read();
        }
        t.sweep();
        t.ip.sent.clear();
    }
    t.after(100);
    t.ip.sent.clear();
}

#[test]
fn the_window_grows_with_what_a_round_trip_brings_and_the_service_reads() {
    let config = Config { receive_buffer: 16 << 20, memory: Some(64 << 20), ..plain() };
    let mut t = open(config);
    let mut at = 0;
    assert_eq!(t.tcp.conns[0].buffer, 65_535);
    arrive(&mut t, &mut at, 10, true);
    arrive(&mut t, &mut at, 20, true);
    arrive(&mut t, &mut at, 1, true);
    assert_eq!(t.tcp.conns[0].buffer, 4 * 20 * 1460);
    arrive(&mut t, &mut at, 40, true);
    arrive(&mut t, &mut at, 1, true);
    let grown = t.tcp.conns[0].buffer;
    assert_eq!(grown, 4 * 40 * 1460);
    // Of a service that does not read it grows no further.
    arrive(&mut t, &mut at, 100, false);
    arrive(&mut t, &mut at, 1, false);
    assert_eq!(t.tcp.conns[0].buffer, grown);
}

#[test]
fn the_window_ends_where_memory_does() {
    let config = Config { receive_buffer: 16 << 20, memory: Some(2176 * 200), ..plain() };
    let mut t = open(config);
    let mut at = 0;
    for _ in 0..4 {
        arrive(&mut t, &mut at, 40, true);
    }
    assert_eq!(t.tcp.conns[0].buffer, 200 / 4 * 1_400);
}

#[test]
fn what_may_be_queued_grows_with_the_congestion_window() {
    let mut t = open(Config { send_buffer: 16 << 20, memory: Some(256 << 20), ..plain() });
    assert_eq!(t.status().writable, 64 << 10);
    t.tcp.conns[0].congestion.set_window(1 << 20);
    assert_eq!(t.status().writable, 2 << 20);
    t.tcp.conns[0].congestion.set_window(64 << 20);
    assert_eq!(t.status().writable, 16 << 20);
}

#[test]
fn a_shift_above_14_counts_as_14() {
    let options = Options { scale: Some(200), ..MSS };
    let t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
    assert_eq!(t.tcp.conns[0].send_scale, 14);
}

#[test]
fn a_path_that_swallows_long_segments_gets_shorter_ones() {
    let mut t = open(Config { probing: false, ..plain() });
    t.put(&BYTES[..4 * 1460]);
    t.sweep();
    t.ip.sent.clear();
    let mut longest = 1460;
    let mut lengths = Vec::new();
    // Only what is short enough arrives.
    for _ in 0..200 {
        t.after(50);
        while let Some(seg) = t.pop() {
            if seg.data.len() != longest {
                longest = seg.data.len();
                lengths.push(longest);
            }
            if seg.data.len() <= 1_160 && seg.seq + seg.data.len() as u32 == 1 + 4 * 1460 {
                lengths.push(0);
            }
        }
    }
    assert_eq!(lengths.first(), Some(&1_160), "{lengths:?}");
    assert_eq!((t.counts(|c| &c.black_holes), t.status().segment), (2, 512));
    // All is acknowledged; ten minutes later long ones are tried again.
    t.arrives(Seg { ack: 1 + 4 * 1460, ..SEG });
    assert_eq!((t.status().unacknowledged, t.tcp.kept()), (0, 0));
    t.after(400_000);
    t.write(b"x");
    assert_eq!(t.status().segment, 512);
    t.ip.sent.clear();
    t.arrives(Seg { ack: 2 + 4 * 1460, ..SEG });
    t.after(300_000);
    t.write(b"x");
    assert_eq!(t.status().segment, 1460);
}

#[test]
fn settings_of_one_connection_leave_the_others_alone() {
    let mut t = Trace::open(plain());
    let other = t.stream;
    t.their_port += 1;
    t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
    t.pop();
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    let (set, stream) = (Setting::KeepAlive(Some(Duration::from_secs(20))), t.stream);
    assert!(t.tcp.set(stream, set));
    assert!(t.tcp.set(stream, Setting::Nagle(true)));
    assert!(t.tcp.set(stream, Setting::TrafficClass(46)));
    assert!(t.tcp.set(stream, Setting::UserTimeout(Duration::from_secs(5))));
    assert!(!t.tcp.set(waitless::Stream { index: 9, generation: 0 }, set));
    t.write(b"one");
    assert_eq!(t.ip.sent.pop_front().unwrap().info().class, 46 << 2);
    t.write(b"two");
    t.silent();
    assert!(t.tcp.set(stream, Setting::Nagle(false)));
    t.sweep();
    t.sends(Seg { seq: 4, flags: PSH, data: b"two", ..SEG });
    t.arrives(Seg { ack: 7, ..SEG });
    // It is probed after 20 s; what the other one sends is given up by itself.
    t.after(21_000);
    t.sends(Seg { seq: 6, ..SEG });
    t.arrives(Seg { ack: 7, ..SEG });
    t.stream = other;
    t.their_port -= 1;
    t.write(b"x");
    assert_eq!(t.ip.sent.pop_front().unwrap().info().class, 0);
    t.stream = stream;
    t.write(b"x");
    t.after(15_000);
    t.ip.sent.clear();
    assert_eq!((t.phase(), t.tcp.status(other).phase), (Phase::TimedOut, Phase::Open));
}
