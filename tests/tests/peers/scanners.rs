//! Scanners that anybody may point at a server with TLS, and clients whose TLS is neither
//! OpenSSL's nor rustls's: what they find is what there should be.

use crate::host::on;
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use waitless::Inspect;
use waitless::http::Handler;
use waitless_tests::graphs::peers::Graph;
use waitless_tests::lab::{Folder, Lab, Tap, checkout, run, run_in};
use waitless_tests::live::{Host, Live};
use waitless_tests::world::counter_of;

/// Where the graph's server is that asks nobody who they are.
pub const PORT: u16 = 8443;
const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A host that serves, and where.
struct Served<H: Handler> {
    host: Host<Graph<H>>,
    address: Ipv4Addr,
    folder: Folder,
    _tap: Tap,
}

fn served() -> Served<impl Handler> {
    let tap = Tap::new();
    let address = tap.host(2);
    let mut host = on(&tap, Some(address));
    // Until the address is known to be nobody else's.
    host.run_for(Duration::from_millis(500));
    Served { host, address, folder: Folder::new("scanners"), _tap: tap }
}

impl<H: Handler> Served<H> {
    fn there(&self) -> String {
        format!("{}:{PORT}", self.address)
    }

    /// A counter of the server's.
    fn count(&self, name: &str) -> u64 {
        counter_of(self.host.graph.tls_plain.counters(), name)
    }

    /// Nothing is left of those who were here, who completed so many handshakes at least.
    #[track_caller]
    fn is_at_rest(&mut self, completed: u64) {
        self.host.until("the ends of connections", |host| {
            (counter_of(host.graph.tls_plain.counters(), "open") == 0).then_some(())
        });
        let done = counter_of(self.host.graph.tls_plain.counters(), "completed");
        assert!(done >= completed, "{done} handshakes were completed");
    }
}

/// The certificate that the host serves with.
pub fn certificate() -> PathBuf {
    checkout().join("tests/graphs/certs/development.pem")
}

pub fn sslscan(_: &Lab) {
    let mut served = served();
    let there = served.there();
    let said = served.host.during(|| run("sslscan", &["--no-colour", &there]));
    for version in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"] {
        let line = said.lines().find(|line| line.starts_with(version));
        assert!(line.is_some_and(|line| line.ends_with("disabled")), "{version}: {said}");
    }
    let suites: BTreeSet<_> = said
        .lines()
        .filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted"))
        .filter_map(|line| line.split_whitespace().nth(4))
        .collect();
    let ours = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    assert_eq!(suites, BTreeSet::from(ours), "{said}");
    let groups = said.split("Server Key Exchange Group(s):").nth(1).unwrap_or_default();
    let groups: BTreeSet<_> = groups
        .lines()
        .filter(|line| line.starts_with("TLSv1.3"))
        .filter_map(|line| line.split_whitespace().nth(3))
        // Of which only newer versions know.
        .filter(|group| !group.eq_ignore_ascii_case("X25519MLKEM768"))
        .collect();
    assert_eq!(groups, BTreeSet::from(["secp256r1", "secp384r1", "x25519"]), "{said}");
    assert!(said.contains("not vulnerable to heartbleed"), "{said}");
    served.is_at_rest(3);
}

pub fn nmap(_: &Lab) {
    let mut served = served();
    let (to, port) = (served.address.to_string(), PORT.to_string());
    let scripts = "ssl-enum-ciphers,ssl-cert,tls-alpn,sslv2,ssl-heartbleed,ssl-poodle,\
                   ssl-ccs-injection,ssl-dh-params,tls-ticketbleed";
    let arguments = ["-n", "-Pn", "-p", &port, "--script", scripts, &to];
    let said = served.host.during(|| run("nmap", &arguments));
    for older in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "VULNERABLE", "warnings"] {
        assert!(!said.contains(older), "{older}: {said}");
    }
    assert!(said.contains("least strength: A") && said.contains("commonName=localhost"), "{said}");
    served.is_at_rest(3);
}

