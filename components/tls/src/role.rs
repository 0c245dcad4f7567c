//! What differs between the two ends: how a handshake goes. All else, records and streams,
//! they share.

use crate::alert::Fault;
use crate::client::Target;
use crate::crypto::Identity;
use crate::handshake::{
    Certificates, Clients, Cookies, Early, Flight, Handshake, Register, Seed, Server, Surroundings,
    Tickets,
};
use alloc::boxed::Box;
use alloc::string::String;
use waitless::{Context, Duration, InitError};

/// One of the two ends, with what its connections on one core share.
pub trait Role: Sized {
    /// What the manifest sets.
    type Config: 'static;
    /// One connection's handshake.
    type Handshake: Default;

    /// Whether it begins connections, and does not accept any.
    const DIALS: bool;
    /// Whether it looks at certificates of the other end, which takes time and a clock.
    const VERIFIES: bool;
    /// Whether it may accept early data.
    const EARLY: bool = false;

    /// What the connections share; an error says why there can be none.
    fn new(config: &'static Self::Config, cx: &mut Context) -> Result<Self, InitError>;

    /// What bounds them.
    fn limits(config: &Self::Config) -> Limits;

    /// Says the first word. Only who dials does.
    fn begin(
        &mut self,
        handshake: &mut Self::Handshake,
        target: Target,
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault>;

    /// Reads one whole message, header and all. What is to be done then is added to `flight`.
    ///
    /// # Errors
    /// What the other end did wrong. The handshake is over then.
    fn read(
        &mut self,
        handshake: &mut Self::Handshake,
        whole: &[u8],
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault>;

    /// Whether nothing was said yet.
    fn is_fresh(handshake: &Self::Handshake) -> bool;

    /// Whether it needs to know the time of day.
    fn is_dated(&self) -> bool {
        Self::VERIFIES
    }

    /// Bytes of the longest flight.
    fn longest_answer(&self) -> usize;

    /// Who the other end is, where that was found out beyond its name.
    fn identity(handshake: &mut Self::Handshake) -> Option<Box<Identity>> {
        let _ = handshake;
        None
    }

    /// What can be said about the last fault beyond what it says itself.
    fn detail(&mut self) -> Option<String> {
        None
    }
}

/// The most early data, in bytes.
pub(crate) const EARLY_MAX: u64 = 64 << 10;

/// What bounds the connections of one core.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: u32,
    /// Those of them whose handshake is not complete.
    pub handshakes: u32,
    /// How long a handshake may take.
    pub timeout: Duration,
    /// Bytes of a handshake message.
    pub message: usize,
    /// Bytes of early data, of each connection.
    pub early: usize,
}

impl<const ASKS: bool, const EARLY: bool> Role for Server<ASKS, EARLY> {
    type Config = crate::Config;
    type Handshake = Handshake;

    const DIALS: bool = false;
    const VERIFIES: bool = ASKS;
    const EARLY: bool = EARLY;

    fn new(config: &'static crate::Config, cx: &mut Context) -> Result<Self, InitError> {
        let (now, cores, lifetime) = (cx.now(), cx.cores().count(), config.ticket_lifetime);
        // Also where there are no certificates: cores share things in the same order.
        let seed = Seed::new(lifetime, now, cores, &mut cx.random);
        let seed = cx.share(|| seed);
        let certificates = Certificates::new(config.certificate, config.key)?
            .stapled(config.certificate, config.ocsp)?;
        let clients = match ASKS {
            true => Some(Clients::new(config.clients, config.client_certificate)?),
            false => None,
        };
        let limit = config.early_data.filter(|_| EARLY).map(|bytes| bytes.min(EARLY_MAX) as u32);
        // As cores share what tickets are made of, so that a hello is good once for all of them.
        let early = limit.map(|limit| Early { limit, register: cx.share(Register::new) });
        Ok(Self {
            certificates,
            protocols: config.alpn,
            tickets: Tickets::new(lifetime, seed, &mut cx.random),
            ticket_count: config.tickets.min(4),
            cookies: Cookies::new(&mut cx.random),
            // As long as the image: there is one for each core.
            clients: clients.map(|clients| &*Box::leak(Box::new(clients))),
            early,
            detail: None,
        })
    }

    fn limits(config: &crate::Config) -> Limits {
        Limits {
            connections: config.connections,
            handshakes: config.handshakes,
            timeout: config.handshake_timeout,
            message: config.hello_limit.clamp(512, 131_072) as usize,
            early: config.early_data.unwrap_or(0).min(EARLY_MAX) as usize,
        }
    }

    fn begin(
        &mut self,
        _: &mut Handshake,
        _: Target,
        _: &mut Surroundings<'_>,
        _: &mut Flight,
    ) -> Result<(), Fault> {
        Err(Fault::Internal)
    }

    fn read(
        &mut self,
        handshake: &mut Handshake,
        whole: &[u8],
        around: &mut Surroundings<'_>,
        flight: &mut Flight,
    ) -> Result<(), Fault> {
        handshake.read(whole, self, around, flight)
    }

    fn is_fresh(handshake: &Handshake) -> bool {
        handshake.is_fresh()
    }

    fn is_dated(&self) -> bool {
        ASKS || self.certificates.are_dated()
    }

    fn longest_answer(&self) -> usize {
        let request = self.clients.filter(|_| ASKS).map_or(0, Clients::longest);
        self.certificates.longest() + request
    }

    fn identity(handshake: &mut Handshake) -> Option<Box<Identity>> {
        if ASKS { handshake.client.take() } else { None }
    }

    fn detail(&mut self) -> Option<String> {
        if ASKS { self.detail.take() } else { None }
    }
}
