//! A network card that a hypervisor offers (virtio 1.2 section 5.1).
//!
//! The core polls it: while there is work, the device is asked not to interrupt, and it is told
//! of news at most once a sweep for each queue, and only if it wants to hear of them. Before the
//! core sleeps, [`arm`](waitless::Component::arm) asks for the interrupt and looks once more.
//!
//! Frames lie where they are: the device writes into packets of the core's pool, a bounded share
//! of which waits for it, and reads from the packets that are sent, which go back to the pool
//! when it is done.
//!
//! A device is not trusted to be right: what it claims is checked against what it was given. A
//! frame that makes no sense is dropped, and a device that returns what it does not have is
//! stopped; both are counted. What a device writes into memory that it no longer has, nobody
//! can stop here.
//!
//! On several cores, the first one brings the device up and hands each other one its queue pair,
//! as long as there are enough. Each flow's frames are steered to its core, by the device where it
//! can and by the core that has the queue where not; a core without a queue sends over another.
//!
//! It does not: merge buffers or accept coalesced frames, change filters or its address, or revive
//! a device that failed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod card;
mod control;
mod pairs;
mod queue;
mod wire;

#[cfg(test)]
mod tests;

use card::Card;
use core::sync::atomic::Ordering;
use pairs::{Fate, Others, Seat, Shared};
use waitless::cores::{Steering, SteeringCounters};
use waitless::counter::Both;
use waitless::{BATCH, Component, Context, CounterSet, InitError, Inspect, Mac, NicPort, Offloads};
use waitless::{Duration, Instant, Packet, Pool, VirtioPort, error, info, warn};

/// How the card is used.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Entries of each queue, 4 to 1024, rounded down to a power of two.
    pub queue_size: u16,
    /// Whether the device sums and checks, where it can.
    pub checksum_offload: bool,
    /// Whether the device cuts TCP segments, where it can.
    pub segmentation_offload: bool,
    /// Whether each side says from which entry on it wants to be notified, where it can.
    pub event_index: bool,
}

/// The type of network cards (section 5).
const NETWORK_CARD: u16 = 1;

/// How often the device's state is looked at in a busy loop: each look leaves the guest.
const CHECK: Duration = Duration::from_millis(100);

/// How often a device is looked at that cannot interrupt, and one that has no packets.
const POLL: Duration = Duration::from_millis(1);

/// A network card's queue pair.
pub struct VirtioNet {
    config: &'static Config,
    pool: Pool,
    counters: &'static Counters,
    /// What is shown: the card's counters and those of steering.
    shown: &'static dyn CounterSet,
    steering_counters: &'static SteeringCounters,
    /// `None` before it was found and after it failed, and on a core without a queue pair.
    card: Option<Card>,
    /// Where the frames of other cores' flows go. `None` on a single core, and without a device.
    steering: Option<Steering>,
    shared: &'static Shared,
    facts: Facts,
    /// Whether this is the first core.
    leads: bool,
    /// How many frames of other cores may still be taken in this sweep.
    foreign: usize,
    /// Whether the next frame is one that another core has steered here, if there is one.
    turn: bool,
    /// When this sweep began.
    now: Instant,
    /// When the device's state may be looked at again.
    check_at: Instant,
    /// Whether a sweep went by without that look, so that a change may be unseen.
    unchecked: bool,
    /// Whether the device can interrupt.
    interrupts: bool,
    /// On another core than the first: whether the link was up when this sweep began.
    link_seen: bool,
}

/// What of a card is the same for all cores.
#[derive(Clone, Copy, Debug)]
struct Facts {
    mac: Mac,
    mtu: u16,
    offloads: Offloads,
}

impl Facts {
    /// Of no card.
    const NONE: Self = Self {
        mac: Mac([0; 6]),
        mtu: 1500,
        offloads: Offloads { checksum: false, segmentation: 0 },
    };
}

/// How many frames of other cores are taken from a queue in one sweep, at most.
const FOREIGN_MAX: usize = 4 * BATCH;

