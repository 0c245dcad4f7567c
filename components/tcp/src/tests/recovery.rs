//! What is lost, what is only late, and what is sent again when.

use super::trace::*;
use crate::congestion::Algorithm;
use crate::queue::Side;
use crate::recovery::{Probe, Stage};
use crate::seq::Seq;
use crate::state::flag;
use crate::wire::{Options, Range, Segment, Stamps};
use crate::{Config, Counters};
use std::vec::Vec;
use waitless::{PathErrorKind, StreamPort};

const MSS_BYTES: u32 = 1460;

/// A segment with the number `index` of 1460 bytes.
fn full(index: u32) -> Seg {
    let from = (MSS_BYTES * index) as usize;
    Seg { seq: 1 + MSS_BYTES * index, data: &BYTES[from..from + 1460], ..SEG }
}

/// An open connection whose other side reports ranges, and answers after 20 ms.
fn open(config: Config) -> Trace {
    let mut t = Trace::listening(config);
    let options = Options { sack_permitted: true, ..MSS };
    t.arrives(Seg { seq: 0, flags: SYN, options, ..SEG });
    t.pop().expect("a SYN-ACK");
    t.after(20);
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).expect("a new connection");
    t.tcp.conns[0].quick_acks = 0;
    t
}

/// Acknowledges the first `count` segments, and reports ranges of segments.
fn reports(t: &mut Trace, count: u32, ranges: &[(u32, u32)]) {
    reports_with(t, count, ranges, None);
}

fn reports_with(t: &mut Trace, count: u32, ranges: &[(u32, u32)], stamps: Option<Stamps>) {
    queue(t, count, ranges, stamps);
    t.sweep();
}

fn queue(t: &mut Trace, count: u32, ranges: &[(u32, u32)], stamps: Option<Stamps>) {
    let number = |index: u32| t.isn + 1 + MSS_BYTES * index;
    let ranges: Vec<_> =
        ranges.iter().map(|&(from, to)| Range { from: number(from), to: number(to) }).collect();
    let segment = Segment {
        source: t.their_port,
        destination: t.our_port,
        seq: Seq(THEIR_ISN) + 1,
        ack: number(count),
        flags: ACK,
        window: 60_000,
        ..Segment::default()
    };
    let mut packet = t.packet(SEG);
    let (header, length) = match ranges.as_slice() {
        [] => {
            let options = Options { stamps, ..NO_OPTIONS };
            Segment { options, ..segment }.header_full()
        }
        ranges => segment.header_sacks(stamps, ranges),
    };
    packet.reset(200);
    packet.append(&header[..length]).unwrap();
    packet.info_mut().local = super::fake::LOCAL;
    packet.info_mut().remote = super::fake::REMOTE;
    packet.info_mut().checksum = waitless::packet::ChecksumState::Verified;
    t.ip.inbox.push_back(packet);
}

/// Sends `count` segments of which all leave, and the clock moves on by a round trip.
fn sends(t: &mut Trace, count: u32) {
    t.put(&BYTES[..(MSS_BYTES * count) as usize]);
    for _ in 0..8 {
        t.sweep();
    }
    t.ip.sent.clear();
    t.after(20);
    t.silent();
}

fn stage(t: &Trace) -> Stage {
    t.tcp.conns[0].recovery.stage
}

#[track_caller]
fn counts(t: &Trace, counter: impl Fn(&Counters) -> &waitless::Counter) -> u64 {
    t.counts(counter)
}

#[test]
fn three_segments_behind_a_gap_tell_of_a_loss_and_only_that_is_sent_again() {
    let mut t = open(plain());
    sends(&mut t, 10);
    reports(&mut t, 0, &[(1, 2)]);
    reports(&mut t, 0, &[(1, 3)]);
    t.silent();
    assert_eq!(stage(&t), Stage::Open);
    reports(&mut t, 0, &[(1, 4)]);
    t.sends(full(0));
    t.silent();
    assert_eq!((stage(&t), counts(&t, |c| &c.fast_retransmits)), (Stage::Fast, 1));
    for to in 5..=10 {
        reports(&mut t, 0, &[(1, to)]);
    }
    t.silent();
    t.after(20);
    reports(&mut t, 10, &[]);
    t.silent();
    assert_eq!(stage(&t), Stage::Open);
    assert_eq!((counts(&t, |c| &c.retransmitted), counts(&t, |c| &c.timeouts)), (1, 0));
    assert_eq!(t.tcp.conns[0].recovery.sacked, 0);
    assert_eq!((t.tcp.kept(), t.tcp.conns[0].pipe()), (0, 0));
    t.after(10_000);
    t.silent();
}

