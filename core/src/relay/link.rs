//! The relay of links.

use super::{Lanes, Outbox, Relay, RelayOver, Relaying, Wish, one_by_one};
use crate::{ClaimState, Context, EtherType, LinkPort, Mac, NextHop, Offloads, Packet};
use core::net::Ipv4Addr;

/// Stands between a link and what stands on it.
#[derive(Default)]
pub struct LinkRelay {
    lanes: Lanes<EtherType>,
    outbox: Outbox<(EtherType, NextHop)>,
    mac: Mac,
    mtu: u16,
    offloads: Offloads,
    link_up: bool,
    follows: bool,
    turns_back: bool,
    claims: Wish<Ipv4Addr>,
    claimed: Option<Ipv4Addr>,
    claim_state: Option<ClaimState>,
}

impl LinkRelay {
    /// Makes it say that packets to the claimed address come back from here.
    pub fn set_turns_back(&mut self) {
        self.turns_back = true;
    }

    /// The address that the component above has claimed.
    #[inline]
    pub fn claimed(&self) -> Option<Ipv4Addr> {
        self.claimed
    }
}

impl Relay for LinkRelay {
    type Up = EtherType;
    type Down = (EtherType, NextHop);

    #[inline]
    fn has_room(&self, to: EtherType) -> bool {
        self.lanes.has_room(to)
    }

    #[inline]
    fn deliver(&mut self, to: EtherType, packet: Packet) -> Result<(), Packet> {
        self.lanes.push(to, packet)
    }

    #[inline]
    fn outbox(&mut self) -> &mut Outbox<Self::Down> {
        &mut self.outbox
    }

    #[inline]
    fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.outbox.is_empty() && self.claims.is_empty()
    }
}

impl<L: LinkPort> RelayOver<L> for LinkRelay {
    #[inline]
    fn refresh(&mut self, below: &mut L, _: &mut Context) {
        self.claims.grant(|address| below.claim(address));
        self.lanes.announce(|protocol| below.recv(protocol));
        self.mac = below.mac();
        self.mtu = below.mtu();
        self.offloads = one_by_one(below.offloads());
        self.link_up = below.link_up();
        self.follows = !below.leads();
        self.turns_back |= below.turns_back();
        self.claim_state = Some(below.claim_state());
    }

    #[inline]
    fn pull(&mut self, below: &mut L) -> Option<(EtherType, Packet)> {
        self.lanes.pull(|protocol| below.recv(protocol))
    }

    #[inline]
    fn room_below(&self, below: &L) -> bool {
        below.room() > 0
    }

    #[inline]
    fn offer(
        &mut self,
        below: &mut L,
        (protocol, to): (EtherType, NextHop),
        packet: Packet,
    ) -> Result<(), Packet> {
        below.send(protocol, to, packet)
    }
}

impl LinkPort for LinkRelay {
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

    fn turns_back(&self) -> bool {
        self.turns_back
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        if self.claimed == address {
            return;
        }
        self.claimed = address;
        self.claims.put(address);
        // Until the link below has heard of it, nobody knows.
        self.claim_state = address.map(|_| ClaimState::Probing);
    }

    fn claim_state(&self) -> ClaimState {
        self.claim_state.unwrap_or(ClaimState::None)
    }

    #[inline]
    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        self.lanes.pop(protocol)
    }

    #[inline]
    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        self.outbox.push((protocol, to), packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.outbox.room()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Relaying<Relay: LinkPort>> LinkPort for T {
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

    fn turns_back(&self) -> bool {
        self.relay().turns_back()
    }

    fn claim(&mut self, address: Option<Ipv4Addr>) {
        self.relay_mut().claim(address);
    }

    fn claim_state(&self) -> ClaimState {
        self.relay().claim_state()
    }

    #[inline]
    fn recv(&mut self, protocol: EtherType) -> Option<Packet> {
        self.relay_mut().recv(protocol)
    }

    #[inline]
    fn send(&mut self, protocol: EtherType, to: NextHop, packet: Packet) -> Result<(), Packet> {
        self.relay_mut().send(protocol, to, packet)
    }

    #[inline]
    fn room(&self) -> usize {
        self.relay().room()
    }
}
