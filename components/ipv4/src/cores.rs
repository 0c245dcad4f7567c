//! What cores have in common: one sees to the address and puts fragments together.

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use waitless::cores::flow::flow;
use waitless::cores::{Home, Inlet, Outlet, Published, Slot, crossing};
use waitless::{Context, Ipv4Configuration, Packet, Pool, Protocol};

/// What the first core tells the others.
pub(crate) type Notice = Published<4>;

/// What this core has to do with the address.
#[derive(Debug)]
pub(crate) enum Role {
    /// It sees to the address, and tells the others: whether they have to hear something new.
    Leads { told: bool },
    /// It uses what it is told: what it has heard of last.
    Follows { seen: u32 },
}

/// Brings a datagram that the first core has put together to the core that its flow belongs to.
pub(crate) struct Handover {
    home: Home,
    pool: Pool,
    /// On the first core: to each other one, by its number.
    outlets: Vec<Option<Outlet>>,
    /// On the others.
    inlet: Option<Inlet>,
    sent: u64,
}

/// The ends of all cores, until each takes its own.
struct Mesh(Vec<Slot<Ends>>);

/// A core's ends of the mesh: to each other core, and from all of them.
type Ends = (Vec<Option<Outlet>>, Option<Inlet>);

/// Datagrams under way to one core. There are never many that come in fragments.
const CAPACITY: usize = 8;

impl Mesh {
    fn new(cores: usize) -> Self {
        let slots: Vec<_> = (0..cores).map(|_| Slot::new()).collect();
        let mut outlets = Vec::from([None]);
        for (core, slot) in slots.iter().enumerate().skip(1) {
            let (outlet, inlet) = crossing(0, core, CAPACITY);
            outlets.push(Some(outlet));
            slot.put((Vec::new(), Some(inlet)));
        }
        if let Some(first) = slots.first() {
            first.put((outlets, None));
        }
        Self(slots)
    }
}

impl Handover {
    pub(crate) fn new(cx: &mut Context) -> Self {
        let cores = cx.cores().count();
        let mesh = cx.share(|| Mesh::new(cores));
        let ends = mesh.0.get(cx.core()).and_then(Slot::take);
        let (outlets, inlet) = ends.unwrap_or_default();
        Self { home: cx.home(), pool: cx.pool(), outlets, inlet, sent: 0 }
    }

    /// The datagram, if it belongs to this core. `Err` for one that its core has no room for.
    pub(crate) fn keep(
        &mut self,
        protocol: Protocol,
        packet: Packet,
    ) -> Result<Option<Packet>, ()> {
        let ports = packet.bytes().first_chunk::<4>().copied();
        let (true, Some([a, b, c, d])) = (self.outlets.len() > 1, ports) else {
            return Ok(Some(packet));
        };
        if protocol != Protocol::TCP && protocol != Protocol::UDP {
            return Ok(Some(packet));
        }
        let [remote_port, port] = [[a, b], [c, d]].map(u16::from_be_bytes);
        let number = flow(packet.info().remote, remote_port, packet.info().local, port);
        let core = self.home.of(number, protocol, port);
        match self.outlets.get_mut(core) {
            Some(Some(outlet)) => {
                self.sent |= 1 << core;
                outlet.send(packet).map(|()| None).map_err(drop)
            }
            _ => Ok(Some(packet)),
        }
    }

    /// The next datagram that the first core has put together for this one, and its protocol.
    #[inline]
    pub(crate) fn recv(&mut self) -> Option<(Protocol, Packet)> {
        let mut packet = self.inlet.as_mut()?.recv(self.pool)?;
        // Its header still stands in front of it, and was checked.
        let header = usize::from(packet.info().ip_header);
        let protocol = packet.grow_front(header).ok()?.get(9).copied().map(Protocol);
        packet.trim_front(header);
        Some((protocol?, packet))
    }

    /// Ends a sweep: buffers go back, and cores are woken.
    #[inline]
    pub(crate) fn flush(&mut self, cx: &Context) {
        for outlet in self.outlets.iter_mut().flatten() {
            outlet.reclaim(self.pool);
        }
        let returned = self.inlet.as_mut().is_some_and(|inlet| inlet.settle(self.pool));
        cx.wake(core::mem::take(&mut self.sent), u64::from(returned));
    }

    /// Whether nothing came from the first core.
    pub(crate) fn is_idle(&self) -> bool {
        self.inlet.as_ref().is_none_or(Inlet::is_empty)
    }
}

/// The configuration, while its address is in use, in words.
pub(crate) fn encode(settings: Option<&Ipv4Configuration>) -> [u64; 4] {
    let Some(settings) = settings else { return [0; 4] };
    let word = |address: Ipv4Addr| u64::from(u32::from(address));
    let [first, second, third] = settings.dns.map(word);
    let gateway = settings.gateway.map_or(0, word);
    let flags = 1 | u64::from(settings.gateway.is_some()) << 1;
    [
        flags | u64::from(settings.prefix) << 8 | u64::from(settings.mtu) << 16,
        word(settings.address) << 32 | gateway,
        first << 32 | second,
        third,
    ]
}

/// What [`encode`] was given.
pub(crate) fn decode(words: [u64; 4]) -> Option<Ipv4Configuration> {
    let [flags, addresses, dns, third] = words;
    let address = |word: u64| Ipv4Addr::from(word as u32);
    (flags & 1 != 0).then(|| Ipv4Configuration {
        address: address(addresses >> 32),
        prefix: (flags >> 8) as u8,
        gateway: (flags & 2 != 0).then(|| address(addresses)),
        dns: [address(dns >> 32), address(dns), address(third)],
        mtu: (flags >> 16) as u16,
        // Each core has the manifest's.
        routes: &[],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_in_words() {
        let full = Ipv4Configuration {
            address: Ipv4Addr::new(10, 1, 2, 3),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 1, 2, 254)),
            dns: [1, 2, 3].map(|last| Ipv4Addr::new(9, 9, 9, last)),
            mtu: 1400,
            routes: &[],
        };
        let bare = Ipv4Configuration { gateway: None, mtu: 0, prefix: 32, ..full };
        for settings in [Some(full), Some(bare), None] {
            assert_eq!(decode(encode(settings.as_ref())), settings);
        }
    }
}
