//! A certificate is replaced in an image that is under load: with the tables that docs/tls.md
//! shows, by curl, as OpenSSL and wrk see it.

use crate::runner::free_port;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use waitless_tests::lab::{Folder, Lab, Machine, PATIENCE, Running, checkout, curl, run, run_in};

const TOKEN: &str = "a token that only this test has";

/// The tables that the document shows, with the test's token.
pub fn tables() -> String {
    let page = fs::read_to_string(checkout().join("docs/tls.md")).expect("the document");
    let (_, section) = page.split_once("\n## Replacing a certificate\n").expect("the section");
    let (_, block) = section.split_once("\n```toml\n").expect("tables");
    let (block, _) = block.split_once("\n```").expect("their end");
    let key = "token-sha256 = \"";
    let (before, hash) = block.split_once(key).expect("a token");
    let sum = run_in(Path::new("."), "sha256sum", &[], TOKEN.as_bytes()).output;
    let (sum, after) = (sum.get(..64).expect("64 digits"), hash.get(64..).expect("a hash"));
    format!("\n{before}{key}{sum}{after}\n")
}

/// A machine with two cores, and how it is reached.
struct Site {
    https: u16,
    management: u16,
    trust: String,
    folder: Folder,
}

pub fn replaced_under_load(lab: &Lab) {
    let image = crate::variants::tables(lab);
    let [http, https, management] = [(); 3].map(|()| free_port());
    let forwards = [("tcp", http, 80), ("tcp", https, 443), ("tcp", management, 9443)];
    let mut vm = Machine::new().cores(2).on_user_network(&forwards).boot(&image);
    vm.expect_http(Ipv4Addr::LOCALHOST, http);
    let trust = checkout().join("certs/development.pem").display().to_string();
    let site = Site { https, management, trust, folder: Folder::new("certificates") };
    let before = site.serials();
    assert_eq!(before.len(), 1, "one certificate: {before:?}");
    let mut load = Command::new("wrk");
    let url = format!("https://localhost:{https}/health");
    load.args(["-t1", "-c16", "-d10m", "--timeout", "60s", &url]);
    let mut load = Running::start(load);
    site.refusals();
    let mut known = before;
    for number in 1..=3 {
        let (file, serial) = site.renewed(number);
        let said = site.put("localhost", &file, TOKEN);
        assert!(said.starts_with("200 ") && said.contains(&serial), "{said}");
        // Each of them is a connection of its own, at the core that its port leads to.
        assert_eq!(site.serials(), [&*serial], "after {known:?}");
        known = vec![serial];
    }
    assert!(load.status().is_none(), "the load was on until the end");
    load.signal("INT");
    assert!(load.expect_end(PATIENCE).success());
    let said = load.output();
    let served = said.contains("Requests/sec") && !said.contains("errors");
    assert!(served && !said.contains("Non-2xx"), "{said}");
    let metrics = curl(&["--fail", &format!("http://localhost:{http}/metrics")]);
    let sum = |name: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    let counts = ["replaced", "followed", "refused"];
    let counts = counts.map(|name| sum(&format!("waitless_admin_{name}_certificates_total")));
    assert_eq!(counts, [3, 3, 2], "{metrics}");
    vm.assert_alive();
}

impl Site {
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The serial numbers that new connections see, each once.
    fn serials(&self) -> Vec<String> {
        let address = format!("127.0.0.1:{}", self.https);
        let see = |_| {
            let client = ["s_client", "-connect", &address, "-servername", "localhost"];
            let shown = run_in(Path::new("."), "openssl", &client, b"").output;
            let serial = ["x509", "-noout", "-serial"];
            let serial = run_in(Path::new("."), "openssl", &serial, shown.as_bytes()).output;
            serial.trim().trim_start_matches("serial=").to_owned()
        };
        let mut all: Vec<_> = (0..6).map(see).collect();
        all.sort();
        all.dedup();
        all
    }

    /// A certificate for the same names with its key, in one file; and its serial number.
    fn renewed(&self, number: u8) -> (String, String) {
        let names = "subjectAltName=DNS:localhost,DNS:waitless";
        let (certificate, key) = (self.file("new.pem"), self.file("new.key"));
        let serial = format!("4711{number:02}");
        let kinds = ["ec_paramgen_curve:P-256", "ec_paramgen_curve:P-384"];
        let kind = kinds[usize::from(number) % 2];
        let make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", kind, "-noenc", "-days", "90"];
        let subject = ["-subj", "/CN=localhost", "-addext", names, "-set_serial"];
        let files = [&*format!("0x{serial}"), "-keyout", &key, "-out", &certificate];
        run("openssl", &[&make[..], &subject, &files].concat());
        let file = self.file("both.pem");
        let both = [certificate, key].map(|part| fs::read_to_string(part).expect("a file"));
        fs::write(&file, both.concat()).expect("a temporary file");
        (file, serial)
    }

    /// What comes of sending `file` for the certificate for `name`: the status, and the answer.
    fn put(&self, name: &str, file: &str, token: &str) -> String {
        let url = format!("https://localhost:{}/certificates/{name}", self.management);
        // What is trusted changes, and is what `serials` looks at.
        let how = ["--insecure", "-w", "\n%{http_code}", "--upload-file", file];
        let said =
            curl(&[&how[..], &["-H", &format!("Authorization: Bearer {token}"), &url]].concat());
        let (text, status) = said.rsplit_once('\n').expect("a status");
        format!("{status} {text}")
    }

    fn refusals(&self) {
        let (file, _) = self.renewed(9);
        assert!(self.put("localhost", &file, "another").starts_with("401 "));
        assert!(self.put("example.org", &file, TOKEN).starts_with("404 "));
        let said = self.put("localhost", &self.trust, TOKEN);
        assert!(said.starts_with("400 ") && said.contains("no private key"), "{said}");
    }
}
