//! `cargo run -p build -- run`, and apps in repositories of their own.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;
use waitless_tests::lab::{
    Folder, Lab, Machine, PATIENCE, Running, UdpProbe, cargo, checkout, curl, in_parts,
    waitless_build,
};

/// As `make run` does it, on other ports.
pub fn user_network(_: &Lab) {
    let (http, https, udp) = (free_port(), free_port(), free_port());
    let ports = [http, https, udp].map(|port| port.to_string());
    let mut run = build(&[
        "run",
        "--platform",
        "qemu",
        "--net",
        "user",
        "--http-port",
        &ports[0],
        "--https-port",
        &ports[1],
        "--udp-port",
        &ports[2],
    ]);
    run.expect_output(&format!("http://localhost:{http}"), Duration::from_secs(180));
    crate::variants::expect_status(Ipv4Addr::LOCALHOST, http, "/health", 200);
    UdpProbe::to((Ipv4Addr::LOCALHOST, udp).into()).expect_echo(b"through the host");
    run.signal("INT");
    run.expect_end(PATIENCE);
}

pub fn new_app(lab: &Lab) {
    let folder = Folder::new("new");
    let app = folder.path().join("greeter");
    let mut new = build(&["new", app.to_str().expect("a text path")]);
    assert!(new.expect_end(Duration::from_secs(120)).success(), "{}", new.output());
    let mut offline = cargo(&app, &["build", "--release", "--target", "x86_64-waitless"]);
    // Beside the variants and as they are, so that little has to be built again.
    let target = lab.images.variants();
    in_parts(&mut offline);
    offline.env("CARGO_NET_OFFLINE", "true").env("CARGO_TARGET_DIR", &target);
    let output = offline.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the new app does not build:\n{errors}");
    assert!(!errors.contains("warning"), "it builds with warnings:\n{errors}");
    let image = target.join("x86_64-waitless/release/greeter");
    let port = free_port();
    let mut vm = Machine::new().on_user_network(&[("tcp", port, 80)]).boot(&image);
    vm.expect_http(Ipv4Addr::LOCALHOST, port);
    curl(&["--fail", &format!("http://127.0.0.1:{port}/")]);
}

/// `cargo run -p build -- ARGUMENTS`, running.
#[track_caller]
fn build(arguments: &[&str]) -> Running {
    Running::start(waitless_build(&checkout(), arguments))
}

/// A port of this machine that nobody uses now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
