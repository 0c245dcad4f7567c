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
mod routes;
mod side;
mod vm;
mod ways;

pub use build::{
    Arch, Edit, Folder, Images, cargo, checkout, copy_checkout, in_parts, loaded_size, put_changed,
    target, waitless_build,
};
pub use http::{Answer, Connection, curl};
pub use network::{Capture, Dhcp, Frames, Tap, UdpProbe, frames_of, ping};
pub use process::{Finished, Running, run, run_in, tool};
pub use routes::{free_packets, value, with_ends};
pub use side::Side;
pub use vm::{Machine, Native, Vm};
pub use ways::{UEFI, WAYS, Way, make_iso};

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One test of a whole image.
pub struct Test {
    /// Its name, as a sentence.
    pub name: String,
    /// What the images are built for that it boots, but for those that it builds itself.
    pub of: Option<Variant>,
    /// What the machine must have.
    pub needs: &'static [Need],
    /// Whether it runs only when a word of the command line is in its name, and then builds itself
    /// what it boots.
    pub on_demand: bool,
    /// It fails by panicking.
    pub run: Box<dyn Fn(&Lab)>,
}

impl Test {
    /// One that boots nothing that was built before, and runs unless others are chosen.
    pub fn new(name: &str, needs: &'static [Need], run: impl Fn(&Lab) + 'static) -> Self {
        Self { name: name.to_owned(), of: None, needs, on_demand: false, run: Box::new(run) }
    }
}

/// What an image is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// The platform: a folder of `platforms/`.
    pub platform: &'static str,
    /// The architecture; `None` for a test of several, and for processes.
    pub arch: Option<Arch>,
}

/// What a machine may lack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Need {
    /// The files of Limine, a boot loader, in `LIMINE_DIR`. No package registry has them, so that
    /// a machine may do without, whatever is required.
    Limine,
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
/// How much longer one on demand may take, which measures for long, or builds what is released.
const ON_DEMAND: u32 = 5;
/// Set inside the namespaces.
const INSIDE: &str = "WAITLESS_LAB";
const REQUIRE: &str = "WAITLESS_TEST_REQUIRE";

/// Chooses the tests of one platform, and of one architecture.
const PLATFORM: &str = "WAITLESS_TEST_PLATFORM";
const ARCH: &str = "WAITLESS_TEST_ARCH";
/// Names the file that tells which tests were skipped.
const SKIPPED: &str = "WAITLESS_TEST_SKIPPED";

/// Builds the images that they boot, then runs the tests whose names contain one of the command
/// line's words, or all but those on demand. `--list` prints their names.
pub fn main(tests: &[Test]) -> ExitCode {
    main_with(tests, TEST_MAX, |chosen| {
        let built = chosen.iter().filter(|test| !test.on_demand);
        let variants: Vec<Variant> = built.filter_map(|test| test.of).collect();
        Images::build(&variants)
    })
}

/// The same for tests that take up to `most`, and boot nothing but variants that they build.
pub fn main_of_variants(tests: &[Test], most: Duration) -> ExitCode {
    main_with(tests, most, |_| Ok(()))
}

fn main_with(
    tests: &[Test],
    most: Duration,
    build: impl FnOnce(&[&Test]) -> Result<(), String>,
) -> ExitCode {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (platform, arch) = (chosen(PLATFORM), chosen(ARCH));
    let wanted = |test: &&Test| {
        let named = words.iter().any(|word| test.name.contains(word));
        let fits = test.of.is_none_or(|of| of.is(platform.as_deref(), arch.as_deref()));
        fits && (named || (words.is_empty() && !test.on_demand))
    };
    let chosen: Vec<&Test> = tests.iter().filter(wanted).collect();
    if env::args().any(|word| word == "--list") {
        chosen.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        println!("\ntest result: ok. 0 passed; 0 failed; 0 ignored");
        return ExitCode::SUCCESS;
    }
    let entered = enter(|| {
        let prepared = build(&chosen);
        if prepared.is_err() {
            println!("\ntest result: FAILED. 0 passed; 1 failed; the images do not build");
        }
        prepared
    });
    match entered {
        Entered::Outside(status) => status,
        Entered::Inside { isolated } => run_all(&chosen, isolated, most),
    }
}

/// What a variable chooses, if it does.
fn chosen(variable: &str) -> Option<String> {
    env::var(variable).ok().filter(|value| !value.is_empty())
}

impl Variant {
    /// Whether a test of it is one of `platform` and `arch`, where those are chosen.
    fn is(&self, platform: Option<&str>, arch: Option<&str>) -> bool {
        let own = self.arch.map(Arch::name);
        platform.is_none_or(|platform| platform == self.platform)
            && arch.is_none_or(|arch| own.is_none_or(|own| own == arch))
    }
}

/// Where a program is that called [`enter`].
#[derive(Debug)]
pub enum Entered {
    /// Outside still: it ran itself again, and that has ended.
    Outside(ExitCode),
    /// Inside, where everything that it starts ends with it.
    Inside {
        /// Whether the namespaces are its own: whether it may make taps.
        isolated: bool,
    },
}

