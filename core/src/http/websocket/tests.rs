//! Frames against the RFC's own examples and rules; `http1` tests whole conversations.

use super::frame::*;
use super::*;

fn header(bytes: &[u8]) -> Result<Option<Header>, CloseCode> {
    Partial::default().take(bytes).map(|(_, header)| header)
}

#[test]
fn headers_are_read_in_their_three_lengths_and_byte_by_byte() {
    for (bytes, opcode, last, length) in [
        (&[0x81, 0x85, 1, 2, 3, 4][..], Opcode::Text, true, 5),
        (&[0x02, 0x80, 1, 2, 3, 4], Opcode::Binary, false, 0),
        (&[0x80, 0xfe, 0, 126, 1, 2, 3, 4], Opcode::Continuation, true, 126),
        (&[0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4], Opcode::Binary, true, 65_535),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], Opcode::Binary, true, 65_536),
        (&[0x89, 0xfd, 1, 2, 3, 4], Opcode::Ping, true, 125),
    ] {
        let expected = Header { opcode, last, length, mask: [1, 2, 3, 4] };
        assert_eq!(header(bytes), Ok(Some(expected)));
        let mut partial = Partial::default();
        for (at, byte) in bytes.iter().enumerate() {
            let (used, header) = partial.take(&[*byte]).unwrap();
            assert_eq!((used, header.is_some()), (1, at + 1 == bytes.len()));
        }
    }
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_first_byte_that_shows_it() {
    for (rule, bytes) in [
        ("reserved bits", &[0xc1, 0x80][..]),
        ("reserved bits", &[0xa1, 0x80]),
        ("reserved bits", &[0x91, 0x80]),
        ("unknown data", &[0x83, 0x80]),
        ("unknown control", &[0x8b, 0x80]),
        ("not masked", &[0x81, 0x05]),
        ("a long control frame", &[0x89, 0xfe]),
        ("a control frame in pieces", &[0x09, 0x80]),
        ("not the shortest length", &[0x81, 0xfe, 0, 125, 1, 2, 3, 4]),
        ("not the shortest length", &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]),
        ("64 bits", &[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
    ] {
        assert_eq!(header(bytes), Err(CloseCode::PROTOCOL_ERROR), "{rule}");
    }
}

#[test]
fn masks_come_off_at_every_offset() {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    // Section 5.7: a masked "Hello".
    let mut hello = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
    unmask(&mut hello, mask, 0);
    assert_eq!(&hello, b"Hello");
    for length in 0..40 {
        for offset in 0..9 {
            let mut bytes = [7; 40];
            unmask(&mut bytes[..length], mask, offset);
            for (at, byte) in bytes[..length].iter().enumerate() {
                assert_eq!(byte ^ 7, mask[(at + offset as usize) % 4]);
            }
        }
    }
}

#[test]
fn our_heads_are_read_back() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let (mut bytes, count) = head(Opcode::Text, length);
        bytes[1] |= 0x80;
        let masked = [&bytes[..count], &[0; 4]].concat();
        let header = header(&masked).unwrap().unwrap();
        assert_eq!(
            (header.length, header.opcode, header.last),
            (length as u64, Opcode::Text, true)
        );
    }
}

#[test]
fn text_is_looked_at_piece_by_piece() {
    let text = "\u{ba}\u{3b5}\u{1f600}a\u{10ffff}\u{7ff}".as_bytes();
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let mut utf8 = Utf8::default();
            for piece in [&text[..first], &text[first..second], &text[second..]] {
                assert!(utf8.push(piece));
            }
            assert!(utf8.is_complete());
        }
    }
    let bad: [&[u8]; 7] = [
        b"\x80",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"a\xce\xce",
        b"\xf8",
    ];
    for bad in bad {
        for place in 0..=bad.len() {
            let mut utf8 = Utf8::default();
            assert!(!(utf8.push(&bad[..place]) && utf8.push(&bad[place..])), "{bad:?} {place}");
        }
    }
    let mut utf8 = Utf8::default();
    assert!(utf8.push(b"\xe2\x82") && !utf8.is_complete());
}

#[test]
fn only_some_codes_may_be_sent() {
    let good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    assert!(good.into_iter().all(|number| CloseCode::new(number).is_some()));
    let bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    assert!(bad.into_iter().all(|number| CloseCode::new(number).is_none()));
    assert_eq!(close_code(b""), Ok(None));
    assert_eq!(close_code(b"\x03\xe8bye"), Ok(Some(CloseCode::NORMAL)));
    assert_eq!(close_code(b"\x03"), Err(CloseCode::PROTOCOL_ERROR));
    assert_eq!(close_code(b"\x03\xed"), Err(CloseCode::PROTOCOL_ERROR));
    assert_eq!(close_code(b"\x03\xe8\xff"), Err(CloseCode::INVALID_DATA));
}
