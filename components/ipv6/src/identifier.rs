//! The host's part of an address.

use crate::Identifiers;
use core::hash::Hasher;
use core::net::Ipv6Addr;
use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};
use waitless::Mac;
use waitless::network::v6::mask;

/// Bits of the host's part, on links that are like Ethernet (RFC 2464 section 4).
pub(crate) const BITS: u8 = 64;

/// Makes the host's part of addresses.
pub(crate) struct Maker {
    key: [u8; 16],
    kind: Identifiers,
    mac: Mac,
}

impl Maker {
    /// With the manifest's secret, or the one that was drawn.
    pub fn new(kind: Identifiers, secret: Option<&str>, drawn: [u8; 16]) -> Self {
        let key = match secret {
            Some(secret) => {
                let mut hasher = SipHasher128::new_with_key(b"RFC 7217 secrets");
                hasher.write(secret.as_bytes());
                hasher.finish128().as_bytes()
            }
            None => drawn,
        };
        Self { key, kind, mac: Mac::default() }
    }

    /// For the card `mac`.
    pub fn set_mac(&mut self, mac: Mac) {
        self.mac = mac;
    }

    /// Whether another attempt leads to another address.
    pub fn can_try_again(&self) -> bool {
        self.kind == Identifiers::Stable
    }

    /// The host's address in the network `prefix`, whose last 64 bits do not count, after so many
    /// attempts that led to addresses of others.
    pub fn address(&self, prefix: Ipv6Addr, attempt: u8) -> Ipv6Addr {
        let network = prefix.to_bits() & mask(128 - BITS);
        let identifier = match self.kind {
            Identifiers::Eui64 => eui64(self.mac),
            Identifiers::Stable => self.stable(network, attempt),
        };
        Ipv6Addr::from_bits(network | u128::from(identifier))
    }

    /// RFC 7217 section 5: F(prefix, interface, counter, secret). The card's address names the
    /// interface.
    fn stable(&self, network: u128, attempt: u8) -> u64 {
        // One in 2^56 is reserved, so the bound is never reached.
        let candidates = (0..=u8::MAX).map(|skipped| {
            let mut hasher = SipHasher24::new_with_key(&self.key);
            hasher.write(&((network >> 64) as u64).to_be_bytes());
            hasher.write(&self.mac.0);
            hasher.write(&[attempt, skipped]);
            hasher.finish()
        });
        candidates.into_iter().find(|it| !is_reserved(*it)).unwrap_or(1)
    }
}

/// RFC 4291 appendix A.
fn eui64(mac: Mac) -> u64 {
    let Mac([a, b, c, d, e, f]) = mac;
    u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// RFC 5453: identifiers that no host has.
fn is_reserved(identifier: u64) -> bool {
    identifier == 0
        || (0x0200_5eff_fe00_0000..=0x0200_5eff_feff_ffff).contains(&identifier)
        || (0xfdff_ffff_ffff_ff80..=0xfdff_ffff_ffff_ffff).contains(&identifier)
}

#[cfg(test)]
mod tests;
