//! The reverse proxy as a process, between curl and two nginx.

use crate::runner::free_port;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};
use waitless_tests::lab::{
    Edit, Folder, Lab, Native, PATIENCE, Running, checkout, curl, run, run_in, tool, wait_for,
};

/// Bytes of a long file.
const LONG: usize = 3_000_000;

/// A gateway, and nginx behind it, twice.
struct Site {
    gateway: Native,
    /// Where the gateway is.
    base: String,
    folder: Folder,
    servers: Vec<Running>,
}

pub fn before_nginx(lab: &Lab) {
    let mut site = Site::new(lab);
    site.what_goes_on();
    site.bodies();
    site.turns();
    site.failures();
    let url = format!("{}/one/short.txt", site.base);
    let said = run("wrk", &["-t", "1", "-c", "32", "-d", "2s", "--timeout", "20s", &url]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    site.gateway.process.signal("TERM");
    let status = site.gateway.process.expect_end(PATIENCE);
    assert!(status.success(), "{status}\n{}", site.gateway.process.output());
}

/// Upstreams by TLS, with the tables that docs/gateway.md shows: nginx with a certificate that is
/// trusted, with others, and with none.
pub fn before_nginx_by_tls(lab: &Lab) {
    let tables = |manifest: &str| format!("{manifest}{}", upstream_tables());
    let edit: Edit<'_> = ("apps/gateway/waitless.toml", &tables);
    let (program, copy) = lab.images.native_variant("gateway", "gateway-secure", &[edit]);
    let folder = Folder::new("gateway-secure");
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("put")).expect("a folder");
    fs::write(file("long"), vec![b'x'; LONG]).expect("a file");
    let (hour, now) = (Duration::from_secs(3600), SystemTime::now());
    let (pem, key) = build::certificates::make(&["localhost"], now, hour).expect("random bytes");
    fs::write(file("other.pem"), pem + &key).expect("a file");
    let own = ["pem", "key"].map(|kind| copy.join("certs/development").with_extension(kind));
    let own = own.map(|path| path.display().to_string());
    let ports = [(); 5].map(|()| free_port());
    let server = |port: u16, tls: bool, more: &str| {
        let tls = if tls { " ssl" } else { "" };
        let addresses = ["127.0.0.1", "127.0.0.2"].map(|it| format!("listen {it}:{port}{tls};"));
        format!("server {{\n{}\n{more}\n}}\n", addresses.concat())
    };
    let other = file("other.pem");
    let servers = [
        server(
            ports[0],
            true,
            "location = /seen { return 200 \"$http_host $http_via $connection\"; }\n\
             location /put/ { dav_methods PUT; }",
        ),
        server(
            ports[1],
            true,
            "keepalive_requests 1;\nlocation / { return 200 $ssl_session_reused; }",
        ),
        server(ports[2], true, &format!("ssl_certificate {other}; ssl_certificate_key {other};")),
        server(ports[3], true, "ssl_protocols TLSv1.2;"),
        server(ports[4], false, ""),
    ];
    let text = format!(
        "ssl_certificate {};\nssl_certificate_key {};\nssl_protocols TLSv1.3;\n\
         client_max_body_size 8m;\nroot {};\n{}",
        own[0],
        own[1],
        folder.path().display(),
        servers.concat()
    );
    let _nginx = nginx_with(&folder, "secure", &text, ports[0]);
    let to = |path: &str, port: u16| format!("{path}=https://127.0.0.1:{port}");
    let routes = [
        to("/once", ports[1]),
        to("/other", ports[2]),
        to("/old", ports[3]),
        to("/plain", ports[4]),
        format!("/elsewhere=https://127.0.0.2:{}", ports[0]),
        to("/", ports[0]),
    ];
    let (port, routes) = (free_port(), format!("gateway.routes={}", routes.join(";")));
    let arguments = ["--ports", &format!("80/tcp={port}"), "--set", &routes];
    let mut gateway = Native::start(&program, &arguments);
    gateway.expect_http(Ipv4Addr::LOCALHOST, port);
    let site = Site { gateway, base: format!("http://127.0.0.1:{port}"), folder, servers: vec![] };
    site.by_tls();
}

