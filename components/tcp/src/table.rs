//! Connections by their four-tuple: open addressing, a keyed hash, no tombstones.

use crate::wire::Segment;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use waitless::packet::Info;

/// Who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuple {
    /// This host's address.
    pub local: IpAddr,
    /// The other host's address.
    pub remote: IpAddr,
    /// This host's port.
    pub local_port: u16,
    /// The other host's port.
    pub remote_port: u16,
}

impl Tuple {
    /// That of a segment that was received.
    pub fn of(info: &Info, segment: &Segment) -> Self {
        Self {
            local: info.local,
            remote: info.remote,
            local_port: segment.destination,
            remote_port: segment.source,
        }
    }
}

/// The key of the hash, without which nobody outside can make tuples collide.
#[derive(Clone, Copy)]
pub struct HashKey(pub [u64; 2]);

impl HashKey {
    /// The hash of a tuple: multiply and fold, keyed on both sides.
    #[inline]
    pub fn hash(&self, tuple: &Tuple) -> u32 {
        let [left, right] = self.0;
        let Tuple { local_port, remote_port, .. } = *tuple;
        match (tuple.local, tuple.remote) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                self.hash_v4(local, remote, local_port, remote_port)
            }
            (local, remote) => {
                self.mix(fold(wide(local, left), wide(remote, right)), local_port, remote_port)
            }
        }
    }

    /// The same of a tuple of IPv4.
    #[inline]
    pub fn hash_v4(
        &self,
        local: Ipv4Addr,
        remote: Ipv4Addr,
        local_port: u16,
        remote_port: u16,
    ) -> u32 {
        let addresses = u64::from(local.to_bits()) << 32 | u64::from(remote.to_bits());
        self.mix(addresses, local_port, remote_port)
    }

    /// The same of a network, which is counted and not looked up, and by another key.
    pub fn hash_network(&self, network: u64) -> u32 {
        self.mix(network, 0, 0)
    }

    #[inline]
    fn mix(&self, addresses: u64, local_port: u16, remote_port: u16) -> u32 {
        let [left, right] = self.0;
        let ports = u64::from(local_port) << 16 | u64::from(remote_port);
        fold(addresses ^ left, ports ^ right) as u32
    }
}

#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product ^ product >> 64) as u64
}

fn wide(address: IpAddr, key: u64) -> u64 {
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()) ^ key,
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            fold((bits >> 64) as u64 ^ key, bits as u64 ^ key.rotate_left(32))
        }
    }
}

/// Places by hash. Whose place it is, the caller compares.
#[derive(Default)]
pub struct Table {
    /// A power of two of slots, or none at all.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    place: u32,
}

const EMPTY: u32 = u32::MAX;

impl Table {
    /// The place with this hash that `is_it` accepts.
    #[inline]
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash)?;
        // Ends: at least a quarter of the slots is empty.
        loop {
            let slot = self.slots[at];
            if slot.place == EMPTY {
                return None;
            }
            if slot.hash == hash && is_it(slot.place) {
                return Some(slot.place);
            }
            at = self.next(at);
        }
    }

    /// Enters a place, which must not be in the table.
    pub fn insert(&mut self, hash: u32, place: u32) {
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        self.used += 1;
        self.put(Slot { hash, place });
    }

    /// Takes a place out, if it is there.
    pub fn remove(&mut self, hash: u32, place: u32) {
        let Some(mut hole) = self.position(hash, place) else { return };
        self.used -= 1;
        let mut at = hole;
        // What follows moves back into the hole unless that would put it before its home.
        loop {
            at = self.next(at);
            let slot = self.slots[at];
            if slot.place == EMPTY {
                break;
            }
            let mask = self.slots.len() - 1;
            let from_home = at.wrapping_sub(slot.hash as usize) & mask;
            let from_hole = at.wrapping_sub(hole) & mask;
            if from_home >= from_hole {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole].place = EMPTY;
    }

    /// Puts `new` where `old` is.
    pub fn replace(&mut self, hash: u32, old: u32, new: u32) {
        if let Some(at) = self.position(hash, old) {
            self.slots[at].place = new;
        }
    }

    /// How many places there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.used
    }

    fn position(&self, hash: u32, place: u32) -> Option<usize> {
        let mut at = self.home(hash)?;
        loop {
            let slot = self.slots[at];
            if slot.place == EMPTY {
                return None;
            }
            if slot.place == place {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(64);
        let old = core::mem::take(&mut self.slots);
        self.slots.resize(size, Slot { hash: 0, place: EMPTY });
        for slot in old {
            if slot.place != EMPTY {
                self.put(slot);
            }
        }
    }

    fn put(&mut self, slot: Slot) {
        let Some(mut at) = self.home(slot.hash) else { return };
        while self.slots[at].place != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    #[inline]
    fn home(&self, hash: u32) -> Option<usize> {
        Some(hash as usize & self.slots.len().checked_sub(1)?)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use core::net::Ipv6Addr;
    use waitless::Random;

    #[test]
    fn it_agrees_with_a_model() {
        let mut random = Random::new([5; 32]);
        let mut table = Table::default();
        let mut model = BTreeMap::new();
        assert_eq!(table.find(0, |_| true), None);
        for _ in 0..20_000 {
            let place = random.below(500) as u32;
            // Few hashes, so that runs are long and wrap around.
            let hash = place.wrapping_mul(7) % 90 + 40;
            if model.remove(&place).is_some() {
                if random.below(3) == 0 {
                    table.replace(hash, place, place + 1_000);
                    table.remove(hash, place + 1_000);
                } else {
                    table.remove(hash, place);
                }
            } else {
                table.insert(hash, place);
                model.insert(place, hash);
            }
            table.remove(hash, 5_000);
            assert_eq!(table.len(), model.len());
            let probe = random.below(500) as u32;
            let found = table.find(probe.wrapping_mul(7) % 90 + 40, |place| place == probe);
            assert_eq!(found.is_some(), model.contains_key(&probe));
        }
    }

    #[test]
    fn hashes_depend_on_every_field_and_on_the_key() {
        let four = Tuple {
            local: Ipv4Addr::new(10, 0, 0, 1).into(),
            remote: Ipv4Addr::new(10, 0, 0, 2).into(),
            local_port: 80,
            remote_port: 40_000,
        };
        let six = Tuple { local: Ipv6Addr::LOCALHOST.into(), ..four };
        let key = HashKey([0x1234_5678_9abc_def1, 0xfedc_ba98_7654_3211]);
        let other = HashKey([0x1234_5678_9abc_def3, 0xfedc_ba98_7654_3211]);
        for tuple in [four, six] {
            let hash = key.hash(&tuple);
            assert_ne!(hash, other.hash(&tuple));
            assert_ne!(hash, key.hash(&Tuple { local_port: 81, ..tuple }));
            assert_ne!(hash, key.hash(&Tuple { remote_port: 40_001, ..tuple }));
            assert_ne!(hash, key.hash(&Tuple { remote: Ipv6Addr::UNSPECIFIED.into(), ..tuple }));
        }
    }
}
