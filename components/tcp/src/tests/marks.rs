//! Congestion that is marked instead of dropped (RFC 3168).

use super::trace::*;
use crate::Config;
use crate::wire::{Flags, Options, Stamps};
use waitless::StreamPort;

const ECE: Flags = Flags::ECE;
const CWR: Flags = Flags::CWR;
const ASKS: Flags = SYN.and(ECE).and(CWR);

fn config() -> Config {
    Config { ecn: true, ..plain() }
}

/// An open connection on which both sides want marks.
fn open() -> Trace {
    open_with(MSS)
}

fn open_with(options: Options) -> Trace {
    let mut t = Trace::listening(config());
    t.arrives(Seg { seq: 0, flags: ASKS, options, ..SEG });
    assert_eq!(t.pop().unwrap().flags, SYN_ACK.and(ECE));
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    t.tcp.conns[0].quick_acks = 0;
    t
}

/// The traffic class of the segment that was sent next, and its flags.
fn class(t: &mut Trace) -> (u8, Flags) {
    let packet = t.ip.sent.pop_front().expect("a segment");
    (packet.info().class, Flags(packet.bytes()[13]))
}

#[test]
fn congestion_is_marked_only_where_both_sides_want_it() {
    for (ecn, asks, agreed) in
        [(true, ASKS, true), (true, SYN, false), (true, SYN.and(ECE), false), (false, ASKS, false)]
    {
        let mut t = Trace::listening(Config { ecn, ..plain() });
        t.arrives(Seg { seq: 0, flags: asks, options: MSS, ..SEG });
        // The answer itself is never capable.
        assert_eq!(class(&mut t), (0, if agreed { SYN_ACK.and(ECE) } else { SYN_ACK }));
    }
    for (answer, agreed) in [(ECE, true), (ECE.and(CWR), false), (Flags(0), false)] {
        let mut t = Trace::listening(config());
        let remote = std::net::SocketAddr::new(super::fake::REMOTE, THEIR_PORT);
        t.stream = t.tcp.connect(t.service, remote).unwrap();
        t.sweep();
        t.our_port = t.tcp.local(t.stream).unwrap().port();
        assert_eq!(t.pop().unwrap().flags, ASKS);
        // Asked again, it does not insist.
        t.after(1_001);
        assert_eq!(t.pop().unwrap().flags, SYN);
        t.arrives(Seg { seq: 0, flags: SYN_ACK.and(answer), options: MSS, ..SEG });
        t.ip.sent.clear();
        t.write(b"hello");
        assert_eq!(class(&mut t).0, if agreed { 2 } else { 0 });
    }
}

#[test]
fn marks_are_echoed_until_the_sender_has_heard() {
    let mut t = open();
    let arrives = |t: &mut Trace, at: u32, flags: Flags, class: u8| {
        let mut packet = t.packet(Seg { seq: 1 + at, flags, data: b"x", ..SEG });
        packet.info_mut().class = class;
        t.ip.inbox.push_back(packet);
        t.sweep();
        t.after(50);
        let flags = t.pop().expect("an acknowledgement").flags;
        flags.any(ECE)
    };
    assert!(!arrives(&mut t, 0, PSH, 2));
    assert!(arrives(&mut t, 1, PSH, 3));
    assert!(arrives(&mut t, 2, PSH, 2));
    assert!(!arrives(&mut t, 3, PSH.and(CWR), 2));
    assert!(arrives(&mut t, 4, PSH.and(CWR), 3), "a new mark");
    assert_eq!(t.counts(|c| &c.marks), 2);
    // On a connection that did not agree a mark says nothing.
    let mut t = Trace::open(config());
    assert!(!arrives(&mut t, 0, PSH, 3));
}

