//! What is sent when: windows, probes, retransmission, congestion.

use super::trace::*;
use crate::Config;
use crate::state::State;
use waitless::{PathErrorKind, Phase, StreamPort};

/// The data of segment number `index` of 1460 bytes.
fn part(index: usize) -> &'static [u8] {
    &BYTES[index * 1460..(index + 1) * 1460]
}

/// A full segment number `index`.
fn full(index: usize) -> Seg {
    Seg { seq: 1 + 1460 * index as u32, data: part(index), ..SEG }
}

/// Acknowledges the first `count` full segments.
fn acks(count: u32) -> Seg {
    Seg { ack: 1 + 1460 * count, ..SEG }
}

#[test]
fn the_initial_window_is_ten_segments_and_slow_start_doubles_it() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..40 * 1460]);
    t.sweep();
    for index in 0..10 {
        t.sends(full(index));
    }
    t.silent();
    t.arrives(acks(2));
    for index in 10..14 {
        t.sends(full(index));
    }
    t.silent();
}

#[test]
fn the_last_segment_is_pushed_and_small_writes_go_out_together() {
    let mut t = Trace::open(plain());
    t.put(b"one ");
    t.put(b"two ");
    let mut packet = t.cx.packet().unwrap();
    packet.append(b"three").unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    t.sends(Seg { flags: PSH, data: b"one two three", ..SEG });
    t.write(&BYTES[..2000]);
    t.sends(Seg { seq: 14, data: &BYTES[..1460], ..SEG });
    t.sends(Seg { seq: 1474, flags: PSH, data: &BYTES[1460..2000], ..SEG });
    t.silent();
    assert_eq!(t.status().unacknowledged, 2013);
    t.arrives(Seg { ack: 2014, ..SEG });
    assert_eq!((t.status().unacknowledged, t.tcp.kept()), (0, 0));
}

#[test]
fn packets_without_headroom_or_too_long_are_copied_or_cut() {
    let mut t = Trace::open(plain());
    let mut packet = t.cx.packet().unwrap();
    packet.reset(0);
    packet.append(&BYTES[..2048]).unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    t.sends(full(0));
    // The rest of the first half, then the second.
    t.sends(Seg { seq: 1461, data: &BYTES[1460..1600], ..SEG });
    t.sends(Seg { seq: 1601, flags: PSH, data: &BYTES[1600..2048], ..SEG });
    let empty = t.cx.packet().unwrap();
    t.tcp.send(t.stream, empty).unwrap();
    t.sweep();
    t.silent();
}

#[test]
fn a_long_packet_is_cut_into_tiny_segments() {
    let tiny = crate::wire::Options { mss: 48, ..NO_OPTIONS };
    let syn = Seg { flags: SYN, options: tiny, ..SEG };
    let mut t = Trace::open_with(plain(), syn, SEG);
    let mut packet = t.cx.packet().unwrap();
    packet.reset(crate::output::HEADERS_MAX);
    let room = packet.tailroom();
    packet.append(&BYTES[..room]).unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    t.sends(Seg { data: &BYTES[..48], ..SEG });
    t.sends(Seg { seq: 49, data: &BYTES[48..96], ..SEG });
}

#[test]
fn tiny_segments_take_no_more_memory_than_there_is() {
    let tiny = crate::wire::Options { mss: 48, ..NO_OPTIONS };
    let config = Config { memory: Some(8 * waitless::Pool::BUFFER_SIZE as u64), ..plain() };
    let mut t = Trace::open_with(config, Seg { flags: SYN, options: tiny, ..SEG }, SEG);
    let mut packet = t.cx.packet().unwrap();
    packet.append(&BYTES[..1500]).unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    let mut arrived = 0;
    for _ in 0..100 {
        assert!(t.tcp.kept() <= 4, "{} packets", t.tcp.kept());
        while let Some(seg) = t.pop() {
            assert_eq!(
                (seg.seq, seg.data),
                (1 + arrived, &BYTES[arrived as usize..][..seg.data.len()])
            );
            arrived += seg.data.len() as u32;
        }
        t.arrives(Seg { ack: 1 + arrived, ..SEG });
    }
    assert_eq!((arrived, t.tcp.kept()), (1500, 0));
}

