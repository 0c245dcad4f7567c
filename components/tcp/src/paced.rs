//! Connections whose segments leave at a rate: see `congestion/pacer.rs`.
//!
//! A connection that is not paced pays nothing for this: its flag is looked at together with
//! those of loss recovery, and what is kept for pacing is kept elsewhere. While a paced one sends,
//! its window is what may leave now; so whatever asks the window asks the pacer.

use crate::congestion::{Algorithm, Bbr, Pacer, Sent, Stamp, View};
use crate::output::Busy;
use crate::queue::{NIL, mark};
use crate::recovery::Stage;
use crate::state::{Conn, Env, flag};
use alloc::vec::Vec;
use waitless::{Instant, IpPort};

/// What is kept of a connection that is paced.
pub struct Paced {
    /// When it may send.
    pacer: Pacer,
    /// The model of its path, with BBR.
    model: Option<Bbr>,
    /// When everything had been sent and more might have been, in microseconds.
    dry_at: Option<u32>,
    /// The next free place.
    next: u32,
}

/// What is kept of all that are. Memory grows with use.
pub struct PacedList {
    places: Vec<Paced>,
    free: u32,
    /// What models noted of the packet at each node when it was sent.
    stamps: Vec<Stamp>,
}

/// What a model is told, besides what was sent, delivered and lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// The other side has seen a mark of congestion.
    Marked,
    /// What was repaired had only been late.
    NothingWasLost,
    /// Losses are about to be repaired.
    RecoveryBegins,
    /// They were.
    RecoveryEnds,
    /// The retransmission timer expired.
    TimedOut,
}

impl PacedList {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NIL, stamps: Vec::new() }
    }

    fn add(&mut self, model: Option<Bbr>) -> u32 {
        let fresh = Paced { pacer: Pacer::new(), model, dry_at: None, next: NIL };
        let id = self.free;
        match self.places.get_mut(id as usize) {
            Some(place) => self.free = core::mem::replace(place, fresh).next,
            None => {
                self.places.push(fresh);
                return self.places.len() as u32 - 1;
            }
        }
        id
    }

    /// The model of the path of the connection with place `id`.
    pub fn model(&mut self, id: u32) -> Option<&mut Bbr> {
        self.places.get_mut(id as usize)?.model.as_mut()
    }

    /// What was noted of the packet at `node`.
    fn stamp(&self, node: u32) -> Stamp {
        self.stamps.get(node as usize).copied().unwrap_or_default()
    }

    fn note(&mut self, node: u32, stamp: Stamp) {
        let place = node as usize;
        if place >= self.stamps.len() {
            self.stamps.resize(place + 1, Stamp::default());
        }
        self.stamps[place] = stamp;
    }

    /// The packet at `node` was cut, and `rest` is its end.
    pub fn split(&mut self, node: u32, rest: u32) {
        if (node as usize) < self.stamps.len() {
            self.note(rest, self.stamp(node));
        }
    }

    fn remove(&mut self, id: u32) {
        if let Some(place) = self.places.get_mut(id as usize) {
            place.next = self.free;
            self.free = id;
        }
    }
}

impl Conn {
    /// From now on it is paced, if the manifest says so.
    pub fn begin_pacing(&mut self, env: &mut Env) {
        let modelled = env.config.congestion == Algorithm::Bbr;
        if !modelled && !env.config.pacing {
            return;
        }
        // The initial sequence number is as random as what the model wants to be.
        let (window, seed) = (self.congestion.window(), self.unacked.0);
        let smoothed = self.rtt.smoothed_micros();
        let model = modelled.then(|| Bbr::new(window, smoothed, seed, env.micros));
        self.paced = env.paced.add(model);
        self.flags.set(if modelled { flag::PACED | flag::MODELLED } else { flag::PACED });
    }

    /// It has ended.
    #[cold]
    pub fn end_pacing(&mut self, env: &mut Env) {
        self.flags.clear(flag::PACED | flag::MODELLED);
        env.paced.remove(self.paced);
        self.paced = NIL;
    }

