//! SNTP client (RFC 4330, RFC 5905 section 14): asks servers for the time of day, and sets the
//! image's clock, which all that asks `Context::wall_clock` sees.
//!
//! It asks one server at a time, from a port and with a number of its own for each question, and
//! takes the time from an answer that repeats the number and comes from a server that knows the
//! time itself. Half of the way there and back is added. Each address of a server has its turn,
//! those of IPv6 behind those of IPv4; a server none of whose addresses answers is asked ever more
//! seldom and gives way to the next. An address that says that it may not be asked is not asked
//! again, and one that says "slower" is. Names are looked for anew each time a server failed, and a
//! day after one of a name's addresses has refused: many names are those of a pool.
//!
//! Unlike RFC 4330 section 10 wants it of a large number of clients, the first question is asked
//! at once: certificates cannot be checked before the time is known.
//!
//! Not here: choosing the best of several servers, discipline of the clock's rate, authentication
//! (a time that matters needs NTS), broadcasts, and being a server.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;
mod wire;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use waitless::{
    Addresses, Component, Context, CounterSet, Duration, Family, InitError, Inspect, Instant,
    NoAddress, Question, ResolverPort, Socket, UdpPort, info, warn,
};
use wire::{Answer, question};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Servers by name or address.
    pub servers: &'static [&'static str],
    /// How often to ask.
    pub poll: Duration,
    /// How long a server has time to answer.
    pub timeout: Duration,
}

/// The client. Stands on a [`UdpPort`] and a [`ResolverPort`].
pub struct Sntp {
    config: &'static Config,
    stage: Stage,
    /// When the stage has something to do.
    at: Instant,
    /// The server that is asked, by its number.
    server: usize,
    /// Its addresses of one version of IP, once they are known, and which of them is asked.
    addresses: Addresses,
    turn: usize,
    family: Family,
    /// Whether one of the server's addresses was asked.
    asked: bool,
    /// Whether those of one version of IP all want to be left alone.
    spurned: bool,
    /// When each server may be asked.
    allowed: [Instant; SERVERS],
    /// The latest addresses that do not want to be asked.
    denied: [Option<IpAddr>; DENIED],
    /// How long to wait after the next failure.
    pause: Duration,
    /// How much less often than the manifest says servers want to be asked.
    slower: u64,
    /// Whether the time was ever set, and whether a failure was said since then.
    set: bool,
    said: bool,
    counters: &'static Counters,
}

/// What it waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// For its time to ask.
    Pausing,
    /// For the server's addresses.
    Looking(Question),
    /// For the answer to this question, asked at this time.
    Asked { socket: Socket, number: u64, at: Instant },
}

/// Servers that are asked.
const SERVERS: usize = 4;

/// Addresses that do not want to be asked, at most; behind that the first is forgotten.
const DENIED: usize = 8;

/// How long a server is left alone one of whose addresses does not want to be asked.
const DENIED_WAIT: Duration = Duration::from_secs(86_400);

/// Where servers are asked.
const PORT: u16 = 123;

/// The shortest wait after a failure (RFC 4330 section 10).
const PAUSE_MIN: Duration = Duration::from_secs(15);

/// How long to wait for a network that names somebody to ask for names.
const NETWORK_WAIT: Duration = Duration::from_secs(1);

/// How much longer than usual waits get at most.
const PAUSE_FACTOR_MAX: u64 = 16;

/// An answer whose way took longer says too little.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// From which difference on the operator is told that the clock was set anew.
const TOLD: u64 = 1;

/// Datagrams looked at in one sweep.
const ANSWERS: usize = 8;

