//! The same graph as a process: on the host's sockets, and on a tap against the kernel's TCP.

use crate::runner::free_port;
use std::net::Ipv4Addr;
use waitless_tests::lab::{Arch, Dhcp, Lab, Native, PATIENCE, Tap, UdpProbe, curl, ping, run};

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
    UdpProbe::to((here, udp).into()).expect_echo(b"native");
    native.process.signal("INT");
    let status = native.process.expect_end(PATIENCE);
    assert!(status.success(), "SIGINT ends it cleanly: {status}\n{}", native.process.output());
}

pub fn on_a_tap(lab: &Lab) {
    let tap = Tap::named("waitless0");
    let dhcp = Dhcp::on(&tap, &[]);
    let program = lab.images.variant_with("native-tap", &[], "native-tap", Arch::X86_64);
    let mut native = Native::start(&program, &[]);
    let address = waitless_tests::lab::wait_for("an address by DHCP", PATIENCE, || {
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
