//! Heads: what is taken, what is refused, and that it does not matter how they arrive.

use super::wire::Bench;
use super::{nothing, page, site, status};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use waitless::http::{Handler, Router};

/// A request and what comes of it: the status, or the text that `/show` gives.
type Case = (String, &'static str);

/// Every rule of heads, with the ways to break it.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for add in
        [line_cases, target_cases, host_and_field_cases, length_cases, coding_cases, limit_cases]
    {
        add(&mut |request: String, expected| cases.push((request, expected)));
    }
    cases
}

fn line(line: &str) -> String {
    format!("{line}\r\nHost: h\r\n\r\n")
}

fn with(fields: &str) -> String {
    format!("GET /show HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /show HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}")
}

fn host(host: &str) -> String {
    format!("GET /show HTTP/1.1\r\n{host}\r\n\r\n")
}

/// RFC 9112, sections 2.3 and 3: the request line.
fn line_cases(case: &mut dyn FnMut(String, &'static str)) {
    // Section 3: single spaces, and section 2.2: lines end in CR LF, empty ones before it are
    // forgiven.
    case(line("GET /show HTTP/1.1"), "GET /show None h []");
    case(line("GET /show?a=1?b HTTP/1.1"), "GET /show Some(\"a=1?b\") h []");
    case(line("GET /show? HTTP/1.1"), "GET /show Some(\"\") h []");
    case(format!("\r\n\r\n{}", line("GET /show HTTP/1.1")), "GET /show None h []");
    case(format!("{}{}", "\r\n".repeat(5), line("GET /show HTTP/1.1")), "400");
    case(format!("\n{}", line("GET /show HTTP/1.1")), "400");
    case(line("GET  /show HTTP/1.1"), "400");
    case(line("GET /show  HTTP/1.1"), "400");
    case(line("GET\t/show HTTP/1.1"), "400");
    case(line(" GET /show HTTP/1.1"), "400");
    case(line("GET /show HTTP/1.1 "), "400");
    case(line("GET /show"), "400");
    case(line("GET /sh\x01ow HTTP/1.1"), "400");
    case(line("GET /sh\u{e4}ow HTTP/1.1"), "400");
    case(line("GET /show#part HTTP/1.1"), "400");
    case(line("GET show HTTP/1.1"), "400");
    case(line("G@T /show HTTP/1.1"), "400");
    case(line("get /show HTTP/1.1"), "501");
    case(line("BREW /show HTTP/1.1"), "501");
    case(line("BREW /none HTTP/1.1"), "501");
    case(line("GET /none HTTP/1.1"), "404");
    case(line("TRACE /show HTTP/1.1"), "405");
    case(line("PUT /show HTTP/1.1"), "405");
    // Section 2.3, and RFC 9110, section 2.5: a higher minor version is the highest one known,
    // another major version is a 505.
    case(line("GET /show http/1.1"), "400");
    case(line("GET /show HTTP/01.1"), "400");
    case(line("GET /show HTTP/1.10"), "400");
    case(line("GET /show HTTP/1.x"), "400");
    case(line("GET /show HTTP/1,1"), "400");
    case(line("GET /show HTTP/1.2"), "GET /show None h []");
    case(line("GET /show HTTP/2.0"), "505");
    case(line("GET /show HTTP/0.9"), "505");
    case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "505");
    case("\x16\x03\x01\x02\x00\x01".into(), "400");
}

