//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), written in little-endian order.

use alloc::vec::Vec;

/// What a record's bytes start with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkType {
    /// An Ethernet frame without its check sequence.
    Ethernet = 1,
    /// An IPv4 or IPv6 packet.
    Raw = 101,
}

/// Which way a packet passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Up.
    Inbound = 1,
    /// Down.
    Outbound = 2,
}

/// Bytes in front of a record's data.
pub const FRONT: usize = 28;
/// Bytes behind a record's data and its padding: the direction, the end of options, the length.
pub const BACK: usize = 16;

/// What a file starts with: a section header (section 4.1 of the draft) and the description of
/// its one interface (section 4.2).
pub fn head(link: LinkType, snaplen: u32) -> Vec<u8> {
    let mut head = Vec::new();
    let mut put = |bytes: &[u8]| head.extend_from_slice(bytes);
    put(&SECTION_HEADER.to_le_bytes());
    put(&44u32.to_le_bytes());
    put(&BYTE_ORDER.to_le_bytes());
    put(&[1, 0, 0, 0]); // version 1.0
    put(&u64::MAX.to_le_bytes()); // the section's length is not known
    put(&[4, 0, 8, 0]); // option: the application
    put(b"Waitless");
    put(&[0; 4]);
    put(&44u32.to_le_bytes());

    put(&INTERFACE.to_le_bytes());
    put(&32u32.to_le_bytes());
    put(&(link as u32).to_le_bytes());
    put(&snaplen.to_le_bytes());
    put(&[9, 0, 1, 0]); // option: the unit of time
    put(&[9, 0, 0, 0]); // 10^-9 seconds
    put(&[0; 4]);
    put(&32u32.to_le_bytes());
    head
}

/// What goes in front of `kept` bytes of a packet that had `length`, and behind them and their
/// [`padding`]: an enhanced packet block (section 4.3). `time` is in nanoseconds since 1970.
pub fn record(
    kept: usize,
    length: usize,
    direction: Direction,
    time: u64,
) -> ([u8; FRONT], [u8; BACK]) {
    let total = (FRONT + kept + padding(kept).len() + BACK) as u32;
    let words = [PACKET, total, 0, (time >> 32) as u32, time as u32, kept as u32, length as u32];
    let mut front = [0; FRONT];
    for (room, word) in front.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *room = word.to_le_bytes();
    }
    let mut back = [0; BACK];
    let words = [2 | 4 << 16, direction as u32, 0, total];
    for (room, word) in back.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *room = word.to_le_bytes();
    }
    (front, back)
}

/// Bytes in front of secrets.
pub const SECRETS_FRONT: usize = 16;

/// What goes in front of `length` bytes of a TLS key log, and behind them and their
/// [`padding`]: a decryption secrets block (section 4.7).
pub fn secrets(length: usize) -> ([u8; SECRETS_FRONT], [u8; 4]) {
    let total = (SECRETS_FRONT + length + padding(length).len() + 4) as u32;
    let mut front = [0; SECRETS_FRONT];
    let words = [SECRETS, total, TLS_KEY_LOG, length as u32];
    for (room, word) in front.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *room = word.to_le_bytes();
    }
    (front, total.to_le_bytes())
}

/// What fills `kept` bytes up to a multiple of four.
pub fn padding(kept: usize) -> &'static [u8] {
    &[0; 3][..kept.next_multiple_of(4) - kept]
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const SECRETS: u32 = 10;
/// "TLSK", the kind of secrets.
const TLS_KEY_LOG: u32 = 0x544c_534b;
