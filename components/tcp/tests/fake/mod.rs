//! An IP layer for tests: what is to arrive and what was sent are plain queues.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use waitless::{
    ClaimState, IpPort, Ipv4Configuration, Mac, Offloads, Packet, PathError, Protocol, Reject,
};

/// The address of the host under test.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// The address of the other host.
pub const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

pub struct Ip {
    pub local: IpAddr,
    pub inbox: VecDeque<Packet>,
    pub errors: VecDeque<PathError>,
    pub sent: VecDeque<Packet>,
    pub room: usize,
    pub mtu: u16,
    pub offloads: Offloads,
    pub generation: u32,
    pub route: bool,
}

impl Ip {
    pub fn new(local: IpAddr) -> Self {
        Self {
            local,
            inbox: VecDeque::with_capacity(256),
            errors: VecDeque::new(),
            sent: VecDeque::with_capacity(256),
            room: 256,
            mtu: 1500,
            offloads: Offloads::default(),
            generation: 0,
            route: true,
        }
    }
}

impl IpPort for Ip {
    fn recv(&mut self, protocol: Protocol) -> Option<Packet> {
        assert_eq!(protocol, Protocol::TCP);
        self.inbox.pop_front()
    }

    fn send(&mut self, protocol: Protocol, packet: Packet) -> Result<(), Packet> {
        assert_eq!(protocol, Protocol::TCP);
        if self.room() == 0 {
            return Err(packet);
        }
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        self.room.saturating_sub(self.sent.len())
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        self.route.then_some(self.local)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == self.local
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[3] == 255 || address.is_multicast(),
            IpAddr::V6(address) => address.is_multicast(),
        }
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn reject(&mut self, _: Protocol, _: Packet, _: Reject) {}

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        None
    }

    fn report(&mut self, _: Protocol, error: PathError) {
        self.errors.push_back(error);
    }

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        self.errors.pop_front()
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        None
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        self.generation
    }

    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }
}