/// RFC 9112, section 3.2, and RFC 9110, section 4: targets.
fn target_cases(case: &mut dyn FnMut(String, &'static str)) {
    // RFC 9110, section 4.2.3, and RFC 3986, section 6.2.2: what is the same by escapes is the
    // same; what clients resolve is not left to us to guess at.
    case(line("GET /sh%6Fw HTTP/1.1"), "GET /sh%6Fw None h []");
    case(line("GET /%73%68%6f%77?x HTTP/1.1"), "GET /%73%68%6f%77 Some(\"x\") h []");
    case(line("GET /nam%65d/a%20b/7 HTTP/1.1"), "a b/7");
    case(line("PUT /sh%6Fw HTTP/1.1"), "405");
    case(line("GET /show%2f HTTP/1.1"), "404");
    case(line("GET /SHOW HTTP/1.1"), "404");
    for path in ["/./show", "/x/../show", "/..", "/named/%2e%2E/7", "/named/.%2e", "/show%", "/%zz"]
    {
        case(line(&format!("GET {path} HTTP/1.1")), "400");
    }
    for path in ["/...", "/.show", "/..show", "/show.", "/show/"] {
        case(line(&format!("GET {path} HTTP/1.1")), "404");
    }
    // Section 3.2: the four forms of targets.
    case(line("GET http://other:81/show?q HTTP/1.1"), "GET /show Some(\"q\") other:81 []");
    case(line("GET HTTP://other/show HTTP/1.1"), "GET /show None other []");
    case(line("GET http://other HTTP/1.1"), "200");
    case(line("GET http://other?q HTTP/1.1"), "200");
    case(line("GET https://other/show HTTP/1.1"), "421");
    case(line("GET http://user@other/show HTTP/1.1"), "400");
    case(line("GET http:///show HTTP/1.1"), "400");
    case(line("GET http:/show HTTP/1.1"), "400");
    case(line("GET ftp://other/show HTTP/1.1"), "400");
    case(line("OPTIONS * HTTP/1.1"), "204");
    case(line("OPTIONS http://h HTTP/1.1"), "204");
    case(line("GET * HTTP/1.1"), "400");
    case(line("OPTIONS /show HTTP/1.1"), "204");
    case(line("CONNECT other:443 HTTP/1.1"), "501");
    case(line("CONNECT other HTTP/1.1"), "400");
    case(line("CONNECT other: HTTP/1.1"), "400");
    case(line("CONNECT /show HTTP/1.1"), "400");
}

/// RFC 9112, sections 3.2 and 5: the host, and the syntax of fields.
fn host_and_field_cases(case: &mut dyn FnMut(String, &'static str)) {
    // Section 3.2: exactly one valid Host, or none from an old client.
    case(host("Host: example.org:8080"), "GET /show None example.org:8080 []");
    case(host("hOST:\t h \t"), "GET /show None h []");
    case(host("Host: [::1]:80"), "GET /show None [::1]:80 []");
    case(host("Host:"), "GET /show None  []");
    case(host("X: y"), "400");
    case(host("Host: a\r\nHost: a"), "400");
    case(host("Host: a/b"), "400");
    case(host("Host: :80"), "400");
    case(host("Host: :"), "400");
    case(host("Host: u@a"), "400");
    case(host("Host: a b"), "400");
    case(host("Host: a, b"), "400");
    case("GET /show HTTP/1.0\r\n\r\n".into(), "GET /show None  []");
    case("GET /show HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n".into(), "400");
    // Section 5.1: no white space before the colon; section 5.2: no folded lines; RFC 9110,
    // section 5.5: no CR, LF or NUL in a value.
    case(with("X:"), "GET /show None h []");
    case(with("X: \u{e4}\t\u{f6}"), "GET /show None h []");
    case(with("X : y"), "400");
    case(with("X\t: y"), "400");
    case(with(": y"), "400");
    case(with("X"), "400");
    case(with("X y: z"), "400");
    case(with("X: y\r\n folded"), "400");
    case(with("X: y\r\n\tfolded"), "400");
    case("GET /show HTTP/1.1\r\n Host: h\r\n\r\n".into(), "400");
    case(with("X: a\0b"), "400");
    case(with("X: a\rb"), "400");
    case(with("X: a\nb: c"), "400");
    case(with("X: a\x7fb"), "400");
    case(with("X: a\n"), "400");
    case("GET /show HTTP/1.1\nHost: h\n\n".into(), "400");
    case("GET /show HTTP/1.1\r\nHost: h\r\n\n".into(), "400");
    case("GET /show HTTP/1.1\r\nHost: h\r\n\rX".into(), "400");
}

/// RFC 9112, section 6.2, and RFC 9110, section 8.6: a length.
fn length_cases(case: &mut dyn FnMut(String, &'static str)) {
    case(post("Content-Length: 3", "abc"), "POST /show None h [abc]");
    case(post("content-length:3", "abc"), "POST /show None h [abc]");
    case(post("Content-Length: 0", ""), "POST /show None h []");
    for around in ["  3", "\t3", "3 ", "\t 3 \t"] {
        case(post(&format!("Content-Length:{around}"), "abc"), "POST /show None h [abc]");
    }
    case(post("Content-Length: 003", "abc"), "POST /show None h [abc]");
    case(with("Content-Length: 3").replace("\r\n\r\n", "\r\n\r\nabc"), "GET /show None h [abc]");
    for bad in [
        "+5",
        "-5",
        "5, 5",
        "5, 6",
        "5,5",
        "0x5",
        "5a",
        "5 5",
        "",
        " ",
        "\x0b5",
        "5\x0c",
        "5;",
        "\"5\"",
        "18446744073709551616",
        "99999999999999999999999",
    ] {
        case(post(&format!("Content-Length: {bad}"), "abcdef"), "400");
    }
    case(post("Content-Length: 3\r\nContent-Length: 3", "abc"), "400");
    case(post("Content-Length: 3\r\nContent-Length: 4", "abcd"), "400");
    case(post("Content-Length: 100001", ""), "413");
    case(post("Content-Length: 18446744073709551615", ""), "413");
}

/// RFC 9112, sections 6.1 and 6.3: codings.
fn coding_cases(case: &mut dyn FnMut(String, &'static str)) {
    // Both framings, a coding that is not the last or not known, and old clients: CL.TE, TE.CL
    // and the many spellings of TE.TE.
    case(post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), "POST /show None h [abc]");
    case(post("transfer-encoding:CHUNKED", "0\r\n\r\n"), "POST /show None h []");
    for around in ["  chunked", "\tchunked", "chunked ", "\t chunked \t"] {
        let request = post(&format!("Transfer-Encoding:{around}"), "1\r\na\r\n0\r\n\r\n");
        case(request, "POST /show None h [a]");
    }
    case(post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nG"), "400");
    case(post("Transfer-Encoding: chunked\r\nContent-Length: 3", "8\r\nSMUGGLED"), "400");
    case(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "400");
    case(post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "0\r\n\r\n"), "400");
    case(post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), "501");
    case(post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"), "501");
    for bad in [
        "xchunked",
        "chunked, identity",
        "identity",
        "chunked, chunked",
        "\x0bchunked",
        "chu nked",
        "chunked,",
        ",chunked",
        "\"chunked\"",
        "chunked;q=1",
        "gzip",
        "",
        "chunk\u{e9}d",
        "'chunked'",
        "chunked\x0b",
    ] {
        case(post(&format!("Transfer-Encoding: {bad}"), "0\r\n\r\n"), "400");
    }
    case(post("Transfer-Encoding : chunked", "0\r\n\r\n"), "400");
    case(post("X: y\rTransfer-Encoding: chunked", "0\r\n\r\n"), "400");
    case(post("X: y\nTransfer-Encoding: chunked", "0\r\n\r\n"), "400");
    case(post("Transfer-Encoding:\r\n chunked", "0\r\n\r\n"), "400");
    case("POST /show HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), "400");
}

/// RFC 9110, sections 10.1.1, 15.5.15 and 15.5.18, and RFC 6585, section 5.
fn limit_cases(case: &mut dyn FnMut(String, &'static str)) {
    // Expectations.
    case(with("Expect: 100-continue"), "GET /show None h []");
    case(with("Expect: miracles"), "417");
    case("GET /show HTTP/1.0\r\nExpect: miracles\r\n\r\n".into(), "GET /show None  []");
    // Limits.
    case(line(&format!("GET /{} HTTP/1.1", "a".repeat(900))), "404");
    case(line(&format!("GET /{} HTTP/1.1", "a".repeat(1100))), "414");
    case(line(&format!("{} / HTTP/1.1", "A".repeat(1100))), "414");
    case(format!("GET /{}", "a".repeat(1100)), "414");
    case(with(&format!("X: {}", "a".repeat(3900))), "GET /show None h []");
    case(with(&format!("X: {}", "a".repeat(4200))), "431");
    case(with(&format!("{}: x", "a".repeat(4200))), "431");
    case(with(&"X: y\r\n".repeat(18)[..18 * 6 - 2]), "GET /show None h []");
    case(with(&"X: y\r\n".repeat(20)[..20 * 6 - 2]), "431");
    case(with(&format!("X: {}\0", "a".repeat(4200))), "431");
}

fn check(response: &str, expected: &str, request: &str) {
    if expected.len() == 3 {
        assert_eq!(status(response), expected, "{request:?}\n{response}");
    } else {
        assert_eq!(status(response), "200", "{request:?}\n{response}");
        let body = response.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, expected, "{request:?}");
    }
}

#[test]
fn every_rule_of_heads_is_kept() {
    let mut bench = Bench::new(site());
    for (request, expected) in cases() {
        let line = bench.connect();
        let response = bench.ask(line, request.as_bytes());
        check(&response, expected, &request);
        // What only the router has no use for was read well, so the connection stays.
        let refused = !response.contains("dots for segments")
            && matches!(expected, "400" | "413" | "414" | "417" | "421" | "431" | "505")
            || response.contains("Connection: close");
        let closed = bench.wire.lines[line].closed;
        assert_eq!(closed, refused || request.contains("HTTP/1.0"), "{request:?}\n{response}");
    }
}

#[test]
fn a_byte_at_a_time_gives_the_same_result() {
    let mut bench = Bench::new(site());
    for (request, expected) in cases() {
        let line = bench.connect();
        for byte in request.as_bytes() {
            bench.deliver(line, &[*byte]);
            bench.settle();
        }
        let response = bench.taken(line);
        check(&response, expected, &request);
    }
}

#[test]
fn a_split_at_every_place_gives_the_same_result() {
    let mut bench = Bench::new(site());
    for (request, expected) in cases() {
        // Long ones are long for one reason only.
        for place in 1..request.len().min(400) {
            let (front, back) = request.as_bytes().split_at(place);
            let line = bench.connect();
            bench.deliver(line, front);
            bench.settle();
            let response = bench.ask(line, back);
            check(&response, expected, &request);
            bench.finish(line);
            bench.settle();
        }
    }
}

#[test]
fn a_long_head_is_shown_whole_and_what_follows_is_not_lost() {
    let mut bench = Bench::new(site());
    let filler = "f".repeat(3000);
    let one =
        format!("POST /show HTTP/1.1\r\nHost: h\r\nX: {filler}\r\nContent-Length: 3\r\n\r\nabc");
    let two = "GET /show?two HTTP/1.1\r\nHost: h\r\n\r\n";
    let response = bench.once(format!("{one}{two}").as_bytes());
    assert!(response.contains("POST /show None h [abc]"), "{response}");
    assert!(response.contains("GET /show Some(\"two\") h []"), "{response}");
}

#[test]
fn the_route_that_says_most_gets_the_request_whatever_the_order() {
    let mut bench = Bench::new(site());
    let mut get =
        |path: &str| bench.once(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    assert!(get("/named/you/7").ends_with("\r\n\r\nyou/7"));
    assert!(get("/named/me/7").ends_with("\r\n\r\nhello"));
    // The first segment that differs decides.
    assert!(get("/named/me/1").ends_with("\r\n\r\nhello"));
    assert_eq!(status(&get("/named/you/1")), "204");
    assert!(get("/named/me/7/8").contains("Content-Length: 10000"));
    assert!(get("/named/").contains("Content-Length: 10000"));
}

/// RFC 3986 section 6.2.2.2: who guards a path guards all ways to write it.
#[test]
fn an_escape_leads_past_no_route() {
    fn check(handler: impl Handler) {
        let mut bench = Bench::new(handler);
        let mut ask =
            |line: &str| bench.once(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        for path in ["/admin", "/%61dmin", "/adm%69n", "/%61%64%6d%69%6E"] {
            assert_eq!(status(&ask(&format!("GET {path}"))), "204", "{path}");
        }
        for path in ["/sent", "/s%65nt", "/admin%2f", "/admin/%61"] {
            assert_eq!(status(&ask(&format!("GET {path}"))), "200", "{path}");
        }
        assert_eq!(status(&ask("POST /s%65nt")), "204");
        assert_eq!(status(&ask("POST /%61dmin")), "405");
    }
    check(Router::new().get("/admin", nothing).post("/sent", nothing).get("/{path...}", page));
    check(Router::new().get("/{path...}", page).get("/admin", nothing).post("/sent", nothing));
}

#[test]
fn parameters_and_fields_reach_the_handler() {
    let mut bench = Bench::new(site());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
    let response = bench.once(get("/named/a%20b/7").as_bytes());
    assert!(response.ends_with("\r\n\r\na b/7"), "{response}");
    for bad in ["/named/a/-7", "/named/a/x", "/named/a%2/7", "/named/aaaaaaaaaaaaaaaaa/7"] {
        assert_eq!(status(&bench.once(get(bad).as_bytes())), "400", "{bad}");
    }
    assert_eq!(status(&bench.once(get("/count").as_bytes())), "400");
    let response = bench.once(get("/fields?length=4&byte=97").as_bytes());
    assert!(response.contains("\r\nX-Value: aaaaa\r\n"), "{response}");
    for length in [1000, 1290, 1300, 1310, 1400, 2000, 2030, 2035, 2036, 2037, 4070, 16_000] {
        let request = get(&format!("/fields?length={length}&byte=97"));
        let response = bench.once(request.as_bytes());
        let expected = format!("\r\nX-Value: a{}\r\n\r\nfields", "a".repeat(length));
        assert!(response.ends_with(&expected), "{length}: {response}");
    }
    // Neither a response that was split, nor one that is longer than it may be.
    for bad in
        ["length=1&byte=10", "length=1&byte=13", "length=5000&byte=0", "length=17000&byte=97"]
    {
        let response = bench.once(get(&format!("/fields?{bad}")).as_bytes());
        assert_eq!(status(&response), "500", "{bad}");
    }
    let response = bench.once(get("/fields?length=70000&byte=97").as_bytes());
    assert_eq!(status(&response), "500");
    assert_eq!(bench.count("overlong"), 1, "the other one did not get so far");
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn a_long_head_stands_before_every_kind_of_body() {
    for window in [usize::MAX, 2048] {
        let mut bench = Bench::new(site());
        let line = bench.connect();
        bench.wire.lines[line].window = window;
        let value = "b".repeat(5000);
        let take = |bench: &mut Bench<_>, request: &str| {
            bench.deliver(line, request.as_bytes());
            bench.settle();
            for _ in 0..20 {
                bench.wire.lines[line].window = window;
                bench.wire.report(line);
                bench.settle();
            }
            bench.taken(line)
        };
        let response = take(&mut bench, "GET /long-head HTTP/1.1\r\nHost: h\r\n\r\n");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: 10000\r\nX-Value: {value}")), "{head}");
        assert_eq!(body.len(), 10_000);
        let response = take(&mut bench, "HEAD /long-head HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(response, format!("{head}\r\n\r\n"));
        let post = "POST /long-head HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n";
        let response = take(&mut bench, &format!("{post}\r\nabc"));
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("chunked\r\nX-Value: {value}")), "{head}");
        assert_eq!(body, "3\r\nabc\r\n0\r\n\r\n");
        let response = take(&mut bench, &format!("{post}Expect: 100-continue\r\n\r\n"));
        let expected = format!("HTTP/1.1 100 Continue\r\n\r\n{head}\r\n\r\n");
        assert_eq!(response, expected);
        assert_eq!(take(&mut bench, "abc"), "3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
    }
}