/// The tables of a client of TLS that docs/gateway.md shows. It trusts the certificate for
/// development.
fn upstream_tables() -> String {
    let page = fs::read_to_string(checkout().join("docs/gateway.md")).expect("the document");
    let (_, tables) = page.split_once("```toml\n[tls-client]").expect("the tables");
    let (tables, _) = tables.split_once("[sntp]").expect("a table that only images need");
    let known = tables.replace("\"certs/roots.pem\"", "\"development\"");
    assert_ne!(known, tables, "the document names a file of those who are trusted");
    format!("\n[tls-client]{known}")
}

impl Site {
    fn by_tls(mut self) {
        let get = |path: &str| curl(&["--fail", &format!("{}{path}", self.base)]);
        let host = self.base.trim_start_matches("http://");
        let seen = get("/seen");
        assert!(seen.starts_with(&format!("{host} 1.1 gateway ")), "{seen}");
        assert_eq!(get("/seen"), seen, "by the same connection");
        // Where none is kept, a session is resumed.
        assert_eq!([(); 3].map(|()| get("/once")), [".", "r", "r"]);
        let file = self.folder.path().join("long").display().to_string();
        assert_eq!(self.status("/put/back", &["-T", &file]), "201");
        let size = ["-o", "/dev/null", "-w", "%{size_download}"];
        let back = format!("{}/put/back", self.base);
        assert_eq!(curl(&[&size[..], &[&back]].concat()), LONG.to_string());
        // Nobody whom it trusts, another name, another version, no TLS.
        for path in ["/other", "/elsewhere", "/old", "/plain"] {
            assert_eq!(self.status(path, &[]), "502", "{path}");
        }
        let url = format!("{}/seen", self.base);
        let said = run("wrk", &["-t", "1", "-c", "16", "-d", "1s", "--timeout", "20s", &url]);
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
        self.gateway.process.signal("TERM");
        let status = self.gateway.process.expect_end(PATIENCE);
        assert!(status.success(), "{status}\n{}", self.gateway.process.output());
    }

    #[track_caller]
    fn new(lab: &Lab) -> Self {
        let folder = Folder::new("gateway");
        let put = |name: &str, bytes: &[u8]| {
            fs::create_dir_all(folder.path().join("one/put")).expect("a folder");
            fs::write(folder.path().join(name), bytes).expect("a file");
        };
        put("one/short.txt", b"short\n");
        put("one/made.shtml", b"made: <!--#echo var=\"request_method\" -->\n");
        put("long", &(0..LONG).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        let ports = [free_port(), free_port()];
        let servers = ["one", "two"].into_iter().zip(ports);
        let servers = servers.map(|(name, port)| nginx(&folder, name, port)).collect();
        let [one, two] = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let broken = format!("http://{}", breaking_off());
        let routes =
            format!("gateway.routes=/one={one};/both={one},{two};a.test={two};/broken={broken}");
        let port = free_port();
        let arguments = ["--ports", &format!("80/tcp={port}"), "--set", &routes];
        let mut gateway = Native::start(&lab.images.native("gateway"), &arguments);
        gateway.expect_http(Ipv4Addr::LOCALHOST, port);
        Self { gateway, base: format!("http://127.0.0.1:{port}"), folder, servers }
    }

    /// The status of what curl gets.
    #[track_caller]
    fn status(&self, path: &str, more: &[&str]) -> String {
        let url = format!("{}{path}", self.base);
        curl(&[&["-o", "/dev/null", "-w", "%{http_code}", &url], more].concat())
    }

    fn what_goes_on(&self) {
        let seen = curl(&[
            "--fail",
            "-H",
            "X-Forwarded-For: 1.2.3.4",
            &format!("{}/one/seen?q", self.base),
        ]);
        let host = self.base.trim_start_matches("http://");
        let expected = format!("/one/seen?q {host} 127.0.0.1 http 1.1 gateway");
        assert_eq!(seen, expected);
        assert_eq!(curl(&["-H", "Host: a.test", &self.base]), "two");
        assert_eq!(self.status("/", &[]), "404");
        assert_eq!(self.status("/one/../long", &["--path-as-is"]), "400");
        let url = format!("{}/one/short.txt", self.base);
        let head = curl(&["--fail", "--head", &url]);
        let values = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let named = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values("Server"), ["nginx"]);
        assert_eq!((values("Date").len(), values("Content-Length").join("")), (1, "6".into()));
        let tag = &values("ETag")[0];
        assert_eq!(self.status("/one/short.txt", &["-H", &format!("If-None-Match: {tag}")]), "304");
        assert_eq!(curl(&["--fail", "--range", "1-2", &url]), "ho");
        assert_eq!(curl(&["--fail", &format!("{}/one/made.shtml", self.base)]), "made: GET\n");
    }

