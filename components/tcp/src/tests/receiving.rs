//! What arrives: acknowledgements, windows, reassembly, RSTs and SYNs out of place.

use super::trace::*;
use crate::Config;
use crate::state::State;
use crate::wire::Flags;
use waitless::{Phase, StreamPort};

/// A segment with the bytes from `from` to `to` of the other side's stream.
fn bytes(from: usize, to: usize) -> Seg {
    Seg { seq: 1 + from as u32, flags: PSH, data: &BYTES[from..to], ..SEG }
}

#[test]
fn text_is_lent_consumed_and_handed_over_as_packets() {
    let mut t = Trace::open(plain());
    t.arrives(bytes(0, 1000));
    t.arrives(bytes(1000, 2000));
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
    assert_eq!((t.tcp.news(t.service), t.status().readable), (None, 2000));
    assert_eq!(t.tcp.readable(t.stream), &BYTES[..1000]);
    t.tcp.consume(t.stream, 10);
    assert_eq!(t.tcp.readable(t.stream), &BYTES[10..1000]);
    assert_eq!(t.tcp.recv(t.stream).unwrap().bytes(), &BYTES[10..1000]);
    t.tcp.consume(t.stream, 5000);
    assert_eq!((t.status().readable, t.tcp.kept()), (0, 0));
    assert!(t.tcp.recv(t.stream).is_none());
}

#[test]
fn every_second_segment_is_acknowledged_and_a_single_one_after_a_while() {
    let mut t = Trace::open(plain());
    t.arrives(bytes(0, 1460));
    t.silent();
    t.arrives(bytes(1460, 2920));
    t.sends(Seg { ack: 2921, ..SEG });
    t.arrives(bytes(2920, 4380));
    t.after(39);
    t.silent();
    t.after(2);
    t.sends(Seg { ack: 4381, ..SEG });
    t.after(1000);
    t.silent();
}

#[test]
fn the_first_segments_are_acknowledged_at_once() {
    let mut t = Trace::open(plain());
    t.tcp.conns[0].quick_acks = 1;
    t.arrives(bytes(0, 100));
    t.sends(Seg { ack: 101, ..SEG });
    t.arrives(bytes(100, 199));
    t.silent();
}

#[test]
fn an_acknowledgement_rides_on_the_response() {
    let mut t = Trace::open(plain());
    t.queue(bytes(0, 100));
    t.queue(bytes(100, 200));
    waitless::Component::receive(&mut t.tcp, &mut t.ip, &mut t.cx);
    t.put(b"response");
    waitless::Component::transmit(&mut t.tcp, &mut t.ip, &mut t.cx);
    t.sends(Seg { ack: 201, flags: PSH, data: b"response", ..SEG });
    t.after(150);
    t.silent();
}

#[test]
fn segments_in_any_order_are_put_together() {
    let orders = [[2, 1, 0, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 1, 2, 0]];
    for order in orders {
        let mut t = Trace::open(plain());
        for part in order {
            let fin = if part == 3 { FIN_PSH } else { PSH };
            let seg = bytes(part * 700, (part + 1) * 700);
            t.arrives(Seg { flags: fin, ..seg });
            while t.pop().is_some() {}
        }
        let all = t.read();
        let expected = if order.contains(&3) { 2800 } else { 2100 };
        assert_eq!((all.len(), t.status().finished), (expected, expected == 2800), "{order:?}");
        assert_eq!(all, BYTES[..expected]);
        assert_eq!(t.tcp.kept(), 0);
    }
}

#[test]
fn overlaps_are_cut_and_every_gap_is_acknowledged_at_once() {
    let mut t = Trace::open(plain());
    for (from, to, ack) in [
        (500, 1000, 1),
        (2000, 2500, 1),
        (400, 1200, 1),
        (1100, 2200, 1),
        (450, 460, 1),
        (0, 100, 101),
        (50, 500, 2501),
    ] {
        t.arrives(bytes(from, to));
        t.sends(Seg { ack, ..SEG });
        t.silent();
    }
    assert_eq!(t.read(), BYTES[..2500]);
    t.arrives(bytes(2000, 2600));
    assert_eq!(t.read(), BYTES[2500..2600]);
}

#[test]
fn an_early_fin_waits_for_the_gap() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { seq: 101, flags: FIN, ..SEG });
    t.sends(SEG);
    assert!(!t.status().finished);
    t.arrives(Seg { flags: PSH, ..bytes(50, 100) });
    t.sends(SEG);
    t.arrives(bytes(0, 50));
    t.sends(Seg { ack: 102, ..SEG });
    assert_eq!((t.read().len(), t.status().finished), (100, true));
}

#[test]
fn tiny_segments_share_packets() {
    let mut t = Trace::open(plain());
    for i in 0..1000 {
        t.arrives(bytes(i, i + 1));
        while t.pop().is_some() {}
    }
    assert_eq!((t.status().readable, t.tcp.kept()), (1000, 1));
    for i in (1002..1600).step_by(2) {
        t.arrives(bytes(i, i + 1));
        while t.pop().is_some() {}
    }
    let kept = t.tcp.kept();
    assert!(kept <= 1 + 16 + 60, "{kept} packets for early octets");
    assert!(t.counts(|c| &c.dropped_early) > 0);
    assert_eq!(t.read(), BYTES[..1000]);
}

