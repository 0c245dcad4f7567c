//! Slow clients: each is given up in the end, and none of them keeps others waiting.

use super::wire::{Bench, CONFIG, TASKS};
use super::{site, status};
use crate::Config;
use alloc::format;
use alloc::vec::Vec;
use waitless::Duration;
use waitless::http::{Files, Handler, ServerConfig};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const DOWNLOAD: &[u8] = b"GET /count?bytes=1000000000 HTTP/1.1\r\nHost: h\r\n\r\n";
const UPLOAD: &[u8] = b"POST /show HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n";

/// An image with 16 tasks.
fn small(packets: usize) -> Bench<impl Handler> {
    static SMALL: ServerConfig =
        ServerConfig { tasks: 16, patience: Duration::from_secs(1), files: Files::NONE };
    static USUAL: Config = CONFIG;
    Bench::with(&USUAL, &SMALL, site(), packets)
}

/// That many clients, ten a second, ask for `request` and then take `window` bytes and no more.
fn crowd<H: Handler>(
    bench: &mut Bench<H>,
    count: usize,
    request: &[u8],
    window: usize,
) -> Vec<usize> {
    let lines: Vec<usize> = (0..count).map(|_| bench.connect()).collect();
    for &line in &lines {
        bench.wire.lines[line].window = window;
        bench.deliver(line, request);
        bench.settle();
        bench.pass(Duration::from_millis(100));
    }
    lines
}

/// How long a new client waits for `/`, in milliseconds.
#[track_caller]
fn wait<H: Handler>(bench: &mut Bench<H>) -> u64 {
    let start = bench.cx.now();
    let line = bench.connect();
    bench.deliver(line, GET);
    bench.settle();
    for _ in 0..10_000 {
        let response = bench.taken(line);
        if !response.is_empty() {
            assert_eq!(status(&response), "200", "{response}");
            return bench.cx.now().since(start).as_millis();
        }
        bench.pass(Duration::from_millis(10));
    }
    panic!("never answered");
}

#[test]
fn clients_that_read_nothing_delay_nobody() {
    let mut bench = small(4000);
    crowd(&mut bench, 200, DOWNLOAD, 3000);
    for _ in 0..100 {
        assert_eq!(wait(&mut bench), 0);
        bench.pass(Duration::from_millis(100));
    }
    assert!(bench.count("shed") > 0);
    assert!(bench.count("tasks") <= 12, "a quarter is kept");
    assert_eq!(bench.count("declined"), 0);
}

#[test]
fn a_crowd_that_takes_all_tasks_at_once_holds_them_for_no_time() {
    static USUAL: Config = CONFIG;
    static TASKS: ServerConfig =
        ServerConfig { tasks: 128, patience: Duration::from_secs(1), files: Files::NONE };
    let mut bench = Bench::with(&USUAL, &TASKS, site(), 8000);
    for _ in 0..140 {
        let line = bench.connect();
        bench.wire.lines[line].window = 3000;
        bench.deliver(line, DOWNLOAD);
    }
    bench.settle();
    assert_eq!(bench.count("tasks"), 128);
    assert!(wait(&mut bench) <= 300);
    for _ in 0..50 {
        assert_eq!(wait(&mut bench), 0);
        bench.pass(Duration::from_millis(100));
    }
}

#[test]
fn clients_that_send_nothing_of_their_bodies_delay_nobody() {
    let mut bench = small(4000);
    let lines = crowd(&mut bench, 200, UPLOAD, usize::MAX);
    for _ in 0..100 {
        assert_eq!(wait(&mut bench), 0);
        bench.pass(Duration::from_millis(100));
    }
    // Their requests were not begun to be answered, so they are told.
    let told =
        lines.iter().filter(|&&line| bench.wire.lines[line].sent.starts_with(b"HTTP/1.1 408"));
    assert!(told.count() > 100, "nobody was told");
}

#[test]
fn clients_that_read_a_little_delay_nobody() {
    let mut bench = small(4000);
    let lines = crowd(&mut bench, 200, DOWNLOAD, 3000);
    // 1,500 bytes a second each: more than the floor, less than what is fair in a crowd.
    for tenth in 0..300 {
        for &line in lines.iter().filter(|&&line| line % 10 == tenth % 10) {
            bench.wire.lines[line].window += 1500;
            bench.wire.report(line);
        }
        bench.settle();
        assert_eq!(wait(&mut bench), 0, "{tenth}");
        bench.pass(Duration::from_millis(100));
    }
}

