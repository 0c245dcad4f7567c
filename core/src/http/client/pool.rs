//! The connections of one core: those in use, and those that wait for another request.

use super::place::Place;
use super::{Fetch, FetchError, Wait};
use crate::dial::{Connection, TARGET_MAX};
use crate::http::Method;
use crate::http::wire::Budget;
use crate::task::{Task, timeout};
use crate::{Duration, Instant, Pool, System};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;
use heapless::String;

/// How a [`Client`] is set up.
#[derive(Debug)]
pub struct Config {
    /// Connections at a time, to all servers together, those that wait for a request included.
    pub connections: u16,
    /// Connections at a time to one server.
    pub per_server: u16,
    /// Requests that wait for a connection, at most.
    pub waiting: u16,
    /// How long a request waits for a connection that another one uses.
    pub wait_timeout: Duration,
    /// How long a connection is kept for another request.
    pub idle_timeout: Duration,
    /// How long it may take until a connection is open.
    pub connect_timeout: Duration,
    /// How long a server may take nothing of a request.
    pub send_timeout: Duration,
    /// How long a server may take to begin its answer, once it has the request.
    pub answer_timeout: Duration,
    /// How long a server may send nothing of a body.
    pub body_timeout: Duration,
    /// How long a request that asks first waits for a word before it sends its body.
    pub continue_timeout: Duration,
    /// The longest head of an answer in bytes, up to 65535.
    pub head_limit: u64,
    /// The most fields of an answer.
    pub field_limit: u16,
    /// What is said in `User-Agent`; nothing when empty.
    pub agent: &'static str,
}

crate::counters! {
    /// What a [`Client`] counts.
    pub struct Counters {
        /// Requests that handlers began.
        counter requests: requests,
        /// Answers whose head came.
        counter answers: answers,
        /// Requests that went over a connection which had served before.
        counter reused: requests,
        /// Requests that were sent again, because a kept connection had been closed meanwhile.
        counter retried: requests,
        /// Requests that were sent elsewhere, because an answer said so.
        counter redirected: requests,
        /// Requests that got no answer, or not all of one.
        counter failed: requests,
        /// Of those: because something took too long.
        counter late: requests,
        /// Of those: because the answer broke a rule of HTTP.
        counter malformed: requests,
        /// Of those: because no connection was free.
        counter busy: requests,
        /// Connections that were begun.
        counter connected: connections,
        /// Connections, in use or kept.
        gauge open: connections,
        /// Of those: kept for another request.
        gauge idle: connections,
    }
}

/// Asks other servers for the handlers of one core. Made by the component `fetch`.
pub struct Client {
    pub(super) config: &'static Config,
    pub(super) system: &'static System,
    pub(super) pool: Pool,
    /// What heads in memory count against.
    pub(super) heads: Budget,
    pub(super) counters: &'static Counters,
    places: Box<[Berth]>,
    /// Tasks that wait for a connection.
    waiting: RefCell<VecDeque<&'static Task>>,
    now: Cell<Instant>,
    /// When the kept connections are looked at next.
    look: Cell<Instant>,
}

/// A place for one connection.
struct Berth {
    state: Cell<State>,
    secure: Cell<bool>,
    port: Cell<u16>,
    host: RefCell<String<TARGET_MAX>>,
    /// While it is kept.
    connection: Cell<Option<Connection>>,
    /// Since when it is kept.
    since: Cell<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Kept,
    Used,
}

/// A connection and its place, for as long as one request has it.
pub(super) struct Lease {
    client: &'static Client,
    index: usize,
    connection: Option<Connection>,
    /// Whether it has served before.
    pub kept: bool,
}

/// Which connections a request may go over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// Any.
    Any,
    /// Those that were used a moment ago, or new ones: the request may not be sent twice.
    Recent,
    /// A new one.
    New,
}

