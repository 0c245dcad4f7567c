//! A hashed hierarchical timer wheel: one timer per key, O(1) to set and to cancel.
//!
//! Time is cut into ticks. A timer fires in the first tick that begins at or after its time, so
//! never early and at most one tick late. Level 0 has a slot for each of the next 64 ticks, level
//! 1 one for each of the next 64 times 64, and so on up to the end of time: a timer stands in the
//! level of the highest group of six bits in which its tick differs from the current one. So all
//! of a level's timers come before all of those in higher levels, nothing ever wraps around, and
//! a jump of time costs no more than the timers it passes.

use crate::{Duration, Instant};
use alloc::vec::Vec;

/// Timers by key. See the module's documentation.
///
/// Memory grows with the largest key, 16 bytes for each key below it, and is never given back.
/// Keys are places in somebody's table, below 2^31.
pub struct Wheel {
    /// A tick is `1 << shift` nanoseconds.
    shift: u32,
    /// The tick up to which timers were moved to `due`. Not after the last `pop`'s `now`.
    current: u64,
    levels: Vec<Level>,
    /// One bit for each level that has timers.
    occupied: u16,
    /// The first of the timers that fire next.
    due: u32,
    /// A slot of a level above 0 whose time has come, and whose timers move down bit by bit.
    cascading: Option<u32>,
    nodes: Vec<Node>,
    armed: usize,
    /// What [`deadline`](Wheel::deadline) says. Asked for far more often than it changes.
    deadline: Instant,
}

impl Wheel {
    /// An empty wheel. A tick is `granularity` rounded down to a power of two of nanoseconds, at
    /// least one: how late a timer may fire.
    pub fn new(granularity: Duration) -> Self {
        let shift = granularity.as_nanos().max(1).ilog2();
        // One bit more than ticks have: rounding up may reach the tick after the last.
        let count = (65 - shift).min(64).div_ceil(SLOT_BITS);
        let levels = (0..count).map(|_| Level { occupied: 0, heads: [NONE; SLOTS] }).collect();
        Self {
            shift,
            current: 0,
            levels,
            occupied: 0,
            due: NONE,
            cascading: None,
            nodes: Vec::new(),
            armed: 0,
            deadline: Instant::NEVER,
        }
    }

    /// Makes room for keys below `keys`, so that later calls do not allocate.
    pub fn reserve(&mut self, keys: u32) {
        if self.nodes.len() < keys as usize {
            self.nodes.resize(keys as usize, Node::IDLE);
        }
    }

    /// Arms the timer of `key` for `at`, instead of whenever it was armed for before.
    /// [`Instant::NEVER`] only disarms it.
    #[inline]
    pub fn set(&mut self, key: u32, at: Instant) {
        if at == Instant::NEVER {
            return self.cancel(key);
        }
        let tick = self.tick_of(at);
        match self.nodes.get(key as usize) {
            Some(node) if node.before == NONE => {}
            Some(node) if node.tick == tick => return,
            Some(_) => self.cancel(key),
            None => {
                assert!(key < SLOT, "keys are below 2^31");
                self.nodes.resize(key as usize + 1, Node::IDLE);
            }
        }
        self.nodes[key as usize].tick = tick;
        self.armed += 1;
        self.insert(key);
        self.deadline = self.next_deadline();
    }

    /// Disarms the timer of `key`, if it is armed.
    #[inline]
    pub fn cancel(&mut self, key: u32) {
        if self.is_armed(key) {
            self.unlink(key);
            self.armed -= 1;
            self.deadline = self.next_deadline();
        }
    }

