//! How connections begin, and segments without a connection.

use super::fake::{LOCAL, REMOTE};
use super::trace::*;
use crate::Config;
use crate::input::is_hard;
use crate::state::{Conn, State};
use crate::wire::{Flags, Options, Stamps};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use waitless::cores::flow::flow;
use waitless::testing;
use waitless::{
    ConnectError, Context, ListenError, PathErrorKind, Phase, Service, Stream, StreamPort,
};

const OFFER: Seg = Seg { seq: 0, flags: SYN, options: MSS, ..SEG };
const ANSWER: Seg = Seg { seq: 0, flags: SYN_ACK, options: MSS, ..SEG };

#[test]
fn a_passive_open() {
    let mut t = Trace::listening(plain());
    t.arrives(OFFER);
    t.sends(Seg { window: Some(60_000), ..ANSWER });
    assert_eq!((t.state(), t.tcp.news(t.service)), (State::SynReceived, None));
    t.arrives(SEG);
    t.silent();
    t.stream = t.tcp.news(t.service).unwrap();
    assert_eq!(
        (t.state(), t.phase(), t.tcp.tag(t.stream)),
        (State::Established, Phase::Open, None)
    );
    t.tcp.set_tag(t.stream, 5);
    assert_eq!(t.tcp.tag(t.stream), Some(5));
    assert_eq!(t.tcp.peer(t.stream), Some(SocketAddr::new(REMOTE, THEIR_PORT)));
    assert_eq!(t.tcp.local(t.stream), Some(SocketAddr::new(LOCAL, PORT)));
    assert_eq!((t.status().segment, t.tcp.news(t.service)), (1460, None));
    assert_eq!((t.counts(|c| &c.accepted), t.counts(|c| &c.half_open)), (1, 0));
}

#[test]
fn the_answer_has_the_options_that_were_offered() {
    let stamps = Some(Stamps { value: 5, echo: 0 });
    let all = Options { mss: 1400, scale: Some(7), sack_permitted: true, stamps, sacks: 0 };
    for (offer, scale, stamps) in [
        (all, true, true),
        (Options { scale: None, ..all }, false, true),
        (Options { stamps: None, ..all }, true, false),
        (NO_OPTIONS, false, false),
    ] {
        let mut t = Trace::listening(Config::DEFAULT);
        t.arrives(Seg { options: offer, ..OFFER });
        let answer = t.pop().unwrap().options;
        assert_eq!(answer.mss, 1460);
        assert_eq!((answer.scale, answer.stamps.is_some()), (scale.then_some(9), stamps));
        assert!(answer.stamps.is_none_or(|stamps| stamps.echo == 5));
        let mss = if offer.mss == 0 { 536 } else { 1400 };
        let options = if stamps { 12 } else { 0 };
        assert_eq!(t.tcp.conns[0].mss, mss - options);
    }
}

#[test]
fn a_tiny_or_missing_mss_and_a_small_mtu() {
    for (mss, mtu, expected) in
        [(0, 1500, 536), (1, 1500, 48), (9000, 1500, 1460), (1460, 576, 536)]
    {
        let mut t = Trace::listening(plain());
        t.ip.mtu = mtu;
        t.arrives(Seg { options: Options { mss, ..NO_OPTIONS }, ..OFFER });
        assert_eq!(t.tcp.conns[0].mss, expected, "MSS {mss}, MTU {mtu}");
        assert_eq!(t.pop().unwrap().options.mss, mtu - 40);
    }
}

#[test]
fn a_repeated_syn_is_answered_again() {
    let mut t = Trace::listening(plain());
    t.arrives(OFFER);
    t.sends(ANSWER);
    t.arrives(OFFER);
    t.sends(ANSWER);
    t.arrives(SEG);
    assert_eq!((t.state(), t.counts(|c| &c.accepted)), (State::Established, 1));
}

#[test]
fn a_repeated_syn_may_bring_text_or_a_fin() {
    for again in [Seg { data: b"hello", ..OFFER }, Seg { flags: SYN.and(Flags::FIN), ..OFFER }] {
        let mut t = Trace::listening(plain());
        t.arrives(OFFER);
        t.sends(ANSWER);
        t.arrives(again);
        t.sends(ANSWER);
        assert_eq!(t.state(), State::SynReceived);
        t.arrives(SEG);
        assert_eq!((t.state(), t.counts(|c| &c.accepted)), (State::Established, 1));
    }
}

