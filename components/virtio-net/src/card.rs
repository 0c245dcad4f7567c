//! A device that was brought up: its queues, and what it agreed to.

use crate::pairs::{Loose, Others, Plan};
use crate::queue::{Misbehaviour, Queue, SIZE_MAX};
use crate::wire::{DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, HEADER, Header, NEEDS_CSUM};
use crate::wire::{LINK_UP, config, feature};
use crate::{Config, Counters, Facts};
use waitless::device::Doorbell;
use waitless::packet::{CAPACITY, ChecksumState, HEADROOM};
use waitless::{BATCH, Context, Counter, Mac, Offloads, Packet, Pool, VirtioDevice, VirtioPort};

/// The queue of received frames of the first pair.
pub(crate) const RECEIVE: u16 = 0;
/// The queue of frames to send of the first pair.
pub(crate) const TRANSMIT: u16 = 1;

/// Where in a buffer the device puts its header. The frame follows and starts two bytes off a
/// multiple of 4, so that what is behind its Ethernet header is aligned to 4, and all headers of
/// a TCP segment lie in one cache line.
const START: usize = 54;
const _: () = assert!((START + HEADER + ETHERNET).is_multiple_of(4) && START + HEADER >= 64);

/// Bytes of an Ethernet header, and of a VLAN tag that one may have.
const ETHERNET: usize = 14;
const VLAN: usize = 4;

/// The longest payload that is sent or received: what everybody on an Ethernet can take.
const MTU: u16 = 1500;
/// The smallest MTU that IPv4 allows (RFC 791 section 3.2), and virtio with it.
const MTU_MIN: u16 = 68;
const _: () = assert!(START + HEADER + ETHERNET + VLAN + MTU as usize <= CAPACITY);

/// One in so many of the core's packets waits for frames at most.
const SHARE: usize = 4;

/// The most entries that are missing before they are filled again.
const REFILL: u16 = 16;

/// Payload that fits beside the longest headers into the longest IPv4 packet.
const SEGMENTATION_MAX: u32 = 65_535 - 60 - 60;

/// A live device, or another core's pair of its queues.
pub(crate) struct Card {
    pub(crate) device: VirtioDevice,
    /// On another core than the first: how the device is told of news.
    doorbells: Option<[Doorbell; 2]>,
    pub(crate) mac: Mac,
    pub(crate) mtu: u16,
    pub(crate) link_up: bool,
    /// Whether the device interrupts when its configuration changes.
    pub(crate) tells: bool,
    pub(crate) receive: Queue,
    pub(crate) transmit: Queue,
    /// What it did wrong, until it is stopped for that.
    pub(crate) misbehaviour: Option<Misbehaviour>,
    features: u128,
    /// How many packets wait for frames when all is well.
    target: u16,
}

