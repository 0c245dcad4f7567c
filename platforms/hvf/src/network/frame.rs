//! Frames to the guest that carry datagrams.

use super::GATEWAY_MAC;
use super::wire::FRAME_MAX;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};
use std::net::SocketAddrV4;

/// Bytes of the headers in front of a datagram's payload.
const HEADERS: usize = 14 + 20 + 8;

/// The longest payload of a datagram to the guest.
pub const PAYLOAD_MAX: usize = FRAME_MAX - HEADERS;

/// The frame with a datagram of at most [`PAYLOAD_MAX`] bytes for the guest whose Ethernet address
/// is `mac`.
pub fn datagram(
    mac: EthernetAddress,
    from: SocketAddrV4,
    to: SocketAddrV4,
    payload: &[u8],
) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: from.port(), dst_port: to.port() };
    let ip = Ipv4Repr {
        src_addr: *from.ip(),
        dst_addr: *to.ip(),
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: 64,
    };
    let link =
        EthernetRepr { src_addr: GATEWAY_MAC, dst_addr: mac, ethertype: EthernetProtocol::Ipv4 };
    let mut bytes = vec![0; HEADERS + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    link.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let (source, target) = ((*from.ip()).into(), (*to.ip()).into());
    let fill = |room: &mut [u8]| room.copy_from_slice(payload);
    udp.emit(&mut datagram, &source, &target, payload.len(), fill, &checksums);
    bytes
}
