//! What handlers ask of other servers, over every wire.

use crate::seeds;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use waitless::dial::DialError;
use waitless::http::client::{Client, FetchError};
use waitless::http::{Length, Method, Status};
use waitless::task::{Tasks, channel, join};
use waitless::{Duration, Packet, Pool};
use waitless_tests::graphs;
use waitless_tests::wires;
use waitless_tests::world::World;

const BUFFERS: usize = 1024;
/// Bytes that go to the server and come back.
const ECHOED: usize = 40_000;
const SERVER: &str = "http://10.0.0.3";

/// A short answer, a long one, and one that comes back as it is sent.
async fn visit(client: &'static Client, pool: Pool) -> Result<(), FetchError> {
    let hello = format!("{SERVER}/hello");
    for _ in 0..2 {
        let mut answer = client.fetch(Method::Get, &hello).send().await?;
        assert_eq!(answer.text(100).await?, "hello");
    }
    let bytes = format!("{SERVER}/bytes?count=50000");
    let body = client.fetch(Method::Get, &bytes).send().await?.collect(50_000).await?;
    assert!(body.len() == 50_000 && body.iter().all(|byte| *byte == b'.'));
    let (sender, receiver) = channel::<Packet>(2);
    let give = async move {
        let mut sent = 0;
        while sent < ECHOED {
            let Some(mut packet) = pool.packet() else {
                waitless::task::sleep(Duration::from_millis(1)).await;
                continue;
            };
            let count = 1000.min(ECHOED - sent);
            for (at, byte) in
                packet.extend(count).expect("a buffer is longer").iter_mut().enumerate()
            {
                *byte = (sent + at) as u8;
            }
            sent += count;
            if sender.send(packet).await.is_err() {
                return;
            }
        }
    };
    let take = async {
        let echo = format!("{SERVER}/echo");
        let mut answer =
            client.fetch(Method::Post, &echo).stream(receiver, Length::Unknown).send().await?;
        assert_eq!(answer.status(), Status::OK);
        answer.collect(ECHOED).await
    };
    let ((), echoed) = join(give, take).await;
    let echoed = echoed?;
    assert!(echoed.len() == ECHOED && (0..).zip(&echoed).all(|(at, byte)| *byte == at as u8));
    Ok(())
}

#[test]
fn a_handler_gets_what_it_asks_for() {
    for (name, wire) in wires::ALL {
        for seed in seeds() {
            println!("{name}, seed {seed}");
            let server = graphs::dual(BUFFERS, 3, seed as u8, wire(seed));
            let mut world = World::new(graphs::names(BUFFERS, !seed as u8), server);
            world.run_for(Duration::from_secs(4));
            let system = world.a.cx.system();
            let (client, pool) = (system.client().expect("the graph fetches"), world.a.cx.pool());
            let done = Rc::new(RefCell::new(false));
            let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
            tasks.grow().expect("room for a task");
            let tell = done.clone();
            let work = async move {
                loop {
                    match visit(client, pool).await {
                        Ok(()) => break,
                        // A wire may lose whatever is sent until somebody's patience ends.
                        Err(
                            FetchError::Late(_)
                            | FetchError::Broken(_)
                            | FetchError::Closed { .. }
                            | FetchError::Dial(DialError::TimedOut),
                        ) => {}
                        Err(why) => panic!("{why}"),
                    }
                }
                *tell.borrow_mut() = true;
            };
            tasks.start(0, Box::pin(work));
            world.run_until(Duration::from_secs(3600), |world| {
                tasks.scheduler().advance(world.now, 8);
                tasks.run(8);
                *done.borrow()
            });
            assert!(*done.borrow(), "it is done");
            if *name == "clean" {
                let count = |what| world.a.counter("fetch", what);
                assert_eq!((count("connected"), count("reused"), count("failed")), (1, 3, 0));
            }
            drop(tasks);
            // What is kept is given up in time.
            world.run_until(Duration::from_secs(600), |world| {
                let out = (world.a.buffers_out(), world.b.buffers_out());
                out == (0, 0) && world.a.counter("fetch", "open") == 0
            });
            let left = ["open", "idle"].map(|what| world.a.counter("fetch", what));
            assert_eq!((left, world.a.counter("dial", "open")), ([0, 0], 0));
        }
    }
}
