//! Names from dnsmasq, and connections to this machine by them.

use crate::host::{LISTENER, listen, on, reach};
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use waitless::http::Handler;
use waitless::{IpPort, UdpPort};
use waitless_tests::graphs::peers::Graph;
use waitless_tests::lab::{Capture, Dhcp, Folder, Lab, Tap, run};
use waitless_tests::live::{Host, Live};

/// The first of the addresses of a name with many, all of them this machine's.
const MANY: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 0);

pub fn of_every_kind(_: &Lab) {
    let tap = Tap::new();
    tap.turn_on_ipv6();
    run("ip", &["route", "add", "local", &format!("{MANY}/24"), "dev", "lo"]);
    let mut capture = Capture::on(&tap);
    let folder = Folder::new("names");
    let _server = name_server(&tap, &folder);
    listen();
    let mut host = on(&tap, None);
    host.until("addresses and servers", |host| {
        let named = host.graph.udp.name_servers()?.servers.iter().any(|it| it.is_ipv4());
        let own = &host.graph.ip6.network()?.addresses;
        (named && own.iter().any(|it| it.address.segments()[0] == 0xfd77)).then_some(())
    });
    let (v4, v6) = (tap.address.to_string(), tap.host_v6(1).to_string());
    let heard = |address: &str| format!("{address} heard who am I?");
    expect(&mut host, "both.test", &heard(&v6));
    expect(&mut host, "four.test", &heard(&v4));
    expect(&mut host, "six.test", &heard(&v6));
    expect(&mut host, "alias.test", &heard(&v6));
    expect(&mut host, &v4, &heard(&v4));
    expect(&mut host, &format!("[{v6}]"), &heard(&v6));
    // The domain to search is the router's to say.
    expect(&mut host, "single", &heard(&v4));
    // Nobody has its address of IPv6: that costs a moment.
    let start = Instant::now();
    expect(&mut host, "half.test", &heard(&v4));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // A hundred addresses do not fit into a datagram.
    let said = reach(&mut host, &format!("many.test:{LISTENER}"));
    assert!(said.starts_with("10.79.0.") && said.ends_with(" heard who am I?"), "{said}");
    expect(&mut host, "none.test", "there is no such name");
    assert_eq!(reach(&mut host, "four.test:9"), "it refuses");
    // The host itself, by the name and the address that are every host's own.
    assert_eq!(reach(&mut host, "localhost:81"), "it refuses");
    let said = reach(&mut host, "127.0.0.1:80");
    assert!(said.starts_with("HTTP/1.1 400"), "its own web server: {said}");
    host.until("the ends of connections", |host| (host.counter("dial", "open") == 0).then_some(()));
    drop(host);
    run("ip", &["route", "delete", "local", &format!("{MANY}/24"), "dev", "lo"]);
    assert!(!capture.frames("dns && tcp").is_empty(), "asked over TCP");
    let ours = format!("!(eth.src == {})", tap.station());
    for wrong in ["_ws.malformed", "udp.checksum.status == 0", "tcp.checksum.status == 0"] {
        let frames = capture.frames(&format!("{ours} && {wrong}"));
        assert!(frames.is_empty(), "{wrong}:\n{}", frames.join("\n"));
    }
}

#[track_caller]
fn expect(host: &mut Host<Graph<impl Handler>>, name: &str, wanted: &str) {
    assert_eq!(reach(host, &format!("{name}:{LISTENER}")), wanted);
}

/// dnsmasq as a name server, and as the address server and the router that name it.
#[track_caller]
pub fn name_server(tap: &Tap, folder: &Folder) -> Dhcp {
    let mut hosts = String::new();
    for number in 1..=100 {
        let [a, b, c, _] = MANY.octets();
        let _ = writeln!(hosts, "{} many.test", Ipv4Addr::new(a, b, c, number));
    }
    let file = folder.path().join("hosts");
    fs::write(&file, hosts).expect("a file of hosts");
    let (v4, v6) = (tap.address, tap.host_v6(1));
    let mut more = vec![
        "--local=/test/".to_owned(),
        format!("--addn-hosts={}", file.display()),
        "--enable-ra".to_owned(),
        format!("--dhcp-range={},ra-stateless,64,1h", tap.host_v6(0)),
        format!("--dhcp-option=option6:dns-server,[{v6}]"),
        "--dhcp-option=option6:domain-search,lan.test".to_owned(),
        "--cname=alias.test,both.test".to_owned(),
    ];
    let records = [
        format!("both.test,{v4},{v6}"),
        format!("four.test,{v4}"),
        format!("six.test,{v6}"),
        format!("single.lan.test,{v4}"),
        format!("half.test,{v4},{}", tap.host_v6(0xdead)),
        format!("time.test,{v4}"),
    ];
    more.extend(records.iter().map(|record| format!("--host-record={record}")));
    Dhcp::and_names_on(tap, &more.iter().map(String::as_str).collect::<Vec<_>>())
}
