use super::*;

#[test]
fn the_example_of_rfc_1071() {
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Checksum::new().add(&bytes).folded(), 0xddf2);
    assert_eq!(checksum(&bytes), 0x220d);
}

#[test]
fn every_length_agrees_with_the_definition() {
    let bytes: [u8; 260] = core::array::from_fn(|i| (i * 37 + 11) as u8);
    for length in 0..bytes.len() {
        let mut sum = 0u32;
        for pair in bytes[..length].chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(checksum(&bytes[..length]), !(sum as u16), "length {length}");
    }
}

#[test]
fn carries_go_around_at_every_width() {
    for length in [2, 4, 6, 8, 16, 22, 32, 48, 64, 128, 250] {
        for before in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63] {
            let sum = Checksum(before).add(&[0xff; 256][..length]).folded();
            let alone = Checksum(before).folded();
            assert_eq!(sum, if alone == 0 { 0xffff } else { alone }, "{length}, {before:#x}");
        }
    }
    let most = Checksum(u64::MAX).add(&[0xff; 8]).word(1);
    assert_eq!(most.folded(), 1);
    assert_eq!(Checksum(0xffff_0000_ffff_0001).folded(), u16::from_be(1));
}

#[test]
fn an_adjusted_sum_is_the_sum_of_what_was_changed() {
    // The example of RFC 1624 section 4, which its earlier equation got wrong.
    assert_eq!(adjusted(0xdd2f, 0x5555, 0x3285), 0);
    let mut bytes: [u8; 40] = core::array::from_fn(|i| (i * 91 + 3) as u8);
    for (step, new) in [0u16, 1, 0xffff, 0x8000, 0x1234, 0xfffe].into_iter().enumerate() {
        let (sum, at) = (checksum(&bytes), step * 6);
        let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        [bytes[at], bytes[at + 1]] = new.to_be_bytes();
        assert_eq!(adjusted(sum, old, new), checksum(&bytes), "{new:#x}");
    }
}

#[test]
fn a_header_with_its_checksum_is_valid() {
    let mut header = [0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 2, 9, 10, 0, 2, 15];
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    assert!(Checksum::new().add(&header).is_valid());
    header[3] ^= 1;
    assert!(!Checksum::new().add(&header).is_valid());
}