#[test]
fn clients_that_keep_up_are_not_cut_off_by_a_crowd() {
    let mut bench = small(4000);
    crowd(&mut bench, 50, DOWNLOAD, 3000);
    let good = bench.connect();
    bench.wire.lines[good].window = 3000;
    bench.ask(good, DOWNLOAD);
    for _ in 0..300 {
        bench.wire.lines[good].window += 5000;
        bench.wire.report(good);
        bench.settle();
        let other = bench.connect();
        bench.wire.lines[other].window = 3000;
        bench.ask(other, DOWNLOAD);
        bench.pass(Duration::from_millis(100));
    }
    assert!(!bench.wire.lines[good].aborted);
    assert!(bench.wire.lines[good].sent.len() > 1_000_000);
    assert!(bench.count("shed") > 300);
}

#[test]
fn a_request_that_finds_all_handlers_at_work_is_told_to_come_again() {
    let mut bench = small(4000);
    crowd(&mut bench, 16, SLOW, usize::MAX);
    let line = bench.connect();
    bench.deliver(line, GET);
    bench.settle();
    bench.pass(Duration::from_millis(900));
    assert_eq!(bench.taken(line), "");
    bench.pass(Duration::from_millis(200));
    let response = bench.taken(line);
    assert_eq!(status(&response), "503");
    assert!(response.contains("\r\nRetry-After: 1\r\n"), "{response}");
    assert!(!response.contains("Connection: close"), "{response}");
    assert_eq!((bench.count("declined"), bench.count("shed")), (1, 0));
    bench.pass(Duration::from_secs(5));
    assert!(bench.ask(line, GET).ends_with("hello"));
}

#[test]
fn few_packets_go_round_among_many_slow_clients() {
    // Ten for each task, and clients that would hold twice as many.
    let mut bench = small(160);
    crowd(&mut bench, 40, DOWNLOAD, 3000);
    for _ in 0..50 {
        assert_eq!(wait(&mut bench), 0);
        bench.pass(Duration::from_millis(100));
    }
}

#[test]
fn a_reader_below_the_floor_is_given_up_and_one_above_it_is_not() {
    for (bytes, stays) in [(100, false), (300, true)] {
        let mut bench = Bench::new(site());
        let line = crowd(&mut bench, 1, DOWNLOAD, 3000)[0];
        // Room is told of when there is enough of it for a packet.
        for second in 1..=120 {
            bench.wire.lines[line].window += bytes;
            if second % 15 == 0 {
                bench.wire.report(line);
            }
            bench.settle();
            bench.pass(Duration::from_secs(1));
        }
        assert_eq!(!bench.wire.lines[line].aborted, stays, "{bytes} bytes a second");
        assert_eq!(bench.count("stalled"), u64::from(!stays));
    }
}

#[test]
fn a_sender_below_the_floor_is_given_up_and_one_above_it_is_not() {
    for (bytes, stays) in [(2, false), (60, true)] {
        for path in ["/echo", "/swallow"] {
            let mut bench = Bench::new(site());
            let line = bench.connect();
            let post = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n");
            bench.ask(line, post.as_bytes());
            for _ in 0..500 {
                bench.deliver(line, &[b'x'; 60][..bytes]);
                bench.settle();
                bench.pass(Duration::from_millis(200));
            }
            let response = bench.taken(line);
            assert_eq!(bench.wire.lines[line].closed, !stays, "{path} {bytes}: {response}");
            assert_eq!(bench.count("too_slow"), u64::from(!stays), "{path} {bytes}");
            let expected = if stays || path == "/echo" { "" } else { "408" };
            assert!(response.get(9..12).unwrap_or("") == expected || path == "/echo", "{response}");
        }
    }
}

