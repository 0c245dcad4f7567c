//! What a user asks of a running image.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use waitless_tests::lab::{
    Capture, Connection, Dhcp, Folder, Lab, Machine, Tap, UdpProbe, Vm, curl, ping,
};

/// An image on a tap, with an address.
pub struct Served {
    pub vm: Vm,
    pub address: Ipv4Addr,
    pub dhcp: Dhcp,
    pub tap: Tap,
}

impl Served {
    /// Boots the app `name` on `machine` and waits until it serves.
    #[track_caller]
    pub fn boot(lab: &Lab, name: &str, machine: Machine) -> Self {
        let tap = Tap::new();
        let dhcp = Dhcp::on(&tap, &[]);
        Self::boot_on(lab, name, machine, tap, dhcp)
    }

    /// The same on a tap with `queues` queues.
    #[track_caller]
    pub fn boot_with_queues(lab: &Lab, name: &str, machine: Machine, queues: usize) -> Self {
        let tap = Tap::with_queues();
        let dhcp = Dhcp::on(&tap, &[]);
        Self::boot_on(lab, name, machine.queues(queues), tap, dhcp)
    }

    /// Boots the image in the file `image`.
    #[track_caller]
    pub fn boot_image(image: &Path, machine: Machine) -> Self {
        let tap = Tap::new();
        let dhcp = Dhcp::on(&tap, &[]);
        Self::start(image, machine, tap, dhcp)
    }

    #[track_caller]
    fn boot_on(lab: &Lab, name: &str, machine: Machine, tap: Tap, dhcp: Dhcp) -> Self {
        Self::start(&lab.images.image_for(name, machine.arch()), machine, tap, dhcp)
    }

