//! Brings each flow's frames to its home core, whatever queue of the card they arrive in.
//!
//! A driver of a network card keeps one of these on each core. The core that owns a queue asks for
//! every frame whether it belongs here ([`Steering::keep`]); if not, the frame crosses to its home.
//! A core without a queue of its own sends over the core that shares its queue with it.
//!
//! TCP and UDP go by their flow, and so do ICMP errors, by the flow that they are about. Everything
//! else (ARP, echo requests, fragments, DHCP) goes to the first core. What ARP and IPv6's neighbour
//! discovery say is of use to all, so the first core gives each other one a copy.

use super::flow::{fold, number};
use super::{Cores, Home, Inlet, Outlet, Slot, crossing};
use crate::{Context, Packet, Pool, Protocol};
use alloc::vec::Vec;

/// A service that runs on one core: what arrives for its port is steered there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pin {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The local port, as the manifest has it.
    pub port: u16,
    /// The key by which another one can be said at boot.
    pub key: Option<&'static str>,
    /// The core.
    pub core: usize,
}

/// One core's part in the steering of a card's frames.
pub struct Steering {
    core: usize,
    cores: &'static Cores,
    pool: Pool,
    home: Home,
    ends: Ends,
    /// Which of the inlets of frames that arrived is asked next.
    next: usize,
    /// The same of frames that are to be sent.
    next_leaving: usize,
    /// The cores to which something was sent since the last flush.
    sent: u64,
    counters: &'static SteeringCounters,
}

crate::counters! {
    /// What steering counts.
    pub struct SteeringCounters {
        /// Frames given to the core where they belong.
        counter steered: frames,
        /// Frames that came from the core that has the queue.
        counter steered_here: frames,
        /// Frames given to the core that sends them.
        counter handed_down: frames,
        /// Copies of what ARP and neighbour discovery say for other cores.
        counter steered_copies: frames,
        /// Frames dropped because the core where they belong did not take the earlier ones.
        counter steering_full: frames,
        /// Frames not sent: what stands behind them cannot cross cores.
        counter uncrossable: frames,
    }
}

/// The crossings of one core.
#[derive(Default)]
struct Ends {
    /// To each core, by its number, for frames that belong there.
    up: Vec<Option<Outlet>>,
    /// From each core with a queue.
    arriving: Vec<Inlet>,
    /// To the core that sends for this one, where this one has no queue.
    down: Option<Outlet>,
    /// From the cores without a queue that this one sends for.
    leaving: Vec<Inlet>,
}

/// The ends of all cores, until each takes its own.
struct Mesh(Vec<Slot<Ends>>);

/// Frames under way between two cores, at most, if there are few cores, and if there are many.
const CAPACITY: usize = 256;
const CAPACITY_OF_MANY: usize = 64;
/// From so many on, they are many.
const MANY: usize = 8;

impl Mesh {
    /// Of a card whose first `queues` queue pairs belong to the cores with the same numbers.
    fn new(cores: usize, queues: usize) -> Self {
        let capacity = if cores > MANY { CAPACITY_OF_MANY } else { CAPACITY };
        let mut ends: Vec<Ends> = (0..cores).map(|_| Ends::default()).collect();
        for from in 0..cores {
            for to in 0..cores {
                let crosses = from < queues && from != to;
                let (outlet, inlet) = match crosses.then(|| crossing(from, to, capacity)) {
                    Some((outlet, inlet)) => (Some(outlet), Some(inlet)),
                    None => (None, None),
                };
                ends[from].up.push(outlet);
                ends[to].arriving.extend(inlet);
            }
            if from >= queues {
                let owner = from % queues;
                let (outlet, inlet) = crossing(from, owner, capacity);
                ends[from].down = Some(outlet);
                ends[owner].leaving.push(inlet);
            }
        }
        let full = |ends| {
            let slot = Slot::new();
            slot.put(ends);
            slot
        };
        Self(ends.into_iter().map(full).collect())
    }
}

impl Steering {
    /// Takes this core's part, for a card whose first `queues` queue pairs belong to the cores with
    /// the same numbers. Called by `init` on every core, on the first one first.
    pub fn join(cx: &mut Context, queues: usize, counters: &'static SteeringCounters) -> Self {
        let (cores, core) = (cx.cores(), cx.core());
        let queues = queues.clamp(1, cores.count());
        let mesh = cx.share(|| Mesh::new(cores.count(), queues));
        Self {
            core,
            cores,
            pool: cx.pool(),
            home: cx.home(),
            ends: mesh.0.get(core).and_then(Slot::take).unwrap_or_default(),
            next: 0,
            next_leaving: 0,
            sent: 0,
            counters,
        }
    }

    /// The frame, if it belongs to this core; otherwise it goes to where it does.
    #[inline]
    pub fn keep(&mut self, frame: Packet) -> Option<Packet> {
        if self.cores.count() == 1 {
            return Some(frame);
        }
        let home = match class(frame.bytes()) {
            Class::Flow { flow, protocol, port } => self.home.of(flow, protocol, port),
            Class::First => 0,
            Class::Everyone => {
                self.tell(&frame);
                0
            }
        };
        if home == self.core {
            return Some(frame);
        }
        self.pass(home, frame);
        None
    }