    /// Long ones, both ways, with a length, in chunks, and on a word.
    fn bodies(&self) {
        let file = self.folder.path().join("long");
        let file = file.to_str().expect("a text path");
        for (name, way) in [
            ("length", &["-H", "Expect:"][..]),
            ("chunks", &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"]),
            ("word", &["-H", "Expect: 100-continue"]),
        ] {
            let path = format!("/one/put/{name}");
            assert_eq!(self.status(&path, &[&["-T", file], way].concat()), "201", "{name}");
            let back = self.folder.path().join("back");
            let back = back.to_str().expect("a text path");
            curl(&["--fail", "-o", back, &format!("{}{path}", self.base)]);
            assert!(fs::read(back).ok() == fs::read(file).ok(), "{name} comes back as it went");
        }
        assert_eq!(self.status("/one/small/x", &["-T", file]), "413");
    }

    fn turns(&mut self) {
        let both = format!("{}/both", self.base);
        let four: Vec<_> = (0..4).map(|_| curl(&["--fail", &both])).collect();
        assert!(four[0] != four[1] && four[..2] == four[2..], "{four:?}");
        // Whoever is left answers for both.
        let two = self.servers.pop();
        drop(two);
        assert!((0..6).all(|_| curl(&["--fail", &both]) == "one"));
        assert_eq!(self.status("/", &["-H", "Host: a.test"]), "502");
    }

    fn failures(&self) {
        assert_eq!(self.status("/one/cut", &[]), "502");
        assert_eq!(self.status("/one/short.txt", &["-X", "TRACE"]), "501");
        // An answer that breaks off does so for the client, too.
        let url = format!("{}/broken", self.base);
        let all = ["--silent", "--max-time", "60", "-o", "/dev/null", &url];
        let broken = run_in(self.folder.path(), "curl", &all, b"");
        assert_eq!(broken.status.code(), Some(18), "part of it came: {}", broken.errors);
    }
}

/// A server that breaks off every answer, and where it is.
#[track_caller]
fn breaking_off() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // An error ends the connection, which is what it is for.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart of it");
        }
    });
    address
}

/// nginx called `name`, for the files of `folder`.
#[track_caller]
fn nginx(folder: &Folder, name: &str, port: u16) -> Running {
    let path = folder.path().display();
    let seen = "$request_uri $http_host $http_x_forwarded_for $http_x_forwarded_proto $http_via";
    let server = format!(
        "server {{\nlisten 127.0.0.1:{port};\nroot {path};\n\
         client_max_body_size 8m;\n\
         location / {{ return 200 {name}; }}\n\
         location /one/ {{ }}\n\
         location = /one/made.shtml {{ ssi on; ssi_types *; }}\n\
         location = /one/seen {{ return 200 \"{seen}\"; }}\n\
         location = /one/cut {{ return 444; }}\n\
         location /one/small/ {{ client_max_body_size 1k; dav_methods PUT; }}\n\
         location /one/put/ {{ dav_methods PUT; }}\n}}\n"
    );
    nginx_with(folder, name, &server, port)
}

/// nginx called `name` with the servers that `servers` describes, one of them at `port`, when it
/// listens.
#[track_caller]
fn nginx_with(folder: &Folder, name: &str, servers: &str, port: u16) -> Running {
    let path = folder.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {path}/{name}-{kind};"))
        .join("\n");
    let text = format!(
        "daemon off;\nmaster_process off;\nuser root;\npid {path}/{name}.pid;\n\
         error_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nserver_tokens off;\n\
         {temporary}\n{servers}}}\n"
    );
    let file = folder.path().join(format!("{name}.conf"));
    fs::write(&file, text).expect("a configuration");
    let mut command = Command::new(tool("nginx").expect("nginx is there"));
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
    let nginx = Running::start(command);
    wait_for("nginx", PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
    nginx
}
