//! What a host says to who sent it something: the budget for errors, what of a packet an error
//! quotes, and the way back. Both versions of ICMP use it.

use crate::packet::ChecksumState;
use crate::{Context, Duration, Instant, Packet};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Headroom with which a packet can carry the headers of an answer: the link's, IP's and ICMP's.
pub const ANSWER_HEADROOM: usize = 96;

/// A token bucket: so many a second on average, so many at once (RFC 1812 section 4.3.2.8,
/// RFC 4443 section 2.4).
pub struct Budget {
    /// The time that one costs; zero when there is never one.
    cost: Duration,
    /// What may still be sent, as time that has been saved up.
    saved: Duration,
    most: Duration,
    last: Instant,
}

impl Budget {
    /// A full bucket. With 0 `per_second` there is never one.
    pub fn new(per_second: u32, burst: u16, now: Instant) -> Self {
        let cost = match per_second {
            0 => Duration::ZERO,
            _ => Duration::from_secs(1).divided_by(u64::from(per_second)),
        };
        let most = cost.times(u64::from(burst));
        Self { cost, saved: most, most, last: now }
    }

    /// Takes one, where there is one.
    //= RFC 1812 4.3.2.8: errors are limited in their rate
    pub fn take(&mut self, now: Instant) -> bool {
        self.saved = (self.saved + now.since(self.last)).min(self.most);
        self.last = now;
        let taken = self.cost > Duration::ZERO && self.saved >= self.cost;
        if taken {
            self.saved = self.saved.minus(self.cost);
        }
        taken
    }
}

/// What an error quotes of `packet`, at most `length` bytes, with headroom for what goes in front:
/// the packet itself, or a copy where it has none. `None` where there is no buffer for a copy.
pub fn quote(mut packet: Packet, length: usize, cx: &Context) -> Option<Packet> {
    packet.truncate(length);
    if packet.headroom() >= ANSWER_HEADROOM {
        return Some(packet);
    }
    let mut copy = cx.packet()?;
    copy.append(packet.bytes()).ok()?;
    *copy.info_mut() = *packet.info();
    Some(copy)
}

/// Sends a packet that was received, or what was made of it, back to where it came from, in
/// traffic class `class`. Where it was for more than this host, IP chooses the source.
pub fn turn_back(packet: &mut Packet, class: u8) {
    let info = packet.info_mut();
    if info.broadcast {
        info.local = match info.remote {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
    }
    (info.hops, info.class, info.ip_header, info.broadcast) = (0, class, 0, false);
    info.checksum = ChecksumState::Unknown;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_budget_has_its_burst_and_then_its_rate() {
        let mut budget = Budget::new(10, 5, Instant::ZERO);
        let mut taken = |ms: u64| {
            let now = Instant::ZERO + Duration::from_millis(ms);
            (0..20).filter(|_| budget.take(now)).count()
        };
        assert_eq!([taken(0), taken(99), taken(100), taken(10_000)], [5, 0, 1, 5]);
        assert!(!Budget::new(0, 5, Instant::ZERO).take(Instant::ZERO));
    }

    #[test]
    fn a_quote_has_room_for_the_headers_of_an_answer() {
        let cx = testing::context(2, 1);
        for headroom in [0, ANSWER_HEADROOM] {
            let mut packet = cx.packet().unwrap();
            packet.reset(headroom);
            packet.append(b"a packet").unwrap();
            packet.info_mut().hops = 9;
            let quoted = quote(packet, 4, &cx).unwrap();
            assert_eq!((quoted.bytes(), quoted.info().hops), (&b"a pa"[..], 9));
            assert!(quoted.headroom() >= ANSWER_HEADROOM);
        }
        let mut packet = cx.packet().unwrap();
        packet.reset(0);
        let _other = cx.packet().unwrap();
        assert!(quote(packet, 4, &cx).is_none(), "no buffer is left");
    }

    #[test]
    fn what_was_for_everybody_is_answered_from_an_address_of_ours() {
        let cx = testing::context(1, 1);
        let mut packet = cx.packet().unwrap();
        packet.info_mut().remote = Ipv4Addr::new(10, 0, 0, 2).into();
        packet.info_mut().local = Ipv4Addr::BROADCAST.into();
        packet.info_mut().broadcast = true;
        turn_back(&mut packet, 0xc0);
        let info = packet.info();
        assert_eq!((info.local, info.class), (Ipv4Addr::UNSPECIFIED.into(), 0xc0));
        assert!(!info.broadcast);
    }
}
