//! HTTPS against real clients: curl, OpenSSL, Python and wrk.

use crate::runner::free_port;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use waitless_tests::lab::{
    Arch, Folder, Lab, Machine, Native, PATIENCE, Running, checkout, curl, run, run_in, tool,
};

/// The usual image as a process.
pub fn process(lab: &Lab) {
    let (http, https, udp) = (free_port(), free_port(), free_port());
    let ports = format!("80/tcp={http},443/tcp={https},7/udp={udp}");
    let mut native = Native::start(&lab.images.native("webserver"), &["--ports", &ports]);
    native.expect_http(Ipv4Addr::LOCALHOST, http);
    every_client(https);
    native.process.signal("INT");
    assert!(native.process.expect_end(PATIENCE).success(), "{}", native.process.output());
}

/// The same on a machine with two cores, and on one whose processor has no AES.
pub fn machine(lab: &Lab) {
    on(lab, || Machine::new().cores(2), every_client);
    let old = || Machine::new().arguments(&["-cpu", "max,-aes,-pclmulqdq,-avx"]);
    on(lab, old, |port| Server::on(port).is_reached_by_curl());
}

/// The same on Arm.
pub fn machine_on_arm(lab: &Lab) {
    on(lab, || Machine::new().virt().cores(2), every_client);
}

fn on(lab: &Lab, machine: impl Fn() -> Machine, check: impl Fn(u16)) {
    let arch = machine().arch();
    let image = lab.images.image_for("webserver", arch);
    has_the_processors_ciphers(&image, arch);
    let (http, https) = (free_port(), free_port());
    let mut vm = machine().on_user_network(&[("tcp", http, 80), ("tcp", https, 443)]).boot(&image);
    vm.expect_http(Ipv4Addr::LOCALHOST, http);
    check(https);
    vm.assert_alive();
}

/// The processor's instructions for AES and for products without carries, which GCM's hash is
/// made of, are in the image. They are not where nothing asks the processor for them.
fn has_the_processors_ciphers(image: &Path, arch: Arch) {
    let image = std::fs::read(image).expect("an image");
    let count = |is_it: fn(&[u8; 4]) -> bool, step: usize| {
        let at = (0..image.len().saturating_sub(3)).step_by(step);
        at.filter(|at| image[*at..].first_chunk().is_some_and(is_it)).count()
    };
    let (aes, products) = match arch {
        // `aesenc` of registers among the first eight, and `vpclmulqdq` of 128 bits.
        Arch::X86_64 => (
            count(|bytes| *bytes == [0x66, 0x0f, 0x38, 0xdc], 1),
            count(|[a, b, c, d]| (*a, b & 31, c & 0x87, *d) == (0xc4, 3, 1, 0x44), 1),
        ),
        // `aese`, and `pmull` or `pmull2`.
        Arch::Aarch64 => (
            count(|it| u32::from_le_bytes(*it) & 0xffff_fc00 == 0x4e28_4800, 4),
            count(|it| u32::from_le_bytes(*it) & 0xbfe0_fc00 == 0x0ee0_e000, 4),
        ),
    };
    assert!(aes >= 20 && products >= 8, "{arch:?}: AES {aes}, products {products}");
}

fn every_client(port: u16) {
    let server = Server::on(port);
    server.is_reached_by_curl();
    server.does_every_suite_and_group_of_openssl();
    server.resumes();
    server.replaces_keys();
    server.refuses_what_it_does_not_do();
    server.is_reached_by_python();
    server.serves_many_at_once();
}

const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const HEALTH: &str = "{\"status\":\"ok\"}";

/// A server with the certificate for development, on a port of this machine.
struct Server {
    port: u16,
    /// The certificate's file.
    trust: String,
    folder: Folder,
}