#[test]
fn every_gap_is_found_at_once_and_the_rate_falls_in_proportion() {
    let mut t = open(plain());
    sends(&mut t, 10);
    t.put(&BYTES[..(10 * MSS_BYTES) as usize]);
    // Segments 0, 3 and 5 are lost. All that arrived is told in one sweep.
    for ranges in [&[(1, 3)][..], &[(4, 5), (1, 3)], &[(6, 10), (4, 5), (1, 3)]] {
        queue(&mut t, 0, ranges, None);
    }
    t.sweep();
    // 10 were under way, all that is left of them is told: CUBIC's seven tenths may be sent.
    t.sends(full(0));
    t.sends(full(3));
    t.sends(full(5));
    let new: Vec<_> = core::iter::from_fn(|| t.pop()).map(|seg| seg.seq).collect();
    assert_eq!(new, [10, 11, 12, 13].map(|at| 1 + at * MSS_BYTES), "then what is new");
    assert_eq!(stage(&t), Stage::Fast);
}

#[test]
fn what_is_only_late_is_waited_for_a_quarter_of_a_round_trip() {
    let mut t = open(plain());
    sends(&mut t, 3);
    // The last arrives first.
    reports(&mut t, 0, &[(2, 3)]);
    t.silent();
    t.after(3);
    reports(&mut t, 3, &[]);
    assert_eq!((stage(&t), counts(&t, |c| &c.retransmitted)), (Stage::Open, 0));
    assert!(t.tcp.conns[0].recovery.rack.is_reordered() || t.tcp.kept() == 0);
    // And this time it does not come.
    sends(&mut t, 3);
    reports(&mut t, 3, &[(5, 6)]);
    t.silent();
    t.after(4);
    t.silent();
    t.after(4);
    t.sends(Seg { data: full(0).data, ..full(3) });
    // One went out for the one that arrived.
    t.silent();
    t.after(20);
    reports(&mut t, 4, &[(5, 6)]);
    t.sends(Seg { data: full(1).data, ..full(4) });
    assert_eq!(stage(&t), Stage::Fast);
}

#[test]
fn a_retransmission_that_is_lost_is_found_by_what_was_sent_after_it() {
    let mut t = open(plain());
    sends(&mut t, 10);
    t.put(&BYTES[..(10 * MSS_BYTES) as usize]);
    reports(&mut t, 0, &[(1, 4)]);
    t.sends(full(0));
    t.silent();
    for to in 5..=10 {
        reports(&mut t, 0, &[(1, to)]);
    }
    let new: Vec<_> = core::iter::from_fn(|| t.pop()).collect();
    assert!(!new.is_empty() && new.iter().all(|seg| seg.seq > 10 * MSS_BYTES));
    // One of those arrives, which was sent after segment 0 was sent again.
    t.after(21);
    while t.pop().is_some() {}
    reports(&mut t, 0, &[(10, 11), (1, 10)]);
    t.sends(full(0));
    assert_eq!(counts(&t, |c| &c.timeouts), 0);
}

