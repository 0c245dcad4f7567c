//! The graphs that tests drive, generated from the manifests in `tests/graphs`.

#[cfg(feature = "whole")]
mod all;

#[cfg(feature = "whole")]
pub use all::*;

use crate::world::{Card, Host, OnCard};
use waitless::http::Handler;

/// What a request costs is measured on this one.
#[allow(missing_docs, reason = "generated")]
pub mod bench {
    include!(concat!(env!("OUT_DIR"), "/bench.rs"));
}

/// What both ends cost is measured on two of this one.
#[allow(missing_docs, reason = "generated")]
pub mod ends {
    include!(concat!(env!("OUT_DIR"), "/ends.rs"));
}

impl<Site: Handler> OnCard for bench::Graph<Site> {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

impl OnCard for ends::Graph {
    fn card(&mut self) -> &mut Card {
        &mut self.nic
    }
}

/// An end with `packets` buffers and nothing on its wire, the last byte of whose addresses is
/// `number`.
#[track_caller]
pub fn ends(packets: usize, number: u8) -> Host<ends::Graph> {
    Host::new(packets, number, |cx| {
        let mut graph = ends::graph(cx);
        graph.nic = Card::with(waitless::Mac([2, 0, 0, 0, 0, number]));
        graph.ip4 = ipv4::Ipv4::new(ip4(number), cx);
        graph
    })
}

/// The configuration of IPv4 with the address 10.0.0.`number`.
fn ip4(number: u8) -> &'static ipv4::Config {
    Box::leak(Box::new(ipv4::Config {
        address: Some((std::net::Ipv4Addr::new(10, 0, 0, number), 24)),
        gateway: None,
        routes: &[],
        dns: &[],
        ttl: 64,
        mtu: None,
        reassembly: 16,
        reassembly_timeout: waitless::Duration::from_secs(60),
    }))
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
