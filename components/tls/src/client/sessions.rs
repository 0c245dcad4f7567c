//! What a client remembers of connections, to resume them (RFC 8446 section 4.6.1).

use super::Target;
use crate::crypto::{Secret, Suite};
use crate::handshake::Surroundings;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use waitless::{Duration, Instant};

/// Tickets of servers, the oldest first.
pub(super) struct Sessions {
    all: VecDeque<(Target, Remembered)>,
    /// How many there may be.
    limit: usize,
}

/// A connection that may go on. Each is used once, so that nobody on the way can tell that two
/// connections are of the same client (appendix C.4).
pub(super) struct Remembered {
    pub(super) suite: Suite,
    pub(super) key: Secret,
    pub(super) ticket: Box<[u8]>,
    pub(super) age_add: u32,
    pub(super) received: Instant,
    pub(super) lifetime: Duration,
    /// Until when the server is believed without showing its certificate, in seconds since 1970.
    pub(super) until: u64,
}

/// The longest ticket that is remembered, in bytes.
pub(super) const TICKET_MAX: usize = 4096;
/// Tickets of one server.
const EACH: usize = 2;
/// How long a ticket is kept at most, whatever the server says.
pub(super) const LIFETIME_MAX: Duration = Duration::from_secs(86_400);

impl Sessions {
    /// None yet, and never more than `limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self { all: VecDeque::with_capacity(limit), limit }
    }

    /// Remembers one more. The oldest of the same server, or of all, makes room for it.
    pub(super) fn put(&mut self, target: &Target, remembered: Remembered) {
        if self.limit == 0 {
            return;
        }
        let of = |(other, _): &&(Target, Remembered)| other == target;
        if self.all.iter().filter(of).count() >= EACH
            && let Some(oldest) = self.all.iter().position(|(other, _)| other == target)
        {
            self.all.remove(oldest);
        }
        while self.all.len() >= self.limit {
            self.all.pop_front();
        }
        self.all.push_back((target.clone(), remembered));
    }

    /// The newest of `target` that is still good now. It is forgotten by this.
    pub(super) fn take(
        &mut self,
        target: &Target,
        around: &Surroundings<'_>,
    ) -> Option<Remembered> {
        self.all.retain(|(_, one)| {
            around.now.since(one.received) < one.lifetime
                && around.unix_secs.is_some_and(|now| now < one.until)
        });
        let newest = self.all.iter().rposition(|(other, _)| other == target)?;
        self.all.remove(newest).map(|(_, remembered)| remembered)
    }
}

impl Remembered {
    //= RFC 8446 4.2.11.1: the age in milliseconds, added to what the server has chosen
    pub(super) fn obfuscated_age(&self, now: Instant) -> u32 {
        let age = now.since(self.received).as_millis() as u32;
        age.wrapping_add(self.age_add)
    }
}