/// The time for a response that is not taken must run on when the body stops, too.
#[test]
fn a_client_that_sends_all_and_reads_nothing_is_given_up() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    bench.wire.lines[line].window = 3000;
    bench.deliver(line, b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n");
    for _ in 0..60 {
        bench.deliver(line, &[b'x'; 1460]);
        bench.settle();
    }
    bench.pass(Duration::from_secs(25));
    assert!(bench.wire.lines[line].aborted && bench.wire.lines[line].released);
    assert_eq!((bench.count("tasks"), bench.count("stalled")), (0, 1));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn an_idle_client_that_did_not_take_its_last_response_is_reset() {
    let mut bench = Bench::new(site());
    let (taken, kept) = (bench.connect(), bench.connect());
    bench.ask(taken, GET);
    bench.wire.lines[kept].unacknowledged = 100;
    bench.ask(kept, GET);
    bench.pass(Duration::from_secs(80));
    assert!(bench.wire.lines[taken].closed && !bench.wire.lines[taken].aborted);
    assert!(bench.wire.lines[kept].aborted && bench.wire.lines[kept].released);
    assert_eq!((bench.count("idled_out"), bench.count("stalled")), (1, 1));
}

/// What it does not take stays in packets, which others need.
#[test]
fn the_last_response_must_be_taken_as_soon_as_any() {
    let mut bench = Bench::new(site());
    let (kept, late) = (bench.connect(), bench.connect());
    for line in [kept, late] {
        // In the middle of a conversation, when timers are set already.
        bench.ask(line, GET);
        bench.pass(Duration::from_secs(10));
        bench.wire.lines[line].unacknowledged = 100;
        bench.ask(line, GET);
    }
    bench.pass(Duration::from_secs(5));
    bench.wire.lines[late].unacknowledged = 0;
    assert!(!bench.wire.lines[kept].aborted);
    bench.pass(CONFIG.send_timeout);
    assert!(bench.wire.lines[kept].aborted && bench.wire.lines[kept].released);
    assert_eq!((bench.count("idled_out"), bench.count("stalled")), (0, 1));
    // One that took it has all of its time for the next request.
    bench.pass(Duration::from_secs(49));
    assert!(!bench.wire.lines[late].closed);
    bench.pass(Duration::from_secs(2));
    assert!(bench.wire.lines[late].closed && !bench.wire.lines[late].aborted);
    assert_eq!((bench.count("idled_out"), bench.count("stalled")), (1, 1));
}

#[test]
fn memory_limits_the_tasks() {
    static MANY: ServerConfig =
        ServerConfig { tasks: 65_536, patience: Duration::from_secs(1), files: Files::NONE };
    static USUAL: Config = CONFIG;
    for (packets, most) in [(64, 16), (1000, 100), (4000, 400)] {
        let bench = Bench::with(&USUAL, &MANY, site(), packets);
        let limit = bench.count("tasks_limit");
        assert!(limit <= most && limit >= 16, "{limit} of {packets}");
    }
}

/// What handlers have left for clients that take nothing goes back with the server.
#[test]
fn an_image_that_ends_has_all_its_packets_back() {
    let mut bench = small(400);
    crowd(&mut bench, 4, DOWNLOAD, 0);
    let pool = bench.cx.pool();
    assert!(pool.missing() > 4, "the downloads are under way");
    drop(bench);
    assert_eq!(pool.missing(), 0);
}

#[test]
fn heads_that_are_not_complete_keep_no_packets() {
    static USUAL: Config = CONFIG;
    let mut bench = Bench::with(&USUAL, &TASKS, site(), 400);
    let lines: Vec<usize> = (0..900).map(|_| bench.connect()).collect();
    for &line in &lines {
        bench.deliver(line, b"G");
        bench.settle();
    }
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet is kept");
    assert_eq!(bench.count("crowded"), 0);
    // What follows is the rest, however it is cut.
    assert_eq!(status(&bench.ask(lines[0], &GET[1..])), "200");
    assert_eq!(bench.ask(lines[1], &GET[1..9]), "");
    assert_eq!(status(&bench.ask(lines[1], &GET[9..])), "200");
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.count("too_slow"), 898);
    assert_eq!(bench.http.heads.left(), 400 << 10, "memory is kept");
}

#[test]
fn heads_have_a_limit_together_at_which_the_longest_gives_way() {
    static LONG: Config = Config { head_limit: 16 << 10, ..CONFIG };
    let mut bench = Bench::with(&LONG, &TASKS, site(), 400);
    let head = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(10_000));
    let lines: Vec<usize> = (0..400).map(|_| bench.connect()).collect();
    for &line in &lines {
        bench.deliver(line, head.as_bytes());
        bench.settle();
        bench.pass(Duration::from_millis(1));
    }
    // 40 of them fit into 400 KiB.
    assert!(bench.http.heads.left() < 11_000);
    let held = |line: &&usize| !bench.wire.lines[**line].aborted;
    assert_eq!(lines.iter().filter(held).count(), 40);
    assert!(lines.iter().rev().take(40).all(|line| held(&line)), "not the longest gave way");
    assert_eq!(bench.count("crowded"), 360);
    assert!(bench.http.partial.len() <= 100, "{}", bench.http.partial.len());
    // Whoever is quick is served, with a long head too.
    let whole = format!("{head}\r\n\r\n");
    assert_eq!(status(&bench.once(whole.as_bytes())), "200");
    assert_eq!(status(&bench.once(GET)), "200");
    assert_eq!(status(&bench.ask(lines[399], b"\r\n\r\n")), "200");
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.http.heads.left(), 400 << 10, "memory is kept");
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn where_complete_heads_take_all_memory_the_next_is_refused() {
    static LONG: Config = Config { head_limit: 16 << 10, ..CONFIG };
    let mut bench = Bench::with(&LONG, &TASKS, site(), 100);
    let slow = format!("GET /slow HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(10_000));
    let answers: Vec<_> = (0..20).map(|_| bench.once(slow.as_bytes())).collect();
    // Ten heads are held by their handlers.
    assert!(answers[..9].iter().all(|answer| answer.is_empty()));
    assert!(answers[12..].iter().all(|answer| status(answer) == "503"), "{answers:?}");
    assert_eq!(status(&bench.once(GET)), "200");
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.http.heads.left(), 100 << 10, "memory is kept");
    assert_eq!(status(&bench.once(slow.as_bytes())), "none");
}
