//! Rings, crossings and hand-overs, between threads; sleep, in every order of events.

extern crate std;

use super::flow::{FLOWS, KEY, flow};
use super::*;
use crate::{Pool, counters, testing};
use core::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Barrier};
use std::thread;

/// How many things go through a ring under stress.
const MANY: u64 = 20_000;

#[test]
fn a_ring_keeps_order_and_is_bounded() {
    let (mut sender, mut receiver) = ring(3);
    assert_eq!((sender.capacity(), sender.room()), (4, 4));
    for round in 0..10 {
        assert!(receiver.is_empty());
        for number in 0..4 {
            assert_eq!(sender.send(4 * round + number), Ok(()));
        }
        assert_eq!((sender.send(99), sender.room()), (Err(99), 0));
        assert!(!receiver.is_empty());
        for number in 0..4 {
            assert_eq!(receiver.recv(), Some(4 * round + number));
        }
        assert_eq!((receiver.recv(), sender.room()), (None, 4));
    }
}

#[test]
fn what_is_left_in_a_ring_is_dropped_once() {
    let thing = Arc::new(());
    let (mut sender, mut receiver) = ring(4);
    for _ in 0..3 {
        sender.send(Arc::clone(&thing)).unwrap();
    }
    drop(receiver.recv());
    drop(receiver);
    assert_eq!(Arc::strong_count(&thing), 3);
    drop(sender);
    assert_eq!(Arc::strong_count(&thing), 1);
}

#[test]
fn two_threads_lose_nothing_and_see_everything_whole() {
    // The smaller the ring, the more often the two have to wait for each other.
    for (capacity, many) in [(1, MANY / 20), (2, MANY / 10), (64, MANY)] {
        let (mut sender, mut receiver) = ring::<[u64; 4]>(capacity);
        let sending = thread::spawn(move || {
            for number in 0..many {
                let mut thing = [number, !number, number ^ 5, number + 1];
                while let Err(refused) = sender.send(thing) {
                    thing = refused;
                    thread::yield_now();
                }
            }
        });
        let mut number = 0;
        while number < many {
            let Some(thing) = receiver.recv() else {
                thread::yield_now();
                continue;
            };
            assert_eq!(thing, [number, !number, number ^ 5, number + 1]);
            number += 1;
        }
        sending.join().unwrap();
        assert!(receiver.is_empty());
    }
}

#[test]
fn once_is_set_once_and_seen_by_all() {
    let once = Once::new();
    let wins = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..4u64 {
            let (once, wins) = (&once, &wins);
            scope.spawn(move || {
                match once.set([number; 8]) {
                    Ok(_) => _ = wins.fetch_add(1, Ordering::Relaxed),
                    Err(refused) => assert_eq!(refused, [number; 8]),
                }
                let seen = once.get().unwrap();
                assert_eq!(*seen, [seen[0]; 8]);
            });
        }
    });
    assert_eq!(wins.into_inner(), 1);
}

#[test]
fn a_slot_gives_its_value_to_one() {
    let (slot, thing) = (Slot::new(), Arc::new(()));
    assert!(slot.put(Arc::clone(&thing)).is_none());
    let takers = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| takers.fetch_add(slot.take().iter().len(), Ordering::Relaxed));
        }
    });
    assert_eq!((takers.into_inner(), Arc::strong_count(&thing)), (1, 1));
    assert!(slot.put(Arc::clone(&thing)).is_none());
    assert!(slot.put(Arc::clone(&thing)).is_some());
    drop(slot);
    assert_eq!(Arc::strong_count(&thing), 1);
}

#[test]
fn a_published_value_is_never_seen_half_changed() {
    let published = Published::<4>::new();
    assert_eq!(published.news(&mut 0), None);
    let start = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                let (mut seen, mut last) = (0, 0);
                while last < MANY {
                    let Some([a, b, c, d]) = published.news(&mut seen) else {
                        thread::yield_now();
                        continue;
                    };
                    assert!(a >= last && [b, c, d] == [!a, a + 1, a ^ 7]);
                    last = a;
                }
            });
        }
        start.wait();
        for number in 1..=MANY {
            published.publish([number, !number, number + 1, number ^ 7]);
        }
    });
    let mut seen = 0;
    assert!(published.has_news(seen) && published.news(&mut seen).is_some());
    assert!(!published.has_news(seen));
    assert!(published.news(&mut seen).is_none(), "it is no news any more");
}

