//! Writes the corpora that fuzzing starts from: `cargo run -p waitless-tests --example corpus`.

use std::net::{Ipv4Addr, Ipv6Addr};
use waitless_tests::corpus::{self, Segment, arp, ethernet, ipv4, ipv6, udp};

const HOST: ([u8; 6], Ipv4Addr) = ([2, 0, 0, 0, 0, 1], Ipv4Addr::new(10, 0, 0, 2));
const PEER: ([u8; 6], Ipv4Addr) = ([2, 0, 0, 0, 0, 2], Ipv4Addr::new(10, 0, 0, 1));

fn main() {
    write("ethernet", "unknown-type", &ethernet(HOST.0, PEER.0, 0x88b5, b"nobody's"));
    write("ethernet", "length-field", &ethernet(HOST.0, PEER.0, 46, &[0xaa; 46]));
    write("ethernet", "vlan", &ethernet(HOST.0, PEER.0, 0x8100, &[0, 1, 8, 0, 0x45]));
    write("ethernet", "ipv6", &ethernet(HOST.0, PEER.0, 0x86dd, &[0x60; 40]));
    write("ethernet", "short", &[2, 0, 0]);
    write("arp", "request", &ethernet([255; 6], PEER.0, 0x806, &arp(1, PEER, ([0; 6], HOST.1))));
    write("arp", "reply", &ethernet(HOST.0, PEER.0, 0x806, &arp(2, PEER, HOST)));
    write("arp", "announce", &ethernet([255; 6], PEER.0, 0x806, &arp(1, PEER, ([0; 6], PEER.1))));
    let conflict = arp(2, (PEER.0, HOST.1), HOST);
    write("arp", "conflict", &ethernet([255; 6], PEER.0, 0x806, &conflict));
    internet();
    internet_v6();
    neighbours();
    transports();
    flights();
    dhcp();
    names();
    http();
    answers();
    secure();
}

fn internet() {
    let echo = [&[8, 0, 0, 0, 0, 1, 0, 1][..], b"are you there?"].concat();
    packet("icmp", "echo", 1, &echo);
    let quoted = ipv4(HOST.1, PEER.1, 17, &udp((HOST.1, 7), (PEER.1, 999), b"lost"));
    for (name, kind, code) in [("unreachable", 3, 3), ("too-big", 3, 4), ("expired", 11, 0)] {
        packet("icmp", name, 1, &[&[kind, code, 0, 0, 0, 0, 2, 64][..], &quoted[..28]].concat());
    }
    packet("ipv4", "unknown-protocol", 200, b"whatever");
    let datagram = udp((PEER.1, 1000), (HOST.1, 7), &[0x55; 64]);
    for (name, flags, part) in
        [("first", 0x2000_u16, &datagram[..32]), ("last", 4, &datagram[32..])]
    {
        let mut fragment = ipv4(PEER.1, HOST.1, 17, part);
        fragment[6..8].copy_from_slice(&flags.to_be_bytes());
        let mut frame = ethernet(HOST.0, PEER.0, 0x800, &fragment);
        corpus::repair_frame(&mut frame);
        write("ipv4", name, &frame);
    }
    let mut options =
        ipv4(PEER.1, HOST.1, 17, &[&[7, 7, 4, 0, 0, 0, 0, 1][..], &datagram].concat());
    options[0] = 0x47;
    let mut frame = ethernet(HOST.0, PEER.0, 0x800, &options);
    corpus::repair_frame(&mut frame);
    write("ipv4", "options", &frame);
}

/// The host and its neighbour on the link.
const HOST6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);
const PEER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 9);
const ALL6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Of the host that `graphs::dual` makes.
const HOST6_STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PEER6_STATION: [u8; 6] = [2, 0, 0, 0, 0, 9];