waitless::counters! {
    /// What the client counts.
    pub(crate) struct Counters {
        /// Questions sent.
        counter sent: messages,
        /// Times that the clock was set.
        counter set: times,
        /// Messages that were no answer to a question.
        counter foreign: messages,
        /// Answers of servers that do not know the time.
        counter unsynchronised: messages,
        /// Answers that say not to be asked, or to be asked less often.
        counter refused: messages,
        /// Questions that were not answered in time.
        counter timeouts: messages,
        /// Times that a server had no address, or could not be asked.
        counter unreachable: times,
        /// How far the clock was off when it was last set, up to an hour.
        gauge offset: milliseconds,
        /// How long the last answer was under way.
        gauge delay: milliseconds,
    }
}

impl Sntp {
    /// A client that has not asked yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            stage: Stage::Pausing,
            at: Instant::ZERO,
            server: 0,
            addresses: Addresses::new(),
            turn: 0,
            family: Family::V4,
            asked: false,
            spurned: false,
            allowed: [Instant::ZERO; SERVERS],
            denied: [None; DENIED],
            pause: PAUSE_MIN,
            slower: 1,
            set: false,
            said: false,
            counters: Counters::leak(),
        }
    }

    fn servers(&self) -> usize {
        self.config.servers.len().min(SERVERS)
    }

    fn name(&self) -> &'static str {
        self.config.servers.get(self.server).copied().unwrap_or("")
    }

    /// The address that is asked.
    fn address(&self) -> Option<IpAddr> {
        self.addresses.get(self.turn).copied()
    }

    /// Waits for about `time`.
    fn wait(&mut self, time: Duration, cx: &mut Context) {
        // A tenth less to a tenth more, so that many that failed together do not ask together.
        let tenth = time.divided_by(10);
        let spread = Duration::from_nanos(cx.random.below(2 * tenth.as_nanos() + 1));
        (self.stage, self.at) = (Stage::Pausing, cx.now() + time.minus(tenth) + spread);
    }

    /// The address is of no use now: the server's next one is asked at once, and only behind the
    /// last one the next server (RFC 1123 section 2.3). A host may well have just one of both
    /// versions of IP.
    fn pass_over(&mut self, why: impl fmt::Display, cx: &mut Context) {
        self.turn += 1;
        if self.address().is_none() {
            if self.family == Family::V6 {
                return self.fail(why, cx);
            }
            self.addresses.clear();
            self.family = Family::V6;
        }
        self.complain(why, cx);
        (self.stage, self.at) = (Stage::Pausing, cx.now());
    }

    /// Says once why there is no time.
    fn complain(&mut self, why: impl fmt::Display, cx: &mut Context) {
        if !core::mem::replace(&mut self.said, true) {
            warn!(cx, "no time from {}: {why}", self.name());
        }
    }

    /// The server is of no use now: the next one is asked, later each time.
    //= RFC 4330 10: servers that do not answer are asked ever more seldom, and in turn
    fn fail(&mut self, why: impl fmt::Display, cx: &mut Context) {
        self.complain(why, cx);
        let allowed = self.next_server(cx.now());
        let most = self.config.poll.times(PAUSE_FACTOR_MAX);
        let pause = self.pause.min(most);
        self.pause = self.pause.times(2).min(most);
        self.wait(pause.max(allowed.since(cx.now())), cx);
    }

    /// Turns to the next server that may be asked, or that may be first; when that is.
    fn next_server(&mut self, now: Instant) -> Instant {
        self.addresses.clear();
        (self.turn, self.family) = (0, Family::V4);
        (self.asked, self.spurned) = (false, false);
        let servers = self.servers();
        let others = (1..=servers).map(|step| (self.server + step) % servers.max(1));
        let allowed = |server| self.allowed.get(server).map_or(now, |at| now.max(*at));
        let next = others.map(|server| (allowed(server), server)).min_by_key(|(at, _)| *at);
        let (at, server) = next.unwrap_or((now, 0));
        self.server = server;
        at
    }

    /// Leaves the server alone for long: an address of it does not want to be asked.
    fn deny(&mut self, address: Option<IpAddr>, cx: &mut Context) {
        if let Some(allowed) = self.allowed.get_mut(self.server) {
            *allowed = cx.now() + DENIED_WAIT;
        }
        if address.is_some() {
            self.denied.rotate_right(1);
            self.denied[0] = address;
        }
        self.fail("it does not want to be asked", cx);
    }

    /// Asks for the server's addresses.
    fn look<N: ResolverPort>(&mut self, names: &mut N, cx: &mut Context) {
        match names.ask(self.name(), self.family) {
            // The resolver ends it in time by itself.
            Ok(question) => {
                (self.stage, self.at) = (Stage::Looking(question), Instant::NEVER);
                self.hear_names(names, cx);
            }
            Err(_) => {
                self.counters.unreachable.add(1);
                self.fail("its name cannot be asked for", cx);
            }
        }
    }

    /// Looks whether the resolver has an answer.
    fn hear_names<N: ResolverPort>(&mut self, names: &mut N, cx: &mut Context) {
        let Stage::Looking(question) = self.stage else { return };
        match (names.answer(question), self.family) {
            (None, _) => {}
            (Some(Ok(addresses)), _) => {
                // Servers spread their load by the order of their addresses.
                let may = |address: &IpAddr| !self.denied.contains(&Some(*address));
                self.addresses = addresses.into_iter().filter(may).collect();
                self.turn = 0;
                if self.addresses.is_empty() {
                    self.spurned = true;
                    return self.look_further("it does not want to be asked", names, cx);
                }
                (self.stage, self.at) = (Stage::Pausing, cx.now());
            }
            // The network is not up yet: nobody was asked.
            (Some(Err(NoAddress::NoServer)), Family::V4) => {
                self.counters.unreachable.add(1);
                self.wait(NETWORK_WAIT, cx);
            }
            (Some(Err(why)), _) => self.look_further(why, names, cx),
        }
    }

    /// There is no address of this version of IP to ask: perhaps there is one of the other. Where
    /// there is none either, and one was asked and just did not answer, that is no reason to leave
    /// the server alone for long; where none wants to be asked, it is.
    fn look_further<N: ResolverPort>(
        &mut self,
        why: impl fmt::Display,
        names: &mut N,
        cx: &mut Context,
    ) {
        match self.family {
            Family::V4 => {
                self.family = Family::V6;
                self.look(names, cx);
            }
            Family::V6 if self.spurned && !self.asked => self.deny(None, cx),
            Family::V6 if self.spurned => self.fail("it does not answer", cx),
            Family::V6 => {
                self.counters.unreachable.add(1);
                self.fail(why, cx);
            }
        }
    }

    fn ask<U: UdpPort>(&mut self, address: IpAddr, udp: &mut U, cx: &mut Context) {
        let number = cx.random.u64();
        let sent = udp.bind_towards(SocketAddr::new(address, PORT)).ok().and_then(|socket| {
            let mut packet = cx.packet()?;
            packet.append(&question(number)).ok()?;
            (packet.info_mut().remote, packet.info_mut().remote_port) = (address, PORT);
            match udp.send(socket, packet) {
                Ok(()) => Some(socket),
                Err(_) => {
                    udp.release(socket);
                    None
                }
            }
        });
        let Some(socket) = sent else {
            self.counters.unreachable.add(1);
            return self.pass_over("it cannot be asked now", cx);
        };
        self.counters.sent.add(1);
        self.asked = true;
        self.stage = Stage::Asked { socket, number, at: cx.now() };
        self.at = cx.now() + self.config.timeout;
    }

    /// Takes what has come for a question.
    fn hear<U: UdpPort>(&mut self, udp: &mut U, cx: &mut Context) {
        for _ in 0..ANSWERS {
            let Stage::Asked { socket, number, at } = self.stage else { return };
            let Some(packet) = udp.recv(socket) else { return };
            let info = packet.info();
            let asked = Some(info.remote) == self.address() && info.remote_port == PORT;
            let answer =
                if asked { Answer::parse(packet.bytes(), number) } else { Answer::Foreign };
            if answer == Answer::Foreign {
                self.counters.foreign.add(1);
                continue;
            }
            udp.release(socket);
            self.take(answer, at, cx);
        }
    }

    /// Does what an answer to the question of `at` says.
    fn take(&mut self, answer: Answer, at: Instant, cx: &mut Context) {
        match answer {
            Answer::Foreign => {}
            Answer::Time { received, sent } => self.take_time(received, sent, at, cx),
            Answer::Unsynchronised => {
                self.counters.unsynchronised.add(1);
                self.pass_over("it does not know the time itself", cx);
            }
            //= RFC 4330 8: who wants to be asked less often is, and who does not want to be is not
            Answer::Slower => {
                self.counters.refused.add(1);
                self.slower = (self.slower * 2).min(PAUSE_FACTOR_MAX);
                self.pause = self.config.poll.times(self.slower);
                self.fail("it wants to be asked less often", cx);
            }
            Answer::Deny => {
                self.counters.refused.add(1);
                warn!(cx, "{} does not want to be asked", self.name());
                self.deny(self.address(), cx);
            }
        }
    }

    /// Sets the clock: the answer left at `sent`, and half of the time that was not spent by the
    /// server was its way (RFC 5905 section 8).
    //= RFC 4330 5: half of the time under way is added
    fn take_time(&mut self, received: u64, sent: u64, at: Instant, cx: &mut Context) {
        let whole = cx.now().since(at);
        let served = Duration::from_nanos(sent.saturating_sub(received));
        if sent < received || served > whole || whole > DELAY_MAX {
            self.counters.unsynchronised.add(1);
            return self.pass_over("its answer makes no sense", cx);
        }
        let delay = whole.minus(served);
        let now = sent.saturating_add(delay.divided_by(2).as_nanos());
        let before = cx.wall_nanos();
        cx.set_wall_clock(now);
        let offset = before.map(|before| before.abs_diff(now));
        let told = offset.is_none_or(|offset| offset >= TOLD * 1_000_000_000);
        if told || !self.set {
            let off = offset.map_or(0, |offset| offset / 1_000_000);
            info!(cx, "the time is from {}, the clock was off by {off} ms", self.name());
        }
        let millis = |nanos: u64| (nanos / 1_000_000).min(3_600_000);
        self.counters.offset.set(millis(offset.unwrap_or(0)));
        self.counters.delay.set(millis(delay.as_nanos()));
        self.counters.set.add(1);
        (self.set, self.said, self.pause) = (true, false, PAUSE_MIN);
        self.wait(self.config.poll.times(self.slower), cx);
    }
}

