//! The component, lent a fake TCP and a fake resolver, with handlers as tasks. A test reads like a
//! trace: what is asked, what is tried when, what the handler gets.

extern crate std;

use super::*;
use core::net::{IpAddr, SocketAddr};
use core::pin::Pin;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec;
use std::{format, vec::Vec};
use waitless::dial::Connection;
use waitless::task::Tasks;
use waitless::{
    Addresses, AskError, ConnectError, Family, ListenError, NoAddress, Packet, Question, Status,
    testing,
};

const CONFIG: Config = Config {
    connections: 3,
    timeout: Duration::from_secs(30),
    stagger: Duration::from_millis(250),
};

const V6: [&str; 2] = ["2001:db8::1", "2001:db8::2"];
const V4: [&str; 2] = ["192.0.2.1", "192.0.2.2"];

#[derive(Default)]
struct Tcp {
    connections: Vec<Made>,
    news: VecDeque<Stream>,
    no_route: Vec<IpAddr>,
    no_room: bool,
    /// It makes sure of the other end, whose name it is told.
    secure: bool,
    names: Vec<String>,
    failure: Option<&'static str>,
}

/// A connection that was made.
struct Made {
    remote: SocketAddr,
    tag: Option<u32>,
    phase: Phase,
    finished: bool,
    arrived: VecDeque<Packet>,
    sent: Vec<u8>,
    closed: bool,
    aborted: bool,
    released: bool,
}

impl Tcp {
    fn at(&self, stream: Stream) -> &Made {
        &self.connections[stream.index as usize]
    }

    fn at_mut(&mut self, stream: Stream) -> &mut Made {
        let made = &mut self.connections[stream.index as usize];
        assert!(!made.released, "used after it was given up");
        made
    }
}

impl StreamPort for Tcp {
    fn attach(&mut self) -> Option<Service> {
        Some(Service(1))
    }

    fn listen(&mut self, _: Service, _: u16) -> Result<(), ListenError> {
        panic!("who dials does not listen");
    }

    fn connect(&mut self, _: Service, remote: SocketAddr) -> Result<Stream, ConnectError> {
        if self.no_route.contains(&remote.ip()) {
            return Err(ConnectError::NoRoute);
        }
        self.connections.push(Made {
            remote,
            tag: None,
            phase: Phase::Opening,
            finished: false,
            arrived: VecDeque::new(),
            sent: Vec::new(),
            closed: false,
            aborted: false,
            released: false,
        });
        Ok(Stream { index: self.connections.len() as u32 - 1, generation: 0 })
    }

    fn connect_to(
        &mut self,
        service: Service,
        remote: SocketAddr,
        name: &str,
    ) -> Result<Stream, ConnectError> {
        self.names.push(name.to_string());
        self.connect(service, remote)
    }

    fn is_secure(&self) -> bool {
        self.secure
    }

    fn failure(&self, _: Stream) -> Option<&'static str> {
        self.failure
    }

    fn news(&mut self, _: Service) -> Option<Stream> {
        self.news.pop_front()
    }

    fn status(&self, stream: Stream) -> Status {
        let made = self.at(stream);
        let readable = made.arrived.iter().map(Packet::len).sum();
        Status { phase: made.phase, finished: made.finished, readable, ..Status::default() }
    }

    fn tag(&self, stream: Stream) -> Option<u32> {
        self.at(stream).tag
    }

    fn set_tag(&mut self, stream: Stream, tag: u32) {
        self.at_mut(stream).tag = Some(tag);
    }

    fn peer(&self, stream: Stream) -> Option<SocketAddr> {
        Some(self.at(stream).remote)
    }

    fn local(&self, _: Stream) -> Option<SocketAddr> {
        None
    }

    fn readable(&self, _: Stream) -> &[u8] {
        &[]
    }

    fn consume(&mut self, _: Stream, _: usize) {}

    fn recv(&mut self, stream: Stream) -> Option<Packet> {
        self.at_mut(stream).arrived.pop_front()
    }

    fn writable(&mut self, _: Stream) -> &mut [u8] {
        &mut []
    }

    fn commit(&mut self, _: Stream, _: usize) {}

    fn send(&mut self, stream: Stream, packet: Packet) -> Result<(), Packet> {
        if self.no_room {
            return Err(packet);
        }
        let made = self.at_mut(stream);
        assert!(!made.closed, "sent after the end");
        made.sent.extend(packet.bytes());
        Ok(())
    }

    fn close(&mut self, stream: Stream) {
        self.at_mut(stream).closed = true;
    }

    fn abort(&mut self, stream: Stream) {
        self.at_mut(stream).aborted = true;
    }

    fn release(&mut self, stream: Stream) {
        self.at_mut(stream).released = true;
    }
}

