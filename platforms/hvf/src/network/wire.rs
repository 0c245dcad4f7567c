//! The cable between the guest and smoltcp: two bounded lists of frames.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::collections::VecDeque;

/// Frames that wait each way at most.
const FRAMES_MAX: usize = 256;
/// The longest frame to the guest.
pub const FRAME_MAX: usize = 1514;

/// The cable.
#[derive(Debug, Default)]
pub struct Wire {
    from_guest: VecDeque<Vec<u8>>,
    to_guest: VecDeque<Vec<u8>>,
    overflows: u64,
}

impl Wire {
    /// Takes a frame from the guest, for smoltcp.
    pub fn put(&mut self, frame: Vec<u8>) {
        match self.has_room_in() {
            true => self.from_guest.push_back(frame),
            false => self.overflows += 1,
        }
    }

    /// Whether more frames from the guest can wait.
    pub fn has_room_in(&self) -> bool {
        self.room_in() > 0
    }

    /// How many more frames from the guest can wait.
    pub fn room_in(&self) -> usize {
        FRAMES_MAX.saturating_sub(self.from_guest.len())
    }

    /// Whether more frames to the guest can wait.
    pub fn has_room_out(&self) -> bool {
        self.to_guest.len() < FRAMES_MAX
    }

    /// Sends a frame to the guest.
    pub fn send(&mut self, frame: Vec<u8>) {
        match self.has_room_out() {
            true => self.to_guest.push_back(frame),
            false => self.overflows += 1,
        }
    }

    /// The next frame to the guest.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.to_guest.pop_front()
    }

    /// Frames that were lost because too many waited.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sent<'_>)> {
        // Each frame may be answered by one.
        if !self.has_room_out() {
            return None;
        }
        let frame = self.from_guest.pop_front()?;
        Some((Received(frame), Sent(&mut self.to_guest)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sent<'_>> {
        self.has_room_out().then_some(Sent(&mut self.to_guest))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = FRAME_MAX;
        capabilities
    }
}

/// A frame from the guest.
pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

/// Room for a frame to the guest.
pub struct Sent<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sent<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}
