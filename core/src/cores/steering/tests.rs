//! Where frames go, on one core, on several, and on more than there are queues.

extern crate std;

use super::*;
use crate::testing;
use std::vec::Vec;

const CLIENT: [u8; 4] = [10, 0, 0, 2];
const SERVER: [u8; 4] = [10, 0, 0, 15];

/// An Ethernet frame of `protocol` between two ends.
fn ipv4_frame(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0]);
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend(CLIENT);
    frame.extend(SERVER);
    frame.extend(payload);
    frame
}

fn segment(from: u16, to: u16) -> Vec<u8> {
    [from.to_be_bytes(), to.to_be_bytes(), [0; 2], [0; 2]].concat()
}

fn flow_of(from: u16, to: u16) -> u8 {
    super::super::flow::flow(CLIENT.into(), from, SERVER.into(), to)
}

#[test]
fn tcp_and_udp_go_by_their_flow() {
    for protocol in [6, 17] {
        let frame = ipv4_frame(protocol, 0x4000, &segment(40_000, 80));
        let (flow, protocol) = (flow_of(40_000, 80), Protocol(protocol));
        assert_eq!(class(&frame), Class::Flow { flow, protocol, port: 80 });
    }
}

#[test]
fn options_do_not_hide_the_ports() {
    let mut frame = ipv4_frame(6, 0, &[]);
    frame[14] = 0x46;
    frame.extend([1, 1, 1, 0]);
    frame.extend(segment(40_000, 80));
    let flow = flow_of(40_000, 80);
    assert_eq!(class(&frame), Class::Flow { flow, protocol: Protocol::TCP, port: 80 });
}

#[test]
fn ipv6_goes_by_its_flow_too() {
    let mut frame = std::vec![2; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 6, 64]);
    let (one, other) = ([1; 16], [2; 16]);
    frame.extend(one);
    frame.extend(other);
    frame.extend(segment(7, 80));
    let flow = super::super::flow::flow(one.into(), 7, other.into(), 80);
    assert_eq!(class(&frame), Class::Flow { flow, protocol: Protocol::TCP, port: 80 });
    frame[20] = 44;
    assert_eq!(class(&frame), Class::First, "a fragment");
}

#[test]
fn extension_headers_do_not_hide_the_ports() {
    let packet = |next: u8, behind: &[u8]| {
        let fixed = [&[2; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, next, 64]].concat();
        [&fixed[..], &[1; 16], &[2; 16], behind].concat()
    };
    let segment = segment(7, 80);
    let plain = class(&packet(6, &segment));
    assert!(matches!(plain, Class::Flow { .. }));
    let with =
        |first: u8, headers: &[&[u8]]| packet(first, &[headers.concat(), segment.clone()].concat());
    let (short, long) =
        ([6, 0, 1, 4, 0, 0, 0, 0], [6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for first in [0, 43, 60] {
        assert_eq!(class(&with(first, &[&short])), plain, "{first}");
        assert_eq!(class(&with(first, &[&long])), plain, "{first}");
    }
    let all = with(0, &[&[43, 0, 1, 4, 0, 0, 0, 0], &[60, 0, 0, 0, 0, 0, 0, 0], &long]);
    assert_eq!(class(&all), plain);
    for length in 0..all.len() - 4 {
        assert_eq!(class(&all[..length]), Class::First, "cut to {length}");
    }
    assert_eq!(class(&with(0, &[&[44, 0, 1, 4, 0, 0, 0, 0], &short])), Class::First, "a fragment");
    let endless = [[60, 0, 1, 4, 0, 0, 0, 0]; 8];
    let endless: Vec<&[u8]> = endless.iter().map(|header| &header[..]).collect();
    assert_eq!(class(&with(60, &[&endless[..], &[&short[..]]].concat())), Class::First, "too many");
}

#[test]
fn a_tag_changes_nothing() {
    let tag = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0x20, 7], &frame[12..]].concat();
    let ipv6 = [&[2; 12][..], &[0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 6, 64], &[1; 32], &segment(7, 80)];
    let arp = [&[0xff; 12][..], &[0x08, 0x06]].concat();
    for frame in [ipv4_frame(6, 0, &segment(40_000, 80)), ipv6.concat(), arp] {
        assert_ne!(class(&frame), Class::First);
        assert_eq!(class(&tag(&frame)), class(&frame));
        assert_eq!(class(&tag(&tag(&frame))), Class::First, "two tags");
        assert_eq!(class(&tag(&frame)[..17]), Class::First);
    }
}

