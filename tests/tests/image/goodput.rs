//! Goodput of our TCP and of the kernel's on the same lossy path, to the same receiver.
//!
//! The path is a thread of this test: what a TAP device sends comes out of another one later, or
//! never. The sender is the web server as a process, once with our stack and once on the kernel's
//! sockets; the receiver is curl in a namespace, on the kernel's stack. In real time, so the table
//! is good on a machine that does nothing else: `make test-all` runs it and looks only whether it
//! is far off.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use waitless::{Component, Context, InitError, Instant, NicPort, Sweep};
use waitless_tests::lab::{Arch, Dhcp, Lab, Native, PATIENCE, Side, Tap, run, wait_for};
use waitless_tests::live::{Host, Live, card, leak};

/// Bits that pass in a second.
const RATE: u64 = 100_000_000;
/// Packets that wait where the path is full.
const QUEUE: u64 = 300;
/// Downloads in each cell by each sender, in turn.
const RUNS: usize = 3;
/// How long one lasts.
const SECONDS: u32 = 6;

pub fn beside_the_kernel(lab: &Lab) {
    let [near, far] = [Tap::named("waitless0"), Tap::new()];
    let bridge = bridge_of(&near);
    let own = Native::start(&lab.images.released("native-tap", ARCH), &[]);
    let dhcp = Dhcp::on(&bridge, &[]);
    let address = wait_for("an address by DHCP", PATIENCE, || {
        let log = dhcp.log();
        let given = |it: &Ipv4Addr| log.contains(&format!("DHCPACK({}) {it} ", bridge.name));
        (50..60).map(|host| bridge.host(host)).find(given)
    });
    // Whatever this machine prefers: the same congestion control on both sides.
    std::fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "cubic").expect(
        "the kernel's CUBIC: say `sysctl net.ipv4.tcp_allowed_congestion_control='reno cubic'`",
    );
    let program = lab.images.released("native", ARCH);
    let kernel = Native::start(&program, &["--ports", "80/tcp=8080", "--set", "tcp.bind=0.0.0.0"]);
    println!("| loss | round trip | Waitless | the kernel | ratio |\n|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for loss in [0, 1, 10, 30] {
        for millis in [1, 25, 100] {
            let urls = [
                format!("http://{address}/download?bytes=1000000000"),
                format!("http://{}:8080/download?bytes=1000000000", bridge.address),
            ];
            let [ours, theirs] = cell(&bridge, &far, loss, millis, &urls);
            let ratio = ours / theirs;
            let (whole, tenths) = (loss / 10, loss % 10);
            println!("| {whole}.{tenths} % | {millis} ms | {ours:.2} | {theirs:.2} | {ratio:.2} |");
            ratios.push(ratio);
        }
    }
    drop((own, kernel));
    assert!(ratios.iter().all(|ratio| *ratio > 0.5), "far off: {ratios:?}");
}

const ARCH: Arch = Arch::X86_64;

/// A bridge with `tap` in it, which takes over its address.
#[track_caller]
fn bridge_of(tap: &Tap) -> Tap {
    let bridge = Tap { name: "waitless-br".to_owned(), address: tap.address };
    run("ip", &["link", "add", &bridge.name, "type", "bridge", "forward_delay", "0"]);
    run("ip", &["address", "flush", "dev", &tap.name]);
    run("ip", &["link", "set", &tap.name, "master", &bridge.name]);
    run("ip", &["address", "add", &format!("{}/24", tap.address), "dev", &bridge.name]);
    run("ip", &["link", "set", &bridge.name, "up"]);
    // What one download found out is not for the next.
    run("sysctl", &["-q", "-w", "net.ipv4.tcp_no_metrics_save=1"]);
    bridge
}