#[test]
fn a_repeated_syn_right_before_the_acknowledgement_starts_nothing_over() {
    let mut t = Trace::listening(plain());
    t.arrives(OFFER);
    t.sends(ANSWER);
    t.queue(OFFER);
    t.arrives(Seg { data: b"hello", flags: PSH, ..SEG });
    t.sends(Seg { ack: 6, ..SEG });
    t.silent();
    t.stream = t.tcp.news(t.service).unwrap();
    t.write(b"world");
    t.sends(Seg { ack: 6, flags: PSH, data: b"world", ..SEG });
}

#[test]
fn a_syn_that_is_due_again_when_its_answer_arrives_is_not_sent() {
    let mut t = Trace::connecting(plain());
    t.sends(Seg { ack: 0, flags: SYN, options: OFFERS, ..OFFER });
    // The timer expires in a sweep that has no room to send.
    t.ip.room = 0;
    t.after(1001);
    t.ip.room = 256;
    t.arrives(Seg { flags: SYN_ACK, ..OFFER });
    t.sends(SEG);
    t.silent();
}

#[test]
fn a_syn_ack_is_repeated_five_times_and_given_up() {
    let mut t = Trace::listening(plain());
    t.arrives(OFFER);
    t.sends(ANSWER);
    for seconds in [1, 2, 4, 8, 16] {
        t.after(seconds * 1000 - 10);
        t.silent();
        t.after(11);
        t.sends(ANSWER);
    }
    t.after(33_000);
    assert_eq!((t.state(), t.tcp.news(t.service)), (State::Free, None));
    t.is_clean();
}

#[test]
fn an_impossible_ack_in_syn_received_is_reset() {
    for ack in [0, 2, 1 << 30] {
        let mut t = Trace::listening(plain());
        t.arrives(OFFER);
        t.sends(ANSWER);
        t.arrives(Seg { ack, ..SEG });
        t.sends(Seg { seq: ack, ack: 0, flags: RST, ..SEG });
        assert_eq!(t.state(), State::SynReceived);
        t.arrives(SEG);
        assert_eq!(t.state(), State::Established);
    }
}

#[test]
fn a_reset_or_a_new_syn_in_syn_received_ends_it_silently() {
    for seg in [Seg { flags: RST, ..SEG }, Seg { flags: SYN, seq: 5, ..SEG }] {
        let mut t = Trace::listening(plain());
        t.arrives(OFFER);
        t.sends(ANSWER);
        t.arrives(seg);
        assert_eq!((t.state(), t.tcp.news(t.service)), (State::Free, None));
        t.is_clean();
    }
}

#[test]
fn the_ack_that_opens_may_bring_data_and_a_fin() {
    let mut t = Trace::listening(plain());
    t.arrives(OFFER);
    t.sends(ANSWER);
    t.arrives(Seg { flags: FIN, data: b"hello", ..SEG });
    t.sends(Seg { ack: 7, ..SEG });
    t.stream = t.tcp.news(t.service).unwrap();
    assert_eq!((t.read(), t.status().finished), (b"hello".to_vec(), true));
    assert_eq!(t.state(), State::CloseWait);
}

#[test]
fn an_active_open() {
    let mut t = Trace::connecting(plain());
    t.sends(Seg { ack: 0, flags: SYN, seq: 0, options: OFFERS, ..SEG });
    assert_eq!((t.phase(), t.state()), (Phase::Opening, State::SynSent));
    assert!(t.our_port >= 49_152);
    t.arrives(Seg { seq: 0, flags: SYN_ACK, options: MSS, ..SEG });
    t.sends(SEG);
    assert_eq!(t.tcp.news(t.service), Some(t.stream));
    assert_eq!((t.phase(), t.counts(|c| &c.connected)), (Phase::Open, 1));
    t.write(b"hello");
    t.sends(Seg { flags: PSH, data: b"hello", ..SEG });
}

/// What an active open offers.
const OFFERS: Options = Options { scale: Some(0), sack_permitted: true, ..MSS };

#[test]
fn what_is_written_before_the_connection_is_open_follows_the_handshake() {
    let mut t = Trace::listening(plain());
    t.stream = t.tcp.connect(t.service, SocketAddr::new(REMOTE, THEIR_PORT)).unwrap();
    t.write(b"early ");
    t.sends(Seg { ack: 0, flags: SYN, seq: 0, options: OFFERS, ..SEG });
    t.our_port = t.tcp.local(t.stream).unwrap().port();
    t.write(b"bird");
    t.tcp.close(t.stream);
    t.silent();
}

