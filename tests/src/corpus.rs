//! Frames and messages that are well-formed, for tests to send as they are or to spoil.
//!
//! `tests/corpus/<target>/` holds more of them as files: what fuzzing found worth keeping.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use waitless::checksum::checksum;

/// An Ethernet address.
pub type Station = [u8; 6];

/// Where the fuzz target `target` keeps what it starts from.
pub fn folder(target: &str) -> std::path::PathBuf {
    crate::tidy::checkout().join("tests/corpus").join(target)
}

/// The files of a target's corpus, by name; sorted, so that every run is the same.
#[track_caller]
pub fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("a corpus file"))
        })
        .collect();
    files.sort();
    files
}

/// Whole frames of every kind that the stack understands.
pub fn frames() -> Vec<Vec<u8>> {
    // What is done to the segments of a pair is no frame.
    let targets = crate::fuzz::TARGETS.into_iter().filter(|target| *target != "pair");
    targets.flat_map(files).map(|(_, bytes)| bytes).collect()
}

/// An Ethernet frame (IEEE 802.3 section 3), padded to its least length.
pub fn ethernet(to: Station, from: Station, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// An ARP packet (RFC 826) with the operation `operation`.
pub fn arp(operation: u16, from: (Station, Ipv4Addr), to: (Station, Ipv4Addr)) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(from.0);
    packet.extend(from.1.octets());
    packet.extend(to.0);
    packet.extend(to.1.octets());
    packet
}

/// A frame that asks everybody who has `to`.
pub fn arp_request(mac: Station, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    ethernet([0xff; 6], mac, 0x0806, &arp(1, (mac, from), ([0; 6], to)))
}

/// An IPv4 packet (RFC 791) without options.
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend(length.to_be_bytes());
    header.extend([0x12, 0x34, 0x40, 0, 64, protocol, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    [&header, payload].concat()
}

/// An IPv6 packet (RFC 8200): `next` is the number of what `payload` begins with.
pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend((payload.len() as u16).to_be_bytes());
    header.extend([next, hops]);
    header.extend(from.octets());
    header.extend(to.octets());
    [&header, payload].concat()
}

/// A UDP datagram (RFC 768) with its checksum.
pub fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut datagram = from.1.to_be_bytes().to_vec();
    datagram.extend(to.1.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    let sum = transport_checksum(from.0, to.0, 17, &datagram);
    datagram[6..8].copy_from_slice(&if sum == 0 { [0xff; 2] } else { sum.to_be_bytes() });
    datagram
}

/// A TCP segment (RFC 9293) with its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Where it is from.
    pub from: (Ipv4Addr, u16),
    /// Where it goes.
    pub to: (Ipv4Addr, u16),
    /// Its sequence number.
    pub sequence: u32,
    /// Its acknowledgement number.
    pub acknowledgement: u32,
    /// Its flags: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub flags: u8,
    /// Its window.
    pub window: u16,
    /// Its options, a multiple of four bytes.
    pub options: &'a [u8],
    /// Its bytes.
    pub payload: &'a [u8],
}

impl Segment<'_> {
    /// The segment as it goes into IPv4.
    pub fn bytes(&self) -> Vec<u8> {
        let mut segment = self.from.1.to_be_bytes().to_vec();
        segment.extend(self.to.1.to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgement.to_be_bytes());
        segment.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        segment.extend(self.window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(self.options);
        segment.extend(self.payload);
        let sum = transport_checksum(self.from.0, self.to.0, 6, &segment);
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        segment
    }
}

/// The checksum of `bytes` with the pseudo header in front (RFC 9293 section 3.1).
pub fn transport_checksum(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, bytes: &[u8]) -> u16 {
    let mut all = [&from.octets()[..], &to.octets(), &[0, protocol]].concat();
    all.extend((bytes.len() as u16).to_be_bytes());
    all.extend(bytes);
    checksum(&all)
}

/// Makes a frame of the corpus one for the station `mac` with `address`, checksums put right
/// again, as far as the frame is long enough to tell.
pub fn readdress(frame: &mut [u8], mac: Station, address: Ipv4Addr) {
    let Some((link, packet)) = frame.split_first_chunk_mut::<14>() else { return };
    if link[0] & 1 == 0 {
        link[..6].copy_from_slice(&mac);
    }
    let mut remote = address.octets();
    remote[3] = 200;
    match (link[12], link[13]) {
        (8, 0) if packet.len() >= 20 => {
            packet[12..16].copy_from_slice(&remote);
            if packet[16] != 255 {
                packet[16..20].copy_from_slice(&address.octets());
            }
            repair(packet);
        }
        (8, 6) if packet.len() >= 28 => {
            packet[14..18].copy_from_slice(&remote);
            packet[24..28].copy_from_slice(&address.octets());
        }
        _ => {}
    }
}

