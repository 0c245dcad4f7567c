//! Routes, and two layers for one transport: a host in two networks.

use super::*;

const AWAY: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 1);
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 9, 8, 7);
const LEASED: Config = Config { address: None, gateway: None, ..CONFIG };
const ROUTES: &[Ipv4Route] = &[(Ipv4Addr::new(10, 9, 0, 0), 16, ROUTER)];

#[test]
fn a_packet_takes_its_route_also_when_somebody_else_gave_the_address() {
    for config in [Config { routes: ROUTES, ..CONFIG }, Config { routes: ROUTES, ..LEASED }] {
        let mut bench = Bench::new(config);
        bench.ip.configure(Some(configuration(OURS)));
        bench.sweep();
        for (remote, hop) in [(BEHIND, ROUTER), (FAR, GATEWAY), (PEER, PEER)] {
            bench.send(Protocol::UDP, remote, b"datagram");
            bench.sweep();
            let (to, _) = bench.link.sent.pop_front().unwrap();
            assert_eq!(to, NextHop::Ipv4(hop), "{remote}");
        }
    }
}

#[test]
fn routes_that_make_no_sense_keep_it_from_starting() {
    const NOWHERE: &[Ipv4Route] = &[(BEHIND, 32, Ipv4Addr::LOCALHOST)];
    const MANY: &[Ipv4Route] = &[(BEHIND, 32, ROUTER); 65];
    for routes in [NOWHERE, MANY] {
        let mut cx = testing::context(8, 1);
        let mut ip = Ipv4::new(Box::leak(Box::new(Config { routes, ..CONFIG })), &mut cx);
        assert!(ip.init(&mut Bench::new(CONFIG).link, &mut cx).is_err());
    }
}

#[test]
fn a_host_in_two_networks_sends_where_the_route_leads() {
    let mut out = Bench::new(CONFIG);
    let mut inside = Bench::new(Config { address: Some((AWAY, 24)), gateway: None, ..CONFIG });
    let neighbour = Ipv4Addr::new(172, 16, 0, 9);
    for (remote, first) in [(neighbour, false), (PEER, true), (FAR, true), (ALL, true)] {
        let both = (&mut out.ip, &mut inside.ip);
        let source = if first { OURS } else { AWAY };
        assert_eq!(both.source_for(remote.into()), Some(source.into()), "{remote}");
    }
    let mut both = (&mut out.ip, &mut inside.ip);
    assert!(both.is_local(OURS.into()) && both.is_local(AWAY.into()));
    assert!(!both.is_local(PEER.into()));
    assert!(both.is_broadcast(Ipv4Addr::new(172, 16, 0, 255).into()));
    // Whose address it goes out from, there it goes, whatever the routes say.
    for (local, remote) in [(NONE, neighbour), (AWAY, neighbour), (OURS, FAR), (OURS, neighbour)] {
        let mut packet = out.cx.packet().unwrap();
        packet.append(b"datagram").unwrap();
        packet.info_mut().local = local.into();
        packet.info_mut().remote = remote.into();
        both.send(Protocol::UDP, packet).unwrap();
    }
    out.sweep();
    inside.sweep();
    let sent = |bench: &mut Bench| bench.link.sent.drain(..).map(|(to, _)| to).collect::<Vec<_>>();
    assert_eq!(sent(&mut out), [NextHop::Ipv4(GATEWAY); 2]);
    assert_eq!(sent(&mut inside), [NextHop::Ipv4(neighbour); 2]);
}

#[test]
fn what_is_for_everybody_goes_where_an_address_is_missing() {
    let mut settled = Bench::new(CONFIG);
    let mut seeking = Bench::new(LEASED);
    let both = (&mut settled.ip, &mut seeking.ip);
    assert_eq!(both.source_for(ALL.into()), Some(NONE.into()));
    seeking.ip.configure(Some(configuration(AWAY)));
    seeking.sweep();
    let both = (&mut settled.ip, &mut seeking.ip);
    assert_eq!(both.source_for(ALL.into()), Some(OURS.into()), "the first of two alike");
}
