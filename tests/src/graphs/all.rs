//! Those that only tests drive.

use super::ip4;
use crate::world::{Card, Host, OnCard};
use netem::{Netem, NetemIp, NetemLink, NetemUdp};
use std::time::{SystemTime, UNIX_EPOCH};
use waitless::http::Handler;

/// The web server's graph, on a bad wire.
#[allow(missing_docs, reason = "generated")]
pub mod server {
    include!(concat!(env!("OUT_DIR"), "/server.rs"));
}

/// Transports on a bad wire.
#[allow(missing_docs, reason = "generated")]
pub mod raw {
    include!(concat!(env!("OUT_DIR"), "/raw.rs"));
}

/// The other end of the wire.
#[allow(missing_docs, reason = "generated")]
pub mod client {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

/// A server that asks for its address.
#[allow(missing_docs, reason = "generated")]
pub mod roaming {
    include!(concat!(env!("OUT_DIR"), "/roaming.rs"));
}

/// A server with something in each edge above the link.
#[allow(missing_docs, reason = "generated")]
pub mod edges {
    include!(concat!(env!("OUT_DIR"), "/edges.rs"));
}

/// A server that asks for its address through something bad in every edge.
#[allow(missing_docs, reason = "generated")]
pub mod leased {
    include!(concat!(env!("OUT_DIR"), "/leased.rs"));
}

/// A server on the devices of the runner for Apple silicon.
#[allow(missing_docs, reason = "generated")]
pub mod hvf {
    include!(concat!(env!("OUT_DIR"), "/hvf.rs"));
}

/// A server that speaks both versions of IP.
#[allow(missing_docs, reason = "generated")]
pub mod dual {
    include!(concat!(env!("OUT_DIR"), "/dual.rs"));
}

/// A router with two cards.
#[allow(missing_docs, reason = "generated")]
pub mod router {
    include!(concat!(env!("OUT_DIR"), "/router.rs"));
}

/// Transports on a TAP device.
#[allow(missing_docs, reason = "generated")]
pub mod kernel {
    include!(concat!(env!("OUT_DIR"), "/kernel.rs"));
}

/// A host that takes from real servers what they give, on a TAP device.
#[allow(missing_docs, reason = "generated")]
pub mod peers {
    include!(concat!(env!("OUT_DIR"), "/peers.rs"));
}

/// A web server behind a firewall, on a TAP device.
#[allow(missing_docs, reason = "generated")]
pub mod walled {
    include!(concat!(env!("OUT_DIR"), "/walled.rs"));
}

/// A web server in a virtual LAN, on a TAP device.
#[allow(missing_docs, reason = "generated")]
pub mod tagged {
    include!(concat!(env!("OUT_DIR"), "/tagged.rs"));
}

/// A router of IPv6 between two TAP devices.
#[allow(missing_docs, reason = "generated")]
pub mod crossing {
    include!(concat!(env!("OUT_DIR"), "/crossing.rs"));
}

/// A web server on TLS, on a bad wire.
#[allow(missing_docs, reason = "generated")]
pub mod secure {
    include!(concat!(env!("OUT_DIR"), "/secure.rs"));
}

/// A host that asks others for names, the time and an address.
#[allow(missing_docs, reason = "generated")]
pub mod names {
    include!(concat!(env!("OUT_DIR"), "/names.rs"));
}

impl OnCard for names::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

/// A client with TLS.
#[allow(missing_docs, reason = "generated")]
pub mod fetch {
    include!(concat!(env!("OUT_DIR"), "/fetch.rs"));
}

impl OnCard for fetch::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl<Site: Handler> OnCard for secure::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl<Site: Handler> OnCard for dual::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl<Site: Handler> OnCard for server::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl<Site: Handler> OnCard for edges::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for leased::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for raw::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

/// Its card outside.
impl OnCard for router::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for client::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for roaming::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

/// A server with `packets` buffers behind a wire that does to frames what `wire` says.
#[track_caller]
pub fn server(packets: usize, seed: u8, wire: netem::Config) -> Host<server::Graph<impl Handler>> {
    Host::new(packets, seed, |cx| {
        let mut graph = server::graph(cx);
        graph.wire = Netem::new(Box::leak(Box::new(wire)), cx);
        graph
    })
}

/// A server on TLS with `packets` buffers behind a wire that does to frames what `wire` says.
#[track_caller]
pub fn secure(packets: usize, seed: u8, wire: netem::Config) -> Host<secure::Graph<impl Handler>> {
    Host::new(packets, seed, |cx| {
        let mut graph = secure::graph(cx);
        graph.wire = Netem::new(Box::leak(Box::new(wire)), cx);
        graph
    })
}

/// A server with `packets` buffers in which one edge, named by the instance above it, does to
/// packets what `wire` says: `ip4`, `tcp`, `udp`, `icmp` or `echo`.
#[track_caller]
pub fn edges(
    packets: usize,
    seed: u8,
    edge: &str,
    wire: netem::Config,
) -> Host<edges::Graph<impl Handler>> {
    Host::new(packets, seed, |cx| {
        let mut graph = edges::graph(cx);
        let wire = Box::leak(Box::new(wire));
        match edge {
            "ip4" => graph.packets = NetemLink::new(wire, cx),
            "tcp" => graph.segments = NetemIp::new(wire, cx),
            "udp" => graph.datagrams = NetemIp::new(wire, cx),
            "icmp" => graph.messages = NetemIp::new(wire, cx),
            "echo" => graph.echoes = NetemUdp::new(wire, cx),
            _ => panic!("no edge below {edge}"),
        }
        graph
    })
}

/// A server without an address, and with something bad in every edge.
#[track_caller]
pub fn leased(packets: usize, seed: u8) -> Host<leased::Graph> {
    Host::new(packets, seed, leased::graph)
}

/// Transports with `packets` buffers behind a wire that does to frames what `wire` says.
#[track_caller]
pub fn raw(packets: usize, seed: u8, wire: netem::Config) -> Host<raw::Graph> {
    Host::new(packets, seed, |cx| {
        let mut graph = raw::graph(cx);
        graph.wire = Netem::new(Box::leak(Box::new(wire)), cx);
        graph
    })
}

/// A server with `packets` buffers and both versions of IP, the last byte of whose addresses is
/// `number`, behind a wire that does to frames what `wire` says.
#[track_caller]
pub fn dual(
    packets: usize,
    number: u8,
    seed: u8,
    wire: netem::Config,
) -> Host<dual::Graph<impl Handler>> {
    Host::new(packets, seed, |cx| {
        let mut graph = dual::graph(cx);
        graph.wire = Netem::new(Box::leak(Box::new(wire)), cx);
        graph.nic = Card::with(waitless::Mac([2, 0, 0, 0, 0, number]));
        graph.ip4 = ipv4::Ipv4::new(ip4(number), cx);
        graph
    })
}

/// A client with `packets` buffers.
#[track_caller]
pub fn client(packets: usize, seed: u8) -> Host<client::Graph> {
    Host::new(packets, seed, client::graph)
}

/// The same with another TCP.
#[track_caller]
pub fn client_with(packets: usize, seed: u8, config: tcp::Config) -> Host<client::Graph> {
    Host::new(packets, seed, |cx| {
        let mut graph = client::graph(cx);
        graph.tcp = tcp::Tcp::new(Box::leak(Box::new(config)), cx);
        graph
    })
}

/// A host with `packets` buffers that asks others for names, the time and an address. Its card's
/// number is 1.
#[track_caller]
pub fn names(packets: usize, seed: u8) -> Host<names::Graph> {
    Host::new(packets, seed, |cx| {
        let mut graph = names::graph(cx);
        graph.nic = Card::with(waitless::Mac([2, 0, 0, 0, 0, 1]));
        graph
    })
}

/// A client with TLS, and `packets` buffers, that knows what time it is.
#[track_caller]
pub fn fetch(packets: usize, seed: u8) -> Host<fetch::Graph> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Host::new(packets, seed, |cx| {
        cx.set_wall_clock(now.as_nanos() as u64);
        fetch::graph(cx)
    })
}

/// A server without an address.
#[track_caller]
pub fn roaming(packets: usize, seed: u8) -> Host<roaming::Graph> {
    Host::new(packets, seed, roaming::graph)
}

/// A router, whose cards have the stations 1 (outside) and 2.
#[track_caller]
pub fn router(packets: usize, seed: u8) -> Host<router::Graph> {
    Host::new(packets, seed, |cx| {
        let mut graph = router::graph(cx);
        graph.nic = Card::with(waitless::Mac([2, 0, 0, 0, 0, 1]));
        graph.nic2 = Card::with(waitless::Mac([2, 0, 0, 0, 0, 2]));
        graph
    })
}
