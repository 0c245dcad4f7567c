//! The client, lent a fake UDP and a fake resolver. A test reads like a trace: what is asked, what
//! is answered, what the clock says.

extern crate std;

use super::*;
use crate::wire::MESSAGE;
use core::net::{Ipv4Addr, Ipv6Addr};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;
use waitless::{Addresses, AskError, BindError, Packet, testing};

const CONFIG: Config = Config {
    servers: &["time.example", "other.example"],
    poll: Duration::from_secs(1024),
    timeout: Duration::from_secs(5),
};

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// 2026-01-01 00:00 UTC.
const UNIX: u64 = 1_767_225_600;

#[derive(Default)]
struct Udp {
    bound: usize,
    open: usize,
    arrived: VecDeque<Packet>,
    sent: VecDeque<Packet>,
}

impl UdpPort for Udp {
    fn bind(&mut self, _: u16) -> Result<Socket, BindError> {
        panic!("ports are bound towards servers");
    }

    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        assert_eq!(remote.port(), 123);
        (self.bound, self.open) = (self.bound + 1, self.open + 1);
        Ok(Socket(self.bound))
    }

    fn release(&mut self, socket: Socket) {
        assert_eq!(socket, Socket(self.bound));
        self.open -= 1;
    }

    fn recv(&mut self, socket: Socket) -> Option<Packet> {
        assert_eq!((socket, self.open), (Socket(self.bound), 1));
        self.arrived.pop_front()
    }

    fn send(&mut self, _: Socket, datagram: Packet) -> Result<(), Packet> {
        self.sent.push_back(datagram);
        Ok(())
    }

    fn local_port(&self, _: Socket) -> u16 {
        0
    }
}

/// A resolver that answers at once.
#[derive(Default)]
struct Names {
    asked: Vec<&'static str>,
    why: Option<NoAddress>,
    /// What a name stands for now, where that changes.
    found: Option<Vec<IpAddr>>,
    found_v6: Option<Vec<IpAddr>>,
    last: Option<Result<Addresses, NoAddress>>,
}

impl ResolverPort for Names {
    fn ask(&mut self, name: &str, family: Family) -> Result<Question, AskError> {
        let server = CONFIG.servers.iter().position(|server| *server == name).unwrap();
        self.asked.push(CONFIG.servers[server]);
        let found = [FIRST, SECOND][server];
        self.last = Some(match (self.why, family) {
            (Some(why), _) => Err(why),
            (None, Family::V4) => match &self.found {
                Some(found) => Ok(found.iter().copied().collect()),
                None => Ok([found].into_iter().collect()),
            },
            (None, Family::V6) => match &self.found_v6 {
                Some(found) => Ok(found.iter().copied().collect()),
                None => Err(NoAddress::NoneOfFamily),
            },
        });
        Ok(Question::default())
    }

    fn answer(&mut self, _: Question) -> Option<Result<Addresses, NoAddress>> {
        self.last.take()
    }

    fn forget(&mut self, _: Question) {}
}

