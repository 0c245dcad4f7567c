//! Runs an image as a process: the same graph, with the host's clock, randomness and sleep.
//!
//! [`run`] is what the generated `main` calls. It lends the graph its surroundings and sweeps it
//! for as long as there is work; without work it sleeps in `poll(2)` until one of the components'
//! descriptors is ready or the earliest deadline is there, so an idle image uses no processor
//! time. SIGINT and SIGTERM end it between two sweeps; a second one ends it at once.
//!
//! It serves any host that has POSIX's calls. It brings no component: `host-tcp`, `host-udp` and
//! `tap` are in `components/`. One core runs the graph.

#![deny(unsafe_code)]

mod files;
mod host;
mod options;
mod ports;
mod sleep;
#[cfg(test)]
mod tests;

use files::{Files, KeyFile};
use host::Host;
use options::{Command, Options};
use sleep::{Sleep, Woken};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use waitless::log::{Level, Log, Sink};
use waitless::{Context, Image, Instant, Pool, Random, Sweep, System, boot};

/// Runs the graph that `make` builds, until a signal ends the process or the graph cannot start.
///
/// Reads the command line and the environment; `--help` says what they offer.
pub fn run<G: Sweep>(image: &'static Image, make: impl FnOnce(&mut Context) -> G) -> ExitCode {
    match Options::parse(std::env::args().skip(1), |name| std::env::var(name).ok()) {
        Ok(Command::Run(options)) => run_with(image, options, make),
        Ok(Command::Help) => {
            say(format_args!("{} {}\n\n{}", image.app, image.version, options::HELP));
            ExitCode::SUCCESS
        }
        Err(error) => fail(format_args!("{error}")),
    }
}

fn run_with<G: Sweep>(
    image: &'static Image,
    options: Options,
    make: impl FnOnce(&mut Context) -> G,
) -> ExitCode {
    match Surroundings::new(image, options) {
        Ok(surroundings) => surroundings.run(make),
        Err(error) => fail(format_args!("{error}")),
    }
}

/// What the process lends the graph.
struct Surroundings {
    image: &'static Image,
    host: &'static Host,
    system: &'static System,
    cx: Context,
    /// Where the user wants the secrets of TLS connections.
    keys: Option<KeyFile>,
    sleep: Sleep,
    ended: Arc<AtomicBool>,
}

impl Surroundings {
    fn new(image: &'static Image, options: Options) -> Result<Self, String> {
        raise_descriptor_limit();
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)
            .map_err(|error| format!("the host gives no random numbers: {error}"))?;
        let packets = options.packets.unwrap_or(match image.packets {
            0 => PACKETS,
            packets => packets,
        });
        let pool = Pool::new(packets, 0)
            .ok_or_else(|| format!("no memory for {packets} packets: use --packets FEWER"))?;
        let (sleep, ended) = Sleep::until_signal().map_err(|error| {
            format!("the signals that end the process cannot be handled: {error}")
        })?;
        let host: &'static Host = Box::leak(Box::new(Host::new(options.ports, options.keys)));
        let system: &'static System = Box::leak(Box::new(System::new(image)));
        system.register("pool", pool.counters());
        let said = boot::level(host);
        let level = options.log.or(said.ok().flatten()).unwrap_or(Level::Info);
        let log = Log::new(level, &Stderr);
        let cx = Context::new(0, pool, Random::new(seed), log, host, system);
        if let Err(said) = said {
            boot::refuse_level(&cx, said, level);
        }
        let keys = options.key_log.map(|name| KeyFile::open(name, &cx)).transpose()?;
        Ok(Self { image, host, system, cx, keys, sleep, ended })
    }

    fn run<G: Sweep>(mut self, make: impl FnOnce(&mut Context) -> G) -> ExitCode {
        self.cx.set_now(self.host.now());
        let mut graph = make(&mut self.cx);
        if let Err((instance, error)) = graph.init(&mut self.cx) {
            return fail(format_args!("{instance} cannot start: {error}"));
        }
        let mut files = Files::default();
        if let Err(error) = files.open(self.system) {
            return fail(format_args!("{error}"));
        }
        let mut announced = false;
        while !self.ended.load(Ordering::Relaxed) && !self.system.cores().is_ending() {
            self.cx.set_now(self.host.now());
            graph.poll(&mut self.cx);
            if !core::mem::replace(&mut announced, true) {
                // What stands on others has said by now where it listens.
                self.announce(&files);
            }
            files.take(&self.cx);
            if let Some(keys) = &mut self.keys {
                keys.take(&self.cx);
            }
            let deadline = graph.deadline();
            if deadline > self.host.now() && graph.arm() {
                files.flush(&self.cx);
                self.sleep(deadline);
            }
        }
        // Once more, so that whoever has to say that it ends does.
        self.system.shut_down();
        self.cx.set_now(self.host.now());
        graph.poll(&mut self.cx);
        files.take(&self.cx);
        files.flush(&self.cx);
        drop(graph);
        let (pool, by) = (self.cx.pool(), self.ended.load(Ordering::Relaxed));
        let by = if by { "ended by a signal" } else { "ended" };
        let (count, missing) = (pool.count(), pool.missing());
        match missing {
            0 => waitless::info!(self.cx, "{by}; all {count} packets are back"),
            _ => waitless::error!(self.cx, "{by}; {missing} of {count} packets are missing"),
        }
        ExitCode::SUCCESS
    }

    fn sleep(&mut self, deadline: Instant) {
        let remaining = (deadline != Instant::NEVER).then(|| deadline.since(self.host.now()));
        match self.sleep.for_at_most(remaining, self.host) {
            Ok(Woken::Normally) => {}
            Ok(Woken::ByDead(descriptor)) => {
                waitless::warn!(self.cx, "descriptor {descriptor} broke and wakes nobody any more");
            }
            Err(error) => waitless::error!(self.cx, "cannot sleep: {error}"),
        }
    }

    fn announce(&self, files: &Files) {
        let Image { app, version, instances, .. } = self.image;
        say(format_args!("{app} {version} runs natively, {} instances", instances.len()));
        for line in self.host.exposed() {
            say(format_args!("  {line}"));
        }
        for file in files.names() {
            say(format_args!("  capture in {file}"));
        }
    }
}

/// Packets where neither the manifest nor the user says how many: 34 MiB, touched when used.
const PACKETS: usize = 16_384;

struct Stderr;

impl Sink for Stderr {
    fn write(&self, line: std::fmt::Arguments<'_>) {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// Writes a line to standard output, if anybody still reads it.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn fail(line: std::fmt::Arguments<'_>) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "error: {line}");
    ExitCode::FAILURE
}

/// Connections are descriptors; the usual soft limit of 1024 is far below what a graph carries.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    // macOS gives no more, and refuses to be asked for it.
    const MOST: u64 = 10_240;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if cfg!(target_os = "macos") {
        limit.current = Some(limit.maximum.map_or(MOST, |maximum| maximum.min(MOST)));
    }
    // Where it fails, the old limit holds, and `host-tcp` says when it is reached.
    let _ = setrlimit(Resource::Nofile, limit);
}
