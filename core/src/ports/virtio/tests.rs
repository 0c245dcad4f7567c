//! Several transports lent together.

use super::*;
use alloc::vec::Vec;

/// A transport with some devices of one type, which only remembers what it was told.
#[derive(Default)]
struct Fake {
    kind: u16,
    devices: usize,
    taken: usize,
    rung: Vec<(usize, u16)>,
}

impl VirtioPort for Fake {
    fn take(&mut self, kind: u16) -> Option<VirtioDevice> {
        let found = kind == self.kind && self.taken < self.devices;
        self.taken += usize::from(found);
        found.then(|| VirtioDevice(self.taken - 1))
    }
    fn features(&mut self, device: VirtioDevice) -> u128 {
        device.0 as u128
    }
    fn accept(&mut self, _: VirtioDevice, _: u128) -> bool {
        true
    }
    fn queues(&mut self, _: VirtioDevice) -> u16 {
        0
    }
    fn queue_size(&mut self, _: VirtioDevice, _: u16) -> u16 {
        0
    }
    fn enable_queue(&mut self, _: VirtioDevice, _: u16, _: QueueMemory) -> bool {
        true
    }
    fn start(&mut self, _: VirtioDevice) -> bool {
        true
    }
    fn fail(&mut self, _: VirtioDevice) -> bool {
        true
    }
    fn interrupts(&self, _: VirtioDevice) -> bool {
        true
    }
    fn needs_reset(&mut self, _: VirtioDevice) -> bool {
        false
    }
    fn config8(&mut self, _: VirtioDevice, _: usize) -> u8 {
        0
    }
    fn config16(&mut self, _: VirtioDevice, _: usize) -> u16 {
        0
    }
    fn config32(&mut self, _: VirtioDevice, _: usize) -> u32 {
        0
    }
    fn notify(&mut self, device: VirtioDevice, queue: u16) {
        self.rung.push((device.0, queue));
    }
    fn config_changed(&mut self, _: VirtioDevice) -> bool {
        false
    }
}

#[test]
fn a_device_is_found_on_whichever_transport_has_it_and_stays_there() {
    let mut a = Fake { kind: 1, devices: 1, ..Fake::default() };
    let mut b = Fake { kind: 1, devices: 2, ..Fake::default() };
    let mut both = (&mut a, &mut b);
    let found: Vec<_> = core::iter::from_fn(|| both.take(1)).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(both.take(4), None);
    let numbers: Vec<_> = found.iter().map(|device| both.features(*device)).collect();
    assert_eq!(numbers, [0, 0, 1]);
    for (queue, device) in (0..).zip(&found) {
        both.notify(*device, queue);
    }
    assert_eq!((a.rung, b.rung), (alloc::vec![(0, 0)], alloc::vec![(0, 1), (1, 2)]));
}

#[test]
fn one_transport_alone_reaches_each_of_its_devices() {
    let mut only = Fake { kind: 4, devices: 2, ..Fake::default() };
    let mut port = (&mut only,);
    let found: Vec<_> = core::iter::from_fn(|| port.take(4)).collect();
    let numbers: Vec<_> = found.iter().map(|device| port.features(*device)).collect();
    assert_eq!(numbers, [0, 1]);
    for (queue, device) in (0..).zip(&found) {
        port.notify(*device, queue);
    }
    assert_eq!(only.rung, [(0, 0), (1, 1)]);
}
