//! Several cores: each serves, each flow stays on its own, and nothing is lost between them.

use crate::serve::Served;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use waitless::cores::{Cores, flow};
use waitless_tests::lab::{
    Connection, Dhcp, Folder, Lab, Machine, Tap, UdpProbe, Vm, curl, free_packets, ping, run,
    value, wait_for,
};

/// A wake-up that was lost is made good by the next deadline of somebody, which is further off.
const WAKE_UP_MAX: Duration = Duration::from_secs(2);

pub fn one_queue(lab: &Lab) {
    let mut served = Served::boot(lab, "webserver", Machine::new().cores(4));
    served.vm.expect("1 of 4 cores have a queue pair");
    let crossed = everything(&mut served, 4);
    assert!(crossed.steered > 100 && crossed.handed_down > 100, "{crossed:?}");
    idle(&served);
}

/// The same on Arm, with a queue pair for each core.
pub fn on_arm(lab: &Lab) {
    let machine = Machine::new().virt().cores(2).card("mq=on,vectors=6");
    let mut served = Served::boot_with_queues(lab, "webserver", machine, 2);
    served.vm.expect("2 of 2 cores have a queue pair");
    everything(&mut served, 2);
    idle(&served);
}

pub fn fewer_queues(lab: &Lab) {
    let machine = Machine::new().cores(4).card("mq=on,vectors=6");
    let mut served = Served::boot_with_queues(lab, "webserver", machine, 2);
    served.vm.expect("2 of 4 cores have a queue pair");
    let crossed = everything(&mut served, 4);
    assert!(crossed.steered > 0 && crossed.handed_down > 0, "{crossed:?}");
}

pub fn more_queues(lab: &Lab) {
    let machine = Machine::new().cores(2).card("mq=on,vectors=10");
    let mut served = Served::boot_with_queues(lab, "webserver", machine, 4);
    served.vm.expect("2 of 2 cores have a queue pair");
    let crossed = everything(&mut served, 2);
    assert_eq!(crossed.handed_down, 0, "each core sends for itself");
}

/// A device that spreads flows as the cores do brings each frame to where it belongs.
pub fn receive_side_scaling(lab: &Lab) {
    let machine = Machine::new().cores(2).card("mq=on,vectors=6,rss=on");
    let mut served = Served::boot_with_queues(lab, "webserver", machine, 2);
    served.vm.expect("2 of 2 cores have a queue pair");
    let before = Crossed::of(&served);
    load(&mut served, 2);
    let after = Crossed::of(&served);
    assert_eq!(before.steered, after.steered, "no frame of a flow went to the wrong core");
}

/// What went from core to core.
#[derive(Debug)]
struct Crossed {
    steered: u64,
    handed_down: u64,
}

impl Crossed {
    fn of(served: &Served) -> Self {
        let text = metrics(served);
        Self {
            steered: value(&text, "waitless_virtio_net_steered_frames_total{"),
            handed_down: value(&text, "waitless_virtio_net_handed_down_frames_total{"),
        }
    }
}

/// All that must hold however queues and cores are matched; gives what crossed.
fn everything(served: &mut Served, cores: usize) -> Crossed {
    ping(served.address, 5, 56);
    ping(served.address, 3, 1400);
    for _ in 0..4 * cores {
        // Each has a source port of its own, so that all cores are asked.
        UdpProbe::to((served.address, 7).into()).expect_echo(&[0x5a; 1400]);
    }
    let rest = at_rest(served);
    load(served, cores);
    each_core_serves(served, cores);
    wakes_up(served);
    // What is open holds packets; what is closed gives them back.
    wait_for("all packets in their pools", Duration::from_secs(60), || {
        (at_rest(served).abs_diff(rest) <= SLACK * cores as u64).then_some(())
    });
    let console = served.vm.console();
    assert!(!console.contains("panic") && !console.contains("exception"), "{console}");
    Crossed::of(served)
}

/// The connection that asks for the numbers has packets itself, and rings lag behind.
pub const SLACK: u64 = 8;