    #[track_caller]
    fn start(image: &Path, machine: Machine, tap: Tap, dhcp: Dhcp) -> Self {
        let mut vm = machine.on(&tap).boot(image);
        let address = vm.expect_address(&tap);
        vm.expect_http(address, 80);
        Self { vm, address, dhcp, tap }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

pub fn every_route(lab: &Lab) {
    every_route_of(Served::boot(lab, "webserver", Machine::new()));
}

/// The same on Arm.
pub fn every_route_on_arm(lab: &Lab) {
    every_route_of(Served::boot(lab, "webserver", Machine::new().virt()));
}

fn every_route_of(mut served: Served) {
    assert!(served.dhcp.log().contains("DHCPACK"), "{}", served.dhcp.log());
    ping(served.address, 5, 56);
    ping(served.address, 3, 1400);
    json_routes(&served);
    let page = curl(&["-D", "-", &served.url("/")]);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/html"), "{page}");
    let metrics = curl(&[&served.url("/metrics")]);
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains("# TYPE") && metrics.contains("tcp"), "{metrics}");
    let missing = curl(&["-o", "/dev/null", "-w", "%{http_code}", &served.url("/no/such/page")]);
    assert_eq!(missing, "404");
    bodies(&served);
    UdpProbe::to((served.address, 7).into()).expect_echo(&[0x5a; 1400]);
    UdpProbe::to((served.address, 7).into()).expect_echo(b"");
    served.vm.assert_alive();
}

fn json_routes(served: &Served) {
    for path in ["/health", "/graph", "/compute?n=20"] {
        let answer = curl(&["--fail", &served.url(path)]);
        let json: Result<serde_json::Value, _> = serde_json::from_str(&answer);
        assert!(json.is_ok(), "{path} is no JSON: {answer}");
    }
    let head = curl(&["--head", &served.url("/health")]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-length:"), "{head}");
}

/// Big bodies, both ways.
fn bodies(served: &Served) {
    let folder = Folder::new("bodies");
    let [sent, came, again] = ["sent", "came", "again"].map(|name| folder.path().join(name));
    let text = |path: &std::path::Path| path.to_str().expect("a text path").to_owned();
    let download = served.url("/download?bytes=5000000");
    curl(&["--fail", "-o", &text(&came), &download]);
    curl(&["--fail", "-o", &text(&again), &download]);
    let first = fs::read(&came).expect("what was downloaded");
    assert_eq!(first.len(), 5_000_000);
    assert!(first == fs::read(&again).expect("the second download"), "two downloads differ");
    let body: Vec<u8> =
        (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&sent, &body).expect("a file");
    let data = format!("@{}", text(&sent));
    curl(&["--fail", "-o", &text(&came), "--data-binary", &data, &served.url("/echo")]);
    assert!(body == fs::read(&came).expect("the echo"), "the echo differs");
    let chunked = ["-H", "Transfer-Encoding: chunked", "-o", &text(&came), "--data-binary", &data];
    curl(&[&["--fail"][..], &chunked, &[&served.url("/echo")]].concat());
    assert!(body == fs::read(&came).expect("the echo"), "the chunked echo differs");
}

/// Without offloads every byte on the wire is the image's own.
pub fn referee(lab: &Lab) {
    referee_of(lab, Machine::new());
}

/// The same on Arm.
pub fn referee_on_arm(lab: &Lab) {
    referee_of(lab, Machine::new().virt());
}

fn referee_of(lab: &Lab, machine: Machine) {
    let (tap, plain) = (Tap::new(), machine.card("csum=off,guest_csum=off,event_idx=on"));
    let mut capture = Capture::on(&tap);
    let dhcp = Dhcp::on(&tap, &[]);
    let served = Served::boot_on(lab, "webserver", plain, tap, dhcp);
    ping(served.address, 3, 56);
    for path in ["/", "/health", "/metrics", "/download?bytes=300000"] {
        curl(&["--fail", "-o", "/dev/null", &served.url(path)]);
    }
    curl(&[
        "--fail",
        "-o",
        "/dev/null",
        "--data-binary",
        &"x".repeat(50_000),
        &served.url("/echo"),
    ]);
    UdpProbe::to((served.address, 7).into()).expect_echo(&[7; 1000]);
    let address = served.address;
    let (vm, tap) = (served.vm, served.tap);
    let ours = format!("ip.src == {address}");
    assert!(capture.frames(&ours).len() > 200, "the capture has what the image sent");
    let wrong = [
        "_ws.malformed".to_owned(),
        format!("{ours} && (ip.checksum.status == 0 || tcp.checksum.status == 0)"),
        format!("{ours} && (udp.checksum.status == 0 || icmp.checksum.status == 0)"),
        format!("{ours} && tcp.analysis.retransmission"),
        format!("{ours} && tcp.analysis.zero_window"),
        format!("{ours} && tcp.flags.reset == 1"),
        "arp.duplicate-address-detected".to_owned(),
    ];
    for filter in wrong {
        let frames = capture.frames(&filter);
        assert!(frames.is_empty(), "{filter}:\n{}\n{}", frames.join("\n"), vm.console());
    }
    drop(tap);
}

pub fn keep_alive_and_pipelining(lab: &Lab) {
    let served = Served::boot(lab, "webserver", Machine::new());
    let mut connection = Connection::to(served.address, 80);
    for _ in 0..50 {
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(connection.answer().map(|answer| answer.status), Some(200));
    }
    let mut pipeline = Vec::new();
    for n in 0..20 {
        pipeline.extend(format!("GET /compute?n={n} HTTP/1.1\r\nHost: x\r\n\r\n").bytes());
    }
    connection.send(&pipeline);
    let answers: Vec<_> = (0..20).map(|_| connection.answer().expect("an answer")).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    let mut one_by_one = Connection::to(served.address, 80);
    for (n, answer) in answers.iter().enumerate() {
        one_by_one.send(format!("GET /compute?n={n} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(one_by_one.answer().expect("an answer").body, answer.body, "out of order");
    }
    // A request in pieces of one byte.
    for byte in b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        connection.send(&[*byte]);
    }
    let answer = connection.answer_to("HEAD").expect("an answer");
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(connection.ends(waitless_tests::lab::PATIENCE), "it was asked to close");
}

pub fn hello(lab: &Lab) {
    let served = Served::boot(lab, "hello", Machine::new());
    assert_eq!(curl(&["--fail", &served.url("/hello/you")]), "Hello, you!\n");
}
