//! Limits: of time, of connections, of room, of records.

use super::line::World;
use super::script::{Hello, Peer, Record, record, records};
use super::usual;
use crate::session::{Outbox, Session};
use crate::wire::codes::extension as ext;
use alloc::vec;
use alloc::vec::Vec;
use waitless::{Duration, Phase, StreamPort};

#[test]
fn a_handshake_has_its_time() {
    let mut world = World::new(usual());
    let silent = world.connect();
    let slow = world.connect();
    world.pass(Duration::from_secs(9));
    world.say(slow, &record(22, &Hello::new().bytes()[..100]));
    assert_eq!(world.tls.counters.shaking.get(), 2);
    world.pass(Duration::from_millis(1_100));
    assert!(world.line.wires[silent].aborted && world.line.wires[slow].aborted);
    let counters = world.tls.counters;
    assert_eq!((counters.timed_out.get(), counters.open.get(), counters.shaking.get()), (2, 0, 0));
    assert_eq!(world.buffers_out(), 0);
    // A connection whose handshake was in time stays.
    Peer::connect(&mut world);
    let stream = world.accept();
    world.pass(Duration::from_secs(1_000));
    assert_eq!(world.tls.status(stream).phase, Phase::Open);
}

#[test]
fn connections_and_handshakes_are_counted() {
    let mut config = usual();
    (config.connections, config.handshakes) = (4, 2);
    let mut world = World::new(config);
    let wires = [(); 3].map(|()| world.connect());
    assert_eq!(wires.map(|wire| world.line.wires[wire].aborted), [false, false, true]);
    world.finish(wires[0]);
    world.finish(wires[1]);
    assert_eq!(world.tls.counters.open.get(), 0);
    for _ in 0..4 {
        Peer::connect(&mut world);
    }
    let last = world.connect();
    assert!(world.line.wires[last].aborted);
    assert_eq!(world.tls.counters.refused.get(), 2);
    // A place that becomes free is used again.
    let stream = world.accept();
    world.tls.release(stream);
    world.settle();
    Peer::connect(&mut world);
}

#[test]
fn a_client_that_takes_nothing_stops_the_service() {
    let mut world = World::new(usual());
    let peer = Peer::connect(&mut world);
    let stream = world.accept();
    world.tls.set_tag(stream, 1);
    world.make_room(peer.wire, 0);
    while world.news().is_some() {}
    let mut sent = 0;
    loop {
        let mut packet = world.cx.packet().unwrap();
        packet.append(&[5; 1000]).unwrap();
        match world.tls.send(stream, packet) {
            Ok(()) => sent += 1000,
            Err(_) => break,
        }
        world.settle();
    }
    assert!((20_000..64_000).contains(&sent), "{sent}");
    assert!(world.news().is_none());
    world.make_room(peer.wire, usize::MAX);
    assert_eq!(world.news(), Some(stream), "room was not reported");
    assert!(world.heard(peer.wire).len() > sent);
    // It is told the end, and given up after a while where it takes none.
    world.make_room(peer.wire, 0);
    world.write(stream, &[1; 5000]);
    world.tls.release(stream);
    world.settle();
    world.pass(Duration::from_secs(59));
    assert_eq!(world.tls.counters.open.get(), 1);
    world.pass(Duration::from_secs(2));
    assert_eq!((world.tls.counters.open.get(), world.buffers_out()), (0, 0));
}

#[test]
fn a_service_that_takes_nothing_stops_the_client() {
    let mut world = World::with(usual(), 512);
    let mut peer = Peer::connect(&mut world);
    let stream = world.accept();
    world.tls.set_tag(stream, 1);
    let mut said = 0;
    for _ in 0..5 {
        peer.say(&mut world, 23, &[8; 16_000]);
        said += 16_000;
    }
    assert!(world.tls.status(stream).readable <= 16_000);
    let mut got = 0;
    while got < said {
        let now = world.read(stream);
        assert!(!now.is_empty(), "{got} of {said}");
        got += now.len();
    }
    assert_eq!(got, said);
}

