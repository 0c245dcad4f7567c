//! A network card on a TAP device of a Linux host: the whole stack as a process.
//!
//! What the host sends to the device, [`Tap`] receives, and the other way around; the kernel on
//! the host's side is an ordinary neighbour on the link. Frames are read into packets and
//! written from them, and no call waits.
//!
//! The device itself, its address on the host's side and a bridge are the host's affair. As user:
//!
//! ```sh
//! sudo ip tuntap add dev waitless0 mode tap user $USER
//! sudo ip address add 10.0.2.1/24 dev waitless0
//! sudo ip link set waitless0 up
//! ```
//!
//! It offers no offloads yet: each frame is one call of the host. Elsewhere than on Linux it
//! compiles and says at the start that there are no such devices. `unsafe` is confined to
//! `device.rs`, which talks to the kernel in the way that no safe call covers.

#![deny(unsafe_code)]

#[cfg_attr(not(target_os = "linux"), path = "elsewhere.rs")]
mod device;
#[cfg(test)]
mod tests;

use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use waitless::packet::{CAPACITY, HEADROOM};
use waitless::{
    BATCH, Component, Context, CounterSet, Duration, InitError, Inspect, Instant, Mac, Mailbox,
    NicPort, Packet,
};

/// Which device, and who the image is on it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The device's name.
    pub device: &'static str,
    /// The image's address; `None` makes one up.
    pub mac: Option<Mac>,
    /// The longest payload of a frame in bytes; `None` takes the device's.
    pub mtu: Option<u16>,
}

/// A network card that is a file descriptor.
pub struct Tap {
    config: &'static Config,
    /// `None` before `init`, and after the device went away.
    device: Option<OwnedFd>,
    mac: Mac,
    mtu: u16,
    arrived: Mailbox,
    leaving: Mailbox,
    /// When to offer the host again what it had no room for.
    blocked_until: Instant,
    counters: &'static Counters,
}

/// The longest payload, whatever the device says: a frame must fit into a packet.
const MTU_MAX: u16 = 1500;
/// How long to wait for the host to make room.
const RETRY: Duration = Duration::from_millis(1);

impl Tap {
    /// A card on the device that `config` names.
    pub fn new(config: &'static Config, cx: &mut Context) -> Self {
        Self {
            config,
            device: None,
            mac: config.mac.unwrap_or_else(|| local_mac(cx.random.bytes())),
            mtu: config.mtu.unwrap_or(MTU_MAX),
            arrived: Mailbox::new(),
            leaving: Mailbox::new(),
            blocked_until: Instant::ZERO,
            counters: Counters::leak(),
        }
    }

    /// The same card on a descriptor that is open already and keeps frames whole, such as a
    /// socket pair's. It must be nonblocking.
    pub fn over(config: &'static Config, device: OwnedFd, cx: &mut Context) -> Self {
        Self { device: Some(device), ..Self::new(config, cx) }
    }

    fn read(&mut self, cx: &mut Context) -> Result<(), Errno> {
        let Some(device) = &self.device else { return Ok(()) };
        // Also of frames that nothing is made of: whoever sends more than that all the time has to
        // wait like the rest.
        for _ in 0..BATCH {
            if self.arrived.is_full() {
                break;
            }
            let packet = cx.packet().and_then(|mut packet| {
                packet.extend(FRAME_MAX).ok()?;
                Some(packet)
            });
            let Some(mut packet) = packet else {
                // As a card does whose ring is empty: otherwise the host would wake us for this
                // frame again and again.
                rustix::io::read(device, &mut [0; FRAME_MAX])?;
                self.counters.no_packet.add(1);
                continue;
            };
            let length = rustix::io::read(device, packet.bytes_mut())?;
            // The host cuts what does not fit, without a word.
            if length == FRAME_MAX {
                self.counters.too_long.add(1);
                continue;
            }
            packet.truncate(length);
            self.counters.received.add(1);
            // The mailbox was just seen to have room.
            let _ = self.arrived.push_back(packet);
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) {
        while let Some(device) = &self.device
            && let Some(mut packet) = self.leaving.pop_front()
        {
            packet.complete_checksum();
            match rustix::io::write(device, packet.bytes()) {
                Ok(_) => self.counters.sent.add(1),
                Err(Errno::AGAIN | Errno::INTR) => {
                    self.blocked_until = now + RETRY;
                    // There is room: it was just taken from there.
                    let _ = self.leaving.push_front(packet);
                    return;
                }
                Err(Errno::IO) => self.counters.device_down.add(1),
                Err(_) => self.counters.send_failed.add(1),
            }
        }
    }
}

/// Bytes to read a frame into: more than any frame that is let through.
const FRAME_MAX: usize = CAPACITY - HEADROOM;

impl Component<()> for Tap {
    fn init(&mut self, _: &mut (), cx: &mut Context) -> Result<(), InitError> {
        if self.device.is_none() {
            let opened = device::open(self.config.device)?;
            if let Some(warning) = opened.warning {
                waitless::warn!(cx, "{warning}");
            }
            self.mtu = self.config.mtu.unwrap_or(opened.mtu.min(MTU_MAX));
            self.device = Some(opened.descriptor);
        }
        let descriptor = self.device.as_ref().map_or(-1, |device| device.as_raw_fd());
        if !cx.platform().wake_on(descriptor) {
            return Err(InitError("this platform has no TAP devices: use its own card"));
        }
        waitless::info!(cx, "{} on {}, mtu {}", self.mac, self.config.device, self.mtu);
        Ok(())
    }

    fn receive(&mut self, _: &mut (), cx: &mut Context) {
        match self.read(cx) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
            // The device is down for now; the host reports it again when it is up.
            Err(Errno::IO) => self.counters.device_down.add(1),
            Err(error) => {
                waitless::error!(cx, "{} went away: {error}", self.config.device);
                self.device = None;
                self.leaving.clear();
            }
        }
    }

    fn transmit(&mut self, _: &mut (), cx: &mut Context) {
        if cx.now() >= self.blocked_until {
            self.write(cx.now());
        }
    }

    fn deadline(&self) -> Instant {
        if !self.arrived.is_empty() {
            return Instant::ZERO;
        }
        if self.leaving.is_empty() { Instant::NEVER } else { self.blocked_until }
    }
}

impl NicPort for Tap {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn link_up(&self) -> bool {
        self.device.is_some()
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
        if self.device.is_some() { BATCH - self.leaving.len() } else { 0 }
    }
}

impl Inspect for Tap {
    fn counters(&self) -> &'static dyn CounterSet {
        self.counters
    }
}

waitless::counters! {
    /// What happened on the device.
    struct Counters {
        /// Frames that arrived.
        counter received: frames,
        /// Frames that the host took.
        counter sent: frames,
        /// Frames dropped because they do not fit into a packet.
        counter too_long: frames,
        /// Frames dropped because there was no packet for them.
        counter no_packet: frames,
        /// Times that the host could do nothing because the device is down; a frame to send is
        /// lost each time.
        counter device_down: times,
        /// Frames dropped because the host would not take them.
        counter send_failed: frames,
    }
}

/// A station's own address (not a group's), marked as locally administered (IEEE 802 section 8.4).
fn local_mac(random: [u8; 6]) -> Mac {
    let [first, rest @ ..] = random;
    let [b, c, d, e, f] = rest;
    Mac([first & !1 | 2, b, c, d, e, f])
}
