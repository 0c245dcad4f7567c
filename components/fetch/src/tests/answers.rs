//! Answers that keep the rules: where their bodies end, and what their heads say.

use super::*;

/// What is answered, whether the server closes then, what the handler sees, and whether the
/// connection is kept.
const ANSWERS: [(&str, bool, &str, bool); 27] = [
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok", true),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "200 ", true),
    ("HTTP/1.1 200 OK\r\ncontent-LENGTH:\t 2 \r\n\r\nok", false, "200 ok", true),
    // Said twice, and the same.
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok",
        false,
        "200 ok",
        true,
    ),
    // No words, and not even the space before them.
    ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", false, "200 ok", true),
    ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", false, "200 ok", true),
    ("HTTP/1.1 999 Odd \u{e9}\r\nContent-Length: 2\r\n\r\nok", false, "999 ok", true),
    ("HTTP/1.7 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok", true),
    // Chunks.
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;a=\"\"\r\nk\r\n0\r\n\r\n",
        false,
        "200 ok",
        true,
    ),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, "200 ", true),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n",
        false,
        "200 ok",
        true,
    ),
    // Whatever comes up to the end.
    ("HTTP/1.1 200 OK\r\n\r\nok", true, "200 ok", false),
    ("HTTP/1.1 200 OK\r\n\r\n", true, "200 ", false),
    ("HTTP/1.0 200 OK\r\n\r\nok", true, "200 ok", false),
    // Kept or not, as both versions say.
    ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "200 ok", false),
    (
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok",
        false,
        "200 ok",
        true,
    ),
    (
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        false,
        "200 ok",
        false,
    ),
    // No body, whatever is said.
    ("HTTP/1.1 204 No Content\r\n\r\n", false, "204 ", true),
    ("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", false, "304 ", true),
    ("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", false, "204 ", false),
    ("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", false, "205 ", true),
    // Interim responses.
    (
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        false,
        "200 ok",
        true,
    ),
    // Lines that go on in the next one.
    (
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\nContent-Length:\r\n 2\r\n\r\nok",
        false,
        "200 ok",
        true,
    ),
    // White space in front of a colon.
    (
        "HTTP/1.1 200 OK\r\nX : a\r\nX-B \t : b\r\nY: c : d\r\nContent-Length: 2\r\n\r\nok",
        false,
        "200 ok",
        true,
    ),
    // What nobody has asked for follows, or comes with it.
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\r\n", false, "200 ok", false),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        false,
        "200 ",
        false,
    ),
    ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", false, "204 ", false),
];

#[test]
fn every_answer_is_the_same_however_its_bytes_come() {
    for (answer, closes, expected, kept) in ANSWERS {
        for piece in [1, 2, 3, 7, 30, 1400] {
            let mut bench = Bench::new();
            bench.get("http://a/");
            bench.say_in(0, answer.as_bytes(), piece);
            if closes {
                bench.expect(&[]);
                bench.close(0);
            }
            bench.expect(&[expected]);
            // What follows the end of a body may not have come yet when the end was seen.
            if piece == 1400 {
                assert_eq!(bench.open(), (0, kept.into()), "{answer}");
            }
            bench.expect_rest();
        }
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\n\r\n",
    ] {
        let mut bench = Bench::new();
        bench.ask(Method::Head, "http://a/");
        assert!(bench.heard(0).starts_with("HEAD / HTTP/1.1\r\n"));
        bench.say(0, head);
        assert_eq!(bench.said().len(), 1);
        assert_eq!(bench.open(), (0, 1));
        bench.expect_rest();
    }
}

#[test]
fn a_request_says_what_it_was_told_and_nothing_else() {
    let mut bench = Bench::new();
    bench.get("http://Example.org/a%20b?c#d");
    assert_eq!(bench.served[0].target, "Example.org 80");
    assert_eq!(bench.heard(0), "GET /a%20b?c HTTP/1.1\r\nHost: Example.org\r\n\r\n");
    bench.say(0, OK);
    bench.get("http://[2001:db8::1]:8080?x=y");
    assert_eq!(bench.served[1].target, "2001:db8::1 8080");
    assert_eq!(bench.heard(1), "GET /?x=y HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n");
    bench.say(1, OK);
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Get, "http://example.ORG").method("PURGE");
        told(fetch.header("X-A", "b").header("X-N", 7_u64).target("/x").send().await).await
    });
    let expected = "PURGE /x HTTP/1.1\r\nHost: example.ORG\r\nX-A: b\r\nX-N: 7\r\n\r\n";
    assert_eq!(bench.heard(0), expected, "on the connection that was kept");
    bench.say(0, OK);
    bench.ask(Method::Post, "http://example.org/");
    let expected = "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(bench.heard(0), expected);
    bench.say(0, OK);
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Options, "http://example.org/").target("*");
        told(fetch.host("other.example:81").header("User-Agent", "me").send().await).await
    });
    let expected = "OPTIONS * HTTP/1.1\r\nHost: other.example:81\r\nUser-Agent: me\r\n\r\n";
    assert_eq!(bench.heard(0), expected);
    bench.say(0, OK);
    bench.expect(&["200 ok"; 5]);
    bench.expect_rest();
}

