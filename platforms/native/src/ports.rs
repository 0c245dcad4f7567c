//! Where the image's ports are on a host on which the low ones belong to root.

use waitless::Protocol;

/// The user's choices, and the rule for all other ports.
#[derive(Debug, Default)]
pub struct Ports {
    pairs: Vec<Pair>,
    /// Whether ports without a pair are the same on the host.
    same: bool,
}

/// A port of the image and the host's for it.
#[derive(Debug)]
struct Pair {
    /// `None` means every transport.
    protocol: Option<Protocol>,
    image: u16,
    host: u16,
}

impl Ports {
    /// Reads a list such as `80=8080,7/udp=7007` or `same,80=8080`; empty text chooses nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ports = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "same" {
                ports.same = true;
                continue;
            }
            ports.pairs.push(Pair::parse(entry).ok_or_else(|| {
                format!(
                    "`{entry}` is no pair of ports: write IMAGE=HOST, as in 80=8080 or 7/udp=7007"
                )
            })?);
        }
        Ok(ports)
    }

    /// The host's port for the image's `port` of the transport `protocol`.
    pub fn host(&self, protocol: Protocol, port: u16) -> u16 {
        let chosen = self.pairs.iter().rev().find(|pair| {
            pair.image == port && pair.protocol.is_none_or(|chosen| chosen == protocol)
        });
        match (chosen, protocol, port) {
            (Some(pair), ..) => pair.host,
            (None, ..) if self.same => port,
            (None, Protocol::UDP, 7) => 7007,
            (None, Protocol::TCP, 80) => 8080,
            (None, Protocol::TCP, 443) => 8443,
            (None, _, 1..1024) => port + 8000,
            (None, ..) => port,
        }
    }
}

impl Pair {
    fn parse(text: &str) -> Option<Self> {
        let (image, host) = text.split_once('=')?;
        let (image, protocol) = match image.split_once('/') {
            None => (image, None),
            Some((image, "tcp")) => (image, Some(Protocol::TCP)),
            Some((image, "udp")) => (image, Some(Protocol::UDP)),
            Some(_) => return None,
        };
        Some(Self { protocol, image: image.trim().parse().ok()?, host: host.trim().parse().ok()? })
    }
}
