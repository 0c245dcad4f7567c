//! Our own address on the link: asked for, announced, watched and defended (RFC 5227).

use crate::Defence;
use core::net::Ipv4Addr;
use waitless::{ClaimState, Duration, Instant, Mac, Random};

/// The longest wait before the first probe.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
/// PROBE_MAX is this much more than PROBE_MIN.
const PROBE_SPREAD: Duration = Duration::from_secs(1);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const MAX_CONFLICTS: u8 = 10;
const RATE_LIMIT_INTERVAL: Duration = Duration::from_secs(60);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// How long an address must have been ours before it is one that others rely on.
const SETTLED: Duration = Duration::from_secs(60);

/// The claim to one address.
pub(crate) struct Claim {
    probe: bool,
    defence: Defence,
    address: Option<Ipv4Addr>,
    phase: Phase,
    /// When the phase has something to do next.
    at: Instant,
    /// Addresses lost so far, for the rate limit.
    conflicts: u8,
    defended: Option<Instant>,
    /// Whether another core does the talking.
    follows: bool,
    /// Since when it is ours.
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    /// Claimed just now.
    Start,
    /// So many probes were sent.
    Probe(u8),
    /// It is ours, and so many announcements were sent.
    Announce(u8),
    /// It is ours.
    Settled,
    /// Another station has it.
    Lost(Mac),
}

/// What everybody must hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// Does somebody have this address?
    Probe(Ipv4Addr),
    /// We have this address.
    Announce(Ipv4Addr),
}

impl Claim {
    pub fn new(probe: bool, defence: Defence) -> Self {
        Self {
            probe,
            defence,
            address: None,
            phase: Phase::Idle,
            at: Instant::NEVER,
            conflicts: 0,
            defended: None,
            follows: false,
            since: Instant::NEVER,
        }
    }

    /// Another core speaks for this host: what is claimed here is ours, and nothing is said of it.
    pub fn follow(&mut self) {
        self.follows = true;
    }

    /// Whether another core speaks for this host.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// Claims another address. The one that is claimed already does nothing.
    pub fn set(&mut self, address: Option<Ipv4Addr>) {
        if self.address == address {
            return;
        }
        self.address = address;
        self.defended = None;
        self.since = Instant::NEVER;
        (self.phase, self.at) = match address {
            Some(_) if self.follows => (Phase::Settled, Instant::NEVER),
            Some(_) => (Phase::Start, Instant::ZERO),
            None => (Phase::Idle, Instant::NEVER),
        };
    }

    /// What is to be sent at `now`.
    pub fn due(&mut self, now: Instant, random: &mut Random) -> Option<Call> {
        let address = self.address.filter(|_| now >= self.at)?;
        let mut wait = |limit: Duration| Duration::from_nanos(random.below(limit.as_nanos()));
        //= RFC 5227 2.1: an address is asked for before it is used
        if self.phase == Phase::Start && self.probe {
            let limited = self.conflicts >= MAX_CONFLICTS;
            let wait = if limited { RATE_LIMIT_INTERVAL } else { wait(PROBE_WAIT) };
            (self.phase, self.at) = (Phase::Probe(0), now + wait);
            return None;
        }
        match self.phase {
            Phase::Probe(sent) if sent < PROBE_NUM => {
                let last = sent + 1 == PROBE_NUM;
                let wait = if last { ANNOUNCE_WAIT } else { PROBE_MIN + wait(PROBE_SPREAD) };
                (self.phase, self.at) = (Phase::Probe(sent + 1), now + wait);
                Some(Call::Probe(address))
            }
            Phase::Start | Phase::Probe(_) => {
                self.since = now;
                (self.phase, self.at) = (Phase::Announce(1), now + ANNOUNCE_INTERVAL);
                Some(Call::Announce(address))
            }
            //= RFC 5227 2.3: it is announced twice
            Phase::Announce(sent) if sent + 1 < ANNOUNCE_NUM => {
                (self.phase, self.at) = (Phase::Announce(sent + 1), now + ANNOUNCE_INTERVAL);
                Some(Call::Announce(address))
            }
            Phase::Announce(_) => {
                (self.phase, self.at) = (Phase::Settled, Instant::NEVER);
                Some(Call::Announce(address))
            }
            Phase::Idle | Phase::Settled | Phase::Lost(_) => {
                self.at = Instant::NEVER;
                None
            }
        }
    }

    /// When [`due`](Self::due) next has something.
    pub fn deadline(&self) -> Instant {
        self.at
    }

    /// Another station, `mac`, uses the claimed address or asks for it too.
    pub fn conflict(&mut self, mac: Mac, now: Instant) {
        let ours = self.owned().is_some();
        let again = self.defended.is_some_and(|last| now.since(last) < DEFEND_INTERVAL);
        if ours && !again {
            //= RFC 5227 2.4: one announcement, then hope that the other one gives way.
            self.defended = Some(now);
            (self.phase, self.at) = (Phase::Announce(ANNOUNCE_NUM - 1), now);
        } else if !ours || !self.is_firm(now) {
            self.conflicts = self.conflicts.saturating_add(1);
            (self.phase, self.at) = (Phase::Lost(mac), Instant::NEVER);
        }
    }

    /// Whether the address is kept whatever others say. Who has had it for a while is whom others
    /// rely on (section 2.4 (c)); a host that had it all along answers our first announcement.
    fn is_firm(&self, now: Instant) -> bool {
        match self.defence {
            Defence::Always => true,
            Defence::Once => false,
            Defence::Settled => now.since(self.since) >= SETTLED,
        }
    }

    /// The link is up again, and may be another.
    pub fn link_up(&mut self) {
        if self.address.is_some() && !self.follows {
            (self.phase, self.at) = (Phase::Start, Instant::ZERO);
        }
    }

    /// The address while it is claimed and not lost.
    pub fn watched(&self) -> Option<Ipv4Addr> {
        match self.phase {
            Phase::Idle | Phase::Lost(_) => None,
            _ if self.follows => None,
            _ => self.address,
        }
    }

    /// The address while it is ours, to be answered for.
    pub fn owned(&self) -> Option<Ipv4Addr> {
        (self.state() == ClaimState::Owned).then_some(self.address)?
    }

    pub fn state(&self) -> ClaimState {
        match self.phase {
            Phase::Idle => ClaimState::None,
            Phase::Start if self.probe => ClaimState::Probing,
            Phase::Probe(_) => ClaimState::Probing,
            Phase::Start | Phase::Announce(_) | Phase::Settled => ClaimState::Owned,
            Phase::Lost(mac) => ClaimState::Conflict(mac),
        }
    }
}
