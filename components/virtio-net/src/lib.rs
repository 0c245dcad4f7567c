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
//! It does not: use more than one queue pair, merge buffers or accept coalesced frames, change
//! filters or its address, or revive a device that failed.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod card;
mod queue;
mod wire;

#[cfg(test)]
mod tests;

use card::{Card, RECEIVE, TRANSMIT};
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
    /// `None` before it was found and after it failed.
    card: Option<Card>,
    /// When this sweep began.
    now: Instant,
    /// When the device's state may be looked at again.
    check_at: Instant,
    /// Whether a sweep went by without that look, so that a change may be unseen.
    unchecked: bool,
    /// Whether the device can interrupt.
    interrupts: bool,
}

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
        Self {
            config,
            pool: cx.pool(),
            counters: Counters::leak(),
            card: None,
            now: Instant::ZERO,
            check_at: Instant::ZERO,
            unchecked: false,
            interrupts: false,
        }
    }

    /// Looks whether the device's configuration changed, and whether it still works.
    #[cold]
    fn check(&mut self, below: &mut impl VirtioPort, cx: &mut Context) {
        self.check_at = self.now + CHECK;
        self.unchecked = false;
        let Some(card) = &mut self.card else { return };
        if below.needs_reset(card.device) {
            return self.fail(below, cx);
        }
        if below.config_changed(card.device) && card.look_at_link(below) {
            self.counters.link_changes.add(1);
            self.counters.link_up.set(card.link_up.into());
            info!(cx, "the link is {}", if card.link_up { "up" } else { "down" });
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
        if !below.fail(card.device) {
            // It may still write into its packets: better to lose them than to use them.
            warn!(cx, "the device does not reset; its packets are lost");
            core::mem::forget(card);
        }
    }
}

impl<V: VirtioPort> Component<V> for VirtioNet {
    /// Without a device, or with one that cannot be used, the image starts all the same: the
    /// link is down.
    fn init(&mut self, below: &mut V, cx: &mut Context) -> Result<(), InitError> {
        let Some(device) = below.take(NETWORK_CARD) else {
            error!(
                cx,
                "no virtio network card found (QEMU: -device virtio-net-pci or virtio-net-device)"
            );
            return Ok(());
        };
        let mut card = match Card::start(device, below, self.config, cx) {
            Ok(card) => card,
            Err(reason) => {
                error!(cx, "the device cannot be used: {reason}");
                self.counters.failures.add(1);
                below.fail(device);
                return Ok(());
            }
        };
        self.interrupts = below.interrupts(device);
        if !self.interrupts {
            warn!(cx, "the device cannot interrupt; it is polled");
        }
        card.post(self.pool, self.counters);
        if card.receive.publish() {
            self.counters.doorbells.add(1);
            below.notify(device, RECEIVE);
        }
        self.counters.link_up.set(card.link_up.into());
        let link = if card.link_up { "up" } else { "down" };
        info!(cx, "{}, MTU {}, link {link}, {:?}", card.mac, card.mtu, card.offloads());
        self.card = Some(card);
        Ok(())
    }

    fn receive(&mut self, below: &mut V, cx: &mut Context) {
        self.now = cx.now();
        let Some(card) = &mut self.card else { return };
        card.receive.disarm();
        card.transmit.disarm();
        card.reclaim();
        if card.misbehaviour.is_some() {
            self.fail(below, cx);
        } else if self.now >= self.check_at {
            self.check(below, cx);
        } else {
            self.unchecked = true;
        }
    }

    fn transmit(&mut self, below: &mut V, _: &mut Context) {
        let Some(card) = &mut self.card else { return };
        if card.misbehaviour.is_some() {
            return;
        }
        card.post(self.pool, self.counters);
        if card.receive.publish() {
            self.counters.doorbells.add(1);
            below.notify(card.device, RECEIVE);
        }
        if card.transmit.publish() {
            self.counters.doorbells.add(1);
            below.notify(card.device, TRANSMIT);
        }
    }

    fn deadline(&self) -> Instant {
        let Some(card) = &self.card else { return Instant::NEVER };
        if card.misbehaviour.is_some() {
            return Instant::ZERO;
        }
        let check = if self.unchecked { self.check_at } else { Instant::NEVER };
        if !self.interrupts || card.receive.held() == 0 {
            check.min(self.now + POLL)
        } else {
            check
        }
    }

    fn arm(&mut self) -> bool {
        self.card.as_mut().is_none_or(|card| card.arm(self.pool))
    }
}

impl NicPort for VirtioNet {
    fn mac(&self) -> Mac {
        self.card.as_ref().map_or(Mac::default(), |card| card.mac)
    }

    fn mtu(&self) -> u16 {
        self.card.as_ref().map_or(1500, |card| card.mtu)
    }

    fn offloads(&self) -> Offloads {
        self.card.as_ref().map_or(Offloads::default(), Card::offloads)
    }

    fn link_up(&self) -> bool {
        self.card.as_ref().is_some_and(|card| card.link_up)
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        self.card.as_mut()?.recv(self.counters)
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        let Some(card) = &mut self.card else {
            self.counters.no_device.add(1);
            return Ok(());
        };
        card.send(frame, self.counters)
    }

    #[inline]
    fn room(&self) -> usize {
        self.card.as_ref().map_or(BATCH, |card| card.transmit.room().into())
    }
}

impl Inspect for VirtioNet {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