    /// The next key whose time has come, disarmed. `now` must not go back.
    ///
    /// `None` when there is none, and also when a call has sorted as many later timers as one
    /// call may; then [`deadline`](Self::deadline) is zero and the next call goes on.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<u32> {
        let tick = now.as_nanos() >> self.shift;
        // The usual case: nothing is due, and no slot begins before this tick.
        if now < self.deadline {
            self.current = self.current.max(tick);
            return None;
        }
        let now = tick;
        let key = self.pop_until(now);
        self.deadline = self.next_deadline();
        key
    }

    fn pop_until(&mut self, now: u64) -> Option<u32> {
        let mut budget = WORK;
        loop {
            if self.cascading.is_some() && !self.cascade(&mut budget) {
                return None;
            }
            if self.due != NONE {
                let key = self.due;
                self.unlink(key);
                self.armed -= 1;
                return Some(key);
            }
            let Some((level, slot, tick)) = self.next_slot().filter(|&(.., tick)| tick <= now)
            else {
                // No timer is passed by this: the next slot begins later.
                self.current = self.current.max(now);
                return None;
            };
            self.current = tick;
            if level == 0 {
                self.take_due(slot);
            } else {
                self.cascading = Some(slot_id(level, slot));
            }
        }
    }

    /// Whether the timer of `key` is armed.
    #[inline]
    pub fn is_armed(&self, key: u32) -> bool {
        self.nodes.get(key as usize).is_some_and(|node| node.before != NONE)
    }

    /// When [`pop`](Self::pop) must be called next: never later than the first timer fires.
    /// Earlier than that when a far timer only moves down a level then. [`Instant::NEVER`] when
    /// no timer is armed, [`Instant::ZERO`] when one is due or work is left.
    #[inline]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn next_deadline(&self) -> Instant {
        if self.due != NONE || self.cascading.is_some() {
            return Instant::ZERO;
        }
        self.next_slot().map_or(Instant::NEVER, |(.., tick)| self.time_of(tick))
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.armed
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// The first tick that begins at or after `at`.
    #[inline]
    fn tick_of(&self, at: Instant) -> u64 {
        let nanos = at.as_nanos();
        let tick = nanos >> self.shift;
        tick + u64::from(tick << self.shift != nanos)
    }

    /// When `tick` begins; never when that is after the end of time.
    #[inline]
    fn time_of(&self, tick: u64) -> Instant {
        match tick.leading_zeros() >= self.shift {
            true => Instant::from_nanos(tick << self.shift),
            false => Instant::NEVER,
        }
    }

    /// The slot whose time comes first, with its first tick. All of a level's slots are ahead of
    /// the current tick, and all lower levels' are before it.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        let slot = self.levels[level].occupied.trailing_zeros();
        let below = level as u32 * SLOT_BITS;
        let above = u64::MAX.checked_shl(below + SLOT_BITS).unwrap_or(0);
        let tick = self.current & above | u64::from(slot) << below;
        Some((level, slot as usize, tick))
    }

    /// Makes a whole slot of level 0 due.
    #[inline]
    fn take_due(&mut self, slot: usize) {
        let level = &mut self.levels[0];
        level.occupied &= !(1 << slot);
        self.due = core::mem::replace(&mut level.heads[slot], NONE);
        if level.occupied == 0 {
            self.occupied &= !1;
        }
        self.nodes[self.due as usize].before = DUE;
    }

    /// Moves timers of the cascading slot down. Whether all of them are.
    fn cascade(&mut self, budget: &mut u32) -> bool {
        let Some(id) = self.cascading else { return true };
        loop {
            let head = *self.head_mut(id);
            if head == NONE {
                self.cascading = None;
                return true;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            self.unlink(head);
            self.insert(head);
        }
    }

    /// Links an unlinked timer where its tick belongs.
    #[inline]
    fn insert(&mut self, key: u32) {
        let tick = self.nodes[key as usize].tick;
        let id = if tick <= self.current {
            DUE
        } else {
            let level = (tick ^ self.current).ilog2() / SLOT_BITS;
            let slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
            self.levels[level as usize].occupied |= 1 << slot;
            self.occupied |= 1 << level;
            slot_id(level as usize, slot)
        };
        let first = core::mem::replace(self.head_mut(id), key);
        if first != NONE {
            self.nodes[first as usize].before = key;
        }
        let node = &mut self.nodes[key as usize];
        node.before = id;
        node.after = first;
    }

    #[inline]
    fn unlink(&mut self, key: u32) {
        let Node { before, after, .. } = self.nodes[key as usize];
        self.nodes[key as usize].before = NONE;
        if after != NONE {
            self.nodes[after as usize].before = before;
        }
        if before < SLOT {
            self.nodes[before as usize].after = after;
            return;
        }
        *self.head_mut(before) = after;
        if after == NONE && before != DUE {
            let id = (before - SLOT) as usize;
            let level = &mut self.levels[id / SLOTS];
            level.occupied &= !(1 << (id % SLOTS));
            if level.occupied == 0 {
                self.occupied &= !(1 << (id / SLOTS));
            }
        }
    }

    #[inline]
    fn head_mut(&mut self, id: u32) -> &mut u32 {
        if id == DUE {
            return &mut self.due;
        }
        let id = (id - SLOT) as usize;
        &mut self.levels[id / SLOTS].heads[id % SLOTS]
    }
}

impl core::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Wheel").field("armed", &self.armed).finish_non_exhaustive()
    }
}

struct Level {
    /// One bit for each slot that has timers.
    occupied: u64,
    /// The first timer of each slot.
    heads: [u32; SLOTS],
}

#[derive(Clone, Copy)]
struct Node {
    tick: u64,
    /// The next timer of the same slot, or [`NONE`].
    after: u32,
    /// The timer before it in the same slot; for the first, the slot's identity; [`NONE`] when
    /// the timer is not armed.
    before: u32,
}

impl Node {
    const IDLE: Self = Self { tick: 0, after: NONE, before: NONE };
}

const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// How many timers one call of `pop` moves down at most.
const WORK: u32 = 256;
const NONE: u32 = u32::MAX;
/// The identity of the list of due timers.
const DUE: u32 = u32::MAX - 1;
/// Identities of slots begin here; keys are below.
const SLOT: u32 = 1 << 31;

