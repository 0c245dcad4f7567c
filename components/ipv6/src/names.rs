//! Who knows the addresses of names, as routers say (RFC 8106).

use crate::addresses::until;
use core::net::Ipv6Addr;
use heapless::{String, Vec};
use waitless::Instant;
use waitless::network::names::{NAME_MAX, SEARCH_MAX, append_domain};
use waitless::network::v6::SERVERS;

/// Domains to search that are remembered.
const DOMAINS: usize = 4;

/// What routers have said, and for how long it holds.
pub(crate) struct Names {
    servers: Vec<(Ipv6Addr, Instant), SERVERS>,
    domains: Vec<(String<NAME_MAX>, Instant), DOMAINS>,
    /// Nothing ends before this.
    next: Instant,
}

impl Names {
    pub fn new() -> Self {
        Self { servers: Vec::new(), domains: Vec::new(), next: Instant::NEVER }
    }

    /// A server knows names for `lifetime` seconds, `u32::MAX` for ever (section 5.1).
    pub fn server(&mut self, server: Ipv6Addr, lifetime: u32, now: Instant) {
        keep(&mut self.servers, server, until(now, lifetime), now);
        self.schedule();
    }

    /// A domain is to be searched for `lifetime` seconds (section 5.2).
    pub fn domain(&mut self, domain: String<NAME_MAX>, lifetime: u32, now: Instant) {
        keep(&mut self.domains, domain, until(now, lifetime), now);
        self.schedule();
    }

    /// Forgets what has ended. Whether that was anything.
    pub fn expire(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        let before = self.servers.len() + self.domains.len();
        self.servers.retain(|(_, until)| *until > now);
        self.domains.retain(|(_, until)| *until > now);
        self.schedule();
        self.servers.len() + self.domains.len() != before
    }

    /// When something ends.
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Whom to ask.
    pub fn servers(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.servers.iter().map(|(server, _)| *server)
    }

    /// The domains to search, with a space between each two; what does not fit is left out.
    pub fn search(&self) -> String<SEARCH_MAX> {
        let mut search = String::new();
        for (domain, _) in &self.domains {
            append_domain(&mut search, domain);
        }
        search
    }

    fn schedule(&mut self) {
        let servers = self.servers.iter().map(|(_, until)| *until);
        let domains = self.domains.iter().map(|(_, until)| *until);
        self.next = servers.chain(domains).min().unwrap_or(Instant::NEVER);
    }
}

/// Remembers `what` until then, or forgets it. In a full list it takes the place of what ends
/// first, if that is before it (section 6.2).
fn keep<T: PartialEq, const N: usize>(
    list: &mut Vec<(T, Instant), N>,
    what: T,
    until: Instant,
    now: Instant,
) {
    let known = list.iter().position(|(known, _)| *known == what);
    if until <= now {
        // In their order: the first is asked first.
        known.map(|at| list.remove(at));
        return;
    }
    if let Some((_, old)) = known.and_then(|at| list.get_mut(at)) {
        *old = until;
        return;
    }
    if list.is_full() {
        let first = list.iter().enumerate().min_by_key(|(_, (_, until))| *until);
        let Some(at) = first.filter(|(_, (_, end))| *end < until).map(|(at, _)| at) else {
            return;
        };
        list.remove(at);
    }
    // There is room: it was just made.
    let _ = list.push((what, until));
}

#[cfg(test)]
mod tests;