/// A resolver: questions by number, and what is known.
#[derive(Default)]
struct Names {
    asked: Vec<(String, Family)>,
    answers: Vec<Option<Result<Addresses, NoAddress>>>,
    open: usize,
    refuses: Option<AskError>,
}

impl ResolverPort for Names {
    fn ask(&mut self, name: &str, family: Family) -> Result<Question, AskError> {
        if let Some(why) = self.refuses {
            return Err(why);
        }
        self.asked.push((name.to_string(), family));
        self.answers.push(None);
        self.open += 1;
        Ok(Question { index: self.asked.len() as u16 - 1, generation: 0 })
    }

    fn answer(&mut self, question: Question) -> Option<Result<Addresses, NoAddress>> {
        let answer = self.answers[usize::from(question.index)].take()?;
        self.open -= 1;
        Some(answer)
    }

    fn forget(&mut self, _: Question) {
        self.open -= 1;
    }
}

/// What a handler has to say.
type Said = Rc<RefCell<Vec<String>>>;

struct Bench {
    dial: Dial,
    tcp: Tcp,
    names: Names,
    cx: Context,
    tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>>,
    handlers: u32,
    said: Said,
}

impl Bench {
    fn new() -> Self {
        Self::on(Tcp::default())
    }

    fn on(mut tcp: Tcp) -> Self {
        let mut cx = testing::context(64, 3);
        let mut dial = Dial::new(&CONFIG, &mut cx);
        let mut names = Names::default();
        dial.init(&mut (&mut tcp, &mut names), &mut cx).unwrap();
        let tasks = Tasks::new(8);
        Self { dial, tcp, names, cx, tasks, handlers: 0, said: Said::default() }
    }

