//! Lets handlers ask other servers (`Request::fetch`): keeps the client of a core, with its
//! connections.
//!
//! The client itself is [`waitless::http::client`]: a handler sends and receives by itself, over
//! connections that `dial` begins, so this stands on nothing. It sets the limits, gives up
//! connections that were kept for long enough or that a server has closed, and shows the counters.
//!
//! Not here: other versions of HTTP, cookies, caches, and proxies.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

pub use waitless::http::client::Config;

use waitless::http::client::Client;
use waitless::{Component, Context, CounterSet, Inspect, Instant};

/// The component.
#[derive(Debug)]
pub struct Fetch {
    client: &'static Client,
}

impl Fetch {
    /// A client without connections, for all handlers of this core.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let client = Client::leak(config, cx.system(), cx.pool());
        cx.system().set_client(client);
        Self { client }
    }
}

impl Component<()> for Fetch {
    fn receive(&mut self, (): &mut (), cx: &mut Context) {
        self.client.tend(cx.now());
    }

    fn deadline(&self) -> Instant {
        self.client.deadline()
    }
}

impl Inspect for Fetch {
    fn counters(&self) -> &'static dyn CounterSet {
        self.client.counters()
    }
}
