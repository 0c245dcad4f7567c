//! The lives of connections: reuse, pipelining, ends of all kinds, limits.

use super::wire::{Bench, CONFIG, TASKS, Wire};
use super::{hello, site, status};
use crate::{Config, Http1, Scheme};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use waitless::http::{Files, ServerConfig};
use waitless::{Component, Duration, HttpPort, testing};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_connection_serves_one_request_after_the_other() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    for _ in 0..100 {
        let response = bench.ask(line, GET);
        assert_eq!(
            response,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 5\r\n\r\nhello"
        );
    }
    assert_eq!((bench.count("accepted"), bench.count("requests")), (1, 100));
    assert_eq!(bench.pool().available(), bench.pool().count(), "an idle connection holds packets");
}

#[test]
fn hundreds_of_pipelined_requests_are_answered_in_order() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let mut all = String::new();
    for number in 0..500 {
        all.push_str(&format!(
            "POST /show?{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n!"
        ));
    }
    let response = bench.ask(line, all.as_bytes());
    let mut rest = response.as_str();
    for number in 0..500 {
        let at = rest
            .find(&format!("POST /show Some(\"{number}\") h [!]"))
            .unwrap_or_else(|| panic!("{number}"));
        assert_eq!(rest[..at].matches("HTTP/1.1 200").count(), 1);
        rest = &rest[at + 1..];
    }
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn versions_and_options_decide_whether_a_connection_stays() {
    for (head, stays, says) in [
        ("GET / HTTP/1.1\r\nHost: h", true, ""),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close", false, "close"),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE", false, "close"),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive", true, ""),
        ("GET / HTTP/1.0", false, "close"),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive", true, "keep-alive"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close", false, "close"),
    ] {
        let mut bench = Bench::new(site());
        let line = bench.connect();
        let response = bench.ask(line, format!("{head}\r\n\r\n").as_bytes());
        assert_eq!(!bench.wire.lines[line].closed, stays, "{head}");
        let field = response.lines().find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(field.unwrap_or(""), says, "{head}");
    }
}

#[test]
fn a_slow_handler_delays_nobody_else_and_dies_with_its_client() {
    let mut bench = Bench::new(site());
    let (patient, other) = (bench.connect(), bench.connect());
    let impatient = bench.connect();
    let get = b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(bench.ask(patient, get), "");
    assert_eq!(bench.ask(impatient, get), "");
    assert!(bench.ask(other, GET).ends_with("hello"));
    bench.wire.lines[impatient].reset = true;
    bench.wire.report(impatient);
    bench.settle();
    assert!(bench.wire.lines[impatient].released);
    assert_eq!((bench.count("abandoned"), bench.count("tasks")), (1, 1));
    bench.pass(Duration::from_millis(4_990));
    assert_eq!(bench.taken(patient), "");
    bench.pass(Duration::from_millis(20));
    assert!(bench.taken(patient).ends_with("slow"));
    assert_eq!(bench.count("tasks"), 0);
}

#[test]
fn a_client_that_has_said_all_still_gets_its_response() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.deliver(line, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    bench.finish(line);
    bench.settle();
    bench.pass(Duration::from_secs(6));
    assert!(bench.taken(line).ends_with("slow"));
    assert!(bench.wire.lines[line].closed && bench.wire.lines[line].released);
    assert_eq!(bench.count("open"), 0);
}

#[test]
fn clients_that_leave_early_leave_nothing_behind() {
    let mut bench = Bench::new(site());
    for bytes in [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "POST /show HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
        "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        for reset in [false, true] {
            let line = bench.connect();
            bench.deliver(line, bytes.as_bytes());
            bench.settle();
            bench.wire.lines[line].reset = reset;
            bench.finish(line);
            bench.settle();
            bench.pass(Duration::from_secs(10));
            assert!(bench.wire.lines[line].released, "{bytes:?} {reset}");
        }
    }
    assert_eq!((bench.count("open"), bench.count("tasks")), (0, 0));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn a_client_that_ends_within_its_body_still_gets_a_response() {
    let mut bench = Bench::new(site());
    for (path, expected) in [("/show", "400"), ("/none", "404")] {
        let line = bench.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
        bench.deliver(line, head.as_bytes());
        bench.settle();
        bench.finish(line);
        bench.settle();
        assert_eq!(status(&bench.taken(line)), expected);
        let line = &bench.wire.lines[line];
        assert!(line.closed && line.released && !line.aborted, "{path}");
    }
    assert_eq!((bench.count("open"), bench.count("tasks")), (0, 0));
}

