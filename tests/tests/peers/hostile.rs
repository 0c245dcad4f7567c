//! Attackers' tools against a host that serves: it stays up, goes on serving who is connected, and
//! its counters explain what became of every frame.

use crate::host::on;
use crate::raw::Raw;
use std::net::Ipv4Addr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use waitless::http::Handler;
use waitless::{CounterSet, Inspect, NicPort};
use waitless_tests::corpus;
use waitless_tests::graphs::peers::Graph;
use waitless_tests::lab::{Connection, Lab, Running, Tap, run, tool};
use waitless_tests::live::{Host, Live, PATIENCE};
use waitless_tests::mutate::Mutator;
use waitless_tests::world::{self, counter_of};

/// Where an Ethernet frame that was taken from the card goes, one of them each.
const LINK: &str = "delivered runts foreign bad_source unknown_type length_frames \
                    arp_malformed arp_own arp_conflicts arp_requests arp_heard";
/// The same of a packet that was taken from the link.
const INTERNET: &str = "delivered short bad_version bad_header_length bad_length bad_checksum \
                        bad_source foreign bad_options unknown_protocol mailbox_full \
                        fragments bad_fragments long_fragments fragments_full";

fn attacked() -> (Tap, Ipv4Addr, Host<Graph<impl Handler>>) {
    let tap = Tap::new();
    let address = tap.host(2);
    let mut host = on(&tap, Some(address));
    // Until the address is known to be nobody else's.
    host.run_for(Duration::from_millis(500));
    (tap, address, host)
}

/// hping3's floods from sources that do not exist, up to 20,000 packets a second, of each kind for
/// `seconds`: a connection that was there before is served throughout, and others are afterwards.
pub fn floods(_: &Lab, seconds: u64) {
    let kinds: [&[&str]; 5] = [
        &["-S", "-p", "80"],
        &["-A", "-p", "80"],
        &["-F", "-S", "-R", "-p", "++1"],
        &["--udp", "-p", "++1", "-d", "200"],
        &["--icmp", "-d", "1000"],
    ];
    let (_tap, address, mut host) = attacked();
    host.during(|| {
        let mut connection = Connection::to(address, 80);
        for kind in kinds {
            let mut flood = Command::new(tool("hping3").expect("hping3 is there"));
            flood.args(kind).args(["-i", "u50", "--rand-source", "-q", &address.to_string()]);
            let mut flood = Running::start(flood);
            let (end, mut served) = (Instant::now() + Duration::from_secs(seconds), 0);
            while Instant::now() < end {
                ask(&mut connection);
                served += 1;
            }
            assert!(flood.status().is_none(), "the flood has ended: {}", flood.output());
            println!("{kind:?}: {served} requests in {seconds} s");
        }
        ask(&mut connection);
        ask(&mut Connection::to(address, 80));
    });
    assert!(host.counter("tcp", "cookies_sent") > 0, "there were too many to remember");
    assert!(host.counter("udp", "unbound") > 0 && host.counter("icmp", "echoes") > 0);
    explained(&mut host);
}

/// nmap finds the ports that are open and guesses what this is; nothing breaks of it.
pub fn scan(_: &Lab) {
    let (_tap, address, mut host) = attacked();
    let said = host.during(|| {
        let mut connection = Connection::to(address, 80);
        let to = address.to_string();
        let most = ["--max-retries", "2", "--host-timeout", "60s", "--privileged", "-n", "-Pn"];
        let said = nmap(&most, &["-sS", "-O", "-p", "80,81,444", &to]);
        // Segments with no flags, odd flags, and none but the last; all protocols of IP.
        for kind in ["-sN", "-sX", "-sF"] {
            nmap(&most, &[kind, "-p", "80-90", &to]);
        }
        nmap(&most, &["-sO", "-p", "1,2,6,17,41,58,132", &to]);
        ask(&mut connection);
        ask(&mut Connection::to(address, 80));
        said
    });
    println!("{said}");
    assert!(said.contains("80/tcp  open"), "{said}");
    assert!(said.contains("81/tcp  closed") && said.contains("444/tcp closed"), "{said}");
    explained(&mut host);
}

#[track_caller]
fn nmap(most: &[&str], what: &[&str]) -> String {
    run("nmap", &[most, what].concat())
}

/// Frames of the corpora of the link, the internet and transports, changed by chance.
pub fn frames(_: &Lab, count: u32) {
    let (tap, address, mut host) = attacked();
    let station = host.graph.nic.mac().0;
    let raw = Raw::on(&tap);
    let sent = host.during(|| {
        thread::scope(|scope| {
            let thrown = scope.spawn(|| throw(&raw, station, address, count));
            let mut connection = Connection::to(address, 80);
            while !thrown.is_finished() {
                ask(&mut connection);
                thread::sleep(Duration::from_millis(20));
            }
            ask(&mut connection);
            ask(&mut Connection::to(address, 80));
            thrown.join().expect("frames can be sent")
        })
    });
    println!("{sent} of {count} frames were sent, {} arrived", host.counter("eth", "received"));
    assert!(sent > count / 2, "the device takes too few: {sent}");
    let odd = ["foreign", "bad_source", "unknown_type", "arp_malformed"];
    for counter in odd {
        assert!(host.counter("eth", counter) > 0, "{counter}");
    }
    for counter in ["bad_checksum", "bad_length", "bad_version", "foreign"] {
        assert!(counter_of(host.graph.ip4.counters(), counter) > 0, "{counter}");
    }
    assert!(host.counter("tcp", "dropped_checksum") > 0 && host.counter("udp", "bad_checksum") > 0);
    explained(&mut host);
}

/// Sends frames, as many at a time as the device keeps; how many it took.
fn throw(raw: &Raw, station: [u8; 6], address: Ipv4Addr, count: u32) -> u32 {
    let (mut mutator, seeds) = (Mutator::new(11), corpus::frames());
    let mut sent = 0;
    for number in 0..count {
        let mut frame = mutator.pick(&seeds).clone();
        corpus::readdress(&mut frame, station, address);
        mutator.mutate(&mut frame, 1514);
        if mutator.below(2) == 0 {
            corpus::repair_frame(&mut frame);
        }
        sent += u32::from(raw.send(&frame));
        if number % 64 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    sent
}

/// One request.
#[track_caller]
pub fn ask(connection: &mut Connection) {
    connection.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(connection.answer().map(|it| it.body), Some(b"hello".to_vec()));
}

/// That all buffers come back.
#[track_caller]
pub fn expect_rest(host: &mut Host<Graph<impl Handler>>) {
    let end = Instant::now() + PATIENCE;
    while host.cx.pool().available() < host.cx.pool().count() && Instant::now() < end {
        host.turn();
    }
    let out = host.cx.pool().count() - host.cx.pool().available();
    assert_eq!(out, 0, "buffers out\n{}", world::counters(&host.cx));
}

/// The sum of several counters.
#[track_caller]
pub fn sum(set: &dyn CounterSet, names: &str) -> u64 {
    names.split_whitespace().map(|name| counter_of(set, name)).sum()
}

/// What came is what was counted, reason by reason, and all buffers come back.
#[track_caller]
fn explained(host: &mut Host<Graph<impl Handler>>) {
    expect_rest(host);
    let (link, internet) = (host.graph.eth.counters(), host.graph.ip4.counters());
    assert!(sum(internet, "received") > 0);
    assert_eq!(sum(link, "received"), sum(link, LINK));
    assert_eq!(sum(internet, "received reassembled"), sum(internet, INTERNET));
}
