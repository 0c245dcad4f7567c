//! What UDP knows of the network below: who knows names, and from where packets go out.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use waitless::cores::Home;
use waitless::network::names::NameServers;
use waitless::network::v6::Ipv6Network;
use waitless::{IpPort, Protocol};

/// What an IP layer said when it last changed.
pub(crate) struct Surroundings {
    home: Home,
    generation: u32,
    names: NameServers,
    address: Option<Ipv4Addr>,
    network: Option<Ipv6Network>,
}

impl Surroundings {
    /// Nothing is known yet.
    pub fn new(home: Home) -> Self {
        let names = NameServers::default();
        Self { home, generation: 0, names, address: None, network: None }
    }

    /// Whether something has changed.
    #[inline]
    pub fn are_old<I: IpPort>(&self, ip: &I) -> bool {
        ip.generation() != self.generation
    }

    /// Asks anew.
    #[cold]
    pub fn learn<I: IpPort>(&mut self, ip: &I) {
        self.generation = ip.generation();
        self.names = NameServers::default();
        let configuration = ip.configuration();
        self.address = configuration.map(|it| it.address);
        self.network = ip.network().cloned();
        // Those that DHCP names first (RFC 8106 section 5.3.1).
        for server in configuration.into_iter().flat_map(|it| it.dns) {
            self.names.add_server(server.into());
        }
        if let Some(network) = &self.network {
            for server in &network.servers {
                self.names.add_server((*server).into());
            }
            for domain in network.search.split(' ') {
                self.names.add_domain(domain);
            }
        }
    }

    /// Who knows names.
    pub fn names(&self) -> &NameServers {
        &self.names
    }

    /// Whether what `remote` answers to `port` comes to this core. Without an address to send
    /// from, nothing does, wherever it would come.
    pub fn is_home(&self, port: u16, remote: SocketAddr) -> bool {
        let local = match remote.ip() {
            IpAddr::V4(_) => self.address.map(IpAddr::V4),
            IpAddr::V6(to) => {
                self.network.as_ref().and_then(|it| it.source_for(to)).map(IpAddr::V6)
            }
        };
        let has = |local| self.home.has(Protocol::UDP, SocketAddr::new(local, port), remote);
        local.is_none_or(has)
    }
}
