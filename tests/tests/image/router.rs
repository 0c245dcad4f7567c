//! The router as a process between real hosts: the network outside is the laboratory's own, and
//! inside and far away are namespaces with a kernel's stack each.

use std::fs;
use std::path::Path;
use std::process::Command;
use waitless_tests::lab::{
    Capture, Dhcp, Folder, Lab, Native, PATIENCE, Running, Side, Tap, curl, frames_of, ping, run,
    run_in, wait_for,
};

/// The host inside, and the router's addresses there.
const INSIDE: &str = "192.168.77.10";
const GATEWAY: &str = "192.168.77.1";
/// A host behind a router outside, over a link that takes less.
const FAR: &str = "203.0.113.5";

/// The router with all around it.
struct Network {
    router: Native,
    wan: Tap,
    outside: Capture,
    inside: Side,
    far: Side,
    servers: [Running; 2],
    /// A capture inside, and where it is kept.
    capture: Running,
    folder: Folder,
    /// The router's address outside.
    address: String,
    _dhcp: Dhcp,
    _forwarding: Forwarding,
    _second: Second,
}

/// The router's second tap. It goes with the namespace that it is moved to; who fails before that
/// takes it away here.
struct Second;

impl Second {
    const NAME: &str = "waitless1";

    #[track_caller]
    fn new() -> Self {
        run("ip", &["tuntap", "add", "dev", Self::NAME, "mode", "tap"]);
        Self
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // There is none to delete, as a rule.
        let _ = Command::new("ip").args(["link", "delete", Self::NAME]).output();
    }
}

/// This machine's kernel forwards between its networks, until this is dropped.
struct Forwarding {
    before: String,
}

impl Forwarding {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";

    #[track_caller]
    fn on() -> Self {
        let before = fs::read_to_string(Self::SWITCH).expect("a kernel with IPv4");
        fs::write(Self::SWITCH, "1").expect("a kernel that forwards");
        Self { before }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        // Not being able to set it back is no reason to panic while another panic goes on.
        let _ = fs::write(Self::SWITCH, &self.before);
    }
}

impl Network {
    #[track_caller]
    fn new(lab: &Lab) -> Self {
        let wan = Tap::named("waitless0");
        let _second = Second::new();
        let dhcp = Dhcp::on(&wan, &[]);
        let outside = Capture::on(&wan);
        // A link from the laboratory to far away that takes packets of 1280 bytes.
        let _forwarding = Forwarding::on();
        let link = ["link", "add", "near", "mtu", "1280", "type", "veth", "peer"];
        run("ip", &[&link[..], &["name", "far", "mtu", "1280"]].concat());
        run("ip", &["address", "add", "203.0.113.1/24", "dev", "near"]);
        run("ip", &["link", "set", "near", "up"]);
        let far = Side::with("far", FAR, "203.0.113.1");
        // It says that it takes longer ones, so that senders have to find out.
        let route = ["route", "change", "default", "via", "203.0.113.1", "advmss", "1460"];
        far.run("ip", &route);
        let mut router = Native::start(&lab.images.native("router"), &[]);
        router.process.expect_output("on waitless1", PATIENCE);
        let inside = Side::with("waitless1", INSIDE, GATEWAY);
        let address = wait_for("an address by DHCP", PATIENCE, || {
            let log = dhcp.log();
            let acknowledged =
                |host: &u8| log.contains(&format!("DHCPACK({}) {} ", wan.name, wan.host(*host)));
            (50..60).find(acknowledged).map(|host| wan.host(host).to_string())
        });
        let folder = Folder::new("inside");
        let file = folder.path().join("wire.pcap");
        let file = file.to_str().expect("a text path");
        let mut capture = inside.start("dumpcap", &["-q", "-P", "-i", "waitless1", "-w", file]);
        capture.expect_output("File:", PATIENCE);
        let servers = [far.serve(lab), inside.serve(lab)];
        let _dhcp = dhcp;
        Self {
            router,
            wan,
            outside,
            inside,
            far,
            servers,
            capture,
            folder,
            address,
            _dhcp,
            _forwarding,
            _second,
        }
    }