/// Runs this program again in network and process namespaces of its own, after `prepare`, which
/// needs the world outside. Called again there, says so.
pub fn enter(prepare: impl FnOnce() -> Result<(), String>) -> Entered {
    if let Ok(inside) = env::var(INSIDE) {
        let isolated = inside == "isolated";
        if isolated {
            run("ip", &["link", "set", "lo", "up"]);
        }
        return Entered::Inside { isolated };
    }
    if let Err(problem) = prepare() {
        println!("{problem}");
        return Entered::Outside(ExitCode::FAILURE);
    }
    Entered::Outside(enter_namespaces())
}

fn enter_namespaces() -> ExitCode {
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

fn run_all(tests: &[&Test], isolated: bool, most: Duration) -> ExitCode {
    let lab = Lab { images: Images::built() };
    let mut results = Vec::new();
    let turn = Arc::new(Turn::default());
    watch(&turn);
    for test in tests {
        let name = &test.name;
        if let Some((need, missing)) = missing(test.needs, isolated) {
            println!("test {name} ... skipped: {missing}");
            results.push((*test, Outcome::Skipped { need, missing }));
            continue;
        }
        println!("test {name} ...");
        turn.begin(most * if test.on_demand { ON_DEMAND } else { 1 });
        let start = Instant::now();
        let fine = catch_unwind(AssertUnwindSafe(|| (test.run)(&lab))).is_ok();
        let (word, seconds) = (if fine { "ok" } else { "FAILED" }, start.elapsed().as_secs_f32());
        println!("test {name} ... {word} ({seconds:.1} s)");
        let outcome = if fine { Outcome::Passed(seconds) } else { Outcome::Failed(seconds) };
        results.push((*test, outcome));
    }
    let (text, fine) = summary(&results, env::var(REQUIRE).is_ok_and(|value| value == "all"));
    println!("\n{text}");
    keep_skipped(&results);
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How a test went; seconds.
#[derive(Clone, PartialEq, Debug)]
enum Outcome {
    Passed(f32),
    Failed(f32),
    Skipped { need: Need, missing: String },
}

/// Which test runs, and how many seconds it may take.
#[derive(Default)]
struct Turn {
    number: AtomicU64,
    most: AtomicU64,
}

impl Turn {
    fn begin(&self, most: Duration) {
        self.most.store(most.as_secs(), Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends everything when one test takes far too long. The process namespace ends what it started.
fn watch(turn: &Arc<Turn>) {
    let turn = Arc::clone(turn);
    thread::spawn(move || {
        let mut seen = (turn.number.load(Ordering::Relaxed), Instant::now());
        loop {
            thread::sleep(Duration::from_secs(1));
            let now = turn.number.load(Ordering::Relaxed);
            let most = turn.most.load(Ordering::Relaxed);
            if now != seen.0 {
                seen = (now, Instant::now());
            } else if now > 0 && seen.1.elapsed().as_secs() > most {
                println!("\nthe last test hangs for {most} s: ended");
                println!("\ntest result: FAILED. 0 passed; 1 failed; a test hung");
                process::end_all();
                std::process::exit(1);
            }
        }
    });
}

/// A table of what was run and what was not, and whether that is good enough where `all` tests
/// are required.
fn summary(results: &[(&Test, Outcome)], all: bool) -> (String, bool) {
    let mut text = String::new();
    let (mut passed, mut failed, mut skipped, mut due) = (0, 0, 0, 0);
    for (test, outcome) in results {
        let (word, more) = match outcome {
            Outcome::Passed(seconds) => ("passed", format!("{seconds:7.1} s")),
            Outcome::Failed(seconds) => ("FAILED", format!("{seconds:7.1} s")),
            Outcome::Skipped { missing, .. } => ("skipped", missing.clone()),
        };
        match outcome {
            Outcome::Passed(_) => passed += 1,
            Outcome::Failed(_) => failed += 1,
            Outcome::Skipped { need, .. } => {
                skipped += 1;
                due += usize::from(*need != Need::Limine);
            }
        }
        text += &format!("{word:<8} {:<50} {more}\n", test.name);
    }
    if all && due > 0 {
        text += &format!("\n{REQUIRE}=all: a skipped test is a failure here\n");
    }
    let fine = failed == 0 && !(all && due > 0);
    let word = if fine { "ok" } else { "FAILED" };
    text += &format!("\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored");
    (text, fine)
}

/// Leaves word of what was skipped in the file that a variable names, for whoever sums up all
/// tests.
fn keep_skipped(results: &[(&Test, Outcome)]) {
    let Some(file) = chosen(SKIPPED) else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(file).expect("a file");
    for (test, outcome) in results {
        if let Outcome::Skipped { missing, .. } = outcome {
            writeln!(file, "skipped: {}: {missing}", test.name).expect("room in a file");
        }
    }
}

/// What the first need is that this machine does not meet.
fn missing(needs: &[Need], isolated: bool) -> Option<(Need, String)> {
    needs.iter().find_map(|need| {
        let missing = match need {
            Need::Limine if chosen("LIMINE_DIR").is_none() => {
                "needs Limine: LIMINE_DIR is not set".to_owned()
            }
            Need::Tap if !isolated => "needs root or user namespaces, and /dev/net/tun".to_owned(),
            Need::Program(name) if tool(name).is_none() => format!("needs the program `{name}`"),
            _ => return None,
        };
        Some((*need, missing))
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

#[cfg(test)]
mod tests;
