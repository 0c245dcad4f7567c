//! The relay of network cards.

use super::{Outbox, Relay, RelayOver, Relaying, one_by_one};
use crate::{Context, Mac, Mailbox, NicPort, Offloads, Packet};

/// Stands between a network card and what stands on it.
#[derive(Default)]
pub struct NicRelay {
    arrived: Mailbox,
    outbox: Outbox<()>,
    mac: Mac,
    mtu: u16,
    offloads: Offloads,
    link_up: bool,
    follows: bool,
}

impl Relay for NicRelay {
    type Up = ();
    type Down = ();

    #[inline]
    fn has_room(&self, (): ()) -> bool {
        !self.arrived.is_full()
    }

    #[inline]
    fn deliver(&mut self, (): (), frame: Packet) -> Result<(), Packet> {
        self.arrived.push_back(frame)
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox<()> {
        &mut self.outbox
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.arrived.is_empty() && self.outbox.is_empty()
    }
}

impl<N: NicPort> RelayOver<N> for NicRelay {
    #[inline]
    fn refresh(&mut self, below: &mut N, _: &mut Context) {
        self.mac = below.mac();
        self.mtu = below.mtu();
        self.offloads = one_by_one(below.offloads());
        self.link_up = below.link_up();
        self.follows = !below.leads();
    }

    #[inline]
    fn pull(&mut self, below: &mut N) -> Option<((), Packet)> {
        if self.arrived.is_full() { None } else { below.recv().map(|frame| ((), frame)) }
    }

    #[inline]
    fn room_below(&self, below: &N) -> bool {
        below.room() > 0
    }

    #[inline]
    fn offer(&mut self, below: &mut N, (): (), frame: Packet) -> Result<(), Packet> {
        below.send(frame)
    }
}

impl NicPort for NicRelay {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn link_up(&self) -> bool {
        self.link_up
    }

    fn leads(&self) -> bool {
        !self.follows
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        self.outbox.push((), frame)
    }

    #[inline]
    fn room(&self) -> usize {
        self.outbox.room()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Relaying<Relay: NicPort>> NicPort for T {
    fn mac(&self) -> Mac {
        self.relay().mac()
    }

    fn mtu(&self) -> u16 {
        self.relay().mtu()
    }

    fn offloads(&self) -> Offloads {
        self.relay().offloads()
    }

    fn link_up(&self) -> bool {
        self.relay().link_up()
    }

    fn leads(&self) -> bool {
        self.relay().leads()
    }

    #[inline]
    fn recv(&mut self) -> Option<Packet> {
        self.relay_mut().recv()
    }

    #[inline]
    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        self.relay_mut().send(frame)
    }

    #[inline]
    fn room(&self) -> usize {
        self.relay().room()
    }
}
