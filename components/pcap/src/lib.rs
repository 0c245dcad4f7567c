//! Writes what passes a packet edge to a capture file, both ways, with time and direction.
//!
//! [`Pcap`] goes between a network card and what stands on it: one table in the manifest with
//! `under`. It changes nothing, and adds no sweep of delay.
//!
//! - **It does no input or output.** Frames go into a [`Capture`](waitless::capture::Capture) of
//!   bounded size, which a native platform writes to the file between sweeps, and which in a
//!   guest keeps the newest frames for a handler to download. What no longer fits is counted.
//! - **What it shows is what the wire carries.** A checksum that is left to the card is completed
//!   in the copy, and a card that cuts segments is not passed on, so no frame exceeds the MTU.
//! - **The format is pcapng** (draft-ietf-opsawg-pcapng) with nanoseconds, because the older
//!   format cannot say which way a frame went.
//!
//! It does not filter; `tshark -r FILE FILTER` does.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod recorder;
#[cfg(test)]
mod tests;
mod wire;

use recorder::Recorder;
use waitless::{
    BATCH, Component, Context, CounterSet, InitError, Inspect, Instant, Mac, Mailbox, NicPort,
    Offloads, Packet,
};
use wire::{Direction, LinkType};

/// Where to, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The file's name.
    pub file: &'static str,
    /// Memory for frames, in bytes.
    pub bytes: u64,
    /// Bytes of each frame that are kept.
    pub snaplen: u16,
}

/// A tap on a cable.
pub struct Pcap {
    config: &'static Config,
    recorder: Option<Recorder>,
    arrived: Mailbox,
    leaving: Mailbox,
    /// What the card said of itself when it was last seen.
    card: Card,
    counters: &'static recorder::Counters,
}

#[derive(Clone, Copy, Default)]
struct Card {
    mac: Mac,
    mtu: u16,
    checksum: bool,
    link_up: bool,
}

impl Pcap {
    /// A tap that writes as `config` says.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        Self {
            config,
            recorder: None,
            arrived: Mailbox::new(),
            leaving: Mailbox::new(),
            card: Card::default(),
            counters: recorder::Counters::leak(),
        }
    }

    fn record(&self, frame: &Packet, direction: Direction, now: Instant) {
        if let Some(recorder) = &self.recorder {
            recorder.record(frame, direction, now);
        }
    }
}

impl<N: NicPort> Component<N> for Pcap {
    fn init(&mut self, below: &mut N, cx: &mut Context) -> Result<(), InitError> {
        self.card = Card {
            mac: below.mac(),
            mtu: below.mtu(),
            checksum: below.offloads().checksum,
            link_up: below.link_up(),
        };
        let recorder = Recorder::new(self.config, LinkType::Ethernet, self.counters, cx)?;
        self.recorder = Some(recorder);
        Ok(())
    }

    fn receive(&mut self, below: &mut N, cx: &mut Context) {
        self.card.link_up = below.link_up();
        while !self.arrived.is_full()
            && let Some(frame) = below.recv()
        {
            self.record(&frame, Direction::Inbound, cx.now());
            // The mailbox was just seen to have room.
            let _ = self.arrived.push_back(frame);
        }
    }

    fn transmit(&mut self, below: &mut N, cx: &mut Context) {
        while below.room() > 0
            && let Some(frame) = self.leaving.pop_front()
        {
            self.record(&frame, Direction::Outbound, cx.now());
            if below.send(frame).is_err() {
                self.counters.refused.add(1);
            }
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.arrived.is_empty() && self.leaving.is_empty();
        if idle { Instant::NEVER } else { Instant::ZERO }
    }
}

impl NicPort for Pcap {
    fn mac(&self) -> Mac {
        self.card.mac
    }

    fn mtu(&self) -> u16 {
        self.card.mtu
    }

    fn offloads(&self) -> Offloads {
        Offloads { checksum: self.card.checksum, segmentation: 0 }
    }

    fn link_up(&self) -> bool {
        self.card.link_up
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        self.leaving.push_back(frame)
    }

    #[inline]
    fn room(&self) -> usize {
        BATCH - self.leaving.len()
    }
}

impl Inspect for Pcap {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}