/// Every suite with every group, and a connection that goes on from another.
pub fn gnutls(_: &Lab) {
    let mut served = served();
    let (to, trust) = (served.address.to_string(), certificate().display().to_string());
    let port = PORT.to_string();
    let known = ["--x509cafile", &trust, "--verify-hostname", "localhost"];
    let there = ["--sni-hostname", "localhost", "--port", &port, &to];
    let folder = served.folder.path().to_owned();
    for suite in ["AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"] {
        for group in ["X25519", "SECP256R1", "SECP384R1"] {
            let priority = format!(
                "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{suite}:-GROUP-ALL:+GROUP-{group}"
            );
            let arguments = [&["--priority", &priority], &known[..], &there].concat();
            let said = served.host.during(|| run_in(&folder, "gnutls-cli", &arguments, REQUEST));
            let agreed = format!("-(ECDHE-{group})-(ECDSA-SECP256R1-SHA256)-({suite})");
            assert!(said.output.contains(&agreed), "{agreed}: {said:?}");
            assert!(said.output.contains("hello") && said.status.success(), "{said:?}");
        }
    }
    let arguments = [&["--resume", "--waitresumption"], &known[..], &there].concat();
    let said = served.host.during(|| run_in(&folder, "gnutls-cli", &arguments, REQUEST));
    assert!(said.output.contains("This is a resumed session"), "{said:?}");
    served.is_at_rest(11);
    assert_eq!(served.count("resumed"), 1);
    // And once more, with a request that it says early.
    let early = served.folder.path().join("early");
    fs::write(&early, b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("a file");
    let early = early.display().to_string();
    let arguments = [&["--resume", "--waitresumption", "--earlydata", &early], &known[..], &there];
    let said = served.host.during(|| run_in(&folder, "gnutls-cli", &arguments.concat(), REQUEST));
    let answers = said.output.split("This is a resumed session").nth(1).unwrap_or_default();
    assert_eq!(answers.matches("\nhello").count(), 2, "{said:?}");
    served.is_at_rest(13);
    assert_eq!(served.count("early"), 1);
}

/// What OpenSSL says early: a request that does no harm is answered, and one that may is answered
/// when it cannot be a copy.
pub fn early_data(_: &Lab) {
    let mut served = served();
    let folder = served.folder.path().to_owned();
    let (there, trust) = (served.there(), certificate().display().to_string());
    let connect =
        ["s_client", "-connect", &there, "-servername", "localhost", "-CAfile", &trust, "-ign_eof"];
    let post = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Length: 6\r\n\r\nechoed";
    let requests: [(&[u8], _); 2] = [(REQUEST, "\r\n\r\nhello"), (post, "\r\nechoed")];
    for (request, expected) in requests {
        let mut visit = |session: &[&str], input: &[u8]| {
            let arguments = [&connect[..], session].concat();
            served.host.during(|| run_in(&folder, "openssl", &arguments, input))
        };
        fs::write(folder.join("early"), request).expect("a file");
        let said = visit(&["-sess_out", "session"], REQUEST);
        assert!(said.output.contains("hello"), "{said:?}");
        let said = visit(&["-sess_in", "session", "-early_data", "early"], b"");
        assert!(said.output.contains("Early data was accepted"), "{said:?}");
        assert!(said.output.contains(expected), "{said:?}");
    }
    served.is_at_rest(4);
    let counters = ["resumed", "early", "early_refused"].map(|name| served.count(name));
    assert_eq!(counters, [2, 2, 0]);
}

/// Firefox's library.
pub fn nss(_: &Lab) {
    let mut served = served();
    let folder = served.folder.path().to_owned();
    let (to, port, trust) =
        (served.address.to_string(), PORT.to_string(), certificate().display().to_string());
    let (database, request) = ("sql:.", "request");
    fs::write(folder.join(request), REQUEST).expect("a file");
    let keep = |arguments: &[&str]| {
        let said = run_in(&folder, "certutil", arguments, b"");
        assert!(said.status.success(), "{said:?}");
    };
    keep(&["-N", "-d", database, "--empty-password"]);
    keep(&["-A", "-d", database, "-n", "development", "-t", "CP,,", "-i", &trust]);
    let versions = ["-V", "tls1.3:tls1.3"];
    let there = ["-h", &to, "-p", &port, "-a", "localhost", "-d", database, "-A", request];
    let arguments = [&versions[..], &there].concat();
    let said = served.host.during(|| run_in(&folder, "tstclnt", &arguments, b""));
    assert!(said.output.contains("HTTP/1.1 200 OK"), "{said:?}");
    served.is_at_rest(1);
    // Twice, and what it asks the second time it says early.
    let arguments = [&versions[..], &["-Z", "-L", "2"], &there].concat();
    let said = served.host.during(|| run_in(&folder, "tstclnt", &arguments, b""));
    assert_eq!(said.output.matches("HTTP/1.1 200 OK").count(), 2, "{said:?}");
    served.is_at_rest(3);
    assert_eq!(served.count("early"), 1);
}

pub fn h2load(_: &Lab) {
    let mut served = served();
    let url = format!("https://{}/hello", served.there());
    let arguments = ["--h1", "-n", "200", "-c", "10", &url];
    let said = served.host.during(|| run("h2load", &arguments));
    assert!(said.contains("200 succeeded") && said.contains("TLSv1.3"), "{said}");
    served.is_at_rest(10);
}

/// What `testssl` finds that is above a hint, and not of our making here: the certificate vouches
/// for itself, for names that no server of names knows, and the site is one for tests.
const NOT_OURS: [&str; 7] = [
    "cert_chain_of_trust",
    // It is for other names than the address.
    "cert_trust",
    "cert_revocation",
    "DNS_CAArecord",
    "HSTS",
    "security_headers",
    // GOST, which the host's OpenSSL lacks.
    "engine_problem",
];

pub fn testssl(_: &Lab) {
    let mut served = served();
    let (there, file) = (served.there(), served.folder.path().join("found.json"));
    let found = file.display().to_string();
    let quiet = ["--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"];
    let arguments = [&quiet[..], &["--jsonfile", &found, &there]].concat();
    // It ends with the number of its findings.
    let folder = served.folder.path().to_owned();
    let said = served.host.during(|| run_in(&folder, "testssl", &arguments, b""));
    let report = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{why}: {said:?}"));
    // One finding has its fields one a line: "id" first, "severity" and "finding" last.
    let field = |part: &str, name: &str| -> Option<String> {
        let rest = part.split_once(&format!("\"{name}\""))?.1.split_once('"')?.1;
        Some(rest.split('"').next()?.to_owned())
    };
    let mut seen = BTreeSet::new();
    for part in report.split('{').skip(1) {
        let (Some(id), Some(severity)) = (field(part, "id"), field(part, "severity")) else {
            continue;
        };
        let plain = id.split(' ').next().unwrap_or(&id).to_owned();
        let is_fine = ["OK", "INFO"].contains(&severity.as_str());
        assert!(is_fine || NOT_OURS.contains(&plain.as_str()), "{part}");
        seen.insert(plain);
    }
    for expected in ["SSLv2", "TLS1_2", "TLS1_3", "heartbleed", "ticketbleed", "ROBOT", "BEAST"] {
        assert!(seen.contains(expected), "{expected} was not looked at: {seen:?}");
    }
    served.is_at_rest(10);
}