#[inline]
fn slot_id(level: usize, slot: usize) -> u32 {
    SLOT + (level * SLOTS + slot) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use alloc::collections::{BTreeMap, BTreeSet};

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn drain(wheel: &mut Wheel, now: Instant) -> BTreeSet<u32> {
        let mut fired = BTreeSet::new();
        loop {
            match wheel.pop(now) {
                Some(key) => assert!(fired.insert(key), "{key} fired twice"),
                None if wheel.deadline() == Instant::ZERO => {}
                None => return fired,
            }
        }
    }

    #[test]
    fn a_timer_fires_once_in_the_first_tick_at_or_after_its_time() {
        let mut wheel = Wheel::new(Duration::from_nanos(1 << 10));
        wheel.set(3, at(5_000));
        assert_eq!(wheel.pop(at(5_000)), None, "in the middle of a tick");
        assert_eq!(wheel.deadline(), at(5_120));
        assert_eq!(wheel.pop(at(5_119)), None);
        assert_eq!(wheel.pop(at(5_120)), Some(3));
        assert_eq!(wheel.pop(at(5_120)), None);
        assert_eq!((wheel.deadline(), wheel.len()), (Instant::NEVER, 0));
    }

    #[test]
    fn the_last_set_counts_and_cancelled_timers_are_silent() {
        let mut wheel = Wheel::new(Duration::from_nanos(1));
        wheel.set(0, at(10));
        wheel.set(1, at(10));
        wheel.set(0, at(1_000_000));
        wheel.cancel(1);
        wheel.cancel(77);
        assert_eq!(drain(&mut wheel, at(999_999)), BTreeSet::new());
        assert_eq!(drain(&mut wheel, at(1_000_000)), BTreeSet::from([0]));
        wheel.set(2, Instant::NEVER);
        assert!(!wheel.is_armed(2) && wheel.is_empty());
    }

    #[test]
    fn the_end_of_time_is_no_special_case() {
        for granularity in [0, 1, 2, 1 << 20, u64::MAX] {
            let mut wheel = Wheel::new(Duration::from_nanos(granularity));
            wheel.set(0, at(u64::MAX - 1));
            wheel.set(1, at(u64::MAX / 2));
            assert!(wheel.deadline() > at(0) || granularity == u64::MAX, "{granularity}");
            assert_eq!(drain(&mut wheel, at(u64::MAX / 4)), BTreeSet::new());
        }
        let mut wheel = Wheel::new(Duration::from_nanos(1));
        wheel.set(0, at(u64::MAX - 1));
        assert_eq!(drain(&mut wheel, at(u64::MAX - 1)), BTreeSet::from([0]));
    }

    #[test]
    fn one_call_does_bounded_work_and_says_when_some_is_left() {
        let mut wheel = Wheel::new(Duration::from_nanos(1));
        for key in 0..10_000 {
            wheel.set(key, at(1 << 20 | 1 << 10));
        }
        assert_eq!(wheel.pop(at(1 << 20)), None);
        assert_eq!(wheel.deadline(), Instant::ZERO);
        assert_eq!(drain(&mut wheel, at(1 << 21)).len(), 10_000);
    }

    /// Random sequences agree with a map from keys to times.
    #[test]
    fn it_agrees_with_a_model() {
        for seed in 0..60 {
            let mut random = Random::new([seed; 32]);
            let shift = random.below(24);
            let mut wheel = Wheel::new(Duration::from_nanos(1 << shift));
            let mut model = BTreeMap::new();
            let mut now = random.u64() >> random.below(63).max(2);
            for _ in 0..2_000 {
                let key = random.below(40) as u32;
                match random.below(10) {
                    0..5 => {
                        let ahead = random.u64() >> random.below(64);
                        let time = match random.below(20) {
                            0 => now / 2,
                            1 => u64::MAX,
                            _ => now.saturating_add(ahead),
                        };
                        wheel.set(key, at(time));
                        model.remove(&key);
                        if time != u64::MAX {
                            model.insert(key, time);
                        }
                    }
                    5 => {
                        wheel.cancel(key);
                        model.remove(&key);
                    }
                    6 if wheel.deadline() != Instant::NEVER => {
                        now = now.max(wheel.deadline().as_nanos());
                    }
                    _ if now < 1 << 62 => now += random.u64() >> random.below(62).max(10),
                    _ => {}
                }
                check(&mut wheel, &mut model, shift, now);
            }
        }
    }

    fn check(wheel: &mut Wheel, model: &mut BTreeMap<u32, u64>, shift: u64, now: u64) {
        let fired = drain(wheel, at(now));
        let start = now >> shift << shift;
        for key in &fired {
            assert!(model[key] <= now, "{key} fired early");
        }
        model.retain(|key, time| {
            assert!(fired.contains(key) == (*time <= start), "{key} for {time} at {now}");
            !fired.contains(key)
        });
        assert_eq!(wheel.len(), model.len());
        let tick = |time: u64| (u128::from(time).div_ceil(1 << shift)) << shift;
        let first = model.values().map(|&time| tick(time)).min();
        let first = first.map_or(u64::MAX, |first| u64::try_from(first).unwrap_or(u64::MAX));
        assert!(wheel.deadline() <= at(first), "sleeps over {first}");
        assert!(wheel.deadline() > at(now), "spins");
    }
}