    /// Sends what may be sent by now. Whether there is more that may be.
    pub fn output_paced<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<bool, Busy> {
        self.note_gap(env);
        // It sets the window, so it comes first.
        if self.flags.has(flag::DETECT) {
            self.recover(env);
        }
        let wants = self.may_send(env);
        if wants && self.flags.has(flag::MODELLED) {
            let view = self.view(env);
            if let Some(model) = env.paced.model(self.paced) {
                model.sends(view);
            }
        }
        let rate = self.pace(env);
        let (idle, now) = (self.pipe() == 0, env.now);
        let Some(Paced { pacer, .. }) = env.paced.places.get_mut(self.paced as usize) else {
            return Ok(false);
        };
        if idle {
            pacer.idled(now);
        }
        let allowed = pacer.allowed(now, rate, u32::from(self.mss));
        let more = match allowed {
            0 => Ok(false),
            allowed => self.output_within(ip, env, budget, allowed),
        };
        self.wait_for_pacer(env);
        if self.flags.has(flag::MODELLED) {
            self.note_end(env);
        }
        more
    }

    /// Sends at most `allowed` bytes, and a segment.
    fn output_within<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        allowed: u32,
    ) -> Result<bool, Busy> {
        let (window, cursor) = (self.congestion.window(), self.cursor);
        // A segment that is tried for its length leaves as a whole, and is counted as any.
        let allowed = match self.flags.has(flag::SHORT) {
            true => allowed.max(u32::from(self.mss_full)),
            false => allowed,
        };
        let crowded = self.flags.has(flag::CROWDED);
        self.congestion.set_window(window.min(self.pipe().saturating_add(allowed)));
        let more = self.output_any(ip, env, budget);
        self.congestion.set_window(window);
        // What the pacer holds back is not what the network has no room for.
        if !crowded && self.pipe() + u32::from(self.mss) <= window {
            self.flags.clear(flag::CROWDED);
        }
        if self.flags.has(flag::MODELLED) {
            self.note_fresh(env, cursor);
        }
        more
    }

    /// Comes back when the pacer lets more leave, if that is what is waited for.
    fn wait_for_pacer(&mut self, env: &mut Env) {
        let Some(Paced { pacer, .. }) = env.paced.places.get(self.paced as usize) else { return };
        let due = pacer.due();
        // Who waits for the window of the other side gets its timer when it is next looked at.
        let idle = self.resend_at == Instant::NEVER && !self.is_all_sent(env);
        if due > env.now && (idle || self.may_send(env)) {
            self.flags.set(flag::RETRY);
            env.come_back(due);
        }
    }

    /// `count` bytes are about to leave.
    pub fn take_pace(&mut self, env: &mut Env, count: u32) {
        let rate = self.pace(env);
        if let Some(place) = env.paced.places.get_mut(self.paced as usize) {
            place.pacer.sends(env.now, rate, count);
        }
    }

    /// Bytes that leave in a second.
    fn pace(&self, env: &mut Env) -> u64 {
        match env.paced.model(self.paced) {
            Some(model) => model.rate(),
            None => self.congestion.rate(self.rtt.smoothed_micros()),
        }
    }

    /// What the model sees of it.
    fn view(&self, env: &Env) -> View {
        View {
            now: env.micros,
            in_flight: self.pipe(),
            mss: u32::from(self.mss),
            sacks: self.flags.has(flag::SACK),
            recovering: self.recovery.stage != Stage::Open,
        }
    }

    /// If all had been sent for a while, although more might have been, the path was not full.
    fn note_gap(&mut self, env: &mut Env) {
        let (pipe, now) = (self.pipe(), env.micros);
        let Some(place) = env.paced.places.get_mut(self.paced as usize) else { return };
        if let (Some(model), Some(at)) = (&mut place.model, place.dry_at)
            && at != now
        {
            model.delivery.limit(pipe);
        }
    }

    /// All was sent that may be: takes note of what keeps from sending more.
    fn note_end(&mut self, env: &mut Env) {
        let (pipe, window, mss) = (self.pipe(), self.congestion.window(), u32::from(self.mss));
        let dry = self.recovery.lost == 0 && self.is_all_sent(env) && pipe < window;
        let now = env.micros;
        let Some(place) = env.paced.places.get_mut(self.paced as usize) else { return };
        place.dry_at = dry.then_some(now);
        if let Some(model) = place.model.as_mut().filter(|_| pipe + mss > window) {
            model.crowd();
        }
    }

    /// What lies between `from` and the cursor was just sent for the first time.
    fn note_fresh(&mut self, env: &mut Env, from: u32) {
        let mut in_flight = self.pipe().saturating_sub(self.fresh(env, from));
        let now = env.micros;
        let mut id = from;
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            let first = in_flight == 0;
            in_flight += u32::from(env.nodes.get(id).len);
            let Some(model) = env.paced.model(self.paced) else { return };
            let stamp = model.delivery.sends(now, in_flight, first);
            env.paced.note(id, stamp);
            id = env.nodes.next(id);
        }
    }

    /// Bytes between node `from` and the cursor.
    fn fresh(&self, env: &Env, from: u32) -> u32 {
        let (mut id, mut size) = (from, 0);
        // Ends: the queue's length is limited.
        while id != NIL && id != self.cursor {
            size += u32::from(env.nodes.get(id).len);
            id = env.nodes.next(id);
        }
        size
    }

    /// The packet at `id` was just sent.
    #[cold]
    pub fn note_sent(&mut self, env: &mut Env, id: u32) {
        let in_flight = self.pipe();
        let first = in_flight <= u32::from(env.nodes.get(id).len);
        let now = env.micros;
        if let Some(model) = env.paced.model(self.paced) {
            let stamp = model.delivery.sends(now, in_flight, first);
            env.paced.note(id, stamp);
        }
    }

    /// What is known of the packet at `id`.
    fn sent(&self, env: &Env, id: u32) -> Sent {
        let node = env.nodes.get(id);
        Sent {
            stamp: env.paced.stamp(id),
            at: node.sent_at,
            end: node.end(),
            size: u32::from(node.len),
            again: node.has(mark::AGAIN),
        }
    }

    /// The packet at `id` has arrived.
    #[cold]
    pub fn note_delivered(&mut self, env: &mut Env, id: u32) {
        let (sent, now) = (self.sent(env, id), env.micros);
        if let Some(model) = env.paced.model(self.paced) {
            model.delivery.arrived(&sent, now);
        }
    }

    /// The packet at `id` is taken for lost.
    #[cold]
    pub fn note_lost(&mut self, env: &mut Env, id: u32) {
        let (sent, view) = (self.sent(env, id), self.view(env));
        if let Some(model) = env.paced.model(self.paced) {
            model.lost(&sent, view);
        }
    }

    /// Acknowledgements have been taken in.
    #[cold]
    pub fn update_model(&mut self, env: &mut Env) {
        self.recovery.delivered = 0;
        let view = self.view(env);
        if let Some(model) = env.paced.model(self.paced) {
            model.update(view);
            self.congestion.set_window(model.window());
        }
    }

    /// Something has happened that the model wants to know.
    #[cold]
    pub fn tell_model(&mut self, env: &mut Env, what: Told) {
        if !self.flags.has(flag::MODELLED) {
            return;
        }
        let view = self.view(env);
        let Some(model) = env.paced.model(self.paced) else { return };
        match what {
            Told::Marked => model.marked(view),
            Told::NothingWasLost => model.undo(),
            Told::RecoveryBegins => model.begin_recovery(),
            Told::RecoveryEnds => model.end_recovery(),
            Told::TimedOut => model.timed_out(view),
        }
        self.congestion.set_window(model.window());
    }
}
