//! The client's side of the handshake (RFC 8446 section 4), and the component that is a client.
//! As the server's side, it knows neither records nor streams.
//!
//! - **Nothing is believed unseen.** The server's certificate must lead to a trusted one, be good
//!   now and be for the name that was dialled; without a clock, none is.
//! - **Only answers.** A server that chooses, or says, what was not offered is told so by the
//!   alert that the RFC names.
//! - **Two keys at once**: X25519MLKEM768 and X25519, which share the latter. Servers that take
//!   neither ask for another hello, for P-256 or P-384.
//! - **Tickets** are remembered for each name and port, used once, and forgotten after a day. A day
//!   after a server has shown its certificate, or when that ends, it must show it again.

mod answer;
mod flight;
mod hello;
mod sessions;

use crate::Tls;
use crate::alert::Fault;
use crate::crypto::{Anchors, Group, Keyed, Scheme, Secret, Suite};
use crate::handshake::{Certificates, Chain, Flight, Surroundings};
use crate::key_schedule::ticket_key;
use crate::role::{Limits, Role};
use crate::wire::codes::message;
use crate::wire::server::NewSessionTicket;
use alloc::boxed::Box;
use alloc::string::String;
use answer::ExpectHello;
use core::net::IpAddr;
use flight::Flighted;
use sessions::{LIFETIME_MAX, Remembered, Sessions, TICKET_MAX};
use waitless::{Context, Duration, InitError};

/// How a [`TlsClient`] is set up.
#[derive(Debug)]
pub struct Config {
    /// Certificates of those who may vouch for servers, in DER.
    pub trust: &'static [&'static [u8]],
    /// Certificates with what vouches for them, for servers that ask who is there: the first whose
    /// signature they take.
    pub certificate: Option<&'static [Chain]>,
    /// The certificates' private keys, as PKCS#8 in DER.
    pub key: Option<&'static [&'static [u8]]>,
    /// Application protocols (ALPN) to offer, the favourite first; none offers none.
    pub alpn: &'static [&'static str],
    /// The most connections at a time, 1 to 100,000.
    pub connections: u32,
    /// The most connections at a time whose handshake is not complete, 1 to 10,000.
    pub handshakes: u32,
    /// How long it may take until a connection is open, that below included, 100 ms to 10 min.
    pub handshake_timeout: Duration,
    /// The longest handshake message of a server in bytes, 4,096 to 262,144.
    pub message_limit: u64,
    /// How many connections are remembered, to be resumed, 0 to 4,096.
    pub sessions: u16,
}

/// The component that is a client.
pub type TlsClient = Tls<Client>;

/// What the client's connections of one core share.
pub struct Client {
    anchors: Anchors,
    /// What it shows servers that ask who it is.
    pub(crate) own: Option<Certificates>,
    protocols: &'static [&'static str],
    sessions: Sessions,
    pub(crate) suites: &'static [Suite],
    pub(crate) groups: &'static [Group],
    pub(crate) schemes: &'static [Scheme],
    /// Groups whose keys a hello shows, the first of all.
    pub(crate) shares: usize,
    /// What is to be said in the log about the last fault.
    detail: Option<String>,
}

/// Whom a connection is to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// A host name, or an address.
    pub name: Box<str>,
    /// The port.
    pub port: u16,
}

/// One connection's handshake.
#[derive(Default)]
pub struct Handshake {
    state: State,
}

#[derive(Default)]
enum State {
    /// Nothing was said yet.
    #[default]
    Fresh,
    /// The server's hello comes next, or its request for another one.
    Hello(Box<ExpectHello>),
    /// The rest of the server's flight comes next.
    Flight(Box<Flighted>),
    /// The handshake is complete; tickets may come.
    Late(Box<Late>),
    /// Something went wrong.
    Over,
}

/// What tickets are made of.
struct Late {
    target: Target,
    suite: Suite,
    resumption: Secret,
    /// Until when the server is believed, in seconds since 1970.
    until: u64,
    /// How many were remembered.
    tickets: u8,
}

