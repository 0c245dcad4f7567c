//! What is measured.

use crate::ceiling::ceiling;
use crate::contender::{Contender, Guest, Kind, Place};
use crate::counts;
use crate::handshakes;
use crate::load::{self, Load};
use crate::machine;
use crate::open_loop;
use crate::options::Options;
use crate::packages;
use std::time::{Duration, Instant};

/// A contender that runs, and what it takes to measure it.
pub struct Served<'a> {
    /// How to measure.
    pub options: &'a Options,
    /// Who it is.
    pub contender: &'a Contender,
    /// Where it runs.
    pub place: &'a Place,
    /// It.
    pub guest: Guest,
    /// From its start to its first answer.
    pub booted: Duration,
}

/// One thing to measure.
pub struct Workload {
    /// What `--workload` calls it.
    pub name: &'static str,
    /// Whether it is measured when none is named.
    pub usual: bool,
    /// Whether it makes sense for processes too.
    pub native: bool,
    /// Measures it.
    pub run: fn(&mut Served<'_>) -> Vec<Figure>,
}

impl Workload {
    /// Whether it counts instructions, and so needs the plugin.
    pub fn counts(&self) -> bool {
        self.name == "instructions"
    }

    /// Whether it makes sense with these options.
    pub fn is_for(&self, options: &Options) -> bool {
        self.native || !options.native
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What of, for example `/health, 16 connections`.
    pub what: String,
    /// In what.
    pub unit: &'static str,
    /// How much; or what went wrong.
    pub value: Result<f64, String>,
}

impl Figure {
    /// A figure.
    pub fn new(what: impl Into<String>, unit: &'static str, value: Result<f64, String>) -> Self {
        Self { what: what.into(), unit, value }
    }

