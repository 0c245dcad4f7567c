//! Where the image's ports are on a host on which the low ones belong to root.

/// The user's choices, and the rule for all other ports.
#[derive(Debug, Default)]
pub struct Ports {
    /// The image's port and the host's.
    pairs: Vec<(u16, u16)>,
    /// Whether ports without a pair are the same on the host.
    same: bool,
}

impl Ports {
    /// Reads a list such as `80=8080,7=7007` or `same,80=8080`; empty text chooses nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut ports = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "same" {
                ports.same = true;
                continue;
            }
            let pair = entry.split_once('=').and_then(|(image, host)| {
                Some((image.trim().parse().ok()?, host.trim().parse().ok()?))
            });
            let pair = pair.ok_or_else(|| {
                format!("`{entry}` is no pair of ports: write IMAGE=HOST, as in 80=8080")
            })?;
            ports.pairs.push(pair);
        }
        Ok(ports)
    }

    /// The host's port for the image's `port`.
    pub fn host(&self, port: u16) -> u16 {
        let pair = self.pairs.iter().rev().find(|(image, _)| *image == port);
        match (pair, port) {
            (Some((_, host)), _) => *host,
            (None, _) if self.same => port,
            (None, 7) => 7007,
            (None, 80) => 8080,
            (None, 443) => 8443,
            (None, 1..1024) => port + 8000,
            (None, _) => port,
        }
    }
}