impl Card {
    /// Negotiates with a device that was just taken, and makes it live (section 3.1.1). The pairs
    /// for other cores come with it.
    pub(crate) fn start(
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        wanted: &Config,
        cx: &mut Context,
    ) -> Result<(Self, Others), &'static str> {
        let offered = below.features(device);
        if offered & feature::VERSION_1 == 0 {
            return Err("the device offers no virtio 1.0");
        }
        let plan = Plan::new(device, below, offered, cx.cores().count());
        let mut features = choose(offered, wanted) | plan.features;
        // Section 5.1.4.2: who accepts the MTU has buffers for it.
        if features & feature::MTU != 0 && below.config16(device, config::MTU) > MTU {
            features &= !feature::MTU;
        }
        if !below.accept(device, features) {
            return Err("the device does not agree to a part of what it offers");
        }
        let receive = queue(device, below, RECEIVE, 0, features, wanted, cx)?;
        let transmit = queue(device, below, TRANSMIT, 0, features, wanted, cx)?;
        let mut others = Others::enable(device, below, plan, features, wanted, cx)?;
        let mtu = match features & feature::MTU {
            0 => MTU,
            _ => below.config16(device, config::MTU).min(MTU),
        };
        if mtu < MTU_MIN {
            return Err("the device's MTU is below 68 bytes");
        }
        let mac = mac(device, below, features, cx);
        let target = target(&receive, cx);
        let mut card = Self {
            device,
            doorbells: None,
            mac,
            mtu,
            link_up: true,
            tells: true,
            receive,
            transmit,
            misbehaviour: None,
            features,
            target,
        };
        card.look_at_link(below);
        card.tells = below.start(device);
        others.use_all(device, below, plan, cx);
        Ok((card, others))
    }

    /// A core's own pair of a device that the first core has brought up.
    pub(crate) fn of(pair: Loose, facts: Facts, cx: &Context) -> Option<Self> {
        let features = pair.features;
        let ([receive, transmit], doorbells) = pair.settle()?;
        let target = target(&receive, cx);
        Some(Self {
            device: VirtioDevice::default(),
            doorbells: Some(doorbells),
            mac: facts.mac,
            mtu: facts.mtu,
            link_up: true,
            tells: true,
            receive,
            transmit,
            misbehaviour: None,
            features,
            target,
        })
    }

    /// What other cores must know of the card.
    pub(crate) fn facts(&self) -> Facts {
        Facts { mac: self.mac, mtu: self.mtu, offloads: self.offloads() }
    }

    /// Tells the device of what was lent since the last time, if it wants to hear of it. How often
    /// a bell rang.
    #[inline]
    pub(crate) fn publish(&mut self, below: &mut impl VirtioPort) -> u64 {
        let mut rung = 0;
        for (queue, number) in [(&mut self.receive, RECEIVE), (&mut self.transmit, TRANSMIT)] {
            if !queue.publish() {
                continue;
            }
            rung += 1;
            match &self.doorbells {
                None => below.notify(self.device, number),
                Some(doorbells) => doorbells[usize::from(number)].ring(),
            }
        }
        rung
    }

    /// What it was agreed that the device does.
    pub(crate) fn offloads(&self) -> Offloads {
        // A chain of half the queue's entries, of 1024 bytes each, always finds room in the end.
        let chain = u32::from(self.transmit.size()) / 2 * 1024;
        let cuts = self.features & feature::HOST_TSO4 != 0;
        Offloads {
            checksum: self.features & feature::CSUM != 0,
            segmentation: if cuts { chain.min(SEGMENTATION_MAX) } else { 0 },
        }
    }

    /// Reads whether the link is up. Whether that is a change.
    pub(crate) fn look_at_link(&mut self, below: &mut impl VirtioPort) -> bool {
        let link_up = self.features & feature::STATUS == 0
            || below.config16(self.device, config::STATUS) & LINK_UP != 0;
        core::mem::replace(&mut self.link_up, link_up) != link_up
    }

    /// Whether so many packets are missing that it is worth to post some.
    #[inline]
    pub(crate) fn wants_packets(&self) -> bool {
        let missing = self.target.saturating_sub(self.receive.held());
        missing >= (self.target / 4).clamp(1, REFILL)
    }

    /// Posts packets for frames to come.
    #[inline]
    pub(crate) fn post(&mut self, pool: Pool, counters: &Counters) {
        if !self.wants_packets() {
            return;
        }
        for _ in self.receive.held()..self.target {
            if pool.available() == 0 {
                counters.starved.add(1);
                break;
            }
            let Some(packet) = pool.packet().and_then(whole) else { break };
            if self.receive.lend_to_write(packet).is_err() {
                break;
            }
        }
        counters.posted.set(self.receive.held().into());
    }

    /// The next frame that arrived and is as agreed.
    #[inline]
    pub(crate) fn recv(&mut self, counters: &Counters) -> Option<Packet> {
        // Each turn takes an entry that only `post` gives back.
        while self.misbehaviour.is_none() {
            match self.receive.take() {
                Ok(Some((packet, length))) => match self.check(packet, length, counters) {
                    Ok(frame) => {
                        counters.received.add(1);
                        counters.received_bytes.add(frame.len() as u64);
                        return Some(frame);
                    }
                    Err(reason) => reason.add(1),
                },
                Ok(None) => return None,
                Err(misbehaviour) => self.misbehaviour = Some(misbehaviour),
            }
        }
        None
    }

    /// Takes the device's header off a buffer of which it says that it wrote `length` bytes.
    #[inline]
    fn check<'a>(
        &self,
        mut packet: Packet,
        length: u32,
        counters: &'a Counters,
    ) -> Result<Packet, &'a Counter> {
        let length = length as usize;
        if length > packet.len() {
            return Err(&counters.bad_length);
        }
        packet.truncate(length);
        let header = packet.strip::<HEADER>().ok_or(&counters.bad_length)?;
        let header = Header::parse(header);
        if header.gso_type != GSO_NONE {
            return Err(&counters.bad_header);
        }
        if self.features & feature::GUEST_CSUM != 0 {
            if header.flags & NEEDS_CSUM != 0 {
                // Section 5.1.6.4.2: the positions must be checked. What needs a sum never left
                // this machine, so nothing can have gone wrong with it; it gets one where it does.
                let (start, offset) = (header.checksum_start, header.checksum_offset);
                if usize::from(start) + usize::from(offset) + 2 > packet.len() {
                    return Err(&counters.bad_header);
                }
                packet.request_checksum(start.into(), offset.into());
            } else if header.flags & DATA_VALID != 0 {
                packet.info_mut().checksum = ChecksumState::Verified;
            }
        }
        Ok(packet)
    }

    /// Queues a frame for sending; the device learns of it later. `Err` when there is no room.
    #[inline]
    pub(crate) fn send(&mut self, mut frame: Packet, counters: &Counters) -> Result<(), Packet> {
        let add = |(packets, bytes), (_, length)| (packets + 1, bytes + length);
        let (packets, length) = frame.parts().fold((0, 0), add);
        if packets > usize::from(self.transmit.room()) {
            if packets <= usize::from(self.transmit.size()) {
                return Err(frame);
            }
            counters.refused.add(1);
            return Ok(());
        }
        match self.header(&mut frame, length, counters) {
            Ok(header) if frame.prepend(header.bytes()).is_ok() => {
                let segmented = u64::from(header.gso_type != GSO_NONE);
                self.transmit.lend_to_read(frame)?;
                counters.sent.add(1);
                counters.sent_bytes.add(length as u64);
                counters.segmented.add(segmented);
            }
            Ok(_) => counters.refused.add(1),
            Err(reason) => reason.add(1),
        }
        Ok(())
    }

    /// What the device must know to send a frame of `length` bytes; the counter of the reason
    /// when it cannot be sent.
    #[inline]
    fn header<'a>(
        &self,
        frame: &mut Packet,
        length: usize,
        counters: &'a Counters,
    ) -> Result<Header, &'a Counter> {
        let (checksum, segment) = (frame.info().checksum, frame.info().segment);
        let mut header = Header::default();
        if let ChecksumState::Partial { start, offset } = checksum {
            let start = usize::from(start).checked_sub(frame.headroom());
            let start = start.ok_or(&counters.refused)?;
            if start + usize::from(offset) + 2 > frame.len() {
                return Err(&counters.refused);
            }
            if self.features & feature::CSUM != 0 {
                header.flags = NEEDS_CSUM;
                header.checksum_start = start as u16;
                header.checksum_offset = offset;
            } else if length == frame.len() {
                frame.complete_checksum();
            } else {
                return Err(&counters.refused);
            }
            if segment != 0 {
                let cut = self.segmentation(frame, length, &mut header, segment);
                if cut.ok_or(&counters.refused)? {
                    return Ok(header);
                }
            }
        }
        if length > ETHERNET + VLAN + usize::from(self.mtu) {
            return Err(&counters.oversized);
        }
        Ok(header)
    }

    /// Adds to the header that the device must cut the frame of `length` bytes, when there is more
    /// in it than one segment; whether there is. `None` when the device cannot.
    fn segmentation(
        &self,
        frame: &Packet,
        length: usize,
        header: &mut Header,
        segment: u16,
    ) -> Option<bool> {
        let bytes = frame.bytes();
        let start = usize::from(header.checksum_start);
        // RFC 9293 section 3.1: the data offset, in words, and the flags, CWR the topmost.
        let (words, flags) = (bytes.get(start + 12)? >> 4, bytes.get(start + 13)?);
        let end = start + 4 * usize::from(words);
        if words < 5 || end > bytes.len() {
            return None;
        }
        if length - end <= usize::from(segment) {
            return Some(false);
        }
        let ipv4 = bytes.get(12..14)? == [0x08, 0x00];
        if self.features & feature::HOST_TSO4 == 0 || !ipv4 {
            return None;
        }
        header.gso_type = GSO_TCPV4;
        if flags & 0x80 != 0 && self.features & feature::HOST_ECN != 0 {
            header.gso_type |= GSO_ECN;
        }
        header.gso_size = segment;
        header.header_length = end as u16;
        Some(true)
    }

    /// Takes back what the device has sent.
    #[inline]
    pub(crate) fn reclaim(&mut self) {
        // Each turn takes an entry that only `send` gives back.
        while self.misbehaviour.is_none() && self.transmit.held() != 0 {
            match self.transmit.take() {
                Ok(Some((packet, _))) => drop(packet),
                Ok(None) => return,
                Err(misbehaviour) => self.misbehaviour = Some(misbehaviour),
            }
        }
    }

    /// Asks for interrupts. `false` when there is something to do already.
    pub(crate) fn arm(&mut self, pool: Pool) -> bool {
        let free = pool.available();
        if self.misbehaviour.is_some() || (free > 0 && self.wants_packets()) {
            return false;
        }
        // Nobody waits for frames to be sent, but for the room or the packets that they take.
        if free < BATCH || usize::from(self.transmit.room()) < BATCH {
            let half = self.transmit.outstanding() / 2;
            if !self.transmit.arm(half) {
                return false;
            }
        }
        self.receive.arm(0)
    }
}