impl Client {
    /// A client without connections, which lives as long as the image.
    pub fn leak(config: &'static Config, system: &'static System, pool: Pool) -> &'static Self {
        Box::leak(Box::new(Self {
            config,
            system,
            pool,
            heads: Budget::beside(pool),
            counters: Counters::leak(),
            places: (0..config.connections.max(1)).map(|_| Berth::new()).collect(),
            waiting: RefCell::new(VecDeque::with_capacity(config.waiting.into())),
            now: Cell::new(Instant::ZERO),
            look: Cell::new(Instant::NEVER),
        }))
    }

    /// Begins a request for `url`, as [`Request::fetch`](crate::http::Request::fetch) does.
    pub fn fetch<'a>(&'static self, method: Method, url: &'a str) -> Fetch<'a> {
        Fetch::begin(Some(self), self.pool, method.name(), url)
    }

    /// What it counts.
    pub fn counters(&self) -> &'static Counters {
        self.counters
    }

    /// Counts a request that failed.
    pub(super) fn count(&self, why: FetchError) {
        self.counters.failed.add(1);
        match why {
            FetchError::Late(_) => self.counters.late.add(1),
            FetchError::Malformed(_) => self.counters.malformed.add(1),
            FetchError::Busy => self.counters.busy.add(1),
            _ => {}
        }
    }

    /// Looks after the connections that are kept: those that a server has closed, and those that
    /// were kept for long enough, are given up. Called by the component, in each sweep.
    #[inline]
    pub fn tend(&self, now: Instant) {
        self.now.set(now);
        if now >= self.look.get() {
            self.look_at_kept(now);
        }
    }

    /// When [`tend`](Self::tend) has something to do.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.look.get()
    }

    #[cold]
    fn look_at_kept(&self, now: Instant) {
        let mut any = false;
        for berth in self.kept() {
            let connection = berth.connection.take();
            let lives = connection.as_ref().is_some_and(Connection::is_quiet);
            if lives && now < berth.since.get() + self.config.idle_timeout {
                berth.connection.set(connection);
                any = true;
            } else {
                self.free(berth);
            }
        }
        self.look.set(if any { now + LOOK } else { Instant::NEVER });
    }

    /// A connection to the server of `place`: a kept one, or a new one.
    pub(super) async fn lease(
        &'static self,
        place: &Place<'_>,
        choice: Choice,
    ) -> Result<Lease, FetchError> {
        let dialer = match place.secure {
            false => self.system.dialer(),
            true => Some(self.system.secure_dialer().ok_or(FetchError::NoTls)?),
        };
        let dialer = dialer.ok_or(FetchError::Dial(crate::dial::DialError::NoDialer))?;
        let mut waits = Waits { client: self, task: None };
        let found = poll_fn(|cx| {
            let task = Task::expect(cx);
            match self.find(place, choice, task.scheduler().now()) {
                Some(lease) => Poll::Ready(Some(lease)),
                None if self.wait(task) => {
                    waits.task = Some(task);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        });
        let found = timeout(self.config.wait_timeout, found).await;
        let mut lease = found.ok().flatten().ok_or(FetchError::Busy)?;
        if lease.connection.is_none() {
            self.counters.connected.add(1);
            let connecting = dialer.connect_to(place.host, place.port);
            let connected = timeout(self.config.connect_timeout, connecting).await;
            let connection = connected.map_err(|_| FetchError::Late(Wait::Connect))?;
            lease.connection = Some(connection.map_err(FetchError::Dial)?);
        }
        Ok(lease)
    }

    /// A kept connection, or a place for a new one; `None` when there is neither now.
    fn find(&'static self, place: &Place<'_>, choice: Choice, now: Instant) -> Option<Lease> {
        let age = match choice {
            Choice::Any => Duration::MAX,
            Choice::Recent => RECENT,
            Choice::New => Duration::ZERO,
        };
        // Those that wait before this one have been woken before it.
        // The one that was used last: the others may become old.
        loop {
            let fits = |berth: &&Berth| berth.is_to(place) && now.since(berth.since.get()) < age;
            let Some(berth) = self.kept().filter(fits).max_by_key(|berth| berth.since.get()) else {
                break;
            };
            match berth.connection.take().filter(Connection::is_quiet) {
                Some(connection) => {
                    self.counters.idle.sub(1);
                    berth.state.set(State::Used);
                    return self.lease_of(berth, Some(connection));
                }
                None => self.free(berth),
            }
        }
        let of_server = || self.places.iter().filter(|berth| berth.is_to(place));
        if of_server().count() >= usize::from(self.config.per_server.max(1)) {
            // Kept ones that were not good enough make room.
            let kept = of_server().find(|berth| berth.state.get() == State::Kept)?;
            self.free(kept);
        }
        let free = self.places.iter().find(|berth| berth.state.get() == State::Free);
        let berth = free.or_else(|| {
            let oldest = self.kept().min_by_key(|berth| berth.since.get())?;
            self.free(oldest);
            Some(oldest)
        })?;
        berth.take_for(place);
        self.counters.open.add(1);
        self.lease_of(berth, None)
    }

    fn lease_of(&'static self, berth: &Berth, connection: Option<Connection>) -> Option<Lease> {
        let index = self.places.iter().position(|other| core::ptr::eq(other, berth))?;
        Some(Lease { client: self, index, kept: connection.is_some(), connection })
    }

    /// Has `task` woken when a connection is given back. Whether there is room for it.
    fn wait(&self, task: &'static Task) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let waits = waiting.iter().any(|other| core::ptr::eq(*other, task));
        let fits = waiting.len() < usize::from(self.config.waiting);
        if !waits && fits {
            waiting.push_back(task);
        }
        waits || fits
    }

    /// Wakes all that wait: the first may wait for another server, or not any more.
    fn wake(&self) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(task) = waiting.pop_front() {
            task.wake();
        }
    }

    fn kept(&self) -> impl Iterator<Item = &Berth> {
        self.places.iter().filter(|berth| berth.state.get() == State::Kept)
    }

    /// Gives a place back, with its connection.
    fn free(&self, berth: &Berth) {
        drop(berth.connection.take());
        if berth.state.replace(State::Free) == State::Kept {
            self.counters.idle.sub(1);
        }
        self.counters.open.sub(1);
    }
}