#[test]
fn a_probe_breaks_the_silence_after_the_last_segment() {
    let mut t = open(plain());
    sends(&mut t, 4);
    // The last of four is lost, and its acknowledgement with it. Two round trips after it was
    // sent it is sent again; the timeout would take ten.
    reports(&mut t, 3, &[]);
    t.after(35);
    t.silent();
    assert_eq!(counts(&t, |c| &c.tail_probes), 0);
    t.after(210);
    t.sends(Seg { flags: PSH, ..full(3) });
    assert_eq!((counts(&t, |c| &c.tail_probes), counts(&t, |c| &c.timeouts)), (0, 1));
    // With more than one under way it need not wait for a delayed acknowledgement.
    let mut t = open(plain());
    sends(&mut t, 4);
    t.after(30);
    t.sends(Seg { flags: PSH, ..full(3) });
    assert_eq!((counts(&t, |c| &c.tail_probes), counts(&t, |c| &c.timeouts)), (1, 0));
    // It tells that the three before it are lost. One goes out for each that arrives.
    t.after(20);
    reports(&mut t, 0, &[(3, 4)]);
    t.sends(full(0));
    t.silent();
    t.after(20);
    reports(&mut t, 1, &[(3, 4)]);
    t.sends(full(1));
    t.sends(full(2));
}

#[test]
fn a_probe_that_repaired_a_loss_slows_down_and_a_needless_one_does_not() {
    for needless in [false, true] {
        let mut t = open(plain());
        sends(&mut t, 4);
        t.after(30);
        t.sends(Seg { flags: PSH, ..full(3) });
        let window = t.tcp.conns[0].congestion.window();
        reports(&mut t, 4, &[]);
        assert_eq!(t.tcp.conns[0].recovery.probe, Probe::Again);
        if needless {
            reports(&mut t, 4, &[(3, 4)]);
            assert_eq!(counts(&t, |c| &c.doubles), 1);
            assert_eq!(t.tcp.conns[0].recovery.probe, Probe::None);
        }
        sends(&mut t, 1);
        reports(&mut t, 5, &[]);
        assert_eq!(t.tcp.conns[0].recovery.probe, Probe::None);
        assert_eq!(t.tcp.conns[0].congestion.window() >= window, needless);
    }
}

#[test]
fn no_tail_is_probed_again_before_a_round_trip_was_measured() {
    let mut t = open(plain());
    sends(&mut t, 4);
    t.after(30);
    t.sends(Seg { flags: PSH, ..full(3) });
    // The other side had it; the acknowledgement of something sent twice measures nothing.
    reports(&mut t, 4, &[(3, 4)]);
    assert_eq!(t.tcp.conns[0].recovery.probe, Probe::None);
    t.put(&BYTES[..(2 * MSS_BYTES) as usize]);
    t.sweep();
    t.ip.sent.clear();
    t.after(100);
    t.silent();
    t.after(101);
    assert_eq!(t.pop().map(|seg| seg.seq), Some(1 + 4 * MSS_BYTES));
    assert_eq!((counts(&t, |c| &c.tail_probes), counts(&t, |c| &c.timeouts)), (1, 1));
    // What arrives on the first attempt measures one.
    reports(&mut t, 6, &[]);
    sends(&mut t, 2);
    reports(&mut t, 8, &[]);
    sends(&mut t, 2);
    t.after(200);
    assert_eq!(counts(&t, |c| &c.tail_probes), 2);
}

#[test]
fn a_probe_takes_new_data_where_there_is_some() {
    let mut t = open(Config { congestion: Algorithm::Reno, ..plain() });
    t.put(&BYTES[..(12 * MSS_BYTES) as usize]);
    for _ in 0..3 {
        t.sweep();
    }
    t.ip.sent.clear();
    t.after(45);
    t.sends(full(10));
    t.silent();
    assert_eq!((t.tcp.conns[0].recovery.probe, counts(&t, |c| &c.tail_probes)), (Probe::Fresh, 1));
    reports(&mut t, 11, &[]);
    assert_eq!(t.tcp.conns[0].recovery.probe, Probe::None);
}

#[test]
fn a_probe_of_a_fin_sends_just_that_although_room_was_lent_behind_it() {
    let mut t = open(plain());
    t.write(&BYTES[..2 * 1460]);
    assert!(!t.tcp.writable(t.stream).is_empty());
    t.close();
    t.sends(full(0));
    t.sends(Seg { flags: PSH, ..full(1) });
    let fin = Seg { seq: 1 + 2 * MSS_BYTES, flags: FIN, ..SEG };
    t.sends(fin);
    t.after(45);
    // The last text again, with the FIN behind it.
    t.sends(Seg { flags: FIN_PSH, ..full(1) });
    assert_eq!(counts(&t, |c| &c.tail_probes), 1);
    // What was lent and not used was not sent, and measures no round trip.
    reports(&mut t, 2, &[]);
    assert!(t.tcp.conns[0].rtt.smoothed_micros() < 30_000);
    t.after(250);
    t.sends(fin);
}