#[test]
fn requests_that_nobody_waits_for_any_more_take_no_room() {
    static ONE: ServerConfig =
        ServerConfig { tasks: 1, patience: Duration::from_secs(60), files: Files::NONE };
    let mut bench = Bench::with(&CONFIG_STATIC, &ONE, site(), 1000);
    bench.once(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    for _ in 0..2000 {
        let line = bench.connect();
        bench.deliver(line, GET);
        bench.sweep();
        bench.wire.lines[line].reset = true;
        bench.wire.report(line);
        bench.sweep();
    }
    assert_eq!(bench.count("open"), 1);
    let places = bench.http.exchanges.len();
    assert!(places < 100, "{places} places for one request");
    let line = bench.connect();
    bench.deliver(line, GET);
    bench.pass(Duration::from_secs(6));
    assert!(bench.taken(line).ends_with("hello"));
}

/// An empty line is forgiven, and is no beginning of a head.
#[test]
fn a_client_that_sent_empty_lines_is_idle() {
    let mut bench = Bench::new(site());
    for lines in ["\r\n", "\r\n\r\n"] {
        let (used, new) = (bench.connect(), bench.connect());
        let (whole, cut) = (bench.connect(), bench.connect());
        bench.ask(used, GET);
        bench.ask(whole, format!("{}{lines}", str::from_utf8(GET).unwrap()).as_bytes());
        bench.ask(cut, GET);
        for line in [used, new] {
            assert_eq!(bench.ask(line, lines.as_bytes()), "");
        }
        for byte in lines.bytes() {
            assert_eq!(bench.ask(cut, &[byte]), "");
        }
        bench.pass(Duration::from_secs(30));
        for line in [used, new, whole, cut] {
            assert_eq!(bench.taken(line), "", "{lines:?}");
            assert!(!bench.wire.lines[line].closed, "{lines:?}");
            assert!(bench.ask(line, GET).ends_with("hello"), "{lines:?}");
        }
        // What begins behind them has its time from there on.
        bench.ask(new, format!("{lines}\r").as_bytes());
        bench.pass(Duration::from_secs(30));
        bench.ask(new, b"\nG");
        bench.pass(Duration::from_secs(9));
        assert_eq!(bench.taken(new), "");
        bench.pass(Duration::from_secs(2));
        assert_eq!(status(&bench.taken(new)), "408");
        for line in [used, whole, cut] {
            bench.ask(line, lines.as_bytes());
        }
        bench.pass(Duration::from_secs(76));
        for line in [used, whole, cut] {
            assert_eq!(bench.taken(line), "", "{lines:?}");
            assert!(bench.wire.lines[line].closed, "{lines:?}");
        }
    }
    assert_eq!(bench.count("too_slow"), 2);
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn empty_lines_are_forgiven_within_bounds() {
    let mut bench = Bench::new(site());
    let slow = bench.connect();
    // They come one by one, each in time, and win none.
    for _ in 0..3 {
        bench.ask(slow, b"\r\n");
        bench.pass(Duration::from_secs(30));
    }
    assert!(bench.wire.lines[slow].closed);
    let response = bench.once("\r\n".repeat(1000).as_bytes());
    assert_eq!(status(&response), "400");
}

#[test]
fn silence_ends_a_connection() {
    let mut bench = Bench::new(site());
    let (idle, used, partial) = (bench.connect(), bench.connect(), bench.connect());
    bench.settle();
    bench.pass(Duration::from_secs(50));
    bench.ask(used, GET);
    bench.ask(partial, b"GET / HTTP/1.1\r\n");
    bench.pass(Duration::from_secs(6));
    // A byte now and then wins no time.
    bench.ask(partial, b"X: y\r\n");
    bench.pass(Duration::from_secs(5));
    assert_eq!(status(&bench.taken(partial)), "408");
    bench.pass(Duration::from_secs(15));
    assert!(bench.wire.lines[idle].closed && bench.wire.lines[idle].released);
    assert_eq!(bench.taken(idle), "");
    assert!(!bench.wire.lines[used].closed);
    bench.pass(Duration::from_secs(60));
    assert!(bench.wire.lines[used].released && bench.wire.lines[partial].released);
    assert_eq!((bench.count("idled_out"), bench.count("too_slow"), bench.count("open")), (2, 1, 0));
}

#[test]
fn a_closed_connection_listens_until_the_client_has_closed_too() {
    let mut bench = Bench::new(site());
    let close = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let (polite, rude, silent) = (bench.connect(), bench.connect(), bench.connect());
    for line in [polite, rude, silent] {
        bench.ask(line, close);
        assert!(bench.wire.lines[line].closed && !bench.wire.lines[line].released);
    }
    bench.ask(polite, b"whatever");
    bench.finish(polite);
    bench.settle();
    assert!(bench.wire.lines[polite].released && !bench.wire.lines[polite].aborted);
    for _ in 0..1100 {
        bench.deliver(rude, &[b'x'; 1000]);
        bench.settle();
    }
    assert!(bench.wire.lines[rude].aborted);
    bench.pass(Duration::from_millis(2100));
    assert!(bench.wire.lines[silent].released);
    assert_eq!(bench.count("open"), 0);
}

#[test]
fn too_many_connections_and_too_many_requests_wait_or_are_told() {
    static FEW: Config = Config { connections: 10, ..CONFIG };
    static TWO: ServerConfig =
        ServerConfig { tasks: 2, patience: Duration::from_secs(60), files: Files::NONE };
    let mut bench = Bench::with(&FEW, &TWO, site(), 1000);
    let lines: [usize; 10] = core::array::from_fn(|_| bench.connect());
    let eleventh = bench.connect();
    bench.settle();
    assert!(bench.wire.lines[eleventh].aborted);
    assert_eq!(bench.count("refused"), 1);
    for line in lines {
        bench.deliver(line, b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    bench.settle();
    assert_eq!(bench.count("tasks"), 2);
    assert!(bench.count("waited") > 0);
    // One that waits goes away before its turn.
    bench.wire.lines[lines[9]].reset = true;
    bench.wire.report(lines[9]);
    bench.pass(Duration::from_secs(26));
    let served = lines.iter().filter(|&&line| bench.wire.lines[line].sent.ends_with(b"slow"));
    assert_eq!(served.count(), 9);
    assert_eq!(bench.count("tasks"), 0);
}

#[test]
fn without_packets_everything_waits_and_goes_on_afterwards() {
    static TASKS: ServerConfig =
        ServerConfig { tasks: 64, patience: Duration::from_secs(60), files: Files::NONE };
    let mut bench = Bench::with(&CONFIG_STATIC, &TASKS, site(), 64);
    let line = bench.connect();
    bench.deliver(line, &[GET, GET].concat());
    let hoard: alloc::vec::Vec<_> = core::iter::from_fn(|| bench.cx.packet()).collect();
    for _ in 0..10 {
        bench.sweep();
    }
    assert_eq!(bench.taken(line), "");
    assert!(bench.count("starved") > 0);
    drop(hoard);
    bench.settle();
    assert_eq!(bench.taken(line).matches("hello").count(), 2);
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

static CONFIG_STATIC: Config = CONFIG;

#[test]
fn a_plain_function_is_a_site_too() {
    let mut bench = Bench::new(hello);
    assert!(bench.once(GET).ends_with("hello"));
    assert!(bench.once(b"BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("hello"));
}

#[test]
fn the_wiring_works_with_two_ports() {
    use crate::Http1;
    use waitless::Component;
    use waitless::http::Server;
    fn stands_on<T: Component<B>, B>(_: &T) {}
    let bench = Bench::new(hello);
    stands_on::<Server<_>, (&mut Http1, &mut Http1)>(&bench.site);
    type Plain = fn(waitless::http::Request) -> core::future::Ready<()>;
    const { assert!(Server::<Plain>::TASK_SIZE < 512) };
}

#[test]
fn what_all_responses_say_is_said_by_errors_too() {
    static SECURE: Config = Config {
        scheme: Scheme::Https,
        server: "test",
        hsts: Some(Duration::from_secs(86_400 * 365)),
        ..CONFIG
    };
    let said = "\r\nServer: test\r\nStrict-Transport-Security: max-age=31536000\r\n";
    let mut bench = Bench::with(&SECURE, &TASKS, site(), 100);
    for request in [GET, b"GET /none HTTP/1.1\r\nHost: h\r\n\r\n", b"nonsense\r\n\r\n"] {
        let response = bench.once(request);
        assert_eq!(response.matches(said).count(), 1, "{response}");
    }
}

/// RFC 6797 section 7.2: whoever listens in could have said it.
#[test]
fn clients_without_tls_are_not_told_to_come_by_it() {
    static PLAIN: Config = Config { hsts: Some(Duration::from_secs(1)), ..CONFIG };
    let mut cx = waitless::testing::context(4, 1);
    let mut http = crate::Http1::new(&PLAIN, &mut cx);
    let refused = http.init(&mut super::wire::Wire::default(), &mut cx);
    assert!(refused.is_err_and(|why| why.0.contains("https")));
}

#[test]
fn what_is_secure_is_the_connection_and_not_the_scheme_of_requests() {
    for scheme in [Scheme::Http, Scheme::Https] {
        for secure in [false, true] {
            let config: &'static Config = Box::leak(Box::new(Config { scheme, ..CONFIG }));
            let mut cx = testing::context(16, 1);
            let mut http = Http1::new(config, &mut cx);
            let mut wire = Wire::default();
            wire.secure = secure;
            assert!(!http.is_secure(), "nothing is known yet");
            http.init(&mut wire, &mut cx).unwrap();
            assert_eq!(http.is_secure(), secure, "{scheme:?}");
        }
    }
}
