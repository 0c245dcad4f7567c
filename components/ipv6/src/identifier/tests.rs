use super::*;

const LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
const NET: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);

fn maker(kind: Identifiers, secret: Option<&str>, seed: u8) -> Maker {
    let mut maker = Maker::new(kind, secret, [seed; 16]);
    maker.set_mac(Mac([0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde]));
    maker
}

#[test]
fn the_example_of_rfc_4291() {
    let address = maker(Identifiers::Eui64, None, 1).address(LINK, 0);
    assert_eq!(address, "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap());
}

#[test]
fn stable_ones_depend_on_all_that_they_are_made_of_and_on_nothing_else() {
    let secret = Some("an open secret of a test");
    let here = maker(Identifiers::Stable, secret, 1);
    let address = here.address(NET, 0);
    assert_eq!(address.to_bits() >> 64, NET.to_bits() >> 64);
    assert_eq!(address, maker(Identifiers::Stable, secret, 2).address(NET, 0), "a new start");
    let low = |address: Ipv6Addr| address.to_bits() as u64;
    assert_ne!(low(address), low(here.address(LINK, 0)), "another network");
    assert_ne!(address, here.address(NET, 1), "another attempt");
    let other = maker(Identifiers::Stable, Some("another secret of a test"), 1);
    assert_ne!(address, other.address(NET, 0), "another secret");
    let mut other = maker(Identifiers::Stable, secret, 1);
    other.set_mac(Mac([2, 0, 0, 0, 0, 9]));
    assert_ne!(address, other.address(NET, 0), "another card");
    let (one, two) = (maker(Identifiers::Stable, None, 1), maker(Identifiers::Stable, None, 2));
    assert_ne!(one.address(NET, 0), two.address(NET, 0), "secrets that were drawn");
}

#[test]
fn reserved_ones_are_known() {
    for reserved in [0, 0x0200_5eff_fe00_5213, 0xfdff_ffff_ffff_ff80, 0xfdff_ffff_ffff_ffff] {
        assert!(is_reserved(reserved), "{reserved:x}");
    }
    for free in [1, 0x0200_5eff_ff00_0000, 0xfdff_ffff_ffff_ff7f, 0xfe00_0000_0000_0000] {
        assert!(!is_reserved(free), "{free:x}");
    }
}
