use super::*;

const SETTINGS: Ipv4Configuration = Ipv4Configuration {
    address: Ipv4Addr::new(10, 0, 0, 1),
    prefix: 24,
    gateway: Some(Ipv4Addr::new(10, 0, 0, 254)),
    dns: [Ipv4Addr::UNSPECIFIED; 3],
    mtu: 0,
    routes: &[],
};

#[test]
fn without_an_address_there_is_only_everybody() {
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    assert_eq!(source_for(None, Ipv4Addr::BROADCAST.into()), Some(unspecified));
    assert_eq!(source_for(None, SETTINGS.address.into()), None);
    assert!(is_broadcast(None, Ipv4Addr::BROADCAST.into()));
    assert!(!is_broadcast(None, Ipv4Addr::new(10, 0, 0, 255).into()));
    assert!(!is_local(None, SETTINGS.address.into()));
}

#[test]
fn every_destination_has_its_hop_or_none() {
    let at = |a, b, c, d| Ipv4Addr::new(a, b, c, d);
    let gateway = Some(NextHop::Ipv4(at(10, 0, 0, 254)));
    let group = Some(NextHop::Mac(Mac([1, 0, 0x5e, 0x01, 2, 3])));
    for (remote, expected) in [
        (at(10, 0, 0, 9), Some(NextHop::Ipv4(at(10, 0, 0, 9)))),
        (at(10, 0, 0, 255), Some(NextHop::Broadcast)),
        (at(255, 255, 255, 255), Some(NextHop::Broadcast)),
        (at(192, 0, 2, 7), gateway),
        (at(224, 129, 2, 3), group),
        (at(240, 0, 0, 1), None),
        (at(0, 0, 0, 0), None),
    ] {
        assert_eq!(next_hop(Some(&SETTINGS), remote), expected, "{remote}");
        let source = source_for(Some(&SETTINGS), remote.into());
        assert_eq!(source, expected.map(|_| SETTINGS.address.into()), "{remote}");
    }
    // It never leaves the host, and is reached also without an address of its own.
    let inside = at(127, 0, 0, 9);
    for settings in [None, Some(&SETTINGS)] {
        assert_eq!(next_hop(settings, inside), None);
        assert_eq!(source_for(settings, inside.into()), Some(Ipv4Addr::LOCALHOST.into()));
        assert!(is_local(settings, inside.into()));
    }
    let alone = Ipv4Configuration { prefix: 32, gateway: None, ..SETTINGS };
    assert_eq!(next_hop(Some(&alone), at(10, 0, 0, 9)), None);
    assert!(!is_network_broadcast(&alone, alone.address), "it would be its own");
    let everywhere = Ipv4Configuration { prefix: 0, ..alone };
    assert_eq!(next_hop(Some(&everywhere), at(8, 8, 8, 8)), Some(NextHop::Ipv4(at(8, 8, 8, 8))));
}

#[test]
fn the_most_specific_route_counts() {
    const fn at(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
        Ipv4Addr::new(a, b, c, d)
    }
    const ROUTES: &[crate::Ipv4Route] = &[
        (at(10, 0, 0, 128), 25, at(10, 0, 0, 2)),
        (at(10, 0, 0, 0), 24, at(10, 0, 0, 3)),
        (at(10, 1, 0, 0), 16, at(10, 0, 0, 4)),
        (at(10, 1, 2, 0), 24, at(10, 9, 9, 9)),
        (at(10, 1, 2, 0), 24, at(10, 0, 0, 5)),
        (at(0, 0, 0, 0), 0, at(10, 0, 0, 6)),
    ];
    let settings = Ipv4Configuration { routes: ROUTES, ..SETTINGS };
    for (remote, bits, via) in [
        (at(10, 0, 0, 9), 24, at(10, 0, 0, 9)), // on the link, which comes before a route
        (at(10, 0, 0, 200), 25, at(10, 0, 0, 2)), // a part of the link's network elsewhere
        (at(10, 1, 9, 9), 16, at(10, 0, 0, 4)),
        (at(10, 1, 2, 9), 24, at(10, 9, 9, 9)), // the first of two
        (at(10, 9, 9, 9), 32, at(10, 9, 9, 9)), // a router is on the link
        (at(8, 8, 8, 8), 0, at(10, 0, 0, 254)), // the gateway comes before such a route
    ] {
        assert_eq!(route(&settings, remote), Some((bits, via)), "{remote}");
        assert_eq!(route_bits(Some(&settings), remote.into()), Some(bits), "{remote}");
        assert_eq!(next_hop(Some(&settings), remote), Some(NextHop::Ipv4(via)), "{remote}");
    }
    let alone = Ipv4Configuration { gateway: None, routes: &[], ..settings };
    assert_eq!(route_bits(Some(&alone), at(8, 8, 8, 8).into()), None);
    assert_eq!(route_bits(Some(&alone), alone.address.into()), Some(32));
    // What is for everybody goes best where there is no address yet.
    let all = Ipv4Addr::BROADCAST.into();
    assert!(route_bits(None, all) > route_bits(Some(&alone), all));
    assert_eq!(route_bits(None, at(8, 8, 8, 8).into()), None);
    assert_eq!(route_bits(Some(&alone), IpAddr::V6(core::net::Ipv6Addr::LOCALHOST)), None);
}
