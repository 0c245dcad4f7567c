//! One connection that is not there yet: names, addresses, attempts (RFC 8305).

use crate::{Config, Counters};
use core::net::{IpAddr, SocketAddr};
use heapless::{String, Vec};
use waitless::dial::{DialError, TARGET_MAX};
use waitless::{
    Addresses, AskError, ConnectError, Duration, Family, Instant, NoAddress, Phase, Question,
    ResolverPort, Service, Stream, StreamPort,
};

/// A connection that is being made.
pub(crate) struct Call {
    /// What was dialled: who the other end should be.
    name: String<TARGET_MAX>,
    port: u16,
    /// IPv6 first.
    sides: [Side; 2],
    /// Whose turn it is.
    turn: usize,
    attempts: Vec<Stream, ATTEMPTS>,
    /// When the next address is tried.
    next: Instant,
    /// When all of it is given up.
    end: Instant,
    stagger: Duration,
    /// What came of the address that failed last.
    last: Option<DialError>,
}

/// What is known of the addresses of one version of IP.
struct Side {
    question: Option<Question>,
    found: Addresses,
    /// How many of them were tried.
    tried: usize,
    /// Why there are none.
    none: Option<NoAddress>,
}

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Step {
    Wait,
    Open(Stream),
    Failed(DialError),
}

/// Attempts at a time.
const ATTEMPTS: usize = 4;

/// How long IPv4's addresses wait for those of IPv6 (section 3: the Resolution Delay).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

impl Call {
    /// Begins to look for the addresses of `host`.
    pub fn begin<N: ResolverPort>(
        host: &str,
        port: u16,
        names: &mut N,
        config: &Config,
        now: Instant,
    ) -> Result<Self, DialError> {
        let mut ask = |family| {
            names.ask(host, family).map_err(|why| match why {
                AskError::BadName => DialError::BadTarget,
                AskError::Full => DialError::Full,
            })
        };
        //= RFC 8305 3: both kinds of addresses are asked for, that of IPv6 first
        let first = ask(Family::V6)?;
        let second = ask(Family::V4);
        if second.is_err() {
            names.forget(first);
        }
        Ok(Self {
            name: String::try_from(host).map_err(|_| DialError::BadTarget)?,
            port,
            sides: [Side::new(first), Side::new(second?)],
            turn: 0,
            attempts: Vec::new(),
            next: now,
            end: now + config.timeout,
            stagger: config.stagger,
            last: None,
        })
    }

    /// When to look again.
    pub fn deadline(&self) -> Instant {
        if self.sides.iter().any(Side::has_more) { self.next.min(self.end) } else { self.end }
    }

    /// Does what is due at `now`.
    pub fn step<S: StreamPort, N: ResolverPort>(
        &mut self,
        tag: u32,
        service: Service,
        tcp: &mut S,
        names: &mut N,
        now: Instant,
        counters: &Counters,
    ) -> Step {
        if let Some(stream) = self.look(tcp, now, counters) {
            self.attempts.retain(|other| *other != stream);
            self.give_up(tcp, names);
            return Step::Open(stream);
        }
        self.collect(names, now);
        // Bounded: each turn tries another one of at most sixteen addresses.
        while now >= self.next {
            let Some(address) = self.take() else { break };
            let remote = SocketAddr::new(address, self.port);
            counters.tried.add(1);
            match tcp.connect_to(service, remote, &self.name) {
                Ok(stream) => {
                    // Not before: an attempt that may succeed is not given up for none.
                    self.make_room(tcp, counters);
                    tcp.set_tag(stream, tag);
                    // There is room: it was just made.
                    let _ = self.attempts.push(stream);
                    // Where one is to be given up for the next, each has longer.
                    let waits = if self.attempts.is_full() { ATTEMPTS as u64 } else { 1 };
                    self.next = now + self.stagger.times(waits);
                }
                Err(why) => {
                    counters.refused.add(1);
                    let full = matches!(why, ConnectError::Full | ConnectError::NoPort);
                    self.last = Some(if full { DialError::Full } else { DialError::NoRoute });
                }
            }
        }
        if now >= self.end {
            self.give_up(tcp, names);
            return Step::Failed(DialError::TimedOut);
        }
        let over = self.attempts.is_empty() && self.sides.iter().all(Side::is_over);
        if over { Step::Failed(self.failure()) } else { Step::Wait }
    }

