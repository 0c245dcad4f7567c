//! Both ends of connections in one process, on the same stack, and between them a wire that takes
//! no time and loses nothing. Only what the ends do is measured: their drivers' side of a frame
//! and the wire are the same for each stack and are left out.

use std::time::{Duration, Instant};
use waitless_tests::traffic::Job;

/// One end: a stack, and a service that does its [`Job`].
pub trait End {
    /// Takes on a job; the active end opens so many connections.
    fn begin(&mut self, job: Job, connections: usize);
    /// A frame arrives.
    fn deliver(&mut self, frame: &[u8]);
    /// Lets it work, at a time in microseconds, until it has nothing left to do.
    fn turn(&mut self, micros: u64);
    /// The same, and callgrind counts it.
    fn work(&mut self, micros: u64);
    /// The next frame that it sent, copied into `into`; its length.
    fn sent(&mut self, into: &mut [u8]) -> Option<usize>;
    /// Responses, bytes or ended connections so far, as its job is.
    fn done(&self) -> u64;
}

/// The station of the end with this number.
pub const fn station(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// The address of the end with this number.
pub const fn address(number: u8) -> [u8; 4] {
    [10, 0, 0, number]
}

/// The number of the end that opens connections.
pub const ACTIVE: u8 = 1;
/// The number of the end that they are opened to.
pub const PASSIVE: u8 = 2;
/// Bytes of a full segment.
pub const SEGMENT: u64 = 1460;
/// Frames that the wire carries one way before the other end works: what a card gives at once.
const BATCH: usize = 32;
/// What a turn takes, in microseconds.
const TURN: u64 = 10;
/// Behind this TIME-WAIT is over, in microseconds.
const REST: u64 = 11_000_000;
/// Turns after which something should have happened.
const TURNS_MAX: usize = 100;

/// Two ends on a wire.
pub struct Ends<E> {
    active: E,
    passive: E,
    job: Job,
    connections: usize,
    micros: u64,
    /// Time in which the ends worked.
    spent: Duration,
    counted: bool,
}

impl<E: End> Ends<E> {
    /// The ends that `make` makes by their numbers, once they have done the job a few times.
    pub fn new(make: impl Fn(u8) -> E, job: Job, connections: usize) -> Self {
        let (active, passive, micros) = (make(ACTIVE), make(PASSIVE), 1_000_000);
        let (spent, counted) = (Duration::ZERO, false);
        let mut ends = Self { active, passive, job, connections, micros, spent, counted };
        ends.passive.begin(job.other_end(), 0);
        // One connection first, so that both know each other's station.
        (ends.job, ends.connections) = (Job::Visit, 1);
        ends.run(1);
        (ends.job, ends.connections) = (job, connections);
        if job != Job::Visit {
            ends.active.begin(job, connections);
        }
        ends.run(50);
        ends
    }

    /// Runs so many rounds and gives what was done in them: responses, full segments, or
    /// connections.
    pub fn measure(&mut self, rounds: usize) -> u64 {
        self.counted = true;
        self.spent = Duration::ZERO;
        let before = self.done();
        self.run(rounds);
        self.counted = false;
        match self.job {
            Job::Pour => (self.done() - before) / SEGMENT,
            _ => self.done() - before,
        }
    }

    /// The time in which the ends worked while they were last measured.
    pub fn spent(&self) -> Duration {
        self.spent
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let before = self.done();
            if self.job == Job::Visit {
                self.active.begin(Job::Visit, self.connections);
            }
            let wanted = if self.job == Job::Pour { 1 } else { self.connections as u64 };
            let turns = (0..TURNS_MAX).position(|_| {
                self.exchange();
                self.done() >= before + wanted
            });
            assert!(turns.is_some(), "{:?} does not go on at {before}", self.job);
            let lags = self.counted && self.job == Job::Ask && turns != Some(0);
            assert!(!lags, "not every connection has one answer a turn");
            if self.job == Job::Visit {
                self.micros += REST;
            }
        }
    }

    fn done(&self) -> u64 {
        if self.job == Job::Pour { self.passive.done() } else { self.active.done() }
    }

    /// Each end works once, and the wire carries what it sent.
    fn exchange(&mut self) {
        let now = self.micros;
        self.micros += TURN;
        let (counted, spent) = (self.counted, &mut self.spent);
        work(&mut self.active, now, counted, spent);
        carry(&mut self.active, &mut self.passive);
        work(&mut self.passive, now, counted, spent);
        carry(&mut self.passive, &mut self.active);
    }
}

fn work(end: &mut impl End, now: u64, counted: bool, spent: &mut Duration) {
    if !counted {
        return end.turn(now);
    }
    let start = Instant::now();
    end.work(now);
    *spent += start.elapsed();
}

fn carry(from: &mut impl End, to: &mut impl End) {
    let mut frame = [0; 2048];
    for _ in 0..BATCH {
        let Some(length) = from.sent(&mut frame) else { return };
        to.deliver(&frame[..length]);
    }
}
