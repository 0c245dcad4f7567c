//! Calls that wait until they can return, as those of blocking sockets do.

use super::calls::Given;
use super::run::{Runner, seconds};
use super::syntax::{Call, Problem};
use waitless::{Instant, Phase, StreamPort};

/// A call that has not returned.
pub struct Waiting {
    call: Call,
    /// When it must have returned.
    last: Instant,
    /// Bytes that it has written.
    done: i64,
}

impl Runner {
    /// Makes a call, and compares what it gives: now, or by `last` where it may wait.
    pub fn call(&mut self, call: &Call, last: Option<Instant>) -> Result<(), Problem> {
        let given = self.perform(call)?;
        self.host.sweep();
        // A kernel that takes more at once than the component does is not what is compared.
        let all = call.arguments.get(2).and_then(|it| it.parse().ok());
        let takes_all = self.foreign && writes(call) && call.result == all;
        let Some(last) = last.or(takes_all.then_some(Instant::NEVER)) else {
            return compare(call, given);
        };
        let waiting = Waiting { call: call.clone(), last, done: 0 };
        self.settle(waiting, given)
    }

    /// Tries again what waits.
    pub fn retry(&mut self) -> Result<(), Problem> {
        for waiting in std::mem::take(&mut self.waiting) {
            let given = match waiting.call.name.as_str() {
                "connect" => self.connected(&waiting.call),
                _ => {
                    let mut call = waiting.call.clone();
                    if let (true, Some(count)) = (waiting.done > 0, call.arguments.get_mut(2)) {
                        let all = count.parse().unwrap_or(0);
                        *count = (all - waiting.done).to_string();
                    }
                    self.perform(&call)?
                }
            };
            self.host.sweep();
            self.settle(waiting, given)?;
        }
        Ok(())
    }

    /// Nothing may wait that should have returned before `at`.
    pub fn overdue(&mut self, at: Instant) -> Result<(), Problem> {
        self.retry()?;
        let is_late = |it: &&Waiting| it.last != Instant::NEVER && it.last + self.tolerance < at;
        match self.waiting.iter().find(is_late) {
            Some(it) => Err(format!("{} still waits at {}", it.call.name, seconds(at)).into()),
            None => Ok(()),
        }
    }

    /// Waits for what waits.
    pub fn outwait(&mut self) -> Result<(), Problem> {
        let lasts = self.waiting.iter().map(|it| it.last).filter(|it| *it != Instant::NEVER);
        let Some(last) = lasts.max() else { return Ok(()) };
        let end = last + self.tolerance + self.tolerance;
        self.host.wait(end);
        self.overdue(end)
    }

    fn settle(&mut self, mut waiting: Waiting, given: Given) -> Result<(), Problem> {
        let all = waiting.call.arguments.get(2).and_then(|it| it.parse().ok()).unwrap_or(0);
        let given = match given {
            Ok(count) if writes(&waiting.call) => {
                waiting.done += count;
                if waiting.done == all { Ok(all) } else { Err("EAGAIN") }
            }
            given => given,
        };
        if matches!(given, Err("EAGAIN" | "EINPROGRESS")) {
            self.waiting.push(waiting);
            return Ok(());
        }
        compare(&waiting.call, given)
    }

    fn connected(&self, call: &Call) -> Given {
        let descriptor = call.arguments.first().and_then(|it| it.parse().ok()).unwrap_or(0);
        let stream = self.sockets.get(&descriptor).and_then(|socket| socket.stream);
        match stream.map(|stream| self.host.tcp.status(stream).phase) {
            Some(Phase::Opening) => Err("EINPROGRESS"),
            Some(Phase::Open | Phase::Closed) => Ok(0),
            Some(Phase::Reset) => Err("ECONNREFUSED"),
            Some(Phase::TimedOut) => Err("ETIMEDOUT"),
            Some(Phase::Unreachable) | None => Err("EHOSTUNREACH"),
        }
    }
}

fn writes(call: &Call) -> bool {
    matches!(call.name.as_str(), "write" | "send")
}

fn compare(call: &Call, given: Given) -> Result<(), Problem> {
    let expected = match (&call.error, call.result) {
        (_, None) => return Ok(()),
        (Some(error), _) if error == "EWOULDBLOCK" => Err("EAGAIN"),
        (Some(error), _) => Err(error.as_str()),
        (None, Some(number)) => Ok(number),
    };
    let show = |it: Result<i64, &str>| it.map_or_else(str::to_owned, |it| it.to_string());
    match given == expected {
        true => Ok(()),
        false => Err(format!("{} gives {}, not {}", call.name, show(given), show(expected)).into()),
    }
}
