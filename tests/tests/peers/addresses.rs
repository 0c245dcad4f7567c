//! Addresses and name servers from dnsmasq: by DHCP, DHCPv6 and router advertisements.

use crate::host::on;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use waitless::http::Handler;
use waitless::{IpPort, UdpPort};
use waitless_tests::graphs::peers::Graph;
use waitless_tests::lab::{Capture, Dhcp, Lab, Tap, ping};
use waitless_tests::live::{Host, Live};

/// A tap with IPv6, and a server on it that gives names of servers and a domain. `range` says which
/// addresses of IPv6, and how it gives them.
#[track_caller]
fn served(range: impl Fn(&Tap) -> String) -> (Tap, Capture, Dhcp) {
    let tap = Tap::new();
    tap.turn_on_ipv6();
    let capture = Capture::on(&tap);
    let names = format!("--dhcp-option=option6:dns-server,[{}]", tap.host_v6(53));
    let names4 = format!("--dhcp-option=option:dns-server,{}", tap.host(53));
    let domain = "--dhcp-option=option6:domain-search,lan.test";
    let server = Dhcp::on(&tap, &["--enable-ra", &range(&tap), &names, &names4, domain]);
    (tap, capture, server)
}

/// An address of each version of IP, which others can then reach.
pub fn given(_: &Lab) {
    let (tap, mut capture, server) =
        served(|tap| format!("--dhcp-range={},{},64,1h", tap.host_v6(0x100), tap.host_v6(0x1ff)));
    let mut host = on(&tap, None);
    let (address, leased) = expect_both(&mut host, &tap);
    let log = server.log();
    for said in [format!("DHCPACK({}) {leased} ", tap.name), format!("({}) {address} ", tap.name)] {
        assert!(log.contains(&said), "{said}:\n{log}");
    }
    assert_eq!(host.counter("dhcp6", "malformed"), 0);
    drop(host);
    expect_nothing_wrong(&mut capture, &tap, "dhcpv6 || dhcp");
}

/// No address, but whom to ask for names, beside addresses that are made of what the router says.
pub fn informed(_: &Lab) {
    let (tap, mut capture, server) =
        served(|tap| format!("--dhcp-range={},ra-stateless,64,1h", tap.host_v6(0)));
    let mut host = on(&tap, None);
    let address = address_where(&mut host, &tap, |_| true);
    host.until("the server's answer", |host| (host.counter("dhcp6", "replies") > 0).then_some(()));
    expect_name_servers(&mut host, &[tap.host(53).into(), tap.host_v6(53).into()]);
    host.during(|| ping(address, 3, 1400));
    let log = server.log();
    assert!(log.contains("DHCPINFORMATION-REQUEST"), "{log}");
    assert!(!log.contains("DHCPSOLICIT"), "{log}");
    drop(host);
    expect_nothing_wrong(&mut capture, &tap, "dhcpv6");
}

/// A router that has no address server beside it names servers itself (RFC 8106).
pub fn by_a_router(_: &Lab) {
    let (tap, mut capture, _server) =
        served(|tap| format!("--dhcp-range={},ra-only,64,1h", tap.host_v6(0)));
    let mut host = on(&tap, None);
    let address = address_where(&mut host, &tap, |_| true);
    expect_name_servers(&mut host, &[tap.host(53).into(), tap.host_v6(53).into()]);
    host.during(|| ping(address, 3, 1400));
    assert_eq!(host.counter("dhcp6", "sent"), 0, "nobody said that there is a server");
    drop(host);
    assert!(capture.frames("dhcpv6").is_empty());
    expect_nothing_wrong(&mut capture, &tap, "icmpv6");
}

/// An address of each version of IP out of a server's, which others can then reach, and its
/// servers of names.
#[track_caller]
pub fn expect_both(host: &mut Host<Graph<impl Handler>>, tap: &Tap) -> (Ipv6Addr, Ipv4Addr) {
    let managed = |address: &Ipv6Addr| (0x100..=0x1ff).contains(&address.segments()[7]);
    let address = address_where(host, tap, managed);
    let leased = host
        .until("an address of IPv4", |host| host.graph.ip4.configuration().map(|it| it.address));
    assert!((50..60).any(|number| tap.host(number) == leased), "{leased}");
    host.during(|| {
        ping(address, 3, 1400);
        ping(leased, 3, 1400);
    });
    expect_name_servers(host, &[tap.host(53).into(), tap.host_v6(53).into()]);
    (address, leased)
}

/// The host's own address in the tap's network, once there is one.
#[track_caller]
pub fn address_where(
    host: &mut Host<Graph<impl Handler>>,
    tap: &Tap,
    wanted: impl Fn(&Ipv6Addr) -> bool,
) -> Ipv6Addr {
    let network = tap.host_v6(0).segments();
    host.until("an address of IPv6", |host| {
        let addresses = &host.graph.ip6.network()?.addresses;
        let own = addresses.iter().map(|it| it.address);
        own.filter(|it| it.segments()[..4] == network[..4]).find(&wanted)
    })
}

/// That the host knows these servers, and the domain.
#[track_caller]
pub fn expect_name_servers(host: &mut Host<Graph<impl Handler>>, wanted: &[IpAddr]) {
    host.until("name servers", |host| {
        let known = host.graph.udp.name_servers()?;
        let all = wanted.iter().all(|server| known.servers.contains(server));
        (all && known.domains().any(|domain| domain == "lan.test")).then_some(())
    });
}

/// That the host sent something of `kind`, and that tshark finds nothing wrong in all that it sent.
#[track_caller]
pub fn expect_nothing_wrong(capture: &mut Capture, tap: &Tap, kind: &str) {
    let ours = format!("!(eth.src == {})", tap.station());
    let seen = capture.frames(&format!("{ours} && ({kind})"));
    assert!(!seen.is_empty(), "the capture has nothing of {kind}");
    let sums = "udp.checksum.status == 0 || ip.checksum.status == 0 || icmpv6.checksum.status == 0";
    for wrong in ["_ws.malformed", sums] {
        let frames = capture.frames(&format!("{ours} && ({wrong})"));
        assert!(frames.is_empty(), "{wrong}:\n{}", frames.join("\n"));
    }
}
