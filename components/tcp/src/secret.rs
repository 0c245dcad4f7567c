//! What an attacker off the path must not guess: initial sequence numbers, timestamps, ports.

use crate::seq::Seq;
use crate::table::{HashKey, Tuple};
use core::net::IpAddr;
use siphasher::sip::SipHasher24;
use waitless::{Instant, Random};

/// The keys of an instance, drawn once.
pub struct Secret {
    begins: SipHasher24,
    ports: SipHasher24,
    cookies: SipHasher24,
    /// The key of the connection table.
    pub table: HashKey,
    /// Another for what is counted by network: who is asked for cookies shows outside which
    /// networks share a place, and must not tell of the table's.
    networks: HashKey,
}

impl Secret {
    /// Fresh keys.
    pub fn new(random: &mut Random) -> Self {
        Self {
            begins: SipHasher24::new_with_key(&random.bytes()),
            ports: SipHasher24::new_with_key(&random.bytes()),
            cookies: SipHasher24::new_with_key(&random.bytes()),
            table: HashKey([random.u64() | 1, random.u64() | 1]),
            networks: HashKey([random.u64() | 1, random.u64() | 1]),
        }
    }

    /// The initial sequence number of a connection that begins now, and what is added to the
    /// clock in its timestamps: the halves of one hash, of which neither tells anything of the
    /// other.
    //= RFC 9293 3.4.1 MUST-8, MUST-9, SHLD-1: a clock of about 4 us plus a keyed hash
    //= RFC 6528 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey)
    pub fn begin(&self, now: Instant, tuple: &Tuple) -> (Seq, u32) {
        let hash = self.hash(tuple);
        (Seq((now.as_nanos() >> 12) as u32) + hash as u32, (hash >> 32) as u32)
    }

    /// What nobody else can put into a cookie.
    pub fn cookie(&self, tuple: &Tuple, theirs: Seq, slot: u64, size: u8) -> u32 {
        let mut all = [0; 49];
        all[..36].copy_from_slice(&bytes(tuple));
        all[36..40].copy_from_slice(&theirs.0.to_be_bytes());
        all[40..48].copy_from_slice(&slot.to_be_bytes());
        all[48] = size;
        self.cookies.hash(&all) as u32
    }

    /// Where half-open connections of `remote` are counted: a network's all in one place.
    pub fn place(&self, remote: IpAddr) -> usize {
        let network = match remote {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            IpAddr::V6(address) => (address.to_bits() >> 72) as u64,
        };
        self.networks.hash_network(network) as usize
    }

    /// What is added to the clock in a connection's timestamps.
    //= RFC 7323 5.4: a random offset per connection
    pub fn stamp_offset(&self, tuple: &Tuple) -> u32 {
        (self.hash(tuple) >> 32) as u32
    }

    /// What a connection begins with. IPv4 has few bytes to hash, and no other tuple as few.
    fn hash(&self, tuple: &Tuple) -> u64 {
        let (IpAddr::V4(local), IpAddr::V4(remote)) = (tuple.local, tuple.remote) else {
            return self.begins.hash(&bytes(tuple));
        };
        let mut short = [0; 12];
        short[..4].copy_from_slice(&local.octets());
        short[4..8].copy_from_slice(&remote.octets());
        short[8..10].copy_from_slice(&tuple.local_port.to_be_bytes());
        short[10..].copy_from_slice(&tuple.remote_port.to_be_bytes());
        self.begins.hash(&short)
    }

    /// Where the search for a local port begins.
    //= RFC 6056 3.3.3: the simple hash-based algorithm
    pub fn port_offset(&self, local: IpAddr, remote: IpAddr, remote_port: u16) -> u32 {
        self.ports.hash(&bytes(&Tuple { local, remote, local_port: 0, remote_port })) as u32
    }
}

fn bytes(tuple: &Tuple) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..16].copy_from_slice(&octets(tuple.local));
    bytes[16..32].copy_from_slice(&octets(tuple.remote));
    bytes[32..34].copy_from_slice(&tuple.local_port.to_be_bytes());
    bytes[34..].copy_from_slice(&tuple.remote_port.to_be_bytes());
    bytes
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    #[test]
    fn sequence_numbers_grow_with_time_and_differ_by_connection_and_key() {
        let tuple = Tuple {
            local: Ipv4Addr::new(10, 0, 0, 1).into(),
            remote: Ipv4Addr::new(10, 0, 0, 2).into(),
            local_port: 80,
            remote_port: 40_000,
        };
        let secret = Secret::new(&mut Random::new([1; 32]));
        let six = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        for tuple in [tuple, Tuple { local: six, remote: six, ..tuple }] {
            let (start, offset) = secret.begin(Instant::ZERO, &tuple);
            let (later, same) = secret.begin(Instant::from_nanos(4_096_000), &tuple);
            assert_eq!((later.since(start), same), (1_000, offset));
            assert_eq!(secret.stamp_offset(&tuple), offset);
            assert_ne!(start.0, offset);
            let others = [
                Tuple { remote_port: 40_001, ..tuple },
                Tuple { local_port: 81, ..tuple },
                Tuple { local: Ipv4Addr::new(10, 0, 0, 3).into(), ..tuple },
                Tuple { remote: Ipv4Addr::new(10, 0, 0, 3).into(), ..tuple },
            ];
            for other in others {
                let (sequence, stamp) = secret.begin(Instant::ZERO, &other);
                assert!(sequence != start && stamp != offset, "{other:?}");
            }
            let another = Secret::new(&mut Random::new([2; 32]));
            assert_ne!(another.begin(Instant::ZERO, &tuple).0, start);
        }
    }

    #[test]
    fn what_is_counted_by_network_tells_nothing_of_the_table() {
        let secret = Secret::new(&mut Random::new([1; 32]));
        for network in 0..64 {
            let remote = Ipv4Addr::from_bits(network << 8 | 1).into();
            let by_table = secret.table.hash_network(u64::from(network));
            assert_ne!(secret.place(remote), by_table as usize, "{network}");
        }
    }
}
