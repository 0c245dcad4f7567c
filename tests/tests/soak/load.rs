//! What an image suffers meanwhile, each in a thread of its own, and how much of it there was.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};
use waitless_tests::corpus;
use waitless_tests::lab::{Connection, Frames, curl, run, run_in};
use waitless_tests::mutate::Mutator;

/// Whom the load is for.
pub struct Traffic<'a> {
    pub address: Ipv4Addr,
    /// The guest's card.
    pub guest: [u8; 6],
    pub frames: &'a Frames,
}

/// What there was of it.
#[derive(Default)]
pub struct Tally {
    requests: AtomicU64,
    timeouts: AtomicU64,
    transfers: AtomicU64,
    clients: AtomicU64,
    frames: AtomicU64,
    pings: AtomicU64,
    pongs: AtomicU64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} requests of wrk ({} waited for longer than 30 s), {} transfers of curl that \
             came back whole, {} clients that read or sent nothing, {} malformed frames, {} of {} \
             pings answered",
            read(&self.requests),
            read(&self.timeouts),
            read(&self.transfers),
            read(&self.clients),
            read(&self.frames),
            read(&self.pongs),
            read(&self.pings)
        )
    }
}

/// How long one load of wrk lasts: at its end, all connections break off at once.
const WRK_SECONDS: u64 = 10;
/// How long clients that read nothing stay.
const CROWD_SECONDS: u64 = 20;
/// How many of them there are at a time.
const CROWD: usize = 24;
/// Malformed frames in a second.
const FRAMES: u64 = 200;

/// What one thread does, for as long as the function says that it goes on.
type Work<'a> = fn(&Traffic<'a>, &Tally, &dyn Fn() -> bool);

impl Traffic<'_> {
    /// Starts all of it; it ends when `over` says so, or after `length`. What fails says so there.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        tally: &'scope Tally,
        over: &'scope AtomicBool,
        length: Duration,
    ) {
        let end = Instant::now() + length;
        let works: [Work<'_>; 5] =
            [Self::wrk, Self::transfers, Self::crowd, Self::hostile, Self::ping];
        for work in works {
            scope.spawn(move || {
                let _told = Told(over);
                let goes_on = || Instant::now() < end && !over.load(Ordering::Relaxed);
                work(self, tally, &goes_on);
            });
        }
    }

    fn wrk(&self, tally: &Tally, goes_on: &dyn Fn() -> bool) {
        let url = format!("http://{}/health", self.address);
        let duration = format!("{WRK_SECONDS}s");
        while goes_on() {
            let load = ["-t", "1", "-c", "16", "-d", &duration, "--timeout", "30s", &url];
            let said = run("wrk", &load);
            assert!(!said.contains("Non-2xx"), "{said}");
            let line = said.lines().find(|line| line.contains(" requests in "));
            tally.requests.fetch_add(line.and_then(first).unwrap_or(0), Ordering::Relaxed);
            if let Some(errors) = said.lines().find(|line| line.contains("Socket errors")) {
                // Late is what some are, where one frame in 50 gets lost; nobody is turned away.
                assert!(errors.contains("connect 0, read 0, write 0"), "{said}");
                let late = errors.rsplit(' ').next().and_then(|count| count.parse().ok());
                tally.timeouts.fetch_add(late.unwrap_or(0), Ordering::Relaxed);
            }
        }
    }

    fn transfers(&self, tally: &Tally, goes_on: &dyn Fn() -> bool) {
        let (download, echo) = (
            format!("http://{}/download?bytes=300000", self.address),
            format!("http://{}/echo", self.address),
        );
        let body = "waitless".repeat(5_000);
        while goes_on() {
            let size = curl(&["--fail", "-o", "/dev/null", "-w", "%{size_download}", &download]);
            assert_eq!(size, "300000");
            let back = curl(&["--fail", "--data-binary", &body, &echo]);
            assert!(back == body, "the echo differs");
            tally.transfers.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Clients that ask for much and take nothing, and some that announce a body and send none.
    fn crowd(&self, tally: &Tally, goes_on: &dyn Fn() -> bool) {
        let download = b"GET /download?bytes=1000000000 HTTP/1.1\r\nHost: x\r\n\r\n";
        let upload = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
        while goes_on() {
            let clients: Vec<Connection> = (0..CROWD)
                .map(|number| {
                    let mut client = Connection::to(self.address, 80);
                    client.send(if number % 4 == 3 { upload } else { download });
                    client
                })
                .collect();
            tally.clients.fetch_add(clients.len() as u64, Ordering::Relaxed);
            let until = Instant::now() + Duration::from_secs(CROWD_SECONDS);
            while goes_on() && Instant::now() < until {
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn hostile(&self, tally: &Tally, goes_on: &dyn Fn() -> bool) {
        let (mut mutator, seeds) = (Mutator::new(11), corpus::frames());
        while goes_on() {
            for _ in 0..FRAMES / 10 {
                let mut frame = mutator.pick(&seeds).clone();
                corpus::readdress(&mut frame, self.guest, self.address);
                mutator.mutate(&mut frame, 1514);
                if mutator.below(2) == 0 {
                    corpus::repair_frame(&mut frame);
                }
                self.frames.send(&frame);
                tally.frames.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn ping(&self, tally: &Tally, goes_on: &dyn Fn() -> bool) {
        let to = self.address.to_string();
        while goes_on() {
            let arguments = ["-n", "-q", "-i", "0.2", "-c", "25", "-s", "1000", "-W", "5", &to];
            let said = run_in(std::path::Path::new("."), "ping", &arguments, b"");
            let line = said.output.lines().find(|line| line.contains("packets transmitted"));
            let count = |part: usize| line?.split(',').nth(part).and_then(first);
            tally.pings.fetch_add(count(0).unwrap_or(0), Ordering::Relaxed);
            tally.pongs.fetch_add(count(1).unwrap_or(0), Ordering::Relaxed);
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (pings, pongs) = (read(&tally.pings), read(&tally.pongs));
        // Each way loses 2 %; what answers 80 % does more than that to none.
        assert!(pings > 0 && pongs * 10 >= pings * 8, "{pongs} of {pings} pings");
    }
}

/// The number that a text starts with.
fn first(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Ends all other work when one fails.
struct Told<'a>(&'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}
