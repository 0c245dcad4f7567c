//! CUBIC (RFC 9438): after a loss the window approaches what it was before, lingers there, and
//! then looks for more. Its shape depends on time, not on the number of acknowledgements.

use super::Acked;

/// What CUBIC remembers. Windows in bytes, times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Cubic {
    /// The window before the last reduction, perhaps lowered by fast convergence: W_max. 0 after
    /// a timeout.
    peak: u32,
    /// The same as it was: cwnd_prior.
    prior: u32,
    /// The window at the plateau of the current epoch.
    plateau: u32,
    /// When the current epoch of congestion avoidance began.
    epoch: Option<u32>,
    /// How long the window takes to the plateau: K.
    climb: u32,
    /// What Reno's window would be, on average: W_est.
    estimate: u32,
    /// What is left over from adding less than a byte.
    credit: u32,
}

/// The window after a reduction.
//= RFC 9438 4.6: beta is 0.7
pub fn beta(window: u32) -> u32 {
    (u64::from(window) * 7 / 10) as u32
}

/// Beyond this, W(t) is not computed: no epoch that matters is longer than 200 seconds from its
/// plateau.
const FAR: u32 = 200_000;

impl Cubic {
    pub fn new() -> Self {
        Self { peak: 0, prior: 0, plateau: 0, epoch: None, climb: 0, estimate: 0, credit: 0 }
    }

    /// W_max and cwnd_prior.
    pub fn peaks(&self) -> (u32, u32) {
        (self.peak, self.prior)
    }

    /// Goes back to these.
    //= RFC 9438 4.9.1: after a spurious timeout the saved variables are restored
    pub fn restore(&mut self, peaks: (u32, u32)) {
        (self.peak, self.prior) = peaks;
        self.epoch = None;
    }

    /// Time that passes now is not spent in congestion avoidance.
    #[inline]
    pub fn pause(&mut self) {
        self.epoch = None;
    }

    /// The window was `window` when a loss was noticed.
    pub fn lost(&mut self, window: u32) {
        //= RFC 9438 4.7: fast convergence: who lost before regaining its peak leaves room
        self.peak = match window < self.peak {
            true => (u64::from(window) * 17 / 20) as u32,
            false => window,
        };
        self.prior = window;
        self.epoch = None;
    }

    /// What was noticed was a timeout.
    //= RFC 9438 4.8: the next stage begins at its plateau: K = 0, and W_max is its first window
    pub fn timed_out(&mut self) {
        self.peak = 0;
    }

    /// The window after an acknowledgement in congestion avoidance.
    pub fn grow(&mut self, window: u32, acked: Acked) -> u32 {
        let Acked { count, mss, millis, rtt, .. } = acked;
        let begun = match self.epoch {
            Some(begun) => begun,
            None => self.begin(window, mss, millis),
        };
        let elapsed = millis.wrapping_sub(begun);
        //= RFC 9438 4.3: W_est grows by alpha segments per round trip
        let mut added = u64::from(count) * u64::from(mss) / u64::from(window.max(1));
        if self.estimate < self.prior {
            //= RFC 9438 4.3: alpha = 3 * (1 - beta) / (1 + beta) until W_est is cwnd_prior, then 1
            added = added * 9 / 17;
        }
        self.estimate = self.estimate.saturating_add(added as u32);
        //= RFC 9438 4.3: in the Reno-friendly region the window is W_est
        if self.at(elapsed, mss) < self.estimate {
            return window.max(self.estimate);
        }
        //= RFC 9438 4.2, 4.4, 4.5: the target is W(t + RTT), at most half as much again
        let target = self.at(elapsed.saturating_add(rtt / 1_000), mss);
        let target = target.clamp(window, window.saturating_add(window / 2));
        let whole = u64::from(window.max(1));
        let credit = u64::from(self.credit) + u64::from(target - window) * u64::from(count);
        let more = credit / whole;
        self.credit = (credit % whole) as u32;
        window.saturating_add(more as u32)
    }

    fn begin(&mut self, window: u32, mss: u32, millis: u32) -> u32 {
        self.epoch = Some(millis);
        self.estimate = window;
        self.credit = 0;
        //= RFC 9438 4.2: K = cbrt((W_max - cwnd) / C) with C = 0.4 segments per cubed second
        let missing = u64::from(self.peak.saturating_sub(window));
        self.climb = cube_root(missing * 2_500_000_000 / u64::from(mss.max(1)));
        self.plateau = self.peak.max(window);
        millis
    }

    /// W(t) = C * (t - K)^3 + W_max.
    //= RFC 9438 4.2: in real time, not in round trips
    fn at(&self, elapsed: u32, mss: u32) -> u32 {
        let before = elapsed < self.climb;
        let distance = u64::from(elapsed.abs_diff(self.climb).min(FAR));
        // 0.4 segments per cubed second, in bytes per cubed millisecond.
        let cubed = distance * distance * distance / 1_000_000;
        let change = cubed.saturating_mul(u64::from(mss)) * 2 / 5 / 1_000;
        let change = change.min(u64::from(u32::MAX)) as u32;
        match before {
            true => self.plateau.saturating_sub(change),
            false => self.plateau.saturating_add(change),
        }
    }
}

/// The largest number whose cube is not above `value`.
fn cube_root(value: u64) -> u32 {
    let mut root = 0_u64;
    for bit in (0..22).rev() {
        let next = root | 1 << bit;
        if u128::from(next).pow(3) <= u128::from(value) {
            root = next;
        }
    }
    root as u32
}

#[cfg(test)]
mod tests;