#[test]
fn a_timeout_sends_the_first_again_and_then_what_else_was_lost() {
    let mut t = open(plain());
    sends(&mut t, 6);
    t.after(30);
    t.sends(Seg { flags: PSH, ..full(5) });
    t.after(200);
    t.sends(full(0));
    t.silent();
    assert_eq!((stage(&t), t.tcp.conns[0].congestion.window()), (Stage::Timeout, MSS_BYTES));
    reports(&mut t, 1, &[]);
    t.sends(full(1));
    t.sends(full(2));
    t.silent();
    reports(&mut t, 3, &[(5, 6)]);
    t.sends(full(3));
    t.sends(full(4));
    t.silent();
    reports(&mut t, 6, &[]);
    assert_eq!((stage(&t), t.tcp.kept(), t.tcp.conns[0].recovery.lost), (Stage::Open, 0, 0));
}

#[test]
fn who_throws_away_what_it_reported_gets_it_again() {
    let mut t = open(plain());
    sends(&mut t, 4);
    reports(&mut t, 0, &[(1, 2)]);
    // It acknowledges what was missing, but not what it had.
    reports(&mut t, 1, &[]);
    t.after(300);
    t.sends(full(1));
    assert_eq!(counts(&t, |c| &c.reneged), 1);
    reports(&mut t, 2, &[]);
    t.sends(full(2));
    t.sends(Seg { flags: PSH, ..full(3) });
}

#[test]
fn ranges_that_cannot_be_are_ignored() {
    let mut t = open(plain());
    sends(&mut t, 4);
    for ranges in [&[(3, 2)][..], &[(2, 5)], &[(70_000, 70_001)], &[(1, 1)], &[(100, 2)]] {
        reports(&mut t, 0, ranges);
    }
    let recovery = &t.tcp.conns[0].recovery;
    assert_eq!((recovery.sacked, recovery.lost), (0, 0));
    t.silent();
    // Of one that ends inside a segment, that segment does not count.
    let mut packet_ranges = |from: u32, to: u32| {
        let number = |at: u32| t.isn + 1 + at;
        let range = Range { from: number(from), to: number(to) };
        t.tcp.conns[0].recovery.known[0] = Range::default();
        let segment = Segment {
            source: t.their_port,
            destination: t.our_port,
            seq: Seq(THEIR_ISN) + 1,
            ack: number(0),
            flags: ACK,
            window: 60_000,
            ..Segment::default()
        };
        let (header, length) = segment.header_sacks(None, &[range]);
        let mut packet = t.packet(SEG);
        packet.reset(200);
        packet.append(&header[..length]).unwrap();
        packet.info_mut().checksum = waitless::packet::ChecksumState::Verified;
        packet.info_mut().local = super::fake::LOCAL;
        packet.info_mut().remote = super::fake::REMOTE;
        t.ip.inbox.push_back(packet);
        t.sweep();
        t.tcp.conns[0].recovery.sacked
    };
    assert_eq!(packet_ranges(MSS_BYTES + 1, 3 * MSS_BYTES - 1), 0);
    assert_eq!(packet_ranges(MSS_BYTES + 1, 3 * MSS_BYTES), MSS_BYTES);
}

/// With timestamps, what arrives late betrays itself by its echo.
fn open_stamped() -> (Trace, u32) {
    let options = |value, echo| Options { stamps: Some(Stamps { value, echo }), ..NO_OPTIONS };
    let syn = Options { sack_permitted: true, mss: 1472, ..options(1, 0) };
    let mut t = Trace::listening(Config { timestamps: true, ..plain() });
    t.arrives(Seg { seq: 0, flags: SYN, options: syn, ..SEG });
    let ours = t.pop().unwrap().options.stamps.unwrap().value;
    t.arrives(Seg { options: options(1, ours), ..SEG });
    t.stream = t.tcp.news(t.service).unwrap();
    (t, ours)
}