/// A packet from the neighbour, to the host or to the group.
fn packet6(target: &str, name: &str, to: Ipv6Addr, next: u8, hops: u8, payload: &[u8]) {
    let station = if to == HOST6 { HOST6_STATION } else { [0x33, 0x33, 0, 0, 0, 1] };
    let packet = ipv6(PEER6, to, next, hops, payload);
    let mut frame = [&station[..], &PEER6_STATION, &[0x86, 0xdd], &packet].concat();
    corpus::repair_frame(&mut frame);
    write(target, name, &frame);
}

fn internet_v6() {
    let echo = [&[128, 0, 0, 0, 0, 1, 0, 1][..], b"are you there?"].concat();
    packet6("icmp6", "echo", HOST6, 58, 64, &echo);
    packet6("icmp6", "echo-to-all", ALL6, 58, 64, &echo);
    let segment = [0, 80, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 16, 1, 0, 0, 0, 0, 0];
    let quoted = ipv6(HOST6, PEER6, 6, 64, &segment);
    let errors = [("unreachable", 1, 4), ("too-big", 2, 0), ("expired", 3, 0), ("parameter", 4, 1)];
    for (name, kind, code) in errors {
        let message = [&[kind, code, 0, 0, 0, 0, 5, 0][..], &quoted].concat();
        packet6("icmp6", name, HOST6, 58, 64, &message);
    }
    let datagram = [&[3, 232, 0, 7, 0, 24, 0, 0][..], &[0x55; 16]].concat();
    packet6("ipv6", "datagram", HOST6, 17, 64, &datagram);
    packet6("ipv6", "unknown-header", HOST6, 200, 64, b"whatever");
    packet6("ipv6", "nothing", HOST6, 59, 64, b"");
    let options = [60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 0x1e, 1, 0, 0, 0, 0];
    packet6("ipv6", "options", HOST6, 0, 64, &[&options[..], &datagram].concat());
    packet6("ipv6", "option-to-tell", ALL6, 60, 64, &[17, 0, 0x9e, 1, 0, 0, 0, 0]);
    packet6("ipv6", "route", HOST6, 43, 64, &[&[17, 0, 0, 1, 0, 0, 0, 0][..], &datagram].concat());
    let fragments = [("first", [0, 1], &datagram[..16]), ("last", [0, 16], &datagram[16..])];
    for (name, [high, low], part) in fragments {
        let header = [17, 0, high, low, 0, 0, 0, 7];
        packet6("ipv6", name, HOST6, 44, 64, &[&header[..], part].concat());
    }
    packet6("ipv6", "atomic", HOST6, 44, 64, &[&[17, 0, 0, 0, 0, 0, 0, 7][..], &datagram].concat());
}

fn neighbours() {
    let station = |kind: u8| [&[kind, 1][..], &PEER6_STATION].concat();
    let with = |head: &[u8], rest: &[&[u8]]| [head, &rest.concat()].concat();
    let (host, peer) = (HOST6.octets(), PEER6.octets());
    let asks = with(&[135, 0, 0, 0, 0, 0, 0, 0], &[&host, &station(1)]);
    packet6("ndp", "solicitation", HOST6, 58, 255, &asks);
    let answers = with(&[136, 0, 0, 0, 0x60, 0, 0, 0], &[&peer, &station(2)]);
    packet6("ndp", "advertisement", HOST6, 58, 255, &answers);
    let claims = with(&[136, 0, 0, 0, 0x20, 0, 0, 0], &[&host, &station(2)]);
    packet6("ndp", "claim", ALL6, 58, 255, &claims);
    let network = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0).octets();
    let prefix = with(&[3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 7, 8, 0, 0, 0, 0], &[&network]);
    let mtu = [5, 1, 0, 0, 0, 0, 5, 0];
    let router = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0x75, 0x30, 0, 0, 3, 0xe8];
    packet6("ndp", "router", ALL6, 58, 255, &with(&router, &[&station(1), &mtu, &prefix]));
    let gone = [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    packet6("ndp", "router-gone", ALL6, 58, 255, &gone);
    let far = Ipv6Addr::new(0x2001, 0xdb8, 9, 9, 0, 0, 0, 9).octets();
    let redirect = with(&[137, 0, 0, 0, 0, 0, 0, 0], &[&peer, &far, &station(2)]);
    packet6("ndp", "redirect", HOST6, 58, 255, &redirect);
    let query = with(&[130, 0, 0, 0, 0, 100, 0, 0], &[&[0; 16], &[2, 125, 0, 0]]);
    let alert = [58, 0, 5, 2, 0, 0, 1, 0];
    packet6("ndp", "query", ALL6, 0, 1, &with(&alert, &[&query]));
    packet6("ndp", "query-v1", ALL6, 0, 1, &with(&alert, &[&query[..24]]));
}