#[test]
fn a_mark_takes_from_the_window_once_a_round_trip() {
    let mut t = open();
    t.put(&BYTES[..20 * 1460]);
    t.sweep();
    t.sweep();
    for _ in 0..10 {
        assert_eq!(class(&mut t).0, 2, "new data may be marked");
    }
    let before = t.tcp.conns[0].congestion.window();
    t.arrives(Seg { ack: 1 + 1460, flags: ACK.and(ECE), ..SEG });
    let reduced = t.tcp.conns[0].congestion.window();
    assert!(reduced < before, "{reduced} after {before}");
    t.arrives(Seg { ack: 1 + 2 * 1460, flags: ACK.and(ECE), ..SEG });
    assert!(t.tcp.conns[0].congestion.window() < reduced + 1460, "once a round trip");
    assert_eq!(t.counts(|c| &c.marks_reported), 1);
    t.arrives(Seg { ack: 1 + 8 * 1460, ..SEG });
    let (_, flags) = class(&mut t);
    assert!(flags.any(CWR), "the first new segment says so");
    assert!(!class(&mut t).1.any(CWR));
    t.ip.sent.clear();
    // What is sent again is not capable.
    t.after(2_000);
    assert_eq!(class(&mut t).0, 0);
    // Nor is an acknowledgement.
    t.ip.sent.clear();
    t.arrives(Seg { ack: 1 + 8 * 1460, data: b"x", ..SEG });
    t.ip.sent.clear();
    t.arrives(Seg { seq: 9, ack: 1 + 8 * 1460, data: b"x", ..SEG });
    assert_eq!(class(&mut t).0, 0);
}

#[test]
fn who_asks_again_without_marks_gets_none() {
    let mut t = Trace::listening(config());
    let asks = Seg { seq: 0, flags: ASKS, options: MSS, ..SEG };
    for (flags, answer) in [(ASKS, ECE), (ASKS, ECE), (SYN, Flags(0)), (ASKS, Flags(0))] {
        t.arrives(Seg { flags, ..asks });
        assert_eq!(t.pop().unwrap().flags, SYN_ACK.and(answer));
    }
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    t.write(b"hello");
    assert_eq!(class(&mut t).0, 0);
}

/// Ten of forty segments are under way.
fn ten_under_way() -> Trace {
    let mut t = open();
    t.put(&BYTES[..40 * 1460]);
    t.sweep();
    t.sweep();
    t.ip.sent.clear();
    t
}

/// How many of the segments that were sent say that the window was reduced.
fn says_reduced(t: &mut Trace) -> usize {
    let sent: std::vec::Vec<_> = t.ip.sent.drain(..).collect();
    sent.iter().filter(|packet| Flags(packet.bytes()[13]).any(CWR)).count()
}

#[test]
fn a_loss_in_a_window_with_a_mark_takes_nothing_more() {
    let mut t = ten_under_way();
    t.arrives(Seg { ack: 1 + 4 * 1460, flags: ACK.and(ECE), ..SEG });
    let threshold = t.tcp.conns[0].congestion.threshold();
    assert_eq!((threshold, t.counts(|c| &c.marks_reported)), (14_600 * 7 / 10, 1));
    for _ in 0..3 {
        t.arrives(Seg { ack: 1 + 4 * 1460, ..SEG });
    }
    assert_eq!(t.counts(|c| &c.fast_retransmits), 1);
    assert_eq!(t.tcp.conns[0].congestion.threshold(), threshold);
    assert_eq!(says_reduced(&mut t), 1);
    // What is lost of a later window takes from it.
    let next = t.tcp.conns[0].next.since(t.isn);
    t.arrives(Seg { ack: next, ..SEG });
    for _ in 0..4 {
        t.arrives(Seg { ack: next + 1460, ..SEG });
    }
    assert_eq!(t.counts(|c| &c.fast_retransmits), 2);
    assert!(t.tcp.conns[0].congestion.threshold() < threshold);
    let next = t.tcp.conns[0].next.since(t.isn);
    t.arrives(Seg { ack: next, ..SEG });
    assert_eq!(says_reduced(&mut t), 1);
}

