//! A relay on the layer answers as the layer does.

use super::*;
use waitless::relay::{IpRelay, RelayOver};

fn answers(port: &impl IpPort, address: Ipv6Addr) -> (Option<IpAddr>, bool, bool, u16, bool) {
    let address = IpAddr::V6(address);
    let (source, mtu) = (port.source_for(address), port.mtu(address));
    (source, port.is_local(address), port.is_broadcast(address), mtu, port.carries(address))
}

#[test]
fn whatever_is_known_of_the_network() {
    let mut bench = Bench::start(CONFIG);
    let mut relay = IpRelay::default();
    let addresses = [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        OURS,
        PEER,
        FAR,
        LOCAL,
        GATEWAY,
        ALL_NODES,
        solicited_node(OURS),
    ];
    for second in [0, 1, 2, 10] {
        bench.run_to(second);
        relay.refresh(&mut bench.ip, &mut bench.cx);
        for address in addresses {
            let (upper, lower) = (answers(&relay, address), answers(&bench.ip, address));
            assert_eq!(upper, lower, "{address} after {second} s");
        }
        assert_eq!(relay.generation(), bench.ip.generation());
        assert_eq!(relay.claim_state(), bench.ip.claim_state());
        assert_eq!(relay.network(), bench.ip.network());
    }
    let four = IpAddr::from([10, 0, 0, 1]);
    assert!(!relay.carries(four) && !relay.is_local(four) && relay.source_for(four).is_none());
}
