//! The persist timer: a window that is closed, or too small for what is to be sent, is probed.

use crate::output::{Busy, take_packet};
use crate::queue::{Data, NIL};
use crate::recovery::Timer;
use crate::state::{Conn, Env, flag};
use crate::wire::Flags;
use waitless::{Instant, IpPort};

impl Conn {
    /// Something waits for the other side's window. Unless the retransmission timer runs, the
    /// persist timer must.
    //= RFC 9293 3.8.6.1 SHLD-29: the first probe is sent after a retransmission timeout
    #[inline]
    pub fn arm_persist(&mut self, env: &Env) {
        if self.resend_at == Instant::NEVER {
            self.flags.set(flag::PERSIST);
            // It may have run as the timer of the tail's probe before.
            self.recovery.timer = Timer::Resend;
            self.resend_at = env.now + self.rtt.timeout();
            self.progress_at = env.millis;
        }
    }

    /// Probes a window that is closed, or too small for what is to be sent.
    #[cold]
    pub fn probe<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        self.flags.clear(flag::PROBE_DUE);
        self.resend_at = env.now + self.rtt.timeout();
        self.bound_timer(env);
        let id = self.send.head;
        if id == NIL || env.nodes.get(id).len == 0 {
            return self.probe_with_fin(ip, env, budget);
        }
        env.counters.probes.add(1);
        let size = env.nodes.get(id).end().since(self.unacked).min(u32::from(self.mss));
        if self.window > 0 && id == self.cursor {
            //= RFC 9293 3.8.6.2.1: the override: after a while the silly segment is sent
            self.flags.clear(flag::PERSIST);
            let size = size.min(self.window);
            return self.send_next_rarely(ip, env, budget, size);
        }
        //= RFC 9293 3.8.6.1 MUST-35, MUST-36: a probe is one octet of new data
        let packet = take_packet(env, id)?;
        let skip = self.unacked.since(env.nodes.get(id).seq) as usize;
        let octet = packet.bytes().get(skip).copied();
        env.nodes.get_mut(id).data = Data::Packet(packet);
        let mut probe = env.pool.packet().ok_or(Busy)?;
        probe.append(&[octet.ok_or(Busy)?]).map_err(|_| Busy)?;
        self.emit_alone(ip, env, budget, probe, self.unacked, Flags::ACK);
        if self.flight() == 0 {
            self.flags.set(flag::PROBED);
        }
        Ok(())
    }

    /// The same where all text is acknowledged: it is the FIN that the window has no room for.
    //= RFC 9293 3.8.6.1 MUST-35, MUST-36: then the FIN is the octet that probes
    fn probe_with_fin<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
    ) -> Result<(), Busy> {
        if self.flight() == 0 {
            self.flags.clear(flag::PERSIST);
            return Ok(());
        }
        env.counters.probes.add(1);
        self.flags.set(flag::RESEND_FIN);
        self.resend_fin(ip, env, budget)
    }
}
