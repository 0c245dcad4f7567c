//! What a server granted, and for how long.

use crate::wire::Answer;
use core::net::Ipv4Addr;
use waitless::{Duration, Instant, Ipv4Configuration, Random};

/// No end (RFC 2131 section 3.3).
//= RFC 2131 3.3: this is no number of seconds
const INFINITE: u32 = u32::MAX;

/// The shortest MTU that a server may give (RFC 2132 section 5.1).
const MTU_MIN: u16 = 68;

/// The shortest time after which a lease is renewed, where it lasts for twice as long.
const RENEW_MIN: Duration = Duration::from_secs(10);

/// A lease. Having one proves that its address is one that a host can have, and that its times
/// are in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub configuration: Ipv4Configuration,
    pub server: Ipv4Addr,
    /// When to ask the server to go on (T1).
    pub renew: Instant,
    /// When to ask any server (T2).
    pub rebind: Instant,
    /// When the address must no longer be used.
    pub end: Instant,
}

impl Lease {
    /// What `answer` grants, from the time of the request on. `server` is who sent it. `None`
    /// when it grants nothing that makes sense.
    pub fn new(
        answer: &Answer,
        server: Ipv4Addr,
        requested: Instant,
        random: &mut Random,
    ) -> Option<Self> {
        let configuration = configuration(answer)?;
        let seconds = answer.lease.filter(|&seconds| seconds > 0)?;
        if seconds == INFINITE {
            let never = Instant::NEVER;
            return Some(Self { configuration, server, renew: never, rebind: never, end: never });
        }
        let whole = Duration::from_secs(u64::from(seconds));
        let given = |seconds: Option<u32>| seconds.map(|s| Duration::from_secs(u64::from(s)));
        let (half, late) = (whole.divided_by(2), whole.times(7).divided_by(8));
        let (t1, t2) = (given(answer.renewal).unwrap_or(half), given(answer.rebinding));
        let t2 = t2.unwrap_or(late);
        // A server that says at once would be asked for ever.
        //= RFC 2131 4.4.5: T1 is half of the time, T2 seven eighths
        let t1 = t1.max(RENEW_MIN.min(half));
        let (t1, t2) = if t1 < t2 && t2 < whole { (t1, t2) } else { (half, late) };
        // RFC 2131 section 4.4.5: not all clients at once.
        let fuzz = Duration::from_nanos(random.below(t1.divided_by(16).as_nanos()));
        Some(Self {
            configuration,
            server,
            renew: requested + t1.minus(fuzz),
            rebind: requested + t2,
            end: requested + whole,
        })
    }
}

/// Whether `address` can be that of one host.
pub(crate) fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first != 127 && first < 224
}

fn configuration(answer: &Answer) -> Option<Ipv4Configuration> {
    let address = Some(answer.address).filter(|&address| is_host(address))?;
    let prefix = match answer.mask {
        Some(mask) => prefix(mask)?,
        None => class_prefix(address),
    };
    // RFC 1122 section 3.2.1.3: nor the network's own address, nor everybody's in it.
    // A network of two hosts has neither (RFC 3021).
    let last = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let number = u32::from(address) & last;
    if last > 1 && (number == 0 || number == last) {
        return None;
    }
    // RFC 3442: a table of routes takes the place of the router.
    let gateway = answer.route.unwrap_or(answer.router);
    let gateway = gateway.filter(|&gateway| is_host(gateway) && gateway != address);
    let mtu = answer.mtu.filter(|&mtu| mtu >= MTU_MIN).unwrap_or(0);
    Some(Ipv4Configuration { address, prefix, gateway, dns: answer.dns, mtu, routes: &[] })
}

/// The length of a mask; `None` when its ones are not all in front, or there are none.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let mask = u32::from(mask);
    (mask != 0 && mask.leading_ones() == mask.count_ones()).then_some(mask.leading_ones() as u8)
}

/// The network's length where the server gave no mask (RFC 2132 section 3.3 leaves the classes).
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [..=127, ..] => 8,
        [..=191, ..] => 16,
        _ => 24,
    }
}
