//! Connections whose segments leave at a rate: see `congestion/pacer.rs`.
//!
//! A connection that is not paced pays nothing for this: its flag is looked at together with
//! those of loss recovery, and what is kept for pacing is kept elsewhere. While a paced one sends,
//! its window is what may leave now; so whatever asks the window asks the pacer.

use crate::congestion::Pacer;
use crate::output::Busy;
use crate::queue::NIL;
use crate::state::{Conn, Env, flag};
use alloc::vec::Vec;
use waitless::IpPort;

/// What is kept of a connection that is paced.
pub struct Paced {
    /// When it may send.
    pacer: Pacer,
    /// The next free place.
    next: u32,
}

/// What is kept of all that are. Memory grows with use.
pub struct PacedList {
    places: Vec<Paced>,
    free: u32,
}

impl PacedList {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { places: Vec::new(), free: NIL }
    }

    fn add(&mut self) -> u32 {
        let fresh = Paced { pacer: Pacer::new(), next: NIL };
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
        if env.config.pacing {
            self.paced = env.paced.add();
            self.flags.set(flag::PACED);
        }
    }

    /// It has ended.
    #[cold]
    pub fn end_pacing(&mut self, env: &mut Env) {
        self.flags.clear(flag::PACED);
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
        // It sets the window, so it comes first.
        if self.flags.has(flag::DETECT) {
            self.recover(env);
        }
        let mss = u32::from(self.mss);
        let rate = self.congestion.rate(self.rtt.smoothed_micros());
        let (idle, now) = (self.pipe() == 0, env.now);
        let Some(Paced { pacer, .. }) = env.paced.places.get_mut(self.paced as usize) else {
            return Ok(false);
        };
        if idle {
            pacer.idled(now);
        }
        let allowed = pacer.allowed(now, rate, mss);
        if allowed == 0 {
            self.wait_for_pacer(env);
            return Ok(false);
        }
        let window = self.congestion.window();
        let crowded = self.flags.has(flag::CROWDED);
        self.congestion.set_window(window.min(self.pipe().saturating_add(allowed)));
        let more = self.output_any(ip, env, budget);
        self.congestion.set_window(window);
        // What the pacer holds back is not what the network has no room for.
        if !crowded && self.pipe() + mss <= window {
            self.flags.clear(flag::CROWDED);
        }
        self.wait_for_pacer(env);
        more
    }

    /// Comes back when the pacer lets more leave, if that is what is waited for.
    fn wait_for_pacer(&mut self, env: &mut Env) {
        let Some(Paced { pacer, .. }) = env.paced.places.get(self.paced as usize) else { return };
        let due = pacer.due();
        if due > env.now && self.may_send(env) {
            self.flags.set(flag::RETRY);
            env.come_back(due);
        }
    }

    /// `count` bytes are about to leave.
    pub fn take_pace(&mut self, env: &mut Env, count: u32) {
        let rate = self.congestion.rate(self.rtt.smoothed_micros());
        if let Some(place) = env.paced.places.get_mut(self.paced as usize) {
            place.pacer.sends(env.now, rate, count);
        }
    }
}