impl Server {
    fn on(port: u16) -> Self {
        let trust = checkout().join("certs/development.pem").display().to_string();
        Self { port, trust, folder: Folder::new("secure") }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn is_reached_by_curl(&self) {
        let get = |arguments: &[&str]| {
            curl(&[&["--fail", "--tlsv1.3", "--cacert", &self.trust], arguments].concat())
        };
        // Twice on one connection.
        let health = self.url("/health");
        assert_eq!(get(&[&health, &health]), HEALTH.repeat(2));
        let download = self.url("/download?bytes=3000000");
        assert_eq!(get(&["-o", "/dev/null", "-w", "%{size_download}", &download]), "3000000");
        let (body, file) = ("there and back again, ".repeat(10_000), self.file("body"));
        std::fs::write(&file, &body).expect("a temporary file");
        let echo = get(&["--data-binary", &format!("@{file}"), &self.url("/echo")]);
        assert!(echo == body, "the echo differs");
    }

    /// `openssl s_client`, as it will be started.
    fn openssl(&self, more: &[&str]) -> Vec<String> {
        let address = format!("127.0.0.1:{}", self.port);
        let usual = ["s_client", "-connect", &address, "-servername", "localhost"];
        let trust = ["-CAfile", &self.trust, "-verify_return_error"];
        [&usual[..], &trust, more].concat().iter().map(|&word| word.to_owned()).collect()
    }

    /// One request by it, and all that it says.
    fn ask(&self, more: &[&str]) -> String {
        let arguments = self.openssl(&[&["-ign_eof"], more].concat());
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let said = run_in(Path::new("."), "openssl", &arguments, REQUEST);
        said.output + &said.errors
    }

    fn does_every_suite_and_group_of_openssl(&self) {
        let suites =
            ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
        let groups = [("X25519", "X25519"), ("P-256", "prime256v1"), ("P-384", "secp384r1")];
        for suite in suites {
            for (group, name) in groups {
                let said = self.ask(&["-ciphersuites", suite, "-groups", group]);
                for expected in [HEALTH, suite, name, "Verify return code: 0"] {
                    assert!(said.contains(expected), "no {expected}: {said}");
                }
            }
        }
        // It sends a key of its first group alone, which is none of ours.
        let said = self.ask(&["-groups", "X448:P-256"]);
        assert!(said.contains(HEALTH) && said.contains("prime256v1"), "{said}");
    }

    fn resumes(&self) {
        let file = self.file("session");
        assert!(self.ask(&["-sess_out", &file]).contains("New, TLSv1.3"));
        // By connections that come to other cores too.
        for _ in 0..6 {
            let said = self.ask(&["-sess_in", &file]);
            assert!(said.contains("Reused, TLSv1.3") && said.contains(HEALTH), "{said}");
        }
    }

    /// It takes a line that begins with K as a wish for new keys, of both ends.
    fn replaces_keys(&self) {
        let mut command = Command::new(tool("openssl").expect("it is there"));
        command.args(self.openssl(&["-msg"]));
        let mut client = Running::start(command);
        // The second ticket is the last that the server says by itself.
        client.expect_output("NewSessionTicket", PATIENCE);
        client.expect_output("Verify return code: 0", PATIENCE);
        say(&mut client, b"K\n");
        client.expect_output("KEYUPDATE", PATIENCE);
        say(&mut client, REQUEST);
        client.expect_output(HEALTH, PATIENCE);
        client.expect_end(PATIENCE);
        let said = client.output();
        let updates = |arrow: &str| {
            said.lines()
                .filter(|line| line.starts_with(arrow) && line.contains("KeyUpdate"))
                .count()
        };
        assert_eq!((updates(">>>"), updates("<<<")), (1, 1), "{said}");
    }

    fn refuses_what_it_does_not_do(&self) {
        for (option, expected) in [
            (&["-tls1_2"][..], "alert protocol version"),
            (&["-groups", "X448"], "alert handshake failure"),
            (&["-alpn", "h2"], "alert no application protocol"),
            (&["-sigalgs", "RSA-PSS+SHA256"], "alert handshake failure"),
        ] {
            let said = self.ask(option);
            assert!(said.contains(expected), "no {expected}: {said}");
        }
    }

    fn is_reached_by_python(&self) {
        let said = run("python3", &["-c", PROGRAM, &self.trust, &self.port.to_string()]);
        assert_eq!(said.trim(), "TLSv1.3 http/1.1");
    }

    fn serves_many_at_once(&self) {
        let wrk = run("wrk", &["-t1", "-c32", "-d3s", &self.url("/health")]);
        assert!(wrk.contains("Requests/sec") && !wrk.contains("errors"), "{wrk}");
    }
}

fn say(program: &mut Running, bytes: &[u8]) {
    let input = program.input().expect("it was piped");
    input.write_all(bytes).and_then(|()| input.flush()).expect("it reads");
}

/// Three requests on one connection.
const PROGRAM: &str = "
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
context.set_alpn_protocols(['http/1.1'])
connection = http.client.HTTPSConnection('localhost', int(sys.argv[2]), context=context)
for _ in range(3):
    connection.request('GET', '/health')
    assert connection.getresponse().read() == b'{\"status\":\"ok\"}'
print(connection.sock.version(), connection.sock.selected_alpn_protocol())
";