#[test]
fn data_behind_room_that_was_lent_and_not_used_is_sent() {
    let mut t = Trace::open(plain());
    assert_eq!(t.tcp.writable(t.stream).len(), 1460);
    let mut packet = t.cx.packet().unwrap();
    packet.reset(0);
    packet.append(&BYTES[..2048]).unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    t.sends(full(0));
    t.sends(Seg { seq: 1461, data: &BYTES[1460..1600], ..SEG });
    t.sends(Seg { seq: 1601, flags: PSH, data: &BYTES[1600..2048], ..SEG });
    t.arrives(Seg { ack: 2049, ..SEG });
    assert_eq!(t.tcp.kept(), 0);
}

#[test]
fn a_probe_is_not_sent_when_the_same_data_was_just_sent_again() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..2 * 1460]);
    let late = [t.ip.sent.pop_front().unwrap(), t.ip.sent.pop_front().unwrap()];
    // The window closes, and a partial acknowledgement in recovery asks for the second segment,
    // which the device has not sent yet.
    t.arrives(Seg { window: Some(0), ..SEG });
    for _ in 0..3 {
        t.arrives(Seg { window: Some(0), ..SEG });
    }
    t.arrives(Seg { window: Some(0), ..acks(1) });
    t.after(1500);
    t.queue(Seg { window: Some(500), ..acks(1) });
    drop(late);
    t.after(1);
    t.after(10);
    t.sends(Seg { seq: 1461, data: &BYTES[1460..1960], ..SEG });
}

#[test]
fn room_that_was_lent_and_not_used_is_not_sent() {
    let mut t = Trace::open(plain());
    assert_eq!(t.tcp.writable(t.stream).len(), 1460);
    t.sweep();
    t.silent();
    assert_eq!(t.tcp.writable(t.stream).len(), 1460);
    t.write(b"x");
    t.sends(Seg { flags: PSH, data: b"x", ..SEG });
    t.arrives(Seg { ack: 2, ..SEG });
    assert_eq!(t.tcp.kept(), 0);
}

#[test]
fn the_send_buffer_is_limited_and_room_is_reported() {
    let mut t = Trace::open(Config { send_buffer: 4096, ..plain() });
    t.put(&BYTES[..4000]);
    assert_eq!((t.status().writable, t.tcp.writable(t.stream).len()), (96, 96));
    let mut packet = t.cx.packet().unwrap();
    packet.append(&BYTES[..97]).unwrap();
    assert!(t.tcp.send(t.stream, packet).is_err());
    t.sweep();
    while t.pop().is_some() {}
    assert_eq!(t.tcp.news(t.service), None);
    t.arrives(acks(1));
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
}

#[test]
fn without_packets_a_service_is_told_when_there_are_some() {
    let mut t = Trace::open(plain());
    let all: std::vec::Vec<_> = core::iter::from_fn(|| t.cx.packet()).collect();
    assert!(t.tcp.writable(t.stream).is_empty());
    t.sweep();
    assert_eq!(t.tcp.news(t.service), None);
    drop(all);
    t.after(2);
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
    assert!(!t.tcp.writable(t.stream).is_empty());
}

#[test]
fn the_other_sides_window_is_honoured() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { window: Some(3000), ..SEG });
    t.write(&BYTES[..6000]);
    t.sends(full(0));
    t.sends(full(1));
    t.silent();
    // What is offered is too little for a segment, and not half the window.
    t.arrives(Seg { window: Some(3000 - 1460), ..acks(1) });
    t.silent();
    t.arrives(Seg { window: Some(3000), ..acks(1) });
    t.sends(full(2));
    t.silent();
    // It shrinks below what is under way.
    t.arrives(Seg { window: Some(100), ..acks(1) });
    t.silent();
    assert_eq!(t.state(), State::Established);
}