struct Bench {
    sntp: Sntp,
    udp: Udp,
    names: Names,
    cx: Context,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self::with(config, Names::default())
    }

    fn with(config: Config, mut names: Names) -> Self {
        let mut cx = testing::context(16, 5);
        let mut sntp = Sntp::new(Box::leak(Box::new(config)), &mut cx);
        let mut udp = Udp::default();
        sntp.init(&mut (&mut udp, &mut names), &mut cx).unwrap();
        let mut bench = Self { sntp, udp, names, cx };
        bench.pass(0);
        bench
    }

    fn deadline(&self) -> Instant {
        Component::<(&mut Udp, &mut Names)>::deadline(&self.sntp)
    }

    fn sweep(&mut self) {
        let below = &mut (&mut self.udp, &mut self.names);
        self.sntp.receive(below, &mut self.cx);
        self.sntp.transmit(below, &mut self.cx);
    }

    /// Lets `millis` pass, with the sweeps that the client asks for.
    fn pass(&mut self, millis: u64) {
        let end = self.cx.now() + Duration::from_millis(millis);
        while self.deadline() <= end {
            let due = self.deadline().max(self.cx.now());
            self.cx.set_now(due);
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    /// The next question, to whom, and its number.
    fn sent(&mut self) -> Option<(IpAddr, u64)> {
        let packet = self.udp.sent.pop_front()?;
        let (_, number) = packet.bytes().split_last_chunk::<8>()?;
        Some((packet.info().remote, u64::from_be_bytes(*number)))
    }

    fn deliver(&mut self, from: IpAddr, port: u16, message: &[u8]) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(message).unwrap();
        (packet.info_mut().remote, packet.info_mut().remote_port) = (from, port);
        self.udp.arrived.push_back(packet);
        self.sweep();
    }

    /// Waits for the next question, at most an hour, and answers with this.
    #[track_caller]
    fn answer(&mut self, message: impl Fn(u64) -> [u8; MESSAGE]) -> Duration {
        let start = self.cx.now();
        for _ in 0..40_000 {
            if let Some((server, number)) = self.sent() {
                let waited = self.cx.now().since(start);
                self.deliver(server, 123, &message(number));
                return waited;
            }
            self.pass(500);
        }
        panic!("nothing was asked");
    }
}

/// An answer to question `number`: the question came at this time in milliseconds since 1970, and
/// the answer left so many milliseconds later.
fn time(number: u64, received: u64, served: u64) -> [u8; MESSAGE] {
    let stamp = |millis: u64| {
        let (seconds, millis) = (millis / 1000 + 2_208_988_800, millis % 1000);
        (seconds << 32 | ((millis << 32) / 1000)).to_be_bytes()
    };
    let mut message = [0; MESSAGE];
    (message[0], message[1]) = (0x24, 1);
    message[24..32].copy_from_slice(&number.to_be_bytes());
    message[32..40].copy_from_slice(&stamp(received));
    message[40..48].copy_from_slice(&stamp(received + served));
    message
}

fn kiss(number: u64, code: &[u8; 4]) -> [u8; MESSAGE] {
    let mut message = time(number, UNIX * 1000, 0);
    message[1] = 0;
    message[12..16].copy_from_slice(code);
    message
}

#[test]
fn the_clock_is_set_to_what_a_server_says_and_half_of_the_way() {
    let mut bench = Bench::new(CONFIG);
    assert_eq!(bench.cx.wall_clock(), None);
    let (server, number) = bench.sent().unwrap();
    assert_eq!(server, FIRST);
    bench.pass(300);
    bench.deliver(FIRST, 123, &time(number, UNIX * 1000, 100));
    // 100 ms at the server, 200 on the way.
    let nanos = bench.cx.wall_nanos().unwrap();
    assert!(nanos.abs_diff(UNIX * 1_000_000_000 + 200_000_000) < 1_000, "{nanos}");
    assert_eq!((bench.sntp.counters.delay.get(), bench.udp.open), (200, 0));
    bench.pass(60_000);
    assert_eq!(bench.cx.wall_clock(), Some(UNIX + 60), "it goes on by itself");
    // It asks again when the manifest says.
    bench.pass(1024 * 900 - 61_000);
    assert!(bench.sent().is_none());
    let waited = bench.answer(|other| {
        assert_ne!(number, other);
        time(other, UNIX * 1000, 0)
    });
    assert!(waited < Duration::from_secs(210), "{waited:?}");
    assert_eq!(bench.names.asked.len(), 1, "the address is known");
}

#[test]
fn what_is_no_answer_to_the_question_is_ignored() {
    let mut bench = Bench::new(CONFIG);
    let (_, number) = bench.sent().unwrap();
    let good = time(number, UNIX * 1000, 0);
    bench.deliver(SECOND, 123, &good);
    bench.deliver(FIRST, 124, &good);
    bench.deliver(FIRST, 123, &good[..40]);
    bench.deliver(FIRST, 123, &time(number ^ 1, UNIX * 1000, 0));
    bench.deliver(FIRST, 123, &kiss(number ^ 1, b"DENY"));
    assert_eq!((bench.cx.wall_clock(), bench.sntp.counters.foreign.get()), (None, 5));
    bench.deliver(FIRST, 123, &good);
    assert_eq!(bench.cx.wall_clock(), Some(UNIX));
}

