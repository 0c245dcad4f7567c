use super::super::delivery::Sent;
use super::*;
use crate::seq::Seq;
use std::collections::VecDeque;
use std::vec::Vec;

const MSS: u32 = 1_000;
/// The path: 10 MB/s and 20 ms, so 200 kB.
const RATE: u64 = 10_000_000;
const RTT: u32 = 20_000;

/// A connection on a path with one narrow place, in steps of a millisecond.
struct Path {
    bbr: Bbr,
    now: u32,
    /// What is under way, and when it will have been acknowledged.
    flying: VecDeque<(u32, Sent)>,
    in_flight: u32,
    end: Seq,
    credit: u64,
    /// Every so many packets one is lost; 0 for none.
    lose_each: u32,
    recovering: bool,
    states: Vec<State>,
}

impl Path {
    fn new() -> Self {
        let bbr = Bbr::new(10 * MSS, RTT, 12_345, 0);
        Self {
            bbr,
            now: 0,
            flying: VecDeque::new(),
            in_flight: 0,
            end: Seq(0),
            credit: 0,
            lose_each: 0,
            recovering: false,
            states: Vec::from([State::Startup]),
        }
    }

    fn view(&self) -> View {
        let Self { now, in_flight, recovering, .. } = *self;
        View { now, in_flight, mss: MSS, sacks: true, recovering }
    }

    fn step(&mut self) {
        self.now += 1_000;
        let mut news = false;
        while self.flying.front().is_some_and(|&(at, _)| at <= self.now) {
            let Some((_, sent)) = self.flying.pop_front() else { return };
            self.in_flight -= MSS;
            if self.lose_each > 0 && (sent.end.0 / MSS).is_multiple_of(self.lose_each) {
                let view = self.view();
                self.bbr.lost(&sent, view);
            } else {
                self.bbr.delivery.arrived(&sent, self.now);
                news = true;
            }
        }
        if news {
            let view = self.view();
            self.bbr.update(view);
        }
        if self.states.last() != Some(&self.bbr.state()) {
            self.states.push(self.bbr.state());
        }
        self.credit += self.bbr.rate() / 1_000;
        while self.credit >= u64::from(MSS) && self.in_flight + MSS <= self.bbr.window() {
            self.credit -= u64::from(MSS);
            self.send();
        }
        if self.in_flight + MSS > self.bbr.window() {
            self.bbr.crowd();
            self.credit = 0;
        }
    }

    fn send(&mut self) {
        self.in_flight += MSS;
        self.end = self.end + MSS;
        let stamp = self.bbr.delivery.sends(self.now, self.in_flight, self.in_flight == MSS);
        let sent = Sent { stamp, at: self.now, end: self.end, size: MSS, again: false };
        let takes = (u64::from(MSS) * 1_000_000 / RATE) as u32;
        let last = self.flying.back().map_or(0, |&(at, _)| at);
        self.flying.push_back(((self.now + RTT).max(last + takes), sent));
    }

    fn until(&mut self, state: State) {
        for _ in 0..20_000 {
            if self.bbr.state() == state {
                return;
            }
            self.step();
        }
        panic!("never {state:?}: {:?}", self.states);
    }
}

#[test]
fn it_goes_from_startup_round_the_cycle_and_finds_the_path() {
    let mut path = Path::new();
    path.until(State::Drain);
    assert!(path.now < 16 * RTT, "within {} us", path.now);
    path.until(State::Up);
    path.until(State::Down);
    path.until(State::Cruise);
    // The queue of startup has run dry in Drain, so the first Down is over at once.
    use State::{Cruise, Down, Drain, Refill, Startup, Up};
    assert_eq!(path.states, [Startup, Drain, Cruise, Refill, Up, Down, Cruise]);
    assert!(path.bbr.most().abs_diff(RATE) < RATE / 10, "{}", path.bbr.most());
    assert!(path.in_flight < 250_000, "{} bytes under way", path.in_flight);
}

#[test]
fn a_round_with_losses_slows_it_down_until_the_next_probe() {
    let mut path = Path::new();
    path.until(State::Cruise);
    let before = path.bbr.rate();
    path.lose_each = 5;
    (0..200).for_each(|_| path.step());
    let after = path.bbr.rate();
    assert!(after < before * 9 / 10 && after > before / 3, "{after} after {before}");
    path.lose_each = 0;
    path.until(State::Refill);
    path.until(State::Up);
    assert!(path.bbr.rate() > before, "{} after {before}", path.bbr.rate());
}

#[test]
fn a_probe_that_loses_too_much_bounds_what_is_under_way() {
    let mut path = Path::new();
    path.until(State::Up);
    assert_eq!(path.bbr.losses.long, NONE);
    path.lose_each = 10;
    path.until(State::Down);
    let long = path.bbr.losses.long;
    assert!(long > 100_000 && long < 300_000, "{long}");
    path.lose_each = 0;
    path.until(State::Cruise);
    let bound = path.bbr.losses.long * 86 / 100;
    assert!(path.bbr.window() <= bound, "{} of {bound}", path.bbr.window());
    // The next probe goes only as far as that, and when it finds nothing lost, on.
    path.until(State::Up);
    path.until(State::Down);
    path.until(State::Up);
    (0..100).for_each(|_| path.step());
    assert!(path.bbr.losses.long > long, "{} after {long}", path.bbr.losses.long);
}

#[test]
fn many_losses_end_startup_and_when_they_were_none_it_goes_on() {
    let mut path = Path::new();
    (path.lose_each, path.recovering) = (6, true);
    path.until(State::Drain);
    assert_ne!(path.bbr.losses.long, NONE);
    path.bbr.undo();
    assert_eq!((path.bbr.state(), path.bbr.losses.long), (State::Startup, NONE));
}

#[test]
fn a_timeout_leaves_one_segment_and_its_end_gives_the_window_back() {
    let mut path = Path::new();
    path.until(State::Cruise);
    let window = path.bbr.window();
    let view = View { in_flight: 0, ..path.view() };
    path.bbr.timed_out(view);
    assert_eq!(path.bbr.window(), MSS);
    path.bbr.end_recovery();
    assert_eq!(path.bbr.window(), window);
}

#[test]
fn after_a_pause_it_sends_at_the_rate_of_the_path() {
    let mut path = Path::new();
    path.until(State::Up);
    path.bbr.delivery.limit(0);
    path.in_flight = 0;
    let view = path.view();
    path.bbr.sends(view);
    let expected = path.bbr.bandwidth * 99 / 100;
    assert_eq!(path.bbr.rate(), expected);
}