impl<U: UdpPort, N: ResolverPort> Component<(&mut U, &mut N)> for Sntp {
    fn init(&mut self, _: &mut (&mut U, &mut N), cx: &mut Context) -> Result<(), InitError> {
        if self.config.servers.is_empty() {
            return Err(InitError("there is no server to ask: name one in `servers`"));
        }
        self.at = cx.now();
        Ok(())
    }

    fn receive(&mut self, (udp, names): &mut (&mut U, &mut N), cx: &mut Context) {
        match self.stage {
            Stage::Asked { .. } => self.hear(*udp, cx),
            Stage::Looking(..) => self.hear_names(*names, cx),
            Stage::Pausing => {}
        }
    }

    fn transmit(&mut self, (udp, names): &mut (&mut U, &mut N), cx: &mut Context) {
        if let Stage::Looking(..) = self.stage {
            self.hear_names(*names, cx);
        }
        if cx.now() < self.at {
            return;
        }
        match (self.stage, self.address()) {
            (Stage::Looking(..), _) => {}
            (Stage::Pausing, Some(address)) => self.ask(address, *udp, cx),
            (Stage::Pausing, None) => self.look(*names, cx),
            (Stage::Asked { socket, .. }, _) => {
                udp.release(socket);
                self.counters.timeouts.add(1);
                self.pass_over("it does not answer", cx);
            }
        }
    }

    fn deadline(&self) -> Instant {
        self.at
    }
}

impl Inspect for Sntp {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
