//! Connections that a handler begins with TLS, to `openssl s_server`: what it agrees to, and why a
//! handler gets no connection.

use crate::host::{fetch, fixed, with};
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tls::client::TlsClient;
use tls::{Chain, MutualTls};
use waitless::Inspect;
use waitless::http::client::FetchError;
use waitless::http::{Handler, Method};
use waitless_tests::graphs::peers::{self, Graph};
use waitless_tests::lab::{Dhcp, Folder, Lab, Running, Tap, run, run_in, wait_for};
use waitless_tests::live::{Host, Live, PATIENCE, card, leak};
use waitless_tests::world::counter_of;

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const SUITES: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// A network with names, and files for whoever serves there.
struct Site {
    tap: Tap,
    folder: Folder,
    _names: Dhcp,
    /// Servers that were started.
    started: u16,
}

/// A server, and where it is.
struct Server {
    port: u16,
    _process: Running,
}

pub fn every_suite_and_group(_: &Lab) {
    let mut site = Site::new();
    let own = site.certificate("server.test", P256);
    for suite in SUITES {
        // Of the last two, a first hello shows no key.
        for group in ["X25519", "P-256", "P-384"] {
            let server = site.serve(&own, &["-ciphersuites", suite, "-groups", group]);
            let mut host = site.host(&own, Duration::ZERO);
            let page = server.page(&mut host, "server.test");
            assert!(page.contains(suite) && page.contains("New, TLSv1.3"), "{page}");
            // And again, with a ticket.
            let page = server.page(&mut host, "server.test");
            assert!(page.contains(suite) && page.contains("Reused, TLSv1.3"), "{page}");
            let retried = if group == "X25519" { 0 } else { 2 };
            assert_eq!(counted(&host, "retried"), retried, "{group}");
            assert_eq!(counted(&host, "resumed"), 1);
        }
    }
}

/// The client of HTTP, by a name that the certificate has and by one that it has not.
pub fn https(_: &Lab) {
    let mut site = Site::new();
    let own = site.certificate("server.test", P256);
    let server = site.serve(&own, &[]);
    let mut host = site.host(&own, Duration::ZERO);
    let known = format!("https://server.test:{}/", server.port);
    let unknown = format!("https://other.test:{}/", server.port);
    crate::web::during(&mut host, move |client| async move {
        let mut answer = client.fetch(Method::Get, &known).send().await.expect("an answer");
        let page = answer.text(100_000).await.expect("a page");
        assert!(page.contains("New, TLSv1.3"), "{page}");
        let refused = client.fetch(Method::Get, &unknown).send().await.err();
        assert!(matches!(refused, Some(FetchError::Dial(_))), "{refused:?}");
    });
}

