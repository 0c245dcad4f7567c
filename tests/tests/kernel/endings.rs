//! How connections begin and end when both stacks do it in an unusual way.

use crate::ends::{Ours, Progress, Theirs, exchange};
use crate::link::{FAMILIES, Family, Link, OPENERS, Opener, begin_to_connect, kernel_socket};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use waitless::{Phase, StreamPort};
use waitless_tests::lab::{Capture, Lab};
use waitless_tests::live::Live;

/// Slow enough for both ends to act before either has heard of it.
fn slow() -> Link {
    let delay = waitless::Duration::from_millis(40);
    Link::new(netem::Config { delay, ..netem::Config::CLEAN }, 1500)
}

/// One side ends, and the other goes on for long.
pub fn half_closed(_: &Lab) {
    const MUCH: usize = 500_000;
    let mut link = Link::clean();
    for family in FAMILIES {
        for opener in OPENERS {
            for kernel_first in [true, false] {
                let (stream, socket) = link.open(opener, family);
                let (up, down) = if kernel_first { (100, MUCH) } else { (MUCH, 100) };
                let mut ours = Ours { stream, progress: Progress::new(down) };
                let mut theirs = Theirs { socket, progress: Progress::new(up) };
                if kernel_first {
                    theirs.write();
                    theirs.close();
                } else {
                    ours.write(&mut link);
                    ours.close(&mut link);
                }
                link.until("one end", |link| {
                    ours.read(link);
                    theirs.read();
                    (ours.progress.finished || theirs.progress.finished).then_some(())
                });
                link.until("the rest", |link| {
                    ours.write(link);
                    ours.read(link);
                    theirs.write();
                    theirs.read();
                    let received = (ours.progress.received, theirs.progress.received);
                    (received == (up, down)).then_some(())
                });
                ours.close(&mut link);
                theirs.close();
                link.expect_phase(stream, Phase::Closed);
                link.tcp().release(stream);
            }
        }
    }
    assert_eq!(link.count("retransmitted") + link.count("resets_sent"), 0);
}

/// Both send a SYN before either has the other's.
//= RFC 9293 3.5 MUST-10
pub fn opened_at_once(_: &Lab) {
    let mut link = slow();
    for family in FAMILIES {
        let socket = kernel_socket(family);
        let here = SocketAddr::new(link.kernel_address(family), 7_000);
        rustix::net::bind(&socket, &here).expect("a free port");
        // So that the kernel knows the way, and sends its SYN at once.
        let ends = link.open(Opener::Kernel, family);
        exchange(&mut link, ends, 10, 10);
        let service = link.service;
        let stream = link.tcp().connect(service, here).expect("a route");
        link.tcp().set_tag(stream, 1);
        let mine = link.until("a port", |link| link.tcp().local(stream));
        begin_to_connect(&socket, mine);
        let socket = TcpStream::from(socket);
        link.until("the kernel's end", |_| socket.peer_addr().ok());
        link.expect_phase(stream, Phase::Open);
        exchange(&mut link, (stream, socket), 50_000, 50_000);
    }
    assert_eq!(link.count("resets_sent") + link.count("resets_received"), 0);
}

/// Both send a FIN before either has the other's.
//= RFC 9293 3.6
pub fn closed_at_once(_: &Lab) {
    let mut link = slow();
    let mut capture = Capture::on(&link.tap);
    for family in FAMILIES {
        for opener in OPENERS {
            let (stream, socket) = link.open(opener, family);
            let mut ours = Ours { stream, progress: Progress::new(3_000) };
            let mut theirs = Theirs { socket, progress: Progress::new(3_000) };
            ours.write(&mut link);
            ours.close(&mut link);
            theirs.write();
            theirs.close();
            link.until("both ends", |link| {
                ours.read(link);
                theirs.read();
                (ours.progress.finished && theirs.progress.finished).then_some(())
            });
            assert_eq!((ours.progress.received, theirs.progress.received), (3_000, 3_000));
            link.expect_phase(stream, Phase::Closed);
            link.tcp().release(stream);
        }
    }
    assert_eq!(link.count("time_waits"), 4, "both remember");
    let frames = capture.frames("tcp");
    assert_eq!(link.count("resets_sent"), 0, "{}", frames.join("\n"));
}

/// Resets end a connection at once, on either side, and nobody listens everywhere.
pub fn resets(_: &Lab) {
    let mut link = Link::clean();
    for family in FAMILIES {
        for opener in OPENERS {
            reset_by_the_kernel(&mut link, opener, family);
            reset_by_the_graph(&mut link, opener, family);
            unread_by_the_kernel(&mut link, opener, family);
            unread_by_the_graph(&mut link, opener, family);
        }
        refused_by_the_graph(&mut link, family);
        refused_by_the_kernel(&mut link, family);
    }
    assert_eq!((link.count("open"), link.count("time_waits")), (0, 0));
}

fn reset_by_the_kernel(link: &mut Link, opener: Opener, family: Family) {
    let (stream, socket) = link.open(opener, family);
    rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).expect("a setting");
    drop(socket);
    link.expect_phase(stream, Phase::Reset);
    link.tcp().release(stream);
}

fn reset_by_the_graph(link: &mut Link, opener: Opener, family: Family) {
    let (stream, socket) = link.open(opener, family);
    link.tcp().abort(stream);
    link.tcp().release(stream);
    expect_reset(link, socket);
}

fn unread_by_the_kernel(link: &mut Link, opener: Opener, family: Family) {
    let (stream, socket) = link.open(opener, family);
    link.tcp().writable(stream)[..5].copy_from_slice(b"five.");
    link.tcp().commit(stream, 5);
    link.until("bytes", |_| (socket.peek(&mut [0; 8]).ok() == Some(5)).then_some(()));
    drop(socket);
    link.expect_phase(stream, Phase::Reset);
    link.tcp().release(stream);
}

fn unread_by_the_graph(link: &mut Link, opener: Opener, family: Family) {
    let (stream, mut socket) = link.open(opener, family);
    socket.write_all(b"five.").expect("room for a few bytes");
    link.until("bytes", |link| (link.tcp().status(stream).readable == 5).then_some(()));
    link.tcp().release(stream);
    expect_reset(link, socket);
}

#[track_caller]
fn expect_reset(link: &mut Link, mut socket: TcpStream) {
    let outcome = link.until("a reset", |_| match socket.read(&mut [0; 8]) {
        Err(why) if why.kind() == ErrorKind::WouldBlock => None,
        outcome => Some(outcome.map_err(|why| why.kind())),
    });
    assert_eq!(outcome, Err(ErrorKind::ConnectionReset));
}

fn refused_by_the_graph(link: &mut Link, family: Family) {
    let socket = kernel_socket(family);
    let mut nobody = link.graph_end(family);
    nobody.set_port(9);
    begin_to_connect(&socket, nobody);
    let socket = TcpStream::from(socket);
    let why = link.until("a refusal", |_| socket.take_error().expect("a socket has a state"));
    assert_eq!(why.kind(), ErrorKind::ConnectionRefused);
}

fn refused_by_the_kernel(link: &mut Link, family: Family) {
    let gone = TcpListener::bind((link.kernel_address(family), 0)).expect("a port");
    let remote = gone.local_addr().expect("it is bound");
    drop(gone);
    let service = link.service;
    let stream = link.tcp().connect(service, remote).expect("a route");
    link.expect_phase(stream, Phase::Reset);
    link.tcp().release(stream);
}