    /// A handler that connects to `target` and then does something.
    fn handler<F: Future<Output = ()> + 'static>(
        &mut self,
        target: &'static str,
        then: impl FnOnce(Connection, Said) -> F + 'static,
    ) {
        let system = self.cx.system();
        let dialer = if self.tcp.secure { system.secure_dialer() } else { system.dialer() };
        let (dialer, said) = (dialer.unwrap(), self.said.clone());
        self.tasks.grow().unwrap();
        let future = Box::pin(async move {
            match dialer.connect(target).await {
                Ok(connection) => {
                    let peer = connection.peer().unwrap();
                    said.borrow_mut().push(format!("open {peer}"));
                    then(connection, said).await;
                }
                Err(why) => said.borrow_mut().push(format!("{why:?}")),
            }
        });
        self.tasks.start(self.handlers, future);
        self.handlers += 1;
        self.sweep();
    }

    /// One that connects and keeps the connection until something comes.
    fn caller(&mut self, target: &'static str) {
        self.handler(target, |mut connection, said| async move {
            let end = loop {
                match connection.recv().await {
                    Ok(Some(packet)) => {
                        let text = String::from_utf8_lossy(packet.bytes()).into_owned();
                        said.borrow_mut().push(text);
                    }
                    end => break end,
                }
            };
            said.borrow_mut().push(format!("{:?}", end.map(|_| "end")));
        });
    }

    fn sweep(&mut self) {
        for _ in 0..3 {
            let below = &mut (&mut self.tcp, &mut self.names);
            self.dial.receive(below, &mut self.cx);
            self.tasks.scheduler().advance(self.cx.now(), 8);
            self.tasks.run(32);
            self.dial.transmit(below, &mut self.cx);
        }
    }

    fn deadline(&self) -> Instant {
        Component::<(&mut Tcp, &mut Names)>::deadline(&self.dial)
    }

    /// Lets `millis` pass, with the sweeps that the component asks for.
    fn pass(&mut self, millis: u64) {
        let end = self.cx.now() + Duration::from_millis(millis);
        while self.deadline() <= end {
            let due = self.deadline().max(self.cx.now());
            self.cx.set_now(due);
            self.sweep();
            assert!(self.deadline() > due, "busy with nothing");
        }
        self.cx.set_now(end);
        self.sweep();
    }

    /// The resolver's answer to question number `question`.
    fn resolve(&mut self, question: usize, addresses: &[&str]) {
        let found: Addresses =
            addresses.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
        let none = Err(NoAddress::NoneOfFamily);
        let answer = if addresses.is_empty() { none } else { Ok(found) };
        self.names.answers[question] = Some(answer);
        self.sweep();
    }

    /// What becomes of attempt number `attempt`.
    fn becomes(&mut self, attempt: u32, phase: Phase) {
        self.tcp.connections[attempt as usize].phase = phase;
        self.news(attempt);
    }

    fn news(&mut self, attempt: u32) {
        self.tcp.news.push_back(Stream { index: attempt, generation: 0 });
        self.sweep();
    }

    fn arrive(&mut self, attempt: u32, text: &str) {
        let mut packet = self.cx.packet().unwrap();
        packet.append(text.as_bytes()).unwrap();
        self.tcp.connections[attempt as usize].arrived.push_back(packet);
        self.news(attempt);
    }

    /// The addresses that were tried so far.
    fn tried(&self) -> Vec<String> {
        self.tcp.connections.iter().map(|made| made.remote.ip().to_string()).collect()
    }

    fn said(&mut self) -> Vec<String> {
        self.said.take()
    }

    /// Nothing is left of what was begun.
    #[track_caller]
    fn expect_rest(&mut self) {
        assert!(self.tcp.connections.iter().all(|made| made.released), "all are given up");
        assert_eq!((self.names.open, self.deadline()), (0, Instant::NEVER));
        assert!(self.dial.dialer.lines().iter().all(|line| line.work() == Work::None));
        assert_eq!(self.dial.counters.open.get(), 0);
        for made in &mut self.tcp.connections {
            made.arrived.clear();
        }
        assert_eq!(self.cx.pool().available(), self.cx.pool().count());
    }
}

#[test]
fn what_makes_sure_of_the_other_end_is_told_its_name_and_says_what_is_wrong() {
    let mut bench = Bench::on(Tcp { secure: true, ..Tcp::default() });
    assert!(bench.cx.system().dialer().is_none());
    bench.caller("example.org:443");
    bench.resolve(0, &V6[..1]);
    bench.resolve(1, &V4[..1]);
    bench.tcp.failure = Some("it is somebody else");
    bench.becomes(0, Phase::Reset);
    assert_eq!(bench.tried(), [V6[0], V4[0]], "the next address has its turn");
    bench.becomes(1, Phase::Reset);
    assert_eq!(bench.said(), ["Insecure(\"it is somebody else\")"]);
    assert_eq!(bench.tcp.names, ["example.org", "example.org"]);
    bench.expect_rest();
    let bench = Bench::new();
    assert!(bench.cx.system().secure_dialer().is_none());
}

#[test]
fn both_kinds_of_addresses_are_asked_for_and_ipv6_is_tried_first() {
    let mut bench = Bench::new();
    bench.caller("example.org:80");
    let asked = [("example.org".to_string(), Family::V6), ("example.org".to_string(), Family::V4)];
    assert_eq!(bench.names.asked, asked);
    bench.resolve(0, &V6);
    assert_eq!(bench.tried(), [V6[0]]);
    bench.resolve(1, &V4);
    bench.pass(240);
    assert_eq!(bench.tried(), [V6[0]]);
    bench.pass(10);
    assert_eq!(bench.tried(), [V6[0], V4[0]], "in turn");
    bench.pass(500);
    assert_eq!(bench.tried(), [V6[0], V4[0], V6[1], V4[1]]);
    bench.becomes(1, Phase::Open);
    assert_eq!(bench.said(), ["open 192.0.2.1:80"]);
    let aborted: Vec<_> = bench.tcp.connections.iter().map(|made| made.aborted).collect();
    assert_eq!(aborted, [true, false, true, true], "the others are given up");
    bench.arrive(1, "hello");
    bench.tcp.connections[1].finished = true;
    bench.news(1);
    assert_eq!(bench.said(), ["hello", "Ok(\"end\")"]);
    bench.sweep();
    bench.expect_rest();
}