waitless::counters! {
    /// What the card counts.
    pub struct Counters {
        /// Frames received.
        counter received: frames,
        /// Bytes of frames received.
        counter received_bytes: bytes,
        /// Frames given to the device to send.
        counter sent: frames,
        /// Bytes of frames given to the device to send.
        counter sent_bytes: bytes,
        /// Frames given to the device to cut into segments.
        counter segmented: frames,
        /// Times that the device was told of news.
        counter doorbells: times,
        /// Packets that wait for frames.
        gauge posted: packets,
        /// Sweeps in which packets for frames to come were missing, and none was free.
        counter starved: sweeps,
        /// Whether frames can be sent and received.
        gauge link_up: links,
        /// Times that the link went up or down.
        counter link_changes: times,
        /// Received frames dropped: shorter than their header or longer than their buffer.
        counter bad_length: frames,
        /// Received frames dropped: their header asks for what was not agreed.
        counter bad_header: frames,
        /// Frames not sent: longer than the MTU, and not to be cut.
        counter oversized: frames,
        /// Frames not sent: the device cannot do what they ask for.
        counter refused: frames,
        /// Frames not sent: there is no device, or it failed.
        counter no_device: frames,
        /// Devices that failed or misbehaved and were stopped.
        counter failures: devices,
    }
}

impl VirtioNet {
    /// A card that is yet to be found.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        let (counters, steering_counters) = (Counters::leak(), SteeringCounters::leak());
        let cores = cx.cores().count();
        let shown: &dyn CounterSet = match cores {
            1 => counters,
            _ => waitless::counter::leak(Both(counters, steering_counters)),
        };
        Self {
            config,
            pool: cx.pool(),
            counters,
            shown,
            steering_counters,
            card: None,
            steering: None,
            shared: cx.share(|| Shared::new(cores)),
            facts: Facts::NONE,
            leads: cx.core() == 0,
            foreign: 0,
            turn: false,
            now: Instant::ZERO,
            check_at: Instant::ZERO,
            unchecked: false,
            interrupts: false,
            link_seen: false,
        }
    }

    /// Finds the device and makes it live, with a queue pair for each core as far as they go.
    fn bring_up(&mut self, below: &mut impl VirtioPort, cx: &mut Context) -> Option<Others> {
        let Some(device) = below.take(NETWORK_CARD) else {
            error!(
                cx,
                "no virtio network card found (QEMU: -device virtio-net-pci or virtio-net-device)"
            );
            return None;
        };
        let (card, others) = match Card::start(device, below, self.config, cx) {
            Ok(started) => started,
            Err(reason) => {
                error!(cx, "the device cannot be used: {reason}");
                self.counters.failures.add(1);
                below.fail(device);
                return None;
            }
        };
        self.interrupts = below.interrupts(device);
        if !self.interrupts {
            warn!(cx, "the device cannot interrupt; it is polled");
        }
        if self.interrupts && !card.tells {
            warn!(cx, "the device does not tell when the link changes; it is asked");
        }
        let link = if card.link_up { "up" } else { "down" };
        info!(cx, "{}, MTU {}, link {link}, {:?}", card.mac, card.mtu, card.offloads());
        self.counters.link_up.set(card.link_up.into());
        self.shared.link_up.store(card.link_up, Ordering::Relaxed);
        self.facts = card.facts();
        self.card = Some(card);
        Some(others)
    }

    /// Takes what the first core has left for this one.
    fn take_seat(&mut self, cx: &mut Context) {
        let Some(seat) = self.shared.seats.get(cx.core()).and_then(waitless::cores::Slot::take)
        else {
            return;
        };
        self.facts = seat.facts;
        self.interrupts = seat.interrupts;
        self.card = seat.pair.and_then(|pair| Card::of(pair, seat.facts, cx));
        if self.card.is_none() {
            // Over a ring, a frame goes alone.
            self.facts.offloads.segmentation = 0;
        }
        self.steering = Some(Steering::join(cx, seat.queues, self.steering_counters));
    }

    /// Looks whether the device's configuration changed, and whether it still works.
    #[cold]
    fn check(&mut self, below: &mut impl VirtioPort, cx: &mut Context) {
        self.check_at = self.now + CHECK;
        let Some(card) = &mut self.card else { return };
        // What does not tell of changes is looked at again, whether a sweep goes by or not.
        self.unchecked = !card.tells;
        if below.needs_reset(card.device) {
            return self.fail(below, cx);
        }
        if below.config_changed(card.device) && card.look_at_link(below) {
            self.counters.link_changes.add(1);
            self.counters.link_up.set(card.link_up.into());
            self.shared.link_up.store(card.link_up, Ordering::Relaxed);
            info!(cx, "the link is {}", if card.link_up { "up" } else { "down" });
            cx.wake(u64::MAX, 0);
        }
    }

    /// Stops the device for good.
    #[cold]
    fn fail(&mut self, below: &mut impl VirtioPort, cx: &mut Context) {
        let Some(card) = self.card.take() else { return };
        match card.misbehaviour {
            Some(misbehaviour) => error!(cx, "the device is stopped: it {misbehaviour}"),
            None => error!(cx, "the device is stopped: it says that it failed, or is gone"),
        }
        self.counters.failures.add(1);
        self.counters.link_up.set(0);
        self.counters.posted.set(0);
        self.facts = Facts::NONE;
        let obeyed = below.fail(card.device);
        self.shared.end(obeyed);
        if !obeyed {
            // It may still write into its packets: better to lose them than to use them.
            warn!(cx, "the device does not reset; its packets are lost");
            core::mem::forget(card);
        }
        cx.wake(u64::MAX, 0);
    }

    /// On another core than the first: asks it to stop the device, or sees that it has.
    #[cold]
    fn give_up(&mut self, fate: Fate, cx: &Context) {
        let misbehaved = self.card.as_ref().and_then(|card| card.misbehaviour);
        if misbehaved.is_some() && !self.shared.misbehaved.swap(true, Ordering::Relaxed) {
            error!(cx, "the device is to be stopped");
            cx.wake(1, 0);
        }
        let stuck = fate == Fate::Stuck;
        if fate != Fate::Runs
            && let Some(card) = self.card.take()
            && stuck
        {
            core::mem::forget(card);
        }
    }

    /// The next frame, where some belong to other cores.
    #[inline]
    fn recv_steered(&mut self) -> Option<Packet> {
        self.turn = !self.turn;
        if self.turn
            && let Some(frame) = self.steering.as_mut()?.recv()
        {
            return Some(frame);
        }
        while self.foreign > 0
            && let Some(frame) = self.card.as_mut().and_then(|card| card.recv(self.counters))
        {
            if let Some(frame) = self.steering.as_mut()?.keep(frame) {
                return Some(frame);
            }
            self.foreign -= 1;
        }
        self.steering.as_mut()?.recv()
    }
}

