//! Runs many hosts with an image's graph on one bad wire, in virtual time.
//!
//! [`run`] is what the generated `main` calls. It makes the graph several times, once for each
//! host, with what a host has outside of it replaced: the card is a [`card::Plug`] of a wire that
//! loses, doubles, delays, reorders and parts; the time is what the simulation says; randomness
//! comes from a seed. Each graph has a [`visitor::Visitor`] beside the app's own services, so
//! every host both serves and asks the others, through the same stack.
//!
//! A seed decides everything: the same one gives the same run, frame by frame, which its digest
//! shows. A [`witness::Witness`] sees every frame, and after each sweep the run is checked:
//!
//! - each byte of a TCP stream has one value, however often it is sent, and arrives once, in its
//!   place: the answers that visitors get are whole and the same;
//! - sequence numbers are sane: nothing is acknowledged that was not sent, no acknowledgement
//!   goes back, no window moves its edge to the left or is disregarded;
//! - no host spins, and every deadline is bounded;
//! - every visit ends, none fails that the wire does not excuse, and once the wire is healed, all
//!   hosts reach each other again;
//! - when all is quiet, every buffer is back in its pool.
//!
//! It knows no component but its own two, and can so simulate any graph that speaks HTTP/1.1 over
//! TCP and IPv4 with one. IPv6, UDP and several cores are not simulated.

#![forbid(unsafe_code)]

pub mod card;
mod options;
mod pcap;
#[cfg(test)]
mod tests;
pub mod visitor;
mod wire;
pub mod witness;
mod world;

use options::{Command, Options};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{self, ExitCode};
use waitless::{Context, Image, Sweep};
use world::World;

/// Simulates the graph that `make` builds, once for each seed of the command line.
pub fn run<G: Sweep>(image: &'static Image, make: impl Fn(&mut Context) -> G) -> ExitCode {
    match Options::parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => simulate(image, &make, &options),
        Ok(Command::Help) => {
            let _ = writeln!(io::stdout(), "{} {}\n\n{}", image.app, image.version, options::HELP);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}\n\n{}", options::HELP);
            ExitCode::FAILURE
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// A number that differs where any frame or its time does.
    pub digest: u64,
    /// Frames that were sent.
    pub frames: u64,
    /// Visits that ended well.
    pub visits: u64,
    /// Visits that the wire did not let end well.
    pub failures: u64,
}

fn simulate<G: Sweep>(
    image: &'static Image,
    make: &impl Fn(&mut Context) -> G,
    options: &Options,
) -> ExitCode {
    let all = if options.count > PART && !options.part {
        in_parts(options)
    } else {
        one_by_one(image, make, options)
    };
    let Some(Outcome { visits, failures, frames, .. }) = all else { return ExitCode::FAILURE };
    match options.part {
        true => say(format_args!("{REPORT} {visits} {failures} {frames}")),
        false => say(format_args!(
            "{}: {} seeds, {visits} visits, {failures} more failed by the wire, {frames} frames",
            image.app, options.count
        )),
    }
    ExitCode::SUCCESS
}

/// Runs every seed here; `None`, and a word about it, when one fails.
fn one_by_one<G: Sweep>(
    image: &'static Image,
    make: &impl Fn(&mut Context) -> G,
    options: &Options,
) -> Option<Outcome> {
    let mut all = Outcome::default();
    for seed in options.seeds() {
        let one = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(image, make, options, seed);
            world.run().map_err(|what| (what, world.capture()))
        }));
        let (what, capture) = match one {
            Ok(Ok(outcome)) => {
                if options.verbose {
                    say(format_args!("seed {seed}: {outcome:x?}"));
                }
                all.add(&outcome);
                continue;
            }
            Ok(Err((what, capture))) => (what, Some(capture)),
            Err(_) => ("it panicked, see above".to_owned(), None),
        };
        say(format_args!("seed {seed} of {} failed: {what}", image.app));
        if let (Some(file), Some(bytes)) = (&options.pcap, capture) {
            match std::fs::write(file, bytes) {
                Ok(()) => say(format_args!("the last frames are in {file}")),
                Err(why) => say(format_args!("cannot write {file}: {why}")),
            }
        }
        say(format_args!("again: {}", options.again(image.app, seed)));
        return None;
    }
    Some(all)
}

/// Runs the seeds in processes of their own, as many at a time as there are processors: what a
/// host is made of is never given back, so one process cannot make thousands.
fn in_parts(options: &Options) -> Option<Outcome> {
    let program = std::env::current_exe().ok()?;
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let mut firsts = options.seeds().step_by(PART as usize);
    let end = options.seeds().end;
    let (mut running, mut all, mut fine) = (VecDeque::new(), Outcome::default(), true);
    loop {
        while fine && running.len() < at_once {
            let Some(first) = firsts.next() else { break };
            let arguments = options.part(first, PART.min(end - first));
            let mut child = process::Command::new(&program);
            child.args(arguments).stdin(process::Stdio::null()).stdout(process::Stdio::piped());
            running.push_back(child.spawn().ok()?);
        }
        let Some(child) = running.pop_front() else { break };
        let output = child.wait_with_output().ok()?;
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            match line.strip_prefix(REPORT) {
                Some(numbers) => all.add(&Outcome::read(numbers)),
                None => say(format_args!("{line}")),
            }
        }
        fine &= output.status.success();
    }
    fine.then_some(all)
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.visits += other.visits;
        self.failures += other.failures;
        self.frames += other.frames;
    }

    fn read(numbers: &str) -> Self {
        let mut numbers = numbers.split_whitespace().filter_map(|it| it.parse().ok());
        let mut next = || numbers.next().unwrap_or(0);
        Self { visits: next(), failures: next(), frames: next(), digest: 0 }
    }
}

/// Seeds that one process runs.
const PART: u64 = 50;
/// How a process begins the line that says what its part came to.
const REPORT: &str = "part:";

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