    /// Gives the oldest attempt up where there are too many: an address that says nothing must not
    /// keep the others from being tried (RFC 8305 section 5).
    //= RFC 8305 5: the next address is tried a moment later, or at once when one fails
    fn make_room<S: StreamPort>(&mut self, tcp: &mut S, counters: &Counters) {
        if self.attempts.is_full() {
            let oldest = self.attempts.remove(0);
            tcp.abort(oldest);
            tcp.release(oldest);
            counters.refused.add(1);
            self.last = Some(DialError::TimedOut);
        }
    }

    /// The attempt that is open; those that have failed are dropped, and make room for the next.
    fn look<S: StreamPort>(
        &mut self,
        tcp: &mut S,
        now: Instant,
        counters: &Counters,
    ) -> Option<Stream> {
        let (mut open, mut failed) = (None, None);
        self.attempts.retain(|stream| {
            let why = match tcp.status(*stream).phase {
                Phase::Opening => return true,
                Phase::Open => {
                    open = open.or(Some(*stream));
                    return true;
                }
                Phase::TimedOut => DialError::TimedOut,
                Phase::Unreachable => DialError::NoRoute,
                // Closed at once: it was open in between, and has nothing to say.
                Phase::Reset | Phase::Closed => DialError::Refused,
            };
            failed = Some(tcp.failure(*stream).map_or(why, DialError::Insecure));
            counters.refused.add(1);
            tcp.release(*stream);
            false
        });
        if failed.is_some() {
            (self.last, self.next) = (failed, now);
        }
        open
    }

    /// Takes what the resolver has found out.
    fn collect<N: ResolverPort>(&mut self, names: &mut N, now: Instant) {
        let before = self.sides.iter().any(|side| side.tried > 0 || side.has_more());
        for side in &mut self.sides {
            let Some(question) = side.question else { continue };
            match names.answer(question) {
                None => continue,
                Some(Ok(found)) => side.found = found,
                Some(Err(why)) => side.none = Some(why),
            }
            side.question = None;
        }
        let [v6, v4] = &self.sides;
        if before {
            // Those of IPv6 have come after all: no longer a reason to wait.
            if v6.tried == 0 && v4.tried == 0 && v6.question.is_none() {
                self.next = self.next.min(now);
            }
        } else if v6.question.is_some() && v4.has_more() {
            //= RFC 8305 3: those of IPv4 wait a moment for those of IPv6
            self.next = now + RESOLUTION_DELAY;
        }
    }

    /// The next address, of both kinds in turn as long as there are both (section 4).
    //= RFC 8305 4: both kinds in turn, IPv6 first
    fn take(&mut self) -> Option<IpAddr> {
        for _ in 0..2 {
            let side = self.sides.get_mut(self.turn)?;
            self.turn = 1 - self.turn;
            if let Some(address) = side.found.get(side.tried) {
                side.tried += 1;
                return Some(*address);
            }
        }
        None
    }

    /// Why there is no connection: what the last address did, or why there was none.
    fn failure(&self) -> DialError {
        let [v6, v4] = &self.sides;
        // That there are no addresses of one kind says less than anything else.
        let why = match (v6.none, v4.none) {
            (Some(NoAddress::NoneOfFamily), Some(other)) | (Some(other), _) => other,
            (None, Some(other)) => other,
            (None, None) => NoAddress::Failed,
        };
        self.last.unwrap_or(DialError::NoAddress(why))
    }

    /// Gives all attempts and questions up.
    pub fn give_up<S: StreamPort, N: ResolverPort>(&mut self, tcp: &mut S, names: &mut N) {
        for stream in &self.attempts {
            tcp.abort(*stream);
            tcp.release(*stream);
        }
        self.attempts.clear();
        for side in &mut self.sides {
            if let Some(question) = side.question.take() {
                names.forget(question);
            }
        }
    }
}

impl Side {
    fn new(question: Question) -> Self {
        Self { question: Some(question), found: Addresses::new(), tried: 0, none: None }
    }

    fn has_more(&self) -> bool {
        self.tried < self.found.len()
    }

    /// Whether nothing more is to come.
    fn is_over(&self) -> bool {
        self.question.is_none() && !self.has_more()
    }
}
