//! The component that runs handlers: one task per request, all in one table.

use super::admission::Admission;
use super::slot::{
    BODY_ENDED, BROKEN, FINISHED, HEAD_ONLY, STARTED, STREAMED, Slot, TRAILED, WANTS_BODY,
    WANTS_ROOM,
};
use super::{Files, Handler, HttpPorts, Method, Request, Response};
use crate::counter::leak;
use crate::task::Tasks;
use crate::{
    BATCH, Chunk, Component, Context, CounterSet, Duration, Exchange, Inspect, Instant, Pool,
    System,
};
use alloc::vec::Vec;

/// How a [`Server`] is set up.
#[derive(Debug)]
pub struct ServerConfig {
    /// How many requests are served at a time, 1 to 65536. Where packets are few, fewer are: see
    /// [`Server::limit`].
    pub tasks: u32,
    /// How long a request may wait for its turn; then the answer is 503. Up to 1 h.
    pub patience: Duration,
    /// The files that [`files()`](super::files()) serves.
    pub files: Files,
}

crate::counters! {
    /// What a [`Server`] counts.
    pub struct Counters {
        /// Requests that were given to a handler.
        counter requests: requests,
        /// Requests whose connection speaks another protocol since.
        counter upgraded: requests,
        /// Responses with a status from 200 to 299.
        counter responses_2xx: responses,
        /// Responses with a status from 300 to 399.
        counter responses_3xx: responses,
        /// Responses with a status from 400 to 499, those of the port not counted.
        counter responses_4xx: responses,
        /// Responses with a status from 500 to 599.
        counter responses_5xx: responses,
        /// Requests whose client went away, or broke the rules, before the response was complete.
        counter abandoned: requests,
        /// Responses that their handler did not complete.
        counter broken: responses,
        /// Requests that are being served.
        gauge tasks: tasks,
        /// How many requests may be served at a time.
        gauge tasks_limit: tasks,
        /// Sweeps in which a request had to wait because all tasks were in use.
        counter waited: sweeps,
        /// Requests that were ended, because their clients were slow and others had to wait.
        counter shed: requests,
        /// Requests that were answered with 503, because they had waited for too long.
        counter declined: requests,
    }
}

/// Runs the handler `H` for every request that comes out of the ports it stands on.
///
/// Each request has a task of its own, so that none waits for another. Places for tasks are made
/// as they are needed, up to a limit; what happens near it is told in `admission.rs`.
pub struct Server<H: Handler> {
    pub(super) handler: H,
    pub(super) tasks: Tasks<H::Future>,
    pub(super) slots: Vec<&'static Slot>,
    pub(super) bindings: Vec<Binding>,
    pub(super) free: Vec<u32>,
    /// Whether a request could be accepted at once.
    more: bool,
    /// Which port is asked first for requests.
    first: usize,
    pub(super) admission: Admission,
    pub(super) pool: Pool,
    system: &'static System,
    files: Files,
    pub(super) counters: &'static Counters,
}

/// What a task is bound to.
#[derive(Clone, Copy, Default)]
pub(super) struct Binding {
    pub(super) exchange: Exchange,
    pub(super) port: u8,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Phase {
    /// There is no task.
    #[default]
    Free,
    /// The handler runs.
    Running,
    /// The handler is done, and what it said is on its way.
    Draining,
}

impl<H: Handler> Server<H> {
    /// A server that answers with `handler`.
    pub fn new(config: &'static ServerConfig, handler: H, cx: &mut Context) -> Self {
        let limit = Self::limit(config.tasks, cx.pool());
        let counters = Counters::leak();
        counters.tasks_limit.set(limit.into());
        Self {
            handler,
            tasks: Tasks::new(limit),
            slots: Vec::new(),
            bindings: Vec::new(),
            free: Vec::new(),
            more: false,
            first: 0,
            admission: Admission::new(limit, config.patience),
            pool: cx.pool(),
            system: cx.system(),
            files: config.files,
            counters,
        }
    }

    /// How many requests are served at a time where `tasks` are asked for: no more than one for
    /// each ten of the packets of `pool`, and no more than fit into a quarter of what those take
    /// of memory; but sixteen in any case, where `tasks` is not less.
    ///
    /// So whatever clients do, there is memory for all tasks, and half of the packets are enough
    /// for each to have one at each step: its head, and what is being written, waits in two
    /// places, and is sent.
    pub fn limit(tasks: u32, pool: Pool) -> u32 {
        let by_packets = pool.count() / 10;
        let by_memory = pool.count() * (Pool::BUFFER_SIZE / 4) / Self::TASK_SIZE;
        let most = u32::try_from(by_packets.min(by_memory)).unwrap_or(u32::MAX);
        tasks.clamp(1, 65_536).min(most.max(16))
    }

