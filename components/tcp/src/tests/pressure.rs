//! Floods of SYNs: cookies (RFC 4987), and who may open how much.

use super::trace::*;
use crate::Config;
use crate::wire::{Flags, Options, Stamps};
use waitless::StreamPort;

const OFFER: Seg = Seg { seq: 0, flags: SYN, options: MSS, ..SEG };

fn flooded(config: Config) -> Trace {
    let mut t = Trace::listening(Config { backlog: 4, ..config });
    for port in 0..4 {
        t.their_port = 2_000 + port;
        t.arrives(OFFER);
    }
    t.ip.sent.clear();
    t.their_port = THEIR_PORT;
    t
}

#[test]
fn a_cookie_opens_a_connection_that_nothing_was_kept_of() {
    for (mss, kept) in [(1460, 1460), (1459, 1440), (9000, 1460), (0, 536), (1, 48)] {
        let mut t = flooded(plain());
        t.arrives(Seg { options: Options { mss, ..NO_OPTIONS }, ..OFFER });
        let answer = t.pop().expect("an answer");
        assert_eq!((answer.flags, answer.ack, answer.options.mss), (SYN_ACK, 1, 1460));
        assert_eq!((t.tcp.conns.len(), t.counts(|c| &c.half_open)), (4, 4), "nothing is kept");
        t.after(60_000);
        t.ip.sent.clear();
        t.arrives(Seg { flags: PSH, data: b"hello", ..SEG });
        t.stream = t.tcp.news(t.service).expect("a connection");
        assert_eq!((t.read(), t.status().segment), (b"hello".to_vec(), kept));
        t.ip.sent.clear();
        t.write(b"world");
        t.sends(Seg { ack: 6, flags: PSH, data: b"world", ..SEG });
        t.arrives(Seg { seq: 6, ack: 6, ..SEG });
        assert_eq!(t.status().unacknowledged, 0);
        assert_eq!((t.counts(|c| &c.cookies_sent), t.counts(|c| &c.cookies_accepted)), (1, 1));
    }
}

#[test]
fn the_timestamp_brings_the_other_options_back() {
    let stamps = |value, echo| Some(Stamps { value, echo });
    let offered =
        Options { mss: 1460, scale: Some(7), sack_permitted: true, stamps: stamps(5, 0), sacks: 0 };
    let mut t = flooded(Config { timestamps: true, ..plain() });
    t.arrives(Seg { options: offered, ..OFFER });
    let answer = t.pop().unwrap().options;
    assert!(answer.scale.is_some() && answer.sack_permitted);
    let ours = answer.stamps.unwrap();
    assert_eq!(ours.echo, 5);
    let options = Options { stamps: stamps(6, ours.value), ..NO_OPTIONS };
    t.arrives(Seg { window: Some(1_000), options, ..SEG });
    let conn = t.tcp.conns.last().unwrap();
    assert_eq!((conn.send_scale, conn.window), (7, 128_000));
    assert!(conn.flags.has(crate::state::flag::SACK | crate::state::flag::STAMPS));
    assert_eq!(conn.mss, 1460 - 12);
}

#[test]
fn a_cookie_that_is_old_or_guessed_opens_nothing() {
    let mut t = flooded(plain());
    t.arrives(OFFER);
    t.pop();
    for ack in [0, 2, 1 << 24] {
        t.arrives(Seg { ack, ..SEG });
        t.sends(Seg { seq: ack, ack: 0, flags: RST, ..SEG });
    }
    t.arrives(Seg { seq: 2, ..SEG });
    t.sends(Seg { seq: 1, ack: 0, flags: RST, ..SEG });
    assert_eq!(t.counts(|c| &c.cookies_refused), 4);
    t.after(200_000);
    t.ip.sent.clear();
    t.arrives(SEG);
    t.sends(Seg { seq: 1, ack: 0, flags: RST, ..SEG });
    assert_eq!(t.counts(|c| &c.cookies_accepted), 0);
    t.is_clean();
}

#[test]
fn one_network_does_not_fill_the_backlog_for_all() {
    let mut t = Trace::listening(Config { backlog: 64, ..plain() });
    for port in 0..64 {
        t.their_port = 2_000 + port;
        t.arrives(OFFER);
    }
    assert_eq!((t.counts(|c| &c.half_open), t.counts(|c| &c.cookies_sent)), (32, 32));
    // Those who finish count no more.
    let mut opened = 0;
    for port in 0..64 {
        t.their_port = 2_000 + port;
        t.pop();
        t.arrives(SEG);
        opened += u32::from(t.tcp.news(t.service).is_some());
    }
    assert_eq!((opened, t.counts(|c| &c.half_open)), (64, 0));
    t.their_port = 4_000;
    t.ip.sent.clear();
    t.arrives(OFFER);
    assert_eq!(t.counts(|c| &c.half_open), 1);
}

#[test]
fn a_syn_from_an_impossible_address_is_dropped() {
    for remote in [[0, 0, 0, 0], [224, 0, 0, 1], [10, 0, 0, 255]] {
        let mut t = Trace::listening(plain());
        let mut packet = t.packet(OFFER);
        packet.info_mut().remote = std::net::Ipv4Addr::from(remote).into();
        packet.info_mut().checksum = waitless::packet::ChecksumState::Verified;
        t.ip.inbox.push_back(packet);
        t.sweep();
        t.silent();
        assert_eq!(t.counts(|c| &c.dropped_address), 1);
    }
}

#[test]
fn what_could_not_be_sent_lends_its_mark_to_nothing() {
    let memory = Some(8 * waitless::Pool::BUFFER_SIZE as u64);
    let mut t = Trace::listening(Config { memory, ecn: true, ..plain() });
    let asks = SYN.and(Flags::ECE).and(Flags::CWR);
    t.arrives(Seg { flags: asks, options: Options { mss: 48, ..NO_OPTIONS }, ..OFFER });
    assert!(t.pop().unwrap().flags.any(Flags::ECE));
    t.arrives(SEG);
    t.stream = t.tcp.news(t.service).unwrap();
    let mut packet = t.cx.packet().unwrap();
    packet.append(&BYTES[..1500]).unwrap();
    t.tcp.send(t.stream, packet).unwrap();
    t.sweep();
    let classes = |t: &mut Trace| -> std::vec::Vec<u8> {
        t.ip.sent.drain(..).map(|packet| packet.info().class).collect()
    };
    assert!(classes(&mut t).iter().all(|&class| class == 2), "new data may be marked");
    // The next piece can't be cut off: there is no memory for the rest.
    t.arrives(Seg { seq: 9, data: b"x", ..SEG });
    assert_eq!(classes(&mut t), [0], "an acknowledgement");
    t.their_port = 2_000;
    t.arrives(OFFER);
    assert_eq!(classes(&mut t), [0], "an answer to somebody else");
}