    /// The next frame for this core that arrived at another one.
    #[inline]
    pub fn recv(&mut self) -> Option<Packet> {
        let frame = in_turn(&mut self.ends.arriving, &mut self.next, self.pool)?;
        self.counters.steered_here.add(1);
        if self.core == 0 && class(frame.bytes()) == Class::Everyone {
            self.tell(&frame);
        }
        Some(frame)
    }

    /// The next frame that this core is to send for one without a queue.
    #[inline]
    pub fn leaving(&mut self) -> Option<Packet> {
        in_turn(&mut self.ends.leaving, &mut self.next_leaving, self.pool)
    }

    /// Lets the core that shares its queue with this one send the frame. `Err` when there is no
    /// room now.
    #[inline]
    pub fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        let Some(outlet) = &mut self.ends.down else { return Err(frame) };
        if frame.chain_len() != frame.len() {
            self.counters.uncrossable.add(1);
            return Ok(());
        }
        if self.cores.is_closing() {
            return Ok(());
        }
        outlet.send(frame)?;
        self.sent |= 1 << outlet.core();
        self.counters.handed_down.add(1);
        Ok(())
    }

    /// How many frames [`send`](Self::send) would take now.
    #[inline]
    pub fn room(&self) -> usize {
        self.ends.down.as_ref().map_or(0, Outlet::room)
    }

    /// Ends a sweep: buffers go back to where they came from, and cores that sleep although there
    /// is something for them are woken.
    #[inline]
    pub fn flush(&mut self, cx: &Context) {
        let Ends { up, arriving, down, leaving } = &mut self.ends;
        for outlet in up.iter_mut().flatten().chain(down) {
            outlet.reclaim(self.pool);
        }
        let mut returned = 0;
        for inlet in arriving.iter_mut().chain(leaving) {
            if inlet.settle(self.pool) {
                returned |= 1 << inlet.core();
            }
        }
        cx.wake(core::mem::take(&mut self.sent), returned);
    }

    /// Whether nothing came from another core, so that this one may sleep. `hungry` says that it
    /// is short of packets.
    pub fn arm(&self, hungry: bool) -> bool {
        let Ends { up, arriving, down, leaving } = &self.ends;
        let mut outlets = up.iter().flatten().chain(down);
        if hungry && outlets.any(|outlet| outlet.lent() > 0) {
            self.cores.falls_asleep_hungry(self.core);
            let mut outlets = up.iter().flatten().chain(down);
            if outlets.any(|outlet| !outlet.is_settled()) {
                return false;
            }
        }
        arriving.iter().chain(leaving).all(Inlet::is_empty)
    }

    /// Gives a frame to another core.
    #[inline]
    fn pass(&mut self, to: usize, frame: Packet) {
        if self.cores.is_closing() {
            return;
        }
        let Some(Some(outlet)) = self.ends.up.get_mut(to) else {
            return self.counters.steering_full.add(1);
        };
        if outlet.send(frame).is_ok() {
            self.counters.steered.add(1);
            self.sent |= 1 << to;
        } else {
            self.counters.steering_full.add(1);
        }
    }

    /// On the first core: gives each other one a copy.
    #[cold]
    fn tell(&mut self, frame: &Packet) {
        if self.core != 0 || self.cores.is_closing() {
            return;
        }
        for core in 1..self.cores.count() {
            let Some(Some(outlet)) = self.ends.up.get_mut(core) else { continue };
            match frame.duplicate().map(|copy| outlet.send(copy)) {
                Some(Ok(())) => {
                    self.counters.steered_copies.add(1);
                    self.sent |= 1 << core;
                }
                _ => self.counters.steering_full.add(1),
            }
        }
    }
}

/// Whom a frame is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    /// The core of this flow; the protocol and port are those that it is sent to.
    Flow { flow: u8, protocol: Protocol, port: u16 },
    /// The first core.
    First,
    /// The first core, and the others want to know, too.
    Everyone,
}

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;

/// The next frame, from each inlet in turn: one that is always full does not keep the others from
/// being heard.
#[inline]
fn in_turn(inlets: &mut [Inlet], next: &mut usize, pool: Pool) -> Option<Packet> {
    let count = inlets.len();
    for _ in 0..count {
        let inlet = inlets.get_mut(*next)?;
        *next = if *next + 1 < count { *next + 1 } else { 0 };
        if let Some(frame) = inlet.recv(pool) {
            return Some(frame);
        }
    }
    None
}

/// Whom `frame` is for. What makes no sense is the first core's to count.
#[inline]
fn class(frame: &[u8]) -> Class {
    match frame.get(12..ETHERNET) {
        Some([0x08, 0x00]) => ipv4(&frame[ETHERNET..]).unwrap_or(Class::First),
        Some([0x86, 0xdd]) => ipv6(&frame[ETHERNET..]).unwrap_or(Class::First),
        Some([0x08, 0x06]) => Class::Everyone,
        Some(VLAN) => tagged(frame),
        _ => Class::First,
    }
}