#[test]
fn early_data_is_sent_once_open() {
    let mut t = Trace::listening(plain());
    t.stream = t.tcp.connect(t.service, SocketAddr::new(REMOTE, THEIR_PORT)).unwrap();
    t.write(b"early ");
    t.sends(Seg { ack: 0, flags: SYN, seq: 0, options: OFFERS, ..SEG });
    t.our_port = t.tcp.local(t.stream).unwrap().port();
    t.write(b"bird");
    t.silent();
    t.arrives(Seg { seq: 0, flags: SYN_ACK, options: MSS, ..SEG });
    t.sends(Seg { flags: PSH, data: b"early bird", ..SEG });
}

#[test]
fn a_connection_is_refused() {
    let mut t = Trace::connecting(plain());
    t.pop();
    t.arrives(Seg { seq: 0, ack: 7, flags: RST_ACK, ..SEG });
    assert_eq!(t.phase(), Phase::Opening, "a RST for something else");
    t.arrives(Seg { seq: 0, flags: RST, ..SEG });
    assert_eq!(t.phase(), Phase::Opening, "a RST without ACK");
    t.arrives(Seg { seq: 0, flags: RST_ACK, ..SEG });
    assert_eq!((t.phase(), t.tcp.news(t.service)), (Phase::Reset, Some(t.stream)));
    t.release();
    t.is_clean();
}

#[test]
fn an_impossible_ack_in_syn_sent_is_reset() {
    let mut t = Trace::connecting(plain());
    t.pop();
    t.arrives(Seg { seq: 0, ack: 2, flags: SYN_ACK, ..SEG });
    t.sends(Seg { seq: 2, ack: 0, flags: RST, ..SEG });
    t.arrives(Seg { seq: 0, ack: 1, ..SEG });
    t.silent();
    assert_eq!(t.state(), State::SynSent);
}

#[test]
fn a_simultaneous_open() {
    let mut t = Trace::connecting(plain());
    t.pop();
    t.arrives(OFFER);
    t.sends(ANSWER);
    assert_eq!((t.state(), t.phase()), (State::SynReceived, Phase::Opening));
    t.arrives(Seg { seq: 0, flags: SYN_ACK, options: MSS, ..SEG });
    t.sends(SEG);
    t.arrives(SEG);
    assert_eq!((t.state(), t.tcp.news(t.service)), (State::Established, Some(t.stream)));
}

#[test]
fn a_syn_that_nobody_answers_is_repeated_and_given_up() {
    let mut t = Trace::connecting(plain());
    t.pop();
    for seconds in [1, 2, 4, 8, 16, 32, 64] {
        t.after(seconds * 1000 + 1);
        assert_eq!(t.pop().expect("a SYN").flags, SYN);
    }
    t.after(120_000);
    assert_eq!((t.phase(), t.tcp.news(t.service)), (Phase::TimedOut, Some(t.stream)));
    t.release();
    t.is_clean();
}

#[test]
fn a_lost_syn_costs_the_initial_window_and_three_seconds() {
    let mut t = Trace::connecting(plain());
    t.pop();
    t.after(1001);
    t.pop().expect("the SYN again");
    t.arrives(Seg { seq: 0, flags: SYN_ACK, options: MSS, ..SEG });
    t.sends(SEG);
    t.write(&BYTES[..4000]);
    t.sends(Seg { data: &BYTES[..1460], ..SEG });
    t.silent();
    t.after(2990);
    t.silent();
    t.after(11);
    t.sends(Seg { data: &BYTES[..1460], ..SEG });
}

#[test]
fn icmp_ends_what_is_not_open_unless_it_is_soft() {
    let mut t = Trace::connecting(plain());
    t.pop();
    t.error(PathErrorKind::Unreachable(1), 0);
    t.error(PathErrorKind::TimeExceeded(0), 0);
    t.error(PathErrorKind::Unreachable(3), 9);
    assert_eq!((t.phase(), t.counts(|c| &c.path_errors_ignored)), (Phase::Opening, 1));
    t.error(PathErrorKind::Unreachable(3), 0);
    assert_eq!(t.phase(), Phase::Unreachable);
}

#[test]
fn hard_errors_have_other_codes_in_either_version() {
    let hard = |remote: IpAddr| (0..8).filter(move |code| is_hard(remote, *code));
    assert!(hard(Ipv4Addr::LOCALHOST.into()).eq([2, 3, 4]));
    // RFC 4443 section 3.1: prohibited, and no such port; 3 is a neighbour that does not answer.
    assert!(hard(Ipv6Addr::LOCALHOST.into()).eq([1, 4]));
}

