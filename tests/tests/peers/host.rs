//! A graph on a TAP device of this process, in real time, beside programs that visit it.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Once;
use std::thread;
use std::time::Duration;
use waitless::dial::Dialer;
use waitless::http::Handler;
use waitless::task::Tasks;
use waitless::{Context, Sweep};
use waitless_tests::graphs::peers;
use waitless_tests::lab::Tap;
use waitless_tests::live::{Host, Live, card, leak};

/// Buffers of the graph.
const BUFFERS: usize = 4096;
/// How long to rest when nothing is due: the TAP device wakes nobody here.
const REST: Duration = Duration::from_micros(200);
/// Where this machine says what it heard.
pub const LISTENER: u16 = 8099;

/// The graph that `make` makes.
#[track_caller]
pub fn with<G: Sweep>(make: impl FnOnce(&mut Context) -> G) -> Host<G> {
    Host::new(BUFFERS, REST, make)
}

/// The graph `peers` on `tap`, with an address of its own, or one that it asks for.
#[track_caller]
pub fn on(tap: &Tap, address: Option<Ipv4Addr>) -> Host<peers::Graph<impl Handler + use<>>> {
    with(|cx| {
        let mut graph = peers::graph(cx);
        graph.nic = card(tap, cx);
        if let Some(address) = address {
            graph.ip4 = fixed(tap, address, &[], cx);
        }
        graph
    })
}

/// IPv4 with an address of its own on `tap`, and servers of names.
pub fn fixed(
    tap: &Tap,
    address: Ipv4Addr,
    dns: &'static [Ipv4Addr],
    cx: &mut Context,
) -> ipv4::Ipv4 {
    let config = ipv4::Config {
        address: Some((address, 24)),
        gateway: Some(tap.address),
        routes: &[],
        dns,
        ttl: 64,
        mtu: None,
        reassembly: 16,
        reassembly_timeout: waitless::Duration::from_secs(3),
    };
    ipv4::Ipv4::new(leak(config), cx)
}

/// What a handler hears that connects to `target`, asks, and says that it has said all; or why
/// it does not.
#[track_caller]
pub fn reach<G: Sweep>(host: &mut Host<G>, target: &str) -> String {
    let dialer = host.cx.system().dialer().expect("the graph dials");
    hear(host, target, async |to| heard_at(dialer, to, b"who am I?", true).await)
}

/// The page that a handler gets of `target` over TLS, or why it does not.
#[track_caller]
pub fn fetch<G: Sweep>(host: &mut Host<G>, target: &str) -> String {
    let dialer = host.cx.system().secure_dialer().expect("the graph dials with TLS");
    // openssl resets a connection on which there is something that it has not read.
    hear(host, target, async |to| heard_at(dialer, to, b"GET / HTTP/1.0\r\n\r\n", false).await)
}

#[track_caller]
fn hear<G: Sweep>(
    host: &mut Host<G>,
    target: &str,
    ask: impl AsyncFnOnce(&str) -> String + 'static,
) -> String {
    let said = Rc::new(RefCell::new(None));
    let (tell, to) = (Rc::clone(&said), target.to_owned());
    let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
    tasks.grow().expect("room for a task");
    tasks.start(0, Box::pin(async move { *tell.borrow_mut() = Some(ask(&to).await) }));
    let said = host.until(&format!("an answer of {target}"), |host| {
        tasks.scheduler().advance(host.cx.now(), 8);
        tasks.run(8);
        said.take()
    });
    println!("{target}: {said}");
    said
}

async fn heard_at(dialer: &'static Dialer, target: &str, question: &[u8], is_all: bool) -> String {
    let mut connection = match dialer.connect(target).await {
        Ok(connection) => connection,
        Err(why) => return why.to_string(),
    };
    if let Err(why) = connection.write(question).await {
        return why.to_string();
    }
    if is_all {
        connection.finish();
    }
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
