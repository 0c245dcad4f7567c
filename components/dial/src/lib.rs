//! Begins connections for handlers (`Request::connect`): by name, over both versions of IP.
//!
//! Both kinds of addresses of a name are asked for at once, and the addresses are tried one after
//! the other, of both kinds in turn and IPv6 first, each a quarter of a second after the one
//! before or as soon as that has failed. The first that answers is taken, and the others are given
//! up: "happy eyeballs" (RFC 8305). So a path that is broken costs a moment, not a minute.
//!
//! Then packets are moved between the handler's mailboxes and TCP, whole and without a copy. A
//! handler that does not read holds its own connection up, and nobody else's.
//!
//! On a `tls-client` it is the same, for `Request::connect_secure`: an address that answers and
//! cannot show that it is who was dialled counts as one that failed.
//!
//! Not here: ordering addresses by what is known of earlier connections, and names of services
//! (SRV, HTTPS records).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod call;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use call::{Call, Step};
use waitless::dial::{Broken, Dialer, Line, Work};
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Phase,
    ResolverPort, Service, Stream, StreamPort,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// How many connections there may be at a time.
    pub connections: u16,
    /// How long it may take until one is open.
    pub timeout: Duration,
    /// How long an address has time before the next one is tried.
    pub stagger: Duration,
}

/// Dials for the handlers of one core. Stands on a [`StreamPort`] and a [`ResolverPort`].
pub struct Dial {
    config: &'static Config,
    dialer: &'static Dialer,
    service: Option<Service>,
    /// One for each line.
    places: Vec<Place>,
    /// When a line that has no connection yet has something to do.
    due: Instant,
    counters: &'static Counters,
}

/// What is behind a line.
#[allow(clippy::large_enum_variant, reason = "places are made once, and a box for each call")]
enum Place {
    /// Nothing.
    Idle,
    /// Tries to connect.
    Calling(Call),
    /// The connection, and whether it was said that nothing follows.
    Open(Stream, bool),
}

waitless::counters! {
    /// What is counted of the connections that handlers begin.
    pub(crate) struct Counters {
        /// Connections that handlers asked for.
        counter wanted: connections,
        /// Connections that were opened.
        counter opened: connections,
        /// Connections that could not be opened.
        counter failed: connections,
        /// Connections that were given up by their handler before they were open.
        counter abandoned: connections,
        /// Connections that ended otherwise than in agreement.
        counter broken: connections,
        /// Addresses that were tried.
        counter tried: addresses,
        /// Addresses that were tried in vain.
        counter refused: addresses,
        /// Connections that are open.
        gauge open: connections,
    }
}

