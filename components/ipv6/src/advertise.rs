//! When a router says that it is there (RFC 4861 section 6.2).

use crate::groups::ALL_NODES;
use crate::message::Draft;
use crate::{HOPS, Ipv6};
use waitless::network::v6::multicast_mac;
use waitless::{Context, Duration, Instant, Random};

/// How far apart advertisements are that nobody asked for: MinRtrAdvInterval and
/// MaxRtrAdvInterval.
//= RFC 4861 6.2.4: as often as that, and at first more often
const INTERVAL_MIN: Duration = Duration::from_secs(200);
const INTERVAL_MAX: Duration = Duration::from_secs(600);

/// The first ones are closer together: MAX_INITIAL_RTR_ADVERTISEMENTS, and
/// MAX_INITIAL_RTR_ADVERT_INTERVAL.
const FIRST: u8 = 3;
const FIRST_INTERVAL: Duration = Duration::from_secs(16);

/// What was asked for comes after at most this: MAX_RA_DELAY_TIME.
const DELAY: Duration = Duration::from_millis(500);

/// But not sooner after the one before: MIN_DELAY_BETWEEN_RAS.
const APART: Duration = Duration::from_secs(3);

/// How long to wait where there is no address yet to advertise from.
const RETRY: Duration = Duration::from_secs(1);

/// When to advertise next.
pub(crate) struct Advertiser {
    at: Instant,
    /// Not before this.
    earliest: Instant,
    /// How many of the first ones are left.
    first: u8,
    /// Nothing more is to be said, but for the last one.
    ended: bool,
}

impl Default for Advertiser {
    fn default() -> Self {
        Self { at: Instant::NEVER, earliest: Instant::ZERO, first: 0, ended: false }
    }
}

impl Advertiser {
    /// The link came up.
    pub fn start(&mut self, now: Instant) {
        (self.at, self.first) = (now.max(self.earliest), FIRST);
    }

    /// The image ends: the last one is due at once, however soon after the one before.
    //= RFC 4861 6.2.5: who is a router no longer says so
    pub fn end(&mut self, now: Instant) {
        if !self.ended {
            (self.at, self.ended) = (now, true);
        }
    }

    /// A host asks. All are answered by one advertisement to all, a random time later, so that not
    /// all routers answer at once.
    //= RFC 4861 10: MAX_RA_DELAY_TIME, MIN_DELAY_BETWEEN_RAS
    pub fn asked(&mut self, now: Instant, random: &mut Random) {
        let from = now.max(self.earliest);
        // Who asks later does not make it come sooner.
        if self.at > from + DELAY && !self.ended {
            self.at = from + Duration::from_nanos(random.below(DELAY.as_nanos()));
        }
    }

    /// Whether to advertise now.
    pub fn due(&mut self, now: Instant, random: &mut Random) -> bool {
        if now < self.at {
            return false;
        }
        let spread = INTERVAL_MAX.minus(INTERVAL_MIN).as_nanos();
        let interval = INTERVAL_MIN + Duration::from_nanos(random.below(spread));
        let is_first = self.first > 0;
        self.first = self.first.saturating_sub(1);
        self.at = match self.ended {
            true => Instant::NEVER,
            false => now + if is_first { interval.min(FIRST_INTERVAL) } else { interval },
        };
        self.earliest = now + APART;
        true
    }

    /// When [`due`](Self::due) next says so.
    pub fn deadline(&self) -> Instant {
        self.at
    }
}

impl Ipv6 {
    /// Advertises this router, when it is time. Whether it was.
    pub(crate) fn advertise(&mut self, cx: &mut Context) -> bool {
        let now = self.now;
        if now < self.advertiser.deadline() {
            return false;
        }
        let Some(source) = self.addresses.link_local().filter(|_| !self.quiet) else {
            self.advertiser.at = now + RETRY;
            return true;
        };
        self.advertiser.due(now, &mut cx.random);
        let hops = self.config.hop_limit.unwrap_or(HOPS);
        let networks = self.config.addresses.iter().copied();
        // Section 6.2.5: who does not forward, or no longer, is no router to anywhere.
        let passes = self.transit.wanted && !self.advertiser.ended;
        let mtu = self.network.mtu;
        //= RFC 4861 6.2.3: what is on the link, and whether this is a router to elsewhere
        let draft = Draft::router_advertisement(self.mac, passes, hops, mtu, networks);
        self.counters.advertised.add(1);
        self.say(draft, Some(source), ALL_NODES, multicast_mac(ALL_NODES), cx);
        true
    }
}
