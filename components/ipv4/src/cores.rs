//! The address on several cores: one of them sees to it, the others follow.

use core::net::Ipv4Addr;
use waitless::Ipv4Configuration;
use waitless::cores::Published;

/// What the first core tells the others.
pub(crate) type Notice = Published<4>;

/// What this core has to do with the address.
#[derive(Debug)]
pub(crate) enum Role {
    /// It sees to the address, and tells the others: whether they have to hear something new.
    Leads { told: bool },
    /// It uses what it is told: what it has heard of last.
    Follows { seen: u32 },
}

/// The configuration, while its address is in use, in words.
pub(crate) fn encode(settings: Option<&Ipv4Configuration>) -> [u64; 4] {
    let Some(settings) = settings else { return [0; 4] };
    let word = |address: Ipv4Addr| u64::from(u32::from(address));
    let [first, second, third] = settings.dns.map(word);
    let gateway = settings.gateway.map_or(0, word);
    let flags = 1 | u64::from(settings.gateway.is_some()) << 1;
    [
        flags | u64::from(settings.prefix) << 8 | u64::from(settings.mtu) << 16,
        word(settings.address) << 32 | gateway,
        first << 32 | second,
        third,
    ]
}

/// What [`encode`] was given.
pub(crate) fn decode(words: [u64; 4]) -> Option<Ipv4Configuration> {
    let [flags, addresses, dns, third] = words;
    let address = |word: u64| Ipv4Addr::from(word as u32);
    (flags & 1 != 0).then(|| Ipv4Configuration {
        address: address(addresses >> 32),
        prefix: (flags >> 8) as u8,
        gateway: (flags & 2 != 0).then(|| address(addresses)),
        dns: [address(dns >> 32), address(dns), address(third)],
        mtu: (flags >> 16) as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_in_words() {
        let full = Ipv4Configuration {
            address: Ipv4Addr::new(10, 1, 2, 3),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 1, 2, 254)),
            dns: [1, 2, 3].map(|last| Ipv4Addr::new(9, 9, 9, last)),
            mtu: 1400,
        };
        let bare = Ipv4Configuration { gateway: None, mtu: 0, prefix: 32, ..full };
        for settings in [Some(full), Some(bare), None] {
            assert_eq!(decode(encode(settings.as_ref())), settings);
        }
    }
}