impl Dial {
    /// Lines on which nobody calls yet.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let lines = usize::from(config.connections);
        let dialer = Dialer::leak(lines, cx.pool());
        Self {
            config,
            dialer,
            service: None,
            places: (0..lines).map(|_| Place::Idle).collect(),
            due: Instant::NEVER,
            counters: Counters::leak(),
        }
    }

    /// Looks after a line.
    fn serve<S: StreamPort, N: ResolverPort>(
        &mut self,
        line: &Line,
        tcp: &mut S,
        names: &mut N,
        now: Instant,
    ) {
        let index = line.index() as usize;
        let Some(place) = self.places.get_mut(index) else { return };
        match (line.work(), place) {
            (Work::None, _) => {}
            (Work::Connect, Place::Idle) => {
                self.counters.wanted.add(1);
                match line.target(|host, port| Call::begin(host, port, names, self.config, now)) {
                    Ok(call) => {
                        self.places[index] = Place::Calling(call);
                        self.go_on(line, tcp, names, now);
                    }
                    Err(why) => {
                        self.counters.failed.add(1);
                        line.fail(why);
                    }
                }
            }
            (Work::Connect, Place::Calling(_)) => self.go_on(line, tcp, names, now),
            (Work::Carry, Place::Open(..)) => self.carry(line, tcp),
            (Work::Leave, Place::Open(..)) => self.leave(line, tcp),
            (Work::Leave, Place::Calling(call)) => {
                call.give_up(tcp, names);
                self.counters.abandoned.add(1);
                self.free(line);
            }
            // A handler that went away before anything was begun.
            (Work::Leave, Place::Idle) => line.reset(),
            (Work::Connect | Work::Carry, _) => {}
        }
    }

    /// Goes on trying to connect.
    fn go_on<S: StreamPort, N: ResolverPort>(
        &mut self,
        line: &Line,
        tcp: &mut S,
        names: &mut N,
        now: Instant,
    ) {
        let (Some(service), Some(Place::Calling(call))) =
            (self.service, self.places.get_mut(line.index() as usize))
        else {
            return;
        };
        match call.step(line.index(), service, tcp, names, now, self.counters) {
            Step::Wait => {}
            Step::Open(stream) => {
                self.places[line.index() as usize] = Place::Open(stream, false);
                self.counters.opened.add(1);
                self.counters.open.add(1);
                match tcp.peer(stream) {
                    Some(peer) => line.open(peer),
                    None => line.break_off(Broken::Reset),
                }
                self.carry(line, tcp);
            }
            Step::Failed(why) => {
                self.places[line.index() as usize] = Place::Idle;
                self.counters.failed.add(1);
                line.fail(why);
            }
        }
    }

    /// Moves packets both ways, as far as there is room.
    fn carry<S: StreamPort>(&mut self, line: &Line, tcp: &mut S) {
        let Some(Place::Open(stream, closed)) = self.places.get_mut(line.index() as usize) else {
            return;
        };
        let stream = *stream;
        send(line, stream, closed, tcp);
        // Bounded by the room of the line.
        while line.has_room()
            && let Some(packet) = tcp.recv(stream)
        {
            // There is room: it was just looked at.
            let _ = line.deliver(packet);
        }
        let status = tcp.status(stream);
        let broken = match status.phase {
            Phase::Opening | Phase::Open | Phase::Closed => None,
            Phase::Reset => Some(Broken::Reset),
            Phase::TimedOut => Some(Broken::TimedOut),
            Phase::Unreachable => Some(Broken::Unreachable),
        };
        if let Some(why) = broken {
            self.counters.broken.add(1);
            line.break_off(why);
        } else if status.readable == 0 && (status.finished || status.phase == Phase::Closed) {
            line.end();
        }
    }

    /// Sends what a handler has left behind, and gives its connection up then.
    fn leave<S: StreamPort>(&mut self, line: &Line, tcp: &mut S) {
        let Some(Place::Open(stream, closed)) = self.places.get_mut(line.index() as usize) else {
            return;
        };
        let stream = *stream;
        let lives = matches!(tcp.status(stream).phase, Phase::Opening | Phase::Open);
        let all = !lives || send(line, stream, closed, tcp);
        if all {
            tcp.release(stream);
            self.counters.open.sub(1);
            self.free(line);
        }
    }

    fn free(&mut self, line: &Line) {
        if let Some(place) = self.places.get_mut(line.index() as usize) {
            *place = Place::Idle;
        }
        line.reset();
    }

    /// When something is to be done for those that are not connected yet.
    fn schedule(&mut self) {
        let calls = self.places.iter().filter_map(|place| match place {
            Place::Calling(call) => Some(call.deadline()),
            Place::Idle | Place::Open(..) => None,
        });
        self.due = calls.min().unwrap_or(Instant::NEVER);
    }
}

/// Sends what a handler has written, as far as there is room; whether that was all of it.
fn send<S: StreamPort>(line: &Line, stream: Stream, closed: &mut bool, tcp: &mut S) -> bool {
    while let Some(packet) = line.take() {
        if let Err(packet) = tcp.send(stream, packet) {
            // There is news once there is room.
            line.put_back(packet);
            return false;
        }
    }
    if line.is_finished() && !core::mem::replace(closed, true) {
        tcp.close(stream);
    }
    true
}

impl<S: StreamPort, N: ResolverPort> Component<(&mut S, &mut N)> for Dial {
    fn init(&mut self, (tcp, _): &mut (&mut S, &mut N), cx: &mut Context) -> Result<(), InitError> {
        if tcp.is_secure() {
            cx.system().set_secure_dialer(self.dialer);
        } else {
            cx.system().set_dialer(self.dialer);
        }
        let full = InitError("the port below has no room for another service");
        self.service = Some(tcp.attach().ok_or(full)?);
        Ok(())
    }

    fn receive(&mut self, (tcp, names): &mut (&mut S, &mut N), cx: &mut Context) {
        let Some(service) = self.service else { return };
        let dialer = self.dialer;
        for _ in 0..BATCH {
            let Some(stream) = tcp.news(service) else { break };
            match tcp.tag(stream).and_then(|tag| dialer.lines().get(tag as usize)) {
                Some(line) => self.serve(line, *tcp, *names, cx.now()),
                None => tcp.release(stream),
            }
        }
    }

    fn transmit(&mut self, (tcp, names): &mut (&mut S, &mut N), cx: &mut Context) {
        let dialer = self.dialer;
        let mut changed = false;
        for _ in 0..BATCH {
            let Some(line) = dialer.next_work() else { break };
            changed = true;
            self.serve(line, *tcp, *names, cx.now());
        }
        if !changed && self.due == Instant::NEVER {
            return;
        }
        // Answers of the resolver are not news: whoever waits looks.
        for line in dialer.lines() {
            if line.work() == Work::Connect {
                self.serve(line, *tcp, *names, cx.now());
            }
        }
        self.schedule();
    }

    fn deadline(&self) -> Instant {
        if self.dialer.has_work() { Instant::ZERO } else { self.due }
    }
}

impl Inspect for Dial {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
