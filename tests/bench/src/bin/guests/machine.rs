//! What this machine does meanwhile: for whom its processors worked, and what a process keeps.

use std::fs;

/// A moment of the processors' accounts, in ticks since the start.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// What all processors could have done.
    all: u64,
    /// What they did for anybody, stolen time included.
    busy: u64,
    /// What they did for the guest, for this program, and for programs that it waited for.
    ours: u64,
}

impl Share {
    /// Now; `guest` is a process that is measured.
    pub fn now(guest: u32) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; guests' time is in user's.
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).filter_map(|word| word.parse().ok()).collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Self { all, busy: all - idle, ours: ticks_of(guest) + ticks_of(std::process::id()) }
    }

    /// The share of all processors that others took since then, and the host below.
    pub fn others(self, guest: u32) -> f64 {
        let now = Self::now(guest);
        let busy = now.busy.saturating_sub(self.busy);
        let ours = now.ours.saturating_sub(self.ours);
        busy.saturating_sub(ours) as f64 / now.all.saturating_sub(self.all).max(1) as f64
    }
}

/// Ticks that a process and the children that it waited for have used.
pub fn ticks_of(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Behind the name, which may contain anything.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let fields = fields.split_whitespace().skip(11).take(4);
    fields.filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// KiB that a process keeps resident.
pub fn resident(process: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The load average of the last minute.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Ticks in a second: what `/proc` counts in, on every Linux.
pub const TICKS: f64 = 100.0;