#[test]
fn a_closed_window_is_probed_with_one_octet_ever_more_rarely() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { window: Some(0), ..SEG });
    t.write(b"hello");
    t.silent();
    let probe = Seg { data: b"h", ..SEG };
    // The handshake took no time: the timeout is the minimum.
    for millis in [200, 400, 800] {
        t.after(millis - 10);
        t.silent();
        t.after(11);
        t.sends(probe);
        t.arrives(Seg { window: Some(0), ..SEG });
        t.silent();
    }
    assert_eq!(t.counts(|c| &c.probes), 3);
    t.arrives(SEG);
    t.sends(Seg { flags: PSH, data: b"hello", ..SEG });
    t.arrives(Seg { ack: 6, ..SEG });
    t.after(100_000);
    t.silent();
}

#[test]
fn a_probes_octet_may_be_accepted() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { window: Some(0), ..SEG });
    t.write(b"hello");
    t.after(201);
    t.sends(Seg { data: b"h", ..SEG });
    t.arrives(Seg { ack: 2, window: Some(0), ..SEG });
    t.silent();
    t.arrives(Seg { ack: 2, ..SEG });
    t.sends(Seg { seq: 2, flags: PSH, data: b"ello", ..SEG });
}

#[test]
fn answered_probes_keep_the_connection_and_unanswered_ones_end_it() {
    let config = Config { user_timeout: waitless::Duration::from_secs(10), ..plain() };
    let mut t = Trace::open(config);
    t.arrives(Seg { window: Some(0), ..SEG });
    t.write(b"hello");
    for _ in 0..8 {
        t.after(5000);
        while t.pop().is_some() {}
        t.arrives(Seg { window: Some(0), ..SEG });
    }
    assert_eq!(t.phase(), Phase::Open);
    t.after(300_000);
    assert_eq!(t.phase(), Phase::TimedOut);
}

#[test]
fn a_closed_window_is_probed_with_the_fin_where_nothing_else_is_left() {
    let config = Config { user_timeout: waitless::Duration::from_secs(10), ..plain() };
    let closed = Seg { window: Some(0), ..SEG };
    let fin = Seg { flags: FIN, ..SEG };
    let mut t = Trace::open(config);
    t.arrives(closed);
    t.close();
    t.sends(fin);
    t.arrives(closed);
    for millis in [200, 400, 800] {
        t.after(millis - 10);
        t.silent();
        t.after(11);
        t.sends(fin);
        t.arrives(closed);
        t.silent();
    }
    assert_eq!(t.counts(|c| &c.probes), 3);
    // While it is answered, the connection stays.
    for _ in 0..8 {
        t.after(5_000);
        while t.pop().is_some() {}
        t.arrives(closed);
    }
    assert_eq!(t.state(), State::FinWait1);
    // The window opens: there is nothing to wait for.
    t.arrives(SEG);
    t.sends(fin);
    t.after(201);
    t.sends(fin);
    t.arrives(Seg { ack: 2, ..SEG });
    assert_eq!(t.state(), State::FinWait2);
    t.after(100_000);
    t.silent();
}

#[test]
fn a_fin_that_no_window_takes_is_given_up_when_nobody_answers_or_waits() {
    let config = Config { user_timeout: waitless::Duration::from_secs(10), ..plain() };
    for orphan in [false, true] {
        let mut t = Trace::open(if orphan { plain() } else { config });
        t.arrives(Seg { window: Some(0), ..SEG });
        t.close();
        if orphan {
            t.release();
        }
        for _ in 0..40 {
            t.after(5_000);
            while t.pop().is_some() {}
            if orphan && t.counts(|c| &c.open) > 0 {
                t.arrives(Seg { window: Some(0), ..SEG });
            }
        }
        assert_eq!(t.counts(|c| &c.timed_out), 1);
    }
}

#[test]
fn a_silly_window_is_used_after_a_while() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { window: Some(100), ..SEG });
    t.write(&BYTES[..1000]);
    t.silent();
    t.after(201);
    t.sends(Seg { data: &BYTES[..100], ..SEG });
    t.arrives(Seg { ack: 101, window: Some(2000), ..SEG });
    t.sends(Seg { seq: 101, flags: PSH, data: &BYTES[100..1000], ..SEG });
}