/// The segment that was sent next: where it begins, and its clock.
fn next(t: &mut Trace) -> (u32, u32) {
    let seg = t.pop().expect("a segment");
    (seg.seq, seg.options.stamps.unwrap().value)
}

#[test]
fn a_timeout_that_was_too_early_is_undone() {
    let (mut t, _) = open_stamped();
    t.tcp.conns[0].mss = 1460;
    t.put(&BYTES[..(4 * MSS_BYTES) as usize]);
    t.sweep();
    let first = next(&mut t);
    t.ip.sent.clear();
    let window = t.tcp.conns[0].congestion.window();
    t.after(100);
    t.ip.sent.clear();
    t.after(300);
    let again = next(&mut t);
    assert_eq!((again.0, stage(&t)), (first.0, Stage::Timeout));
    assert!(again.1 > first.1);
    // The first transmission is acknowledged after all.
    reports_with(&mut t, 2, &[], Some(Stamps { value: 2, echo: first.1 }));
    assert_eq!((stage(&t), counts(&t, |c| &c.spurious)), (Stage::Open, 1));
    assert_eq!(t.tcp.conns[0].congestion.window(), window);
    assert_eq!(t.tcp.conns[0].recovery.lost, 0);
    t.silent();
    reports_with(&mut t, 4, &[], Some(Stamps { value: 2, echo: first.1 }));
    assert_eq!(t.tcp.kept(), 0);
}

#[test]
fn a_timeout_that_was_right_is_not() {
    let (mut t, _) = open_stamped();
    t.tcp.conns[0].mss = 1460;
    t.put(&BYTES[..(4 * MSS_BYTES) as usize]);
    t.sweep();
    t.ip.sent.clear();
    t.after(100);
    t.ip.sent.clear();
    t.after(300);
    let again = next(&mut t);
    reports_with(&mut t, 1, &[], Some(Stamps { value: 2, echo: again.1 }));
    assert_eq!((stage(&t), counts(&t, |c| &c.spurious)), (Stage::Timeout, 0));
    assert_eq!(next(&mut t).0, 1 + MSS_BYTES);
}

#[test]
fn what_was_too_long_for_the_path_is_sent_again_without_slowing_down() {
    let mut t = open(plain());
    sends(&mut t, 4);
    let window = t.tcp.conns[0].congestion.window();
    t.error(PathErrorKind::TooBig(1000), 1);
    let sent: Vec<_> = core::iter::from_fn(|| t.pop()).map(|seg| seg.data.len()).collect();
    assert_eq!(sent, [960, 500, 960, 500, 960, 500, 960, 500]);
    assert_eq!((t.tcp.conns[0].congestion.window(), stage(&t)), (window, Stage::Open));
}

#[test]
fn without_ranges_a_loss_is_found_however_long_ago_the_last_one_was() {
    let mut t = Trace::open(plain());
    t.tcp.conns[0].recovery.point = t.isn + (1 << 31);
    t.write(&BYTES[..5 * 1460]);
    t.ip.sent.clear();
    for _ in 0..3 {
        t.arrives(SEG);
    }
    t.sends(full(0));
    assert_eq!((stage(&t), counts(&t, |c| &c.fast_retransmits)), (Stage::Fast, 1));
}

#[test]
fn without_ranges_a_partial_acknowledgement_finds_the_next_loss() {
    let mut t = Trace::open(plain());
    t.put(&BYTES[..(10 * MSS_BYTES) as usize]);
    t.sweep();
    t.sweep();
    t.ip.sent.clear();
    // Segments 0 and 5 are lost.
    for _ in 0..3 {
        t.arrives(SEG);
    }
    t.sends(full(0));
    for _ in 0..5 {
        t.arrives(SEG);
    }
    t.silent();
    t.arrives(Seg { ack: 1 + 5 * MSS_BYTES, ..SEG });
    t.sends(full(5));
    t.arrives(Seg { ack: 1 + 10 * MSS_BYTES, ..SEG });
    assert_eq!((stage(&t), t.tcp.conns[0].recovery.sacked, t.tcp.kept()), (Stage::Open, 0, 0));
    assert_eq!((counts(&t, |c| &c.fast_retransmits), counts(&t, |c| &c.timeouts)), (1, 0));
}