#[test]
fn addresses_that_say_nothing_do_not_keep_the_others_from_being_tried() {
    let mut bench = Bench::new();
    bench.caller("example.org:80");
    let six = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5"];
    bench.resolve(0, &six);
    bench.resolve(1, &["192.0.2.1"]);
    bench.pass(750);
    assert_eq!(bench.tried(), [six[0], "192.0.2.1", six[1], six[2]]);
    bench.pass(999);
    assert_eq!(bench.tried().len(), 4);
    bench.pass(1);
    assert_eq!(bench.tried()[4..], [six[3]], "each has a second at least");
    let given_up = |bench: &Bench| {
        let made = bench.tcp.connections.iter();
        made.map(|made| (made.aborted, made.released)).take_while(|it| *it == (true, true)).count()
    };
    assert_eq!(given_up(&bench), 1);
    bench.pass(1000);
    assert_eq!((bench.tried()[5..].to_vec(), given_up(&bench)), (vec![six[4].to_string()], 2));
    bench.becomes(5, Phase::Open);
    assert_eq!(bench.said(), ["open [2001:db8::5]:80"]);
    bench.arrive(5, "hello");
    bench.tcp.connections[5].finished = true;
    bench.news(5);
    bench.sweep();
    bench.expect_rest();
}

#[test]
fn ipv4_waits_a_moment_for_ipv6() {
    let mut bench = Bench::new();
    bench.caller("example.org:80");
    bench.resolve(1, &V4);
    bench.pass(49);
    assert!(bench.tried().is_empty());
    bench.pass(1);
    assert_eq!(bench.tried(), [V4[0]]);
    // Addresses of the other kind come late, and their turn comes next.
    bench.resolve(0, &V6);
    bench.pass(250);
    assert_eq!(bench.tried(), [V4[0], V6[0]]);
    // Nothing is waited for when there are none, or they come in time.
    for (late, expected) in [(&[][..], V4[0]), (&V6[..], V6[0])] {
        let mut bench = Bench::new();
        bench.caller("example.org:80");
        bench.resolve(1, &V4);
        bench.pass(20);
        bench.resolve(0, late);
        assert_eq!(bench.tried(), [expected]);
    }
}

#[test]
fn an_address_that_fails_makes_room_for_the_next_at_once() {
    let mut bench = Bench::new();
    bench.tcp.no_route.push(V6[1].parse().unwrap());
    bench.caller("example.org:80");
    bench.resolve(0, &V6);
    bench.resolve(1, &V4);
    bench.becomes(0, Phase::Reset);
    assert_eq!(bench.tried(), [V6[0], V4[0]]);
    bench.becomes(1, Phase::Unreachable);
    assert_eq!(bench.tried(), [V6[0], V4[0], V4[1]], "the one without a route is passed over");
    bench.becomes(2, Phase::Reset);
    assert_eq!(bench.said(), ["Refused"]);
    assert_eq!((bench.dial.counters.tried.get(), bench.dial.counters.refused.get()), (4, 4));
    bench.expect_rest();
}

#[test]
fn names_without_addresses_say_why() {
    use NoAddress::{Failed, NoSuchName, NoneOfFamily, TimedOut};
    let cases = [
        (NoSuchName, NoSuchName, NoSuchName),
        (NoneOfFamily, NoneOfFamily, NoneOfFamily),
        (NoneOfFamily, TimedOut, TimedOut),
        (Failed, NoneOfFamily, Failed),
    ];
    for (v6, v4, expected) in cases {
        let mut bench = Bench::new();
        bench.caller("example.org:80");
        bench.names.answers = vec![Some(Err(v6)), Some(Err(v4))];
        bench.pass(1);
        assert_eq!(bench.said(), [format!("NoAddress({expected:?})")]);
        bench.expect_rest();
    }
    for (why, expected) in [(AskError::BadName, "BadTarget"), (AskError::Full, "Full")] {
        let mut bench = Bench::new();
        bench.names.refuses = Some(why);
        bench.caller("example.org:80");
        assert_eq!(bench.said(), [expected]);
        bench.expect_rest();
    }
}

