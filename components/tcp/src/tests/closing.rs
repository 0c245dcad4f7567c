//! How connections end, and what is remembered of them.

use super::trace::*;
use crate::Config;
use crate::state::State;
use crate::wire::{Options, Stamps};
use waitless::{Duration, Phase, StreamPort};

/// A connection that this side has closed first, all acknowledged; its peer has not.
fn half_closed() -> Trace {
    let mut t = Trace::open(plain());
    t.close();
    t.sends(Seg { flags: FIN, ..SEG });
    assert_eq!(t.state(), State::FinWait1);
    t.arrives(Seg { ack: 2, ..SEG });
    assert_eq!(t.state(), State::FinWait2);
    t
}

/// A connection in TIME-WAIT.
fn time_wait() -> Trace {
    let mut t = half_closed();
    t.arrives(Seg { ack: 2, flags: FIN, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    assert_eq!((t.phase(), t.status().finished), (Phase::Closed, true));
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
    t.release();
    assert_eq!(t.counts(|c| &c.time_waits), 1);
    t
}

#[test]
fn this_side_closes_first() {
    let mut t = time_wait();
    assert_eq!(t.counts(|c| &c.open), 0);
    // The last ACK was lost: the FIN comes again, and the time begins again.
    t.after(50_000);
    t.arrives(Seg { ack: 2, flags: FIN, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    t.after(50_000);
    assert_eq!(t.counts(|c| &c.time_waits), 1);
    t.after(10_001);
    assert_eq!(t.counts(|c| &c.time_waits), 0);
    t.is_clean();
}

#[test]
fn the_other_side_closes_first() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { flags: FIN, data: b"bye", ..SEG });
    t.sends(Seg { ack: 5, ..SEG });
    assert_eq!((t.state(), t.phase(), t.status().finished), (State::CloseWait, Phase::Open, true));
    assert_eq!(t.read(), b"bye");
    // The FIN again.
    t.arrives(Seg { flags: FIN, data: b"bye", ..SEG });
    t.sends(Seg { ack: 5, ..SEG });
    t.write(b"and this");
    t.sends(Seg { ack: 5, flags: PSH, data: b"and this", ..SEG });
    t.close();
    t.sends(Seg { seq: 9, ack: 5, flags: FIN, ..SEG });
    assert_eq!(t.state(), State::LastAck);
    t.arrives(Seg { seq: 5, ack: 10, ..SEG });
    assert_eq!((t.state(), t.phase()), (State::Closed, Phase::Closed));
    assert_eq!(t.counts(|c| &c.time_waits), 0);
    t.release();
    t.is_clean();
}

#[test]
fn both_sides_close_at_the_same_time() {
    let mut t = Trace::open(plain());
    t.close();
    t.sends(Seg { flags: FIN, ..SEG });
    t.arrives(Seg { flags: FIN, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    assert_eq!(t.state(), State::Closing);
    t.arrives(Seg { seq: 2, ack: 2, ..SEG });
    assert_eq!((t.phase(), t.counts(|c| &c.time_waits)), (Phase::Closed, 1));
}

#[test]
fn a_fin_that_acknowledges_ours_goes_straight_to_time_wait() {
    let mut t = Trace::open(plain());
    t.close();
    t.pop();
    t.arrives(Seg { ack: 2, flags: FIN, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    assert_eq!((t.phase(), t.counts(|c| &c.time_waits)), (Phase::Closed, 1));
}

#[test]
fn the_fin_follows_what_is_queued_and_is_sent_again() {
    let mut t = Trace::open(plain());
    t.put(b"last words");
    t.close();
    let end = Seg { flags: FIN_PSH, data: b"last words", ..SEG };
    t.sends(end);
    t.after(201);
    t.sends(end);
    t.arrives(Seg { ack: 11, ..SEG });
    assert_eq!(t.state(), State::FinWait1);
    while t.pop().is_some() {}
    t.after(2000);
    t.sends(Seg { seq: 11, flags: FIN, ..SEG });
    t.arrives(Seg { ack: 12, ..SEG });
    assert_eq!(t.state(), State::FinWait2);
    assert!(t.tcp.writable(t.stream).is_empty(), "nothing can be queued any more");
}

#[test]
fn reading_goes_on_after_closing() {
    let mut t = half_closed();
    t.arrives(Seg { ack: 2, data: b"still here", ..SEG });
    assert_eq!(t.read(), b"still here");
    t.after(300_000);
    assert_eq!(t.phase(), Phase::Open, "a service may wait as long as it likes");
    while t.pop().is_some() {}
    t.arrives(Seg { seq: 11, ack: 2, flags: FIN, data: b"end", ..SEG });
    t.sends(Seg { seq: 2, ack: 15, ..SEG });
    assert_eq!((t.phase(), t.status().readable), (Phase::Closed, 3));
    assert_eq!(t.read(), b"end", "what arrived stays readable");
}

#[test]
fn giving_up_a_connection_with_unread_text_resets_it() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { data: b"ignored", ..SEG });
    t.release();
    t.sends(Seg { ack: 8, flags: RST_ACK, ..SEG });
    assert_eq!(t.counts(|c| &c.resets_unread), 1);
    t.is_clean();
}

#[test]
fn text_after_giving_up_resets_too() {
    let mut t = Trace::open(plain());
    t.put(b"last");
    t.release();
    t.sends(Seg { flags: FIN_PSH, data: b"last", ..SEG });
    t.arrives(Seg { ack: 6, ..SEG });
    t.arrives(Seg { ack: 6, data: b"anyone?", ..SEG });
    t.sends(Seg { seq: 6, flags: RST_ACK, ..SEG });
    t.is_clean();
}

#[test]
fn what_was_given_up_ends_in_agreement() {
    let mut t = Trace::open(plain());
    t.put(b"last");
    t.release();
    t.pop();
    t.arrives(Seg { ack: 6, flags: FIN, ..SEG });
    t.sends(Seg { seq: 6, ack: 2, ..SEG });
    assert_eq!((t.counts(|c| &c.open), t.counts(|c| &c.time_waits)), (0, 1));
    assert_eq!(t.tcp.news(t.service), None);
    t.after(60_001);
    t.is_clean();
}

#[test]
fn a_peer_that_never_ends_is_forgotten() {
    let mut t = Trace::open(plain());
    t.release();
    t.pop();
    t.arrives(Seg { ack: 2, ..SEG });
    t.after(59_000);
    assert_eq!(t.counts(|c| &c.open), 1);
    t.after(1_001);
    t.is_clean();
}

#[test]
fn a_peer_that_only_answers_probes_cannot_keep_what_was_given_up() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { window: Some(0), ..SEG });
    t.put(b"never read");
    t.release();
    for _ in 0..60 {
        t.after(5_000);
        while t.pop().is_some() {}
        if t.counts(|c| &c.open) == 0 {
            break;
        }
        t.arrives(Seg { window: Some(0), ..SEG });
    }
    assert_eq!(t.counts(|c| &c.timed_out), 1);
    t.is_clean();
}

#[test]
fn an_abort_resets_where_the_other_side_would_not_know() {
    let mut t = Trace::open(plain());
    t.put(b"never sent");
    t.tcp.abort(t.stream);
    t.sweep();
    t.sends(Seg { flags: RST_ACK, ..SEG });
    assert_eq!(t.phase(), Phase::Closed);
    t.release();
    t.is_clean();

    let mut t = Trace::open(plain());
    t.arrives(Seg { flags: FIN, ..SEG });
    t.close();
    while t.pop().is_some() {}
    t.tcp.abort(t.stream);
    t.release();
    t.is_clean();

    let mut t = Trace::connecting(plain());
    t.pop();
    t.tcp.abort(t.stream);
    t.release();
    t.is_clean();
}

#[test]
fn time_wait_answers_old_segments_and_ignores_resets() {
    let mut t = time_wait();
    t.arrives(Seg { seq: 2, flags: RST, ..SEG });
    t.arrives(Seg { seq: 2, ack: 2, ..SEG });
    t.silent();
    t.arrives(Seg { seq: 1, ack: 2, data: b"x", ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    t.arrives(Seg { seq: 900, ack: 2, ..SEG });
    t.silent();
    t.after(501);
    t.arrives(Seg { seq: 900, ack: 2, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    assert_eq!(t.counts(|c| &c.time_waits), 1);
}

#[test]
fn a_new_syn_reopens_and_an_old_one_does_not() {
    let mut t = time_wait();
    let old = t.isn;
    t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
    t.sends(Seg { seq: 2, ack: 2, ..SEG });
    t.arrives(Seg { seq: 100_000, flags: SYN, options: MSS, ..SEG });
    t.sends(Seg { seq: 0, ack: 100_001, flags: SYN_ACK, options: MSS, ..SEG });
    assert!(t.isn.after(old + 2));
    assert_eq!((t.counts(|c| &c.time_waits), t.state()), (0, State::SynReceived));
    t.arrives(Seg { seq: 100_001, ..SEG });
    assert_eq!(t.state(), State::Established);
}

#[test]
fn a_newer_timestamp_reopens_too() {
    let stamps = |value| Options { stamps: Some(Stamps { value, echo: 0 }), ..MSS };
    let syn = Seg { flags: SYN, options: stamps(1000), ..SEG };
    let ack = Seg { options: Options { mss: 0, ..stamps(1000) }, ..SEG };
    let mut t = Trace::open_with(Config { timestamps: true, ..plain() }, syn, ack);
    t.release();
    t.arrives(Seg { ack: 2, flags: FIN, ..ack });
    while t.pop().is_some() {}
    assert_eq!(t.counts(|c| &c.time_waits), 1);
    t.arrives(Seg { seq: 0, options: stamps(1000), ..syn });
    assert_eq!(t.pop().unwrap().flags, ACK);
    t.arrives(Seg { seq: 0, options: stamps(1001), ..syn });
    assert_eq!(t.pop().unwrap().flags, SYN_ACK);
    // Timestamps of the connection, of the host, of the SYN; how far that one is behind.
    let cases = [
        (true, true, Some(1000), 0, false),
        (true, true, Some(1000), 100_000, true),
        (true, true, Some(999), 100_000, false),
        (true, true, None, 0, false),
        (true, true, None, 100_000, true),
        (false, true, Some(1), 0, true),
        (false, true, None, 0, false),
        (false, false, Some(1), 0, false),
        (false, false, Some(1), 100_000, true),
    ];
    for (stamped, timestamps, value, seq, reopens) in cases {
        let config = Config { timestamps, ..plain() };
        let (open, end) = match stamped {
            true => (syn, ack),
            false => (Seg { options: MSS, ..syn }, SEG),
        };
        let mut t = Trace::open_with(config, open, end);
        t.release();
        t.arrives(Seg { ack: 2, flags: FIN, ..end });
        while t.pop().is_some() {}
        t.arrives(Seg { seq, options: value.map_or(MSS, stamps), ..syn });
        let flags = t.pop().unwrap().flags;
        let answer = if reopens { SYN_ACK } else { ACK };
        assert_eq!(flags, answer, "{stamped} {timestamps} {value:?} {seq}");
    }
}

#[test]
fn the_oldest_of_too_many_ended_connections_is_forgotten() {
    let mut t = Trace::listening(Config { time_waits: 2, ..plain() });
    for port in 0..3 {
        t.their_port = 1000 + port;
        t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
        t.pop();
        t.arrives(SEG);
        t.stream = t.tcp.news(t.service).unwrap();
        t.release();
        t.pop();
        t.arrives(Seg { ack: 2, flags: FIN, ..SEG });
        t.pop();
    }
    assert_eq!((t.counts(|c| &c.time_waits), t.counts(|c| &c.time_waits_recycled)), (2, 1));
    t.their_port = 1000;
    t.arrives(Seg { seq: 1, ack: 2, data: b"x", ..SEG });
    assert_eq!(t.pop().unwrap().flags, RST, "it is not known any more");
    t.after(60_001);
    t.is_clean();
}

#[test]
fn a_silent_connection_is_probed_where_the_manifest_says_so() {
    let keep_alive = Some(Duration::from_secs(60));
    let mut t = Trace::open(Config { keep_alive, keep_alive_probes: 2, ..plain() });
    t.after(50_000);
    t.arrives(Seg { data: b"x", ..SEG });
    t.after(20_000);
    while t.pop().is_some() {}
    t.after(39_000);
    t.silent();
    t.after(1_100);
    t.sends(Seg { seq: 0, ack: 2, ..SEG });
    t.arrives(Seg { seq: 2, ..SEG });
    t.after(59_000);
    while t.pop().is_some() {}
    t.after(300_000);
    assert_eq!(t.phase(), Phase::TimedOut);
    t.sends(Seg { seq: 0, ack: 2, ..SEG });
    t.sends(Seg { seq: 0, ack: 2, ..SEG });
    t.sends(Seg { ack: 2, flags: RST_ACK, ..SEG });

    let mut t = Trace::open(plain());
    t.after(1_000_000_000);
    assert_eq!(t.phase(), Phase::Open, "off by default");
}

#[test]
fn timers_wait_for_what_has_arrived_already() {
    let mut t = Trace::open(plain());
    t.arrives(Seg { flags: FIN, ..SEG });
    t.sends(Seg { ack: 2, ..SEG });
    t.release();
    t.sends(Seg { flags: FIN, ack: 2, ..SEG });
    t.their_port += 1;
    for _ in 0..32 {
        t.arrives(Seg { flags: RST, ..SEG });
    }
    t.their_port -= 1;
    // The machine stood still for longer than the timer, and the answer is not the first thing
    // that lies in the queue. Sent again, the FIN would be acknowledged twice, and the second
    // acknowledgement would be answered with a RST.
    t.cx.set_now(t.cx.now() + waitless::Duration::from_secs(5));
    t.their_port += 1;
    for _ in 0..waitless::BATCH {
        t.queue(Seg { flags: RST, ..SEG });
    }
    t.their_port -= 1;
    t.queue(Seg { seq: 2, ack: 2, ..SEG });
    t.after(0);
    t.is_clean();
    assert_eq!(t.counts(|c| &c.timeouts), 0);
}

#[test]
fn timers_do_not_wait_for_ever() {
    let mut t = Trace::open(plain());
    t.write(b"x");
    t.sends(Seg { flags: PSH, data: b"x", ..SEG });
    t.cx.set_now(t.cx.now() + waitless::Duration::from_secs(5));
    for _ in 0..100 {
        t.arrives(Seg { flags: RST, seq: 1 << 30, ..SEG });
    }
    t.sends(Seg { flags: PSH, data: b"x", ..SEG });
}
