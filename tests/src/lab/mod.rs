//! A laboratory for whole images: real programs, in a network and a process table of their own.
//!
//! [`main`] runs the tests of a binary one after the other: they share two cores with emulated
//! machines, and a second one beside would only make the first slow. It runs itself again inside
//! fresh network and process namespaces, so taps and addresses collide with nobody's, and
//! everything that a test starts ends with it, whatever happens. Where the machine lacks
//! something, the tests that need it are skipped, loudly; `WAITLESS_TEST_REQUIRE=all` makes that
//! a failure.

mod build;
mod http;
mod network;
mod process;
mod vm;

pub use build::{Arch, Edit, Folder, Images, cargo, checkout, copy_checkout, put_changed, target};
pub use http::{Answer, Connection, curl};
pub use network::{Capture, Dhcp, Frames, Tap, UdpProbe, ping};
pub use process::{Finished, Running, run, run_in, tool};
pub use vm::{Machine, Native, Vm};

use std::collections::BTreeSet;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One test of a whole image.
pub struct Test {
    /// Its name, as a sentence.
    pub name: &'static str,
    /// What the machine must have.
    pub needs: &'static [Need],
    /// It fails by panicking.
    pub run: fn(&Lab),
}

/// What a machine may lack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Need {
    /// Network namespaces and `/dev/net/tun`: root, or user namespaces.
    Tap,
    /// A program, found in `PATH`.
    Program(&'static str),
}

/// What all tests share.
pub struct Lab {
    /// What was built before the first test.
    pub images: Images,
}

/// Longer than any test takes on a slow machine: past it, something hangs.
const TEST_MAX: Duration = Duration::from_secs(420);
/// Set inside the namespaces.
const INSIDE: &str = "WAITLESS_LAB";
const REQUIRE: &str = "WAITLESS_TEST_REQUIRE";

/// Builds the images, then runs the tests whose names contain one of the command line's words, or
/// all. `--list` prints their names.
pub fn main(tests: &[Test]) -> ExitCode {
    main_after(tests, Images::build)
}

/// The same for tests that need no image.
pub fn main_without_images(tests: &[Test]) -> ExitCode {
    main_after(tests, || Ok(()))
}

fn main_after(tests: &[Test], prepare: impl FnOnce() -> Result<(), String>) -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |test: &&Test| words.is_empty() || words.iter().any(|w| test.name.contains(w));
    let chosen: Vec<&Test> = tests.iter().filter(wanted).collect();
    if env::args().any(|word| word == "--list") {
        chosen.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored");
        return ExitCode::SUCCESS;
    }
    match env::var(INSIDE).as_deref() {
        Err(_) => enter(prepare),
        Ok(inside) => run_all(&chosen, inside == "isolated"),
    }
}

/// Does what needs the world outside, then runs this binary again in namespaces of its own.
fn enter(prepare: impl FnOnce() -> Result<(), String>) -> ExitCode {
    if let Err(problem) = prepare() {
        println!("{problem}");
        println!("\ntest result: FAILED. 0 passed; 1 failed; the images do not build");
        return ExitCode::FAILURE;
    }
    let program = env::current_exe().expect("a running program has a path");
    for arguments in [&["--net"][..], &["--user", "--map-root-user", "--net"]] {
        let probe = "ip link set lo up && ip tuntap add dev probe mode tap";
        let mut unshare = isolated(arguments);
        let able = unshare.args(["sh", "-c", probe]).output();
        if able.is_ok_and(|output| output.status.success()) {
            let mut unshare = isolated(arguments);
            unshare.arg(&program).args(env::args().skip(1)).env(INSIDE, "isolated");
            return status_of(unshare);
        }
    }
    let mut plain = Command::new(&program);
    plain.args(env::args().skip(1)).env(INSIDE, "plain");
    status_of(plain)
}

fn isolated(arguments: &[&str]) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(arguments).args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare
}

fn status_of(mut command: Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("{}: {error}", command.get_program().display());
            ExitCode::FAILURE
        }
    }
}

fn run_all(tests: &[&Test], isolated: bool) -> ExitCode {
    if isolated {
        run("ip", &["link", "set", "lo", "up"]);
    }
    let lab = Lab { images: Images::built() };
    let (mut passed, mut failed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let turn = Arc::new(AtomicU64::new(0));
    watch(&turn);
    for test in tests {
        if let Some(missing) = missing(test.needs, isolated) {
            println!("test {} ... skipped: needs {missing}", test.name);
            skipped.push((test.name, missing));
            continue;
        }
        println!("test {} ...", test.name);
        turn.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let fine = catch_unwind(AssertUnwindSafe(|| (test.run)(&lab))).is_ok();
        let word = if fine { "ok" } else { "FAILED" };
        println!("test {} ... {word} ({:.1} s)", test.name, start.elapsed().as_secs_f32());
        if fine { passed.push(test.name) } else { failed.push(test.name) }
    }
    summarize(&passed, &failed, &skipped)
}

/// Ends everything when one test takes far too long. The process namespace ends what it started.
fn watch(turn: &Arc<AtomicU64>) {
    let turn = Arc::clone(turn);
    thread::spawn(move || {
        let mut seen = (turn.load(Ordering::Relaxed), Instant::now());
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = turn.load(Ordering::Relaxed);
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if seen.1.elapsed() > TEST_MAX {
                println!("\nthe last test hangs for {} s: ended", TEST_MAX.as_secs());
                println!("\ntest result: FAILED. 0 passed; 1 failed; a test hung");
                process::end_all();
                std::process::exit(1);
            }
        }
    });
}

fn summarize(passed: &[&str], failed: &[&str], skipped: &[(&str, String)]) -> ExitCode {
    if !failed.is_empty() {
        println!("\nfailures:");
        failed.iter().for_each(|name| println!("    {name}"));
    }
    let missing: BTreeSet<&String> = skipped.iter().map(|(_, missing)| missing).collect();
    for missing in missing {
        let count = skipped.iter().filter(|(_, what)| what == missing).count();
        println!("\n*** {count} tests skipped: needs {missing} ***");
    }
    let required = env::var(REQUIRE).is_ok_and(|value| value == "all") && !skipped.is_empty();
    if required {
        println!("\n{REQUIRE}=all: a skipped test is a failure here");
    }
    let fine = failed.is_empty() && !required;
    println!(
        "\ntest result: {}. {} passed; {} failed; {} ignored",
        if fine { "ok" } else { "FAILED" },
        passed.len(),
        failed.len(),
        skipped.len()
    );
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the first need is that this machine does not meet.
fn missing(needs: &[Need], isolated: bool) -> Option<String> {
    needs.iter().find_map(|need| match need {
        Need::Tap if !isolated => Some("root or user namespaces, and /dev/net/tun".to_owned()),
        Need::Program(name) if tool(name).is_none() => Some(format!("the program `{name}`")),
        _ => None,
    })
}

/// Asks `ready` until it gives something; panics with `what` when it takes longer than
/// `patience`.
#[track_caller]
pub fn wait_for<T>(what: &str, patience: Duration, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < patience, "waited {patience:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Long enough for anything that should happen at once, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);
