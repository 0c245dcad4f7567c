//! What smoltcp stands on: a wire that takes no time, with a card that offloads nothing.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Two queues of frames, whose buffers are used again.
#[derive(Debug, Default)]
pub struct Wire {
    arrived: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    spare: RefCell<Vec<Vec<u8>>>,
}

impl Wire {
    /// A frame arrives.
    pub fn deliver(&mut self, frame: &[u8]) {
        let mut buffer = self.spare.get_mut().pop().unwrap_or_default();
        buffer.clear();
        buffer.extend(frame);
        self.arrived.push_back(buffer);
    }

    /// The next frame that was sent, copied into `into`; its length.
    pub fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        let frame = self.sent.pop_front()?;
        into[..frame.len()].copy_from_slice(&frame);
        let length = frame.len();
        self.spare.get_mut().push(frame);
        Some(length)
    }
}

/// A frame that arrived.
#[derive(Debug)]
pub struct Arrived<'a>(Vec<u8>, &'a RefCell<Vec<Vec<u8>>>);
/// Room for a frame to send.
#[derive(Debug)]
pub struct Sending<'a>(&'a mut VecDeque<Vec<u8>>, &'a RefCell<Vec<Vec<u8>>>);

impl Device for Wire {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Sending<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame, &self.spare), Sending(&mut self.sent, &self.spare)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent, &self.spare))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, run: F) -> R {
        let result = run(&self.0);
        self.1.borrow_mut().push(self.0);
        result
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, run: F) -> R {
        let mut buffer = self.1.borrow_mut().pop().unwrap_or_default();
        buffer.resize(length, 0);
        let result = run(&mut buffer);
        self.0.push_back(buffer);
        result
    }
}
