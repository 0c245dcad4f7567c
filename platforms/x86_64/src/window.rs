//! Compares the processor's counter and the timer with a clock of known speed.
//!
//! A comparison takes a window of a few milliseconds. The processor may be taken away within one
//! for longer than the clock counts, and whole rounds of it are lost: an old timer's last 55 ms.
//! So two windows in a row must agree, as seldom as that is, before time is made of them.

use platform_machine::clock::frequency;

/// How long a window is.
const WINDOW_MICROS: u64 = 2_000;
/// Windows at most. Of so many that never agree, the slowest counts: rounds that are lost make
/// only faster ones.
const WINDOWS: usize = 9;
/// Which part of a frequency two windows may differ by: an old timer's tick is a 2,400th of one.
const TOLERANCE: u64 = 500;
/// Readings per end of the window, of which the quickest counts.
const READINGS: usize = 8;
/// How often a reference is read before it counts as stopped.
const PATIENCE: u32 = 1_000_000;

/// A clock of known speed.
#[derive(Clone, Copy)]
pub struct Reference<'a> {
    /// Its ticks in a second.
    pub hertz: u64,
    /// The bits that its count has.
    pub mask: u64,
    /// Reads its count.
    pub read: &'a dyn Fn() -> u64,
}

/// The frequencies of the processor's counter, which `ticks` reads, and of `timer`; `None` when
/// the reference stands still.
pub fn compare(
    reference: Reference<'_>,
    timer: &dyn Fn() -> u64,
    ticks: &dyn Fn() -> u64,
) -> Option<(u64, u64)> {
    let mut last = window(reference, timer, ticks)?;
    let mut slowest = last;
    for _ in 1..WINDOWS {
        let next = window(reference, timer, ticks)?;
        if agree(last.0, next.0) && agree(last.1, next.1) {
            return Some((last.0.midpoint(next.0), last.1.midpoint(next.1)));
        }
        (last, slowest) = (next, slowest.min(next));
    }
    Some(slowest)
}

fn agree(one: u64, other: u64) -> bool {
    one.abs_diff(other) <= one / TOLERANCE
}

/// What a clock shows, and where the processor's counter was then.
#[derive(Clone, Copy)]
struct Reading {
    value: u64,
    ticks: u64,
}

/// Reads a clock in as little time as it can be read: the quickest of a few tries.
///
/// It is one loop, not unrolled nor inlined: code that runs for the first time is slow, most of
/// all where the processor is emulated, and would put the two ends of a window at different
/// distances from what they read.
#[inline(never)]
fn read(clock: &dyn Fn() -> u64, ticks: &dyn Fn() -> u64) -> Reading {
    let mut quickest = (u64::MAX, Reading { value: 0, ticks: 0 });
    for _ in 0..core::hint::black_box(READINGS) {
        let before = ticks();
        let value = clock();
        let width = ticks().saturating_sub(before);
        if width < quickest.0 {
            quickest = (width, Reading { value, ticks: before + width / 2 });
        }
    }
    quickest.1
}

/// Both frequencies, by one window; 0 for what no number can say.
fn window(
    Reference { hertz, mask, read: clock }: Reference<'_>,
    timer: &dyn Fn() -> u64,
    ticks: &dyn Fn() -> u64,
) -> Option<(u64, u64)> {
    let passed = |start: u64, end: u64| end.wrapping_sub(start) & mask;
    let length = hertz * WINDOW_MICROS / 1_000_000;
    let (timer_start, start) = (read(timer, ticks), read(clock, ticks));
    (0..PATIENCE).find(|_| passed(start.value, clock()) >= length)?;
    let (timer_end, end) = (read(timer, ticks), read(clock, ticks));
    let known = passed(start.value, end.value);
    let hertz = frequency(end.ticks.saturating_sub(start.ticks), known, hertz).unwrap_or(0);
    let ticks = timer_end.ticks.saturating_sub(timer_start.ticks);
    let timer = frequency(timer_end.value.saturating_sub(timer_start.value), ticks, hertz);
    Some((hertz, timer.unwrap_or(0)))
}

#[cfg(test)]
mod tests;