impl Lease {
    /// The connection.
    pub fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// Whose it is.
    pub fn client(&self) -> &'static Client {
        self.client
    }

    /// Keeps the connection for another request.
    pub fn keep(mut self) {
        let (client, Some(berth)) = (self.client, self.client.places.get(self.index)) else {
            return;
        };
        let Some(connection) = self.connection.take() else { return };
        if client.config.idle_timeout == Duration::ZERO {
            return;
        }
        connection.rest();
        berth.connection.set(Some(connection));
        let now = client.now.get();
        berth.since.set(now);
        berth.state.set(State::Kept);
        client.counters.idle.add(1);
        client.look.set(client.look.get().min(now + LOOK));
    }
}

/// A task in the list of those that wait; it does not stay there when it gives up.
struct Waits {
    client: &'static Client,
    task: Option<&'static Task>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let Some(task) = self.task else { return };
        let mut waiting = self.client.waiting.borrow_mut();
        let before = waiting.len();
        waiting.retain(|other| !core::ptr::eq(*other, task));
        // The task may wait for another connection beside this one, and then enters itself again.
        if waiting.len() != before {
            task.wake();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(berth) = self.client.places.get(self.index) else { return };
        // A kept connection has left the lease for its place.
        if berth.state.get() == State::Used {
            self.client.free(berth);
        }
        self.client.wake();
    }
}

impl Berth {
    fn new() -> Self {
        Self {
            state: Cell::new(State::Free),
            secure: Cell::new(false),
            port: Cell::new(0),
            host: RefCell::new(String::new()),
            connection: Cell::new(None),
            since: Cell::new(Instant::ZERO),
        }
    }

    fn is_to(&self, place: &Place<'_>) -> bool {
        self.state.get() != State::Free
            && self.port.get() == place.port
            && self.secure.get() == place.secure
            && self.host.borrow().eq_ignore_ascii_case(place.host)
    }

    fn take_for(&self, place: &Place<'_>) {
        let mut host = self.host.borrow_mut();
        host.clear();
        // A place has no longer one.
        let _ = host.push_str(place.host);
        self.secure.set(place.secure);
        self.port.set(place.port);
        self.state.set(State::Used);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// How often kept connections are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How recently a connection was used that a request goes over which may not be sent twice. Servers
/// that close idle connections do so later.
const RECENT: Duration = Duration::from_secs(2);