#[test]
fn a_loss_is_told_as_a_reduction_and_a_mark_of_its_window_takes_nothing_more() {
    for timeout in [false, true] {
        let mut t = ten_under_way();
        if timeout {
            t.after(250);
        }
        for flags in [ACK, ACK, ACK, ACK.and(ECE)] {
            t.arrives(Seg { flags, ..SEG });
        }
        let lost = [t.counts(|c| &c.fast_retransmits), t.counts(|c| &c.timeouts)];
        assert_eq!(lost, if timeout { [0, 1] } else { [1, 0] });
        let (_, again) = class(&mut t);
        assert!(!again.any(CWR), "what is sent again does not say so");
        let threshold = t.tcp.conns[0].congestion.threshold();
        let next = t.tcp.conns[0].next.since(t.isn);
        t.arrives(Seg { ack: next, flags: ACK.and(ECE), ..SEG });
        assert_eq!(says_reduced(&mut t), 1, "the first new segment does");
        t.arrives(Seg { ack: next, flags: ACK.and(ECE), ..SEG });
        assert_eq!(t.tcp.conns[0].congestion.threshold(), threshold);
        assert_eq!(t.counts(|c| &c.marks_reported), 0);
    }
}

#[test]
fn a_loss_that_a_probe_repaired_takes_nothing_more_than_a_mark_did() {
    let mut t = open_with(Options { sack_permitted: true, ..MSS });
    t.put(&BYTES[..10 * 1460]);
    t.sweep();
    t.sweep();
    t.ip.sent.clear();
    t.arrives(Seg { ack: 1 + 8 * 1460, flags: ACK.and(ECE), ..SEG });
    let threshold = t.tcp.conns[0].congestion.threshold();
    assert_eq!(t.counts(|c| &c.marks_reported), 1);
    t.after(45);
    assert_eq!([t.counts(|c| &c.tail_probes), t.counts(|c| &c.timeouts)], [1, 0]);
    let end = 1 + 10 * 1460;
    t.arrives(Seg { ack: end, ..SEG });
    t.put(&BYTES[..1460]);
    t.sweep();
    t.arrives(Seg { ack: end + 1460, ..SEG });
    assert_eq!(t.counts(|c| &c.fast_retransmits), 1);
    assert_eq!(t.tcp.conns[0].congestion.threshold(), threshold);
    assert_eq!(says_reduced(&mut t), 1);
}

#[test]
fn a_timeout_that_is_undone_forgets_no_mark() {
    let stamps = |value, echo| Options { stamps: Some(Stamps { value, echo }), ..NO_OPTIONS };
    let mut t = Trace::listening(Config { timestamps: true, ..config() });
    let options = Options { mss: 1472, ..stamps(1, 0) };
    t.arrives(Seg { seq: 0, flags: ASKS, options, ..SEG });
    let ours = t.pop().unwrap().options.stamps.unwrap().value;
    t.arrives(Seg { options: stamps(1, ours), ..SEG });
    t.stream = t.tcp.news(t.service).unwrap();
    t.tcp.conns[0].mss = 1460;
    t.put(&BYTES[..10 * 1460]);
    t.sweep();
    t.sweep();
    let sent = t.pop().unwrap().options.stamps.unwrap().value;
    t.ip.sent.clear();
    let marked = |count: u32| {
        let (ack, flags) = (1 + count * 1460, ACK.and(ECE));
        Seg { ack, flags, options: stamps(2, sent), ..SEG }
    };
    t.arrives(marked(4));
    let threshold = t.tcp.conns[0].congestion.threshold();
    t.after(100);
    t.after(400);
    assert_eq!(t.counts(|c| &c.timeouts), 1);
    // All of these were acknowledged before the other side heard of the reduction.
    for count in 5..8 {
        t.arrives(marked(count));
    }
    assert_eq!([t.counts(|c| &c.spurious), t.counts(|c| &c.marks_reported)], [1, 1]);
    assert_eq!(t.tcp.conns[0].congestion.threshold(), threshold);
}

#[test]
fn marks_count_however_much_went_without() {
    let mut t = open();
    t.tcp.conns[0].marked = t.isn + (1 << 31);
    t.put(&BYTES[..4 * 1460]);
    t.sweep();
    t.arrives(Seg { ack: 1 + 1460, flags: ACK.and(ECE), ..SEG });
    assert_eq!(t.counts(|c| &c.marks_reported), 1);
}

#[test]
fn a_window_probe_is_not_capable() {
    let mut t = open();
    t.arrives(Seg { window: Some(0), ..SEG });
    t.write(b"hello");
    t.after(201);
    assert_eq!((class(&mut t).0, t.counts(|c| &c.probes)), (0, 1));
    t.arrives(SEG);
    assert_eq!(class(&mut t).0, 2);
}
