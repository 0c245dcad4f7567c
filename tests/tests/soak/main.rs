//! Whole images under load and faults for as long as asked: nothing is lost, nothing leaks.
//!
//! `make soak MINUTES=10 ARCH=aarch64 CORES=2 NIC=virtio-mmio` runs one; the variables reach it as
//! `WAITLESS_SOAK_MINUTES` and so on. `make soak-all AT_ONCE=9` runs every way to boot on 1, 2 and
//! 4 cores, so many beside each other; with `WAY='GICv2, 4|microvm'`, those so called. The edge
//! below `eth` loses, repeats and reorders frames. Meanwhile wrk and curl load the image, clients
//! ask for a gigabyte and read nothing, others announce a body and send none, malformed frames
//! arrive, and ping asks. Afterwards everything must be as before: the image answers, its packets
//! are back in their pools, and it ends cleanly when it is asked to.

mod load;

use load::{Tally, Traffic};
use std::env;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use waitless_tests::lab::{self, Arch, Connection, Dhcp, Edit, Frames, Lab, Machine, Need, Tap};
use waitless_tests::lab::{Test, Vm, WAYS, curl, wait_for};

const NEEDS: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Program("qemu-system-aarch64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("wrk"),
];

/// What every way to boot needs beside.
const EVERY: &[Need] = &[
    Need::Program("qemu-system-x86_64"),
    Need::Program("qemu-system-aarch64"),
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("wrk"),
    Need::Program("grub-mkrescue"),
    Need::Program("xorriso"),
    Need::Limine,
];

/// How many cores each way boots with, in turn.
const CORES: [usize; 3] = [1, 2, 4];

fn main() -> ExitCode {
    let every = Test { on_demand: true, ..Test::new("soak: every way to boot", EVERY, every) };
    let tests = [Test::new("soak: load and faults", NEEDS, soak), every];
    // Beside the load: the build of the image, the start, the wait for rest.
    let rounds = (WAYS.len() * CORES.len()).div_ceil(at_once()) as u32;
    lab::main_of_variants(&tests, (minutes() + Duration::from_secs(900)) * rounds.div_ceil(5))
}

/// What the caller asked for.
fn asked(name: &str) -> Option<String> {
    env::var(format!("WAITLESS_SOAK_{name}")).ok().filter(|value| !value.is_empty())
}

/// How long the load lasts.
fn minutes() -> Duration {
    let minutes = asked("MINUTES").map_or(0.5, |text| text.parse().expect("minutes"));
    Duration::from_secs_f64(minutes * 60.0)
}

/// How many images run beside each other where every way to boot is asked for.
fn at_once() -> usize {
    asked("AT_ONCE").map_or(6, |text| text.parse().expect("a number of images")).max(1)
}

/// What each frame that passes the card suffers, of a thousand, each way.
const WEATHER: &str = "
[weather]
is = \"netem\"
under = \"eth\"
loss = 20
duplicate = 20
reorder = 20
";

/// The manifest of the web server, in bad weather.
fn in_weather(manifest: &str) -> String {
    let at = manifest.find("\n[stack.").expect("the manifest declares stacks");
    format!("{}{WEATHER}{}", &manifest[..at], &manifest[at..])
}

/// The web server in bad weather, with a route that ends the image.
fn image(lab: &Lab, arch: Arch) -> PathBuf {
    let edits: [Edit<'_>; 2] =
        [("waitless.toml", &in_weather), ("apps/webserver/src/main.rs", &lab::with_ends)];
    lab.images.variant_with(&format!("soak-{arch:?}"), &edits, "qemu", arch)
}

/// The card's address, which malformed frames are sent to.
const MAC: &str = "52:54:00:77:00:01";
const MAC_BYTES: [u8; 6] = [0x52, 0x54, 0, 0x77, 0, 1];

fn machine() -> Machine {
    let cores = asked("CORES").map_or(2, |text| text.parse().expect("a number of cores"));
    let machine = match (asked("ARCH").as_deref(), asked("NIC").as_deref()) {
        (Some("aarch64"), Some("virtio-mmio")) => Machine::new().older_virt(),
        (Some("aarch64"), _) => Machine::new().virt(),
        (_, Some("virtio-mmio")) => Machine::new().microvm(),
        _ => Machine::new(),
    };
    machine.cores(cores)
}

fn soak(lab: &Lab) {
    let machine = machine();
    println!("  {machine:?}");
    let image = image(lab, machine.arch());
    println!("{}", endures(machine, &image, None));
}

/// Each way to boot, on each number of cores, or those with `WAITLESS_SOAK_WAY` in their names. All
/// are tried, whatever becomes of one.
fn every(lab: &Lab) {
    let weather: Edit<'_> = ("waitless.toml", &in_weather);
    let each: Vec<_> = (WAYS.iter())
        .flat_map(|way| CORES.map(|cores| (way, cores)))
        .map(|(way, cores)| (format!("{}, {cores}", way.name), way, cores))
        .filter(|(name, ..)| asked("WAY").is_none_or(|ways| is_one_of(name, &ways)))
        .map(|(name, way, cores)| {
            let image = way.image(lab, "soak", &[weather]);
            let machine = way.machine(&image).cores(cores);
            let running = if way.all_cores { cores } else { 1 };
            (name, machine, image, running)
        })
        .collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, machine, image, running)) =
            each.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let endures = || endures(machine.clone(), image, Some(*running));
            match catch_unwind(AssertUnwindSafe(endures)) {
                Ok(said) => println!("{name} ... ok\n{said}"),
                Err(_) => {
                    println!("{name} ... FAILED");
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                }
            }
        }
    };
    thread::scope(|scope| (0..at_once()).for_each(|_| _ = scope.spawn(work)));
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), each.len());
}

