//! What travels with a packet beside its bytes.

use crate::ports::Mac;
use core::net::{IpAddr, Ipv4Addr};

/// What travels with a packet beside its bytes. Each layer knows its own part.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The other host: where a received packet is from, and where one to send goes.
    pub remote: IpAddr,
    /// This host's address: where a received packet was sent to. On a packet to send,
    /// unspecified means that the IP layer chooses.
    pub local: IpAddr,
    /// The other host's port.
    pub remote_port: u16,
    /// This host's port.
    pub local_port: u16,
    /// The neighbour on the link that a received packet came from.
    pub mac: Mac,
    /// What is known of, or left to do for, the transport's checksum.
    pub checksum: ChecksumState,
    /// Payload bytes of each segment that the device must cut this packet into; 0 when it must
    /// not be cut. Only for a device whose [`Offloads::segmentation`](crate::Offloads) says so.
    pub segment: u16,
    /// The hop limit (TTL): as received, or to send with; 0 means the IP layer's default.
    pub hops: u8,
    /// The traffic class (DSCP and ECN): as received, or to send with.
    pub class: u8,
    /// Whether a received packet was sent to a broadcast or multicast address of the link or IP.
    pub broadcast: bool,
    /// Whether a packet that seems to be received is from this host itself: address translation
    /// turned it back, so that its source is an address of ours.
    pub looped: bool,
    /// Bytes of the IP header of a received packet, options included. Stripped, it still stands
    /// in front of the packet's bytes.
    pub ip_header: u16,
}

/// What is known of a packet's transport checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ChecksumState {
    /// Nothing: a receiver must check it; on a packet to send, it is complete in the bytes.
    #[default]
    Unknown,
    /// The device checked it, or the packet never left this machine.
    Verified,
    /// The device must sum from `start`, a position in the buffer, to the end of the packet, and
    /// write the result `offset` bytes after `start`, where the pseudo header's sum stands. A
    /// packet may also be received so: it never left this machine, and has no sum yet.
    Partial {
        /// Position in the buffer, unmoved by headers that are prepended later.
        start: u16,
        /// Bytes from `start` to the checksum field.
        offset: u16,
    },
}

impl Default for Info {
    fn default() -> Self {
        Self {
            remote: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            remote_port: 0,
            local_port: 0,
            mac: Mac([0; 6]),
            checksum: ChecksumState::Unknown,
            segment: 0,
            hops: 0,
            class: 0,
            broadcast: false,
            looped: false,
            ip_header: 0,
        }
    }
}
