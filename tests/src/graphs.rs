//! The graphs that tests drive, generated from the manifests in `tests/graphs`.

use crate::world::{Card, Host, OnCard};
use netem::Netem;
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

/// What a request costs is measured on this one.
#[allow(missing_docs, reason = "generated")]
pub mod bench {
    include!(concat!(env!("OUT_DIR"), "/bench.rs"));
}

impl<Site: Handler> OnCard for bench::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl<Site: Handler> OnCard for server::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for raw::Graph {
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

/// Transports with `packets` buffers behind a wire that does to frames what `wire` says.
#[track_caller]
pub fn raw(packets: usize, seed: u8, wire: netem::Config) -> Host<raw::Graph> {
    Host::new(packets, seed, |cx| {
        let mut graph = raw::graph(cx);
        graph.wire = Netem::new(Box::leak(Box::new(wire)), cx);
        graph
    })
}

/// A server with `packets` buffers and nothing on its wire.
#[track_caller]
pub fn bench(packets: usize) -> Host<bench::Graph<impl Handler>> {
    Host::new(packets, 1, |cx| {
        let mut graph = bench::graph(cx);
        graph.nic = Card::with(waitless::Mac([2, 0, 0, 0, 0, 1]));
        graph
    })
}

/// A client with `packets` buffers.
#[track_caller]
pub fn client(packets: usize, seed: u8) -> Host<client::Graph> {
    Host::new(packets, seed, client::graph)
}

/// A server without an address.
#[track_caller]
pub fn roaming(packets: usize, seed: u8) -> Host<roaming::Graph> {
    Host::new(packets, seed, roaming::graph)
}
