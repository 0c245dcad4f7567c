//! A TAP device with the graph on one side and the kernel on the other.

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;
use tcp::Tcp;
use waitless::{Context, Phase, Service, Stream, StreamPort};
use waitless_tests::graphs::kernel::{self, Graph};
use waitless_tests::lab::{Capture, Tap};
use waitless_tests::live::{Host, Live, card, leak};
use waitless_tests::world::counter_of;

/// Where the graph listens.
pub const PORT: u16 = 9000;
/// Buffers of the graph.
const BUFFERS: usize = 8192;
/// How long to rest when nothing is due: the TAP device wakes nobody here.
const REST: Duration = Duration::from_micros(50);

/// Which version of IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Who opens the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opener {
    Graph,
    Kernel,
}

pub const OPENERS: [Opener; 2] = [Opener::Graph, Opener::Kernel];

/// Both ends of the wire.
pub struct Link {
    host: Host<Graph>,
    pub service: Service,
    pub tap: Tap,
    graph_address: Ipv4Addr,
}

impl Link {
    /// A wire that does to frames what `wire` says. The graph sends and takes packets of IPv4 of
    /// at most `mtu` bytes.
    #[track_caller]
    pub fn new(wire: netem::Config, mtu: u16) -> Self {
        let tap = Tap::new();
        tap.turn_on_ipv6();
        let graph_address = tap.host(2);
        let mut host = Host::new(BUFFERS, REST, |cx| {
            let mut graph = kernel::graph(cx);
            graph.wire = netem::Netem::new(leak(wire), cx);
            graph.nic = card(&tap, cx);
            graph.ip4 = ipv4::Ipv4::new(leak(address(graph_address, mtu)), cx);
            graph.ip6 = ipv6::Ipv6::new(leak(address_v6(tap.host_v6(2))), cx);
            graph
        });
        let service = host.graph.tcp.attach().expect("room for a service");
        host.graph.tcp.listen(service, PORT).expect("a free port");
        let mut link = Self { host, service, tap, graph_address };
        // Until the address is known to be nobody else's.
        link.run_for(Duration::from_millis(200));
        link
    }

    /// A wire that does nothing to frames.
    #[track_caller]
    pub fn clean() -> Self {
        Self::new(netem::Config::CLEAN, 1500)
    }

    /// The graph's address and the port where it listens.
    pub fn graph_end(&self, family: Family) -> SocketAddr {
        match family {
            Family::V4 => (self.graph_address, PORT).into(),
            Family::V6 => (self.tap.host_v6(2), PORT).into(),
        }
    }

    /// The kernel's address.
    pub fn kernel_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.tap.address.into(),
            Family::V6 => self.tap.host_v6(1).into(),
        }
    }

    pub fn tcp(&mut self) -> &mut Tcp {
        &mut self.host.graph.tcp
    }

    /// The graph's counter `name` of TCP.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        counter_of(self.host.graph.tcp.counters(), name)
    }

    /// A connection of which both ends are open.
    #[track_caller]
    pub fn open(&mut self, opener: Opener, family: Family) -> (Stream, TcpStream) {
        match opener {
            Opener::Kernel => {
                let socket = self.connect_kernel(family);
                let stream = self.accept_graph();
                self.until("the kernel's end", |_| socket.peer_addr().ok());
                (stream, socket)
            }
            Opener::Graph => {
                let listener = TcpListener::bind((self.kernel_address(family), 0)).expect("a port");
                listener.set_nonblocking(true).expect("a setting");
                let remote = listener.local_addr().expect("it is bound");
                let service = self.service;
                let stream = self.tcp().connect(service, remote).expect("a route");
                self.tcp().set_tag(stream, 1);
                let socket = self.until("a client", |_| listener.accept().ok()).0;
                socket.set_nonblocking(true).expect("a setting");
                self.expect_phase(stream, Phase::Open);
                (stream, socket)
            }
        }
    }

    /// A socket of the kernel's that has begun to connect to the graph.
    #[track_caller]
    pub fn connect_kernel(&self, family: Family) -> TcpStream {
        let socket = kernel_socket(family);
        begin_to_connect(&socket, self.graph_end(family));
        socket.into()
    }

    /// The next connection that somebody opened to the graph.
    #[track_caller]
    pub fn accept_graph(&mut self) -> Stream {
        let service = self.service;
        let stream = self.until("a new connection", |link| {
            let tcp = link.tcp();
            let stream = tcp.news(service)?;
            tcp.tag(stream).is_none().then_some(stream)
        });
        self.tcp().set_tag(stream, 1);
        stream
    }

    #[track_caller]
    pub fn expect_phase(&mut self, stream: Stream, phase: Phase) {
        self.until(&format!("{phase:?}"), |link| {
            (link.host.graph.tcp.status(stream).phase == phase).then_some(())
        });
    }
}