/// The Toeplitz hash, bit by bit, as cards define it.
fn toeplitz(key: &[u8], data: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    let mut hash = 0;
    for at in (0..data.len() * 8).filter(|at| bit(data, *at) != 0) {
        hash ^= (0..32).fold(0, |window, next| window << 1 | u32::from(bit(key, at + next)));
    }
    hash
}

#[test]
fn flows_are_numbered_as_cards_do_it() {
    // The reference vector of the well-known key: 66.9.149.187:2794 to 161.142.100.80:1766.
    let known = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0,
    ];
    let data = [66, 9, 149, 187, 161, 142, 100, 80, 10, 234, 6, 230];
    assert_eq!(toeplitz(&known, &data), 0x51cc_c178, "the reference is right");

    let key: std::vec::Vec<u8> = KEY.to_be_bytes().repeat(20);
    let mut random = crate::Random::new([3; 32]);
    for _ in 0..2_000 {
        let data: [u8; 12] = random.bytes();
        let port = |at| u16::from_be_bytes([data[at], data[at + 1]]);
        let address = |at| IpAddr::V4(Ipv4Addr::from_octets(*data[at..].first_chunk().unwrap()));
        let (from, to) = (address(0), address(4));
        let number = flow(from, port(8), to, port(10));
        assert_eq!(usize::from(number), toeplitz(&key, &data) as usize % FLOWS);
        assert_eq!(number, flow(to, port(10), from, port(8)), "the same both ways");
    }
}

#[test]
fn one_clients_ports_reach_every_core_evenly() {
    for count in [2, 3, 4, 64] {
        let cores = Cores::new(count);
        let mut connections = std::vec![0; count];
        for port in 0..12_800 {
            let (client, server) = (Ipv4Addr::new(10, 0, 2, 2), Ipv4Addr::new(10, 0, 2, 15));
            connections[cores.home(flow(client.into(), 40_000 + port, server.into(), 80))] += 1;
        }
        let (least, most) = (connections.iter().min(), connections.iter().max());
        let fair = 12_800 / count;
        assert!(least.unwrap() * 10 >= fair * 9 - 100, "{count}: {connections:?}");
        assert!(most.unwrap() * 9 <= fair * 10 + 1_000, "{count}: {connections:?}");
    }
}

#[test]
fn packets_cross_and_as_many_buffers_come_back() {
    const BUFFERS: usize = 40;
    let (mut outlet, mut inlet) = crossing(0, 1, 16);
    let received = thread::spawn(move || {
        let pool = Pool::new(BUFFERS, 0).unwrap();
        // What came waits here for a while, as it would in a connection.
        let mut kept = std::collections::VecDeque::new();
        let mut next = 0u32;
        while next < 5_000 {
            while let Some(packet) = inlet.recv(pool) {
                assert_eq!(packet.bytes(), next.to_be_bytes());
                assert!(packet.info().broadcast);
                next += 1;
                kept.push_back(packet);
            }
            kept.drain(..kept.len().saturating_sub(8));
            inlet.settle(pool);
            thread::yield_now();
        }
        kept.clear();
        inlet.settle(pool);
        (pool.available(), next)
    });
    let pool = Pool::new(BUFFERS, 0).unwrap();
    let mut number = 0u32;
    while number < 5_000 {
        outlet.reclaim(pool);
        let Some(mut packet) = pool.packet() else { continue };
        packet.append(&number.to_be_bytes()).unwrap();
        packet.info_mut().broadcast = true;
        // Of every tenth a second handle is held, so that its bytes cross and not its buffer.
        let held = if number.is_multiple_of(10) { packet.hold() } else { None };
        let sent = outlet.send(packet).is_ok();
        number += u32::from(sent);
        drop(held);
        if !sent {
            thread::yield_now();
        }
    }
    assert_eq!(received.join().unwrap(), (BUFFERS, 5_000));
    outlet.reclaim(pool);
    assert_eq!((pool.available(), outlet.lent()), (BUFFERS, 0));
}

