//! What happens when a connection's timers expire: retransmission, window probes, keep-alive,
//! and giving up.

use crate::recovery::Timer;
use crate::state::{Conn, Env, State, effect, flag};
use waitless::{Duration, Instant, Phase};

/// How long the end of a connection that its service gave up may stay unacknowledged.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(100);

impl Conn {
    /// Sets the timer of an idle connection to what its state asks for.
    pub fn arm_idle(&mut self, env: &Env) {
        let after = match self.state {
            State::FinWait2 if self.flags.has(flag::ORPHAN) => Some(env.config.fin_wait),
            State::Established | State::CloseWait => self.keep_alive_after(),
            _ => None,
        };
        self.idle_at = after.map_or(Instant::NEVER, |after| env.now + after);
    }

    //= RFC 9293 3.8.4 MUST-24, MUST-25, MUST-27, MUST-28, MAY-5: for each connection, off unless
    // somebody says how long
    fn keep_alive_after(&self) -> Option<Duration> {
        (self.keep_alive != 0).then(|| Duration::from_secs(u64::from(self.keep_alive)))
    }

    /// The timers that have expired. Whether any had.
    pub fn expire(&mut self, env: &mut Env) {
        if self.ack_at <= env.now {
            self.ack_at = Instant::NEVER;
            self.flags.set(flag::ACK_NOW);
            env.effects |= effect::OUTPUT;
        }
        if self.flags.has(flag::STARVED) {
            self.flags.clear(flag::STARVED);
            env.effects |= effect::NEWS;
        }
        if self.flags.has(flag::RETRY) {
            self.flags.clear(flag::RETRY);
            env.effects |= effect::OUTPUT;
        }
        if self.resend_at <= env.now {
            self.resend_at = Instant::NEVER;
            self.expire_resend(env);
        }
        if self.idle_at <= env.now {
            self.idle_at = Instant::NEVER;
            self.expire_idle(env);
        }
    }

    fn expire_resend(&mut self, env: &mut Env) {
        let waited = env.millis.wrapping_sub(self.progress_at);
        match self.state {
            State::SynSent | State::SynReceived => return self.expire_syn(env, waited),
            state if state < State::Established => return,
            _ => {}
        }
        //= RFC 9293 3.8.3 MUST-20, SHLD-11: R2 is at least 100 s, then the connection closes
        if waited >= self.patience(env) {
            env.counters.timed_out.add(1);
            return self.reset(env, Phase::TimedOut);
        }
        env.effects |= effect::OUTPUT;
        match core::mem::replace(&mut self.recovery.timer, Timer::Resend) {
            Timer::Resend => {}
            //= RFC 8985 6.2: the reordering timer: look again
            //= RFC 8985 7.3: the probe timer; the retransmission timer follows either
            timer => {
                self.resend_at = env.now + self.rtt.timeout();
                let due = if timer == Timer::Probe { flag::TAIL_DUE } else { flag::DETECT };
                return self.flags.set(due);
            }
        }
        if self.flags.has(flag::PERSIST) || self.window == 0 {
            //= RFC 9293 3.8.6.1 SHLD-29, SHLD-30: first after one timeout, then exponentially
            self.rtt.back_off();
            return self.flags.set(flag::PERSIST | flag::PROBE_DUE);
        }
        if self.flight() == 0 {
            return;
        }
        env.counters.timeouts.add(1);
        self.time_out(env);
    }

    /// How long what is sent may stay unacknowledged, in milliseconds.
    fn patience(&self, env: &Env) -> u32 {
        let limit = self.time_limit(env);
        // What nobody waits for any more is given up at the minimum.
        match self.flags.has(flag::ORPHAN) {
            true => limit.min(ORPHAN_TIMEOUT.as_millis() as u32),
            false => limit,
        }
    }

    /// The same, as somebody chose it.
    fn time_limit(&self, env: &Env) -> u32 {
        match self.state {
            State::SynSent => env.config.connect_timeout.as_millis() as u32,
            State::SynReceived => u32::MAX,
            _ => self.user_timeout,
        }
    }

    /// The timer, backed off, may reach far behind the time at which somebody wants the
    /// connection given up. An orphan's time is a minimum: it keeps its last retransmission.
    #[cold]
    pub fn bound_timer(&mut self, env: &Env) {
        let waited = env.millis.wrapping_sub(self.progress_at);
        let left = self.time_limit(env).saturating_sub(waited);
        self.resend_at = self.resend_at.min(env.now + Duration::from_millis(u64::from(left)));
    }

    //= RFC 9293 3.8.3 MUST-22: SYNs are repeated and given up like anything else
    fn expire_syn(&mut self, env: &mut Env, waited: u32) {
        let over = match self.flags.has(flag::PASSIVE) {
            true => self.rtt.backoff() >= env.config.syn_retries,
            //= RFC 9293 3.8.3 MUST-23: R2 of a SYN is at least three minutes
            false => waited >= self.patience(env),
        };
        if over {
            env.counters.timed_out.add(1);
            //= RFC 9293 3.9.1.8 MUST-47: what a router said is told as the reason
            let soft = self.flags.has(flag::SOFT_ERROR);
            return self.end(env, if soft { Phase::Unreachable } else { Phase::TimedOut });
        }
        env.counters.timeouts.add(1);
        self.rtt.back_off();
        self.flags.set(flag::SYN_DUE | flag::SYN_LOST);
        env.effects |= effect::OUTPUT;
    }

    fn expire_idle(&mut self, env: &mut Env) {
        if self.state == State::FinWait2 {
            env.counters.timed_out.add(1);
            return self.end(env, Phase::TimedOut);
        }
        let Some(keep_alive) = self.keep_alive_after() else { return };
        //= RFC 9293 3.8.4 MUST-26: only when nothing was heard for the interval
        let heard = Duration::from_millis(u64::from(env.millis.wrapping_sub(self.heard_at)));
        if heard < keep_alive {
            self.idle_at = env.now + keep_alive.minus(heard);
            return;
        }
        //= RFC 9293 3.8.4 MUST-29: one unanswered probe does not end a connection
        if self.probes >= env.config.keep_alive_probes {
            env.counters.timed_out.add(1);
            return self.reset(env, Phase::TimedOut);
        }
        self.probes += 1;
        self.idle_at = env.now + env.config.keep_alive_interval;
        self.flags.set(flag::KEEP_ALIVE_DUE);
        env.effects |= effect::OUTPUT;
    }
}