pub fn every_kind_of_key(_: &Lab) {
    let mut site = Site::new();
    for (name, algorithm) in [
        ("p256", P256),
        ("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["ed25519"]),
        ("rsa-2048", &["rsa:2048"]),
        ("rsa-3072", &["rsa:3072"]),
    ] {
        let own = site.certificate(name, algorithm);
        let server = site.serve(&own, &[]);
        let page = server.page(&mut site.host(&own, Duration::ZERO), "server.test");
        assert!(page.contains("New, TLSv1.3"), "{name}: {page}");
    }
}

pub fn who_is_not_believed(_: &Lab) {
    let mut site = Site::new();
    let (own, foreign) = (site.certificate("own", P256), site.certificate("foreign", P256));
    let server = site.serve(&own, &[]);
    let mut host = site.host(&own, Duration::ZERO);
    let page = server.page(&mut host, "server.test");
    assert!(page.contains("New, TLSv1.3"), "{page}");
    // By an address that its certificate names, and by a name that it does not.
    let page = server.page(&mut host, &site.tap.address.to_string());
    assert!(page.contains("New, TLSv1.3"), "{page}");
    let said = server.page(&mut host, "other.test");
    assert_eq!(said, "The server's certificate is for other names.");
    // A server of old.
    let old = site.serve(&own, &["-tls1_2"]);
    let said = old.page(&mut host, "server.test");
    assert_eq!(said, "the other end speaks no TLS 1.3");
    // Nothing is left of those that failed.
    host.until("the ends of connections", |host| (counted(host, "open") == 0).then_some(()));
    assert_eq!(counted(&host, "completed"), 2);
    drop(host);
    let said = server.page(&mut site.host(&foreign, Duration::ZERO), "server.test");
    assert_eq!(said, "Nobody who is trusted vouches for the other end's certificate.");
    let month = Duration::from_secs(31 * 86_400);
    let said = server.page(&mut site.host(&own, month), "server.test");
    assert_eq!(said, "A certificate of the other end's is not good any more.");
}

pub fn who_the_client_is(_: &Lab) {
    let site = Site::new();
    let own = site.certificate("server", P256);
    let (authority, other) = (site.authority("authority"), site.authority("other"));
    let alice = site.client("alice", &authority, &["rsa:2048"]);
    let stranger = site.client("stranger", &other, P256);
    let mut host = site.asking_host(&own, &authority);
    let address = site.tap.host(2);
    let there = format!("server.test:443:{address}");
    let trust = own[0].display().to_string();
    let visit = |files: Option<&[PathBuf; 2]>| {
        let paths = files.map(|files| files.each_ref().map(|path| path.display().to_string()));
        let mut arguments = vec!["-sS", "--resolve", &there, "--cacert", &trust];
        if let Some([certificate, key]) = &paths {
            arguments.extend(["--cert", certificate, "--key", key]);
        }
        // The second goes on the first one's connection.
        arguments.extend(["https://server.test/who", "https://server.test/who"]);
        run_in(site.folder.path(), "curl", &arguments, b"")
    };
    let said = host.during(|| visit(Some(&alice)));
    assert_eq!(said.output, "CN=aliceCN=alice", "{said:?}");
    for (files, expected) in
        [(None, "alert certificate required"), (Some(&stranger), "alert unknown ca")]
    {
        let said = host.during(|| visit(files));
        assert!(said.errors.contains(expected), "{expected}: {said:?}");
    }
    // By openssl, which resumes then.
    let [certificate, key] = alice.each_ref().map(|path| path.display().to_string());
    let (to, session) = (format!("{address}:443"), site.file("session").display().to_string());
    for (option, expected) in [("-sess_out", "New, TLSv1.3"), ("-sess_in", "Reused, TLSv1.3")] {
        let arguments = [
            &["s_client", "-connect", &to, "-servername", "server.test", "-ign_eof"][..],
            &["-CAfile", &trust, "-cert", &certificate, "-key", &key, option, &session],
        ];
        let get = b"GET /who HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n";
        let said = host.during(|| run_in(site.folder.path(), "openssl", &arguments.concat(), get));
        assert!(said.output.contains(expected), "{said:?}");
        assert!(said.output.contains("\r\n\r\nCN=alice"), "{said:?}");
        // What it chooses its certificate by.
        let names = said.output.contains("Acceptable client certificate CA names");
        assert_eq!(names, option == "-sess_out", "{said:?}");
    }
    host.until("the ends of connections", |host| {
        (counter_of(host.graph.tls.counters(), "open") == 0).then_some(())
    });
    let counters = ["completed", "resumed", "faulty"];
    let counters = counters.map(|name| counter_of(host.graph.tls.counters(), name));
    assert_eq!(counters, [3, 1, 4]);
}

/// `openssl ocsp` says that the server's certificate is good; the build reads it, the server shows
/// it, and clients of both kinds take it.
pub fn an_issuers_word(_: &Lab) {
    let site = Site::new();
    let authority = site.authority("authority");
    let extensions = "subjectAltName = DNS:server.test\nbasicConstraints = critical,CA:FALSE";
    let [issuer, issuer_key] = authority.each_ref().map(|path| path.display().to_string());
    let own = site.made("own", P256, extensions, &["-CA", &issuer, "-CAkey", &issuer_key]);
    let staple = build::staples::Staple::read(&site.word_on(&own, &authority, "V"), &chain(&own));
    let staple = staple.unwrap_or_else(|why| panic!("the response {why}"));
    let left = staple.until.map(|until| until.as_secs().saturating_sub(now().as_secs()));
    assert!(left.is_some_and(|left| (6 * 86_400..=7 * 86_400).contains(&left)), "{left:?}");
    // What says something else is refused.
    for (files, said, expected) in [
        (&own, "R", "says that the certificate was revoked"),
        (&site.certificate("other", P256), "V", "is about another certificate"),
    ] {
        let word = site.word_on(&own, &authority, said);
        let refused = build::staples::Staple::read(&word, &chain(files));
        assert!(refused.as_ref().is_err_and(|why| why.contains(expected)), "{refused:?}");
        let cut = build::staples::Staple::read(&word[..word.len() - 1], &chain(files));
        assert!(cut.is_err_and(|why| why.contains("no OCSP response")));
    }
    let until = staple.until.map_or(u64::MAX, |until| until.as_secs());
    let staple = tls::Staple { response: leak(staple.response), until };
    let mut host = site.showing_host(&own, staple);
    let to = format!("{}:443", site.tap.host(2));
    let arguments =
        ["s_client", "-connect", &to, "-servername", "server.test", "-CAfile", &issuer, "-ign_eof"];
    let get = b"GET /hello HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n";
    for (more, expected) in [(&["-status"][..], true), (&[], false)] {
        let arguments = [&arguments[..], more].concat();
        let said = host.during(|| run_in(site.folder.path(), "openssl", &arguments, get));
        assert!(said.output.contains("\r\n\r\nhello"), "{said:?}");
        let shown = said.output.contains("OCSP Response Status: successful")
            && said.output.contains("Cert Status: good");
        assert_eq!(shown, expected, "{said:?}");
    }
    drop(host);
    // And our client, of a server of others.
    let word = site.file("word.der");
    fs::write(&word, site.word_on(&own, &authority, "V")).expect("a file");
    let mut site = site;
    let server = site.serve(&own, &["-status_file", &word.display().to_string()]);
    let trust = [authority[0].clone(), own[1].clone()];
    let page = server.page(&mut site.host(&trust, Duration::ZERO), "server.test");
    assert!(page.contains("New, TLSv1.3"), "{page}");
}

pub fn who_our_client_is(_: &Lab) {
    let mut site = Site::new();
    let own = site.certificate("server", P256);
    let authority = site.authority("authority");
    let trust = authority[0].display().to_string();
    let asks = ["-Verify", "1", "-verify_return_error", "-CAfile", &trust];
    for (name, algorithm) in [("alice", P256), ("bob", &["ed25519"]), ("carol", &["rsa:2048"])] {
        let files = site.client(name, &authority, algorithm);
        let server = site.serve(&own, &asks);
        let mut host = site.host_as(&own, Some(&files), Duration::ZERO);
        let page = server.page(&mut host, "server.test");
        // Some versions put spaces there.
        let subject = format!("Subject: CN={name}");
        assert!(page.replace(" = ", "=").contains(&subject), "{page}");
    }
    // It is asked, and has nothing to show: the server says so once the handshake is over here.
    let server = site.serve(&own, &asks);
    let said = server.page(&mut site.host(&own, Duration::ZERO), "server.test");
    assert_eq!(said, "the other side reset the connection");
}

/// The counter `name` of the client, which nobody else knows: the test has put it there.
#[track_caller]
fn counted(host: &Host<Graph<impl Handler>>, name: &str) -> u64 {
    counter_of(host.graph.tls_client.counters(), name)
}

impl Site {
    #[track_caller]
    fn new() -> Self {
        let tap = Tap::new();
        let names = ["server.test", "other.test"];
        let records = names.map(|name| format!("--host-record={name},{}", tap.address));
        let names = Dhcp::and_names_on(&tap, &["--local=/test/", &records[0], &records[1]]);
        Self { tap, folder: Folder::new("secure"), _names: names, started: 0 }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for `server.test` that vouches for itself and is good for a month, with
    /// a key by `algorithm`: its file and the key's.
    #[track_caller]
    fn certificate(&self, name: &str, algorithm: &[&str]) -> [PathBuf; 2] {
        let names = format!("subjectAltName = DNS:server.test, IP:{}", self.tap.address);
        let extensions = format!("{names}\nbasicConstraints = critical,CA:FALSE");
        self.made(name, algorithm, &extensions, &[])
    }

    #[track_caller]
    fn made(
        &self,
        name: &str,
        algorithm: &[&str],
        extensions: &str,
        more: &[&str],
    ) -> [PathBuf; 2] {
        let config = self.file(&format!("{name}.cnf"));
        let text = format!(
            "[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n\
             [dn]\nCN = {name}\n[ext]\n{extensions}\n"
        );
        fs::write(&config, text).expect("a file");
        let files = ["pem", "key"].map(|kind| self.file(&format!("{name}.{kind}")));
        let [config, certificate, key] =
            [&config, &files[0], &files[1]].map(|path| path.display().to_string());
        let fixed = ["req", "-x509", "-nodes", "-days", "30", "-config", &config];
        let made = ["-keyout", &key, "-out", &certificate];
        run("openssl", &[&fixed[..], &["-newkey"], algorithm, &made, more].concat());
        files
    }

    /// Somebody who may vouch for others: the certificate's file and the key's.
    #[track_caller]
    fn authority(&self, name: &str) -> [PathBuf; 2] {
        let extensions = "basicConstraints = critical,CA:TRUE";
        self.made(name, P256, extensions, &[])
    }

    /// What `authority` says of the certificate in the first of `files`, for a week: `V` that it
    /// is good, `R` that it was revoked.
    #[track_caller]
    fn word_on(&self, files: &[PathBuf; 2], authority: &[PathBuf; 2], said: &str) -> Vec<u8> {
        let path = |path: &Path| path.display().to_string();
        let [own, issuer, key] = [&files[0], &authority[0], &authority[1]].map(|it| path(it));
        let serial = run("openssl", &["x509", "-noout", "-serial", "-in", &own]);
        let serial = serial.trim().trim_start_matches("serial=");
        let revoked = if said == "R" { "200101000000Z" } else { "" };
        let line = format!("{said}\t400101000000Z\t{revoked}\t{serial}\tunknown\t/CN=own\n");
        let [index, request, word] = ["index", "request", "word"].map(|name| self.file(name));
        fs::write(&index, line).expect("a file");
        let [index, request, word] = [&index, &request, &word].map(|it| path(it));
        let about = ["ocsp", "-issuer", &issuer, "-cert", &own];
        run("openssl", &[&about[..], &["-reqout", &request]].concat());
        let signed = ["-rsigner", &issuer, "-rkey", &key, "-CA", &issuer, "-ndays", "7"];
        let answer = ["ocsp", "-index", &index, "-reqin", &request, "-respout", &word];
        run("openssl", &[&answer[..], &signed].concat());
        fs::read(word).expect("a response")
    }

    /// A certificate for a client, for whom `authority` vouches.
    #[track_caller]
    fn client(&self, name: &str, authority: &[PathBuf; 2], algorithm: &[&str]) -> [PathBuf; 2] {
        let [certificate, key] = authority.each_ref().map(|path| path.display().to_string());
        let extensions = "basicConstraints = critical,CA:FALSE\nextendedKeyUsage = clientAuth";
        self.made(name, algorithm, extensions, &["-CA", &certificate, "-CAkey", &key])
    }

    /// `openssl s_server`, which tells whoever asks what was agreed.
    #[track_caller]
    fn serve(&mut self, [certificate, key]: &[PathBuf; 2], arguments: &[&str]) -> Server {
        self.started += 1;
        let port = 4430 + self.started;
        let to = (self.tap.address, port);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-quiet", "-accept", &format!("{}:{port}", to.0)]);
        command.arg("-cert").arg(certificate).arg("-key").arg(key).args(arguments);
        let process = Running::start(command);
        wait_for("a server", PATIENCE, || TcpStream::connect(to).ok());
        Server { port, _process: process }
    }

    /// A host that trusts what is in the first of `files`, and whose clock is ahead by `ahead`.
    #[track_caller]
    fn host(&self, files: &[PathBuf; 2], ahead: Duration) -> Host<Graph<impl Handler + use<>>> {
        self.host_as(files, None, ahead)
    }

    /// The same, with a certificate of its own.
    #[track_caller]
    fn host_as(
        &self,
        files: &[PathBuf; 2],
        own: Option<&[PathBuf; 2]>,
        ahead: Duration,
    ) -> Host<Graph<impl Handler + use<>>> {
        let (certificate, key) = own.map(pair).unzip();
        let config = tls::client::Config {
            trust: trusted(&files[0]),
            certificate,
            key,
            alpn: &[],
            connections: 10,
            handshakes: 10,
            handshake_timeout: waitless::Duration::from_secs(60),
            message_limit: 65_536,
            sessions: 4,
        };
        let now = now() + ahead;
        with(|cx| {
            cx.set_wall_clock(now.as_nanos() as u64);
            let mut graph = peers::graph(cx);
            graph.nic = card(&self.tap, cx);
            let names = leak([self.tap.address]);
            graph.ip4 = fixed(&self.tap, self.tap.host(2), names, cx);
            graph.tls_client = TlsClient::new(leak(config), cx);
            graph
        })
    }

    /// A host that serves with `own`, and asks clients for certificates of `authority`.
    #[track_caller]
    fn asking_host(
        &self,
        own: &[PathBuf; 2],
        authority: &[PathBuf; 2],
    ) -> Host<Graph<impl Handler + use<>>> {
        self.serving_host(tls::Config {
            clients: Some(trusted(&authority[0])),
            client_certificate: tls::ClientCertificate::Required,
            ..serving(own)
        })
    }

    /// A host that serves with `own`, and shows what its issuer says of it.
    #[track_caller]
    fn showing_host(
        &self,
        own: &[PathBuf; 2],
        staple: tls::Staple,
    ) -> Host<Graph<impl Handler + use<>>> {
        // Whom the host may ask who they are, nobody; but its type is that of one who asks.
        self.serving_host(tls::Config {
            ocsp: Some(leak([Some(staple)])),
            clients: Some(trusted(&own[0])),
            client_certificate: tls::ClientCertificate::Optional,
            ..serving(own)
        })
    }

    #[track_caller]
    fn serving_host(&self, config: tls::Config) -> Host<Graph<impl Handler + use<>>> {
        with(|cx| {
            cx.set_wall_clock(now().as_nanos() as u64);
            let mut graph = peers::graph(cx);
            graph.nic = card(&self.tap, cx);
            graph.ip4 = fixed(&self.tap, self.tap.host(2), &[], cx);
            graph.tls = MutualTls::new(leak(config), cx);
            graph
        })
    }
}

/// How a host serves with `own`.
#[track_caller]
fn serving(own: &[PathBuf; 2]) -> tls::Config {
    let (certificate, key) = pair(own);
    tls::Config {
        certificate,
        key,
        ocsp: None,
        alpn: &["http/1.1"],
        connections: 100,
        handshakes: 10,
        handshake_timeout: waitless::Duration::from_secs(60),
        hello_limit: 8192,
        tickets: 2,
        ticket_lifetime: waitless::Duration::from_secs(3600),
        early_data: None,
        clients: None,
        client_certificate: tls::ClientCertificate::Required,
    }
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock")
}

/// The certificate in the first of `files`, as the build reads it.
#[track_caller]
fn chain(files: &[PathBuf; 2]) -> build::certificates::Chain {
    let pem = fs::read(&files[0]).expect("a certificate");
    build::certificates::Chain::read(&pem, SystemTime::now()).expect("a certificate")
}

/// The certificates in a file.
#[track_caller]
fn trusted(file: &Path) -> &'static [&'static [u8]] {
    let pem = fs::read(file).expect("a certificate");
    let trust = build::certificates::Trust::read(&pem, SystemTime::now());
    let trust = trust.expect("a certificate").certificates.into_iter();
    leak(trust.map(|der| &**leak(der)).collect::<Vec<&'static [u8]>>())
}

/// The certificate and the key in two files.
#[track_caller]
fn pair(files: &[PathBuf; 2]) -> (&'static [Chain], &'static [&'static [u8]]) {
    let [_, key] = files.each_ref().map(|file| fs::read(file).expect("a file"));
    let key = build::certificates::PrivateKey::read(&key).expect("a key").pkcs8;
    let chain = Chain { certificates: trusted(&files[0]), names: &["server.test"] };
    (leak([chain]), leak([&**leak(key)]))
}

impl Server {
    /// What it says to a host that dials it as `name`, or why the host does not listen.
    #[track_caller]
    fn page(&self, host: &mut Host<Graph<impl Handler>>, name: &str) -> String {
        fetch(host, &format!("{name}:{}", self.port))
    }
}