/// What a segment with the bytes from `from` to `to` is answered with: which ranges.
fn ranges_for(t: &mut Trace, from: u32, to: u32) -> Option<Vec<(u32, u32)>> {
    t.arrives(Seg { seq: from, flags: PSH, data: &BYTES[from as usize..to as usize], ..SEG });
    let packet = t.ip.sent.pop_front()?;
    let segment = Segment::parse(packet.bytes()).unwrap();
    let number = |seq: Seq| seq.since(Seq(THEIR_ISN));
    let ranges = segment.ranges(packet.bytes());
    Some(ranges.iter().map(|it| (number(it.from), number(it.to))).collect())
}

#[test]
fn what_arrived_twice_is_reported_once() {
    let options = Options { sack_permitted: true, ..MSS };
    let mut t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
    ranges_for(&mut t, 1, 501);
    for (from, to, ranges) in [
        (1, 501, [(1, 501)].as_slice()),
        (1001, 1501, &[(1001, 1501)]),
        (1001, 1501, &[(1001, 1501), (1001, 1501)]),
        (2001, 2501, &[(2001, 2501), (1001, 1501)]),
    ] {
        assert_eq!(ranges_for(&mut t, from, to).as_deref(), Some(ranges));
    }
}

#[test]
fn a_part_that_arrived_before_is_reported() {
    let options = Options { sack_permitted: true, ..MSS };
    let mut t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
    ranges_for(&mut t, 1, 501);
    for (from, to, ranges) in [
        (401, 601, [(401, 501)].as_slice()),
        (1001, 1501, &[(1001, 1501)]),
        // Both ends are there: the first of them.
        (1401, 1701, &[(1401, 1501), (1001, 1701)]),
        (901, 1801, &[(1001, 1701), (901, 1801)]),
        // What fills the gap, and more.
        (601, 1001, &[(901, 1001)]),
    ] {
        assert_eq!(ranges_for(&mut t, from, to).as_deref(), Some(ranges), "{from}");
    }
}

#[test]
fn what_is_reported_twice_is_kept_when_memory_is_short() {
    let options = Options { sack_permitted: true, ..MSS };
    let memory = Some(16 * waitless::Pool::BUFFER_SIZE as u64);
    let config = Config { memory, ..plain() };
    let mut t = Trace::open_with(config, Seg { flags: SYN, options, ..SEG }, SEG);
    ranges_for(&mut t, 3001, 3301);
    let mut end = 1;
    while t.tcp.env.nodes.has_room(Side::Receive) {
        ranges_for(&mut t, end, end + 300);
        end += 300;
    }
    assert!(!t.tcp.env.nodes.is_relaxed(Side::Receive) && end < 3001);
    t.ip.sent.clear();
    // It takes the place of the one it covers; another finds none.
    let ranges = ranges_for(&mut t, 2901, 3401);
    assert_eq!(ranges.as_deref(), Some([(3001, 3301), (2901, 3401)].as_slice()));
    assert_eq!(ranges_for(&mut t, 3501, 3801).as_deref(), Some([(2901, 3401)].as_slice()));
    assert_eq!(counts(&t, |c| &c.dropped_early), 1);
}

#[test]
fn what_arrived_twice_is_not_reported_late() {
    let options = Options { sack_permitted: true, ..MSS };
    let mut t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
    ranges_for(&mut t, 1, 501);
    // The acknowledgement goes with data, which leaves no space for ranges.
    t.put(&BYTES[..100]);
    assert_eq!(ranges_for(&mut t, 1, 501).as_deref(), Some([].as_slice()));
    assert!(!t.tcp.conns[0].flags.has(flag::TWICE));
    assert_eq!(ranges_for(&mut t, 1001, 1501).as_deref(), Some([(1001, 1501)].as_slice()));
    // Nor is it noted where the other side takes no ranges.
    let mut t = Trace::open(plain());
    for _ in 0..2 {
        t.arrives(Seg { flags: PSH, data: &BYTES[..500], ..SEG });
    }
    assert!(!t.tcp.conns[0].flags.has(flag::TWICE));
}
