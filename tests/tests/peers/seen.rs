//! What of TLS others are shown on purpose: an issuer's word on the certificate, and a capture with
//! the connections' secrets.

use crate::host::on;
use crate::scanners::{PORT, certificate};
use std::fs;
use std::time::Duration;
use waitless_tests::lab::{Folder, Lab, Tap, run};
use waitless_tests::live::Live;

/// What `pcap` has recorded is read by tshark, down to HTTP, without anything beside it.
pub fn a_capture_with_secrets(_: &Lab) {
    let (tap, folder) = (Tap::new(), Folder::new("seen"));
    let address = tap.host(2);
    let mut host = on(&tap, Some(address));
    host.run_for(Duration::from_millis(500));
    let (trust, there) = (certificate().display().to_string(), format!("localhost:{PORT}"));
    let url = format!("https://{there}/hello?secret=1");
    let to = format!("{there}:{address}");
    let arguments = ["-sS", "--fail", "--cacert", &trust, "--resolve", &to, &url];
    assert_eq!(host.during(|| run("curl", &arguments)), "hello");
    let mut file = Vec::new();
    let capture = host.cx.system().capture(0).expect("the graph has a pcap");
    file.extend_from_slice(capture.head());
    capture.drain(|records| file.extend_from_slice(records));
    let path = folder.path().join("seen.pcapng");
    fs::write(&path, file).expect("a file");
    let read = |filter: &str| {
        let path = path.display().to_string();
        let decoded = format!("tcp.port=={PORT},tls");
        run("tshark", &["-n", "-r", &path, "-d", &decoded, "-Y", filter])
    };
    assert!(read("http.request.uri == \"/hello?secret=1\"").contains("GET"), "the request is read");
    assert!(read("http.response.code == 200").contains("200 OK"), "and the response");
    // And all that is encrypted before them.
    for message in [8, 11, 15, 20, 4] {
        let found = read(&format!("tls.handshake.type == {message}"));
        assert!(!found.is_empty(), "no handshake message of the type {message}");
    }
    assert_eq!(read("_ws.malformed"), "");
}
