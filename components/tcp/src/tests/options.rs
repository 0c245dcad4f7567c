//! Timestamps and window scaling (RFC 7323), reports of what came early (RFC 2018).

use super::trace::*;
use crate::Config;
use crate::wire::{Options, Stamps};
use waitless::StreamPort;

const START: u32 = u32::MAX - 5;

fn stamped(value: u32, echo: u32) -> Options {
    Options { stamps: Some(Stamps { value, echo }), ..NO_OPTIONS }
}

/// An open connection with timestamps; the other side's clock is at [`START`].
fn open() -> Trace {
    let syn = Seg { flags: SYN, options: Options { mss: 1460, ..stamped(START, 0) }, ..SEG };
    let mut t = Trace::listening(Config { timestamps: true, ..plain() });
    t.arrives(Seg { seq: 0, ..syn });
    let answer = t.pop().unwrap();
    let ours = answer.options.stamps.unwrap();
    assert_eq!(ours.echo, START);
    t.arrives(Seg { options: stamped(START, ours.value), ..SEG });
    t.stream = t.tcp.news(t.service).unwrap();
    t.tcp.conns[0].quick_acks = 0;
    t
}

/// Our clock now, as the next segment will say.
fn clock(t: &Trace) -> u32 {
    t.tcp.conns[0].stamp(&t.tcp.env)
}

#[test]
fn every_segment_is_stamped_and_echoes_the_last_in_order() {
    let mut t = open();
    t.write(b"one");
    let echo = |t: &mut Trace| t.pop().unwrap().options.stamps.unwrap().echo;
    assert_eq!(echo(&mut t), START);
    let now = clock(&t);
    // In order, across the wrap of the clock.
    t.arrives(Seg { ack: 4, options: stamped(3, now), data: b"abc", ..SEG });
    // Early: its stamp is not echoed.
    t.arrives(Seg { seq: 9, ack: 4, options: stamped(4, now), data: b"x", ..SEG });
    assert_eq!(echo(&mut t), 3);
    t.after(100);
    t.silent();
}

#[test]
fn old_duplicates_are_refused_and_missing_stamps_dropped() {
    let mut t = open();
    let now = clock(&t);
    t.arrives(Seg { options: stamped(10, now), data: b"abc", ..SEG });
    assert_eq!(t.read(), b"abc");
    t.arrives(Seg { seq: 4, options: stamped(9, now), data: b"old", ..SEG });
    assert_eq!(t.pop().unwrap().ack, 4);
    t.arrives(Seg { seq: 4, data: b"bare", ..SEG });
    t.silent();
    assert_eq!((t.status().readable, t.counts(|c| &c.dropped_stamps)), (0, 2));
    // A RST needs no stamp.
    t.arrives(Seg { seq: 4, flags: RST, ..SEG });
    assert_eq!(t.phase(), waitless::Phase::Reset);
}

#[test]
fn after_24_days_of_silence_any_stamp_is_believed() {
    let mut t = open();
    let now = clock(&t);
    t.after(25 * 24 * 3600 * 1000);
    t.arrives(Seg { options: stamped(START - 1, now), data: b"back", ..SEG });
    assert_eq!(t.read(), b"back");
}

#[test]
fn the_echo_measures_the_round_trip_even_of_what_was_sent_twice() {
    let mut t = open();
    t.after(5000);
    t.write(b"hello");
    t.pop().unwrap();
    let before = t.tcp.conns[0].rtt;
    t.after(before.timeout().as_millis() + 2);
    let second = t.pop().expect("sent again").options.stamps.unwrap().value;
    t.after(100);
    t.arrives(Seg { ack: 6, options: stamped(1, second), ..SEG });
    let rtt = &t.tcp.conns[0].rtt;
    assert_eq!(rtt.backoff(), 0);
    let more = rtt.smoothed_micros() - before.smoothed_micros();
    assert!(more > 10_000 && more < 15_000, "{more}: 100 ms were averaged in, and not 300");
}

#[test]
fn the_echo_of_what_was_sent_first_measures_nothing_once_it_was_sent_again() {
    let mut t = open();
    t.after(5000);
    t.write(b"hello");
    let first = t.pop().unwrap().options.stamps.unwrap().value;
    let before = t.tcp.conns[0].rtt.smoothed();
    t.after(10_000);
    assert!(t.pop().is_some(), "sent again");
    // What was lost may have been acknowledgements: then this one is for a duplicate.
    t.arrives(Seg { ack: 6, options: stamped(1, first), ..SEG });
    let rtt = &t.tcp.conns[0].rtt;
    assert_eq!(rtt.smoothed(), before);
    assert!(rtt.backoff() > 0, "the back-off stays");
    let backed_off = rtt.timeout();
    while t.pop().is_some() {}
    // Until something is measured that was sent once.
    t.write(b"world");
    let third = t.pop().unwrap().options.stamps.unwrap().value;
    t.after(1);
    t.arrives(Seg { ack: 11, options: stamped(2, third), ..SEG });
    assert_eq!(t.tcp.conns[0].rtt.backoff(), 0);
    assert!(t.tcp.conns[0].rtt.timeout() < backed_off);
}

#[test]
fn what_arrives_twice_is_echoed_by_the_newer_clock() {
    let mut t = open();
    let now = clock(&t);
    t.arrives(Seg { options: stamped(10, now), data: b"abc", ..SEG });
    t.after(50);
    assert_eq!(t.pop().unwrap().options.stamps.unwrap().echo, 10);
    t.arrives(Seg { options: stamped(20, now), data: b"abc", ..SEG });
    assert_eq!(t.pop().unwrap().options.stamps.unwrap().echo, 20);
    // Not by one that might be anybody's.
    t.arrives(Seg { seq: 0, options: stamped(30, now), data: b"abc", ..SEG });
    assert_eq!(t.pop().unwrap().options.stamps.unwrap().echo, 20);
}

