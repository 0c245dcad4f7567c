//! Bytes that an enemy chose: nothing panics, everything is given back, and it still serves.

use super::line::World;
use super::script::{Hello, Peer, codes, public, record, shares};
use super::usual;
use crate::wire::codes::extension as ext;
use crate::wire::hello::ClientHello;
use alloc::vec::Vec;
use waitless::{Duration, Random, StreamPort};

/// Changes `bytes` in a few places.
pub fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(6) {
            _ if bytes.is_empty() => bytes.push(random.u32() as u8),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.u32() as u8,
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.u32() as u8),
            4 => {
                let end = at + random.below(40) as usize;
                let part = bytes[at..end.min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            _ => drop(bytes.drain(at..(at + random.below(20) as usize).min(bytes.len()))),
        }
    }
}

/// Hellos with all extensions that are read.
fn hellos() -> Vec<Vec<u8>> {
    let name = [0, 14, 0, 0, 11, b'e', b'x', b'a', b'm', b'p', b'l', b'e', b'.', b'o', b'r'];
    let full = || {
        Hello::new()
            .with(ext::SERVER_NAME, &name[..])
            .with(ext::ALPN, *b"\0\x0c\x02h2\x08http/1.1")
            .with(ext::RECORD_SIZE_LIMIT, [0x40, 1])
            .with(ext::PSK_KEY_EXCHANGE_MODES, [1, 1])
    };
    let again = shares(&[(0x11ec, &[7; 1216]), (0x17, &[4; 65]), (0x1d, &public())]);
    [
        Hello::new(),
        full(),
        full().with(ext::KEY_SHARE, again),
        full().with(ext::KEY_SHARE, shares(&[])).with(ext::EARLY_DATA, []),
        full().with(ext::SUPPORTED_GROUPS, codes(&[0x17, 0x18])),
        full().with(ext::COOKIE, [0, 4, 1, 2, 3, 4]),
    ]
    .map(|hello| hello.bytes())
    .to_vec()
}

#[test]
fn hellos_are_read_or_refused() {
    let (hellos, mut random) = (hellos(), Random::new([3; 32]));
    let mut read = 0;
    for _ in 0..20_000 {
        let mut hello = hellos[random.below(hellos.len() as u64) as usize].clone();
        mutate(&mut hello, &mut random);
        let parsed = hello.get(4..).map(ClientHello::parse);
        if let Some(Ok(parsed)) = parsed {
            read += 1;
            // Whatever was accepted can be looked at.
            let keys = parsed.keys.map_or(0, |keys| keys.iter().count());
            let shares = parsed.key_shares.map_or(0, |shares| shares.iter().count());
            assert!(keys + shares <= hello.len());
        }
    }
    assert!(read > 100, "hardly anything is well-formed: {read}");
}

#[test]
fn connections_survive_what_clients_say() {
    let (hellos, mut random) = (hellos(), Random::new([5; 32]));
    let mut world = World::with(usual(), 4096);
    for turn in 0..200 {
        let mut said = record(22, &hellos[turn % hellos.len()]);
        if random.below(2) == 0 {
            said.extend(record(20, &[1]));
            said.extend(record(23, &[9; 60]));
        }
        mutate(&mut said, &mut random);
        let wire = world.connect();
        let piece = 1 + random.below(1400) as usize;
        world.say_in(wire, &said, piece);
        world.finish(wire);
    }
    world.pass(Duration::from_secs(30));
    assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0));
    assert_eq!(world.tls.counters.shaking.get(), 0);
    Peer::connect(&mut world);
    world.accept();
}

#[test]
fn sessions_survive_what_clients_protect() {
    let mut random = Random::new([7; 32]);
    let mut world = World::new(usual());
    for turn in 0..60 {
        // Half of them after the handshake, half of them within.
        let mut peer = match turn % 2 {
            0 => Peer::connect(&mut world),
            _ => Peer::greet(&mut world, &Hello::new()),
        };
        for _ in 0..6 {
            let mut content = match random.below(4) {
                0 => [24, 0, 0, 1, random.below(3) as u8].to_vec(),
                1 => peer.finished.clone(),
                2 => [1, 0].to_vec(),
                _ => random.bytes::<30>().to_vec(),
            };
            mutate(&mut content, &mut random);
            let kind = [20, 21, 22, 22, 23, 23, 0][random.below(7) as usize];
            let mut record = peer.seal(kind, &content);
            if random.below(8) == 0 {
                mutate(&mut record, &mut random);
            }
            let piece = 1 + random.below(200) as usize;
            world.say_in(peer.wire, &record, piece);
        }
        world.finish(peer.wire);
        while let Some(stream) = world.news() {
            world.read(stream);
            world.tls.abort(stream);
            world.tls.release(stream);
            world.settle();
        }
    }
    world.pass(Duration::from_secs(30));
    assert_eq!((world.buffers_out(), world.tls.counters.open.get()), (0, 0));
}