fn transports() {
    packet("udp", "echo", 17, &udp((PEER.1, 1000), (HOST.1, 7), b"there and back"));
    packet("udp", "closed-port", 17, &udp((PEER.1, 1000), (HOST.1, 9999), b"nobody"));
    let mut unchecked = udp((PEER.1, 1000), (HOST.1, 7), b"no checksum");
    unchecked[6..8].fill(0);
    packet("udp", "unchecked", 17, &unchecked);
    let syn_options = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];
    let segment = Segment {
        from: (PEER.1, 40_000),
        to: (HOST.1, 80),
        sequence: 0,
        acknowledgement: 0,
        flags: 2,
        window: 65_535,
        options: &[],
        payload: b"",
    };
    packet("tcp", "syn", 6, &Segment { options: &syn_options, ..segment }.bytes());
    packet("tcp", "syn-to-closed", 6, &Segment { to: (HOST.1, 81), ..segment }.bytes());
    let data = Segment { flags: 24, payload: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", ..segment };
    packet("tcp", "data", 6, &data.bytes());
    packet("tcp", "late", 6, &Segment { sequence: 1000, ..data }.bytes());
    packet("tcp", "fin", 6, &Segment { flags: 17, ..segment }.bytes());
    packet("tcp", "reset", 6, &Segment { flags: 4, ..segment }.bytes());
    packet("tcp", "zero-window", 6, &Segment { flags: 16, window: 0, ..segment }.bytes());
}