#[test]
fn windows_work_as_packets_do() {
    let mut world = World::new(usual());
    let mut peer = Peer::connect(&mut world);
    let stream = world.accept();
    let room = world.tls.writable(stream);
    assert!(room.len() > 1000);
    room[..5].copy_from_slice(b"hello");
    world.tls.commit(stream, 3);
    world.tls.commit(stream, 2);
    world.settle();
    let heard = records(&world.heard(peer.wire));
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].body.len(), 5 + 1 + 16);
    // A window that was not used costs nothing.
    assert!(!world.tls.writable(stream).is_empty());
    world.settle();
    assert_eq!(world.buffers_out(), 0);
    peer.say(&mut world, 23, b"one two");
    peer.say(&mut world, 23, &[7; 5000]);
    assert_eq!(world.tls.readable(stream), b"one two");
    world.tls.consume(stream, 4);
    assert_eq!(world.tls.readable(stream), b"two");
    world.tls.consume(stream, 3 + 1000);
    assert_eq!(world.tls.readable(stream).len(), 4000);
    world.tls.consume(stream, 4000);
    assert_eq!(world.tls.status(stream).readable, 0);
}

#[test]
fn records_are_as_short_as_the_client_wants_them() {
    let mut world = World::new(usual());
    let hello = Hello::new().with(ext::RECORD_SIZE_LIMIT, [0, 64]);
    let wire = world.connect();
    world.say(wire, &record(22, &hello.bytes()));
    let heard = records(&world.heard(wire));
    let longest = heard.iter().filter(|it| it.content == 23).map(|it| it.body.len()).max();
    assert_eq!(longest, Some(64 + 16));
}

#[test]
fn a_client_may_give_up() {
    let mut world = World::new(usual());
    let mut peer = Peer::connect(&mut world);
    let stream = world.accept();
    peer.say(&mut world, 21, &[2, 42]);
    assert_eq!(world.tls.status(stream).phase, Phase::Reset);
    assert_eq!(world.tls.counters.rejected.get(), 1);
    world.tls.release(stream);
    world.pass(Duration::from_secs(3));
    assert_eq!((world.tls.counters.open.get(), world.buffers_out()), (0, 0));
    // Before there are keys, and with a word that does not matter.
    let wire = world.connect();
    world.say(wire, &record(21, &[1, 90]));
    world.say(wire, &record(21, &[2, 48]));
    world.finish(wire);
    assert_eq!((world.tls.counters.open.get(), world.tls.counters.rejected.get()), (0, 2));
    // Or close in the middle of a handshake, which is agreed.
    let wire = world.connect();
    world.say(wire, &record(21, &[1, 0]));
    let agreed = Record { content: 21, body: vec![1, 0] };
    assert_eq!(records(&world.heard(wire)), [agreed]);
    assert!(world.line.wires[wire].closed);
}

#[test]
fn a_lack_of_packets_is_waited_out() {
    let mut world = World::with(usual(), 64);
    let wire = world.connect();
    let hello = record(22, &Hello::new().bytes());
    let hoard: vec::Vec<_> = (0..58).map_while(|_| world.cx.packet()).collect();
    let mut packet = world.cx.packet().unwrap();
    packet.append(&hello).unwrap();
    world.line.arrive(wire, packet);
    for _ in 0..5 {
        world.sweep();
    }
    assert!(world.heard(wire).is_empty());
    drop(hoard);
    world.settle();
    assert_eq!(records(&world.heard(wire))[0].content, 22);
}

#[test]
fn worn_keys_are_replaced() {
    let mut world = World::new(usual());
    let mut session = Session::<crate::handshake::Server>::new();
    let mut out = Outbox::new(1400);
    let pool = world.cx.pool();
    assert_eq!(session.refresh(pool, &mut out), Ok(false));
    let peer = Peer::connect(&mut world);
    let session = &mut world.tls.connections[0].session;
    assert_eq!(session.refresh(pool, &mut out), Ok(false));
    session.wear();
    assert_eq!(session.refresh(pool, &mut out), Ok(true));
    // The client was asked, too: once.
    assert_eq!(session.refresh(pool, &mut out), Ok(false));
    assert_eq!(out.bytes(), 5 + 5 + 1 + 16);
    drop(peer);
}

/// What an idle connection holds, beside its place in tables.
#[test]
fn an_idle_connection_is_small() {
    let bytes = size_of::<crate::connection::Connection<crate::handshake::Server>>()
        + size_of::<Session<crate::handshake::Server>>();
    assert!(bytes <= 4096, "{bytes} bytes");
}