#[test]
fn a_crossing_is_bounded_by_what_comes_back() {
    let (home, away) = (Pool::new(8, 0).unwrap(), Pool::new(0, 0).unwrap());
    let (mut outlet, mut inlet) = crossing(0, 1, 4);
    let packets: [_; 5] = core::array::from_fn(|_| home.packet().unwrap());
    let sent = packets.map(|packet| outlet.send(packet).is_ok());
    assert_eq!(sent, [true, true, true, true, false]);
    let kept: [_; 4] = core::array::from_fn(|_| inlet.recv(away).unwrap());
    assert!(!inlet.settle(away), "nothing is free there");
    outlet.reclaim(home);
    assert_eq!((outlet.room(), home.available()), (0, 4));
    drop(kept);
    assert!(inlet.settle(away) && !outlet.is_settled());
    outlet.reclaim(home);
    assert_eq!((outlet.room(), home.available(), away.available()), (4, 8, 0));
}

#[test]
fn things_are_shared_in_the_order_of_their_type() {
    let mut all = testing::contexts(3, &testing::Nothing, 1, 1);
    let mut first = all.next().unwrap();
    let made = [first.share(|| 1u32), first.share(|| 2u32)];
    let text = first.share(|| "text");
    for mut cx in all {
        assert_eq!(cx.share(|| "none"), text);
        assert!(core::ptr::eq(cx.share(|| 0u32), made[0]));
        assert!(core::ptr::eq(cx.share(|| 0u32), made[1]));
        assert_eq!(*cx.share(|| 7u32), 7, "nobody made a third before");
    }
}

#[test]
fn counters_are_summed_over_the_cores_that_run() {
    counters! {
        struct Example {
            /// Things seen.
            counter seen: things,
        }
    }
    let contexts: std::vec::Vec<_> = testing::contexts(3, &testing::Nothing, 1, 1).collect();
    let sets = [0, 1, 2].map(|_| Example::leak());
    for (cx, set) in contexts.iter().zip(sets) {
        cx.system().register("one", set);
    }
    let sum = |core: usize| {
        let (name, total) = contexts[core].system().total(0).unwrap();
        (name, total.metric(0).unwrap().value)
    };
    sets[0].seen.add(1);
    sets[1].seen.add(10);
    assert_eq!((sum(0), sum(1)), (("one", 1), ("one", 10)), "nobody has published");
    contexts[1].system().publish();
    contexts[0].system().publish();
    sets[2].seen.add(100);
    assert_eq!([0, 1, 2].map(|core| sum(core).1), [11, 11, 111]);
    assert!(contexts[0].system().total(1).is_none());
}

/// What one core does, a step at a time, to go to sleep or to wake another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Stores, which others see once it left the store buffer.
    Store(usize),
    /// Waits until the store buffer is empty.
    Barrier,
    /// Looks, and goes on only if it saw nothing.
    Look(usize),
}

/// Runs both programs in every order that a processor with store buffers allows, and gives
/// whether in one of them each core looked before it could see the other's store.
fn both_can_miss(programs: [&[Step]; 2]) -> bool {
    /// Where each is, which stores are in its buffer, what is visible, and who saw something.
    type State = ([usize; 2], [Option<usize>; 2], [bool; 2], [bool; 2]);
    let mut left: std::vec::Vec<State> = std::vec![([0; 2], [None; 2], [false; 2], [false; 2])];
    let mut missed = false;
    while let Some(state) = left.pop() {
        let (at, buffers, memory, saw) = state;
        if (0..2).all(|core| at[core] == programs[core].len()) {
            missed |= saw == [false; 2];
        }
        for core in 0..2 {
            if let Some(place) = buffers[core] {
                let mut next = state;
                (next.1[core], next.2[place]) = (None, true);
                left.push(next);
            }
            let Some(step) = programs[core].get(at[core]) else { continue };
            let mut next = state;
            next.0[core] += 1;
            match *step {
                Step::Store(place) => next.1[core] = Some(place),
                Step::Barrier if buffers[core].is_some() => continue,
                Step::Barrier => {}
                Step::Look(place) => next.3[core] = saw[core] || memory[place],
            }
            left.push(next);
        }
    }
    missed
}