/// Packets that are free or wait for frames, of all cores.
pub fn at_rest(served: &Served) -> u64 {
    free_packets(&metrics(served))
}

fn metrics(served: &Served) -> String {
    curl(&["--fail", &format!("http://{}/metrics", served.address)])
}

fn load(served: &mut Served, cores: usize) {
    let url = format!("http://{}/health", served.address);
    for connections in ["4", "64"] {
        let said =
            run("wrk", &["-t", "1", "-c", connections, "-d", "3s", "--timeout", "30s", &url]);
        let summary = said.lines().find(|line| line.starts_with("Requests/sec"));
        println!("  {cores} cores, {connections} connections: {}", summary.unwrap_or_default());
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
        served.vm.assert_alive();
    }
}

/// A connection whose flow belongs to `core`.
fn connection_to(address: Ipv4Addr, own: Ipv4Addr, core: usize, cores: &Cores) -> Connection {
    // Each attempt has another port; to miss so often is next to impossible.
    let attempts = (0..1_000).map(|_| Connection::to(address, 80));
    let home = |connection: &Connection| {
        let port = connection.local_port();
        cores.home(flow::flow(IpAddr::V4(own), port, IpAddr::V4(address), 80))
    };
    let mut found = attempts.filter(|connection| home(connection) == core);
    found.next().unwrap_or_else(|| panic!("no port leads to core {core}"))
}

/// Asks each core for something, by the flow that belongs to it.
fn each_core_serves(served: &mut Served, count: usize) {
    let cores = Cores::new(count);
    for core in 0..count {
        let mut connection = connection_to(served.address, served.tap.address, core, &cores);
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert!(connection.answer().is_some(), "core {core} does not answer");
    }
}

/// Single requests after pauses of all lengths: whoever sleeps is woken each time.
fn wakes_up(served: &mut Served) {
    let mut kept = Connection::to(served.address, 80);
    let mut slowest = Duration::ZERO;
    for number in 0..REQUESTS {
        // From none to 4 ms, in no order.
        std::thread::sleep(Duration::from_micros(number * 7_919 % 4_000));
        let start = Instant::now();
        if number % 8 == 0 {
            kept = Connection::to(served.address, 80);
        }
        kept.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(kept.answer().is_some(), "no answer to request {number}");
        slowest = slowest.max(start.elapsed());
    }
    println!("  slowest of {REQUESTS} requests after pauses: {slowest:?}");
    assert!(slowest < WAKE_UP_MAX, "a wake-up was lost: {slowest:?}");
}

const REQUESTS: u64 = 2_000;