/// Drops what other cores gave a device to send that has failed since.
#[cold]
fn discard(steering: &mut Steering, counters: &Counters) {
    while let Some(frame) = steering.leaving() {
        drop(frame);
        counters.no_device.add(1);
    }
}

impl<V: VirtioPort> Component<V> for VirtioNet {
    /// Without a device, or with one that cannot be used, the image starts all the same: the
    /// link is down.
    fn init(&mut self, below: &mut V, cx: &mut Context) -> Result<(), InitError> {
        if !self.leads {
            self.take_seat(cx);
        } else if let Some(others) = self.bring_up(below, cx)
            && let Some(card) = &self.card
            && cx.cores().count() > 1
        {
            let queues = 1 + others.pairs.len();
            info!(cx, "{queues} of {} cores have a queue pair", cx.cores().count());
            Seat::assign(self.shared, card, others, self.interrupts);
            self.steering = Some(Steering::join(cx, queues, self.steering_counters));
        }
        if let Some(card) = &mut self.card {
            card.post(self.pool, self.counters);
            self.counters.doorbells.add(card.publish(below));
        }
        Ok(())
    }

    fn receive(&mut self, below: &mut V, cx: &mut Context) {
        self.now = cx.now();
        // What arrives while the image ends would be under way between cores when they stop.
        self.foreign = if cx.cores().is_ending() { 0 } else { FOREIGN_MAX };
        if let Some(card) = &mut self.card {
            card.receive.disarm();
            card.transmit.disarm();
            card.reclaim();
        }
        let misbehaved = self.card.as_ref().is_some_and(|card| card.misbehaviour.is_some());
        if !self.leads {
            self.link_seen = self.shared.link_up.load(Ordering::Relaxed);
            let fate = self.shared.fate();
            if misbehaved || fate != Fate::Runs {
                self.give_up(fate, cx);
            }
        } else if misbehaved || self.shared.misbehaved.load(Ordering::Relaxed) {
            self.fail(below, cx);
        } else if self.now >= self.check_at {
            self.check(below, cx);
        } else {
            self.unchecked = true;
        }
    }