#[test]
fn the_window_shrinks_with_unread_text_and_opens_in_large_steps() {
    let mut t = Trace::open(Config { receive_buffer: 4000, ..plain() });
    t.arrives(bytes(0, 1460));
    t.arrives(bytes(1460, 2920));
    t.sends(Seg { ack: 2921, window: Some(1080), ..SEG });
    t.arrives(bytes(2920, 4380));
    t.sends(Seg { ack: 4001, window: Some(0), ..SEG });
    assert_eq!(t.counts(|c| &c.truncated), 1);
    // A probe of the closed window.
    t.arrives(bytes(4000, 4001));
    t.sends(Seg { ack: 4001, window: Some(0), ..SEG });
    // Too little to speak of.
    t.tcp.consume(t.stream, 1000);
    t.sweep();
    t.silent();
    t.tcp.consume(t.stream, 1000);
    t.sweep();
    t.sends(Seg { ack: 4001, window: Some(2000), ..SEG });
    assert_eq!(t.read(), BYTES[2000..4000]);
}

#[test]
fn acknowledgements_count_although_the_window_is_closed() {
    let mut t = Trace::open(Config { receive_buffer: 2048, ..plain() });
    t.write(b"hello");
    t.pop();
    t.arrives(bytes(0, 1460));
    t.arrives(Seg { flags: PSH, ..bytes(1460, 2048) });
    t.after(41);
    t.sends(Seg { seq: 6, ack: 2049, window: Some(0), ..SEG });
    t.arrives(Seg { ack: 6, ..bytes(2048, 2100) });
    assert_eq!((t.status().unacknowledged, t.status().readable), (0, 2048));
    t.arrives(Seg { seq: 2049, flags: RST, ..SEG });
    assert_eq!(t.phase(), Phase::Reset);
}

#[test]
fn segments_outside_the_window_are_answered_and_dropped() {
    let mut t = Trace::open(plain());
    t.arrives(bytes(0, 100));
    t.read();
    t.after(50);
    t.sends(Seg { ack: 101, ..SEG });
    t.arrives(bytes(0, 100));
    t.sends(Seg { ack: 101, ..SEG });
    t.arrives(Seg { seq: 80_000, flags: PSH, data: b"x", ..SEG });
    t.sends(Seg { ack: 101, ..SEG });
    // A keep-alive of the other side is answered, but not each one of a flood.
    t.arrives(Seg { seq: 100, ..SEG });
    t.sends(Seg { ack: 101, ..SEG });
    t.arrives(Seg { seq: 100, ..SEG });
    t.silent();
    assert_eq!(t.counts(|c| &c.dropped_window), 4);
}

#[test]
fn a_reset_must_be_exact() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { seq: 2, flags: RST, ..SEG });
    t.sends(SEG);
    t.arrives(Seg { seq: 0, flags: RST, ..SEG });
    t.arrives(Seg { seq: 61_000, flags: RST, ..SEG });
    t.silent();
    assert_eq!(t.phase(), Phase::Open);
    t.arrives(bytes(0, 100));
    t.arrives(Seg { seq: 101, flags: RST, data: b"why", ..SEG });
    assert_eq!((t.phase(), t.status().readable), (Phase::Reset, 0));
    assert!(t.status().finished);
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
    t.release();
    t.is_clean();
}

#[test]
fn a_syn_in_an_open_connection_is_challenged() {
    let mut t = Trace::open(plain());
    for seq in [1, 500] {
        t.arrives(Seg { seq, flags: SYN, ..SEG });
    }
    t.sends(SEG);
    t.silent();
    assert_eq!((t.phase(), t.counts(|c| &c.challenges)), (Phase::Open, 1));
}

#[test]
fn segments_without_ack_are_dropped_and_urgent_ones_are_not_special() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { flags: Flags(0), data: b"x", ..SEG });
    assert_eq!((t.counts(|c| &c.dropped_no_ack), t.status().readable), (1, 0));
    t.arrives(Seg { flags: Flags(0x38), data: b"urgent", ..SEG });
    assert_eq!(t.read(), b"urgent");
}

#[test]
fn early_text_gives_way_when_memory_is_short() {
    let memory = Some(16 * waitless::Pool::BUFFER_SIZE as u64);
    let mut t = Trace::open(Config { memory, ..plain() });
    for part in 1..12 {
        t.arrives(bytes(part * 300, (part + 1) * 300));
        while t.pop().is_some() {}
    }
    assert!(t.counts(|c| &c.dropped_early) > 0);
    for part in 0..8 {
        t.arrives(bytes(part * 300, (part + 1) * 300));
        while t.pop().is_some() {}
    }
    assert_eq!(
        t.read(),
        BYTES[..t.tcp.conns[0].expected.since(crate::seq::Seq(THEIR_ISN)) as usize - 1]
    );
}

#[test]
fn a_connection_ends_when_its_address_goes() {
    let mut t = Trace::open(plain());
    t.ip.local = super::fake::REMOTE;
    t.sweep();
    assert_eq!(t.phase(), Phase::Open);
    t.ip.generation += 1;
    t.sweep();
    assert_eq!((t.phase(), t.state()), (Phase::Unreachable, State::Closed));
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
}