#[test]
fn a_local_port_is_one_whose_flow_comes_back_to_this_core() {
    for cx in testing::contexts(5, &testing::Nothing, 64, 1) {
        let (cores, core) = (cx.cores(), cx.core());
        let mut t = Trace::listening_on(plain(), cx);
        for port in 1..40 {
            let remote = SocketAddr::new(REMOTE, port);
            let stream = t.tcp.connect(t.service, remote).unwrap();
            t.sweep();
            let local = t.tcp.local(stream).unwrap();
            let flow = flow(local.ip(), local.port(), remote.ip(), remote.port());
            assert_eq!(cores.home(flow), core, "{local} to {remote}");
        }
    }
}

#[test]
fn addresses_that_cannot_be_connected_to() {
    let mut t = Trace::listening(plain());
    for (address, port) in
        [([0, 0, 0, 0], 80), ([224, 0, 0, 1], 80), ([255; 4], 80), ([10, 0, 0, 2], 0)]
    {
        let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), port);
        assert_eq!(t.tcp.connect(t.service, remote), Err(ConnectError::BadAddress));
    }
    t.ip.route = false;
    t.stream = t.tcp.connect(t.service, SocketAddr::new(REMOTE, 80)).unwrap();
    t.sweep();
    assert_eq!((t.phase(), t.tcp.local(t.stream)), (Phase::Unreachable, None));
    t.ip.route = true;
    let broadcast = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 255)), 80);
    t.stream = t.tcp.connect(t.service, broadcast).unwrap();
    t.sweep();
    assert_eq!(t.phase(), Phase::Unreachable);
    t.silent();
}

#[test]
fn who_asks_again_and_again_is_given_up_as_who_does_not() {
    let mut t = Trace::listening(plain());
    t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
    // In less than the first timeout, so that it would never expire if each started it anew.
    for _ in 0..400 {
        t.after(900);
        t.arrives(Seg { seq: 0, flags: SYN, options: MSS, ..SEG });
        if t.counts(|c| &c.timed_out) > 0 {
            break;
        }
    }
    assert_eq!(t.counts(|c| &c.timed_out), 1);
}

#[test]
fn too_many_connections_and_half_open_ones_are_dropped_and_counted() {
    let mut t =
        Trace::listening(Config { backlog: 2, connections: 3, syn_cookies: false, ..plain() });
    for port in 0..3 {
        t.their_port = 1000 + port;
        t.arrives(OFFER);
    }
    assert_eq!((t.ip.sent.len(), t.counts(|c| &c.half_open)), (3, 2));
    assert_eq!(t.counts(|c| &c.half_open_recycled), 1, "the oldest has given way");
    for port in 0..3 {
        t.their_port = 1000 + port;
        t.pop();
        t.arrives(SEG);
    }
    assert_eq!((t.counts(|c| &c.accepted), t.counts(|c| &c.half_open)), (2, 0));
    assert_eq!(t.ip.sent.pop_front().map(|packet| packet.bytes()[13]), Some(RST.0));
    for port in 5..7 {
        t.their_port = 1000 + port;
        t.arrives(OFFER);
    }
    assert_eq!(t.counts(|c| &c.dropped_full), 1);
    let remote = SocketAddr::new(REMOTE, 80);
    assert_eq!(t.tcp.connect(t.service, remote), Err(ConnectError::Full));
}

#[test]
fn segments_without_connection_are_reset_but_resets_are_not() {
    let mut t = Trace::listening(plain());
    t.our_port = 81;
    t.arrives(Seg { seq: 5, flags: SYN, data: b"abc", ..SEG });
    t.sends(Seg { seq: 0u32.wrapping_sub(t.isn.0), ack: 9, flags: RST_ACK, ..SEG });
    t.arrives(Seg { ack: 77, ..SEG });
    t.sends(Seg { seq: 77, ack: 0, flags: RST, ..SEG });
    t.arrives(Seg { flags: RST, ..SEG });
    t.arrives(Seg { flags: RST_ACK, ..SEG });
    t.silent();
    t.our_port = PORT;
    t.arrives(Seg { ack: 77, ..SEG });
    t.sends(Seg { seq: 77, ack: 0, flags: RST, ..SEG });
    t.arrives(Seg { ack: 77, flags: SYN_ACK, ..SEG });
    t.sends(Seg { seq: 77, ack: 0, flags: RST, ..SEG });
    t.arrives(Seg { flags: crate::wire::Flags::FIN, ..SEG });
    t.arrives(Seg { flags: crate::wire::Flags(0), ..SEG });
    t.is_clean();
}

