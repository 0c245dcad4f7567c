//! Rules, as people write them.

use crate::Policy;
use crate::flow::Key;
use crate::packet::Way;
use core::fmt;
use core::net::IpAddr;

/// What to do with packets that it fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub policy: Policy,
    way: Way,
    /// ICMP stands for that of both versions.
    protocol: Option<u8>,
    /// Where the other end is: an address and how many of its bits count.
    remote: Option<(IpAddr, u8)>,
    /// The ports that packets go to, the first and the last.
    ports: Option<(u16, u16)>,
}

/// Why a rule is not understood. Each says what stands there instead of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong<'a> {
    /// The first word.
    Policy(&'a str),
    /// The second word.
    Way(&'a str),
    /// A word that none may be, or not there, or twice.
    Word(&'a str),
    /// What stands behind `from` or `to`.
    Prefix(&'a str),
    /// `from` in a rule for what goes out, or `to` for what comes in.
    Side(&'a str),
    /// What stands behind `port`.
    Port(&'a str),
    /// Ports of something that has none.
    NoPorts,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

impl Rule {
    /// The rule that `text` says.
    pub fn parse(text: &str) -> Result<Self, Wrong<'_>> {
        let mut words = text.split_whitespace();
        let policy = match words.next().unwrap_or("") {
            "accept" => Policy::Accept,
            "drop" => Policy::Drop,
            other => return Err(Wrong::Policy(other)),
        };
        let way = match words.next().unwrap_or("") {
            "in" => Way::In,
            "out" => Way::Out,
            other => return Err(Wrong::Way(other)),
        };
        let mut rule = Self { policy, way, protocol: None, remote: None, ports: None };
        while let Some(word) = words.next() {
            match word {
                "from" | "to" if rule.remote.is_none() => {
                    if (word == "from") != (way == Way::In) {
                        return Err(Wrong::Side(word));
                    }
                    rule.remote = Some(prefix(words.next().unwrap_or(""))?);
                }
                "port" if rule.ports.is_none() => {
                    rule.ports = Some(ports(words.next().unwrap_or(""))?);
                }
                _ if rule.protocol.is_none() => rule.protocol = Some(protocol(word)?),
                _ => return Err(Wrong::Word(word)),
            }
        }
        if rule.ports.is_some() && !matches!(rule.protocol, Some(TCP | UDP)) {
            return Err(Wrong::NoPorts);
        }
        Ok(rule)
    }

    /// Whether it is about a packet of this flow that goes this way.
    pub fn fits(&self, key: &Key, way: Way) -> bool {
        let port = match way {
            Way::In => key.ports.0,
            Way::Out => key.ports.1,
        };
        let protocol = match (self.protocol, key.remote) {
            (Some(ICMP), IpAddr::V6(_)) => Some(ICMPV6),
            (protocol, _) => protocol,
        };
        self.way == way
            && protocol.is_none_or(|protocol| protocol == key.protocol)
            && self.remote.is_none_or(|net| is_within(key.remote, net))
            && self.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
    }
}

fn protocol(word: &str) -> Result<u8, Wrong<'_>> {
    match word {
        "tcp" => Ok(TCP),
        "udp" => Ok(UDP),
        "icmp" => Ok(ICMP),
        _ => word.parse().map_err(|_| Wrong::Word(word)),
    }
}

fn prefix(text: &str) -> Result<(IpAddr, u8), Wrong<'_>> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().map_err(|_| Wrong::Prefix(text))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), str::parse).map_err(|_| Wrong::Prefix(text))?;
    if bits > most { Err(Wrong::Prefix(text)) } else { Ok((address, bits)) }
}

fn ports(text: &str) -> Result<(u16, u16), Wrong<'_>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok((first, last)),
        _ => Err(Wrong::Port(text)),
    }
}

/// Whether `address` begins with the first bits of the prefix.
fn is_within(address: IpAddr, (prefix, bits): (IpAddr, u8)) -> bool {
    match (address, prefix) {
        (IpAddr::V4(address), IpAddr::V4(prefix)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (address.to_bits() ^ prefix.to_bits()) & mask == 0
        }
        (IpAddr::V6(address), IpAddr::V6(prefix)) => {
            waitless::network::v6::has_prefix(address, prefix, bits)
        }
        _ => false,
    }
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(word) => write!(f, "begins with `accept` or `drop`, not `{word}`"),
            Self::Way(word) => write!(f, "`in` or `out` comes second, not `{word}`"),
            Self::Word(word) => write!(
                f,
                "`{word}` is not expected: once each there may be a protocol (`tcp`, `udp`, \
                 `icmp` or a number), `from` or `to` with a prefix, and `port` with a number"
            ),
            Self::Prefix(text) => {
                write!(f, "`{text}` is no prefix: write 10.0.0.0/8 or 2001:db8::/32")
            }
            Self::Side(word) => {
                write!(f, "`{word}` does not go with the direction: `in … from`, `out … to`")
            }
            Self::Port(text) => write!(f, "`{text}` is no port: write 80 or 8000-8080"),
            Self::NoPorts => f.write_str("only `tcp` and `udp` have ports"),
        }
    }
}