    /// Bytes of memory that one task takes.
    pub const TASK_SIZE: usize = size_of::<H::Future>()
        + size_of::<Slot>()
        + size_of::<Binding>()
        + size_of::<crate::task::Task>()
        + 3 * size_of::<usize>()
        + size_of::<u32>();

    /// A place for one more task, by making more of them if need be.
    #[inline]
    pub(super) fn place(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.grow();
        }
        self.free.pop()
    }

    #[cold]
    fn grow(&mut self) {
        for _ in 0..GROWTH {
            let Some(task) = self.tasks.grow() else { break };
            self.slots.push(leak(Slot::new(task, self.pool, self.system, self.files)));
            self.bindings.push(Binding::default());
            // Room for all that exist, so that giving one back never allocates.
            self.free.reserve(self.slots.len().saturating_sub(self.free.len()));
            self.free.push(task.index());
        }
        // The lowest first, so that a few tasks stay in a few cache lines.
        self.free.reverse();
    }

    #[inline]
    pub(super) fn has_place(&self) -> bool {
        !self.free.is_empty() || (self.slots.len() as u64) < u64::from(self.tasks.limit())
    }

    fn accept<P: HttpPorts>(&mut self, below: &mut P, now: Instant) {
        let mut left = BATCH;
        // Another port first each time: one that has a batch always would leave the others nothing.
        self.first = if self.first + 1 < P::COUNT { self.first + 1 } else { 0 };
        for port in (self.first..P::COUNT).chain(0..self.first) {
            while left > 0 {
                // Looked at first: `place` may have to make more of them.
                if below.waiting(port) == 0 {
                    break;
                }
                if self.is_crowded() {
                    self.make_room(below, now);
                }
                let Some(place) = self.place() else { return self.put_off(below, now) };
                let Some((exchange, head)) = below.accept(port, place) else {
                    self.free.push(place);
                    break;
                };
                left -= 1;
                let Some(slot) = self.slots.get(place as usize) else { return };
                slot.peer.set(below.peer(port, exchange));
                slot.know(below.identity(port, exchange));
                if head.method() == Method::Head {
                    slot.set(HEAD_ONLY);
                }
                self.bindings[place as usize] =
                    Binding { exchange, port: port as u8, phase: Phase::Running };
                self.counters.requests.add(1);
                self.counters.tasks.add(1);
                let (handler, request) = (&self.handler, Request::new(head, slot.reply()));
                let done = self.tasks.begin(place, |room| handler.begin(request, room));
                self.polled(place, done, below);
            }
        }
    }

    /// Listens to what the port `port` has to tell of exchanges, at most a batch of it.
    #[inline]
    pub(super) fn hear<P: HttpPorts>(&mut self, port: usize, below: &mut P) {
        for _ in 0..BATCH {
            let Some(place) = below.news(port) else { break };
            let Some(&binding) = self.bindings.get(place as usize) else { continue };
            if binding.phase == Phase::Free {
                continue;
            }
            if below.is_gone(port, binding.exchange) {
                self.counters.abandoned.add(1);
                self.abort(place, below);
            } else {
                self.service(place, below);
            }
        }
    }

    /// Moves what lies in the mailboxes between a task and its port.
    #[inline]
    fn service<P: HttpPorts>(&mut self, place: u32, below: &mut P) {
        let (Some(slot), Some(binding)) =
            (self.slots.get(place as usize), self.bindings.get(place as usize))
        else {
            return;
        };
        let (slot, binding) = (*slot, *binding);
        let (port, exchange) = (usize::from(binding.port), binding.exchange);
        if binding.phase == Phase::Free {
            return;
        }
        if let Some(response) = slot.take_response() {
            let class = response.code().class();
            if let Err(response) = below.respond(port, exchange, response) {
                slot.put(response);
                return;
            }
            self.count(class);
            if !slot.has(STREAMED) && binding.phase == Phase::Draining {
                // The usual case: all was said in one go.
                return self.release(place);
            }
            if slot.has(STREAMED) && slot.has(HEAD_ONLY) {
                // Whatever the handler would still write, nobody gets it.
                below.finish(port, exchange);
                return self.release(place);
            }
        }
        if slot.has(BROKEN) {
            self.counters.broken.add(1);
            return self.abort(place, below);
        }
        self.service_stream(place, slot, below);
    }

