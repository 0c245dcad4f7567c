//! Connections that serve one request after the other.

use super::*;
use waitless::task::channel;

const CLOSING: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.get("http://a/");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
        assert_eq!(bench.open(), (0, 1));
    }
    // Another port, another name, another server.
    bench.get("http://a:81/");
    bench.get("http://b/");
    assert_eq!(bench.served.len(), 3);
    bench.say(1, OK);
    bench.say(2, CLOSING);
    bench.expect(&["200 ok"; 2]);
    assert_eq!(bench.open(), (0, 2));
    let counters = bench.cx.system().client().unwrap().counters();
    assert_eq!((counters.connected.get(), counters.reused.get()), (3, 2));
    bench.expect_rest();
}

#[test]
fn a_kept_connection_is_given_up_in_time() {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, OK);
    bench.pass(14_000);
    assert_eq!(bench.open(), (0, 1));
    bench.get("http://a/");
    bench.say(0, OK);
    bench.pass(14_000);
    assert_eq!(bench.open(), (0, 1), "counted from its last use");
    bench.pass(2_000);
    assert_eq!(bench.open(), (0, 0));
    assert!(bench.served[0].left);
    bench.expect_rest();
}

#[test]
fn none_is_kept_where_the_manifest_says_so() {
    const NONE: Config = Config { idle_timeout: Duration::ZERO, ..CONFIG };
    let mut bench = Bench::with(&NONE);
    bench.get("http://a/");
    bench.say(0, OK);
    assert_eq!(bench.open(), (0, 0));
    bench.expect_rest();
}

#[test]
fn one_that_its_server_has_closed_or_spoken_on_is_not_used() {
    for speaks in [false, true] {
        let mut bench = Bench::new();
        bench.get("http://a/");
        bench.say(0, OK);
        match speaks {
            true => bench.say(0, "HTTP/1.1 408 Request Timeout\r\n\r\n"),
            false => bench.close(0),
        }
        bench.get("http://a/");
        assert_eq!(bench.heard(1), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        bench.say(1, OK);
        bench.expect(&["200 ok"; 2]);
        assert!(bench.served[0].left);
        // It is found without any request, too.
        bench.close(1);
        bench.pass(1_000);
        assert_eq!(bench.open(), (0, 0));
        bench.expect_rest();
    }
}

/// The server closes the connection just when a request is on its way.
fn closed_too_late(method: Method, resets: bool) -> Bench {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    bench.heard(0);
    bench.ask(method, "http://a/");
    assert!(bench.heard(0).starts_with(method.name()));
    match resets {
        true => bench.reset(0),
        false => bench.close(0),
    }
    bench
}

#[test]
fn what_may_be_repeated_is_sent_again_on_a_new_connection_once() {
    for method in [Method::Get, Method::Head, Method::Put, Method::Delete, Method::Options] {
        for resets in [false, true] {
            let mut bench = closed_too_late(method, resets);
            bench.expect(&[]);
            assert!(bench.heard(1).starts_with(method.name()));
            // That one has not served before: it is not sent again.
            bench.close(1);
            bench.expect(&["Closed { came: None, expected: None }"]);
            let counters = bench.cx.system().client().unwrap().counters();
            assert_eq!((counters.retried.get(), counters.failed.get()), (1, 1));
            bench.expect_rest();
        }
    }
}

#[test]
fn what_may_not_be_repeated_is_not() {
    for method in [Method::Post, Method::Patch] {
        let mut bench = closed_too_late(method, false);
        bench.expect(&["Closed { came: None, expected: None }"]);
        assert_eq!(bench.served.len(), 1);
        bench.expect_rest();
    }
    // Nor is anything of which a byte of an answer has come.
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, OK);
    bench.get("http://a/");
    bench.say(0, "H");
    bench.close(0);
    bench.expect(&["200 ok", "Closed { came: None, expected: None }"]);
    bench.expect_rest();
}

#[test]
fn what_may_not_be_repeated_goes_over_a_connection_that_was_just_used_or_a_new_one() {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, OK);
    bench.pass(1_900);
    bench.ask(Method::Post, "http://a/");
    bench.say(0, OK);
    bench.pass(2_100);
    bench.ask(Method::Post, "http://a/");
    assert_eq!(bench.served.len(), 2, "a new one");
    bench.say(1, OK);
    bench.expect(&["200 ok"; 3]);
    bench.expect_rest();
}