#[test]
fn what_takes_too_long_is_given_up() {
    let mut bench = Bench::new();
    bench.caller("example.org:80");
    bench.resolve(0, &V6[..1]);
    bench.pass(29_900);
    assert!(bench.said().is_empty());
    bench.pass(200);
    assert_eq!(bench.said(), ["TimedOut"]);
    bench.expect_rest();
}

#[test]
fn a_handler_that_goes_away_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.caller("example.org:80");
    bench.resolve(0, &V6);
    bench.tasks.stop(0);
    bench.sweep();
    assert_eq!(bench.dial.counters.abandoned.get(), 1);
    bench.expect_rest();
}

#[test]
fn what_is_written_is_sent_also_after_the_handler_is_gone() {
    let mut bench = Bench::new();
    bench.tcp.no_room = true;
    bench.handler("192.0.2.7:9", |mut connection, _| async move {
        for part in ["one ", "two ", "three"] {
            connection.write(part.as_bytes()).await.unwrap();
        }
        connection.finish();
        assert!(connection.write(b"more").await.is_err());
    });
    bench.resolve(0, &[]);
    bench.resolve(1, &["192.0.2.7"]);
    bench.becomes(0, Phase::Open);
    assert_eq!(bench.said(), ["open 192.0.2.7:9"]);
    assert!(bench.tcp.connections[0].sent.is_empty() && !bench.tcp.connections[0].released);
    bench.tcp.no_room = false;
    bench.news(0);
    let made = &bench.tcp.connections[0];
    assert_eq!((&made.sent[..], made.closed, made.released), (&b"one two three"[..], true, true));
    bench.expect_rest();
}

#[test]
fn a_handler_that_does_not_read_holds_its_own_connection_up() {
    let mut bench = Bench::new();
    let gate = Rc::new(RefCell::new(false));
    let opened = gate.clone();
    bench.handler("192.0.2.7:9", |mut connection, said| async move {
        while !*opened.borrow() {
            waitless::task::sleep(Duration::from_millis(10)).await;
        }
        let mut count = 0;
        while connection.recv().await.unwrap().is_some() {
            count += 1;
        }
        said.borrow_mut().push(format!("{count} packets"));
    });
    bench.resolve(0, &[]);
    bench.resolve(1, &["192.0.2.7"]);
    bench.becomes(0, Phase::Open);
    for _ in 0..20 {
        bench.arrive(0, "x");
    }
    assert_eq!(bench.tcp.connections[0].arrived.len(), 12, "eight wait for the handler");
    bench.tcp.connections[0].finished = true;
    *gate.borrow_mut() = true;
    for _ in 0..20 {
        bench.pass(20);
    }
    assert_eq!(bench.said(), ["open 192.0.2.7:9", "20 packets"]);
    bench.expect_rest();
}

#[test]
fn a_connection_that_breaks_says_how() {
    for (phase, expected) in [
        (Phase::Reset, "Err(Reset)"),
        (Phase::TimedOut, "Err(TimedOut)"),
        (Phase::Unreachable, "Err(Unreachable)"),
        (Phase::Closed, "Ok(\"end\")"),
    ] {
        let mut bench = Bench::new();
        bench.caller("[2001:db8::1]:443");
        bench.resolve(0, &V6[..1]);
        bench.resolve(1, &[]);
        bench.becomes(0, Phase::Open);
        bench.arrive(0, "the last words");
        bench.becomes(0, phase);
        let said = ["open [2001:db8::1]:443", "the last words", expected];
        assert_eq!(bench.said(), said);
        bench.sweep();
        bench.expect_rest();
    }
}

#[test]
fn lines_and_targets_have_limits() {
    let mut bench = Bench::new();
    for target in ["example.org", "example.org:0", "example.org:x", ":80", "fe80::1:80", "[::1:80"]
    {
        bench.caller(target);
        assert_eq!(bench.said(), ["BadTarget"], "{target}");
        bench.tasks = Tasks::new(8);
        bench.handlers = 0;
    }
    for _ in 0..3 {
        bench.caller("example.org:80");
    }
    assert!(bench.said().is_empty());
    bench.caller("example.org:80");
    assert_eq!(bench.said(), ["Full"]);
    bench.tasks.stop(0);
    bench.sweep();
    bench.caller("example.org:80");
    assert!(bench.said().is_empty(), "its line is free again");
}