/// Medians of what passes in MB/s, by each of the two senders.
#[track_caller]
fn cell(bridge: &Tap, far: &Tap, loss: u16, millis: u64, urls: &[String; 2]) -> [f64; 2] {
    let near = Tap::new();
    run("ip", &["address", "flush", "dev", &near.name]);
    run("ip", &["link", "set", &near.name, "master", &bridge.name]);
    let (end, (tell, ready)) = (AtomicBool::new(false), mpsc::channel());
    thread::scope(|scope| {
        scope.spawn(|| {
            let make = |cx: &mut Context| Path::new(&near, far, loss, millis, cx);
            let mut path = Host::new(16_384, Duration::from_micros(20), make);
            tell.send(()).expect("somebody waits");
            while !end.load(Ordering::Relaxed) {
                path.turn();
            }
        });
        ready.recv_timeout(PATIENCE).expect("the path is there");
        let guard = End(&end);
        let address = bridge.host(9).to_string();
        let side = Side::with(&far.name, &address, &bridge.address.to_string());
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..RUNS {
            for (url, figures) in urls.iter().zip(&mut figures) {
                figures.push(download(&side, url));
            }
        }
        // The device comes back before its namespace ends.
        side.run("ip", &["link", "set", &far.name, "netns", "1"]);
        drop(guard);
        figures.map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[RUNS / 2]
        })
    })
}

/// Ends the path, also when a test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// MB/s of a download that is broken off.
#[track_caller]
fn download(side: &Side, url: &str) -> f64 {
    let seconds = SECONDS.to_string();
    let wanted = "%{size_download} %{time_total}";
    let said = side.try_run(
        "curl",
        &["--silent", "--max-time", &seconds, "-o", "/dev/null", "-w", wanted, url],
    );
    let figures: Vec<f64> = said.1.split(' ').filter_map(|word| word.trim().parse().ok()).collect();
    match figures[..] {
        [bytes, time] if bytes > 0.0 => bytes / time / 1e6,
        _ => panic!("{url}: {said:?}"),
    }
}

/// From one device to the other, and back.
struct Path {
    near: tap::Tap,
    forth: netem::Netem,
    far: tap::Tap,
    back: netem::Netem,
}

impl Path {
    /// A path on which `loss` of a thousand packets are lost one way.
    fn new(near: &Tap, far: &Tap, loss: u16, millis: u64, cx: &mut Context) -> Self {
        let under_way = RATE / 8 * millis / 1000 / 1500;
        let way = netem::Config {
            direction: netem::Direction::Receive,
            delay: waitless::Duration::from_micros(millis * 500),
            rate: Some(RATE),
            limit: (under_way + QUEUE) as u32,
            ..netem::Config::CLEAN
        };
        Self {
            near: card(near, cx),
            forth: netem::Netem::new(leak(netem::Config { loss, ..way }), cx),
            far: card(far, cx),
            back: netem::Netem::new(leak(way), cx),
        }
    }
}

impl Sweep for Path {
    fn init(&mut self, cx: &mut Context) -> Result<(), (&'static str, InitError)> {
        self.near.init(&mut (), cx).map_err(|why| ("near", why))?;
        self.forth.init(&mut self.near, cx).map_err(|why| ("forth", why))?;
        self.far.init(&mut (), cx).map_err(|why| ("far", why))?;
        self.back.init(&mut self.far, cx).map_err(|why| ("back", why))
    }

    fn poll(&mut self, cx: &mut Context) {
        self.near.receive(&mut (), cx);
        self.forth.receive(&mut self.near, cx);
        self.far.receive(&mut (), cx);
        self.back.receive(&mut self.far, cx);
        pass(&mut self.forth, &mut self.back);
        pass(&mut self.back, &mut self.forth);
        self.back.transmit(&mut self.far, cx);
        self.far.transmit(&mut (), cx);
        self.forth.transmit(&mut self.near, cx);
        self.near.transmit(&mut (), cx);
    }

    fn deadline(&self) -> Instant {
        Instant::NEVER
    }

    fn arm(&mut self) -> bool {
        true
    }
}

/// As many frames as there are and as there is room for.
fn pass(from: &mut impl NicPort, to: &mut impl NicPort) {
    while to.room() > 0
        && let Some(frame) = from.recv()
    {
        // There was room.
        let _ = to.send(frame);
    }
}
