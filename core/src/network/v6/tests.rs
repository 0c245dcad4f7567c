use super::*;
use std::string::String;
use std::vec::Vec as List;

extern crate std;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A host with these addresses, of /64 each and not deprecated unless they end in `!`.
fn host(addresses: &[&str], router: bool) -> Ipv6Network {
    let address = |text: &&str| Ipv6Address {
        address: ip(text.trim_end_matches('!')),
        prefix: 64,
        deprecated: text.ends_with('!'),
    };
    Ipv6Network {
        addresses: addresses.iter().map(address).collect(),
        prefixes: Vec::new(),
        router,
        mtu: 1500,
        ..Ipv6Network::default()
    }
}

#[test]
fn the_examples_of_rfc_6724_section_10_1() {
    // Those of one interface without home and temporary addresses.
    let cases: [(&str, &[&str], &str); 9] = [
        ("2001:db8:1::1", &["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("ff05::1", &["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
        ("2001:db8:1::1", &["2001:db8:1::1!", "2001:db8:2::1"], "2001:db8:1::1"),
        ("fe80::1", &["fe80::2!", "2001:db8:1::1"], "fe80::2"),
        ("2001:db8:1::1", &["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"),
        ("2002:c633:6401::1", &["2002:c633:6401::d5e3", "2001:db8:1::2"], "2002:c633:6401::d5e3"),
        ("2001:db8:1::d5e3", &["2001:db8:1::2!", "2001:db8:2::2"], "2001:db8:2::2"),
        ("fd00:1::9", &["2001:db8:1::2", "fd00:2::2"], "fd00:2::2"),
        ("ff02::1", &["2001:db8:1::2", "fe80::2"], "fe80::2"),
    ];
    for (remote, addresses, expected) in cases {
        let reversed: List<_> = addresses.iter().rev().copied().collect();
        for order in [addresses, &reversed] {
            let source = host(order, true).source_for(ip(remote));
            assert_eq!(source, Some(ip(expected)), "to {remote} from {order:?}");
        }
    }
}

#[test]
fn without_a_router_only_the_link_is_reached() {
    let mut host = host(&["fe80::2", "2001:db8:1::2"], false);
    assert_eq!(host.source_for(ip("2001:db8:9::9")), None);
    assert_eq!(host.source_for(ip("fe80::9")), Some(ip("fe80::2")));
    // An address does not put its prefix on the link (RFC 5942 section 4).
    assert_eq!(host.source_for(ip("2001:db8:1::9")), None);
    host.prefixes.push((ip("2001:db8:1::"), 64)).unwrap();
    assert_eq!(host.source_for(ip("2001:db8:1::9")), Some(ip("2001:db8:1::2")));
    assert_eq!(host.source_for(ip("2001:db8:1::2")), Some(ip("2001:db8:1::2")));
    host.router = true;
    assert_eq!(host.source_for(ip("2001:db8:9::9")), Some(ip("2001:db8:1::2")));
    for nowhere in ["::", "::ffff:10.0.0.1"] {
        assert_eq!(host.source_for(ip(nowhere)), None, "{nowhere}");
    }
}

#[test]
fn every_host_reaches_itself_without_an_address() {
    let host = host(&[], false);
    assert_eq!(host.source_for(Ipv6Addr::LOCALHOST), Some(Ipv6Addr::LOCALHOST));
    assert!(!host.is_local(Ipv6Addr::LOCALHOST), "nobody on the link may use it");
}

#[test]
fn a_link_local_address_does_not_pretend_to_reach_further() {
    let mut host = host(&["fe80::2"], true);
    assert_eq!(host.source_for(ip("2001:db8::1")), None);
    host.prefixes.push((ip("2001:db8::"), 64)).unwrap();
    assert_eq!(host.source_for(ip("2001:db8::1")), Some(ip("fe80::2")));
}

#[test]
fn addresses_are_what_their_bits_say() {
    let scopes = [("fe80::1", 2), ("ff02::1", 2), ("ff05::2", 5), ("::1", 2), ("2001:db8::", 14)];
    for (address, expected) in scopes {
        assert_eq!(scope(ip(address)), expected, "{address}");
    }
    for other in ["::", "::1", "::10.0.0.1", "::ffff:10.0.0.1", "ff02::1", "ff0e::1"] {
        assert!(!is_host(ip(other)), "{other}");
    }
    for fine in ["fe80::1", "2001:db8::1", "fd00::1", "64:ff9b::1", "::1:0:0:1"] {
        assert!(is_host(ip(fine)), "{fine}");
    }
    assert_eq!(solicited_node(ip("4037::1:800:200e:8c6c")), ip("ff02::1:ff0e:8c6c"));
    let station = multicast_mac(ip("ff02::1:ff0e:8c6c"));
    assert_eq!(std::format!("{station}"), String::from("33:33:ff:0e:8c:6c"));
    assert!(has_prefix(ip("2001:db8::1"), ip("2001:db8::"), 32));
    assert!(!has_prefix(ip("2001:db9::1"), ip("2001:db8::"), 32));
    assert!(has_prefix(ip("::"), ip("ffff::"), 0) && !has_prefix(ip("::"), ip("::1"), 128));
}
