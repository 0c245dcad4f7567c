//! What a host asks of others and what others do to it, with peers that nobody here wrote: address
//! servers, routers, name and time servers, virtual LANs, clients before a firewall, and
//! attackers' tools.
//!
//! The graph runs in this process, on a TAP device and in real time, as in the tests of `kernel`.
//! `cargo test -p waitless-tests --test peers -- WORD` runs those whose name contains the word.

mod addresses;
mod bogo;
mod crossing;
mod host;
mod hostile;
mod names;
mod neighbourhood;
mod raw;
mod scanners;
mod secure;
mod seen;
mod servers;
mod time;
mod vlan;
mod wall;
mod web;

use std::process::ExitCode;
use waitless_tests::lab::{self, Need, Test};

/// A server of addresses and names, with a capture.
const SERVER: &[Need] = &[
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// Others.
const KEA: &[Need] = &[
    Need::Tap,
    Need::Program("kea-dhcp4"),
    Need::Program("kea-dhcp6"),
    Need::Program("radvd"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
const ISC: &[Need] = &[
    Need::Tap,
    Need::Program("dhcpd"),
    Need::Program("radvd"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// A server of names, and one of the time.
const TIME: &[Need] = &[Need::Tap, Need::Program("dnsmasq"), Need::Program("chronyd")];
/// Clients, with a capture.
const CLIENTS: &[Need] = &[
    Need::Tap,
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// Servers of addresses and of pages, clients, with a capture.
const BOTH: &[Need] = &[
    Need::Tap,
    Need::Program("dnsmasq"),
    Need::Program("python3"),
    Need::Program("curl"),
    Need::Program("ping"),
    Need::Program("tshark"),
    Need::Program("dumpcap"),
];
/// Servers and clients with TLS, and a server of names.
const MUTUAL: &[Need] =
    &[Need::Tap, Need::Program("dnsmasq"), Need::Program("openssl"), Need::Program("curl")];
const SECURE: &[Need] = &[Need::Tap, Need::Program("dnsmasq"), Need::Program("openssl")];
const FLOOD: &[Need] = &[Need::Tap, Need::Program("hping3")];
const NEIGHBOURHOOD: &[Need] =
    &[Need::Tap, Need::Program("dnsmasq"), Need::Program("atk6-flood_router26")];
const SCAN: &[Need] = &[Need::Tap, Need::Program("nmap")];
/// Those who look at a server with TLS.
const SSLSCAN: &[Need] = &[Need::Tap, Need::Program("sslscan")];
const OPENSSL: &[Need] = &[Need::Tap, Need::Program("openssl")];
const GNUTLS: &[Need] = &[Need::Tap, Need::Program("gnutls-cli")];
const NSS: &[Need] = &[Need::Tap, Need::Program("tstclnt"), Need::Program("certutil")];
const H2LOAD: &[Need] = &[Need::Tap, Need::Program("h2load")];
const TESTSSL: &[Need] = &[Need::Tap, Need::Program("testssl")];
const GO: &[Need] = &[Need::Program("go")];
/// Web servers.
const NGINX: &[Need] = &[Need::Tap, Need::Program("nginx")];
const PYTHON: &[Need] = &[Need::Tap, Need::Program("python3")];
const TAP: &[Need] = &[Need::Tap];

fn main() -> ExitCode {
    lab::main(&[
        Test::new("addresses: a server gives both", SERVER, addresses::given),
        Test::new("addresses: a server informs", SERVER, addresses::informed),
        Test::new("addresses: a router names servers", SERVER, addresses::by_a_router),
        Test::new("addresses: Kea gives both", KEA, servers::kea),
        Test::new("addresses: ISC's server gives both", ISC, servers::isc),
        Test::new("addresses: radvd names servers", ISC, servers::radvd),
        Test::new("names: of every kind", SERVER, names::of_every_kind),
        Test::new("time: from a server", TIME, time::from_a_server),
        Test::new("time: a server that does not know it", TIME, time::unknown),
        Test::new("tls client: every suite and group", SECURE, secure::every_suite_and_group),
        Test::new("tls client: every kind of key", SECURE, secure::every_kind_of_key),
        Test::new("tls client: who is not believed", SECURE, secure::who_is_not_believed),
        Test::new("tls: who the client is", MUTUAL, secure::who_the_client_is),
        Test::new("tls client: who it is", SECURE, secure::who_our_client_is),
        Test::new("tls client: https", SECURE, secure::https),
        Test::new("tls: sslscan", SSLSCAN, scanners::sslscan),
        Test::new("tls: nmap", SCAN, scanners::nmap),
        Test::new("tls: early data", OPENSSL, scanners::early_data),
        Test::new("tls: GnuTLS", GNUTLS, scanners::gnutls),
        Test::new("tls: NSS", NSS, scanners::nss),
        Test::new("tls: h2load", H2LOAD, scanners::h2load),
        Test::new("tls: a capture with secrets", CLIENTS, seen::a_capture_with_secrets),
        Test::new("tls: an issuer's word", SECURE, secure::an_issuers_word),
        Test::new("router: IPv6 between two hosts", BOTH, crossing::between_two_hosts),
        Test::new("vlan: a network of its own", BOTH, vlan::network_of_its_own),
        Test::new("wall: what may pass", CLIENTS, wall::what_may_pass),
        Test::new("web: nginx", NGINX, web::nginx),
        Test::new("web: Python", PYTHON, web::python),
        Test::new("hostile: floods", FLOOD, |lab| hostile::floods(lab, 2)),
        Test::new("hostile: a scan", SCAN, hostile::scan),
        Test::new("hostile: frames", TAP, |lab| hostile::frames(lab, 20_000)),
        on_demand("bogo: every case", GO, bogo::all_cases),
        on_demand("long: testssl", TESTSSL, scanners::testssl),
        Test::new("hostile: neighbours", NEIGHBOURHOOD, |lab| {
            neighbourhood::attacked(lab, 300, false)
        }),
        on_demand("long: neighbours", NEIGHBOURHOOD, |lab| {
            neighbourhood::attacked(lab, 1_000, true)
        }),
        on_demand("long: floods", FLOOD, |lab| hostile::floods(lab, 20)),
        on_demand("long: frames", TAP, |lab| hostile::frames(lab, 1_000_000)),
    ])
}

/// One that runs when it is asked for: `make test-all` asks for those that take long.
fn on_demand(name: &str, needs: &'static [Need], run: fn(&lab::Lab)) -> Test {
    Test { on_demand: true, ..Test::new(name, needs, run) }
}