    /// Ends it, and looks at what was on both wires.
    #[track_caller]
    fn judge(mut self) {
        for server in &self.servers {
            server.signal("TERM");
        }
        self.router.process.signal("TERM");
        let status = self.router.process.expect_end(PATIENCE);
        assert!(status.success(), "{}", self.router.process.output());
        self.capture.signal("INT");
        self.capture.expect_end(PATIENCE);
        let file = self.folder.path().join("wire.pcap");
        // An error quotes no more than a part, which has the sum of the whole.
        let wrong = "(_ws.malformed && !tcp) || ip.checksum.status == 0 || \
                     icmp.checksum.status == 0 || \
                     (!icmp && (tcp.checksum.status == 0 || udp.checksum.status == 0))";
        let expected = ["tcp", "udp", "icmp"];
        for protocol in expected {
            assert!(!frames_of(&file, protocol, self.folder.path()).is_empty(), "{protocol}");
            assert!(!self.outside.frames(protocol).is_empty(), "{protocol}");
        }
        assert_eq!(frames_of(&file, wrong, self.folder.path()), [""; 0], "inside");
        assert_eq!(self.outside.frames(wrong), [""; 0], "outside");
        // Neither as a source nor in what an error quotes.
        assert_eq!(self.outside.frames("ip.src == 192.168.77.0/24"), [""; 0], "seen outside");
    }
}

pub fn between_two_networks(lab: &Lab) {
    let network = Network::new(lab);
    let (inside, far, router) = (&network.inside, &network.far, network.address.as_str());
    // Who is inside reaches the router, its page, and everything behind it.
    assert!(inside.curl(&[&format!("http://{GATEWAY}/")]).contains("<h1>Router</h1>"));
    inside.run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "5", "-s", "1200", FAR]);
    let site = format!("http://{FAR}:8080");
    assert_eq!(inside.curl(&[&format!("{site}/health")]), "{\"status\":\"ok\"}");
    let download = format!("{site}/download?bytes=3000000");
    let size = inside.curl(&["-o", "/dev/null", "-w", "%{size_download}", &download]);
    assert_eq!(size, "3000000");
    assert_eq!(datagram(inside, FAR), "datagram");
    hops(inside, &network.wan);
    path_mtu(inside, &site);
    // From outside, the port that is forwarded, pings of the router, and nothing else.
    let forwarded = format!("http://{router}:8080/health");
    assert_eq!(curl(&["--fail", &forwarded]), "{\"status\":\"ok\"}");
    assert_eq!(far.curl(&[&forwarded]), "{\"status\":\"ok\"}");
    assert_eq!(inside.curl(&[&forwarded]), "{\"status\":\"ok\"}", "turned back");
    ping(router, 2, 56);
    run("ip", &["route", "add", "192.168.77.0/24", "via", router]);
    for url in [format!("http://{router}/"), format!("http://{INSIDE}:8080/health")] {
        let refused = ["--silent", "--max-time", "2", &url];
        assert!(!run_in(Path::new("."), "curl", &refused, b"").status.success(), "{url}");
    }
    let metrics = inside.curl(&[&format!("http://{GATEWAY}/metrics")]);
    for (counter, least) in [
        ("waitless_nat44_translated_out_packets_total{instance=\"nat\"}", 100),
        ("waitless_nat44_hairpinned_packets_total{instance=\"nat\"}", 4),
        ("waitless_nat44_errors_messages_total{instance=\"nat\"}", 2),
        ("waitless_nat44_foreign_packets_total{instance=\"nat\"}", 1),
        ("waitless_firewall_dropped_in_policy_packets_total{instance=\"wall\"}", 1),
        ("waitless_forward_expired_packets_total{instance=\"forward\"}", 1),
    ] {
        let line = metrics.lines().find_map(|line| line.strip_prefix(counter));
        let value: u64 = line.and_then(|value| value.trim().parse().ok()).expect(counter);
        assert!(value >= least, "{counter} {value}");
    }
    network.judge();
}

/// What the echo far away says to a datagram.
#[track_caller]
fn datagram(from: &Side, to: &str) -> String {
    let words =
        format!("exec 3<>/dev/udp/{to}/7007; printf datagram >&3; timeout 20 head -c 8 <&3");
    from.run("bash", &["-c", &words])
}

/// The routers on the way to far away say that a packet's time is over: this one, and the one
/// behind it, whose error is translated.
#[track_caller]
fn hops(inside: &Side, wan: &Tap) {
    for (ttl, router) in [("1", GATEWAY.to_owned()), ("2", wan.address.to_string())] {
        let (_, said) = inside.try_run("ping", &["-n", "-c", "1", "-W", "10", "-t", ttl, FAR]);
        let expected = format!("From {router}");
        assert!(said.contains(&expected) && said.contains("Time to live exceeded"), "{said}");
    }
}

/// What is sent far away is too long for the last link at first, and the host inside learns that.
#[track_caller]
fn path_mtu(inside: &Side, site: &str) {
    let body = "x".repeat(100_000);
    let folder = Folder::new("body");
    let file = folder.path().join("body");
    fs::write(&file, &body).expect("a file");
    let data = format!("@{}", file.display());
    let echoed = inside.curl(&["--data-binary", &data, &format!("{site}/echo")]);
    assert!(echoed == body, "{} bytes came back", echoed.len());
    let route = inside.run("ip", &["route", "get", FAR]);
    assert!(route.contains("mtu 1280"), "{route}");
}