#[test]
fn what_ipv6_says_of_neighbours_is_for_everyone_and_its_errors_are_not() {
    let (one, other) = ([1; 16], [2; 16]);
    let packet = |next: u8, hops: u8, payload: &[u8]| {
        [&[0x60, 0, 0, 0, 0, 8, next, hops][..], &one, &other, payload].concat()
    };
    let about = packet(6, 64, &segment(80, 40_000));
    let message = |kind: u8, hops: u8| {
        let ethernet = [&[2; 12][..], &[0x86, 0xdd]].concat();
        let payload = [&[kind, 0, 0, 0, 0, 0, 0, 0], &about[..]].concat();
        [ethernet, packet(58, hops, &payload)].concat()
    };
    for kind in 134..=137 {
        assert_eq!(class(&message(kind, 255)), Class::Everyone, "{kind}");
        assert_eq!(class(&message(kind, 254)), Class::First, "{kind} from afar");
    }
    let flow = super::super::flow::flow(one.into(), 80, other.into(), 40_000);
    for kind in 1..=4 {
        let expected = Class::Flow { flow, protocol: Protocol::TCP, port: 80 };
        assert_eq!(class(&message(kind, 64)), expected, "{kind}");
        assert_eq!(class(&message(kind, 64)[..90]), Class::First, "{kind}, cut");
    }
    assert_eq!(class(&message(128, 255)), Class::First, "an echo request");
}

#[test]
fn an_icmp_error_goes_where_its_subject_came_from() {
    // This host, the server, sent from port 80 to the client's port 40000.
    let mut about = std::vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0];
    about.extend(SERVER);
    about.extend(CLIENT);
    about.extend(segment(80, 40_000));
    let message = |kind: u8| [&[kind, 4, 0, 0, 0, 0, 0, 0], &about[..]].concat();
    let flow = flow_of(40_000, 80);
    let expected = Class::Flow { flow, protocol: Protocol::TCP, port: 80 };
    assert_eq!(class(&ipv4_frame(1, 0, &message(3))), expected);
    assert_eq!(class(&ipv4_frame(1, 0, &message(8))), Class::First, "an echo request");
}

#[test]
fn everything_else_is_the_first_cores() {
    let dhcp = ipv4_frame(17, 0, &segment(67, 68));
    let first = ipv4_frame(17, 0x2000, &segment(1, 2));
    let last = ipv4_frame(17, 0x00b9, &[0; 8]);
    let other = ipv4_frame(47, 0, &[0; 8]);
    for frame in [dhcp, first, last, other, std::vec![2; 13], std::vec![2; 60], Vec::new()] {
        assert_eq!(class(&frame), Class::First);
    }
    let mut arp = std::vec![0xff; 12];
    arp.extend([0x08, 0x06]);
    assert_eq!(class(&arp), Class::Everyone);
}

#[test]
fn no_bytes_are_too_few_or_too_strange() {
    let whole = ipv4_frame(1, 0, &[3; 60]);
    for length in 0..whole.len() {
        class(&whole[..length]);
    }
    let mut random = crate::Random::new([1; 32]);
    for _ in 0..20_000 {
        let mut frame: [u8; 80] = random.bytes();
        let kinds = [[8, 0], [8, 6], [0x81, 0], [0x86, 0xdd]];
        (frame[12], frame[13]) = kinds[random.below(4) as usize].into();
        frame[14] = 0x40 | frame[14] & 15;
        frame[20] = [frame[20], 0, 43, 60][random.below(4) as usize];
        class(&frame[..random.below(81) as usize]);
    }
}