/// What of the offered features to accept.
fn choose(offered: u128, config: &Config) -> u128 {
    let mut wanted = feature::VERSION_1
        | feature::ACCESS_PLATFORM
        | feature::MAC
        | feature::MTU
        | feature::STATUS;
    if config.event_index {
        wanted |= feature::EVENT_IDX;
    }
    if config.checksum_offload {
        wanted |= feature::CSUM | feature::GUEST_CSUM;
        // Section 5.1.3.1: each needs the one before.
        if config.segmentation_offload && offered & feature::CSUM != 0 {
            wanted |= feature::HOST_TSO4;
            if offered & feature::HOST_TSO4 != 0 {
                wanted |= feature::HOST_ECN;
            }
        }
    }
    offered & wanted
}

/// How many packets wait for frames in a queue: a share of the core's.
fn target(receive: &Queue, cx: &Context) -> u16 {
    let share = u16::try_from(cx.pool().count() / SHARE).unwrap_or(u16::MAX);
    receive.size().min(share.max(1))
}

/// Makes queue `number`, which interrupts `core`, and hands it to the device.
pub(crate) fn queue(
    device: VirtioDevice,
    below: &mut impl VirtioPort,
    number: u16,
    core: usize,
    features: u128,
    config: &Config,
    cx: &mut Context,
) -> Result<Queue, &'static str> {
    let most = below.queue_size(device, number);
    if !most.is_power_of_two() {
        return Err("the device lacks a queue, or its size is not a power of two");
    }
    let wanted = 1 << config.queue_size.clamp(1, SIZE_MAX).ilog2();
    let size = most.min(wanted);
    let memory = cx.platform().dma(Queue::bytes(size)).ok_or("no memory for its queues")?;
    let event_index = features & feature::EVENT_IDX != 0;
    let queue = Queue::new(memory, size, event_index).ok_or("the queues' memory is too small")?;
    if !below.enable_queue(device, number, queue.place(core)) {
        return Err("the device refuses a queue");
    }
    Ok(queue)
}

/// The device's address, or one that nobody else is likely to have.
fn mac(device: VirtioDevice, below: &mut impl VirtioPort, features: u128, cx: &mut Context) -> Mac {
    if features & feature::MAC != 0 {
        return Mac(core::array::from_fn(|at| below.config8(device, config::MAC + at)));
    }
    let [mut first, b, c, d, e, f, ..] = cx.random.u64().to_le_bytes();
    // IEEE 802 section 8.4: administered locally, and not a group's.
    first = first & !1 | 2;
    Mac([first, b, c, d, e, f])
}

/// All of a fresh packet's buffer, but the part in front of [`START`].
fn whole(mut packet: Packet) -> Option<Packet> {
    packet.grow_front(HEADROOM - START).ok()?;
    packet.extend(CAPACITY - HEADROOM).ok()?;
    Some(packet)
}