#[test]
fn long_fields_go_out_whole() {
    let mut bench = Bench::new();
    bench.handler(|client| async move {
        let long = "x".repeat(5000);
        let fetch = client.fetch(Method::Get, "http://a/").header("X-Long", long.as_str());
        told(fetch.header("X-End", "y").send().await).await
    });
    let heard = bench.heard(0);
    let expected = format!("\r\nX-Long: {}\r\nX-End: y\r\n\r\n", "x".repeat(5000));
    assert!(heard.ends_with(&expected), "{heard}");
    bench.say(0, OK);
    bench.expect(&["200 ok"]);
    bench.expect_rest();
}

#[test]
fn nothing_in_a_field_makes_a_field_or_a_request_more() {
    let cases: [(&str, &str); 14] = [
        ("X", "a\r\nY: b"),
        ("X", "a\nY: b"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X: y\r\nZ", "a"),
        ("X Y", "a"),
        ("", "a"),
        ("Host", "b"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Upgrade", "x"),
        ("Expect", "100-continue"),
        ("TE", "trailers"),
    ];
    for (name, value) in cases {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            told(client.fetch(Method::Get, "http://a/").header(name, value).send().await).await
        });
        bench.expect(&["BadField"]);
        assert!(bench.served.is_empty(), "{name}: nothing was sent");
        bench.expect_rest();
    }
    let targets = ["/a b", "/a\r\nX: y", "/\u{e9}", "/a#b"];
    for target in targets {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            let fetch = client.fetch(Method::Get, "http://a/").target(target);
            told(fetch.send().await).await
        });
        assert!(bench.said()[0].starts_with("BadUrl"), "{target}");
        bench.expect_rest();
    }
    for host in ["", ":80", "a b"] {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            told(client.fetch(Method::Get, "http://a/").host(host).send().await).await
        });
        assert!(bench.said()[0].starts_with("BadUrl"), "{host}");
        bench.expect_rest();
    }
    for method in ["", "G T", "GET\r\n", "CONNECT"] {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            let fetch = client.fetch(Method::Get, "http://a/").method(method);
            told(fetch.send().await).await
        });
        bench.expect(&["BadMethod"]);
    }
}

#[test]
fn urls_that_cannot_be_fetched_say_why() {
    for url in [
        "",
        "a",
        "//a/",
        "ftp://a/",
        "http:/a",
        "http://",
        "http:///x",
        "http://u@a/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:b/",
        "http://[::1/",
        "http://[zz]/",
        "http://a b/",
        "http://a/ b",
        "http://:80/",
        "http://a/\u{e9}",
        "http://a\\b/",
        "http://[]/",
    ] {
        let mut bench = Bench::new();
        bench.get(url);
        assert!(bench.said()[0].starts_with("BadUrl"), "{url}");
    }
    let mut bench = Bench::new();
    bench.get("https://a/");
    bench.expect(&["NoTls"]);
    let cx = testing::context(16, 1);
    let mut tasks: Tasks<Pin<Box<dyn Future<Output = ()>>>> = Tasks::new(1);
    tasks.grow().unwrap();
    let client = Client::leak(&CONFIG, cx.system(), cx.pool());
    tasks.start(
        0,
        Box::pin(async {
            let outcome = client.fetch(Method::Get, "http://a/").send().await;
            assert_eq!(outcome.err(), Some(FetchError::Dial(DialError::NoDialer)));
        }),
    );
    assert_eq!(tasks.run(8), 1);
    assert!(!tasks.is_running(0));
}

#[test]
fn a_handler_sees_the_head_and_the_trailers() {
    let mut bench = Bench::new();
    bench.handler(|client| async move {
        let mut answer = client.fetch(Method::Get, "http://a/").send().await.unwrap();
        let first =
            format!("{:?} {} {:?}", answer.version(), answer.reason(), answer.header("x-b"));
        let count = answer.fields().count();
        let text = answer.text(5).await;
        let trailers: Vec<_> =
            answer.trailers().map(|(name, value)| format!("{name}={}", value.len())).collect();
        format!("{first} {count} {text:?} {trailers:?}")
    });
    bench.say(
        0,
        "HTTP/1.1 200 Very well\r\nX-A: 1\r\nX-B:  two\t\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 123\r\nContent-Length: 9\r\n\r\n",
    );
    bench.expect(&["Http11 Very well Some(\"two\") 3 Ok(\"ok\") [\"X-Sum=3\"]"]);
    assert_eq!(bench.open(), (0, 1));
    bench.expect_rest();
}

#[test]
fn a_body_may_be_no_longer_than_one_says() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n3\r\n456\r\n0\r\n\r\n",
    ] {
        let mut bench = Bench::new();
        bench.handler(|client| async move {
            let mut answer = client.fetch(Method::Get, "http://a/").send().await.unwrap();
            format!("{:?}", answer.collect(5).await)
        });
        bench.say(0, answer);
        bench.expect(&["Err(TooLong(5))"]);
        bench.expect_rest();
    }
}

#[test]
fn json_goes_both_ways() {
    let mut bench = Bench::new();
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Post, "http://a/").json([1, 2]);
        let mut answer = fetch.send().await.unwrap();
        format!("{:?}", answer.json::<Vec<u8>>(100).await)
    });
    let expected = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
        Content-Type: application/json\r\n\r\n[1,2]";
    assert_eq!(bench.heard(0), expected);
    bench.say(0, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[3,4,5]");
    bench.expect(&["Ok([3, 4, 5])"]);
    bench.expect_rest();
}