/// DHCP answers (RFC 2131 section 2) to a client that a fuzz target puts its own numbers into.
fn dhcp() {
    for (name, kind) in [("offer", 2_u8), ("ack", 5), ("nak", 6)] {
        let mut message = vec![2, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        message.extend(HOST.1.octets());
        message.extend(PEER.1.octets());
        message.extend([0; 4]);
        message.extend(HOST.0);
        message.resize(236, 0);
        message.extend([99, 130, 83, 99, 53, 1, kind, 54, 4]);
        message.extend(PEER.1.octets());
        message.extend([51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1]);
        message.extend([6, 8, 10, 0, 0, 1, 8, 8, 8, 8, 26, 2, 5, 220, 255]);
        let datagram = udp((PEER.1, 67), (Ipv4Addr::BROADCAST, 68), &message);
        let packet = ipv4(PEER.1, Ipv4Addr::BROADCAST, 17, &datagram);
        write("dhcp", name, &ethernet([255; 6], PEER.0, 0x800, &packet));
    }
}

/// Answers of servers to a client that a fuzz target puts its own numbers and question into.
fn names() {
    let question = b"\x04time\x04test\0\0\x01\0\x01";
    let head = |flags: u8, code: u8, answers: u8, rest: u8| {
        [0, 0, 0x80 | flags, 0x80 | code, 0, 1, 0, answers, 0, rest, 0, 0]
    };
    let message = |head: [u8; 12], records: &[u8]| [&head[..], question, records].concat();
    let a = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x11";
    let aliased = b"\x01b\xc0\x11\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";
    let soa = [&b"\xc0\x11\0\x06\0\x01\0\0\0\x3c\0\x18\xc0\x11\xc0\x11"[..], &[0; 20]].concat();
    write("dns", "found", &message(head(1, 0, 1, 0), &a));
    write("dns", "alias", &message(head(1, 0, 2, 0), &[&alias[..], aliased].concat()));
    write("dns", "alias-alone", &message(head(1, 0, 1, 0), alias));
    write("dns", "no-name", &message(head(1, 3, 0, 1), &soa));
    write("dns", "no-address", &message(head(1, 0, 0, 1), &soa));
    write("dns", "cut", &message(head(3, 0, 0, 0), b""));
    write("dns", "failed", &message(head(1, 2, 0, 0), b""));
    let mut time = [0; 48];
    (time[0], time[1], time[32], time[40]) = (0x24, 1, 0xe8, 0xe8);
    write("sntp", "time", &time);
    time[1] = 0;
    time[12..16].copy_from_slice(b"RATE");
    write("sntp", "slower", &time);
    let ids = b"\0\x01\0\x0a\0\x03\0\x01\0\0\0\0\0\0\0\x02\0\x03\0\x02a";
    let group = [
        &b"\0\x03\0\x28\0\0\0\x01\0\0\0\x64\0\0\0\xc8\0\x05\0\x18"[..],
        &HOST6.octets(),
        b"\0\0\x01\0\0\0\x02\0",
    ];
    let rest = b"\0\x18\0\x05\x03lan\0\0\x17\0\x10";
    let rest = [&rest[..], &PEER6.octets()].concat();
    let all = [&ids[..], &group.concat(), &rest].concat();
    write("dhcp6", "advertise", &[&[2, 0, 0, 0][..], &all].concat());
    write("dhcp6", "reply", &[&[7, 0, 0, 0][..], &all].concat());
    write("dhcp6", "no-binding", &[&[7, 0, 0, 0][..], ids, &[0, 13, 0, 2, 0, 3]].concat());
    packet("firewall", "answer", 17, &udp((PEER.1, 53), (HOST.1, 50_000), b"unasked"));
    let quoted = ipv4(HOST.1, PEER.1, 17, &udp((HOST.1, 50_000), (PEER.1, 53), b"lost"));
    packet("firewall", "error", 1, &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted[..28]].concat());
    packet6(
        "firewall",
        "options",
        HOST6,
        60,
        64,
        &[17, 0, 1, 4, 0, 0, 0, 0, 0, 53, 0, 99, 0, 8, 0, 0],
    );
    packet6("firewall", "fragment", HOST6, 44, 64, &[17, 0, 0, 9, 0, 0, 0, 7, 1, 2, 3, 4]);
}