/// Puts the checksums of an IPv4 packet right, so that a change elsewhere in it gets further
/// than to the check.
pub fn repair(packet: &mut [u8]) {
    let header = usize::from(packet.first().map_or(0, |byte| byte & 15)) * 4;
    let Some(total) = packet.get(2..4).map(|it| usize::from(u16::from_be_bytes([it[0], it[1]])))
    else {
        return;
    };
    if header < 20 || packet.len() < header {
        return;
    }
    packet[10..12].fill(0);
    let sum = checksum(&packet[..header]).to_be_bytes();
    packet[10..12].copy_from_slice(&sum);
    let octets =
        |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (from, to, protocol) = (octets(12), octets(16), packet[9]);
    let end = total.clamp(header, packet.len());
    let body = &mut packet[header..end];
    let at = match protocol {
        1 => 2,
        6 => 16,
        17 => 6,
        _ => return,
    };
    let Some(field) = body.get_mut(at..at + 2) else { return };
    field.fill(0);
    let sum =
        if protocol == 1 { checksum(body) } else { transport_checksum(from, to, protocol, body) };
    body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// The same for an IPv6 packet, behind its extension headers.
pub fn repair_ipv6(packet: &mut [u8]) {
    const HEADERS_MAX: usize = 16;
    if packet.len() < 40 {
        return;
    }
    let addresses = packet[8..40].to_vec();
    let (mut next, mut start) = (packet[6], 40);
    for _ in 0..HEADERS_MAX {
        let length = match (next, packet.get(start..start + 2)) {
            (0 | 43 | 60, Some(header)) => 8 + 8 * usize::from(header[1]),
            (44, Some(_)) => 8,
            _ => break,
        };
        next = packet[start];
        start += length;
    }
    let at = match next {
        6 => 16,
        17 => 6,
        58 => 2,
        _ => return,
    };
    // Behind the packet there may be padding.
    let total = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let end = total.min(packet.len());
    let Some(body) = packet.get_mut(start..end) else { return };
    let Some(field) = body.get_mut(at..at + 2) else { return };
    field.fill(0);
    let length = (body.len() as u16).to_be_bytes();
    let sum = checksum(&[&addresses, &[0, next][..], &length, body].concat());
    body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// [`repair`]s the packet of a frame, where it carries IPv4.
pub fn repair_frame(frame: &mut [u8]) {
    if frame.get(12..14) == Some(&[0x86, 0xdd]) {
        repair_ipv6(&mut frame[14..]);
    }
    if frame.get(12..14) == Some(&[8, 0]) {
        repair(&mut frame[14..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spoilt_ipv6_packet_is_repaired() {
        // RFC 8200 section 8.1, summed by hand: a datagram of 8 bytes behind two headers.
        let one = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1);
        let headers = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
        let datagram = |sum: u16| {
            let [high, low] = sum.to_be_bytes();
            let bytes = [&headers[..], &[0, 1, 0, 2, 0, 8, high, low]].concat();
            ipv6(one, one, 0, 64, &bytes)
        };
        let mut spoilt = datagram(0x1234);
        repair_ipv6(&mut spoilt);
        assert_eq!(spoilt, datagram(!(1 + 1 + 8 + 17 + 1 + 2 + 8)));
    }

    #[test]
    fn a_spoilt_packet_is_repaired() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let right = ipv4(a, b, 17, &udp((a, 1), (b, 2), b"hello"));
        let mut spoilt = right.clone();
        spoilt[11] ^= 1;
        spoilt[26] ^= 1;
        repair(&mut spoilt);
        assert_eq!(spoilt, right);
    }

    #[test]
    fn a_frame_goes_to_another_station() {
        let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let packet = ipv4(a, b, 17, &udp((a, 1), (b, 2), b"hello"));
        let mut frame = ethernet([2; 6], [4; 6], 0x0800, &packet);
        let address = Ipv4Addr::new(192, 0, 2, 9);
        readdress(&mut frame, [6; 6], address);
        let remote = Ipv4Addr::new(192, 0, 2, 200);
        let packet = ipv4(remote, address, 17, &udp((remote, 1), (address, 2), b"hello"));
        assert_eq!(frame, ethernet([6; 6], [4; 6], 0x0800, &packet));
    }
}