/// Tickets of one connection that are remembered.
const TICKETS_MAX: u8 = 4;

impl Role for Client {
    type Config = Config;
    type Handshake = Handshake;

    const DIALS: bool = true;
    const VERIFIES: bool = true;

    fn new(config: &'static Config, _: &mut Context) -> Result<Self, InitError> {
        if config.trust.is_empty() {
            return Err(InitError("nobody is trusted to vouch for servers: name certificates"));
        }
        let anchors = Anchors::new(config.trust);
        let anchors = anchors.map_err(|_| InitError("a trusted certificate cannot be read"))?;
        let own = match (config.certificate, config.key) {
            (None, None) => None,
            (certificate, key) => {
                Some(Certificates::new(certificate.unwrap_or_default(), key.unwrap_or_default())?)
            }
        };
        Ok(Self {
            anchors,
            own,
            protocols: config.alpn,
            sessions: Sessions::new(config.sessions.min(4096).into()),
            suites: &Suite::ALL,
            groups: &Group::ALL,
            schemes: &Scheme::ALL,
            shares: 2,
            detail: None,
        })
    }

    fn limits(config: &Config) -> Limits {
        Limits {
            connections: config.connections,
            handshakes: config.handshakes,
            timeout: config.handshake_timeout,
            message: config.message_limit.clamp(4096, 262_144) as usize,
            early: 0,
        }
    }

    fn begin(
        &mut self,
        handshake: &mut Handshake,
        target: Target,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        handshake.state = answer::begin(target, self, around, flight)?;
        Ok(())
    }

    fn read(
        &mut self,
        handshake: &mut Handshake,
        whole: &[u8],
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        let kind = whole.first().copied().ok_or(Fault::EmptyFragment)?;
        let state = core::mem::replace(&mut handshake.state, State::Over);
        handshake.state = match (state, kind) {
            (State::Hello(expected), message::SERVER_HELLO) => {
                expected.read(whole, self, around, flight)?
            }
            (State::Flight(expected), _) => expected.read(whole, self, around, flight)?,
            (State::Late(mut late), message::NEW_SESSION_TICKET) => {
                late.remember(whole, &mut self.sessions, around)?;
                State::Late(late)
            }
            _ => return Err(Fault::UnexpectedMessage),
        };
        Ok(())
    }

    fn is_fresh(handshake: &Handshake) -> bool {
        matches!(handshake.state, State::Fresh)
    }

    fn longest_answer(&self) -> usize {
        2048 + self.own.as_ref().map_or(0, Certificates::longest)
    }

    fn detail(&mut self) -> Option<String> {
        self.detail.take()
    }
}

impl Late {
    fn remember(
        &mut self,
        whole: &[u8],
        sessions: &mut Sessions,
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        let new = NewSessionTicket::parse(whole.get(4..).ok_or(Fault::Truncated)?)?;
        //= RFC 8446 4.6.1: one that is good for no time is thrown away
        let useful = new.lifetime_secs > 0 && new.ticket.len() <= TICKET_MAX;
        if useful && self.tickets < TICKETS_MAX {
            self.tickets += 1;
            let lifetime = Duration::from_secs(new.lifetime_secs.into());
            let resumption = Keyed::new(self.suite.hash(), self.resumption.bytes());
            let remembered = Remembered {
                suite: self.suite,
                key: ticket_key(&resumption, new.nonce),
                ticket: new.ticket.into(),
                age_add: new.age_add,
                received: around.now,
                lifetime: lifetime.min(LIFETIME_MAX),
                //= RFC 8446 4.6.1: what was shown once is not believed for ever by resuming
                until: self.until,
            };
            sessions.put(&self.target, remembered);
        }
        Ok(())
    }
}

impl Target {
    /// The name, where it is no address.
    fn host_name(&self) -> Option<&str> {
        Some(&*self.name).filter(|name| name.parse::<IpAddr>().is_err())
    }
}
