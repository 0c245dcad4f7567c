//! Bytes from one stack to the other, over wires good and bad.

use crate::ends::{Ours, Progress, Theirs, exchange};
use crate::link::{FAMILIES, Family, Link, OPENERS, Opener, Referee};
use std::io::{Read, Write};
use std::time::Duration;
use waitless::{Phase, StreamPort};
use waitless_tests::lab::{Lab, run};
use waitless_tests::live::Live;

const BULK: usize = 3_000_000;

/// In each direction alone and in both at once, whoever opened the connection.
pub fn bulk(_: &Lab) {
    let mut link = Link::clean();
    let referee = Referee::on(&link);
    for family in FAMILIES {
        for opener in OPENERS {
            for (up, down) in [(BULK, 0), (0, BULK), (BULK / 4, BULK / 4)] {
                let ends = link.open(opener, family);
                exchange(&mut link, ends, up, down);
            }
        }
    }
    assert_eq!(link.count("retransmitted"), 0, "nothing was lost");
    referee.judge(5_000, &["tcp.flags.reset == 1", "tcp.analysis.zero_window"]);
}

/// A question and an answer each, ended by whoever did not open it.
pub fn short_connections(_: &Lab) {
    let mut link = Link::clean();
    let referee = Referee::on(&link);
    const EACH: usize = 500;
    for family in FAMILIES {
        for opener in OPENERS {
            for _ in 0..EACH {
                short(&mut link, opener, family);
            }
        }
    }
    let opened = (2 * EACH) as u64;
    assert_eq!((link.count("accepted"), link.count("connected")), (opened, opened));
    assert_eq!((link.count("open"), link.count("retransmitted")), (0, 0));
    // Who ends first remembers; but the kernel takes some ports again, and is let in (RFC 6191).
    let remembered = link.count("time_waits");
    assert!((opened - 50..=opened).contains(&remembered), "{remembered} of {opened}");
    referee.judge(6 * EACH, &["tcp.flags.reset == 1"]);
}

fn short(link: &mut Link, opener: Opener, family: Family) {
    let (stream, mut socket) = link.open(opener, family);
    socket.write_all(b"what?").expect("room for a few bytes");
    link.until("the question", |link| {
        let tcp = link.tcp();
        (tcp.readable(stream) == b"what?").then(|| tcp.consume(stream, 5))
    });
    link.tcp().writable(stream)[..5].copy_from_slice(b"that.");
    link.tcp().commit(stream, 5);
    let mut answer = [0; 8];
    if opener == Opener::Kernel {
        link.tcp().close(stream);
    }
    let count = link.until("the answer", |_| socket.read(&mut answer).ok());
    assert_eq!(&answer[..count], b"that.");
    if opener == Opener::Kernel {
        let end = link.until("the end", |_| socket.read(&mut answer).ok());
        assert_eq!(end, 0);
    }
    drop(socket);
    if opener == Opener::Graph {
        link.until("the end", |link| link.tcp().status(stream).finished.then_some(()));
        link.tcp().close(stream);
    }
    link.expect_phase(stream, Phase::Closed);
    link.tcp().release(stream);
}

/// Everything arrives, although much is lost, doubled and overtaken.
pub fn bad_wires(_: &Lab) {
    let moment = waitless::Duration::from_millis(2);
    let clean = netem::Config { delay: moment, ..netem::Config::CLEAN };
    let wires = [
        netem::Config { loss: 20, ..clean },
        netem::Config { reorder: 50, reorder_by: moment, ..clean },
        netem::Config { duplicate: 50, ..clean },
        netem::Config { loss: 10, duplicate: 20, reorder: 20, corrupt: 5, ..clean },
    ];
    for (seed, wire) in (1..).zip(wires) {
        let mut link = Link::new(netem::Config { seed, ..wire }, 1500);
        for family in FAMILIES {
            for opener in OPENERS {
                let ends = link.open(opener, family);
                exchange(&mut link, ends, 300_000, 300_000);
            }
        }
        assert_eq!(link.count("timed_out"), 0);
    }
}

/// A link that takes little, and a peer that wants less.
pub fn tiny_segments(_: &Lab) {
    let mut link = Link::new(netem::Config::CLEAN, 576);
    let referee = Referee::on(&link);
    for opener in OPENERS {
        let ends = link.open(opener, Family::V4);
        exchange(&mut link, ends, 300_000, 300_000);
    }
    let network = format!("{}/24", link.tap.host(0));
    let source = link.tap.address.to_string();
    let route = ["dev", &link.tap.name, "src", &source, "advmss", "256"];
    run("ip", &[&["route", "replace", &network], &route[..]].concat());
    for opener in OPENERS {
        let ends = link.open(opener, Family::V4);
        let segment = link.tcp().status(ends.0).segment;
        assert!((200..=256).contains(&segment), "the kernel asked for 256 bytes: {segment}");
        exchange(&mut link, ends, 100_000, 100_000);
    }
    referee.judge(1_000, &["ip.len > 576", "ip.flags.mf == 1", "tcp.flags.reset == 1"]);
}

/// Who does not read is waited for, and then everything goes on.
pub fn closed_windows(_: &Lab) {
    const MUCH: usize = 4_000_000;
    let still = Duration::from_millis(1500);
    for (family, opener) in FAMILIES.into_iter().zip(OPENERS) {
        let mut link = Link::clean();
        let (stream, socket) = link.open(opener, family);
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 8192).expect("a setting");
        let mut ours = Ours { stream, progress: Progress::new(MUCH) };
        let mut theirs = Theirs { socket, progress: Progress::new(MUCH) };
        link.until("the kernel's window to close", |link| {
            ours.write(link);
            theirs.write();
            (link.count("probes") >= 2).then_some(())
        });
        link.run_for(still);
        assert!(!ours.progress.is_sent() && !theirs.progress.is_sent(), "nobody reads");
        let waiting = link.tcp().status(stream).readable;
        link.run_for(still);
        assert_eq!(link.tcp().status(stream).readable, waiting, "the graph's window is closed");
        link.until("everything", |link| {
            ours.read(link);
            ours.write(link);
            theirs.read();
            theirs.write();
            (ours.progress.received == MUCH && theirs.progress.received == MUCH).then_some(())
        });
        ours.close(&mut link);
        theirs.close();
        link.expect_phase(stream, Phase::Closed);
    }
}