#[test]
fn nagle_holds_short_segments_back_only_when_wanted() {
    for nagle in [false, true] {
        let mut t = Trace::open(Config { nagle, ..plain() });
        t.write(b"one");
        t.sends(Seg { flags: PSH, data: b"one", ..SEG });
        t.write(b"two");
        if nagle {
            t.silent();
            t.arrives(Seg { ack: 4, ..SEG });
        }
        t.sends(Seg { seq: 4, flags: PSH, data: b"two", ..SEG });
        t.write(b"end");
        t.tcp.close(t.stream);
        t.sweep();
        let flags = if nagle { FIN_PSH } else { PSH };
        t.sends(Seg { seq: 7, flags, data: b"end", ..SEG });
    }
}

#[test]
fn a_lost_segment_is_sent_again_with_backoff_and_given_up_with_a_reset() {
    let config = Config { user_timeout: waitless::Duration::from_secs(20), ..plain() };
    let mut t = Trace::open(config);
    let data = Seg { flags: PSH, data: b"hello", ..SEG };
    t.write(b"hello");
    t.sends(data);
    // The handshake took no time: the timeout is the minimum.
    for millis in [200, 400, 800, 1600, 3200, 6400] {
        t.after(millis - 10);
        t.silent();
        t.after(11);
        t.sends(data);
    }
    assert_eq!((t.counts(|c| &c.timeouts), t.counts(|c| &c.retransmitted)), (6, 6));
    t.after(20_000);
    t.sends(Seg { seq: 6, flags: RST_ACK, ..SEG });
    assert_eq!((t.phase(), t.tcp.news(t.service)), (Phase::TimedOut, Some(t.stream)));
    t.release();
    t.is_clean();
}

#[test]
fn after_a_timeout_everything_is_sent_again_from_one_segment_on() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..4 * 1460]);
    for index in 0..4 {
        t.pop().unwrap_or_else(|| panic!("segment {index}"));
    }
    t.after(201);
    t.sends(full(0));
    t.silent();
    t.arrives(acks(1));
    t.sends(full(1));
    t.sends(full(2));
    t.silent();
    // All had arrived but the first.
    t.arrives(acks(4));
    t.silent();
    assert_eq!((t.tcp.kept(), t.status().unacknowledged), (0, 0));
    t.after(10_000);
    t.silent();
}

#[test]
fn three_duplicates_are_a_loss_and_partial_acknowledgements_another() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..14 * 1460]);
    t.sweep();
    for index in 0..10 {
        t.sends(full(index));
    }
    // Segments 0 and 3 are lost. The first two duplicates let new segments out.
    t.arrives(SEG);
    t.sends(full(10));
    t.arrives(SEG);
    t.sends(full(11));
    t.silent();
    t.arrives(SEG);
    t.sends(full(0));
    t.silent();
    assert_eq!(t.counts(|c| &c.fast_retransmits), 1);
    for _ in 0..5 {
        t.arrives(SEG);
    }
    // 12 under way, half of that and 3 + 5 inflate it to 14.
    t.sends(full(12));
    t.sends(Seg { flags: PSH, ..full(13) });
    t.silent();
    t.arrives(acks(3));
    t.sends(full(3));
    t.silent();
    t.arrives(acks(14));
    t.silent();
    assert_eq!((t.counts(|c| &c.fast_retransmits), t.counts(|c| &c.timeouts)), (1, 0));
    assert_eq!(t.tcp.conns[0].congestion.window(), 12 * 1460 * 7 / 10);
}

#[test]
fn what_is_no_duplicate_acknowledgement_starts_nothing() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..3 * 1460]);
    while t.pop().is_some() {}
    for i in 0..4 {
        t.arrives(Seg { window: Some(50_000 + i), ..SEG });
    }
    for i in 0..4 {
        t.arrives(Seg { seq: 1 + i, flags: PSH, data: b"x", window: Some(50_003), ..SEG });
    }
    assert_eq!(t.counts(|c| &c.fast_retransmits), 0);
}