/// With connections open and nothing to do, a machine uses next to no time.
fn idle(served: &Served) {
    let open: Vec<_> = (0..16).map(|_| Connection::to(served.address, 80)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let ticks = || {
        let path = format!("/proc/{}/stat", served.vm.id());
        let stat = std::fs::read_to_string(path).expect("the emulator runs");
        // Behind the name, which is in brackets: user and system time are fields 14 and 15.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    let (before, start) = (ticks(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    // A tick is 10 ms.
    let share = (ticks() - before) as f64 / (start.elapsed().as_secs_f64() * 100.0);
    println!("  idle with {} connections: {:.1} % of a host's core", open.len(), share * 100.0);
    assert!(share < 0.05, "not idle: {share}");
}

/// A handler that panics on the second core ends the machine, and says which core it was; a core
/// that is in an endless loop is stopped, too.
pub fn panic_on_another(lab: &Lab) {
    panics_on_another(lab, &[Machine::new()]);
}

/// The same on Arm, with either interrupt controller.
pub fn panic_on_another_on_arm(lab: &Lab) {
    panics_on_another(lab, &[Machine::new().virt(), Machine::new().older_virt()]);
}

fn panics_on_another(lab: &Lab, machines: &[Machine]) {
    for machine in machines {
        let (mut vm, address, tap) = boot_ending(lab, machine.clone().cores(4));
        let cores = Cores::new(4);
        let mut hung = connection_to(address, tap.address, 2, &cores);
        let mut connection = connection_to(address, tap.address, 1, &cores);
        hung.send(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n");
        std::thread::sleep(Duration::from_millis(500));
        connection.send(b"GET /panic HTTP/1.1\r\nHost: x\r\n\r\n");
        let status = vm.expect_end();
        let console = vm.console();
        assert_eq!(status.code(), Some(3), "QEMU's status for an image that panicked:\n{console}");
        assert!(console.contains("panic: on request"), "{console}");
        assert!(console.contains("on core 1 of 4; all are stopped"), "{console}");
        let addresses = console.lines().filter(|line| line.trim().starts_with("at 0x")).count();
        assert!(addresses >= 2, "no backtrace:\n{console}");
    }
}

/// An image that is asked to end does, on all its cores, with every packet back.
pub fn end_on_request(lab: &Lab) {
    ends_on_request(lab, Machine::new(), 4);
}

/// The same on Arm.
pub fn end_on_request_on_arm(lab: &Lab) {
    ends_on_request(lab, Machine::new().virt(), 2);
}

fn ends_on_request(lab: &Lab, machine: Machine, count: usize) {
    let (mut vm, address, tap) = boot_ending(lab, machine.cores(count));
    // Clients that are still there, with much on its way to them.
    let clients = (0..count).map(|core| {
        let mut client = connection_to(address, tap.address, core, &Cores::new(count));
        client.send(b"GET /download?bytes=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
        client
    });
    let _clients: Vec<_> = clients.collect();
    shut_down(&mut vm, address, count);
}

/// Asks an image with such a route to end; it does, and each of its `count` cores has every packet
/// back.
pub fn shut_down(vm: &mut Vm, address: Ipv4Addr, count: usize) {
    let mut connection = Connection::to(address, 80);
    connection.send(b"GET /shutdown HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.answer().map(|answer| answer.text()).as_deref(), Some("bye"));
    expect_whole_end(vm, count);
}

/// Whoever runs the machine presses its power button.
pub fn power_button(lab: &Lab) {
    ends_by_its_button(lab, Machine::new(), 2);
}

/// The same on Arm.
pub fn power_button_on_arm(lab: &Lab) {
    ends_by_its_button(lab, Machine::new().virt(), 1);
}

fn ends_by_its_button(lab: &Lab, machine: Machine, count: usize) {
    let folder = Folder::new("monitor");
    let monitor = folder.path().join("monitor");
    let chardev = format!("unix:{},server=on,wait=off", monitor.display());
    let machine = machine.cores(count).arguments(&["-monitor", &chardev]);
    let mut served = Served::boot(lab, "webserver", machine);
    let mut client = Connection::to(served.address, 80);
    client.send(b"GET /download?bytes=100000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut monitor = UnixStream::connect(&monitor).expect("QEMU's monitor");
    monitor.write_all(b"system_powerdown\n").expect("it is told");
    expect_whole_end(&mut served.vm, count);
    assert!(served.vm.console().contains("the power button was pressed"));
}

/// The machine is switched off, and each core says that nothing is missing.
#[track_caller]
fn expect_whole_end(vm: &mut Vm, count: usize) {
    let status = vm.expect_end();
    let console = vm.console();
    assert_eq!(status.code(), Some(0), "{console}");
    for core in 0..count {
        let line = format!("core {core} ended; all ");
        let back = console.lines().any(|it| it.contains(&line) && it.contains("are back"));
        assert!(back, "core {core}:\n{console}");
    }
}

/// The image with routes that end it, on `machine`.
fn boot_ending(lab: &Lab, machine: Machine) -> (Vm, Ipv4Addr, Tap) {
    let image = crate::variants::ending(lab, machine.arch());
    let tap = Tap::new();
    let _dhcp = Dhcp::on(&tap, &[]);
    let mut vm = machine.on(&tap).boot(&image);
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 80);
    (vm, address, tap)
}
