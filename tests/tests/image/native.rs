//! The same graph as a process: on the host's sockets, and on a tap against the kernel's TCP.

use crate::runner::free_port;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV6};
use waitless_tests::lab::{
    Arch, Capture, Dhcp, Lab, Native, PATIENCE, Tap, UdpProbe, curl, ping, run, wait_for,
};

pub fn host_sockets(lab: &Lab) {
    let (http, udp) = (free_port(), free_port());
    let ports = format!("80/tcp={http},7/udp={udp}");
    let mut native = Native::start(&lab.images.native("webserver"), &["--ports", &ports]);
    let here = Ipv4Addr::LOCALHOST;
    native.expect_http(here, http);
    let download = format!("http://{here}:{http}/download?bytes=3000000");
    assert_eq!(
        curl(&["--fail", "-o", "/dev/null", "-w", "%{size_download}", &download]),
        "3000000"
    );
    let echo =
        curl(&["--fail", "--data-binary", "there and back", &format!("http://{here}:{http}/echo")]);
    assert_eq!(echo, "there and back");
    files(&format!("http://{here}:{http}"));
    UdpProbe::to((here, udp).into()).expect_echo(b"native");
    native.process.signal("INT");
    let status = native.process.expect_end(PATIENCE);
    assert!(status.success(), "SIGINT ends it cleanly: {status}\n{}", native.process.output());
}

/// The files that are part of the image, as a client asks for them that knows HTTP.
fn files(site: &str) {
    let page = format!("{site}/static/index.html");
    let whole = curl(&["--fail", &page]);
    assert!(whole.starts_with("<!doctype html>"), "{whole}");
    assert_eq!(curl(&["--fail", "--compressed", &page]), whole, "its coding is undone");
    assert_eq!(curl(&["--fail", "--range", "2-8", &page]), whole[2..9]);
    let status = |field: &str| curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", field, &page]);
    let head = curl(&["--fail", "--head", &page]);
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a tag");
    assert_eq!(status(&format!("If-None-Match: {tag}")), "304");
    assert_eq!(status("If-Match: \"another\""), "412");
    assert_eq!(status("Range: bytes=1000000000-"), "416");
    assert_eq!(curl(&["--fail", &format!("{site}/events?count=1")]), "event: second\ndata: 1\n\n");
}

pub fn on_a_tap(lab: &Lab) {
    let tap = Tap::named("waitless0");
    let dhcp = Dhcp::on(&tap, &[]);
    let program = lab.images.variant_with("native-tap", &[], "native-tap", Arch::X86_64);
    let mut native = Native::start(&program, &[]);
    let address = wait_for("an address by DHCP", PATIENCE, || {
        let log = dhcp.log();
        (50..60)
            .map(|host| tap.host(host))
            .find(|it| log.contains(&format!("DHCPACK({}) {it} ", tap.name)))
    });
    native.expect_http(address, 80);
    ping(address, 3, 1400);
    let download = format!("http://{address}/download?bytes=20000000");
    let size = curl(&["--fail", "-o", "/dev/null", "-w", "%{size_download}", &download]);
    assert_eq!(size, "20000000");
    let url = format!("http://{address}/health");
    let said = run("wrk", &["-t", "1", "-c", "64", "-d", "2s", "--timeout", "20s", &url]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    native.process.signal("TERM");
    assert!(native.process.expect_end(PATIENCE).success(), "{}", native.process.output());
}

/// Against the kernel's IPv6 and dnsmasq as a router: addresses made of what it advertises, and
/// every protocol over them.
pub fn over_ipv6(lab: &Lab) {
    let tap = Tap::named("waitless0");
    tap.turn_on_ipv6();
    let mut capture = Capture::on(&tap);
    let range = format!("--dhcp-range={},ra-only,64,1h", tap.host_v6(0));
    let _dnsmasq = Dhcp::on(&tap, &["--enable-ra", &range]);
    let dual = |manifest: &str| {
        let dual = manifest.replace("stacks = [\"tcp\"]  ", "stacks = [\"dual\"] ");
        assert_ne!(dual, manifest, "the manifest's stack is called otherwise now");
        dual
    };
    let program =
        lab.images.variant_with("dual", &[("waitless.toml", &dual)], "native-tap", Arch::X86_64);
    let mut native = Native::start(&program, &[]);
    let mut address_in = |network: u16| {
        wait_for("an address", PATIENCE, || {
            let ended = native.process.status();
            assert!(ended.is_none(), "it ended ({ended:?}):\n{}", native.process.output());
            let output = native.process.output();
            let words = output.split([' ', '\n']).filter_map(|word| word.strip_suffix("/64"));
            let addresses = words.filter_map(|word| word.parse::<Ipv6Addr>().ok());
            addresses.into_iter().find(|it| it.segments()[0] == network)
        })
    };
    let (local, global) = (address_in(0xfe80), address_in(0xfd77));
    for address in [global.to_string(), format!("{local}%{}", tap.name)] {
        ping(&address, 3, 1400);
        let url = format!("http://[{address}]");
        assert_eq!(curl(&["-g", "--fail", &format!("{url}/health")]), "{\"status\":\"ok\"}");
        let download = format!("{url}/download?bytes=20000000");
        let size = curl(&["-g", "--fail", "-o", "/dev/null", "-w", "%{size_download}", &download]);
        assert_eq!(size, "20000000");
        let url = format!("{url}/echo");
        let echo = curl(&["-g", "--fail", "--data-binary", "there and back", &url]);
        assert_eq!(echo, "there and back");
    }
    let echo = SocketAddrV6::new(global, 7, 0, 0);
    UdpProbe::to(echo.into()).expect_echo(&[7; 1400]);
    ping(global, 2, 1452);
    native.process.signal("TERM");
    assert!(native.process.expect_end(PATIENCE).success(), "{}", native.process.output());
    let station = capture.frames("icmpv6.type == 136").len();
    assert!(station > 0, "the kernel's questions were answered");
    let ours = format!("(ipv6.src == {global} || ipv6.src == {local})");
    assert!(capture.frames(&ours).len() > 200, "the capture has what it sent");
    let wrong = [
        "_ws.malformed".to_owned(),
        format!("{ours} && (tcp.checksum.status == 0 || udp.checksum.status == 0)"),
        format!("{ours} && icmpv6.checksum.status == 0"),
        format!("{ours} && (tcp.analysis.retransmission || tcp.flags.reset == 1)"),
        format!("{ours} && ipv6.fragment"),
    ];
    for filter in wrong {
        let frames = capture.frames(&filter);
        assert!(frames.is_empty(), "{filter}:\n{}", frames.join("\n"));
    }
}
