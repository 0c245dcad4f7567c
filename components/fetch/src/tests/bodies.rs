//! Bodies that come bit by bit, both ways, and how much of them is under way.

use super::*;
use std::cell::Cell;
use waitless::task::{channel, join};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A handler that sends `parts` to a server, by `PUT`.
fn put(bench: &mut Bench, parts: &'static [&'static str], length: Length) {
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
        let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, length);
        let ((), answer) = join(give, async { told(fetch.send().await).await }).await;
        answer
    });
}

#[test]
fn a_body_that_comes_bit_by_bit_is_sent_in_chunks() {
    let mut bench = Bench::new();
    put(&mut bench, &["hello", "", "0123456789abcdef"], Length::Unknown);
    let expected = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    assert_eq!(bench.heard(0), expected);
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    assert_eq!(bench.open(), (0, 1));
    put(&mut bench, &[], Length::Unknown);
    assert!(bench.heard(0).ends_with("\r\n\r\n0\r\n\r\n"));
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    bench.expect_rest();
}

#[test]
fn a_body_of_a_known_length_is_sent_as_it_is() {
    let mut bench = Bench::new();
    put(&mut bench, &["hello", "you"], Length::Known(8));
    let expected = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhelloyou";
    assert_eq!(bench.heard(0), expected);
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    assert_eq!(bench.open(), (0, 1));
    bench.expect_rest();
}

#[test]
fn a_body_of_another_length_than_was_said_does_not_pass_for_whole() {
    for (length, expected, sent) in [
        (9, "BodyLength { expected: 9, came: 8 }", "hellothe"),
        (6, "BodyLength { expected: 6, came: 8 }", "hello"),
    ] {
        let mut bench = Bench::new();
        put(&mut bench, &["hello", "the"], Length::Known(length));
        bench.expect(&[expected]);
        assert!(bench.heard(0).ends_with(&format!("\r\n\r\n{sent}")));
        assert!(bench.served[0].left);
        bench.expect_rest();
    }
}

#[test]
fn a_server_that_takes_nothing_holds_up_who_makes_the_body() {
    let mut bench = Bench::new();
    let made = Rc::new(Cell::new(0));
    let (count, pool) = (made.clone(), bench.cx.pool());
    bench.handler(|client| async move {
        let (sender, receiver) = channel(1);
        let give = async move {
            for _ in 0..100 {
                let mut packet = pool.packet().unwrap();
                packet.append(&[b'x'; 100]).unwrap();
                if sender.send(packet).await.is_err() {
                    break;
                }
                count.set(count.get() + 1);
            }
        };
        let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, Length::Known(10_000));
        join(give, async { told(fetch.send().await).await }).await.1
    });
    bench.say(0, "");
    bench.heard(0);
    assert_eq!(made.get(), 100, "it takes all");
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    made.set(0);
    let (count, pool) = (made.clone(), bench.cx.pool());
    bench.served[0].deaf = true;
    bench.handler(|client| async move {
        let (sender, receiver) = channel(1);
        let give = async move {
            loop {
                let Some(mut packet) = pool.packet() else { break };
                packet.append(&[b'x'; 100]).unwrap();
                if sender.send(packet).await.is_err() {
                    break;
                }
                count.set(count.get() + 1);
            }
        };
        let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, Length::Unknown);
        join(give, async { told(fetch.send().await).await }).await.1
    });
    assert!(made.get() <= 12, "{} packets were made for nobody", made.get());
    bench.pass(20_010);
    bench.expect(&["Late(Send)"]);
    bench.expect_rest();
}

