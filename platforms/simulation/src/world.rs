//! All hosts of a run, their time, and what must always be so.

use crate::Outcome;
use crate::card::Socket;
use crate::options::Options;
use crate::pcap::Frames;
use crate::visitor::{Plan, address};
use crate::wire::Wire;
use crate::witness::Witness;
use std::io::Write;
use waitless::boot::Said;
use waitless::cores::Cores;
use waitless::device::Platform;
use waitless::log::{Level, Log, Sink};
use waitless::{Context, Duration, Image, Instant, Pool, Random, Sweep, System};

/// Packets of each host, where the image does not say.
const PACKETS: usize = 1_024;
/// How long a turn takes in which something was done.
const TURN: Duration = Duration::from_micros(10);
/// Turns in a row in which no host rests: more than any burst of traffic needs.
const TURNS_MAX: u32 = 1_000_000;
/// No timer of any host runs longer.
const DEADLINE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long it takes until nobody remembers a connection any more.
const QUIET: Duration = Duration::from_secs(400);
/// At how many places at most a host looks between two times.
const REST_MAX: Duration = Duration::from_secs(1);

/// A run.
pub struct World<G> {
    hosts: Vec<Host<G>>,
    wire: Wire,
    witness: Witness,
    frames: Frames,
    outcome: Outcome,
    options: Options,
    now: Instant,
    turns: u32,
}

struct Host<G> {
    cx: Context,
    graph: G,
    socket: &'static Socket,
}

/// What a host is told of where it runs.
struct Simulated {
    boot_options: String,
}

impl Platform for Simulated {
    fn name(&self) -> &'static str {
        "simulation"
    }

    fn said_at_boot(&self, index: usize) -> Option<Said<'_>> {
        let words = &self.boot_options;
        let said = Said { by: "the simulation", words, shared: false, cut: false };
        (index == 0).then_some(said)
    }

    fn wall_clock(&self, now: Instant) -> Option<u64> {
        Some(1_700_000_000 + now.as_nanos() / 1_000_000_000)
    }
}

struct Stderr;

impl Sink for Stderr {
    fn write(&self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl<G: Sweep> World<G> {
    /// All hosts of the run that `seed` decides, brought up at instant zero.
    pub fn new(
        image: &'static Image,
        make: &impl Fn(&mut Context) -> G,
        options: &Options,
        seed: u64,
    ) -> Self {
        let hosts = (1..=options.hosts).map(|number| Host::new(image, make, options, seed, number));
        Self {
            hosts: hosts.collect(),
            wire: Wire::new(options, seed),
            witness: Witness::default(),
            frames: Frames::default(),
            outcome: Outcome::default(),
            options: options.clone(),
            now: Instant::ZERO,
            turns: 0,
        }
    }

    /// Runs to the end, or to the first thing that must not be.
    pub fn run(&mut self) -> Result<Outcome, String> {
        self.until_done()?;
        if let Some(failure) = self.failures().first().filter(|_| !self.options.excuses()) {
            return Err(format!("a visit failed, and the wire does not excuse that: {failure}"));
        }
        // Whatever was: once the wire is healed, all reach each other again.
        let failed = self.failures().len();
        self.wire.healed = true;
        self.run_for(Duration::from_secs(5))?;
        self.hosts.iter().for_each(|host| host.socket.state().plan.left = 1);
        self.until_done()?;
        if let Some(failure) = self.failures().get(failed) {
            return Err(format!("a visit failed although the wire was healed: {failure}"));
        }
        self.run_for(QUIET)?;
        for (host, number) in self.hosts.iter().zip(1..) {
            let pool = host.cx.pool();
            let out = pool.count() - pool.available();
            if out > 0 {
                return Err(format!("{out} buffers of host {number} never came back"));
            }
        }
        let visits = self.hosts.iter().map(|host| host.socket.state().plan.visits).sum();
        Ok(Outcome { visits, failures: failed as u64, ..self.outcome })
    }

    /// The last frames, as a file.
    pub fn capture(&self) -> Vec<u8> {
        self.frames.file()
    }

    fn failures(&self) -> Vec<String> {
        let all = self.hosts.iter().flat_map(|host| host.socket.state().plan.failures.clone());
        all.collect()
    }

    fn until_done(&mut self) -> Result<(), String> {
        let visits = u64::from(self.options.visits) + 2;
        let most = self.now + self.options.patience.times(visits);
        while self.hosts.iter().any(|host| !host.is_done()) {
            self.turn()?;
            if self.now > most {
                return Err("visits do not end".to_owned());
            }
        }
        Ok(())
    }

    fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while self.now < end {
            self.turn()?;
        }
        Ok(())
    }

    /// A sweep of whoever has something to do, and on to when somebody has.
    fn turn(&mut self) -> Result<(), String> {
        while let Some((to, frame)) = self.wire.pop(self.now) {
            let host = &self.hosts[usize::from(to) - 1];
            host.socket.state().arrived.push_back(frame);
        }
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if host.graph.deadline() > self.now {
                continue;
            }
            host.cx.set_now(self.now);
            host.graph.poll(&mut host.cx);
            self.after_sweep(index)?;
        }
        let deadlines = self.hosts.iter().map(|host| host.graph.deadline());
        let next = deadlines.fold(self.wire.deadline(), Instant::min);
        if next <= self.now {
            self.turns += 1;
            self.now += TURN;
            if self.turns > TURNS_MAX {
                return Err("a host spins: it has something to do again and again".to_owned());
            }
        } else {
            self.turns = 0;
            self.now = next.min(self.now + REST_MAX);
        }
        Ok(())
    }

