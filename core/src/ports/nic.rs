use crate::Packet;
use core::fmt;

/// A network card's queue pair, or what stands in for one: Ethernet frames without their frame
/// check sequence.
pub trait NicPort {
    /// The card's address.
    fn mac(&self) -> Mac;

    /// The longest payload of a frame, in bytes, its 14-byte header not counted: 1500 as a rule.
    fn mtu(&self) -> u16;

    /// What the card does itself.
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    /// Whether frames can be sent and received.
    fn link_up(&self) -> bool {
        true
    }

    /// Whether this core speaks for the host on the link: answers ARP and claims addresses. On the
    /// others, that share the card's address, it follows the one that does.
    fn leads(&self) -> bool {
        true
    }

    /// The next frame that has arrived.
    fn recv(&mut self) -> Option<Packet>;

    /// Queues a frame. `Err` when there is no room now.
    fn send(&mut self, frame: Packet) -> Result<(), Packet>;

    /// How many frames of one packet each [`send`](Self::send) would take now. A chain takes
    /// the room of as many frames as it has packets.
    fn room(&self) -> usize;
}

/// What a network card does itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offloads {
    /// It completes transport checksums
    /// ([`ChecksumState::Partial`](crate::packet::ChecksumState)) on sending.
    pub checksum: bool,
    /// The most payload bytes of a packet that it cuts into TCP segments over IPv4 itself (a
    /// chain, [`Info::segment`](crate::packet::Info::segment) set); 0 when it does not.
    pub segmentation: u32,
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names a group of stations, all of them included (IEEE 802.3 section 3.2.3).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