    fn transmit(&mut self, below: &mut V, cx: &mut Context) {
        let card = self.card.as_mut().filter(|card| card.misbehaviour.is_none());
        if let Some(card) = card {
            if let Some(steering) = &mut self.steering {
                while card.transmit.room() > 0
                    && let Some(frame) = steering.leaving()
                {
                    // There is room, and frames that cross cores are of one piece.
                    drop(card.send(frame, self.counters));
                }
            }
            card.post(self.pool, self.counters);
            let rung = card.publish(below);
            self.counters.doorbells.add(rung);
        } else if let Some(steering) = &mut self.steering {
            discard(steering, self.counters);
        }
        if let Some(steering) = &mut self.steering {
            steering.flush(cx);
        }
    }

    fn deadline(&self) -> Instant {
        let Some(card) = &self.card else { return Instant::NEVER };
        if card.misbehaviour.is_some() {
            // On another core than the first, that one must act.
            return if self.shared.misbehaved.load(Ordering::Relaxed) {
                Instant::NEVER
            } else {
                Instant::ZERO
            };
        }
        let check = if self.unchecked { self.check_at } else { Instant::NEVER };
        if !self.interrupts || card.receive.held() == 0 {
            check.min(self.now + POLL)
        } else {
            check
        }
    }

    fn arm(&mut self) -> bool {
        // What another core has to say of the device is not slept through.
        let unheard = match self.leads {
            true => self.shared.misbehaved.load(Ordering::Relaxed),
            false => self.shared.fate() != Fate::Runs,
        };
        if unheard && self.card.is_some() {
            return false;
        }
        if !self.leads && self.link_seen != self.shared.link_up.load(Ordering::Relaxed) {
            return false;
        }
        let hungry = self.pool.available() < BATCH;
        let misbehaved = |card: &Card| card.misbehaviour.is_some();
        let card = self.card.as_mut().filter(|card| self.steering.is_none() || !misbehaved(card));
        card.is_none_or(|card| card.arm(self.pool))
            && self.steering.as_ref().is_none_or(|steering| steering.arm(hungry))
    }
}

impl NicPort for VirtioNet {
    fn mac(&self) -> Mac {
        self.facts.mac
    }

    fn mtu(&self) -> u16 {
        self.facts.mtu
    }

    fn offloads(&self) -> Offloads {
        self.facts.offloads
    }

    fn leads(&self) -> bool {
        self.leads
    }

    fn link_up(&self) -> bool {
        self.shared.link_up.load(Ordering::Relaxed)
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        if self.steering.is_some() {
            return self.recv_steered();
        }
        self.card.as_mut()?.recv(self.counters)
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        match (&mut self.card, &mut self.steering) {
            (Some(card), _) => card.send(frame, self.counters),
            (None, Some(steering)) if self.shared.fate() == Fate::Runs => steering.send(frame),
            _ => {
                self.counters.no_device.add(1);
                Ok(())
            }
        }
    }

    #[inline]
    fn room(&self) -> usize {
        match (&self.card, &self.steering) {
            (Some(card), _) => card.transmit.room().into(),
            (None, Some(steering)) if self.shared.fate() == Fate::Runs => steering.room(),
            _ => BATCH,
        }
    }
}

impl Inspect for VirtioNet {
    fn counters(&self) -> &'static dyn CounterSet {
        self.shown
    }
}
