//! A graph on a TAP device of this process, in real time, beside programs that visit it.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant as Clock};
use waitless::device::Platform;
use waitless::dial::Dialer;
use waitless::http::Handler;
use waitless::task::Tasks;
use waitless::{Context, Instant, Sweep, testing};
use waitless_tests::graphs::peers;
use waitless_tests::lab::Tap;
use waitless_tests::world;

/// Buffers of the graph.
const BUFFERS: usize = 4096;
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long to rest when nothing is due: the TAP device wakes nobody here.
const REST: Duration = Duration::from_micros(200);
/// Where this machine says what it heard.
pub const LISTENER: u16 = 8099;

/// A graph with its surroundings.
pub struct Host<G> {
    pub graph: G,
    pub cx: Context,
    begun: Clock,
}

/// A platform whose descriptors are looked at in each turn.
struct Polled;

impl Platform for Polled {
    fn name(&self) -> &'static str {
        "test"
    }

    fn wake_on(&self, _: i32) -> bool {
        true
    }
}

/// The graph `peers` on `tap`, with an address of its own, or one that it asks for.
#[track_caller]
pub fn on(tap: &Tap, address: Option<Ipv4Addr>) -> Host<peers::Graph<impl Handler + use<>>> {
    Host::new(|cx| {
        let mut graph = peers::graph(cx);
        graph.nic = card(tap, cx);
        if let Some(address) = address {
            let config = ipv4::Config {
                address: Some((address, 24)),
                gateway: Some(tap.address),
                dns: &[],
                ttl: 64,
                mtu: None,
                reassembly: 16,
                reassembly_timeout: waitless::Duration::from_secs(3),
            };
            graph.ip4 = ipv4::Ipv4::new(leak(config), cx);
        }
        graph
    })
}

/// A card on `tap`.
pub fn card(tap: &Tap, cx: &mut Context) -> tap::Tap {
    let device = leak(tap.name.clone()).as_str();
    tap::Tap::new(leak(tap::Config { device, mac: None, mtu: None }), cx)
}

impl<G: Sweep> Host<G> {
    #[track_caller]
    pub fn new(make: impl FnOnce(&mut Context) -> G) -> Self {
        let mut cx = testing::context_on(&Polled, BUFFERS, 1);
        let mut graph = make(&mut cx);
        let ready = graph.init(&mut cx);
        assert!(ready.is_ok(), "{ready:?}");
        Self { graph, cx, begun: Clock::now() }
    }

    /// One sweep.
    pub fn turn(&mut self) {
        let now = Instant::from_nanos(self.begun.elapsed().as_nanos() as u64);
        self.cx.set_now(now);
        self.graph.poll(&mut self.cx);
        if self.graph.deadline() > now {
            thread::sleep(REST);
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = Clock::now() + time;
        while Clock::now() < end {
            self.turn();
        }
    }

    /// Sweeps until `done` gives something.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Clock::now() + PATIENCE;
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            assert!(Clock::now() < end, "waited for {what}\n{}", world::counters(&self.cx));
            self.turn();
        }
    }

    /// Sweeps while `work` goes on beside: a program that visits the host, and ends in its time.
    pub fn during<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let worker = scope.spawn(work);
            while !worker.is_finished() {
                self.turn();
            }
            worker.join().unwrap_or_else(|panic| {
                println!("{}", world::counters(&self.cx));
                resume_unwind(panic)
            })
        })
    }

    /// The counter `name` of the instance `instance`.
    #[track_caller]
    pub fn counter(&self, instance: &str, name: &str) -> u64 {
        world::counter(&self.cx, instance, name)
    }

    /// What a handler hears that connects to `target`, asks, and says that it has said all; or why
    /// it does not.
    #[track_caller]
    pub fn reach(&mut self, target: &str) -> String {
        let dialer = self.cx.system().dialer().expect("the graph dials");
        let said = Rc::new(RefCell::new(None));
        let (tell, to) = (Rc::clone(&said), target.to_owned());
        let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
        tasks.grow().expect("room for a task");
        let ask = async move { *tell.borrow_mut() = Some(heard_at(dialer, &to).await) };
        tasks.start(0, Box::pin(ask));
        let said = self.until(&format!("an answer of {target}"), |host| {
            tasks.scheduler().advance(host.cx.now(), 8);
            tasks.run(8);
            said.take()
        });
        println!("{target}: {said}");
        said
    }
}

async fn heard_at(dialer: &'static Dialer, target: &str) -> String {
    let mut connection = match dialer.connect(target).await {
        Ok(connection) => connection,
        Err(why) => return why.to_string(),
    };
    if let Err(why) = connection.write(b"who am I?").await {
        return why.to_string();
    }
    connection.finish();
    let mut heard = String::new();
    loop {
        match connection.recv().await {
            Ok(Some(packet)) => heard.push_str(&String::from_utf8_lossy(packet.bytes())),
            Ok(None) => return heard,
            Err(why) => return why.to_string(),
        }
    }
}

/// From the first call on, says whom it heard what from, on every address of this machine.
pub fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        let listener = TcpListener::bind(("::", LISTENER)).expect("a free port");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || tell(stream));
            }
        });
    });
}

/// An error ends the connection, and who asked sees that.
fn tell(mut stream: TcpStream) -> io::Result<()> {
    let here = stream.local_addr()?.ip().to_canonical();
    let mut heard = String::new();
    // The graph says when it has said all.
    stream.read_to_string(&mut heard)?;
    write!(stream, "{here} heard {heard}")
}

/// Configurations live as long as the program.
pub fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
