//! Questions: which names stand for what was asked, and what became of them.

use crate::Dns;
use crate::cache::Known;
use crate::lookup::{Lookup, Next, Stage};
use crate::name::Name;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use waitless::{Addresses, AskError, Duration, Family, Instant, NoAddress, Question};

/// A question of somebody above.
pub(crate) struct Asked {
    generation: u16,
    state: State,
    name: Name,
    family: Family,
    /// Which of the names that may be meant is next: those in the domains to search, then the
    /// name itself.
    next: usize,
}

enum State {
    /// The place is free.
    Free,
    /// It waits for this lookup.
    Waiting(usize),
    /// This is the answer.
    Done(Known),
}

/// Domains in which a name is looked for at most.
const DOMAINS_MAX: usize = 6;

impl Dns {
    /// Begins a question.
    pub(crate) fn begin(&mut self, text: &str, family: Family) -> Result<Question, AskError> {
        let address: Option<IpAddr> = text.parse().ok();
        let (name, whole) = match address {
            Some(_) => (Name::ROOT, true),
            None => Name::parse(text).ok_or(AskError::BadName)?,
        };
        // What is being looked for may outlive its question.
        let busy = self.lookups.iter().filter(|it| it.stage != Stage::Free).count();
        let room = busy < usize::from(self.config.questions);
        let index = self.place().filter(|_| room).ok_or(AskError::Full)?;
        self.counters.questions.add(1);
        let domains = if whole || name.has_dot() { usize::MAX } else { 0 };
        let known = match address {
            Some(address) => Some(of_family(&[address], family)),
            None => special(&name, family),
        };
        let asked = self.questions.get_mut(index).ok_or(AskError::Full)?;
        (asked.name, asked.family, asked.next) = (name, family, domains);
        let question = Question { index: index as u16, generation: asked.generation };
        match known {
            Some(known) => {
                self.counters.remembered.add(1);
                self.settle(index, known);
            }
            None => self.seek(index, true),
        }
        Ok(question)
    }

    /// A place for a question.
    fn place(&mut self) -> Option<usize> {
        let free = self.questions.iter().position(|asked| matches!(asked.state, State::Free));
        if free.is_some() {
            return free;
        }
        if self.questions.len() >= usize::from(self.config.questions) {
            return None;
        }
        self.questions.push(Asked {
            generation: 0,
            state: State::Free,
            name: Name::ROOT,
            family: Family::V4,
            next: 0,
        });
        Some(self.questions.len() - 1)
    }

    /// The answer, if there is one.
    pub(crate) fn collect(&mut self, question: Question) -> Option<Known> {
        let Some(asked) = self.questions.get_mut(usize::from(question.index)) else {
            return Some(Err(NoAddress::Forgotten));
        };
        if asked.generation != question.generation {
            return Some(Err(NoAddress::Forgotten));
        }
        match &mut asked.state {
            State::Waiting(_) => None,
            State::Free => Some(Err(NoAddress::Forgotten)),
            State::Done(known) => {
                let known = core::mem::replace(known, Err(NoAddress::Forgotten));
                asked.free();
                Some(known)
            }
        }
    }

    /// Gives a question up. What is being looked for for it goes on: the answer is remembered.
    pub(crate) fn give_up(&mut self, question: Question) {
        if let Some(asked) = self.questions.get_mut(usize::from(question.index))
            && asked.generation == question.generation
            && !matches!(asked.state, State::Free)
        {
            asked.free();
        }
    }

    /// Looks for the next name that may be meant, until one is not known yet.
    fn seek(&mut self, index: usize, at_first: bool) {
        let mut last = Err(NoAddress::NoSuchName);
        // Bounded: each turn takes the next of a few domains.
        while let Some((name, family)) = self.candidate(index) {
            let Some(known) = self.cache.find(&name, family, self.now) else {
                let lookup = self.look_for(name, family);
                if let Some(asked) = self.questions.get_mut(index) {
                    asked.state = State::Waiting(lookup);
                }
                return;
            };
            last = known.clone();
            if last != Err(NoAddress::NoSuchName) {
                break;
            }
        }
        if at_first {
            self.counters.remembered.add(1);
        }
        self.settle(index, last);
    }

