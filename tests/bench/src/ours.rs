//! The web server's own graph on the wire.

use crate::client::Host;
use waitless::Instant;
use waitless_tests::graphs;
use waitless_tests::world::{Host as Surroundings, OnCard};

/// A generated graph on the wire.
pub struct Ours<G> {
    host: Surroundings<G>,
    now: u64,
}

/// The graph with HTTP on port 80 and an echo on TCP port 7.
pub fn ours() -> Ours<impl OnCard> {
    Ours { host: graphs::bench(4096), now: 0 }
}

impl<G: OnCard> Host for Ours<G> {
    fn deliver(&mut self, frame: &[u8]) {
        self.host.put(frame);
    }

    #[inline(never)]
    fn work(&mut self, _: u64) {
        self.now += 1_000;
        let cx = &mut self.host.cx;
        cx.set_now(Instant::from_nanos(self.now));
        // As a platform does: until nothing is left that can be done now.
        for _ in 0..TURNS_MAX {
            self.host.graph.poll(cx);
            if self.host.graph.deadline() > cx.now() {
                break;
            }
        }
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        let frame = self.host.graph.card().take()?;
        into[..frame.len()].copy_from_slice(frame.bytes());
        Some(frame.len())
    }

    fn counters(&self) -> String {
        self.host.counters()
    }
}

/// Sweeps in a row; more than one batch of frames needs.
const TURNS_MAX: usize = 64;