#[test]
fn a_handler_that_takes_nothing_holds_up_the_server() {
    let mut bench = Bench::new();
    let (sender, mut receiver) = channel::<()>(1);
    bench.handler(|client| async move {
        let answer = client.fetch(Method::Get, "http://a/").send().await;
        receiver.recv().await;
        told(answer).await.len().to_string()
    });
    bench.say(0, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n");
    for _ in 0..20 {
        bench.say(0, &"x".repeat(100));
    }
    assert_eq!(bench.served[0].to_say.len(), 12, "eight are under way");
    sender.try_send(()).unwrap();
    bench.sweep();
    bench.expect(&["2004"]);
    assert_eq!(bench.open(), (0, 1));
    bench.expect_rest();
}

#[test]
fn a_server_may_answer_before_it_has_all() {
    // And be done with it: the rest goes on meanwhile.
    let mut bench = Bench::new();
    bench.served.reserve(1);
    let (sender, receiver) = channel(4);
    let pool = bench.cx.pool();
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Post, "http://a/").stream(receiver, Length::Unknown);
        told(fetch.send().await).await
    });
    let part = |text: &str| {
        let mut packet = pool.packet().unwrap();
        packet.append(text.as_bytes()).unwrap();
        packet
    };
    sender.try_send(part("one")).unwrap();
    bench.sweep();
    bench.say(0, CHUNKED);
    bench.say(0, "3\r\nONE\r\n");
    sender.try_send(part("two")).unwrap();
    drop(sender);
    bench.sweep();
    assert!(bench.heard(0).ends_with("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
    bench.say(0, "3\r\nTWO\r\n0\r\n\r\n");
    bench.expect(&["200 ONETWO"]);
    assert_eq!(bench.open(), (0, 1));
    bench.expect_rest();
}

#[test]
fn a_server_that_refuses_a_body_is_heard() {
    // It answers, and resets the connection as it does not read on.
    let mut bench = Bench::new();
    let (_sender, receiver) = channel(4);
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Post, "http://a/").stream(receiver, Length::Unknown);
        told(fetch.send().await).await
    });
    bench.say(0, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    bench.expect(&["413 no"]);
    assert_eq!(bench.open(), (0, 0), "the rest is not sent any more");
    bench.expect_rest();
    let mut bench = Bench::new();
    put(&mut bench, &["a", "b"], Length::Unknown);
    bench.served[0].ends = true;
    bench.say(0, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    bench.expect(&["413 no"]);
    bench.expect_rest();
}

/// A `PUT` of some bytes that asks first.
fn asks_first(bench: &mut Bench) {
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Put, "http://a/").body("text/plain", "hello");
        told(fetch.expect_continue().send().await).await
    });
    let expected = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\
        Content-Type: text/plain\r\n\r\n";
    assert_eq!(bench.heard(0), expected);
}

#[test]
fn a_body_that_waits_for_a_word_is_sent_with_it_or_after_a_while() {
    let mut bench = Bench::new();
    asks_first(&mut bench);
    bench.pass(500);
    assert_eq!(bench.heard(0), "");
    bench.say(0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(bench.heard(0), "hello");
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    assert_eq!(bench.open(), (0, 1));
    asks_first(&mut bench);
    bench.pass(990);
    assert_eq!(bench.heard(0), "");
    bench.pass(20);
    assert_eq!(bench.heard(0), "hello");
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    bench.expect_rest();
}

#[test]
fn a_body_that_is_refused_is_not_sent() {
    let mut bench = Bench::new();
    asks_first(&mut bench);
    bench.say(0, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    bench.expect(&["417 "]);
    bench.pass(2_000);
    assert_eq!(bench.heard(0), "");
    assert_eq!(bench.open(), (0, 0), "nobody knows what the server takes for the next request");
    bench.expect_rest();
}

#[test]
fn who_has_no_body_does_not_ask_whether_to_send_it() {
    for method in [Method::Get, Method::Put] {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            told(client.fetch(method, "http://a/").expect_continue().send().await).await
        });
        let heard = bench.heard(0);
        assert!(!heard.contains("Expect"), "{heard}");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
        assert_eq!(bench.open(), (0, 1), "all was said, so that it is of use again");
        bench.expect_rest();
    }
}

#[test]
fn a_whole_body_of_several_packets_is_sent_whole_and_again() {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, OK);
    bench.heard(0);
    bench.handler(|client| async move {
        let body = String::from_utf8((0..5000).map(|at| b'a' + (at % 26) as u8).collect()).unwrap();
        told(client.fetch(Method::Put, "http://a/").body("x/y", body).send().await).await
    });
    let heard = bench.heard(0);
    bench.close(0);
    assert_eq!(bench.heard(1), heard, "sent again");
    let body = heard.split_once("\r\n\r\n").unwrap().1;
    assert!(body.bytes().enumerate().all(|(at, byte)| byte == b'a' + (at % 26) as u8));
    assert_eq!(body.len(), 5000);
    bench.say(1, OK);
    bench.expect(&["200 ok"; 2]);
    bench.expect_rest();
}

#[test]
fn a_body_has_one_type() {
    use Method::Post;
    for (order, expected) in
        [("body", "text/plain"), ("body field", "text/css"), ("field body", "text/css")]
    {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            let mut fetch = client.fetch(Post, "http://a/");
            for step in order.split(' ') {
                fetch = match step {
                    "body" => fetch.body("text/plain", "b"),
                    _ => fetch.header("content-type", "text/css"),
                };
            }
            told(fetch.send().await).await
        });
        let heard = bench.heard(0).to_ascii_lowercase();
        assert_eq!(heard.matches("\r\ncontent-type: ").count(), 1, "{heard}");
        assert!(heard.contains(&format!("\r\ncontent-type: {expected}\r\n")), "{heard}");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
        bench.expect_rest();
    }
}