    /// The next name that may be meant by a question.
    fn candidate(&mut self, index: usize) -> Option<(Name, Family)> {
        let asked = self.questions.get_mut(index)?;
        let mut domains = self.names.domains().take(DOMAINS_MAX).skip(asked.next);
        let (name, family) = (asked.name, asked.family);
        // A domain may make the name too long.
        for domain in &mut domains {
            asked.next += 1;
            if let Some(name) = name.within(domain) {
                return Some((name, family));
            }
        }
        let done = asked.next > DOMAINS_MAX && asked.next != usize::MAX;
        asked.next = DOMAINS_MAX + 1;
        (!done).then_some((name, family))
    }

    /// A lookup of `name`: the one that there is, or a new one.
    fn look_for(&mut self, name: Name, family: Family) -> usize {
        let open = |it: &Lookup| it.stage != Stage::Free;
        // RFC 5452 section 5: the same is not asked twice at a time.
        let same = |it: &Lookup| open(it) && it.family == family && it.name == name;
        if let Some(known) = self.lookups.iter().position(same) {
            return known;
        }
        self.due = Instant::ZERO;
        let lookup = Lookup::new(name, family, self.server);
        match self.lookups.iter_mut().enumerate().find(|(_, it)| !open(it)) {
            Some((index, free)) => {
                *free = lookup;
                index
            }
            None => {
                // No more than there may be questions: `begin` has looked, and what `finish`
                // begins takes the place of what it ends.
                self.lookups.push(lookup);
                self.lookups.len() - 1
            }
        }
    }

    /// Ends a lookup: remembers its answer, for so many seconds, and tells who waits for it.
    pub(crate) fn finish(&mut self, lookup: usize, known: Known, ttl: Option<u32>) {
        let Some(it) = self.lookups.get_mut(lookup) else { return };
        it.stage = Stage::Free;
        let (name, family) = (it.name, it.family);
        let limit = if known.is_ok() { self.config.ttl } else { self.config.negative_ttl };
        let ttl = ttl.map_or(Duration::ZERO, |ttl| Duration::from_secs(ttl.into()).min(limit));
        if ttl > Duration::ZERO {
            self.cache.put(&name, family, self.now + ttl, known.clone());
        }
        for index in 0..self.questions.len() {
            let waits = self.questions.get(index).is_some_and(
                |asked| matches!(asked.state, State::Waiting(waits) if waits == lookup),
            );
            match &known {
                _ if !waits => {}
                Err(NoAddress::NoSuchName) => self.seek(index, false),
                known => self.settle(index, known.clone()),
            }
        }
    }

    fn settle(&mut self, index: usize, known: Known) {
        let counter = match &known {
            Ok(_) => &self.counters.found,
            Err(NoAddress::NoSuchName | NoAddress::NoneOfFamily) => &self.counters.absent,
            Err(_) => &self.counters.unanswered,
        };
        counter.add(1);
        if let Some(asked) = self.questions.get_mut(index) {
            asked.state = State::Done(known);
        }
    }

    /// What a lookup's next step is.
    pub(crate) fn take_step(&mut self, lookup: usize, next: Next) {
        let (servers, now) = (self.names.servers.len(), self.now);
        let Some(it) = self.lookups.get_mut(lookup) else { return };
        match next {
            Next::Wait => {}
            Next::Again => it.stage = Stage::Ask(now),
            Next::Other => {
                if let Some(next) = it.turn(servers, self.config.attempts.into(), now) {
                    self.take_end(lookup, next);
                }
            }
            Next::Done(known, ttl) => {
                if known.is_ok() {
                    self.server = it.server;
                }
                self.finish(lookup, known, ttl);
            }
        }
    }

    fn take_end(&mut self, lookup: usize, next: Next) {
        if let Next::Done(known, ttl) = next {
            self.finish(lookup, known, ttl);
        }
    }
}

impl Asked {
    fn free(&mut self) {
        self.state = State::Free;
        self.generation = self.generation.wrapping_add(1);
    }
}

/// Those of `addresses` that are of `family`.
fn of_family(addresses: &[IpAddr], family: Family) -> Known {
    let all = addresses.iter().copied();
    let fitting: Addresses = all.filter(|address| Family::of(*address) == family).collect();
    if fitting.is_empty() { Err(NoAddress::NoneOfFamily) } else { Ok(fitting) }
}

/// What is known of names that no server is asked for (RFC 6761, RFC 6762 section 22.1,
/// RFC 7686 section 2).
fn special(name: &Name, family: Family) -> Option<Known> {
    const HERE: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if name.is_in("localhost") {
        return Some(of_family(&HERE, family));
    }
    let within = |domain| name.is_in(domain) && name.has_dot();
    let nobodys = name.is_in("invalid") || within("local") || within("onion");
    nobodys.then_some(Err(NoAddress::NoSuchName))
}
