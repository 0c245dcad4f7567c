//! Answers that lead elsewhere.

use super::*;

fn leads(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// A handler that asks for `url` and follows.
fn follow(bench: &mut Bench, method: Method, url: &'static str) {
    bench.handler(move |client| async move {
        let fetch = client.fetch(method, url).header("Authorization", "secret");
        let fetch = fetch.header("Cookie", "x").header("X-A", "b");
        told(fetch.redirects(3).send().await).await
    });
}

#[test]
fn nothing_is_followed_unless_asked_for() {
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, &leads(301, "/b"));
    bench.expect(&["301 "]);
    bench.expect_rest();
}

#[test]
fn locations_are_resolved() {
    for (location, expected) in [
        ("/x/y?z", "a 80 GET /x/y?z "),
        ("y", "a 80 GET /b/y "),
        ("./y", "a 80 GET /b/y "),
        ("../y/.", "a 80 GET /y/ "),
        ("../../../y", "a 80 GET /y "),
        ("y/../z/./", "a 80 GET /b/z/ "),
        ("?q", "a 80 GET /b/c?q "),
        ("#f", "a 80 GET /b/c?d "),
        ("//b:81", "b 81 GET / "),
        ("http://b", "b 80 GET / "),
        ("HTTP://a:80/x#y", "a 80 GET /x "),
        ("http://b/x/../y/./z?q/../r", "b 80 GET /y/z?q/../r "),
        ("//b/../x/..", "b 80 GET / "),
        ("//b?q", "b 80 GET /?q "),
        ("http:y", ""),
        ("x:y/", ""),
        ("ftp://a/", ""),
        ("http://u@b/", ""),
        ("//", ""),
        ("/a b", ""),
        ("/\u{e9}", ""),
        ("x/http://c/", "a 80 GET /b/x/http://c/ "),
    ] {
        let mut bench = Bench::new();
        follow(&mut bench, Method::Get, "http://a/b/c?d");
        bench.heard(0);
        bench.say(0, &leads(302, location));
        if expected.is_empty() {
            bench.expect(&["RedirectLost"]);
        } else {
            let at = bench.served.len() - 1;
            let target = bench.served[at].target.clone();
            let heard = format!("{target} {}", bench.heard(at));
            assert!(heard.starts_with(expected), "{location}: {heard}");
            bench.say(at, OK);
            bench.expect(&["200 ok"]);
        }
        bench.expect_rest();
    }
}

#[test]
fn locations_are_resolved_from_what_was_asked_for() {
    for (target, location, expected) in [
        ("/x/y?q", "z", "GET /x/z "),
        ("/x/y?q", "?r", "GET /x/y?r "),
        ("/x/y?q", "#f", "GET /x/y?q "),
        ("/x/y?q/z", "", "GET /x/y?q/z "),
        ("x/y", "z", "GET /x/z "),
        ("x", "", "GET /x "),
        ("?q", "", "GET /?q "),
        ("*", "?r", "GET /?r "),
        ("*", "z", "GET /z "),
    ] {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            let fetch = client.fetch(Method::Get, "http://a/b/c?d").target(target);
            told(fetch.redirects(1).send().await).await
        });
        bench.heard(0);
        bench.say(0, &leads(302, location));
        assert_eq!(bench.served.len(), 1, "{target} {location}");
        let heard = bench.heard(0);
        assert!(heard.starts_with(expected), "{target} {location}: {heard}");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
        bench.expect_rest();
    }
}

#[test]
fn what_says_of_a_body_goes_nowhere_without_it() {
    for (status, keeps) in [(303, false), (307, true)] {
        let mut bench = Bench::new();
        bench.handler(|client| async move {
            let mut fetch = client.fetch(Method::Post, "http://a/").body("text/plain", "body");
            for name in OF_BODY {
                fetch = fetch.header(name, "x");
            }
            told(fetch.header("X-Content", "y").redirects(1).send().await).await
        });
        bench.heard(0);
        bench.say(0, &leads(status, "/x"));
        let heard = bench.heard(0);
        for name in OF_BODY {
            assert_eq!(heard.contains(&format!("\r\n{name}: x\r\n")), keeps, "{name}: {heard}");
        }
        assert!(heard.contains("\r\nX-Content: y\r\n"), "{heard}");
        bench.say(0, OK);
        bench.expect(&["200 ok"]);
        bench.expect_rest();
    }
}

/// What says something of a body, whether it is known here or not.
const OF_BODY: [&str; 9] = [
    "content-disposition",
    "Content-Digest",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Range",
    "Digest",
    "Repr-Digest",
    "Last-Modified",
];

