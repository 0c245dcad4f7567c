//! Services inside that are reached from outside, as people write them.

use crate::table::End;
use core::fmt;
use core::net::SocketAddrV4;
use waitless::Protocol;
use waitless::network::is_host;

/// A port outside, and where it leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    pub protocol: u8,
    pub port: u16,
    pub inside: End,
}

/// Why a service is not understood. Each says what stands there instead of what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong<'a> {
    /// The first word.
    Protocol(&'a str),
    /// The second word.
    Port(&'a str),
    /// The third word.
    To(&'a str),
    /// The fourth word.
    Inside(&'a str),
    /// A fifth word.
    Word(&'a str),
}

impl Service {
    /// The service that `text` says.
    pub fn parse(text: &str) -> Result<Self, Wrong<'_>> {
        let mut words = text.split_whitespace();
        let mut word = || words.next().unwrap_or("");
        let protocol = match word() {
            "tcp" => Protocol::TCP.0,
            "udp" => Protocol::UDP.0,
            other => return Err(Wrong::Protocol(other)),
        };
        let number = word();
        let port = number.parse().ok().filter(|port| *port != 0).ok_or(Wrong::Port(number))?;
        let to = word();
        if to != "to" {
            return Err(Wrong::To(to));
        }
        let address = word();
        let inside = address.parse::<SocketAddrV4>().ok();
        let inside = inside.filter(|it| is_host(*it.ip()) && it.port() != 0);
        let inside = inside.ok_or(Wrong::Inside(address))?;
        match word() {
            "" => Ok(Self { protocol, port, inside: (*inside.ip(), inside.port()) }),
            other => Err(Wrong::Word(other)),
        }
    }
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(word) => write!(f, "begins with `tcp` or `udp`, not `{word}`"),
            Self::Port(word) => write!(f, "the port outside comes second, not `{word}`"),
            Self::To(word) => write!(f, "`to` comes third, not `{word}`"),
            Self::Inside(word) => {
                write!(f, "`{word}` is no address with a port: write 192.168.1.10:80")
            }
            Self::Word(word) => write!(f, "`{word}` is one word too many"),
        }
    }
}