#[test]
fn a_body_that_can_be_sent_once_goes_over_a_connection_that_was_just_used_or_a_new_one() {
    for (body, connections) in [(true, 2), (false, 1)] {
        let mut bench = Bench::new();
        bench.get("http://a/");
        bench.say(0, OK);
        bench.pass(2_100);
        bench.handler(move |client| async move {
            let (sender, receiver) = channel::<Packet>(1);
            let length = if body { Length::Known(5) } else { Length::None };
            let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, length);
            let answer = told(fetch.send().await).await;
            drop(sender);
            answer
        });
        assert_eq!(bench.served.len(), connections, "{body}");
        bench.tasks.stop(0);
        bench.sweep();
    }
}

#[test]
fn a_server_has_so_many_connections_and_who_comes_later_waits() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.get("http://a/");
    }
    assert_eq!((bench.served.len(), bench.open()), (2, (2, 0)), "two wait");
    // Another server is not concerned.
    bench.get("http://b/");
    assert_eq!(bench.served.len(), 3);
    bench.say(2, OK);
    bench.expect(&["200 ok"]);
    // A fifth one does not even wait.
    bench.get("http://a/");
    bench.expect(&["Busy"]);
    bench.say(1, OK);
    bench.say(0, CLOSING);
    bench.expect(&["200 ok"; 2]);
    assert_eq!(bench.served.len(), 4, "one on the kept connection, one on a new one");
    bench.say(1, OK);
    bench.say(3, OK);
    bench.expect(&["200 ok"; 2]);
    bench.expect_rest();
}

#[test]
fn nobody_waits_for_ever_for_a_connection() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.get("http://a/");
    }
    bench.pass(5_010);
    bench.expect(&["Busy"]);
    let counters = bench.cx.system().client().unwrap().counters();
    assert_eq!((counters.failed.get(), counters.busy.get()), (1, 1));
    bench.say(0, OK);
    bench.say(1, OK);
    bench.expect(&["200 ok"; 2]);
    bench.expect_rest();
}

#[test]
fn who_does_not_wait_any_more_leaves_room_to_wait() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.get("http://a/");
    }
    bench.pass(5_010);
    bench.expect(&["Busy"; 2]);
    // These take the places of the two that gave up, and keep them.
    bench.get("http://b/");
    bench.get("http://b/");
    bench.get("http://a/");
    bench.expect(&[]);
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    (0..4).for_each(|line| bench.say(line, OK));
    bench.expect(&["200 ok"; 4]);
    bench.expect_rest();
}

#[test]
fn a_handler_that_goes_away_makes_room_for_who_waits() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.get("http://a/");
    }
    bench.tasks.stop(0);
    bench.sweep();
    assert_eq!(bench.served.len(), 3);
    assert!(bench.served[0].left);
    // One that waits may go away as well.
    bench.get("http://a/");
    bench.tasks.stop(3);
    bench.say(1, OK);
    bench.say(2, OK);
    bench.expect(&["200 ok"; 2]);
    bench.expect_rest();
}

#[test]
fn a_new_server_takes_the_place_of_the_one_that_was_used_longest_ago() {
    let mut bench = Bench::new();
    for (at, url) in ["http://a/", "http://b/", "http://c/", "http://d/"].into_iter().enumerate() {
        bench.get(url);
        bench.say(at, OK);
        bench.pass(100);
    }
    assert_eq!(bench.open(), (0, 4));
    bench.get("http://e/");
    assert_eq!(bench.open(), (1, 3));
    assert!(bench.served[0].left && !bench.served[1].left);
    bench.say(4, OK);
    bench.expect(&["200 ok"; 5]);
    bench.expect_rest();
}

#[test]
fn an_answer_that_is_not_taken_to_its_end_gives_the_connection_up() {
    let mut bench = Bench::new();
    bench.handler(|client| async move {
        let mut answer = client.fetch(Method::Get, "http://a/").send().await.unwrap();
        format!("{}", answer.chunk().await.unwrap().unwrap().len())
    });
    bench.say(0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12");
    bench.expect(&["2"]);
    assert!(bench.served[0].left);
    bench.expect_rest();
}

#[test]
fn a_connection_that_cannot_be_made_says_why() {
    let mut bench = Bench::new();
    for why in [DialError::Refused, DialError::TimedOut, DialError::NoRoute] {
        bench.refuses = Some(Some(why));
        bench.get("http://a/");
        bench.expect(&[&format!("Dial({why:?})")]);
    }
    assert_eq!(bench.open(), (0, 0));
    bench.expect_rest();
}
