//! What a user changes in the manifest, and nothing else: tables added, keys changed.

use std::path::PathBuf;
use waitless_tests::lab::{
    Arch, Capture, Connection, Dhcp, Edit, Folder, Lab, Machine, Tap, UdpProbe, curl, ping, run,
    wait_for, with_ends,
};

pub fn static_address(lab: &Lab) {
    let tap = Tap::new();
    let address = tap.host(20);
    let table = format!("\n[ip4]\naddress = \"{address}/24\"\ngateway = \"{}\"\n", tap.address);
    let image = lab.images.variant("static", |manifest| insert_table(manifest, &table));
    let mut vm = Machine::new().usual_firmware().on(&tap).boot(&image);
    vm.expect_http(address, 80);
    ping(address, 2, 56);
}

/// The web server with tables added to its manifest.
pub fn tables(lab: &Lab) -> PathBuf {
    let tables = "\n[alternate]\nis = \"http1\"\non = \"tcp\"\nport = 8000\n\
                  \n[more]\nis = \"echo\"\non = \"udp\"\nport = 9\n\
                  \n[trace]\nis = \"pcap\"\nunder = \"eth\"\nshare = true\n\
                  \n[hidden]\nis = \"pcap\"\nunder = \"ip4\"\nfile = \"hidden.pcapng\"\n";
    lab.images.variant("tables", |manifest| {
        let both = manifest.replace("on = [\"http\", ", "on = [\"alternate\", \"http\", ");
        assert_ne!(both, manifest, "the manifest's `site` stands on http");
        insert_table(&both, &[tables, &crate::certificates::tables()].concat())
    })
}

pub fn added_tables(lab: &Lab) {
    let image = tables(lab);
    let tap = Tap::new();
    let mut capture = Capture::on(&tap);
    let _dhcp = Dhcp::on(&tap, &[]);
    let mut vm = Machine::new().on(&tap).boot(&image);
    let address = vm.expect_address(&tap);
    vm.expect_http(address, 80);
    vm.expect_http(address, 8000);
    for port in [7, 9] {
        UdpProbe::to((address, port).into()).expect_echo(b"two of them");
    }
    let graph = curl(&["--fail", &format!("http://{address}/graph")]);
    assert!(["alternate", "more", "trace"].iter().all(|name| graph.contains(name)), "{graph}");
    assert!(!capture.frames("tcp.port == 8000").is_empty());
    captures(address);
}

/// What the guest recorded is a file that tshark reads, where its table says so, and only there.
fn captures(address: std::net::Ipv4Addr) {
    let folder = Folder::new("captures");
    let file = folder.path().join("trace.pcapng");
    let text = file.to_str().expect("a text path");
    curl(&["--fail", "-o", text, &format!("http://{address}/capture/waitless.pcapng")]);
    let arp = run("tshark", &["-r", text, "-Y", "arp || dhcp"]);
    assert!(!arp.is_empty(), "nothing was recorded");
    expect_status(address, 80, "/capture/hidden.pcapng", 404);
    expect_status(address, 80, "/capture/%2e%2e", 400);
}

/// The web server with routes that end it.
pub fn ending(lab: &Lab, arch: Arch) -> PathBuf {
    let edit: Edit<'_> = ("apps/webserver/src/main.rs", &with_ends);
    lab.images.variant_with(&format!("ending-{arch:?}"), &[edit], "qemu", arch)
}

/// Puts tables of the app in front of the stacks'.
fn insert_table(manifest: &str, table: &str) -> String {
    let at = manifest.find("\n[stack.").expect("the manifest declares stacks");
    format!("{}{table}\n{}", &manifest[..at], &manifest[at..])
}

/// A connection that is answered, for tests that only have an address.
pub fn expect_status(address: std::net::Ipv4Addr, port: u16, path: &str, status: u16) {
    wait_for("an answer", waitless_tests::lab::PATIENCE, || {
        let mut connection = Connection::to(address, port);
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        (connection.answer()?.status == status).then_some(())
    });
}
