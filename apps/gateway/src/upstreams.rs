//! Which upstream answers the next request: whose turn it is, who is busy, and who is ill.

#[cfg(test)]
mod tests;

use crate::routes::UPSTREAMS_MAX;
use alloc::boxed::Box;
use core::cell::Cell;
use waitless::{Duration, Instant};

/// How an upstream of a route is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastBusy,
}

/// The upstreams of all routes.
#[derive(Debug)]
pub struct Upstreams {
    all: Box<[Upstream]>,
    balance: Balance,
    failures: u16,
    pause: Duration,
}

/// What is known of an upstream.
#[derive(Debug, Default)]
struct Upstream {
    /// Whose turn it is, of the route that begins with this one.
    turn: Cell<usize>,
    /// Requests under way.
    busy: Cell<u32>,
    /// Requests in a row that it failed.
    failed: Cell<u16>,
    /// Until when it is left alone.
    rests_until: Cell<Instant>,
}

/// A request that is under way to an upstream; dropped with the request.
#[derive(Debug)]
pub struct Ticket<'a> {
    upstreams: &'a Upstreams,
    /// Which one.
    pub index: usize,
}

impl Upstreams {
    /// So many, all of them well.
    pub fn new(count: usize, balance: Balance, failures: u16, pause: Duration) -> Self {
        let all = (0..count).map(|_| Upstream::default()).collect();
        Self { all, balance, failures: failures.max(1), pause }
    }

    /// One of the `count` upstreams from `first` on that is well, but for those that were `tried`,
    /// by bit; any other of them when none of the route is well, so that requests which fail
    /// cannot keep all others from a route. `None` when there is none such.
    pub fn pick(&self, first: usize, count: usize, tried: u64, now: Instant) -> Option<Ticket<'_>> {
        let turn = self.all.get(first)?.turn.get();
        self.all.get(first)?.turn.set(turn.wrapping_add(1));
        let of_route = (0..count.min(UPSTREAMS_MAX)).map(|step| (turn.wrapping_add(step)) % count);
        let is_well = |at: &usize| {
            self.all.get(first + at).is_some_and(|upstream| now >= upstream.rests_until.get())
        };
        let none_is_well = !of_route.clone().any(|at| is_well(&at));
        let mut open = of_route.filter(|at| tried & 1 << at == 0 && (none_is_well || is_well(at)));
        let busy = |at: &usize| self.all.get(first + at).map_or(0, |it| it.busy.get());
        let at = match self.balance {
            Balance::RoundRobin => open.next(),
            Balance::LeastBusy => open.min_by_key(busy),
        }?;
        let upstream = self.all.get(first + at)?;
        upstream.busy.set(upstream.busy.get() + 1);
        Some(Ticket { upstreams: self, index: first + at })
    }
}

impl Ticket<'_> {
    /// It has answered.
    pub fn succeed(&self) {
        if let Some(upstream) = self.upstreams.all.get(self.index) {
            upstream.failed.set(0);
        }
    }

    /// It has not: after so many such requests in a row it is left alone for a while. The first
    /// one after that decides whether for another.
    pub fn fail(&self, now: Instant) {
        let Some(upstream) = self.upstreams.all.get(self.index) else { return };
        let failed = upstream.failed.get().saturating_add(1).min(self.upstreams.failures);
        upstream.failed.set(failed);
        if failed == self.upstreams.failures {
            upstream.rests_until.set(now + self.upstreams.pause);
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Some(upstream) = self.upstreams.all.get(self.index) {
            upstream.busy.set(upstream.busy.get() - 1);
        }
    }
}