#[test]
fn broken_and_misaddressed_segments_are_dropped_by_reason() {
    let mut t = Trace::listening(plain());
    let mut broken = t.packet(OFFER);
    broken.bytes_mut()[5] ^= 1;
    let mut short = t.packet(OFFER);
    short.truncate(19);
    let mut broadcast = t.packet(OFFER);
    broadcast.info_mut().broadcast = true;
    t.ip.inbox.extend([broken, short, broadcast]);
    t.sweep();
    assert_eq!(t.counts(|c| &c.dropped_checksum), 1);
    assert_eq!(t.counts(|c| &c.dropped_malformed), 1);
    assert_eq!(t.counts(|c| &c.dropped_address), 1);
    let mut verified = t.packet(OFFER);
    verified.bytes_mut()[16] ^= 1;
    verified.info_mut().checksum = waitless::packet::ChecksumState::Verified;
    t.ip.inbox.push_back(verified);
    t.sweep();
    t.sends(ANSWER);
}

#[test]
fn listeners_are_limited_and_exclusive() {
    let mut t = Trace::listening(Config { listeners: 2, ..plain() });
    assert_eq!(t.tcp.listen(t.service, PORT), Err(ListenError::Taken));
    assert_eq!(t.tcp.listen(t.service, 0), Err(ListenError::Refused));
    assert_eq!(t.tcp.listen(Service(9), 81), Err(ListenError::Refused));
    assert_eq!(t.tcp.listen(t.service, 79), Ok(()));
    assert_eq!(t.tcp.listen(t.service, 81), Err(ListenError::Full));
    let other = t.tcp.attach().unwrap();
    assert_eq!((other, t.tcp.news(other)), (Service(1), None));
}

#[test]
fn handles_that_are_not_valid_do_nothing() {
    let mut t = Trace::open(plain());
    let old = t.stream;
    let cx: &Context = &t.cx;
    let packet = cx.packet().unwrap();
    t.tcp.release(old);
    for stream in [old, Stream { index: 99, generation: 0 }, Stream { generation: 9, ..old }] {
        assert_eq!(t.tcp.status(stream).phase, Phase::Closed);
        assert!(t.tcp.readable(stream).is_empty() && t.tcp.writable(stream).is_empty());
        t.tcp.consume(stream, 1);
        t.tcp.commit(stream, 1);
        t.tcp.close(stream);
        t.tcp.abort(stream);
        t.tcp.release(stream);
        t.tcp.set_tag(stream, 1);
        assert!(t.tcp.recv(stream).is_none() && t.tcp.tag(stream).is_none());
        assert!(t.tcp.peer(stream).is_none() && t.tcp.local(stream).is_none());
    }
    assert!(t.tcp.send(old, packet).is_err());
}

#[test]
fn ports_of_active_opens_differ() {
    let mut t = Trace::listening(plain());
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let stream = t.tcp.connect(t.service, SocketAddr::new(REMOTE, 80)).unwrap();
        t.sweep();
        assert!(ports.insert(t.tcp.local(stream).unwrap().port()));
    }
}

#[test]
fn who_answers_gets_through_a_flood() {
    let mut t = Trace::listening(Config { backlog: 8, syn_cookies: false, ..plain() });
    for round in 0..50 {
        t.their_port = 1000;
        t.arrives(OFFER);
        let answer = t.pop().unwrap();
        assert_eq!(answer.flags, SYN_ACK);
        // What comes between the SYN and its acknowledgement, some of it given up again.
        for port in 0..7 {
            t.their_port = 2000 + 10 * round + port;
            t.arrives(Seg { seq: 0, ..OFFER });
            t.ip.sent.clear();
            if port == 3 {
                t.arrives(Seg { flags: RST, ..SEG });
            }
        }
        let ours =
            |conn: &&Conn| (conn.tuple.remote_port, conn.state) == (1000, State::SynReceived);
        t.isn = t.tcp.conns.iter().find(ours).unwrap().unacked;
        t.their_port = 1000;
        t.arrives(SEG);
        let stream = t.tcp.news(t.service).expect("a connection");
        t.tcp.abort(stream);
        t.tcp.release(stream);
        t.sweep();
        t.ip.sent.clear();
        assert!(t.counts(|c| &c.half_open) <= 8);
    }
    assert_eq!(t.counts(|c| &c.accepted), 50);
    t.after(200_000);
    t.ip.sent.clear();
    t.is_clean();
}
