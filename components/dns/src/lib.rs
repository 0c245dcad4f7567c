//! DNS resolver (RFC 1034 section 5.3.1): finds the addresses of names by asking servers that
//! answer for the whole tree, and remembers what they said.
//!
//! It asks over UDP, from a port and with a number of its own for each question, and over TCP what
//! does not fit. An answer is believed when it comes from the server that was asked, repeats the
//! number and the question letter by letter, and then only what it says of the name itself and of
//! what that stands for (RFC 5452). Servers are tried in turn, the one that answered last first.
//!
//! A name without a dot is looked for in the domains to search, and then as it is; one with a dot
//! just as it is. `localhost` and what is in it are this host (RFC 6761 section 6.3); names in
//! `invalid`, `local` and `onion` are nobody's here.
//!
//! Everything is bounded: open questions, servers, tries and the time for each, names that stand
//! for others, the answers that are remembered, and for how long.
//!
//! Not here: other records than addresses, DNSSEC, encrypted transports, multicast DNS, walking
//! the tree from its root, and names outside of ASCII (write them as `xn--…`).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod ask;
mod cache;
mod lookup;
mod message;
mod name;
mod question;
mod stream;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use cache::Cache;
use core::net::IpAddr;
use lookup::{Lookup, Stage};
use question::Asked;
use stream::Conversation;
use waitless::network::names::NameServers;
use waitless::{
    Addresses, AskError, Component, Context, CounterSet, Duration, Family, InitError, Inspect,
    Instant, NoAddress, Question, ResolverPort, Service, StreamPort, UdpPort,
};

/// What the manifest may set.
#[derive(Debug)]
pub struct Config {
    /// Name servers to ask; where there are none, those that the network names.
    pub servers: &'static [IpAddr],
    /// Domains in which names without a dot are looked for; where there are none, those that the
    /// network names.
    pub search: &'static [&'static str],
    /// How long a server has time to answer at first.
    pub timeout: Duration,
    /// How often each server has its turn at most.
    pub attempts: u8,
    /// How many questions may be open at a time.
    pub questions: u16,
    /// How many answers are remembered at most.
    pub cache: u16,
    /// How long an answer is remembered at most.
    pub ttl: Duration,
    /// How long it is remembered at most that there is nothing.
    pub negative_ttl: Duration,
    /// Whether names are written in random case.
    pub mixed_case: bool,
}

/// The resolver. Provides [`ResolverPort`], stands on a [`UdpPort`] and a [`StreamPort`].
pub struct Dns {
    config: &'static Config,
    counters: &'static Counters,
    questions: Vec<Asked>,
    lookups: Vec<Lookup>,
    conversations: Vec<Conversation>,
    cache: Cache,
    /// Whom to ask, and in which domains to search.
    names: NameServers,
    /// The server that answered last, modulo how many there are.
    server: usize,
    service: Option<Service>,
    /// When something is to be done.
    due: Instant,
    now: Instant,
}

waitless::counters! {
    /// What the resolver counts. Answers received are those that were used and those dropped for
    /// one of the reasons up to `failed`.
    pub(crate) struct Counters {
        /// Questions asked of the resolver.
        counter questions: questions,
        /// Questions answered from what was remembered, or without asking.
        counter remembered: questions,
        /// Questions for which addresses were found.
        counter found: questions,
        /// Questions to which the answer is that there is no such name or address.
        counter absent: questions,
        /// Questions that no server answered, or could.
        counter unanswered: questions,
        /// Questions sent to servers over UDP.
        counter sent: messages,
        /// Questions sent to servers over TCP.
        counter streams: messages,
        /// Messages that came from servers, or said so.
        counter received: messages,
        /// Messages that were not from the server asked, or not about what was asked.
        counter foreign: messages,
        /// Answers that did not repeat the name letter by letter.
        counter other_case: messages,
        /// Answers that make no sense.
        counter malformed: messages,
        /// Answers that did not fit, and were asked for over TCP.
        counter truncated: messages,
        /// Answers of servers that do not understand EDNS.
        counter not_extended: messages,
        /// Answers that say that the server could not say.
        counter failed: messages,
        /// Servers that did not answer in time.
        counter timeouts: messages,
        /// Questions that had to wait for a port, a packet or a conversation.
        counter delayed: messages,
        /// Answers that are remembered.
        gauge cache: answers,
        /// Names that are being looked for.
        gauge open: names,
    }
}

impl Dns {
    /// A resolver that knows nothing yet.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            counters: Counters::leak(),
            questions: Vec::new(),
            lookups: Vec::new(),
            conversations: Vec::new(),
            cache: Cache::new(config.cache.into()),
            names: NameServers::default(),
            server: 0,
            service: None,
            due: Instant::NEVER,
            now: Instant::ZERO,
        }
    }

    /// Takes over whom the network names, where the manifest does not.
    fn learn<U: UdpPort>(&mut self, udp: &U) {
        let Some(known) = udp.name_servers() else { return };
        if self.config.servers.is_empty() && self.names.servers != known.servers {
            self.names.servers = known.servers.clone();
            self.server = 0;
        }
        if self.config.search.is_empty() && self.names.search != known.search {
            self.names.search = known.search.clone();
        }
    }

    /// When something is to be done next.
    fn schedule(&mut self) {
        let deadlines = self.lookups.iter().map(Lookup::deadline);
        self.due = deadlines.min().unwrap_or(Instant::NEVER);
        let open = self.lookups.iter().filter(|it| it.stage != Stage::Free).count();
        self.counters.open.set(open as u64);
        self.counters.cache.set(self.cache.len() as u64);
    }
}

impl<U: UdpPort, S: StreamPort> Component<(&mut U, &mut S)> for Dns {
    fn init(
        &mut self,
        (udp, tcp): &mut (&mut U, &mut S),
        cx: &mut Context,
    ) -> Result<(), InitError> {
        self.now = cx.now();
        self.cache.seed(&mut cx.random);
        self.config.servers.iter().for_each(|server| self.names.add_server(*server));
        for domain in self.config.search {
            if name::Name::parse(domain).is_none() {
                return Err(InitError(
                    "a domain to search is not a name: write it as in example.org",
                ));
            }
            self.names.add_domain(domain);
        }
        let full = InitError("TCP has no room for a service: raise `services` of the tcp instance");
        self.service = Some(tcp.attach().ok_or(full)?);
        self.learn(*udp);
        Ok(())
    }

    fn receive(&mut self, (udp, tcp): &mut (&mut U, &mut S), cx: &mut Context) {
        self.now = cx.now();
        self.learn(*udp);
        if self.due == Instant::NEVER {
            return;
        }
        self.hear_datagrams(*udp);
        self.hear_streams(*tcp);
    }

    fn transmit(&mut self, (udp, tcp): &mut (&mut U, &mut S), cx: &mut Context) {
        if self.due == Instant::NEVER {
            return;
        }
        for index in 0..self.lookups.len() {
            if self.lookups.get(index).is_some_and(|lookup| lookup.deadline() <= self.now) {
                self.act(index, *udp, *tcp, cx);
            }
        }
        self.schedule();
    }

    fn deadline(&self) -> Instant {
        self.due
    }
}

impl ResolverPort for Dns {
    fn ask(&mut self, name: &str, family: Family) -> Result<Question, AskError> {
        self.begin(name, family)
    }

    fn answer(&mut self, question: Question) -> Option<Result<Addresses, NoAddress>> {
        self.collect(question)
    }

    fn forget(&mut self, question: Question) {
        self.give_up(question);
    }
}

impl Inspect for Dns {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
