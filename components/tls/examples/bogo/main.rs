//! What BoringSSL's runner of TLS tests starts for each case: the component on a socket, as the
//! runner's flags say. `docs/tls.md` says how to run it.
//!
//! It answers each byte with the same one, inverted, until the other end has said all. What went
//! wrong is told by its exit status: 1 for a connection that failed, 89 for a flag that it does
//! not know, 90 for what must not be whatever the case expects.

mod end;
mod flags;
mod wire;

use end::{Dialer, Outcome, serve};
use flags::{Settings, read};
use std::fmt::Arguments;
use std::process::exit;
use std::sync::Mutex;
use std::time::{Instant as Clock, SystemTime, UNIX_EPOCH};
use waitless::cores::Cores;
use waitless::log::{Level, Log, Sink};
use waitless::testing::Nothing;
use waitless::{Context, Duration, Image, Instant, Pool, Random, System};

/// What the component says, for when something has failed.
static SAID: Mutex<String> = Mutex::new(String::new());
const UNIMPLEMENTED: i32 = 89;
const MUST_NOT_BE: i32 = 90;

fn main() {
    std::panic::set_hook(Box::new(|why| {
        eprintln!("{why}");
        exit(MUST_NOT_BE);
    }));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|it| it == "-is-handshaker-supported") {
        return println!("No");
    }
    let parsed = read(&arguments, "-on-initial").and_then(|first| {
        let later = read(&arguments, "-on-resume")?;
        Ok((first, later))
    });
    let (first, later) = parsed.unwrap_or_else(|flag| {
        eprintln!("{flag} is not known");
        exit(UNIMPLEMENTED);
    });
    if let Err(why) = run(first, later) {
        let said = SAID.lock().map(|said| said.clone()).unwrap_or_default();
        eprintln!("{why}\n{said}");
        exit(1);
    }
}

/// All connections of a case, one after the other.
fn run(first: Settings, later: Settings) -> Result<(), String> {
    let count = 1 + first.resume_count;
    let mut clock = Time { start: Clock::now(), ahead: Duration::ZERO };
    // One core for each, as tickets are good at all of them, and its server is set up anew.
    let mut contexts = contexts(count).into_iter();
    let mut dialer = None;
    for number in 0..count {
        let settings = if number == 0 { &first } else { &later };
        if number > 0 {
            clock.ahead = clock.ahead + settings.delay;
        }
        let outcome = if settings.server {
            let cx = contexts.next().ok_or("there is no core left")?;
            serve(settings, cx, &clock)?
        } else {
            let dialer = match &mut dialer {
                None => {
                    let cx = contexts.next().ok_or("there is no core left")?;
                    dialer.insert(Dialer::new(settings, cx)?)
                }
                Some(dialer) => dialer,
            };
            dialer.dial(settings, &clock)?
        };
        check(&outcome, settings, number > 0)?;
    }
    Ok(())
}

/// Whether a connection was what the runner expects of it.
fn check(outcome: &Outcome, settings: &Settings, is_later: bool) -> Result<(), String> {
    outcome.is_good()?;
    if outcome.resumed != (is_later && !settings.expects_miss) {
        return Err(format!("resumed: {}", outcome.resumed));
    }
    if settings.expects_retry.is_some_and(|expected| expected != outcome.retried) {
        return Err(format!("asked for another hello: {}", outcome.retried));
    }
    if settings.expects_early.is_some_and(|expected| expected != outcome.early) {
        return Err(format!("took early data: {}", outcome.early));
    }
    if settings.checks_end && outcome.truncated {
        return Err("ended without close_notify".to_owned());
    }
    Ok(())
}

/// The time since the start, and more where the runner wants time to pass.
pub struct Time {
    start: Clock,
    ahead: Duration,
}

impl Time {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64) + self.ahead
    }
}

static IMAGE: Image = Image {
    app: "bogo",
    version: env!("CARGO_PKG_VERSION"),
    platform: "host",
    graph: "{}",
    instances: &[],
    cores: 1,
    packets: 0,
    pins: &[],
};

/// The contexts of `count` cores.
fn contexts(count: usize) -> Vec<Context> {
    let cores: &'static Cores = Box::leak(Box::new(Cores::new(count)));
    let mut seed = [0; 32];
    let entropy = std::fs::File::open("/dev/urandom");
    let read = entropy.and_then(|mut file| std::io::Read::read_exact(&mut file, &mut seed));
    read.expect("random bytes");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    let one = |core: usize| {
        let pool = Pool::new(256, 0).expect("memory for packets");
        let system = Box::leak(Box::new(System::on(&IMAGE, cores, core)));
        let mut seed = seed;
        seed[0] = seed[0].wrapping_add(core as u8);
        let log = Log::new(Level::Debug, &Keep);
        Context::new(core, pool, Random::new(seed), log, &Nothing, system)
    };
    let contexts: Vec<_> = (0..count).map(one).collect();
    contexts[0].set_wall_clock(since.as_nanos() as u64);
    contexts
}

/// Keeps what is said.
struct Keep;

impl Sink for Keep {
    fn write(&self, line: Arguments<'_>) {
        if let Ok(mut said) = SAID.lock() {
            said.push_str(&format!("{line}\n"));
        }
    }
}
