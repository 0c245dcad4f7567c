//! Servers that go on with another protocol, or do not.

use super::*;
use waitless::task::{channel, join};

/// A handler that offers `protocol`, and has `parts` to say in it.
fn offer(bench: &mut Bench, protocol: &'static str, parts: &'static [&'static str]) {
    let pool = bench.cx.pool();
    bench.handler(move |client| async move {
        let (sender, receiver) = channel(1);
        let give = async move {
            for part in parts {
                let mut packet = pool.packet().unwrap();
                packet.append(part.as_bytes()).unwrap();
                if sender.send(packet).await.is_err() {
                    break;
                }
            }
        };
        let silence = Duration::from_secs(90);
        let fetch = client.fetch(Method::Get, "http://a/").upgrade(protocol, receiver, silence);
        let ((), answer) = join(give, async { told(fetch.send().await).await }).await;
        answer
    });
}

const HEAD: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x/2\r\n\r\n";

#[test]
fn a_server_that_agrees_hears_and_says_what_it_likes() {
    let mut bench = Bench::new();
    offer(&mut bench, "x/2", &["one", "two"]);
    assert_eq!(bench.heard(0), HEAD, "and nothing behind it");
    bench.say(0, "HTTP/1.1 101 Yes\r\nUpgrade: X/2\r\nContent-Length: 1\r\n\r\nHTTP/1.1 ");
    assert_eq!(bench.heard(0), "onetwo");
    assert!(bench.dialer.lines()[bench.served[0].line as usize].is_finished());
    bench.say(0, "no more");
    bench.close(0);
    bench.expect(&["101 HTTP/1.1 no more"]);
    assert_eq!(bench.open(), (0, 0), "the connection is of no more use");
    bench.expect_rest();
}

#[test]
fn a_server_that_does_not_answers_as_always() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        offer(&mut bench, "x/2", &["one"]);
        assert_eq!(bench.heard(0), HEAD);
        bench.say(0, "HTTP/1.1 103 Hint\r\n\r\n");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
    }
    assert_eq!((bench.heard(0).as_str(), bench.served.len()), ("", 1));
    bench.expect_rest();
}

#[test]
fn a_server_agrees_to_nothing_else() {
    for said in ["", "Upgrade: x\r\n", "Upgrade: x/2, y\r\n", "X: x/2\r\n"] {
        let mut bench = Bench::new();
        offer(&mut bench, "x/2", &[]);
        bench.say(0, &format!("HTTP/1.1 101 Yes\r\n{said}\r\n"));
        bench.expect(&["Malformed(Upgrade)"]);
        bench.expect_rest();
    }
    let mut bench = Bench::new();
    for protocol in ["", "x y", "x\r\nA: b", "x/", "/2"] {
        offer(&mut bench, protocol, &[]);
        bench.expect(&["BadField"]);
    }
    assert!(bench.served.is_empty());
    bench.expect_rest();
}

#[test]
fn another_protocol_may_be_silent_for_so_long() {
    let mut bench = Bench::new();
    offer(&mut bench, "x/2", &[]);
    bench.say(0, "HTTP/1.1 101 Yes\r\nUpgrade: x/2\r\n\r\n");
    bench.pass(89_000);
    bench.say(0, "a");
    bench.pass(89_000);
    bench.expect(&[]);
    bench.pass(2_000);
    bench.expect(&["101 a Late(Body)"]);
    bench.expect_rest();
}