/// Whoever begins records and leaves them so takes a part of the memory at most, and others can
/// still say what spans packets.
#[test]
fn records_that_do_not_come_whole_take_little_together() {
    let mut world = World::with(usual(), 256);
    let greedy: Vec<_> = (0..40)
        .map(|_| {
            let mut peer = Peer::connect(&mut world);
            let stream = world.accept();
            world.tls.set_tag(stream, 1);
            let sealed = peer.seal(23, &[7; 16_000]);
            world.say_in(peer.wire, &sealed[..15_000], 1400);
            stream
        })
        .collect();
    // A quarter is left for handshakes.
    assert!(world.tls.gathered() <= 192 << 10, "{} bytes", world.tls.gathered());
    assert_eq!(world.tls.counters.crowded.get(), 40 - (192 << 10) / 15_000);
    let mut peer = Peer::connect(&mut world);
    let stream = world.accept();
    world.tls.set_tag(stream, 1);
    let sealed = peer.seal(23, &[5; 16_000]);
    world.say_in(peer.wire, &sealed, 1400);
    assert_eq!(world.read(stream), [5; 16_000]);
    for stream in greedy {
        world.tls.release(stream);
    }
    world.pass(Duration::from_secs(100));
    assert_eq!(world.tls.gathered(), 0);
}

/// The same of handshake messages that come in several records.
#[test]
fn messages_that_do_not_come_whole_take_little_together() {
    let mut world = World::with(crate::Config { handshakes: 100, ..usual() }, 256);
    // A hello of 8,000 bytes, and as much of it as fits beside what is left out.
    let part = [&[1, 0, 0x1f, 0x40][..], &[7; 6000]].concat();
    let greedy: Vec<_> = (0..60)
        .map(|_| {
            let wire = world.connect();
            for piece in part.chunks(1300) {
                world.say(wire, &record(22, piece));
            }
            wire
        })
        .collect();
    let gathered = world.tls.gathered();
    assert!((200 << 10..=256 << 10).contains(&gathered), "{gathered} bytes");
    let crowded = world.tls.counters.crowded.get();
    assert!((10..40).contains(&crowded), "{crowded}");
    let alerts = greedy
        .iter()
        .filter(|wire| records(&world.line.wires[**wire].sent).iter().any(|it| it.body == [2, 80]));
    assert_eq!(alerts.count() as u64, crowded);
    // Others still shake hands, also in several records.
    let wire = world.connect();
    let hello = Hello::new().bytes();
    let (front, back) = hello.split_at(100);
    world.say(wire, &[record(22, front), record(22, back)].concat());
    assert_eq!(records(&world.heard(wire))[0].content, 22);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.tls.gathered(), 0);
}

/// Who has not shaken hands ends nobody who has.
#[test]
fn those_who_have_shaken_hands_give_way_to_their_like_alone() {
    let mut world = World::with(crate::Config { handshakes: 100, ..usual() }, 64);
    let begin = |world: &mut World| {
        let mut peer = Peer::connect(world);
        let stream = world.accept();
        world.tls.set_tag(stream, 1);
        let sealed = peer.seal(23, &[7; 16_000]);
        world.say_in(peer.wire, &sealed[..14_000], 1400);
        stream
    };
    let open: Vec<_> = (0..3).map(|_| begin(&mut world)).collect();
    let part = [&[1, 0, 0x1f, 0x40][..], &[7; 4000]].concat();
    for _ in 0..10 {
        let wire = world.connect();
        world.say(wire, &record(22, &part[..2000]));
        world.say(wire, &record(22, &part[2000..]));
    }
    assert!(world.tls.counters.crowded.get() >= 5);
    let is_open = |world: &World, stream: &_| world.tls.status(*stream).phase == Phase::Open;
    assert!(open.iter().all(|stream| is_open(&world, stream)));
    // Those give way to others that have, where nobody else is left.
    let more = [begin(&mut world), begin(&mut world)];
    assert!(more.iter().all(|stream| is_open(&world, stream)));
    assert_eq!(open.iter().filter(|stream| is_open(&world, stream)).count(), 1);
    // And they leave room for a hello in several records.
    let refused = world.tls.counters.crowded.get();
    let wire = world.connect();
    for piece in [&part[..2000], &part[2000..]] {
        world.say(wire, &record(22, piece));
    }
    assert!(records(&world.line.wires[wire].sent).is_empty());
    assert_eq!(world.tls.counters.crowded.get(), refused);
}

/// A client may send nothing but key updates later, so nothing longer is waited for.
#[test]
fn later_messages_take_no_memory() {
    for (message, alert) in
        [(&[24, 0, 16, 0, 1][..], 50), (&[11, 0, 16, 0], 10), (&[1, 0, 0, 9], 10)]
    {
        let mut world = World::new(usual());
        let mut peer = Peer::connect(&mut world);
        peer.say(&mut world, 22, message);
        assert_eq!(peer.alert(&mut world), Some(alert), "{message:?}");
    }
}