#[test]
fn servers_that_do_not_answer_are_asked_ever_more_seldom_and_in_turn() {
    let mut bench = Bench::new(CONFIG);
    let mut last = bench.cx.now();
    let mut waits = Vec::new();
    let (mut servers, mut questions) = (Vec::new(), 0);
    while questions < 9 {
        if let Some((server, _)) = bench.sent() {
            questions += 1;
            servers.push(server);
            waits.push(bench.cx.now().since(last).as_secs());
            last = bench.cx.now();
        }
        bench.pass(1_000);
    }
    assert!(servers.chunks(2).all(|pair| pair[0] == FIRST && pair.get(1) != Some(&FIRST)));
    // 15 s, doubled each time, a tenth more or less, and the five of the time-out.
    for (wait, expected) in waits[1..].iter().zip([15, 30, 60, 120, 240, 480, 960, 1920]) {
        let (least, most) = (expected * 9 / 10 + 4, expected * 11 / 10 + 7);
        assert!((least..=most).contains(wait), "{wait} s instead of {expected}: {waits:?}");
    }
    assert_eq!(bench.sntp.counters.timeouts.get(), 8);
    // An answer makes all good, and the server stays.
    bench.answer(|number| time(number, UNIX * 1000, 0));
    assert_eq!((bench.sntp.pause, bench.sntp.counters.set.get()), (PAUSE_MIN, 1));
}

#[test]
fn each_address_of_a_server_has_its_turn_and_those_of_ipv6_behind_the_others() {
    let third = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let found = Some([FIRST, SECOND].into());
    let names = Names { found, found_v6: Some([third].into()), ..Names::default() };
    let mut bench = Bench::with(CONFIG, names);
    for expected in [FIRST, SECOND, third] {
        assert_eq!((bench.sntp.server, bench.sent().unwrap().0), (0, expected));
        bench.pass(5_000);
    }
    assert_eq!((bench.sntp.server, bench.sntp.counters.timeouts.get()), (1, 3));
    assert!(bench.sent().is_none(), "the next server is asked later");
    // What answered is asked again.
    bench.pass(16_600);
    assert_eq!(bench.sent().unwrap().0, FIRST);
    bench.pass(5_000);
    bench.answer(|number| time(number, UNIX * 1000, 0));
    bench.pass(1024 * 1100);
    assert_eq!((bench.sent().unwrap().0, bench.sntp.server), (SECOND, 1));
}

#[test]
fn an_address_that_says_so_is_not_asked_again() {
    for code in [b"DENY", b"RSTR"] {
        let mut bench = Bench::new(CONFIG);
        bench.answer(|number| kiss(number, code));
        assert_eq!(bench.udp.open, 0);
        for _ in 0..5 {
            bench.answer(|number| time(number, UNIX * 1000, 0));
        }
        assert_eq!(bench.sntp.server, 1, "the other one from then on");
        bench.pass(10_000_000);
        bench.udp.sent.clear();
        let mut bench = Bench::new(Config { servers: &["time.example"], ..CONFIG });
        bench.answer(|number| kiss(number, code));
        bench.pass(1_000_000_000);
        assert!(bench.sent().is_none());
        let looked = bench.names.asked.len();
        assert!((22..=28).contains(&looked), "about once a day, for both versions: {looked}");
    }
}

#[test]
fn an_answer_that_is_lost_is_no_reason_to_wait_a_day() {
    let third = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let names = Names { found_v6: Some([third].into()), ..Names::default() };
    let mut bench = Bench::with(Config { servers: &["time.example"], ..CONFIG }, names);
    assert_eq!(bench.sent().unwrap().0, FIRST);
    bench.pass(5_000);
    bench.answer(|number| kiss(number, b"DENY"));
    bench.pass(90_000_000);
    assert_eq!(bench.sent().unwrap().0, FIRST, "a day later");
    bench.udp.sent.clear();
    bench.pass(600_000);
    assert_eq!(bench.sent().unwrap().0, FIRST, "and again, as it just did not answer");
}

