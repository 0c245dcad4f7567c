//! Our graph at either end.

use crate::pair::{End, PASSIVE, address};
use waitless::{Instant, Sweep};
use waitless_tests::graphs;
use waitless_tests::traffic::{Job, PORT};
use waitless_tests::world::{Host, OnCard};

/// An end.
pub struct Ours(Host<graphs::ends::Graph>);

/// The end with this number.
pub fn our_end(number: u8) -> Ours {
    Ours(graphs::ends(4096, number))
}

impl End for Ours {
    fn begin(&mut self, job: Job, connections: usize) {
        let traffic = &mut self.0.graph.traffic;
        (traffic.job, traffic.to_open) = (job, connections);
        traffic.remote = Some((address(PASSIVE), PORT).into());
    }

    fn deliver(&mut self, frame: &[u8]) {
        self.0.put(frame);
    }

    #[inline(never)]
    fn turn(&mut self, micros: u64) {
        let Host { cx, graph, .. } = &mut self.0;
        cx.set_now(Instant::from_nanos(micros * 1_000));
        // As a platform does: until nothing is left that can be done now.
        for _ in 0..TURNS_MAX {
            graph.poll(cx);
            if graph.deadline() > cx.now() {
                break;
            }
        }
    }

    #[inline(never)]
    fn work(&mut self, micros: u64) {
        self.turn(micros);
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        let frame = self.0.graph.card().take()?;
        into[..frame.len()].copy_from_slice(frame.bytes());
        Some(frame.len())
    }

    fn done(&self) -> u64 {
        self.0.graph.traffic.done
    }
}

/// Sweeps in a row; more than one batch of frames needs.
const TURNS_MAX: usize = 64;
