//! A graph on a TAP device of this process, in real time, beside the host's kernel and programs.

use crate::lab::Tap;
use crate::world;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant as Clock};
use waitless::device::Platform;
use waitless::{Context, Instant, Sweep, testing};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A platform whose descriptors are looked at in each turn.
struct Polled;

impl Platform for Polled {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wake_on(&self, _: i32) -> bool {
        true
    }
}

/// What goes on as long as somebody sweeps.
pub trait Live {
    /// One sweep.
    fn turn(&mut self);

    /// What the graph is lent.
    fn cx(&self) -> &Context;

    /// Sweeps for a time.
    fn run_for(&mut self, time: Duration) {
        let end = Clock::now() + time;
        while Clock::now() < end {
            self.turn();
        }
    }

    /// Sweeps until `done` gives something.
    #[track_caller]
    fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Clock::now() + PATIENCE;
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            assert!(Clock::now() < end, "waited for {what}\n{}", world::counters(self.cx()));
            self.turn();
        }
    }
}

/// A graph with its surroundings.
pub struct Host<G> {
    /// The graph.
    pub graph: G,
    /// What it is lent.
    pub cx: Context,
    begun: Clock,
    rest: Duration,
}

impl<G: Sweep> Host<G> {
    /// A host with `packets` buffers, brought up. It rests for `rest` when nothing is due: the TAP
    /// device wakes nobody here.
    #[track_caller]
    pub fn new(packets: usize, rest: Duration, make: impl FnOnce(&mut Context) -> G) -> Self {
        let mut cx = testing::context_on(&Polled, packets, 1);
        let mut graph = make(&mut cx);
        let ready = graph.init(&mut cx);
        assert!(ready.is_ok(), "{ready:?}");
        Self { graph, cx, begun: Clock::now(), rest }
    }

    /// Sweeps while `work` goes on beside: a program that visits the host, and ends in its time.
    pub fn during<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(work);
            while !worker.is_finished() {
                self.turn();
            }
            worker.join().unwrap_or_else(|panic| {
                println!("{}", world::counters(&self.cx));
                resume_unwind(panic)
            })
        })
    }

    /// The counter `name` of the instance `instance`.
    #[track_caller]
    pub fn counter(&self, instance: &str, name: &str) -> u64 {
        world::counter(&self.cx, instance, name)
    }
}

impl<G: Sweep> Live for Host<G> {
    fn turn(&mut self) {
        let now = Instant::from_nanos(self.begun.elapsed().as_nanos() as u64);
        self.cx.set_now(now);
        self.graph.poll(&mut self.cx);
        if self.graph.deadline() > now {
            thread::sleep(self.rest);
        }
    }

    fn cx(&self) -> &Context {
        &self.cx
    }
}

/// A card on `tap`.
pub fn card(tap: &Tap, cx: &mut Context) -> tap::Tap {
    let device = leak(tap.name.clone()).as_str();
    tap::Tap::new(leak(tap::Config { device, mac: None, mtu: None }), cx)
}

/// Configurations live as long as the program.
pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