#[test]
fn no_order_of_events_loses_a_wake_up() {
    use Step::{Barrier, Look, Store};
    const ASLEEP: usize = 0;
    const SENT: usize = 1;
    let sleeper = [Store(ASLEEP), Barrier, Look(SENT)];
    let sender = [Store(SENT), Barrier, Look(ASLEEP)];
    assert!(!both_can_miss([&sleeper, &sender]));
    // The model finds what goes wrong without either barrier.
    assert!(both_can_miss([&[Store(ASLEEP), Look(SENT)], &sender]));
    assert!(both_can_miss([&sleeper, &[Store(SENT), Look(ASLEEP)]]));
    assert!(both_can_miss([&[Look(SENT), Store(ASLEEP), Barrier], &sender]));
}

#[test]
fn a_sleeper_is_woken_once_and_only_for_what_it_waits_for() {
    let cores = Cores::new(3);
    assert_eq!(cores.sleepers(0b111, 0), 0, "all are awake");
    cores.falls_asleep(1);
    assert_eq!(cores.sleepers(0b001, 0b010), 0, "core 1 waits for no packets of its own");
    assert_eq!(cores.sleepers(0b010, 0), 0b010);
    assert_eq!(cores.sleepers(0b010, 0), 0, "it was told");
    cores.falls_asleep_hungry(2);
    assert_eq!(cores.sleepers(0, 0b100), 0b100);
    cores.falls_asleep(2);
    cores.wakes(2);
    assert_eq!(cores.sleepers(0b100, 0), 0);
}

#[test]
fn two_threads_never_sleep_on_each_others_news() {
    const ROUNDS: u32 = 2_000;
    /// Sends and receives in turn; sleeps in between as a core does.
    fn play(
        cores: &Cores,
        me: usize,
        mut sender: Sender<u32>,
        mut receiver: Receiver<u32>,
        threads: &[Once<thread::Thread>; 2],
    ) {
        let _ = threads[me].set(thread::current());
        while threads[1 - me].get().is_none() {
            thread::yield_now();
        }
        for round in 0..ROUNDS {
            if round as usize % 2 == me {
                sender.send(round).unwrap();
                if cores.sleepers(1 << (1 - me), 0) != 0 {
                    threads[1 - me].get().unwrap().unpark();
                }
                continue;
            }
            loop {
                if let Some(got) = receiver.recv() {
                    assert_eq!(got, round);
                    break;
                }
                cores.falls_asleep(me);
                if receiver.is_empty() {
                    let since = std::time::Instant::now();
                    thread::park_timeout(std::time::Duration::from_secs(20));
                    assert!(since.elapsed().as_secs() < 19, "nobody woke core {me}");
                }
                cores.wakes(me);
            }
        }
    }
    let (cores, threads) = (Cores::new(2), [Once::new(), Once::new()]);
    let (first, second) = (ring(1), ring(1));
    thread::scope(|scope| {
        scope.spawn(|| play(&cores, 0, first.0, second.1, &threads));
        scope.spawn(|| play(&cores, 1, second.0, first.1, &threads));
    });
}

#[test]
fn a_stage_of_the_end_is_reached_when_each_core_has() {
    let cores = Cores::new(2);
    assert!(!cores.is_ending());
    cores.end();
    assert!(cores.is_ending());
    for stage in [Stage::Closed, Stage::Settled, Stage::Ended] {
        assert!(!cores.have_reached(stage));
        cores.reach(stage);
        assert!(!cores.have_reached(stage), "the second one has not");
        cores.reach(stage);
        assert!(cores.have_reached(stage));
    }
}

#[test]
fn a_port_that_is_pinned_is_home_on_its_core_alone() {
    static PINS: [Pin; 1] = [Pin { protocol: Protocol::UDP, port: 50_000, key: None, core: 1 }];
    let cores: &Cores = std::boxed::Box::leak(std::boxed::Box::new(Cores::new(2)));
    let homes = [0, 1].map(|core| Home::new(cores, core, &PINS));
    let at = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    for remote in 1..100 {
        let has = |protocol, port| homes.map(|home| home.has(protocol, at(port), at(remote)));
        assert_eq!(has(Protocol::UDP, 50_000), [false, true]);
        let number = flow(at(1).ip(), 50_000, at(1).ip(), remote);
        let free = [cores.home(number) == 0, cores.home(number) == 1];
        assert_eq!(has(Protocol::TCP, 50_000), free, "the pin is UDP's");
        assert_ne!(has(Protocol::UDP, 50_001)[0], has(Protocol::UDP, 50_001)[1]);
    }
}
