//! Bursts: packets of consecutive data sent as one, which the device cuts into segments.
//!
//! The device cuts where segments end, and packets may end elsewhere: services write what suits
//! them. So what the other side acknowledges may end within a packet, and what is lost is sent
//! again packet by packet.

use crate::output::{Busy, take_packet};
use crate::queue::{Data, NIL};
use crate::state::{Conn, Env, flag};
use waitless::{IpPort, Packet};

/// The most packets of one burst: a device has a descriptor for each.
const PACKETS: usize = 16;

impl Conn {
    /// Whether more than the packet of `size` bytes at the cursor may be handed down at once.
    #[inline]
    pub fn may_burst(&self, env: &Env, size: u32) -> bool {
        if env.burst == 0 {
            return false;
        }
        let (node, next) = (env.nodes.get(self.cursor), env.nodes.next(self.cursor));
        next != NIL
            && size == u32::from(node.len)
            && self.next == node.seq
            && env.nodes.get(next).len > 0
            && self.tuple.remote.is_ipv4()
            // Of a burst only the first segment may say that the window was reduced.
            && !self.flags.has(flag::LOCAL | flag::REDUCED)
            //= RFC 9293 3.7.4 SHLD-7: of what is short, the last one waits
            && !self.flags.has(flag::NAGLE)
    }

    /// Sends as many packets from the cursor on as the windows take, in one piece; the first has
    /// `first` bytes, for which there is room.
    pub fn send_burst<I: IpPort>(
        &mut self,
        ip: &mut I,
        env: &mut Env,
        budget: &mut usize,
        first: u32,
    ) -> Result<(), Busy> {
        let under_way = self.next.since(self.unacked);
        let allowed = self.congestion.window().saturating_sub(self.pipe());
        let allowed = allowed.min(self.window.saturating_sub(under_way));
        let (packets, size) = self.take_burst(env, allowed.min(env.burst));
        if size == 0 {
            return self.send_next_rarely(ip, env, budget, first);
        }
        self.begin_sending(env, size);
        let chain = packets.into_iter().rev().fold(None, |rest, mut packet: Packet| {
            packet.set_next(rest);
            Some(packet)
        });
        let (flags, end) = self.flags_up_to(self.next + size);
        self.emit_alone(ip, env, budget, chain.ok_or(Busy)?, self.next, flags);
        self.next = end;
        self.start_timer(env);
        Ok(())
    }

    /// Takes whole packets of at most `limit` bytes together from the cursor on, and moves the
    /// cursor behind them.
    fn take_burst(&mut self, env: &mut Env, limit: u32) -> (heapless::Vec<Packet, PACKETS>, u32) {
        let mut packets = heapless::Vec::new();
        let mut size = 0;
        while self.cursor != NIL && !packets.is_full() {
            let id = self.cursor;
            let length = u32::from(env.nodes.get(id).len);
            if length == 0 || size + length > limit {
                break;
            }
            let Ok(packet) = take_packet(env, id) else { break };
            let Some(held) = packet.hold() else {
                env.nodes.get_mut(id).data = Data::Packet(packet);
                break;
            };
            let node = env.nodes.get_mut(id);
            (node.data, node.sent_at) = (Data::Held(held), env.micros);
            size += length;
            self.cursor = env.nodes.next(id);
            drop(packets.push(packet));
        }
        (packets, size)
    }
}
