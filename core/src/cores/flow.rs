//! Which core a flow belongs to: the same for both directions, and as a network card computes it.
//!
//! Cards spread flows by the Toeplitz hash of addresses and ports. With a key that repeats itself
//! every 16 bits the hash is the same for both directions, and it is a function of the exclusive
//! or of all 16-bit words: so software gets the card's result from two table look-ups.

use core::net::IpAddr;

/// The 16 bits that the key repeats, as for `RSS_CONFIG` and its like.
pub const KEY: u16 = 0x6d5a;

/// How many kinds of flows are told apart: entries of a card's indirection table.
pub const FLOWS: usize = 128;

/// The number of the flow between two ends, below [`FLOWS`], whichever end is named first.
pub fn flow(one: IpAddr, one_port: u16, other: IpAddr, other_port: u16) -> u8 {
    number(words(one) ^ words(other) ^ one_port ^ other_port)
}

/// The number of the flow whose 16-bit words come to `folded`.
#[inline]
pub(super) fn number(folded: u16) -> u8 {
    let [high, low] = folded.to_be_bytes();
    TABLES.0[usize::from(high)] ^ TABLES.1[usize::from(low)]
}

/// The exclusive or of all 16-bit words of whole `bytes`.
#[inline]
pub(super) fn fold(bytes: &[u8]) -> u16 {
    let pairs = bytes.chunks_exact(2);
    pairs.fold(0, |folded, pair| folded ^ u16::from_be_bytes([pair[0], pair[1]]))
}

fn words(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(address) => fold(&address.octets()),
        IpAddr::V6(address) => fold(&address.octets()),
    }
}

/// The low bits of the hash of each byte, as the upper and as the lower half of a word.
static TABLES: ([u8; 256], [u8; 256]) = (table(0), table(8));

const fn table(first: u32) -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte >> (7 - bit) & 1 != 0 {
                // The window of the key that starts at this bit.
                table[byte] ^= (KEY.rotate_left(first + bit) as usize % FLOWS) as u8;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
}
