//! What an image does in QEMU, one core, without hardware help: `make bench` runs this.
//!
//! The figures are of this machine at this minute: compare what one run prints, not two runs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use waitless_tests::lab::{self, Dhcp, Lab, Machine, Need, Tap, Test, Vm, run};

/// One entry a figure; `cargo run -p waitless-bench --bin image -- rate` runs those named so.
const FIGURES: &[Test] = &[
    Test { name: "size of the image", needs: &[], run: size },
    Test { name: "boot to the first answer", needs: TAP, run: first_answer },
    Test { name: "resident memory", needs: TAP, run: resident },
    Test { name: "least memory that serves 16 connections", needs: LOAD, run: least_memory },
    Test { name: "rate of requests", needs: LOAD, run: rate },
];

const TAP: &[Need] = &[Need::Tap, Need::Program("qemu-system-x86_64"), Need::Program("dnsmasq")];
const LOAD: &[Need] = &[
    Need::Tap,
    Need::Program("qemu-system-x86_64"),
    Need::Program("dnsmasq"),
    Need::Program("wrk"),
];

fn main() -> ExitCode {
    lab::main(FIGURES)
}

/// The card's address, so that the server gives it the same lease every time.
const MAC: &str = "52:54:00:77:77:77";
const HOST: u8 = 50;
const RUNS: usize = 5;

/// A machine whose address is known before it boots.
struct Bench {
    tap: Tap,
    _dhcp: Dhcp,
    address: Ipv4Addr,
}

impl Bench {
    fn new() -> Self {
        let tap = Tap::new();
        let address = tap.host(HOST);
        let lease = format!("--dhcp-host={MAC},{address}");
        let dhcp = Dhcp::on(&tap, &[&lease]);
        // The kernel asks for a neighbour once a second; what is measured here is the image.
        let to = address.to_string();
        let neighbour =
            ["neigh", "replace", &to, "lladdr", MAC, "dev", &tap.name, "nud", "permanent"];
        run("ip", &neighbour);
        Self { tap, _dhcp: dhcp, address }
    }

    fn boot(&self, lab: &Lab, memory: &str) -> Vm {
        let machine = Machine::new().memory(memory).card(&format!("mac={MAC}"));
        machine.on(&self.tap).boot(&lab.images.image("webserver"))
    }

    /// Whether `/health` is answered with 200, when asked once.
    fn answers(&self) -> bool {
        use std::io::{Read, Write};
        let to = SocketAddr::new(IpAddr::V4(self.address), 80);
        let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(15)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
        let mut answer = [0; 12];
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer == *b"HTTP/1.1 200"
    }
}

fn size(lab: &Lab) {
    let path = lab.images.image("webserver");
    let bytes = fs::read(&path).expect("the image is built");
    println!("  loaded from the file: {} KiB", loaded(&bytes) / 1024);
    println!("  the file, with debug information: {} KiB", bytes.len() / 1024);
}

/// Bytes of an ELF64 file that are loaded: the file sizes of its loadable segments.
fn loaded(elf: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let (table, entry, count) = (word(32) as usize, half(54), half(56));
    let headers = (0..count).map(|index| table + index * entry);
    headers.filter(|at| elf[*at..*at + 4] == [1, 0, 0, 0]).map(|at| word(at + 32)).sum()
}

fn first_answer(lab: &Lab) {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let bench = Bench::new();
        let start = Instant::now();
        let vm = bench.boot(lab, "128M");
        wait_until(|| bench.answers());
        times.push(start.elapsed().as_secs_f64() * 1_000.0);
        drop(vm);
    }
    println!("  {}", spread(&mut times, "ms from QEMU's start, DHCP included"));
}

fn resident(lab: &Lab) {
    let bench = Bench::new();
    let vm = bench.boot(lab, "512M");
    wait_until(|| bench.answers());
    std::thread::sleep(Duration::from_secs(1));
    let idle = field(vm.id(), "VmRSS");
    println!("  QEMU with -m 512M, idle: {} MiB resident", idle / 1024);
}

fn field(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    let status = status.expect("it runs");
    let line = status.lines().find(|line| line.starts_with(name)).expect("the kernel says it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn least_memory(lab: &Lab) {
    for megabytes in [3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32] {
        let bench = Bench::new();
        let mut vm = bench.boot(lab, &format!("{megabytes}M"));
        let start = Instant::now();
        while !bench.answers() {
            if start.elapsed() > Duration::from_secs(5) || vm.ended() {
                break;
            }
        }
        if bench.answers() && failures(&wrk(bench.address, 16, 2)).is_empty() && !vm.ended() {
            println!("  {megabytes} MiB");
            return;
        }
    }
    println!("  more than 32 MiB");
}

fn rate(lab: &Lab) {
    let bench = Bench::new();
    let vm = bench.boot(lab, "128M");
    wait_until(|| bench.answers());
    for connections in [1, 16, 128] {
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            let said = wrk(bench.address, connections, 4);
            assert!(failures(&said).is_empty(), "{said}");
            rates.push(per_second(&said));
        }
        println!("  {connections} connections: {}", spread(&mut rates, "requests/s"));
    }
    drop(vm);
}

fn wrk(address: Ipv4Addr, connections: usize, seconds: u32) -> String {
    let url = format!("http://{address}/health");
    let [connections, duration] = [connections.to_string(), format!("{seconds}s")];
    run("wrk", &["-t", "1", "-c", &connections, "-d", &duration, "--timeout", "20s", &url])
}

/// The lines in which wrk complains.
fn failures(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("errors") || line.contains("Non-2xx")).collect()
}

fn per_second(said: &str) -> f64 {
    let line = said.lines().find(|line| line.starts_with("Requests/sec")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a rate")
}

fn wait_until(mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < lab::PATIENCE, "no answer in {:?}", lab::PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Median, least and most of some figures.
fn spread(figures: &mut [f64], unit: &str) -> String {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    let median = figures[figures.len() / 2];
    format!("{median:.0} {unit} (median of {}; {least:.0} to {most:.0})", figures.len())
}