#[test]
fn an_address_of_the_other_version_is_asked_where_those_of_one_want_to_be_left_alone() {
    let third = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let names = Names { found_v6: Some([third].into()), ..Names::default() };
    let mut bench = Bench::with(Config { servers: &["time.example"], ..CONFIG }, names);
    bench.answer(|number| kiss(number, b"DENY"));
    bench.pass(90_000_000);
    assert_eq!(bench.sent().unwrap().0, third);
}

#[test]
fn another_address_of_a_pool_is_asked_the_day_after() {
    let mut bench = Bench::new(Config { servers: &["time.example"], ..CONFIG });
    bench.answer(|number| kiss(number, b"DENY"));
    bench.names.found = Some([FIRST, SECOND].into());
    bench.pass(70_000_000);
    assert!(bench.sent().is_none());
    bench.pass(30_000_000);
    let (server, _) = bench.sent().unwrap();
    assert_eq!(server, SECOND);
    bench.udp.sent.clear();
    bench.pass(20_000);
    bench.answer(|number| time(number, UNIX * 1000, 0));
    assert_eq!(bench.cx.wall_clock(), Some(UNIX));
}

#[test]
fn a_server_that_says_slower_is_asked_less_often() {
    let mut bench = Bench::new(Config { servers: &["time.example"], ..CONFIG });
    bench.answer(|number| kiss(number, b"RATE"));
    let waited = bench.answer(|number| time(number, UNIX * 1000, 0)).as_secs();
    assert!((1800..2300).contains(&waited), "{waited} s");
    let waited = bench.answer(|number| kiss(number, b"RATE")).as_secs();
    assert!((1800..2300).contains(&waited), "also once it is answered: {waited} s");
    let waited = bench.answer(|number| time(number, UNIX * 1000, 0)).as_secs();
    assert!((3600..4600).contains(&waited), "{waited} s");
}

#[test]
fn a_time_that_cannot_be_is_not_taken() {
    let wrong: [fn(u64) -> [u8; MESSAGE]; 4] = [
        |number| kiss(number, b"INIT"),
        // Served for longer than it took.
        |number| time(number, UNIX * 1000, 2_000),
        |number| {
            let mut message = time(number, UNIX * 1000, 0);
            message[0] |= 0xc0;
            message
        },
        |number| {
            let mut message = time(number, UNIX * 1000, 0);
            let (received, sent) = message.split_at_mut(40);
            received[32..40].copy_from_slice(sent);
            sent[3] -= 1;
            message
        },
    ];
    for (index, message) in wrong.into_iter().enumerate() {
        let mut bench = Bench::new(CONFIG);
        bench.answer(message);
        assert_eq!(bench.cx.wall_clock(), None, "{index}");
        assert_eq!((bench.sntp.counters.unsynchronised.get(), bench.sntp.server), (1, 1));
    }
}

#[test]
fn a_network_that_is_not_up_yet_is_waited_for() {
    let mut bench = Bench::new(CONFIG);
    bench.udp.sent.clear();
    let mut bench =
        Bench { names: Names { why: Some(NoAddress::NoServer), ..Names::default() }, ..bench };
    bench.pass(6_000);
    bench.sntp.addresses.clear();
    bench.pass(40_000);
    let asked = bench.names.asked.len();
    assert!(asked > 15, "about every second: {asked}");
    bench.names.why = None;
    bench.answer(|number| time(number, UNIX * 1000, 0));
    assert!(bench.cx.wall_clock().is_some());
}

#[test]
fn without_a_server_the_image_does_not_start() {
    let mut cx = testing::context(4, 1);
    let mut sntp = Sntp::new(Box::leak(Box::new(Config { servers: &[], ..CONFIG })), &mut cx);
    let (mut udp, mut names) = (Udp::default(), Names::default());
    assert!(sntp.init(&mut (&mut udp, &mut names), &mut cx).is_err());
}
