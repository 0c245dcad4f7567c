//! Values of DER (X.690), one after the other, in what was found to be good DER before.

/// Their tags.
pub mod tag {
    pub const INTEGER: u8 = 0x02;
    pub const BITS: u8 = 0x03;
    pub const OCTETS: u8 = 0x04;
    pub const OID: u8 = 0x06;
    pub const UTF8: u8 = 0x0c;
    pub const PRINTABLE: u8 = 0x13;
    pub const IA5: u8 = 0x16;
    pub const UTC_TIME: u8 = 0x17;
    pub const GENERALIZED_TIME: u8 = 0x18;
    pub const SEQUENCE: u8 = 0x30;
    pub const SET: u8 = 0x31;
    pub const VERSION: u8 = 0xa0;
    pub const EXTENSIONS: u8 = 0xa3;
    pub const ADDRESS: u8 = 0x87;
}

/// The next value in `rest`: its tag, and what it holds.
pub fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, behind) = rest.split_first()?;
    let (first, mut behind) = behind.split_first()?;
    let mut length = usize::from(*first);
    // Of no length that is said, there is none in DER.
    if length == 0x80 {
        return None;
    }
    if length > 0x80 {
        let count = length - 0x80;
        let (bytes, after) = behind.split_at_checked(count).filter(|_| count <= 3)?;
        length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        behind = after;
    }
    let (content, after) = behind.split_at_checked(length)?;
    *rest = after;
    // Tags of several bytes do not stand where this looks.
    (tag & 0x1f != 0x1f).then_some((*tag, content))
}

/// What the next value in `rest` holds, when its tag is `expected`.
pub fn expect<'a>(rest: &mut &'a [u8], expected: u8) -> Option<&'a [u8]> {
    next(rest).filter(|(tag, _)| *tag == expected).map(|(_, content)| content)
}
