//! What may take how long.

use super::*;

#[test]
fn connecting_takes_so_long_at_most() {
    let mut bench = Bench::new();
    bench.refuses = Some(None);
    bench.get("http://a/");
    bench.pass(9_990);
    bench.expect(&[]);
    bench.pass(20);
    bench.expect(&["Late(Connect)"]);
    assert_eq!(bench.open(), (0, 0));
}

#[test]
fn an_answer_begins_and_goes_on_in_time() {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.pass(29_990);
    bench.say(0, "HTTP/1.1 102 Processing\r\n\r\n");
    bench.pass(29_990);
    bench.say(0, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
    bench.pass(39_990);
    bench.say(0, "1");
    bench.pass(39_990);
    bench.say(0, "2");
    bench.expect(&[]);
    bench.pass(40_010);
    bench.expect(&["200 12 Late(Body)"]);
    bench.get("http://a/");
    bench.pass(30_010);
    bench.expect(&["Late(Answer)"]);
    let counters = bench.cx.system().client().unwrap().counters();
    assert_eq!((counters.failed.get(), counters.late.get()), (2, 2));
    bench.expect_rest();
}

#[test]
fn all_of_it_takes_no_longer_than_was_said() {
    for (answer, expected) in
        [("", "Late(All)"), ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n1", "200 1 Late(All)")]
    {
        let mut bench = Bench::new();
        bench.handler(|client| async move {
            let fetch = client.fetch(Method::Get, "http://a/");
            told(fetch.within(Duration::from_secs(3)).send().await).await
        });
        bench.say(0, answer);
        bench.pass(2_990);
        bench.expect(&[]);
        bench.pass(20);
        bench.expect(&[expected]);
        bench.expect_rest();
    }
}

#[test]
fn who_makes_a_body_up_may_take_as_long_as_it_likes() {
    let mut bench = Bench::new();
    let (sender, receiver) = waitless::task::channel(1);
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, Length::Unknown);
        told(fetch.send().await).await
    });
    bench.pass(1_000_000);
    bench.expect(&[]);
    drop(sender);
    bench.sweep();
    bench.pass(29_990);
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    bench.expect_rest();
}
