//! A router of IPv6 between the kernel's own stacks in two namespaces: what it says of itself, what
//! it passes on, and what it answers.

use crate::host::with;
use std::net::Ipv6Addr;
use waitless_tests::graphs::crossing::{self, Graph};
use waitless_tests::lab::{Folder, Lab, PATIENCE, Running, Side, Tap, frames_of, wait_for};
use waitless_tests::live::{Host, card};

/// The host outside, and the router's addresses on both sides.
const OUTSIDE: &str = "2001:db8:1::5";
const WAN: &str = "2001:db8:1::1";
const LAN: &str = "fd77:1:1:1::1";
/// The network inside.
const NETWORK: &str = "fd77:1:1:1::/64";

/// Serves bytes, counts those that are sent to it.
const SERVER: &str = "
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def say(self, body):
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.say(bytes(int(self.path[1:])))
    def do_POST(self):
        self.say(str(len(self.rfile.read(int(self.headers['Content-Length'])))).encode())
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
server = Server(('::', 8080), Handler)
print('ready')
server.serve_forever()
";

pub fn between_two_hosts(_: &Lab) {
    let (wan, lan) = (Tap::new(), Tap::new());
    let mut host = with(|cx| {
        let mut graph = crossing::graph(cx);
        (graph.nic, graph.nic2) = (card(&wan, cx), card(&lan, cx));
        graph
    });
    let outside = Side::with_ipv6(&wan.name);
    let address = format!("{OUTSIDE}/64");
    outside.run("ip", &["-6", "address", "add", &address, "dev", &wan.name, "nodad"]);
    outside.run("ip", &["-6", "route", "add", NETWORK, "via", WAN]);
    let inside = Side::with_ipv6(&lan.name);
    let folder = Folder::new("crossing");
    let captures = [(&outside, &wan), (&inside, &lan)].map(|(side, tap)| {
        let file = folder.path().join(&tap.name);
        let file = file.to_str().expect("a text path");
        let mut capture = side.start("dumpcap", &["-q", "-P", "-i", &tap.name, "-w", file]);
        capture.expect_output("File:", PATIENCE);
        capture
    });
    let _servers = [&outside, &inside].map(serve);
    let own = host.during(|| address_of(&inside, &lan));
    host.during(|| pages(&inside));
    host.during(|| answers(&inside));
    host.during(|| refused(&outside, own));
    counted(&host);
    for mut capture in captures {
        capture.signal("INT");
        capture.expect_end(PATIENCE);
    }
    for (tap, kinds) in [(&wan, ["tcp", "ipv6.fraghdr"]), (&lan, ["tcp", "icmpv6.type == 134"])] {
        let file = folder.path().join(&tap.name);
        for kind in kinds {
            assert!(!frames_of(&file, kind, folder.path()).is_empty(), "{kind}");
        }
        // An error quotes no more than a part, which has the sum of the whole.
        let wrong = "(_ws.malformed && !icmpv6) || icmpv6.checksum.status == 0 || \
                     (!icmpv6 && tcp.checksum.status == 0)";
        assert_eq!(frames_of(&file, wrong, folder.path()), [""; 0], "{}", tap.name);
    }
}

/// A web server of the kernel's sockets.
#[track_caller]
fn serve(side: &Side) -> Running {
    let mut server = side.start("python3", &["-u", "-c", SERVER]);
    server.expect_output("ready", PATIENCE);
    server
}

/// The address that the host inside has made itself, and that it knows its router.
#[track_caller]
fn address_of(inside: &Side, lan: &Tap) -> Ipv6Addr {
    let listed = ["-6", "-o", "address", "show", "dev", &lan.name, "scope", "global"];
    let address = wait_for("an address by what the router says", PATIENCE, || {
        let said = inside.run("ip", &listed);
        let usable = !said.contains("tentative") && said.contains("/64");
        let word = said.split_whitespace().find(|word| word.starts_with("fd77:1:1:1:"))?;
        word.trim_end_matches("/64").parse().ok().filter(|_| usable)
    });
    let routes = inside.run("ip", &["-6", "route", "show", "default"]);
    assert!(routes.contains("via fe80:") && routes.contains("proto ra"), "{routes}");
    address
}

/// What is asked for inside comes from outside, however long it is, and the other way round.
#[track_caller]
fn pages(inside: &Side) {
    inside.run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "10", "-s", "1200", OUTSIDE]);
    let size = ["-g", "-o", "/dev/null", "-w", "%{size_download}"];
    let page = format!("http://[{OUTSIDE}]:8080/3000000");
    assert_eq!(inside.curl(&[&size[..], &[&page]].concat()), "3000000");
    // The first segments are too long for the link outside, which the host learns.
    let body = Folder::new("body");
    let file = body.path().join("body");
    std::fs::write(&file, vec![7; 1_000_000]).expect("a file");
    let data = format!("@{}", file.display());
    let to = format!("http://[{OUTSIDE}]:8080/");
    assert_eq!(inside.curl(&["-g", "--data-binary", &data, &to]), "1000000");
    let route = inside.run("ip", &["-6", "route", "get", OUTSIDE]);
    assert!(route.contains("mtu 1400"), "{route}");
    // So it sends what is longer in fragments.
    inside.run("ping", &["-n", "-c", "3", "-i", "0.2", "-W", "10", "-s", "3000", OUTSIDE]);
}

/// What does not get there is answered, by the address inside.
#[track_caller]
fn answers(inside: &Side) {
    for (more, to, expected) in [
        (&["-t", "1"][..], OUTSIDE, "Time exceeded: Hop limit"),
        (&[], "2001:db8:1::dead", "Destination unreachable: Address unreachable"),
        (&[], WAN, "Destination unreachable: Administratively prohibited"),
    ] {
        let arguments = [&["-n", "-c", "1", "-W", "15"][..], more, &[to]].concat();
        let (_, said) = inside.try_run("ping", &arguments);
        assert!(said.contains(&format!("From {LAN} ")) && said.contains(expected), "{said}");
    }
}

/// Who is outside may ping, and begin nothing else.
#[track_caller]
fn refused(outside: &Side, inside: Ipv6Addr) {
    let inside = inside.to_string();
    outside.run("ping", &["-n", "-c", "2", "-i", "0.2", "-W", "10", &inside]);
    let page = format!("http://[{inside}]:8080/10");
    let (well, said) = outside.try_run("curl", &["-g", "--silent", "--max-time", "2", &page]);
    assert!(!well, "{said}");
}

/// Every answer was counted.
#[track_caller]
fn counted(host: &Host<Graph>) {
    for (instance, counter) in [
        ("forward", "expired"),
        ("forward", "too_big"),
        ("forward", "unanswered"),
        ("forward", "prohibited"),
        ("wall", "dropped_in_policy"),
        ("lan6", "advertised"),
    ] {
        assert!(host.counter(instance, counter) > 0, "{instance} {counter}");
    }
    assert!(host.counter("forward", "forwarded") > 2_000);
    for (instance, counter) in [("forward", "congested"), ("forward", "reverse_path")] {
        println!("{instance} {counter}: {}", host.counter(instance, counter));
    }
}