/// The contexts of `cores` cores, and what each has for steering with `queues` queue pairs.
fn joined(cores: usize, queues: usize) -> Vec<(Context, Steering)> {
    let contexts = testing::contexts(cores, &testing::Nothing, 64, 1);
    contexts
        .map(|mut cx| {
            let steering = Steering::join(&mut cx, queues, SteeringCounters::leak());
            (cx, steering)
        })
        .collect()
}

fn packet(cx: &Context, bytes: &[u8]) -> Packet {
    let mut packet = cx.packet().unwrap();
    packet.append(bytes).unwrap();
    packet
}

#[test]
fn one_core_keeps_everything() {
    let (cx, mut steering) = joined(1, 1).pop().unwrap();
    for bytes in [ipv4_frame(6, 0, &segment(1, 80)), std::vec![0; 5]] {
        assert!(steering.keep(packet(&cx, &bytes)).is_some());
    }
    assert!(steering.recv().is_none() && steering.leaving().is_none() && steering.arm(true));
}

#[test]
fn each_flow_reaches_its_core_from_every_queue_and_every_buffer_goes_home() {
    for (cores, queues) in [(2, 1), (4, 1), (4, 2), (4, 4), (3, 8), (64, 5)] {
        let mut all = joined(cores, queues);
        let queues = queues.min(cores);
        let mut kept = 0;
        for port in 0..200 {
            let at = usize::from(port) % queues;
            let frame = ipv4_frame(6, 0, &segment(port, 80));
            let home = all[at].0.cores().home(flow_of(port, 80));
            let (cx, steering) = &mut all[at];
            if steering.keep(packet(cx, &frame)).is_some() {
                assert_eq!(home, at);
                kept += 1;
                continue;
            }
            steering.flush(cx);
            assert!(!all[home].1.arm(false), "a core with news does not sleep");
            let frame_there = all[home].1.recv().expect("it crossed");
            assert_eq!(frame_there.bytes(), frame);
            drop(frame_there);
            for (cx, steering) in &mut all {
                steering.flush(cx);
            }
        }
        assert!(kept > 0);
        for (cx, steering) in &mut all {
            steering.flush(cx);
            assert!(steering.arm(true));
            assert_eq!(cx.pool().available(), 64);
        }
    }
}

#[test]
fn arp_is_told_to_all_from_whichever_queue_it_came() {
    let mut arp = std::vec![0xff; 12];
    arp.extend([0x08, 0x06, 1, 2, 3]);
    for queue in [0, 2] {
        let mut all = joined(3, 3);
        let (cx, steering) = &mut all[queue];
        let first = match steering.keep(packet(cx, &arp)) {
            Some(kept) => kept,
            None => all[0].1.recv().expect("the first core gets it"),
        };
        assert_eq!(first.bytes(), arp);
        for core in [1, 2] {
            assert_eq!(all[core].1.recv().expect("a copy").bytes(), arp);
            assert!(all[core].1.recv().is_none());
        }
        assert!(all[0].1.recv().is_none());
    }
}

#[test]
fn a_core_without_a_queue_sends_over_one_that_has() {
    let mut all = joined(4, 2);
    assert_eq!((all[0].1.room(), all[1].1.room()), (0, 0), "these have queues");
    let frame = packet(&all[3].0, b"frame");
    let held = frame.hold().unwrap();
    all[3].1.send(frame).unwrap();
    assert!(held.is_free(), "its bytes have crossed; it can be sent again");
    assert!(!all[1].1.arm(false) && all[0].1.arm(false));
    let sent = all[1].1.leaving().expect("core 1 sends for core 3");
    assert_eq!(sent.bytes(), b"frame");
    drop((sent, held));
    let mut chain = packet(&all[3].0, b"one");
    chain.set_next(Some(packet(&all[3].0, b"two")));
    all[3].1.send(chain).unwrap();
    assert!(all[1].1.leaving().is_none(), "a chain cannot cross, and is dropped");
    for core in [1, 3] {
        let (cx, steering) = &mut all[core];
        steering.flush(cx);
        assert_eq!(cx.pool().available(), 64);
    }
}

