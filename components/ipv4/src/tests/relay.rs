//! A relay on the layer answers as the layer does.

use super::*;
use waitless::relay::{IpRelay, RelayOver};

/// Everything that is worth asking about, on the link, behind the gateway, and nowhere.
const ADDRESSES: [[u8; 4]; 16] = [
    [0, 0, 0, 0],
    [10, 0, 0, 0],
    [10, 0, 0, 1],
    [10, 0, 0, 2],
    [10, 0, 0, 3],
    [10, 0, 0, 255],
    [10, 0, 0, 254],
    [10, 255, 255, 255],
    [10, 0, 1, 1],
    [192, 0, 2, 7],
    [127, 0, 0, 1],
    [224, 0, 0, 1],
    [239, 1, 2, 3],
    [240, 0, 0, 1],
    [255, 255, 255, 255],
    [1, 2, 3, 4],
];

/// What a port says of `address`.
fn answers(port: &impl IpPort, address: IpAddr) -> (Option<IpAddr>, bool, bool, u16) {
    let (source, mtu) = (port.source_for(address), port.mtu(address));
    (source, port.is_local(address), port.is_broadcast(address), mtu)
}

#[track_caller]
fn agree(bench: &mut Bench, relay: &mut IpRelay, what: &str) {
    relay.refresh(&mut bench.ip, &mut bench.cx);
    let ip = &bench.ip;
    let six = IpAddr::V6(core::net::Ipv6Addr::LOCALHOST);
    for address in ADDRESSES.map(IpAddr::from).into_iter().chain([six]) {
        assert_eq!(answers(relay, address), answers(ip, address), "{what}, {address}");
    }
    assert_eq!(relay.configuration(), ip.configuration(), "{what}");
    assert_eq!(relay.claim_state(), ip.claim_state(), "{what}");
    assert_eq!(relay.generation(), ip.generation(), "{what}");
    assert_eq!(relay.wants_address(), ip.wants_address(), "{what}");
    assert_eq!((relay.mac(), relay.link_up()), (ip.mac(), ip.link_up()), "{what}");
}

#[test]
fn whatever_the_configuration() {
    for mtu in [None, Some(900)] {
        let mut bench = Bench::new(Config { address: None, gateway: None, mtu, ..CONFIG });
        let mut relay = IpRelay::default();
        agree(&mut bench, &mut relay, "without an address");
        for prefix in [0, 8, 24, 30, 31, 32] {
            for gateway in [None, Some(GATEWAY), Some(FAR)] {
                for mtu in [0, 68, 1400] {
                    let what = format!("/{prefix}, {gateway:?}, {mtu}");
                    let settings =
                        Ipv4Configuration { prefix, gateway, mtu, ..configuration(OURS) };
                    bench.ip.configure(Some(settings));
                    agree(&mut bench, &mut relay, &what);
                    bench.sweep();
                    agree(&mut bench, &mut relay, &what);
                }
            }
        }
        bench.link.state = ClaimState::Conflict(Mac([2; 6]));
        bench.sweep();
        agree(&mut bench, &mut relay, "with a conflict");
        bench.link.state = ClaimState::Owned;
        bench.sweep();
        agree(&mut bench, &mut relay, "without one again");
        bench.ip.configure(None);
        agree(&mut bench, &mut relay, "given up");
        bench.sweep();
        agree(&mut bench, &mut relay, "given up for a while");
    }
}

#[test]
fn what_is_asked_of_it_becomes_so_below() {
    let mut bench = Bench::new(Config { address: None, gateway: None, ..CONFIG });
    let mut relay = IpRelay::default();
    relay.refresh(&mut bench.ip, &mut bench.cx);
    let settings = configuration(OURS);
    relay.configure(Some(settings));
    agree(&mut bench, &mut relay, "configured through the relay");
    bench.sweep();
    agree(&mut bench, &mut relay, "in use");
    assert!(relay.is_local(OURS.into()));
    relay.configure(None);
    assert!(!relay.is_local(OURS.into()), "not even before the layer knows");
    agree(&mut bench, &mut relay, "given up through the relay");
}

/// The layer keeps packets for one sweep until it knows who asks; a relay asks in time.
#[test]
fn what_arrives_in_the_first_sweep_is_not_rejected() {
    let mut cx = testing::context(16, 1);
    let (arriving, sent) = (VecDeque::new(), VecDeque::new());
    let mut link = Link {
        arriving,
        sent,
        room: 9,
        claimed: None,
        claims: 0,
        state: ClaimState::None,
        leads: true,
        turns_back: false,
    };
    let mut ip = Ipv4::new(&CONFIG, &mut cx);
    let mut relay = IpRelay::default();
    ip.init(&mut link, &mut cx).unwrap();
    relay.refresh(&mut ip, &mut cx);
    let mut packet = cx.packet().unwrap();
    packet.append(&Arriving::new(b"payload!").seal()).unwrap();
    link.arriving.push_back(packet);
    for sweep in 0..3 {
        ip.receive(&mut link, &mut cx);
        relay.refresh(&mut ip, &mut cx);
        while let Some((to, packet)) = relay.pull(&mut ip) {
            waitless::relay::Relay::deliver(&mut relay, to, packet).unwrap();
        }
        if let Some(packet) = IpPort::recv(&mut relay, Protocol::UDP) {
            assert_eq!((packet.bytes(), sweep), (&b"payload!"[..], 1));
            return;
        }
        relay.refresh(&mut ip, &mut cx);
        ip.transmit(&mut link, &mut cx);
    }
    panic!("it was lost");
}