fn http() {
    let requests = [
        ("get", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("query", "GET /compute?n=12 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"),
        ("post", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "chunked",
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\n",
        ),
        (
            "expect",
            "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
        ),
        ("pipeline", "GET /health HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("old", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
        ("close", "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ("absolute", "GET http://x/graph HTTP/1.1\r\nHost: x\r\n\r\n"),
    ];
    for (name, request) in requests {
        write("http", name, request.as_bytes());
    }
}

/// Answers to a client; the first byte chooses the method, and how they are cut.
fn answers() {
    let answers = [
        ("length", "\x06HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "chunked",
            "\x00HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
             3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nT: x\r\n\r\n",
        ),
        ("until-end", "\x0aHTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nok"),
        ("head", "\x05HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (
            "interim",
            "\x08HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n\
             HTTP/1.1 204 No Content\r\n\r\n",
        ),
        ("folded", "\x04HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0, 0\r\n\r\n"),
        ("not-modified", "\x02HTTP/1.1 304 \r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"),
        ("upgrade", "\x02HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        ("both", "\x02HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("version", "\x0aHTTP/2.0 r00EOK\r\n\r\n"),
        ("two", "\x02HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ];
    for (name, answer) in answers {
        write("fetch", name, answer.as_bytes());
    }
}

/// Hellos of TLS (RFC 8446 section 4.1.2), bare and in records. The files of `certificate` were
/// made by OpenSSL, and the key in one of them is the example of RFC 8410.
fn secure() {
    const NAME: &[u8] = b"\0\x0c\0\0\x09localhost";
    let share = |group: u16, key: &[u8]| [&group.to_be_bytes()[..], &vector(key)].concat();
    let usual = |more: &[(u16, Vec<u8>)]| {
        let extensions = [
            (43, vec![2, 3, 4]),
            (10, vec![0, 8, 0x11, 0xec, 0, 29, 0, 23, 0, 24]),
            (13, vec![0, 4, 4, 3, 8, 4]),
            (51, vector(&share(29, &[9; 32]))),
        ];
        let mut all: Vec<(u16, Vec<u8>)> = extensions.to_vec();
        for (kind, content) in more {
            all.retain(|(other, _)| other != kind);
            all.push((*kind, content.clone()));
        }
        let extensions: Vec<u8> = all
            .iter()
            .flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &vector(content)].concat())
            .collect();
        let suites = [0, 6, 0x13, 1, 0x13, 2, 0x13, 3];
        [&[3, 3][..], &[1; 32], &[0], &suites, &[1, 0], &vector(&extensions)].concat()
    };
    let keys = [&[0, 10, 0, 4][..], b"once", &[0, 0, 0, 1], &[0, 33, 32], &[7; 32]].concat();
    let hellos = [
        ("usual", usual(&[])),
        ("named", usual(&[(0, NAME.to_vec()), (16, b"\0\x09\x08http/1.1".to_vec())])),
        ("hybrid", usual(&[(51, vector(&share(0x11ec, &[7; 1216])))])),
        ("retry", usual(&[(51, vec![0, 0]), (42, vec![])])),
        ("resumption", usual(&[(28, vec![0x40, 1]), (45, vec![1, 1]), (41, keys)])),
    ];
    for (name, hello) in &hellos {
        write("hello", name, hello);
        let length = hello.len() as u32;
        let message = [&[1, 0][..], &(length as u16).to_be_bytes(), hello].concat();
        let hello = [&[22, 3, 1][..], &vector(&message)].concat();
        write("tls", name, &[&hello[..], &[20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 20], &[5; 20]].concat());
    }
    write("tls", "alert", &[21, 3, 3, 0, 2, 2, 40]);
    write("tls", "plain", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
}

/// What servers say to a client: so many genuine messages, then one more.
fn flights() {
    let dialling = waitless_tests::fuzz::flight::Dialling::new();
    for (count, message) in (0..).zip(dialling.genuine()) {
        let body = &message[4..];
        let names = ["hello", "extensions", "certificate", "signature", "finished"];
        write("flight", names[count], &[&[count as u8, message[0]], body].concat());
        if count == 0 {
            let retry = [
                &body[..2],
                &tls::wire::codes::RETRY_RANDOM,
                &body[34..70],
                &vector(&[0, 43, 0, 2, 3, 4, 0, 51, 0, 2, 0, 23, 0, 44, 0, 4, 0, 2, 1, 2]),
            ];
            write("flight", "retry", &[&[0, 2], &retry.concat()[..]].concat());
        }
    }
    let request = vector(&[0, 13, 0, 4, 0, 2, 4, 3]);
    write("flight", "request", &[&[2, 13, 0][..], &request].concat());
    let ticket = [&[5, 4, 0, 0, 14, 16, 1, 2, 3, 4, 1, 0][..], &vector(&[9; 120]), &[0, 0]];
    write("flight", "ticket", &ticket.concat());
}

/// `content` behind its length in two bytes.
fn vector(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content].concat()
}

fn packet(target: &str, name: &str, protocol: u8, payload: &[u8]) {
    let packet = ipv4(PEER.1, HOST.1, protocol, payload);
    let mut frame = ethernet(HOST.0, PEER.0, 0x0800, &packet);
    if protocol == 1 {
        corpus::repair_frame(&mut frame);
    }
    write(target, name, &frame);
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = corpus::folder(target);
    std::fs::create_dir_all(&folder).expect("the corpus folder");
    std::fs::write(folder.join(name), bytes).expect("a corpus file");
}
