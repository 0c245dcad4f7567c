//! The client, with handlers as tasks and servers that say what a test says, in virtual time.

extern crate std;

mod answers;
mod bodies;
mod kept;
mod malformed;
mod redirects;
mod times;
mod upgrades;

use super::*;
use core::pin::Pin;
use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::format;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;
use waitless::dial::{Broken, DialError, Dialer, Work};
use waitless::http::client::{Answer, FetchError, Source};
use waitless::http::{Length, Method};
use waitless::task::Tasks;
use waitless::{Duration, Packet, testing};

const CONFIG: Config = Config {
    connections: 4,
    per_server: 2,
    waiting: 2,
    wait_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(15),
    connect_timeout: Duration::from_secs(10),
    send_timeout: Duration::from_secs(20),
    answer_timeout: Duration::from_secs(30),
    body_timeout: Duration::from_secs(40),
    continue_timeout: Duration::from_secs(1),
    head_limit: 4096,
    field_limit: 20,
    agent: "",
};

/// What handlers have said.
type Said = Rc<RefCell<Vec<String>>>;

/// A connection, as the server sees it.
#[derive(Default)]
struct Served {
    line: u32,
    target: String,
    /// What has come.
    heard: Vec<u8>,
    /// What is to be said, and whether the end follows.
    to_say: VecDeque<Packet>,
    ends: bool,
    /// Whether nothing is taken.
    deaf: bool,
    /// Whether the client has given it up.
    left: bool,
}

struct Bench {
    fetch: Fetch,
    dialer: &'static Dialer,
    cx: Context,
    tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>>,
    handlers: u32,
    said: Said,
    served: Vec<Served>,
    /// What is there by the number of a line.
    at: BTreeMap<u32, usize>,
    /// Why nobody answers, if nobody does.
    refuses: Option<Option<DialError>>,
}

impl Bench {
    fn new() -> Self {
        Self::with(&CONFIG)
    }

    fn with(config: &'static Config) -> Self {
        let mut cx = testing::context(128, 3);
        let dialer = Dialer::leak(6, cx.pool());
        cx.system().set_dialer(dialer);
        let fetch = Fetch::new(config, &mut cx);
        Self {
            fetch,
            dialer,
            cx,
            tasks: Tasks::new(64),
            handlers: 0,
            said: Said::default(),
            served: Vec::new(),
            at: BTreeMap::new(),
            refuses: None,
        }
    }

