//! Connections that handlers begin, through a firewall and over every wire.

use crate::seeds;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use waitless::Duration;
use waitless::dial::{Connection, DialError, Dialer};
use waitless::task::Tasks;
use waitless_tests::graphs;
use waitless_tests::wires;
use waitless_tests::world::World;

const BUFFERS: usize = 1024;

/// The server by the address of each version of IP; the client's numbers are others.
const SERVERS: [&str; 2] = ["10.0.0.3:80", "[fe80::ff:fe00:3]:80"];

/// A wire may lose whatever is sent until patience ends; then a handler tries again.
async fn connected(dialer: &'static Dialer, target: &str) -> Connection {
    loop {
        match dialer.connect(target).await {
            Err(DialError::TimedOut) => {}
            outcome => return outcome.expect("it answers"),
        }
    }
}

#[test]
fn a_handler_connects_and_gets_all_that_a_server_says() {
    for (name, wire) in wires::ALL {
        for seed in seeds() {
            for target in SERVERS {
                println!("{name}, seed {seed}, {target}");
                let server = graphs::dual(BUFFERS, 3, seed as u8, wire(seed));
                let mut world = World::new(graphs::names(BUFFERS, !seed as u8), server);
                world.run_for(Duration::from_secs(4));
                let heard = Rc::new(RefCell::new(None));
                let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
                tasks.grow().expect("room for a task");
                let dialer = world.a.cx.system().dialer().expect("the graph dials");
                let tell = heard.clone();
                tasks.start(
                    0,
                    Box::pin(async move {
                        let mut connection = connected(dialer, target).await;
                        let request = b"GET /bytes?count=50000 HTTP/1.1\r\nHost: x\r\n\
                        Connection: close\r\n\r\n";
                        connection.write(request).await.expect("it is open");
                        let mut bytes = Vec::new();
                        while let Some(packet) =
                            connection.recv().await.expect("it ends in agreement")
                        {
                            bytes.extend(packet.bytes());
                        }
                        *tell.borrow_mut() = Some(bytes);
                    }),
                );
                world.run_until(Duration::from_secs(3600), |world| {
                    tasks.scheduler().advance(world.now, 8);
                    tasks.run(8);
                    heard.borrow().is_some()
                });
                let bytes = heard.take().expect("it is done");
                assert!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
                assert!(bytes.len() > 50_000 && bytes.ends_with(b"."));
                drop(tasks);
                // The client also asks servers that are not there, and may be about to.
                world.run_until(Duration::from_secs(600), |world| {
                    (world.a.buffers_out(), world.b.buffers_out()) == (0, 0)
                });
                assert_eq!(world.a.counter("dial", "open"), 0);
            }
        }
    }
}