#[test]
fn windows_are_scaled_both_ways_after_the_handshake() {
    let options = Options { scale: Some(4), ..MSS };
    let config = Config { receive_buffer: 1 << 20, ..plain() };
    let syn = Seg { flags: SYN, options, window: Some(500), ..SEG };
    let mut t = Trace::open_with(config, syn, Seg { window: Some(500), ..SEG });
    assert_eq!(t.tcp.conns[0].window, 8000);
    t.write(&BYTES[..10_000]);
    let window = t.pop().unwrap().window.unwrap();
    assert!((u32::from(window) << 5).abs_diff(1 << 16) < 2000, "{window}");
    assert_eq!(core::iter::from_fn(|| t.pop()).count(), 4, "8000 bytes are five segments");
}

#[test]
fn a_scaled_window_never_shrinks() {
    let options = Options { scale: Some(0), ..MSS };
    let config = Config { receive_buffer: 1 << 20, ..plain() };
    let syn = Seg { flags: SYN, options, ..SEG };
    let mut t = Trace::open_with(config, syn, SEG);
    let mut edge = 0;
    for i in 0..400u32 {
        t.arrives(Seg { seq: 1 + i * 37, flags: PSH, data: &BYTES[..37], ..SEG });
        while let Some(seg) = t.pop() {
            let now = seg.ack + (u32::from(seg.window.unwrap()) << 5);
            assert!(now >= edge, "{now} after {edge}");
            edge = now;
        }
    }
}

#[test]
fn without_the_offer_windows_are_not_scaled() {
    let config = Config { receive_buffer: 1 << 20, ..plain() };
    let mut t = Trace::open(config);
    t.write(b"x");
    t.sends(Seg { flags: PSH, data: b"x", window: Some(65_535), ..SEG });
    assert_eq!(t.tcp.conns[0].window, 60_000);
}

/// The ranges that the next segment reports, counted from the other side's SYN.
fn reported(t: &mut Trace) -> std::vec::Vec<(u32, u32)> {
    let packet = t.ip.sent.pop_front().expect("an acknowledgement");
    let header = usize::from(packet.bytes()[12] >> 4) * 4;
    let options = &packet.bytes()[20..header];
    let Some(at) = options.iter().position(|&byte| byte == 5) else { return [].into() };
    let number = |bytes: &[u8]| {
        let number = u32::from_be_bytes(bytes.try_into().unwrap());
        number.wrapping_sub(THEIR_ISN)
    };
    let blocks = &options[at + 2..at + usize::from(options[at + 1])];
    blocks.chunks(8).map(|block| (number(&block[..4]), number(&block[4..]))).collect()
}

#[test]
fn what_came_early_is_reported_to_those_who_understand() {
    for understands in [true, false] {
        let options = Options { sack_permitted: understands, ..MSS };
        let mut t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
        let mut arrives = |from: u32, to: u32, expected: &[(u32, u32)]| {
            let data = &BYTES[from as usize..to as usize];
            t.arrives(Seg { seq: from, flags: PSH, data, ..SEG });
            assert_eq!(reported(&mut t), if understands { expected } else { &[] });
        };
        arrives(500, 1000, &[(500, 1000)]);
        arrives(2000, 2500, &[(2000, 2500), (500, 1000)]);
        arrives(1000, 1500, &[(500, 1500), (2000, 2500)]);
        arrives(3000, 3100, &[(3000, 3100), (500, 1500), (2000, 2500)]);
        arrives(4000, 4100, &[(4000, 4100), (3000, 3100), (500, 1500), (2000, 2500)]);
        arrives(5000, 5100, &[(5000, 5100), (4000, 4100), (3000, 3100), (500, 1500)]);
        arrives(1, 500, &[(5000, 5100), (4000, 4100), (3000, 3100), (2000, 2500)]);
    }
}

#[test]
fn a_fin_that_came_early_is_reported_with_its_sequence_number() {
    let options = Options { sack_permitted: true, ..MSS };
    let mut t = Trace::open_with(plain(), Seg { flags: SYN, options, ..SEG }, SEG);
    t.arrives(Seg { seq: 500, flags: FIN, ..SEG });
    assert_eq!(reported(&mut t), [(500, 501)]);
    t.arrives(Seg { seq: 400, flags: PSH, data: &BYTES[400..500], ..SEG });
    assert_eq!(reported(&mut t), [(400, 501)]);
}

#[test]
fn the_clock_that_is_echoed_does_not_go_back() {
    let mut t = open();
    let now = clock(&t);
    t.arrives(Seg { options: stamped(20, now), data: b"abc", ..SEG });
    t.after(50);
    assert_eq!(t.pop().unwrap().options.stamps.unwrap().echo, 20);
    // What was sent first comes last.
    t.arrives(Seg { options: stamped(10, now), data: b"abc", ..SEG });
    assert_eq!(t.pop().unwrap().options.stamps.unwrap().echo, 20);
}

#[test]
fn a_round_trip_within_a_tick_of_the_clock_was_measured() {
    let mut t = open();
    t.after(5000);
    t.write(b"hello");
    t.pop().unwrap();
    let again = (0..5000).find_map(|_| {
        t.after(1);
        t.pop()
    });
    assert!(again.is_some(), "sent again");
    assert!(t.tcp.conns[0].rtt.backoff() > 0);
    let now = clock(&t);
    t.arrives(Seg { ack: 6, options: stamped(1, now), ..SEG });
    assert_eq!(t.tcp.conns[0].rtt.backoff(), 0);
}
