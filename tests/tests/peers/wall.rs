//! A firewall against clients that it lets in, and others.

use crate::host::{LISTENER, listen, reach, with};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;
use waitless::http::Handler;
use waitless_tests::graphs::walled::{self, Graph};
use waitless_tests::lab::{Capture, Connection, Lab, Tap, curl, ping, run, tool};
use waitless_tests::live::{Host, Live, card};

/// This machine's and the graph's addresses.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const HERE_V6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1);
const GRAPH: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
const GRAPH_V6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2);
/// An address of this machine that the rules say nothing of.
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 9);

/// How long to wait for what must not come.
const SILENCE: Duration = Duration::from_millis(700);

pub fn what_may_pass(_: &Lab) {
    let tap = Tap::new();
    tap.turn_on_ipv6();
    for address in [format!("{HERE}/24"), format!("{OTHER}/24")] {
        run("ip", &["address", "add", &address, "dev", &tap.name]);
    }
    run("ip", &["-6", "address", "add", &format!("{HERE_V6}/64"), "dev", &tap.name, "nodad"]);
    let mut capture = Capture::on(&tap);
    let mut host = with(|cx| {
        let mut graph = walled::graph(cx);
        graph.nic = card(&tap, cx);
        graph
    });
    // Until the address is known to be nobody else's.
    host.run_for(Duration::from_millis(500));
    for address in [IpAddr::V4(GRAPH), IpAddr::V6(GRAPH_V6)] {
        let site = format!("http://{}", SocketAddr::new(address, 80));
        visit(&mut host, &site);
        host.during(|| ping(address, 3, 1400));
    }
    let dropped = |host: &Host<Graph<_>>| host.counter("wall4", "dropped_in_policy");
    let before = dropped(&host);
    host.during(refused);
    assert!(dropped(&host) >= before + 3, "{} and {before}", dropped(&host));
    outgoing(&mut host);
    survives(&mut host);
    drop(host);
    let ours = format!("!(eth.src == {})", tap.station());
    let checks = "tcp.checksum.status == 0 || udp.checksum.status == 0";
    for wrong in ["_ws.malformed", checks] {
        let frames = capture.frames(&format!("{ours} && ({wrong})"));
        assert!(frames.is_empty(), "{wrong}:\n{}", frames.join("\n"));
    }
    let silent = format!("{ours} && ip.dst == {OTHER}");
    assert!(capture.frames(&silent).is_empty(), "an answer to who is not let in");
}

/// What the rules let in works, both ways.
#[track_caller]
fn visit(host: &mut Host<Graph<impl Handler>>, site: &str) {
    host.during(|| {
        let size = ["-g", "--fail", "-o", "/dev/null", "-w", "%{size_download}"];
        let download = format!("{site}/bytes?count=3000000");
        assert_eq!(curl(&[&size[..], &[&download]].concat()), "3000000");
        let echo = format!("{site}/echo");
        assert_eq!(curl(&["-g", "--fail", "--data-binary", "to and fro", &echo]), "to and fro");
    });
}

/// A port that no rule names, a service that none does, and a host.
fn refused() {
    let closed = TcpStream::connect_timeout(&(GRAPH, 81).into(), SILENCE);
    assert!(closed.is_err_and(|it| it.kind() == std::io::ErrorKind::TimedOut), "no answer");
    let probe = UdpSocket::bind((HERE, 0)).expect("a port");
    probe.set_read_timeout(Some(SILENCE)).expect("a timeout");
    probe.send_to(b"echo", (GRAPH, 7)).expect("a route");
    assert!(probe.recv(&mut [0; 64]).is_err(), "the echo is behind the wall");
    let from = ["-I", &OTHER.to_string(), &GRAPH.to_string()];
    let mut other = Command::new(tool("ping").expect("ping is there"));
    let said = other.args(["-n", "-W", "1", "-c", "1"]).args(from).output();
    assert!(!said.expect("ping runs").status.success(), "another host's ping passes");
}

/// What the host begins itself passes, and so do the answers.
fn outgoing(host: &mut Host<Graph<impl Handler>>) {
    listen();
    for address in [IpAddr::V4(HERE), IpAddr::V6(HERE_V6)] {
        let said = reach(host, &SocketAddr::new(address, LISTENER).to_string());
        assert_eq!(said, format!("{address} heard who am I?"));
        assert_eq!(reach(host, &SocketAddr::new(address, 9).to_string()), "it refuses");
    }
}

/// A connection goes on while others knock.
fn survives(host: &mut Host<Graph<impl Handler>>) {
    host.during(|| {
        let mut connection = Connection::to(GRAPH, 80);
        for number in 0..20 {
            connection.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
            assert_eq!(connection.answer().map(|it| it.status), Some(200), "request {number}");
            let knock = UdpSocket::bind((HERE, 0)).expect("a port");
            for port in 1..200 {
                knock.send_to(b"knock", (GRAPH, port)).expect("a route");
            }
        }
    });
}
