//! What DHCPv6 gave, and how the core that it runs on tells the others.

use core::net::Ipv6Addr;
use heapless::String;
use waitless::Instant;
use waitless::cores::Published;
use waitless::network::names::SEARCH_MAX;
use waitless::network::v6::{Ipv6Lease, LEASED, Leased, SERVERS};

/// Words of an address: itself, and both its times.
const ADDRESS: usize = 4;
const SERVER: usize = 2;
const SEARCH: usize = SEARCH_MAX / 8;
const WORDS: usize = 1 + LEASED * ADDRESS + SERVERS * SERVER + SEARCH;

/// A lease in words: how many of each there are, the addresses, the servers, the domains.
pub(crate) type Notice = Published<WORDS>;

/// The lease in words.
pub(crate) fn encode(lease: &Ipv6Lease) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let (addresses, servers) = (lease.addresses.len() as u64, lease.servers.len() as u64);
    let search = lease.search.len() as u64;
    let halves = |address: Ipv6Addr| {
        let bits = address.to_bits();
        [(bits >> 64) as u64, bits as u64]
    };
    let leased = lease.addresses.iter().flat_map(|it| {
        let [high, low] = halves(it.address);
        [high, low, it.preferred.as_nanos(), it.valid.as_nanos()]
    });
    let servers_words = lease.servers.iter().flat_map(|server| halves(*server));
    let text = lease.search.as_bytes().chunks(8).map(|part| {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(part).for_each(|(byte, from)| *byte = *from);
        u64::from_le_bytes(bytes)
    });
    let (head, rest) = words.split_at_mut(1);
    let (first, rest) = rest.split_at_mut(LEASED * ADDRESS);
    let (second, third) = rest.split_at_mut(SERVERS * SERVER);
    head.fill(addresses | servers << 8 | search << 16);
    first.iter_mut().zip(leased).for_each(|(place, word)| *place = word);
    second.iter_mut().zip(servers_words).for_each(|(place, word)| *place = word);
    third.iter_mut().zip(text).for_each(|(place, word)| *place = word);
    words
}

/// What [`encode`] was given.
pub(crate) fn decode(words: &[u64; WORDS]) -> Ipv6Lease {
    let (head, rest) = words.split_at(1);
    let (first, rest) = rest.split_at(LEASED * ADDRESS);
    let (second, third) = rest.split_at(SERVERS * SERVER);
    let counts = head.first().copied().unwrap_or(0);
    let (addresses, servers) = (counts & 0xff, counts >> 8 & 0xff);
    let join = |high: u64, low: u64| Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
    let mut search = String::new();
    let bytes = third.iter().flat_map(|word| word.to_le_bytes());
    for byte in bytes.take((counts >> 16) as usize) {
        // It is what fitted before, and of ASCII.
        let _ = search.push(char::from(byte));
    }
    Ipv6Lease {
        addresses: first
            .as_chunks::<ADDRESS>()
            .0
            .iter()
            .take(addresses as usize)
            .map(|[high, low, preferred, valid]| Leased {
                address: join(*high, *low),
                preferred: Instant::from_nanos(*preferred),
                valid: Instant::from_nanos(*valid),
            })
            .collect(),
        servers: second
            .as_chunks::<SERVER>()
            .0
            .iter()
            .take(servers as usize)
            .map(|[high, low]| join(*high, *low))
            .collect(),
        search,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_the_same_behind_the_words() {
        let address = |number| Ipv6Addr::from_bits(0x2001_0db8 << 96 | number);
        let leased = |number: u128| Leased {
            address: address(number),
            preferred: Instant::from_nanos(number as u64),
            valid: Instant::NEVER,
        };
        let full = Ipv6Lease {
            addresses: (0..LEASED as u128).map(leased).collect(),
            servers: (10..10 + SERVERS as u128).map(address).collect(),
            search: String::try_from(&*"x".repeat(SEARCH_MAX)).unwrap_or_default(),
        };
        let some = Ipv6Lease {
            addresses: [leased(1)].into_iter().collect(),
            servers: heapless::Vec::new(),
            search: String::try_from("a.example lan").unwrap_or_default(),
        };
        for lease in [Ipv6Lease::default(), some, full] {
            assert_eq!(decode(&encode(&lease)), lease);
        }
    }
}