    /// Takes what a host sent, and looks whether all is as it must be.
    fn after_sweep(&mut self, index: usize) -> Result<(), String> {
        let host = &self.hosts[index];
        let mut state = host.socket.state();
        let number = state.number;
        while let Some(frame) = state.leaving.pop_front() {
            self.frames.add(self.now, &frame);
            self.outcome.frames += 1;
            self.outcome.digest = digest(self.outcome.digest, self.now, &frame);
            self.witness.saw(&frame).map_err(|what| format!("at {}: {what}", self.now))?;
            self.wire.push(number, &frame, self.now);
        }
        if let Some(what) = state.plan.wrong.take() {
            return Err(format!("at {}, host {number}: {what}", self.now));
        }
        drop(state);
        let deadline = host.graph.deadline();
        if deadline != Instant::NEVER && deadline > self.now + DEADLINE_MAX {
            return Err(format!("host {number} sleeps until {deadline}"));
        }
        Ok(())
    }
}

impl<G: Sweep> Host<G> {
    fn new(
        image: &'static Image,
        make: &impl Fn(&mut Context) -> G,
        options: &Options,
        seed: u64,
        number: u8,
    ) -> Self {
        let plan = Plan {
            peers: (1..=options.hosts).filter(|other| *other != number).collect(),
            left: options.visits,
            paths: options.paths.clone(),
            posts: options.posts.clone(),
            patience: options.patience,
            ..Plan::default()
        };
        let socket = Socket::new(number, plan).enter();
        let mine = address(number);
        let layers = image.instances.iter().filter(|instance| instance.component == "ipv4");
        let words: Vec<String> =
            layers.map(|layer| format!("{}.address={mine}/24", layer.name)).collect();
        let platform: &'static Simulated =
            Box::leak(Box::new(Simulated { boot_options: words.join(" ") }));
        let cores: &'static Cores = Box::leak(Box::new(Cores::new(1)));
        let system: &'static System = Box::leak(Box::new(System::on(image, cores, 0)));
        let packets = if image.packets == 0 { PACKETS } else { image.packets.min(PACKETS) };
        let pool = Pool::new(packets, 0).unwrap_or_else(|| panic!("no memory for the packets"));
        let mut bytes = [number; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let log = Log::new(Level::Error, &Stderr);
        let mut cx = Context::new(0, pool, Random::new(bytes), log, platform, system);
        let mut graph = make(&mut cx);
        if let Err((instance, why)) = graph.init(&mut cx) {
            panic!("{instance} cannot start: {why}");
        }
        Self { cx, graph, socket }
    }

    fn is_done(&self) -> bool {
        let state = self.socket.state();
        state.plan.left == 0 && !state.plan.is_under_way
    }
}

/// FNV-1a, of each frame and its time.
fn digest(mut digest: u64, now: Instant, frame: &[u8]) -> u64 {
    for byte in now.as_nanos().to_le_bytes().iter().chain(frame) {
        digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    digest
}