#[test]
fn what_the_device_still_has_is_not_sent_twice() {
    let mut t = Trace::open(plain());
    t.write(b"hello");
    let stuck = t.ip.sent.pop_front().unwrap();
    t.after(250);
    t.silent();
    drop(stuck);
    t.after(5);
    t.sends(Seg { flags: PSH, data: b"hello", ..SEG });
    t.arrives(Seg { ack: 6, ..SEG });
    assert_eq!(t.tcp.kept(), 0);
}

#[test]
fn without_room_below_everything_waits_for_the_next_sweep() {
    let mut t = Trace::open(plain());
    t.ip.room = 0;
    t.write(&BYTES[..3 * 1460]);
    t.silent();
    assert_eq!(waitless::Component::<super::fake::Ip>::deadline(&t.tcp), waitless::Instant::ZERO);
    t.ip.room = 2;
    t.sweep();
    t.sends(full(0));
    t.sends(full(1));
    t.silent();
    t.sweep();
    t.sends(Seg { flags: PSH, ..full(2) });
    let deadline = waitless::Component::<super::fake::Ip>::deadline(&t.tcp);
    assert!(deadline > t.cx.now());
}

#[test]
fn impossible_acknowledgements_are_challenged_and_throttled() {
    let mut t = Trace::open(plain());
    t.write(b"hello");
    t.pop();
    t.arrives(Seg { ack: 7, ..SEG });
    t.sends(Seg { seq: 6, ..SEG });
    t.arrives(Seg { ack: 1u32.wrapping_sub(70_000), ..SEG });
    t.silent();
    assert_eq!((t.counts(|c| &c.dropped_ack), t.counts(|c| &c.challenges_throttled)), (2, 1));
    t.after(501);
    while t.pop().is_some() {}
    t.arrives(Seg { ack: 1u32.wrapping_sub(70_000), ..SEG });
    t.sends(Seg { seq: 6, ..SEG });
    assert_eq!(t.status().unacknowledged, 5);
}

#[test]
fn a_smaller_path_mtu_makes_smaller_segments() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..2920]);
    t.sends(full(0));
    t.sends(Seg { flags: PSH, ..full(1) });
    t.error(PathErrorKind::TooBig(1400), 99_999);
    t.silent();
    t.error(PathErrorKind::TooBig(1400), 1);
    t.sends(Seg { data: &BYTES[..1360], ..SEG });
    t.sends(Seg { seq: 1361, data: &BYTES[1360..1460], ..SEG });
    t.sends(Seg { seq: 1461, data: &BYTES[1460..2820], ..SEG });
    t.sends(Seg { seq: 2821, flags: PSH, data: &BYTES[2820..2920], ..SEG });
    assert_eq!(t.status().segment, 1360);
    t.error(PathErrorKind::TooBig(1450), 1);
    t.error(PathErrorKind::TooBig(68), 1);
    assert_eq!(t.status().segment, 512, "not below the floor");
    t.error(PathErrorKind::Unreachable(3), 1);
    assert_eq!(t.phase(), Phase::Open, "an open connection survives hard errors");
}

#[test]
fn a_router_that_does_not_say_what_fits_makes_segments_smaller_by_steps() {
    let mut t = Trace::open(plain());
    t.write(&BYTES[..1460]);
    for segment in [1452, 966, 536, 512, 512] {
        t.error(PathErrorKind::TooBig(0), 1);
        assert_eq!(t.status().segment, segment);
    }
}

#[test]
fn the_device_completes_checksums_where_it_can() {
    let mut t = Trace::open(plain());
    t.ip.offloads.checksum = true;
    t.tcp.env.offload = true;
    t.write(b"hello");
    let mut packet = t.ip.sent.pop_front().unwrap();
    assert_eq!(
        packet.info().checksum,
        waitless::packet::ChecksumState::Partial { start: packet.headroom() as u16, offset: 16 }
    );
    packet.complete_checksum();
    t.ip.sent.push_back(packet);
    t.sends(Seg { flags: PSH, data: b"hello", ..SEG });
}

