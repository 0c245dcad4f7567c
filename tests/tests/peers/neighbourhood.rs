//! The tools of thc-ipv6 on the link of a host that serves over IPv6: floods of neighbour
//! discovery, routers that do not exist, headers that hurt others, and fuzzing.

use crate::addresses::address_where;
use crate::host::on;
use crate::hostile::{ask, expect_rest, sum};
use std::net::Ipv6Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use waitless::Inspect;
use waitless_tests::lab::{Connection, Dhcp, Lab, Running, Tap, tool};
use waitless_tests::world::{self, counter_of};

/// Where a packet that was taken from the link or put together goes, one of them each.
const INTERNET: &str = "delivered control short bad_version bad_length bad_source foreign \
                        bad_extensions empty unknown_protocol mailbox_full \
                        fragments bad_fragments long_fragments fragments_full";

/// What is run, where `-` is the tap, `=` the host and `*` the host's prefix.
const ATTACKS: [&str; 26] = [
    "flood_advertise6 - =",
    "flood_solicitate6 - =",
    "flood_router26 -",
    "flood_router26 -F -D -P -A -",
    "flood_rs6 -",
    "flood_mld6 -",
    "flood_mld26 -",
    "flood_mldrouter6 -",
    "flood_redir6 - =",
    "flood_unreach6 - =",
    "ndpexhaust26 -c - *",
    "sendpees6 - 1024 * =",
    "randicmp6 - =",
    "exploit6 - =",
    "fragmentation6 - =",
    "fuzz_ip6 -a -2 - =",
    "fuzz_ip6 -a -3 -x - =",
    "fuzz_ip6 -a -4 - =",
    "fuzz_ip6 -a -8 -R -H - =",
    "fuzz_ip6 -a -1 -F -S -D -H -I - =",
    "denial6 - = 1",
    "denial6 - = 2",
    "denial6 - = 3",
    "denial6 - = 5",
    "denial6 - = 6",
    "denial6 - = 7",
];

/// Tools that send as fast as they can.
const FLOODS: [&str; 3] = ["flood", "ndpexhaust", "sendpees"];
/// Those that leave fragments behind, which are kept for a minute (RFC 8200 section 4.5).
const FRAGMENTS: [&str; 4] = ["exploit6", "fragmentation6", "fuzz_ip6 -a -1 -F", "denial6 - = 6"];

/// Each attack for `millis`: a connection that was there before is served throughout (of floods:
/// behind each, as they leave others no room in the device's queue), another one afterwards, and
/// the counters say what became of every packet.
/// Unless `all`, those that take long are left out.
pub fn attacked(_: &Lab, millis: u64, all: bool) {
    let tap = Tap::new();
    tap.turn_on_ipv6();
    let range = format!("--dhcp-range={},ra-only,64,1h", tap.host_v6(0));
    let _router = Dhcp::on(&tap, &["--enable-ra", &range]);
    let mut host = on(&tap, None);
    let address = address_where(&mut host, &tap, |_| true);
    host.during(|| {
        let mut connection = Connection::to(address, 80);
        for attack in ATTACKS {
            let is_one_of = |names: &[&str]| names.iter().any(|name| attack.starts_with(name));
            let is_flood = is_one_of(&FLOODS);
            if !all && (is_flood || is_one_of(&FRAGMENTS)) {
                continue;
            }
            let mut program = start(attack, &tap, address);
            let (end, mut served) = (Instant::now() + Duration::from_millis(millis), 0);
            if is_flood {
                thread::sleep(Duration::from_millis(millis));
            }
            while Instant::now() < end {
                ask(&mut connection);
                served += 1;
            }
            println!("{attack}: {served} requests, {:?}", program.status());
            let said = program.output();
            assert!(!said.contains("Syntax") && !said.contains("Error"), "{attack}: {said}");
            drop(program);
            ask(&mut connection);
        }
        ask(&mut connection);
        ask(&mut Connection::to(address, 80));
    });
    let seen = ["bad_extensions", "control_bad", "fragments"];
    for counter in seen.into_iter().filter(|counter| all || *counter != "fragments") {
        assert!(counter_of(host.graph.ip6.counters(), counter) > 0, "{counter}");
    }
    expect_rest(&mut host);
    let (internet, all) = (host.graph.ip6.counters(), world::counters(&host.cx));
    assert!(sum(internet, "received") > 1_000, "{all}");
    assert_eq!(sum(internet, "received reassembled"), sum(internet, INTERNET), "{all}");
}

/// Starts a tool with its arguments; dropping it ends it.
#[track_caller]
fn start(attack: &str, tap: &Tap, address: Ipv6Addr) -> Running {
    let mut words = attack.split(' ');
    let name = format!("atk6-{}", words.next().unwrap_or_default());
    let mut command = Command::new(tool(&name).unwrap_or_else(|| panic!("{name} is there")));
    for word in words {
        match word {
            "-" => command.arg(&tap.name),
            "=" => command.arg(address.to_string()),
            "*" => command.arg(format!("{}/64", tap.host_v6(0))),
            _ => command.arg(word),
        };
    }
    Running::start(command)
}