    fn service_stream<P: HttpPorts>(&mut self, place: u32, slot: &'static Slot, below: &mut P) {
        let binding = self.bindings[place as usize];
        let (port, exchange) = (usize::from(binding.port), binding.exchange);
        let mut wake = false;
        while let Some(part) = slot.outgoing.pop() {
            if let Err(part) = below.send(port, exchange, part) {
                slot.outgoing.unpop(part);
                break;
            }
            wake |= slot.has(WANTS_ROOM);
            slot.clear(WANTS_ROOM);
        }
        while slot.has(WANTS_BODY) && !slot.incoming.is_full() {
            match below.body(port, exchange) {
                Chunk::Data(packet) => {
                    wake = true;
                    let _ = slot.incoming.push(packet);
                    if self.pool.is_short() {
                        break;
                    }
                }
                Chunk::Pending => break,
                Chunk::End => {
                    wake = true;
                    let trailers = below.trailers(port, exchange);
                    if !trailers.is_empty() {
                        slot.trailers.set(trailers);
                        slot.set(TRAILED);
                    }
                    slot.set(BODY_ENDED);
                    slot.clear(WANTS_BODY);
                }
                Chunk::Aborted => {
                    self.counters.abandoned.add(1);
                    return self.abort(place, below);
                }
            }
        }
        if binding.phase == Phase::Draining {
            let said = slot.has(STARTED) && slot.outgoing.is_empty();
            match slot.has(FINISHED) {
                true if said => {
                    if slot.has(TRAILED)
                        && let Some(trailers) = slot.response_trailers.take()
                    {
                        below.trail(port, exchange, trailers);
                    }
                    below.finish(port, exchange);
                    self.release(place);
                }
                true => {}
                false if !slot.has(STREAMED) => self.release(place),
                false => self.abort(place, below),
            }
        } else if wake {
            if !slot.incoming.is_empty() {
                slot.clear(WANTS_BODY);
            }
            slot.task.wake();
        }
    }

    fn poll_ready<P: HttpPorts>(&mut self, below: &mut P) {
        for _ in 0..POLLS {
            let Some(place) = self.tasks.scheduler().next_ready() else { return };
            let done = self.tasks.poll(place);
            self.polled(place, done, below);
        }
    }

    /// The task in `place` was polled, and is done or not.
    #[inline]
    fn polled<P: HttpPorts>(&mut self, place: u32, done: bool, below: &mut P) {
        if done && let Some(binding) = self.bindings.get_mut(place as usize) {
            binding.phase = Phase::Draining;
        }
        self.service(place, below);
    }

    /// Ends an exchange that cannot be completed, and its handler where it waits.
    #[cold]
    fn abort<P: HttpPorts>(&mut self, place: u32, below: &mut P) {
        let binding = self.bindings[place as usize];
        self.tasks.stop(place);
        below.abort(usize::from(binding.port), binding.exchange);
        self.release(place);
    }

    #[inline]
    fn release(&mut self, place: u32) {
        if self.tasks.is_running(place) {
            self.tasks.stop(place);
        }
        self.slots[place as usize].reset();
        self.bindings[place as usize].phase = Phase::Free;
        self.free.push(place);
        self.counters.tasks.sub(1);
    }

    #[inline]
    fn count(&self, class: u8) {
        match class {
            1 => self.counters.upgraded.add(1),
            2 => self.counters.responses_2xx.add(1),
            3 => self.counters.responses_3xx.add(1),
            4 => self.counters.responses_4xx.add(1),
            _ => self.counters.responses_5xx.add(1),
        }
    }
}

/// The slots outlive the server, for handlers remember them: what lies in them goes back now.
impl<H: Handler> Drop for Server<H> {
    fn drop(&mut self) {
        for (place, slot) in self.slots.iter().enumerate() {
            if let Ok(place) = u32::try_from(place)
                && self.tasks.is_running(place)
            {
                self.tasks.stop(place);
            }
            slot.reset();
        }
    }
}

impl<H: Handler, P: HttpPorts> Component<P> for Server<H> {
    fn receive(&mut self, below: &mut P, cx: &mut Context) {
        self.tasks.scheduler().advance(cx.now(), BATCH);
        for port in 0..P::COUNT {
            self.hear(port, below);
        }
        self.admission.retry_at = Instant::NEVER;
        self.accept(below, cx.now());
        self.poll_ready(below);
        // Room may have come back, and requests may have stayed behind.
        self.more = self.has_place() && (0..P::COUNT).any(|port| below.waiting(port) > 0);
    }

    fn deadline(&self) -> Instant {
        match self.more {
            true => Instant::ZERO,
            false => self.tasks.scheduler().deadline().min(self.admission.retry_at),
        }
    }
}

impl<H: Handler> Inspect for Server<H> {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

impl<H: Handler> core::fmt::Debug for Server<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server").field("places", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Polls in one sweep of tasks that go on.
const POLLS: usize = BATCH;

/// Places made at a time.
const GROWTH: usize = 16;

const _: () = assert!(size_of::<Response>() <= 96);
