use super::*;

const SETTINGS: Ipv4Configuration = Ipv4Configuration {
    address: Ipv4Addr::new(10, 0, 0, 1),
    prefix: 24,
    gateway: Some(Ipv4Addr::new(10, 0, 0, 254)),
    dns: [Ipv4Addr::UNSPECIFIED; 3],
    mtu: 0,
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
