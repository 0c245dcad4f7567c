//! What packets to single destinations may be at most, as routers have said (RFC 8201).

use core::net::Ipv6Addr;
use heapless::Vec;
use waitless::{Duration, Instant};

/// What every link takes (RFC 8200 section 5).
pub(crate) const MTU_MIN: u16 = 1280;

/// Destinations whose MTU is remembered.
const DESTINATIONS: usize = 64;

/// How long: then the link's MTU is tried again (RFC 8201 section 5.3).
const LIFETIME: Duration = Duration::from_secs(600);

/// The destinations that are reached by less than the link takes.
#[derive(Default)]
pub(crate) struct PathMtus(Vec<Path, DESTINATIONS>);

struct Path {
    remote: Ipv6Addr,
    mtu: u16,
    until: Instant,
}

impl PathMtus {
    /// The longest packet to `remote`, where less than the link takes is known.
    #[inline]
    pub fn find(&self, remote: Ipv6Addr, now: Instant) -> Option<u16> {
        let path = self.0.iter().find(|path| path.remote == remote && now < path.until)?;
        Some(path.mtu)
    }

    /// Notes what a router said. It never lengthens packets, and shortens none below what every
    /// link takes (section 4). Whether anything was learned.
    pub fn learn(&mut self, remote: Ipv6Addr, mtu: u16, now: Instant) -> bool {
        if mtu < MTU_MIN || self.find(remote, now).is_some_and(|known| known <= mtu) {
            return false;
        }
        let path = Path { remote, mtu, until: now + LIFETIME };
        let same = self.0.iter().position(|it| it.remote == remote);
        let oldest = || self.0.iter().enumerate().min_by_key(|(_, it)| it.until);
        let place = same.or_else(|| oldest().filter(|_| self.0.is_full()).map(|(at, _)| at));
        match place.and_then(|at| self.0.get_mut(at)) {
            Some(old) => *old = path,
            None => drop(self.0.push(path)),
        }
        true
    }
}

#[cfg(test)]
mod tests;
