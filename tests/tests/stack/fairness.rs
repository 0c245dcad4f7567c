//! How connections share a path. Time is virtual, so figures are the same on every machine.

use crate::goodput::{Ends, fill};
use std::collections::HashMap;
use waitless::{Duration, Stream, StreamPort};

/// Bytes that each of `count` connections brings over a path of 20 Mbit/s and `rtt` milliseconds
/// in a minute, after all have been there for a while. Each begins two seconds after the one
/// before.
fn shares(count: usize, rtt: u64, loss: u16, seed: u64) -> Vec<u64> {
    let wire = netem::Config {
        rate: Some(20_000_000),
        delay: Duration::from_micros(rtt * 500),
        loss,
        // A router with room for what is under way in a round trip.
        limit: (2_500 * rtt / 1_500).max(50) as u32,
        seed,
        ..netem::Config::CLEAN
    };
    let Ends { mut world, here, there, remote } = Ends::over(wire);
    let begun = world.now;
    let after = |seconds| begun + Duration::from_secs(seconds);
    let measured = after(2 * count as u64 + 10);
    let end = measured + Duration::from_secs(60);
    let (mut senders, mut receivers) = (Vec::new(), HashMap::<u32, (Stream, u64)>::new());
    while world.now < end {
        if senders.len() < count && world.now >= after(2 * senders.len() as u64) {
            senders.push(world.a.graph.tcp.connect(here, remote).expect("a route"));
        }
        for &sender in &senders {
            fill(&mut world.a.graph.tcp, sender);
        }
        let tcp = &mut world.b.graph.tcp;
        while let Some(new) = tcp.news(there) {
            tcp.set_tag(new, 1);
            receivers.entry(new.index).or_insert((new, 0));
        }
        for (stream, read) in receivers.values_mut() {
            while let Some(packet) = tcp.recv(*stream) {
                if world.now >= measured {
                    *read += packet.len() as u64;
                }
            }
        }
        world.step();
    }
    receivers.values().map(|(_, read)| *read).collect()
}

/// Jain's index: 1 when all have the same, and 1 of how many they are when one has it all.
fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (shares.len() as f64 * squares)
}

#[test]
fn two_connections_share_a_path_fairly() {
    for (rtt, loss) in [(20, 0), (20, 1)] {
        let shares = shares(2, rtt, loss, 1);
        let index = jain(&shares);
        println!("{rtt} ms, {loss} of 1000 lost: {shares:?}, Jain {index:.3}");
        assert!(index >= 0.95, "{rtt} ms, {loss} of 1000 lost: {shares:?}, Jain {index:.3}");
        let bits = shares.iter().sum::<u64>() * 8 / 60;
        assert!(bits >= 15_000_000, "and it is used: {bits} bits/s");
    }
}

#[test]
#[ignore = "prints a table"]
fn fairness_of_cubic() {
    println!("| connections | 20 ms | 50 ms | 100 ms |\n|---|---|---|---|");
    for count in [2, 4, 8] {
        let cells = [20, 50, 100].map(|rtt| {
            let mean = (1..=3).map(|seed| jain(&shares(count, rtt, 0, seed))).sum::<f64>() / 3.0;
            format!("{mean:.3}")
        });
        println!("| {count} | {} |", cells.join(" | "));
    }
}