impl Live for Link {
    fn turn(&mut self) {
        self.host.turn();
    }

    fn cx(&self) -> &Context {
        &self.host.cx
    }
}

/// A socket without a name that does not wait.
#[track_caller]
pub fn kernel_socket(family: Family) -> OwnedFd {
    let family = if family == Family::V4 { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK, None)
        .expect("a socket")
}

#[track_caller]
pub fn begin_to_connect(socket: &OwnedFd, remote: SocketAddr) {
    let begun = rustix::net::connect(socket, &remote);
    assert_eq!(begun, Err(Errno::INPROGRESS));
}

/// What must not be in a capture in which nothing was lost: of anybody, or of the graph alone.
pub struct Referee {
    capture: Capture,
    ours: String,
}

impl Referee {
    pub fn on(link: &Link) -> Self {
        let addresses = (link.graph_address, link.tap.host_v6(2));
        let ours = format!("(ip.src == {} || ipv6.src == {})", addresses.0, addresses.1);
        Self { capture: Capture::on(&link.tap), ours }
    }

    /// Judges at least `least` segments of the graph's.
    #[track_caller]
    pub fn judge(mut self, least: usize, wrong: &[&str]) {
        let ours = &self.ours;
        let seen = self.capture.frames(&format!("{ours} && tcp")).len();
        assert!(seen >= least, "the capture has {seen} segments of the graph's");
        let sums = "tcp.checksum.status == 0 || ip.checksum.status == 0 || \
                    icmpv6.checksum.status == 0";
        let again = "tcp.analysis.retransmission || tcp.analysis.fast_retransmission || \
                     tcp.analysis.spurious_retransmission";
        let all = ["_ws.malformed", sums, again].into_iter().chain(wrong.iter().copied());
        for filter in all {
            let frames = self.capture.frames(&format!("{ours} && ({filter})"));
            let some = &frames[..frames.len().min(20)];
            assert!(frames.is_empty(), "{filter}: {}\n{}", frames.len(), some.join("\n"));
        }
    }
}

fn address(address: Ipv4Addr, mtu: u16) -> ipv4::Config {
    ipv4::Config {
        address: Some((address, 24)),
        gateway: None,
        routes: &[],
        dns: &[],
        ttl: 64,
        mtu: Some(mtu),
        reassembly: 16,
        reassembly_timeout: waitless::Duration::from_secs(60),
    }
}

fn address_v6(address: Ipv6Addr) -> ipv6::Config {
    ipv6::Config {
        addresses: leak([(address, 64)]),
        gateway: None,
        autoconfigure: false,
        identifiers: ipv6::Identifiers::Stable,
        secret: None,
        duplicate_probes: 0,
        redirects: false,
        hop_limit: None,
        mtu: None,
        neighbours: 16,
        pending: 8,
        reassembly: 16,
        reassembly_timeout: waitless::Duration::from_secs(60),
        advertise: false,
    }
}
