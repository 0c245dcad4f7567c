//! One name's way through the servers: whom to ask next, and what the answers mean for it.

use crate::message::{Meaning, Query};
use crate::name::Name;
use core::net::IpAddr;
use waitless::{Addresses, Family, Instant, NoAddress, Socket};

/// What is being looked for. Several questions may wait for it.
pub(crate) struct Lookup {
    /// What was asked for at first.
    pub name: Name,
    pub family: Family,
    /// The question as it is asked now, of what the name stands for, perhaps.
    pub query: Query,
    pub stage: Stage,
    /// The server that is asked, modulo how many there are.
    pub server: usize,
    /// How often servers were asked.
    pub tries: usize,
    /// Whether to ask over TCP.
    pub stream: bool,
    /// Seconds for which the aliases so far hold.
    ttl: u32,
    /// Aliases that had to be asked for.
    hops: u8,
    /// Whether a server has answered at all.
    answered: bool,
    /// How often it had to wait for a port, a packet or a conversation.
    pub delays: u16,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The place is free.
    Free,
    /// The server is to be asked, not before then.
    Ask(Instant),
    /// The server with this address was asked from this port, and has time to answer until then.
    Datagram(Socket, IpAddr, Instant),
    /// It was asked in this conversation.
    Stream(usize, Instant),
}

/// What to do with a server's answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait on: it was no answer.
    Wait,
    /// Ask the same server again, in another way or for another name.
    Again,
    /// Ask the next server.
    Other,
    /// It is over: the answer, and for how many seconds it may be remembered.
    Done(Result<Addresses, NoAddress>, Option<u32>),
}

/// Names that stand for others that had to be asked for.
const HOPS_MAX: u8 = 8;

/// How long a failure of all servers is remembered: from one second to five minutes (RFC 9520
/// section 3.2).
const FAILURE_TTL: u32 = 5;

impl Lookup {
    /// Looks for `name`; `server` is asked first.
    pub fn new(name: Name, family: Family, server: usize) -> Self {
        Self {
            name,
            family,
            query: Query { id: 0, name, family, extended: true },
            stage: Stage::Ask(Instant::ZERO),
            server,
            tries: 0,
            stream: false,
            ttl: u32::MAX,
            hops: 0,
            answered: false,
            delays: 0,
        }
    }

    /// When it has to do something.
    pub fn deadline(&self) -> Instant {
        match self.stage {
            Stage::Free => Instant::NEVER,
            Stage::Ask(at) | Stage::Datagram(_, _, at) | Stage::Stream(_, at) => at,
        }
    }

    /// What an answer means for it.
    pub fn hear(&mut self, meaning: Meaning) -> Next {
        match meaning {
            Meaning::Foreign => Next::Wait,
            // It was tried: over TCP, where nobody forges, the case is not mixed.
            Meaning::OtherCase | Meaning::Truncated if self.stream => Next::Other,
            Meaning::OtherCase | Meaning::Truncated => {
                self.stream = true;
                Next::Again
            }
            Meaning::NotExtended => {
                self.query.extended = false;
                Next::Again
            }
            Meaning::Malformed | Meaning::Failed(_) => {
                self.answered = true;
                Next::Other
            }
            Meaning::Found(addresses, ttl) => Next::Done(Ok(addresses), Some(ttl.min(self.ttl))),
            Meaning::Nothing(no_name, ttl) => {
                let why = if no_name { NoAddress::NoSuchName } else { NoAddress::NoneOfFamily };
                Next::Done(Err(why), ttl.map(|ttl| ttl.min(self.ttl)))
            }
            Meaning::Alias(name, ttl) => {
                self.hops += 1;
                self.ttl = self.ttl.min(ttl);
                if self.hops > HOPS_MAX {
                    return Next::Done(Err(NoAddress::Failed), Some(FAILURE_TTL));
                }
                self.query.name = name;
                Next::Again
            }
        }
    }

    /// Turns to the next server at `now`, of which there are `servers`, each to be asked
    /// `attempts` times; the end when that was done.
    pub fn turn(&mut self, servers: usize, attempts: usize, now: Instant) -> Option<Next> {
        self.tries += 1;
        self.server = self.server.wrapping_add(1);
        (self.query.extended, self.stream) = (true, false);
        self.stage = Stage::Ask(now);
        (self.tries >= servers.saturating_mul(attempts)).then(|| {
            let why = if self.answered { NoAddress::Failed } else { NoAddress::TimedOut };
            Next::Done(Err(why), Some(FAILURE_TTL))
        })
    }
}