/// The type of a frame with a tag, behind which stands the type of what it carries (IEEE 802.1Q
/// section 9.6).
const VLAN: &[u8] = &[0x81, 0x00];

/// A tag says nothing of whom a frame is for. One with two tags is the first core's.
#[cold]
fn tagged(frame: &[u8]) -> Class {
    // What stands where the addresses would makes no difference.
    match frame.get(4..) {
        Some(frame) if frame.get(12..ETHERNET) != Some(VLAN) => class(frame),
        _ => Class::First,
    }
}

/// RFC 791 section 3.1.
#[inline]
fn ipv4(packet: &[u8]) -> Option<Class> {
    let header = packet.first_chunk::<20>()?;
    // A fragment: only the first one has ports, and all of them must meet.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return None;
    }
    let behind = packet.get(usize::from(header[0] & 15) * 4..)?;
    let protocol = Protocol(header[9]);
    match protocol {
        Protocol::TCP | Protocol::UDP => flow(protocol, fold(&header[12..20]), behind),
        Protocol::ICMP => icmp(behind),
        _ => None,
    }
}

/// RFC 8200 section 3.
fn ipv6(packet: &[u8]) -> Option<Class> {
    let (header, behind) = packet.split_first_chunk::<40>()?;
    match header[6] {
        HOP_BY_HOP | ROUTING | DESTINATION => extended(header, behind),
        protocol => upper(header, Protocol(protocol), behind),
    }
}

/// The extension headers that segments may have (RFC 8200 section 4). There is one more, of
/// fragments: only the first one has ports, and all of them must meet.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const DESTINATION: u8 = 60;
/// As many as IPv6 looks at.
const EXTENSIONS_MAX: usize = 8;

/// A packet with extension headers belongs where it would without.
#[cold]
fn extended(header: &[u8; 40], mut behind: &[u8]) -> Option<Class> {
    let mut protocol = header[6];
    for _ in 0..EXTENSIONS_MAX {
        if !matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION) {
            break;
        }
        // Units of 8 bytes, the first one not counted.
        let [next, length] = *behind.first_chunk::<2>()?;
        (protocol, behind) = (next, behind.get(8 + 8 * usize::from(length)..)?);
    }
    upper(header, Protocol(protocol), behind)
}

/// By what stands behind all headers of IPv6.
#[inline]
fn upper(header: &[u8; 40], protocol: Protocol, behind: &[u8]) -> Option<Class> {
    match protocol {
        Protocol::TCP | Protocol::UDP => flow(protocol, fold(&header[8..40]), behind),
        Protocol::ICMPV6 => icmp6(header[7], behind),
        _ => None,
    }
}

/// By the ports at the start of `segment`.
#[inline]
fn flow(protocol: Protocol, addresses: u16, segment: &[u8]) -> Option<Class> {
    let ports = segment.first_chunk::<4>()?;
    let port = u16::from_be_bytes([ports[2], ports[3]]);
    if protocol == Protocol::UDP && (port == DHCP || port == DHCPV6) {
        return None;
    }
    Some(Class::Flow { flow: number(addresses ^ fold(ports)), protocol, port })
}

/// The ports of DHCP's clients (RFC 2131 section 4.1, RFC 8415 section 7.2), which run on the first
/// core.
const DHCP: u16 = 68;
const DHCPV6: u16 = 546;

/// RFC 792: destination unreachable, source quench, time exceeded and parameter problem carry the
/// start of the packet that they are about, which this host has sent.
#[cold]
fn icmp(message: &[u8]) -> Option<Class> {
    if !matches!(message.first(), Some(3 | 4 | 11 | 12)) {
        return None;
    }
    let inner = message.get(8..)?;
    let header = inner.first_chunk::<20>()?;
    let segment = inner.get(usize::from(header[0] & 15) * 4..)?;
    let ports = segment.first_chunk::<4>()?;
    let protocol = Protocol(header[9]);
    let known = protocol == Protocol::TCP || protocol == Protocol::UDP;
    // The local port is the one that it was sent from.
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    let flow = number(fold(&header[12..20]) ^ fold(ports));
    known.then_some(Class::Flow { flow, protocol, port })
}

/// RFC 4443 section 2.1: errors carry the start of the packet that they are about. RFC 4861
/// section 4: neighbour discovery, which has passed no router.
#[cold]
fn icmp6(hops: u8, message: &[u8]) -> Option<Class> {
    match message.first()? {
        134..=137 if hops == 255 => return Some(Class::Everyone),
        1..=4 => {}
        _ => return None,
    }
    let inner = message.get(8..)?;
    let header = inner.first_chunk::<40>()?;
    let ports = inner.get(40..)?.first_chunk::<4>()?;
    let protocol = Protocol(header[6]);
    let known = protocol == Protocol::TCP || protocol == Protocol::UDP;
    let port = u16::from_be_bytes([ports[0], ports[1]]);
    let flow = number(fold(&header[8..40]) ^ fold(ports));
    known.then_some(Class::Flow { flow, protocol, port })
}

#[cfg(test)]
mod tests;
