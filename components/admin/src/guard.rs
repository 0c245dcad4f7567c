//! Who has the token, and who has tried others.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use waitless::{Duration, Instant};

/// Lets those in who have the token.
///
/// A good token cannot be guessed. So that a bad one cannot be either, an address that has tried
/// several is not heard until a while has passed, whatever it says then. Of IPv6, the addresses of
/// a network of 64 bits count as one, as one machine may have them all.
pub struct Guard {
    token_sha256: [u8; 32],
    failures: [Option<Failures>; ADDRESSES],
}

/// Wrong tokens of one address.
#[derive(Clone, Copy)]
struct Failures {
    address: IpAddr,
    count: u8,
    /// When the first of them came.
    since: Instant,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It has the token.
    Granted,
    /// It has no token.
    Nameless,
    /// Its address is not heard now.
    Throttled,
    /// It has another token.
    Wrong,
}

/// Addresses that are remembered. The one with the fewest wrong tokens makes room for another, and
/// among those the one that is remembered longest.
const ADDRESSES: usize = 32;
/// Wrong tokens of an address, of which the last makes it unheard.
const FAILURES_MAX: u8 = 5;
/// How long they count.
const MEMORY: Duration = Duration::from_secs(60);

impl Guard {
    /// One that knows the token by its SHA-256.
    pub const fn new(token_sha256: [u8; 32]) -> Self {
        Self { token_sha256, failures: [None; ADDRESSES] }
    }

    /// Whether a request of `peer`, with `field` in its `Authorization`, has the token.
    pub fn admit(
        &mut self,
        field: Option<&[u8]>,
        peer: Option<SocketAddr>,
        now: Instant,
    ) -> Admission {
        let address = address(peer);
        self.failures.iter_mut().for_each(|place| {
            place.take_if(|it| now.since(it.since) >= MEMORY);
        });
        let known = |it: &&mut Failures| it.address == address;
        let mut failures = self.failures.iter_mut().flatten().find(known);
        if failures.as_ref().is_some_and(|it| it.count >= FAILURES_MAX) {
            return Admission::Throttled;
        }
        let Some(token) = field.and_then(token) else { return Admission::Nameless };
        // Two hashes are compared, of which nobody can choose the second: nothing is told by how
        // long that takes, and it takes the same time besides.
        let sha256: [u8; 32] = Sha256::digest(token).into();
        if sha256.ct_eq(&self.token_sha256).into() {
            return Admission::Granted;
        }
        if let Some(failures) = &mut failures {
            failures.count += 1;
            return Admission::Wrong;
        }
        // A free place comes first. Those that are not heard are forgotten last: otherwise others
        // could have them heard again.
        let worth = |place: &&mut Option<Failures>| place.map(|it| (it.count, it.since));
        if let Some(place) = self.failures.iter_mut().min_by_key(worth) {
            *place = Some(Failures { address, count: 1, since: now });
        }
        Admission::Wrong
    }
}

/// What failures of `peer` are counted by.
fn address(peer: Option<SocketAddr>) -> IpAddr {
    match peer.map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V6(address)) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        Some(address) => address,
        None => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The token in a field: behind the scheme and a space (RFC 6750 section 2.1).
fn token(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

const SCHEME: &[u8] = b"Bearer ";
