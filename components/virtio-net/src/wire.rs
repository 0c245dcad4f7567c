//! What a virtio network card agrees on and puts in front of a frame (virtio 1.2 section 5.1).

/// Feature bits (sections 5.1.3 and 6).
pub(crate) mod feature {
    /// The device completes checksums of what is sent.
    pub(crate) const CSUM: u128 = 1 << 0;
    /// The driver accepts received frames whose checksum is not complete.
    pub(crate) const GUEST_CSUM: u128 = 1 << 1;
    /// The device tells the MTU.
    pub(crate) const MTU: u128 = 1 << 3;
    /// The device tells its address.
    pub(crate) const MAC: u128 = 1 << 5;
    /// The device cuts TCP segments over IPv4.
    pub(crate) const HOST_TSO4: u128 = 1 << 11;
    /// The device cuts TCP segments that say that congestion was heard of.
    pub(crate) const HOST_ECN: u128 = 1 << 13;
    /// The device tells whether the link is up.
    pub(crate) const STATUS: u128 = 1 << 16;
    /// The device takes commands.
    pub(crate) const CTRL_VQ: u128 = 1 << 17;
    /// The device has several queue pairs.
    pub(crate) const MQ: u128 = 1 << 22;
    /// Each side tells from which entry on it wants to be notified.
    pub(crate) const EVENT_IDX: u128 = 1 << 29;
    /// The device obeys virtio 1.0 or later.
    pub(crate) const VERSION_1: u128 = 1 << 32;
    /// The device reaches memory as the platform says.
    pub(crate) const ACCESS_PLATFORM: u128 = 1 << 33;
    /// The device spreads flows over queue pairs as it is told to.
    pub(crate) const RSS: u128 = 1 << 60;
}

/// Offsets in the device's configuration (section 5.1.4).
pub(crate) mod config {
    /// Six bytes: the address.
    pub(crate) const MAC: usize = 0;
    /// 16 bits: the status.
    pub(crate) const STATUS: usize = 6;
    /// 16 bits: how many queue pairs there are.
    pub(crate) const PAIRS: usize = 8;
    /// 16 bits: the MTU.
    pub(crate) const MTU: usize = 10;
    /// Eight bits: the longest key of a hash.
    pub(crate) const KEY_LENGTH: usize = 17;
    /// 16 bits: the longest table of where flows go.
    pub(crate) const TABLE_LENGTH: usize = 18;
    /// 32 bits: what the device can hash.
    pub(crate) const HASH_TYPES: usize = 20;
}

/// Commands (section 5.1.6.5).
pub(crate) mod command {
    /// The class of commands about several queue pairs.
    pub(crate) const MQ: u8 = 4;
    /// So many pairs are used.
    pub(crate) const PAIRS_SET: u8 = 0;
    /// Pairs are used, and flows spread over them, like this.
    pub(crate) const RSS_CONFIG: u8 = 1;
    /// To hash TCP and UDP over IPv4 and IPv6, by addresses and ports.
    pub(crate) const HASHES: u32 = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 5;
    /// Bytes of the key.
    pub(crate) const KEY_LENGTH: usize = 40;
}

/// In the configuration's status: the link is up.
pub(crate) const LINK_UP: u16 = 1;

/// Header flag: the checksum must be completed, or, on a received frame, need not be checked.
pub(crate) const NEEDS_CSUM: u8 = 1;
/// Header flag of a received frame: the checksum was checked.
pub(crate) const DATA_VALID: u8 = 2;

/// Segmentation type: none.
pub(crate) const GSO_NONE: u8 = 0;
/// Segmentation type: TCP over IPv4.
pub(crate) const GSO_TCPV4: u8 = 1;
/// Added to the segmentation type: the TCP header has CWR set.
pub(crate) const GSO_ECN: u8 = 0x80;

/// Bytes of the header, without the fields of features that nobody here accepts.
pub(crate) const HEADER: usize = 12;

/// The header in front of every frame (section 5.1.6). The last field, how many buffers a
/// received frame takes, has no meaning without a feature that nobody here accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Header {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    /// Bytes of Ethernet, IP and TCP header.
    pub(crate) header_length: u16,
    /// Payload bytes of each segment.
    pub(crate) gso_size: u16,
    /// Where to sum from.
    pub(crate) checksum_start: u16,
    /// Where the sum goes, from there on.
    pub(crate) checksum_offset: u16,
}

impl Header {
    #[inline]
    pub(crate) fn parse(bytes: [u8; HEADER]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h, _, _] = bytes;
        Self {
            flags,
            gso_type,
            header_length: u16::from_le_bytes([a, b]),
            gso_size: u16::from_le_bytes([c, d]),
            checksum_start: u16::from_le_bytes([e, f]),
            checksum_offset: u16::from_le_bytes([g, h]),
        }
    }

    #[inline]
    pub(crate) fn bytes(self) -> [u8; HEADER] {
        let [a, b] = self.header_length.to_le_bytes();
        let [c, d] = self.gso_size.to_le_bytes();
        let [e, f] = self.checksum_start.to_le_bytes();
        let [g, h] = self.checksum_offset.to_le_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h, 0, 0]
    }
}