/// Whether `name` has one of the parts in it that `|` separates.
fn is_one_of(name: &str, parts: &str) -> bool {
    parts.split('|').any(|part| name.contains(part))
}

/// Boots `image` and does all of it; tells what there was. `cores` must run, where it is known how
/// many do.
fn endures(machine: Machine, image: &Path, cores: Option<usize>) -> String {
    // One after the other: a firmware has work to do, and what QEMU loads may be written first,
    // which no other must see half of.
    static BOOTS: Mutex<()> = Mutex::new(());
    let (tap, frames) = (Tap::new(), Frames::new());
    let _dhcp = Dhcp::on(&tap, &[]);
    let alone = BOOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut vm = machine.card(&format!("mac={MAC}")).on_hub(&tap, &frames).boot(image);
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 80);
    drop(alone);
    if let Some(cores) = cores.filter(|cores| *cores > 1) {
        vm.expect(&format!(": {cores} cores, "));
    }
    let metrics = || lossy_curl(&format!("http://{address}/metrics"));
    let before = lab::free_packets(&metrics());

    let traffic = Traffic { address, guest: MAC_BYTES, frames: &frames };
    let (tally, over) = (Tally::default(), AtomicBool::new(false));
    let (start, length) = (Instant::now(), minutes());
    thread::scope(|scope| {
        traffic.start(scope, &tally, &over, length);
        while start.elapsed() < length && !over.load(Ordering::Relaxed) {
            vm.assert_alive();
            thread::sleep(Duration::from_millis(500));
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut said = format!("  {} s of load: {tally}\n", start.elapsed().as_secs());

    let rest = wait_for("all packets in their pools", Duration::from_secs(180), || {
        let free = lab::free_packets(&metrics());
        // Who asks has some itself.
        (free.abs_diff(before) <= SLACK).then_some(free)
    });
    _ = writeln!(said, "  {before} packets were free before, {rest} are after");
    for line in metrics().lines().filter(|line| SHOWN.iter().any(|name| line.contains(name))) {
        _ = writeln!(said, "  {line}");
    }
    answers(&mut vm, address);
    said + &shuts_down(&mut vm, address)
}

/// What is printed of the counters.
const SHOWN: [&str; 6] = [
    "waitless_netem_receive_lost_packets_total{",
    "waitless_netem_transmit_lost_packets_total{",
    "waitless_netem_receive_duplicated_packets_total{",
    "waitless_netem_receive_reordered_packets_total{",
    "waitless_virtio_net_received_frames_total{",
    "waitless_virtio_net_steered_frames_total{",
];

/// Packets of the connection that asks.
const SLACK: u64 = 16;

/// What curl gets, in bad weather: it is asked again when the connection fails.
fn lossy_curl(url: &str) -> String {
    curl(&["--fail", "--retry", "5", "--retry-all-errors", "--retry-delay", "1", url])
}

/// Each route still does what it should.
fn answers(vm: &mut Vm, address: std::net::Ipv4Addr) {
    vm.assert_alive();
    assert_eq!(lossy_curl(&format!("http://{address}/health")), "{\"status\":\"ok\"}");
    assert!(lossy_curl(&format!("http://{address}/compute?n=1000")).contains("168"));
    let console = vm.console();
    let bad = ["panic", "exception", "] error", "starts its card again", "is stopped"];
    let found = console.lines().find(|line| bad.iter().any(|word| line.contains(word)));
    assert_eq!(found, None, "{console}");
}

/// Asked to end, it does, with every packet back; its last words.
fn shuts_down(vm: &mut Vm, address: std::net::Ipv4Addr) -> String {
    let mut connection = Connection::to(address, 80);
    connection.send(b"GET /shutdown HTTP/1.1\r\nHost: x\r\n\r\n");
    let status = vm.expect_end();
    let console = vm.console();
    assert_eq!(status.code(), Some(0), "{console}");
    let ends: Vec<&str> = console.lines().filter(|line| line.contains(" ended; ")).collect();
    assert!(!ends.is_empty() && ends.iter().all(|line| line.contains("are back")), "{console}");
    ends.iter().map(|line| format!("  {line}\n")).collect()
}