    /// For a person.
    pub fn line(&self) -> String {
        match &self.value {
            Ok(value) => format!("{}: {} {}", self.what, rounded(*value), self.unit),
            Err(said) => format!("{}: failed: {said}", self.what),
        }
    }
}

/// Three digits or more.
pub fn rounded(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

const ALL: &[Workload] = &[
    Workload { name: "boot", usual: true, native: true, run: boot },
    Workload { name: "size", usual: true, native: false, run: size },
    Workload { name: "idle", usual: true, native: true, run: idle },
    Workload { name: "health", usual: true, native: true, run: health },
    Workload { name: "many", usual: false, native: true, run: many },
    Workload { name: "close", usual: true, native: true, run: close },
    Workload { name: "compute", usual: true, native: true, run: compute },
    Workload { name: "download", usual: true, native: true, run: download },
    Workload { name: "upload", usual: true, native: true, run: upload },
    Workload { name: "tls", usual: true, native: true, run: tls },
    Workload { name: "tls-close", usual: true, native: true, run: tls_close },
    Workload { name: "tls-resume", usual: true, native: true, run: tls_resume },
    Workload { name: "tls-download", usual: true, native: true, run: tls_download },
    Workload { name: "tls-upload", usual: true, native: true, run: tls_upload },
    Workload { name: "udp", usual: true, native: true, run: udp },
    Workload { name: "open-loop", usual: true, native: true, run: open_loop },
    Workload { name: "loaded", usual: true, native: true, run: loaded },
    Workload { name: "instructions", usual: true, native: false, run: counts::instructions },
    Workload { name: "ceiling", usual: false, native: false, run: ceiling },
    Workload { name: "least-memory", usual: false, native: false, run: least_memory },
];

/// Those whose names contain one of `words`; the usual ones when there are none.
pub fn chosen(words: &[String]) -> Result<Vec<&'static Workload>, String> {
    let wanted = |workload: &&Workload| match words {
        [] => workload.usual,
        words => words.iter().any(|word| word == "all" || workload.name.contains(word.as_str())),
    };
    let chosen: Vec<_> = ALL.iter().filter(wanted).collect();
    if chosen.is_empty() {
        let names: Vec<_> = ALL.iter().map(|workload| workload.name).collect();
        return Err(format!("there are these workloads: {}", names.join(", ")));
    }
    Ok(chosen)
}

fn boot(served: &mut Served<'_>) -> Vec<Figure> {
    let answer = load::whole_answer(served.place.address, "/health");
    match answer {
        Some(answer) if answer.contains(r#"{"status":"ok"}"#) => {}
        other => println!("  /health says {other:?}"),
    }
    let booted = served.booted.as_secs_f64() * 1_000.0;
    vec![Figure::new("start to first answer", "ms", Ok(booted))]
}

fn size(served: &mut Served<'_>) -> Vec<Figure> {
    let size = served.contender.image_size().ok_or_else(|| "there is no file".to_owned());
    vec![Figure::new("what it boots from", "KiB", size.map(|bytes| bytes as f64 / 1024.0))]
}

/// Memory and work of a server that has nothing to do.
fn idle(served: &mut Served<'_>) -> Vec<Figure> {
    std::thread::sleep(Duration::from_secs(2));
    let (before, start) = (machine::ticks_of(served.guest.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let ticks = (machine::ticks_of(served.guest.id()) - before) as f64;
    let share = ticks / machine::TICKS / start.elapsed().as_secs_f64();
    let mut figures = vec![Figure::new("processor, idle", "%", Ok(100.0 * share))];
    figures.push(resident(served, "resident memory, idle"));
    figures
}

fn loaded(served: &mut Served<'_>) -> Vec<Figure> {
    vec![resident(served, "resident memory, after the loads")]
}

fn resident(served: &Served<'_>, what: &str) -> Figure {
    let kib = machine::resident(served.guest.id()).ok_or_else(|| "it ended".to_owned());
    Figure::new(what, "MiB", kib.map(|kib| kib / 1024.0))
}

fn health(served: &mut Served<'_>) -> Vec<Figure> {
    [1, 16, 128].into_iter().flat_map(|count| health_with(served, count, false)).collect()
}

fn many(served: &mut Served<'_>) -> Vec<Figure> {
    [1_024, 10_000].into_iter().flat_map(|count| health_with(served, count, false)).collect()
}

fn tls(served: &mut Served<'_>) -> Vec<Figure> {
    [1, 16, 128].into_iter().flat_map(|count| health_with(served, count, true)).collect()
}

fn health_with(served: &Served<'_>, connections: u32, secure: bool) -> Vec<Figure> {
    let load = Load { connections, secure, ..usual(served, "/health") };
    let what = format!("/health{}, {connections} connections", over(secure));
    match load.run(served.place.address) {
        Ok(rate) => vec![
            Figure::new(what.clone(), REQUESTS, Ok(rate.per_second)),
            Figure::new(format!("{what}, median"), "ms", Ok(rate.median_ms)),
            Figure::new(format!("{what}, 99 of 100"), "ms", Ok(rate.p99_ms)),
        ],
        Err(said) => vec![Figure::new(what, REQUESTS, Err(said))],
    }
}

fn tls_close(served: &mut Served<'_>) -> Vec<Figure> {
    let rate = handshakes(served, false);
    vec![Figure::new("a TLS connection for each request, 16 at a time", REQUESTS, rate)]
}

fn tls_resume(served: &mut Served<'_>) -> Vec<Figure> {
    let rate = handshakes(served, true);
    vec![Figure::new("a TLS connection for each request, resumed, 16 at a time", REQUESTS, rate)]
}

fn handshakes(served: &Served<'_>, resume: bool) -> Result<f64, String> {
    let (certificate, _) = packages::certificate()?;
    let trusted = handshakes::trust(&certificate)?;
    let duration = Duration::from_secs(served.options.seconds.into());
    handshakes::run((served.place.address, 443).into(), &trusted, resume, duration)
}

fn close(served: &mut Served<'_>) -> Vec<Figure> {
    let load = Load { connections: 16, fields: &["Connection: close"], ..usual(served, "/health") };
    let rate = load.run(served.place.address).map(|rate| rate.per_second);
    vec![Figure::new("a connection for each request, 16 at a time", REQUESTS, rate)]
}

fn compute(served: &mut Served<'_>) -> Vec<Figure> {
    if served.contender.kind() == Kind::Nginx {
        return Vec::new();
    }
    let load = Load { connections: 16, ..usual(served, "/compute?n=2000") };
    let rate = load.run(served.place.address).map(|rate| rate.per_second);
    vec![Figure::new("/compute?n=2000, 16 connections", REQUESTS, rate)]
}

fn download(served: &mut Served<'_>) -> Vec<Figure> {
    downloads(served, &SIZES, false)
}

fn tls_download(served: &mut Served<'_>) -> Vec<Figure> {
    downloads(served, &SIZES[1..], true)
}

fn downloads(served: &Served<'_>, sizes: &[(&str, u32)], secure: bool) -> Vec<Figure> {
    let each = |(name, bytes): &(&str, u32)| {
        let path = format!("/download?bytes={bytes}");
        let load = Load { connections: 4, secure, ..usual(served, &path) };
        let rate = load.run(served.place.address);
        let rate = rate.map(|rate| rate.per_second * f64::from(*bytes) / 1e6);
        Figure::new(format!("downloads of {name}{}, 4 connections", over(secure)), "MB/s", rate)
    };
    sizes.iter().map(each).collect()
}

fn upload(served: &mut Served<'_>) -> Vec<Figure> {
    uploads(served, &SIZES, false)
}

fn tls_upload(served: &mut Served<'_>) -> Vec<Figure> {
    uploads(served, &SIZES[1..], true)
}

fn uploads(served: &Served<'_>, sizes: &[(&str, u32)], secure: bool) -> Vec<Figure> {
    if served.contender.kind() == Kind::Nginx {
        return Vec::new();
    }
    let each = |(name, bytes): &(&str, u32)| {
        let script = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {bytes})\n");
        let load = Load { connections: 4, script: &script, secure, ..usual(served, "/upload") };
        let rate = load.run(served.place.address);
        let rate = rate.map(|rate| rate.per_second * f64::from(*bytes) / 1e6);
        Figure::new(format!("uploads of {name}{}, 4 connections", over(secure)), "MB/s", rate)
    };
    sizes.iter().map(each).collect()
}

fn over(secure: bool) -> &'static str {
    if secure { " over TLS" } else { "" }
}

fn udp(served: &mut Served<'_>) -> Vec<Figure> {
    if served.contender.kind() == Kind::Nginx {
        return Vec::new();
    }
    let duration = Duration::from_secs(served.options.seconds.into());
    let each = |at_a_time| {
        let rate = load::echoes(served.place.address, at_a_time, duration);
        Figure::new(format!("UDP echo, {at_a_time} under way"), "echoes/s", rate)
    };
    [1, 32].into_iter().map(each).collect()
}

/// Latency at rates that do not wait for answers.
fn open_loop(served: &mut Served<'_>) -> Vec<Figure> {
    let duration = Duration::from_secs(served.options.seconds.into());
    let mut figures = Vec::new();
    for rate in RATES {
        let what = format!("/health, {rate} a second");
        match open_loop::run(served.place.address, rate, duration) {
            Ok(latency) => {
                let mut add = |of, value| {
                    figures.push(Figure::new(format!("{what}, {of}"), "ms", Ok(value)));
                };
                add("median", latency.median);
                add("99 of 100", latency.p99);
                add("999 of 1,000", latency.p999);
                add("longest", latency.most);
            }
            Err(said) => {
                figures.push(Figure::new(format!("{what}, median"), "ms", Err(said)));
                break;
            }
        }
    }
    figures
}

/// The least memory that serves 16 connections, on machines of its own.
fn least_memory(served: &mut Served<'_>) -> Vec<Figure> {
    let sizes: &[u32] = match served.contender.kind() {
        Kind::Waitless => &[3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32],
        _ => &[48, 56, 64, 72, 80, 88, 96, 112, 128, 160, 192],
    };
    let place = Place::new(served.options);
    let serves = |megabytes: &&u32| {
        let Ok(mut guest) = served.contender.start(&place, &format!("{megabytes}M"), &[]) else {
            return false;
        };
        let load = Load { connections: 16, seconds: 2, ..usual(served, "/health") };
        guest.wait(Duration::from_secs(20)).is_ok() && load.run(place.address).is_ok()
    };
    let least = sizes.iter().find(serves).map(|megabytes| f64::from(*megabytes));
    let least = least.ok_or_else(|| "none that was tried".to_owned());
    vec![Figure::new("least memory that serves 16 connections", "MiB", least)]
}

fn usual<'a>(served: &Served<'_>, path: &'a str) -> Load<'a> {
    Load::new(path, served.options.seconds)
}

/// Requests a second that do not wait.
const RATES: [u32; 4] = [500, 1_000, 2_000, 8_000];
const REQUESTS: &str = "requests/s";
const SIZES: [(&str, u32); 2] = [("64 KiB", 65_536), ("1 MiB", 1 << 20)];
