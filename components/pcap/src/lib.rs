//! Writes what passes a packet edge to a capture file, both ways, with time and direction.
//!
//! It goes into any edge through which packets pass: one table in the manifest with `under`. It
//! is [`Pcap`] above a network card, [`PcapLink`] between Ethernet and IP, [`PcapIp`] between IP
//! and one transport, [`PcapUdp`] between UDP and one service. It changes nothing, and adds no
//! sweep of delay.
//!
//! - **It does no input or output.** Frames go into a [`Capture`](waitless::capture::Capture) of
//!   bounded size, which a native platform writes to the file between sweeps, and which in a
//!   guest keeps the newest frames for a handler to download. What no longer fits is counted.
//! - **What it shows is what the wire carries.** A checksum that is left to the card is completed
//!   in the copy, and a card that cuts segments is not passed on, so no frame exceeds the MTU.
//!   Headers that are stripped on an edge are made again in the copy, so that every tool reads
//!   it; what IP decides later (the hops, on UDP's edges the address) is shown by its default.
//! - **The format is pcapng** (draft-ietf-opsawg-pcapng) with nanoseconds, because the older
//!   format cannot say which way a frame went.
//!
//! - **With `keys`, the secrets of TLS connections stand in the file** in front of what they
//!   protect (Decryption Secrets Blocks), and every tool reads what passed. That is off unless the
//!   manifest says so, and is warned of at the start.
//!
//! Not here: IPv6 on the edges of IP and of UDP, where a header would have to be made; on those of
//! the card and of the link there is all of it. It does not filter; `tshark -r FILE FILTER` does.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod edge;
mod recorder;
#[cfg(test)]
mod tests;
mod wire;

use edge::{Edge, Head};
use recorder::{Counters, Recorder};
use waitless::counter::{Both, leak};
use waitless::relay::{IpRelay, LinkRelay, NicRelay, Relay, RelayOver, Relaying, UdpRelay};
use waitless::{Component, Context, CounterSet, InitError, Inspect, Instant, Packet};
use wire::Direction;

/// Where to, and how much.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The file's name.
    pub file: &'static str,
    /// Memory for frames, in bytes.
    pub bytes: u64,
    /// Bytes of each frame that are kept.
    pub snaplen: u16,
    /// Whether an app may give the capture to whoever asks for it.
    pub share: bool,
    /// Whether the secrets of TLS connections are written as well.
    pub keys: bool,
}

/// A tap in the edge that `R` relays.
pub struct PcapOn<R> {
    config: &'static Config,
    relay: R,
    recorder: Option<Recorder>,
    counters: &'static Counters,
    all_counters: &'static dyn CounterSet,
}

/// Between a network card and what stands on it.
pub type Pcap = PcapOn<NicRelay>;
/// Between a link and what stands on it.
pub type PcapLink = PcapOn<LinkRelay>;
/// Between an IP layer and what stands on it.
pub type PcapIp = PcapOn<IpRelay>;
/// Between UDP and what stands on it.
pub type PcapUdp = PcapOn<UdpRelay>;

impl<R: Relay> PcapOn<R> {
    /// A tap that writes as `config` says.
    pub fn new(config: &'static Config, _: &mut Context) -> Self {
        let (relay, counters) = (R::default(), Counters::leak());
        let all_counters = leak(Both(counters, relay.counters()));
        Self { config, relay, recorder: None, counters, all_counters }
    }

    fn record(&self, head: Option<Head>, packet: &Packet, direction: Direction, now: Instant) {
        let Some(recorder) = &self.recorder else { return };
        match head {
            Some(head) => recorder.record(head.bytes(), packet, direction, now),
            None => recorder.miss(),
        }
    }
}

impl<R: Edge + RelayOver<Below>, Below> Component<Below> for PcapOn<R> {
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        self.relay.refresh(below, cx);
        self.recorder = Some(Recorder::new(self.config, R::LINK, self.counters, cx)?);
        Ok(())
    }

    fn receive(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        // Bounded by the relay's room.
        while let Some((to, packet)) = self.relay.pull(below) {
            let head = self.relay.above(to, &packet);
            self.record(head, &packet, Direction::Inbound, cx.now());
            // The relay pulls only what it has room for.
            let _ = self.relay.deliver(to, packet);
        }
    }

    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        self.relay.refresh(below, cx);
        while self.relay.is_ready(below)
            && let Some((to, packet)) = self.relay.take()
        {
            let head = self.relay.below(to, &packet);
            self.record(head, &packet, Direction::Outbound, cx.now());
            self.relay.hand_down(below, to, packet);
        }
    }

    fn deadline(&self) -> Instant {
        if self.relay.is_idle() { Instant::NEVER } else { Instant::ZERO }
    }
}

impl<R: Relay> Relaying for PcapOn<R> {
    type Relay = R;

    #[inline]
    fn relay(&self) -> &R {
        &self.relay
    }

    #[inline]
    fn relay_mut(&mut self) -> &mut R {
        &mut self.relay
    }
}

impl<R: Relay> Inspect for PcapOn<R> {
    fn counters(&self) -> &'static dyn CounterSet {
        self.all_counters
    }
}
