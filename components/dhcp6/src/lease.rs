//! What a server gave, and for how long.

use crate::secs;
use crate::wire::{Answer, Given, Server};
use heapless::Vec;
use waitless::Instant;
use waitless::network::v6::{Ipv6Lease, LEASED, Leased};

/// Addresses that a server gave, with the rest.
pub(crate) struct Lease {
    pub server: Server,
    pub given: Ipv6Lease,
    /// When to ask its server to go on, when all servers, and when it is over.
    pub renew: Instant,
    pub rebind: Instant,
    pub end: Instant,
}

impl Lease {
    /// What `answer` means when it was asked for at `asked`. Of the lease `before`, which it goes
    /// on with, what it does not speak of stays as it was.
    pub fn new(answer: &Answer, before: Option<&Self>, asked: Instant) -> Self {
        let until = |time: u32| if time == u32::MAX { Instant::NEVER } else { asked + secs(time) };
        let shortest = answer.addresses.iter().map(|it| it.preferred).min().unwrap_or(0);
        // Section 21.4: where the server leaves it to the client. Products are of 64 bits.
        let part = |tenths: u64| match shortest {
            u32::MAX => u32::MAX,
            shortest => (u64::from(shortest) * tenths / 10) as u32,
        };
        //= RFC 8415 14.2: the client chooses the times where the server does not
        let renew = if answer.renew == 0 { part(5) } else { answer.renew };
        let rebind = if answer.rebind == 0 { part(8) } else { answer.rebind };
        let leased = |it: &Given| Leased {
            address: it.address,
            preferred: until(it.preferred),
            valid: until(it.valid),
        };
        let mut addresses: Vec<_, LEASED> = answer.addresses.iter().map(leased).collect();
        for it in before.iter().flat_map(|lease| &lease.given.addresses) {
            let said = addresses.iter().any(|other| other.address == it.address);
            if !said && !answer.gone.contains(&it.address) && it.valid > asked {
                let _ = addresses.push(*it);
            }
        }
        let end = addresses.iter().map(|it| it.valid).max().unwrap_or(asked);
        let given =
            Ipv6Lease { addresses, servers: answer.dns.clone(), search: answer.search.clone() };
        // A server that says a second would be asked for ever; a lease that is as short as that is
        // renewed all the same.
        let shortest = answer.addresses.iter().map(|it| it.valid).min().unwrap_or(u32::MAX);
        let least = secs(RENEW_MIN).min(secs(shortest).divided_by(2));
        let renew = until(renew).max(asked + least).min(end);
        // Its own server is asked before all are.
        let between = renew + end.since(renew).divided_by(2);
        let rebind = Some(until(rebind)).filter(|it| *it > renew).unwrap_or(between).min(end);
        Self { server: answer.server.clone(), given, renew, rebind, end }
    }

    /// Whether the addresses are the same, whatever else has changed.
    pub fn has_the_same(&self, other: &Self) -> bool {
        let addresses =
            |lease: &Self| lease.given.addresses.clone().into_iter().map(|it| it.address);
        addresses(self).eq(addresses(other))
    }
}

/// The shortest time after which a lease is renewed, in seconds, where it lasts for twice as long.
const RENEW_MIN: u32 = 10;