#[test]
fn a_core_that_always_sends_does_not_keep_the_others_from_being_sent_for() {
    let mut all = joined(4, 1);
    for core in [1, 2, 3] {
        for byte in [core as u8, core as u8 + 10] {
            let frame = packet(&all[core].0, &[byte]);
            all[core].1.send(frame).unwrap();
        }
    }
    let mut sent = Vec::new();
    for _ in 0..6 {
        let frame = all[0].1.leaving().expect("two of each");
        sent.push(frame.bytes()[0]);
        // The first always has another one.
        if frame.bytes()[0] == 1 {
            let more = packet(&all[1].0, &[1]);
            let _ = all[1].1.send(more);
        }
    }
    for core in [2, 12, 3, 13] {
        assert!(sent.contains(&core), "{core} of {sent:?}");
    }
}

#[test]
fn a_queue_that_is_always_full_does_not_keep_the_others_from_being_heard() {
    let mut all = joined(3, 3);
    let homes = |to| (0..).find(|port| all[0].0.cores().home(flow_of(*port, 80)) == to).unwrap();
    let frame = ipv4_frame(17, 0, &segment(homes(2), 80));
    let give = |all: &mut Vec<(Context, Steering)>, queue: usize| {
        let (cx, steering) = &mut all[queue];
        let mut packet = packet(cx, &frame);
        packet.append(&[queue as u8]).unwrap();
        assert!(steering.keep(packet).is_none());
    };
    (0..4).for_each(|_| give(&mut all, 0));
    give(&mut all, 1);
    let mut heard = Vec::new();
    for _ in 0..4 {
        let frame = all[2].1.recv().expect("there are more");
        heard.extend(frame.bytes().last().copied());
        give(&mut all, 0);
    }
    assert!(heard.contains(&1), "{heard:?}");
}

#[test]
fn who_does_not_take_its_frames_loses_more_of_them_and_nothing_else() {
    let mut all = joined(2, 1);
    let port = (0..).find(|port| all[0].0.cores().home(flow_of(*port, 80)) == 1).unwrap();
    let frame = ipv4_frame(17, 0, &segment(port, 80));
    let mut rounds = 0;
    while let Some(mut packet) = all[0].0.packet() {
        packet.append(&frame).unwrap();
        assert!(all[0].1.keep(packet).is_none());
        rounds += 1;
        assert!(rounds <= 64, "what does not cross goes back to the pool");
    }
    assert_eq!(rounds, 64, "all buffers wait there");
    assert!(all[0].1.arm(true), "hungry, but nothing has come back");
    while all[1].1.recv().is_some() {}
    let (cx, steering) = &mut all[1];
    steering.flush(cx);
    assert!(!all[0].1.arm(true), "now they have");
    let (cx, steering) = &mut all[0];
    steering.flush(cx);
    assert_eq!(cx.pool().available(), 64);
}

/// At the end, so that each core can say whether it has what is its own.
#[test]
fn when_the_cores_close_what_is_under_way_arrives_and_nothing_more_crosses() {
    let mut all = joined(2, 1);
    let port = (0..).find(|port| all[0].0.cores().home(flow_of(*port, 80)) == 1).unwrap();
    let frame = ipv4_frame(17, 0, &segment(port, 80));
    let arp = [&[0xff; 12][..], &[0x08, 0x06, 1, 2, 3]].concat();
    let cross = |all: &mut [(Context, Steering)]| {
        let (cx, steering) = &mut all[0];
        assert!(steering.keep(packet(cx, &frame)).is_none());
        drop(steering.keep(packet(cx, &arp)));
        let (cx, steering) = &mut all[1];
        assert!(steering.send(packet(cx, b"down")).is_ok());
    };
    cross(&mut all);
    all[0].0.cores().close();
    cross(&mut all);
    assert_eq!(core::iter::from_fn(|| all[1].1.recv()).count(), 2);
    assert_eq!(core::iter::from_fn(|| all[0].1.leaving()).count(), 1);
    for _ in 0..2 {
        all.iter_mut().for_each(|(cx, steering)| steering.flush(cx));
    }
    for (cx, _) in &all {
        assert_eq!(cx.pool().missing(), 0);
    }
}