#[test]
fn who_leads_elsewhere_and_says_no_more_is_not_waited_for() {
    for (body, keeps) in [
        ("5\r\nhello\r\n", false),
        ("5\r\nhello\r\n0\r\n\r\n", true),
        ("no length\r\n", false),
        ("", false),
    ] {
        let mut bench = Bench::new();
        follow(&mut bench, Method::Get, "http://a/");
        bench.heard(0);
        let head = "HTTP/1.1 302 X\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n";
        bench.say(0, &format!("{head}{body}"));
        bench.pass(300);
        let at = bench.served.len() - 1;
        assert_eq!(at == 0, keeps, "{body:?}");
        assert!(bench.heard(at).starts_with("GET /x "), "{body:?}");
        bench.say(at, OK);
        bench.expect(&["200 ok"]);
        let counters = bench.cx.system().client().unwrap().counters();
        let failed = [&counters.failed, &counters.late, &counters.malformed].map(|it| it.get());
        assert_eq!(failed, [0; 3], "{body:?}");
        bench.expect_rest();
    }
}

#[test]
fn secrets_stay_with_their_server() {
    for (location, keeps) in [
        ("http://a/x", true),
        ("/x", true),
        ("http://b/x", false),
        ("http://a:81/x", false),
        ("//sub.a/x", false),
    ] {
        let mut bench = Bench::new();
        follow(&mut bench, Method::Get, "http://a/");
        bench.heard(0);
        bench.say(0, &leads(307, location));
        let at = bench.served.len() - 1;
        let heard = bench.heard(at);
        assert_eq!(heard.contains("Authorization: secret\r\nCookie: x\r\n"), keeps, "{heard}");
        assert_eq!(heard.contains("secret") || heard.contains("Cookie"), keeps);
        assert!(heard.ends_with("X-A: b\r\n\r\n"));
        bench.say(at, OK);
        bench.expect(&["200 ok"]);
        bench.expect_rest();
    }
}

#[test]
fn methods_become_what_the_status_says() {
    use Method::{Get, Head, Post, Put};
    for (method, status, expected) in [
        (Get, 301, "GET"),
        (Head, 302, "HEAD"),
        (Post, 301, "GET"),
        (Post, 302, "GET"),
        (Post, 303, "GET"),
        (Put, 303, "GET"),
        (Head, 303, "HEAD"),
        (Put, 301, "PUT"),
        (Post, 307, "POST"),
        (Post, 308, "POST"),
    ] {
        let mut bench = Bench::new();
        bench.handler(move |client| async move {
            let fetch = client.fetch(method, "http://a/").body("text/plain", "body");
            told(fetch.redirects(1).send().await).await
        });
        bench.heard(0);
        bench.say(0, &leads(status, "/x"));
        let heard = bench.heard(0);
        assert!(heard.starts_with(&format!("{expected} /x ")), "{method:?} {status}: {heard}");
        let has_body = heard.contains("Content-Type") && heard.ends_with("\r\n\r\nbody");
        assert_eq!(has_body, expected == method.name(), "{heard}");
        let answer = if expected == "HEAD" { "HTTP/1.1 200 OK\r\n\r\n" } else { OK };
        bench.say(0, answer);
        assert!(bench.said()[0].starts_with("200"));
        bench.expect_rest();
    }
}

#[test]
fn other_statuses_lead_nowhere() {
    for status in [200, 201, 300, 304, 305, 400] {
        let mut bench = Bench::new();
        follow(&mut bench, Method::Get, "http://a/");
        bench.say(0, &leads(status, "/x"));
        bench.expect(&[&format!("{status} ")]);
        bench.expect_rest();
    }
}

#[test]
fn there_is_an_end_to_it() {
    let mut bench = Bench::new();
    follow(&mut bench, Method::Get, "http://a/");
    for _ in 0..4 {
        bench.say(0, &leads(302, "/"));
    }
    bench.expect(&["RedirectsTooMany(3)"]);
    bench.expect_rest();
    let mut bench = Bench::new();
    follow(&mut bench, Method::Get, "http://a/");
    bench.say(0, "HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n");
    bench.expect(&["RedirectLost"]);
    bench.expect_rest();
}

#[test]
fn a_body_that_is_gone_is_not_sent_again() {
    let mut bench = Bench::new();
    let (sender, receiver) = waitless::task::channel(1);
    let mut packet = bench.cx.packet().unwrap();
    packet.append(b"body").unwrap();
    sender.try_send(packet).unwrap();
    drop(sender);
    bench.handler(|client| async move {
        let fetch = client.fetch(Method::Put, "http://a/").stream(receiver, Length::Unknown);
        told(fetch.redirects(1).send().await).await
    });
    bench.say(0, &leads(307, "/x"));
    bench.expect(&["307 "]);
    bench.expect_rest();
}