    /// A handler that says what comes out of `work`.
    fn handler<F>(&mut self, work: impl FnOnce(&'static Client) -> F)
    where
        F: Future<Output = String> + 'static,
    {
        let (work, said) = (work(self.cx.system().client().unwrap()), self.said.clone());
        self.tasks.grow().unwrap();
        let future = async move {
            let text = work.await;
            said.borrow_mut().push(text);
        };
        self.tasks.start(self.handlers, Box::pin(future));
        self.handlers += 1;
        self.sweep();
    }

    /// A handler that asks for `url` and says all of the answer.
    fn get(&mut self, url: &'static str) {
        self.ask(Method::Get, url);
    }

    fn ask(&mut self, method: Method, url: &'static str) {
        self.handler(
            move |client| async move { told(client.fetch(method, url).send().await).await },
        );
    }

    fn sweep(&mut self) {
        // A sixteenth of a second's worth of a real loop: what is left over comes with the next.
        for _ in 0..16 {
            self.fetch.receive(&mut (), &mut self.cx);
            self.tasks.scheduler().advance(self.cx.now(), 8);
            self.tasks.run(32);
            while let Some(line) = self.dialer.next_work() {
                let (index, work) = (line.index(), line.work());
                self.serve(index, work);
            }
            let all: Vec<u32> = self.at.keys().copied().collect();
            all.into_iter().for_each(|index| self.serve(index, Work::Carry));
        }
    }

    fn serve(&mut self, index: u32, work: Work) {
        let line = &self.dialer.lines()[index as usize];
        if work == Work::Connect {
            match self.refuses {
                None => {}
                Some(None) => return,
                Some(Some(why)) => return line.fail(why),
            }
            let target = line.target(|host, port| format!("{host} {port}"));
            self.at.insert(index, self.served.len());
            self.served.push(Served { line: index, target, ..Served::default() });
            line.open("192.0.2.1:80".parse().unwrap());
        }
        let Some(&at) = self.at.get(&index) else {
            if work == Work::Leave {
                line.reset();
            }
            return;
        };
        let served = &mut self.served[at];
        while !served.deaf || line.work() == Work::Leave {
            let Some(packet) = line.take() else { break };
            served.heard.extend(packet.bytes());
        }
        while line.has_room()
            && let Some(packet) = served.to_say.pop_front()
        {
            line.deliver(packet).unwrap();
        }
        if served.ends && served.to_say.is_empty() {
            line.end();
        }
        if line.work() == Work::Leave {
            served.left = true;
            served.to_say.clear();
            line.reset();
            self.at.remove(&index);
        }
    }

    /// Lets `millis` pass, with the sweeps that are due.
    fn pass(&mut self, millis: u64) {
        let end = self.cx.now() + Duration::from_millis(millis);
        loop {
            let due = self.tasks.scheduler().deadline().min(self.fetch.deadline());
            if due > end {
                break;
            }
            self.cx.set_now(due.max(self.cx.now()));
            self.sweep();
        }
        self.cx.set_now(end);
        self.sweep();
    }

    /// The server of connection number `at` says `bytes`, in packets of `piece` bytes.
    fn say_in(&mut self, at: usize, bytes: &[u8], piece: usize) {
        for part in bytes.chunks(piece) {
            let mut packet = self.cx.packet().unwrap();
            packet.append(part).unwrap();
            self.served[at].to_say.push_back(packet);
        }
        self.sweep();
    }

    fn say(&mut self, at: usize, text: &str) {
        self.say_in(at, text.as_bytes(), 1400);
    }

    /// It closes the connection behind what it has said.
    fn close(&mut self, at: usize) {
        self.served[at].ends = true;
        self.sweep();
    }

    fn reset(&mut self, at: usize) {
        self.dialer.lines()[self.served[at].line as usize].break_off(Broken::Reset);
        self.sweep();
    }

    /// What it heard since it was asked last.
    fn heard(&mut self, at: usize) -> String {
        String::from_utf8(core::mem::take(&mut self.served[at].heard)).unwrap()
    }

    fn said(&mut self) -> Vec<String> {
        self.said.take()
    }

    #[track_caller]
    fn expect(&mut self, said: &[&str]) {
        assert_eq!(self.said(), said);
    }

    /// Connections in use and kept.
    fn open(&self) -> (u64, u64) {
        let counters = self.cx.system().client().unwrap().counters();
        (counters.open.get() - counters.idle.get(), counters.idle.get())
    }

    /// Long after the last request, nothing is left of any.
    #[track_caller]
    fn expect_rest(mut self) {
        self.pass(100_000);
        assert_eq!(self.open(), (0, 0));
        assert!(self.served.iter().all(|served| served.left), "all were given up");
        assert!(self.dialer.lines().iter().all(|line| line.work() == Work::None));
        assert_eq!(self.fetch.deadline(), Instant::NEVER);
        drop(self.tasks);
        assert_eq!(self.cx.pool().available(), self.cx.pool().count());
    }
}

/// All of an answer as text: its status and its body, or why there is none.
async fn told<S: Source>(answer: Result<Answer<S>, FetchError>) -> String {
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(why) => return format!("{why:?}"),
    };
    let status = answer.status().code();
    let mut body = String::new();
    loop {
        match answer.chunk().await {
            Ok(Some(packet)) => body.push_str(&String::from_utf8_lossy(packet.bytes())),
            Ok(None) => return format!("{status} {body}"),
            Err(why) => return format!("{status} {body} {why:?}"),
        }
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
