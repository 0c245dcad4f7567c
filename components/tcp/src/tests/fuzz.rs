//! Segments that nobody sane would send: nothing panics, nothing leaks, and what comes from off
//! the path does not disturb two honest ends.

use super::sim;
use super::trace::*;
use crate::Config;
use crate::wire::{Flags, Options, Stamps};
use std::vec::Vec;
use waitless::{PathErrorKind, Random, StreamPort};

/// A segment near the edges of what is expected, with everything random.
fn near(t: &Trace, random: &mut Random) -> Seg {
    let around = |random: &mut Random, center: u32| match random.below(8) {
        0 => random.u32(),
        1 => center.wrapping_add(random.below(70_000) as u32),
        _ => center.wrapping_add(random.below(9) as u32).wrapping_sub(4),
    };
    let (mut seq, mut ack) = (1, 1);
    if let Some(conn) = t.tcp.conns.first() {
        seq = conn.expected.since(crate::seq::Seq(THEIR_ISN));
        ack = conn.next.since(t.isn);
    }
    let length = if random.below(2) == 0 { 0 } else { random.below(1400) as usize };
    let stamps = Stamps { value: random.u32() >> random.below(32), echo: random.u32() };
    Seg {
        seq: around(random, seq),
        ack: around(random, ack),
        flags: match random.below(4) {
            0 => Flags(random.u32() as u8),
            1 => FIN,
            _ => ACK,
        },
        window: Some((random.u32() >> 16 >> random.below(17)) as u16),
        options: Options {
            mss: if random.below(8) == 0 { random.u32() as u16 } else { 0 },
            scale: (random.below(8) == 0).then(|| random.u32() as u8),
            sack_permitted: random.below(8) == 0,
            stamps: (random.below(3) == 0).then_some(stamps),
            sacks: 0,
        },
        data: &BYTES[..length],
    }
}

fn serve(t: &mut Trace, random: &mut Random, streams: &mut Vec<waitless::Stream>) {
    while let Some(stream) = t.tcp.news(t.service) {
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    if streams.is_empty() {
        return;
    }
    let at = random.below(streams.len() as u64) as usize;
    t.stream = streams[at];
    match random.below(40) {
        0 => t.tcp.close(t.stream),
        1 => t.tcp.abort(t.stream),
        2 => {
            t.tcp.release(t.stream);
            streams.swap_remove(at);
        }
        3..10 => drop(t.tcp.recv(t.stream)),
        10..15 => t.tcp.consume(t.stream, 100),
        15..30 => {
            let room = t.tcp.writable(t.stream).len();
            t.tcp.commit(t.stream, random.below(room as u64 + 1) as usize);
        }
        _ => {
            if let Some(mut packet) = t.cx.packet() {
                packet.reset(random.below(700) as usize);
                let count = random.below(packet.tailroom() as u64) as usize;
                packet.extend(count).unwrap();
                let _ = t.tcp.send(t.stream, packet);
            }
        }
    }
}

/// Whatever arrives and whatever the service does: no panic, and nothing is left behind.
#[test]
fn hostile_segments_never_panic_and_leak_nothing() {
    for seed in 0..36 {
        let mut random = Random::new([seed; 32]);
        let config = Config {
            timestamps: seed % 2 == 0,
            nagle: seed % 3 == 0,
            receive_buffer: 2048 << (seed % 7),
            send_buffer: 2048 << (seed % 5),
            memory: (seed % 4 == 0).then_some(40 * 2176),
            backlog: 4,
            time_waits: 3,
            ..Config::DEFAULT
        };
        let mut t = match seed % 3 {
            0 => Trace::listening(config),
            1 => Trace::connecting(config),
            _ => Trace::open(config),
        };
        let mut streams = Vec::from([t.stream]);
        streams.retain(|stream| stream.index != u32::MAX);
        for _ in 0..1500 {
            let mut seg = near(&t, &mut random);
            if random.below(30) == 0 {
                seg = Seg { seq: random.u32(), flags: SYN, ..seg };
            }
            let mut packet = t.packet(seg);
            if random.below(10) == 0 {
                let at = random.below(packet.len() as u64) as usize;
                packet.bytes_mut()[at] = random.u32() as u8;
                packet.info_mut().checksum = waitless::packet::ChecksumState::Verified;
                packet.truncate(random.below(100) as usize + 10);
            }
            t.ip.inbox.push_back(packet);
            if random.below(50) == 0 {
                let seq = t.tcp.conns.first().map_or(0, |conn| conn.unacked.since(t.isn));
                t.error(PathErrorKind::TooBig(random.u32() as u16 % 1600), seq);
            }
            t.ip.room = random.below(40) as usize;
            t.sweep();
            serve(&mut t, &mut random, &mut streams);
            t.sweep();
            if random.below(4) == 0 {
                t.after(random.below(2000));
            }
            if random.below(3) > 0 {
                t.ip.sent.clear();
            }
        }
        t.ip.room = 1000;
        t.ip.sent.clear();
        for stream in streams {
            t.tcp.release(stream);
        }
        while let Some(stream) = t.tcp.news(t.service) {
            t.tcp.abort(stream);
            t.tcp.release(stream);
        }
        for _ in 0..40 {
            t.after(60_000);
            t.ip.sent.clear();
        }
        while let Some(stream) = t.tcp.news(t.service) {
            t.tcp.abort(stream);
            t.tcp.release(stream);
        }
        t.after(120_000);
        t.ip.sent.clear();
        t.is_clean();
    }
}

/// Segments from off the path, with the right addresses and ports and valid checksums.
#[test]
fn honest_ends_do_not_notice_blind_attackers() {
    for seed in 0..40 {
        sim::attacked(seed);
    }
}