#[test]
fn a_window_that_is_not_used_does_not_grow() {
    let mut t = Trace::open(plain());
    for index in 0..5 {
        t.write(&BYTES[..1460]);
        assert!(t.pop().is_some());
        t.arrives(acks(index + 1));
    }
    assert_eq!(t.status().unacknowledged, 0);
    assert_eq!(t.tcp.conns[0].congestion.window(), 10 * 1460);
}

#[test]
fn an_idle_connection_restarts_from_the_initial_window() {
    let mut t = Trace::open(plain());
    for round in 0..3 {
        t.write(&BYTES[round * 14_600..(round + 1) * 14_600]);
        t.sweep();
        while t.pop().is_some() {}
        t.arrives(acks(10 * (round as u32 + 1)));
    }
    assert!(t.tcp.conns[0].congestion.window() > 14_600);
    t.after(1000);
    t.write(b"x");
    assert_eq!(t.tcp.conns[0].congestion.window(), 14_600);
}

#[test]
fn one_greedy_connection_leaves_the_others_their_turn() {
    let mut t = Trace::open(plain());
    let greedy = t.stream;
    t.their_port += 1;
    t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
    t.pop();
    t.arrives(SEG);
    let modest = t.tcp.news(t.service).unwrap();
    t.stream = greedy;
    t.put(&BYTES[..20 * 1460]);
    t.stream = modest;
    t.put(b"me too");
    t.sweep();
    let at = t.ip.sent.iter().position(|packet| packet.bytes().ends_with(b"me too"));
    assert_eq!(at, Some(8));
}

#[test]
fn a_device_that_cuts_gets_many_segments_in_one_piece() {
    let mut t = Trace::open(plain());
    t.tcp.env.offload = true;
    t.tcp.env.burst = 60_000;
    t.put(&BYTES[..20 * 1460]);
    t.close();
    let packet = t.ip.sent.pop_front().unwrap();
    assert_eq!((packet.chain_len(), packet.info().segment), (20 + 14_600, 1460));
    assert_eq!(packet.bytes()[20..], BYTES[..1460]);
    t.silent();
    // It comes back to be sent again segment by segment.
    drop(packet);
    t.after(201);
    t.pop().filter(|seg| seg.data == part(0)).expect("the first segment");
    t.arrives(acks(10));
    let packet = t.ip.sent.pop_front().unwrap();
    assert_eq!((packet.chain_len(), packet.bytes()[13]), (20 + 2920, ACK.0));
    drop(packet);
    let mut last = (0, 0);
    for count in 12..20 {
        t.arrives(acks(count));
        while let Some(packet) = t.ip.sent.pop_front() {
            last = (packet.chain_len(), packet.bytes()[13]);
        }
    }
    t.arrives(acks(20));
    assert_eq!((last.1, t.tcp.kept()), (FIN_PSH.0, 0));
}

#[test]
fn what_services_write_in_other_sizes_is_handed_down_in_one_piece_too() {
    let mut t = Trace::open(plain());
    t.tcp.env.offload = true;
    t.tcp.env.burst = 60_000;
    for _ in 0..4 {
        let mut packet = t.tcp.env.pool.packet().unwrap();
        packet.append(&BYTES[..1000]).unwrap();
        t.tcp.send(t.stream, packet).unwrap();
    }
    t.sweep();
    let packet = t.ip.sent.pop_front().unwrap();
    assert_eq!((packet.chain_len(), packet.info().segment), (20 + 4000, 1460));
    assert!(t.ip.sent.is_empty());
    drop(packet);
    // The first segment arrived: all of the first packet, and a part of the second one.
    t.arrives(Seg { ack: 1 + 1460, ..SEG });
    assert_eq!(t.tcp.kept(), 3);
    t.after(2000);
    let again = t.pop().expect("the rest of the second packet");
    assert_eq!((again.seq, again.data), (1 + 1460, &BYTES[460..1000]));
}
