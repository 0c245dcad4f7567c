//! What RFC 9110 owes a client beside the bytes: conditions, ranges, codings, trailer fields, and
//! another protocol on the same connection.

use super::status;
use super::wire::{Bench, CONFIG};
use crate::{Config, Scheme};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use waitless::Duration;
use waitless::http::{
    Coding, Content, Date, File, Files, Finished, Handler, IntoResponse, Method, Methods, Request,
    Response, Router, ServerConfig, Status, Tag, Validators, Variant, files,
};

const MODIFIED: Date = Date::from_unix(784_111_777);

const fn content(media: &'static str, variants: &'static [Variant]) -> Content {
    Content { media, modified: Some(MODIFIED), variants }
}

const fn variant(coding: Coding, tag: &'static str, bytes: &'static [u8]) -> Variant {
    Variant { coding, tag, bytes }
}

static FILES: Files = Files::new(&[
    File {
        path: "a folder/index.html",
        content: content("text/html", &[variant(Coding::Identity, "folder", b"folder")]),
    },
    File {
        path: "digits.txt",
        content: content("text/plain", &[variant(Coding::Identity, "digits", b"0123456789")]),
    },
    File { path: "empty", content: content("x/y", &[variant(Coding::Identity, "none", b"")]) },
    File {
        path: "index.html",
        content: content(
            "text/html",
            &[
                variant(Coding::Brotli, "br", b"BR"),
                variant(Coding::Gzip, "gz", b"GZIP"),
                variant(Coding::Identity, "plain", b"<html>"),
            ],
        ),
    },
]);

static DEFAULT: Config = CONFIG;
static TASKS: ServerConfig =
    ServerConfig { tasks: 64, patience: Duration::from_secs(1), files: FILES };

/// A thing that may be written when nobody else has, and counts its states in its tag.
async fn thing(request: Request) -> Result<impl IntoResponse, Response> {
    let state = match request.path() {
        "/thing" => Validators::new().tag(Tag::strong("v1")).modified(MODIFIED),
        "/weak" => Validators::new().tag(Tag::weak("v1")),
        _ => Validators::MISSING,
    };
    request.check(&state)?;
    Ok("done".validators(state))
}

async fn trailers(mut request: Request) -> Result<Finished, Response> {
    let length = request.query::<u64>("length").ok();
    let head = Response::ok();
    let mut body = request.stream(length.map_or(head, |length| Response::ok().length(length)));
    if request.query::<u8>("alone") == Ok(1) {
        body.trailer("X-Bad", "lost\r\nX-Other: 1");
        return Ok(body.finish().await);
    }
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    let sum: String = request.trailer("x-sum").unwrap_or("none").into();
    let names: Vec<String> = request.trailers().map(|(name, _)| name.into()).collect();
    body.trailer("X-Sum", sum);
    body.trailer("X-Names", names.join(" "));
    if request.query::<u8>("bad") == Ok(1) {
        body.trailer("Content-Length", 7);
    }
    Ok(body.finish().await)
}

/// Sends a body back, without its trailer fields.
async fn quiet(mut request: Request) -> Finished {
    let mut body = request.stream(Response::ok());
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    body.finish().await
}

/// Says everything twice.
async fn twice(request: Request) -> Result<Finished, Response> {
    let mut line = request.upgrade("Echo", ().header("X-Twice", "yes"))?;
    while let Some(part) = line.receive().await {
        if part.bytes() == b"bye" {
            break;
        }
        for _ in 0..2 {
            line.writer().write(part.bytes()).await;
        }
        line.writer().flush().await;
    }
    line.writer().write(b"over").await;
    Ok(line.finish().await)
}

/// What somebody else has made, a while ago.
async fn dated(_: Request) -> impl IntoResponse {
    "old".header("date", EARLIER)
}

/// What somebody else says was changed tomorrow.
async fn passed(_: Request) -> impl IntoResponse {
    "passed".header("last-modified", LATER)
}

/// So many fields that the date stands where one packet ends.
async fn long(request: Request) -> Response {
    let state = Validators::new().tag(Tag::strong("v1")).modified(MODIFIED);
    let response = "long".header("X-Long", "l".repeat(1990)).validators(state);
    response.header("X-More", "m".repeat(1990)).into_response(request.pool())
}

/// Says what otherwise the port says, or some of it.
async fn own(request: Request) -> Response {
    let which: String = request.param("which").unwrap_or_default();
    let mut response = "own".into_response(request.pool());
    if which == "long" {
        response = response.header("X-Long", "l".repeat(3000)).into_response(request.pool());
    }
    for (path, name, value) in OWN {
        if which.is_empty() || which == "long" || which == path {
            response = response.header(name, value).into_response(request.pool());
        }
    }
    response
}

fn owned(request: &mut Request) -> Result<(), Response> {
    for (_, name, value) in OWN {
        request.respond_with(name, value);
    }
    Ok(())
}

async fn streamed(request: Request) -> Finished {
    let head = Response::ok().content_type("text/html");
    let mut body = request.stream(head.header("X-First", "yes"));
    body.write(b"streamed").await;
    body.finish().await
}

/// A part of a file, with a field of the handler's.
async fn marked(request: Request) -> Response {
    request.respond_with("X-Mark", "yes");
    match request.files().find("digits.txt") {
        Some(file) => file.respond(&request, None).await,
        None => Response::plain(Status::NOT_FOUND),
    }
}

const OWN: [(&str, &str, &str); 3] = [
    ("server", "Server", "theirs"),
    ("secure", "Strict-Transport-Security", "max-age=1"),
    ("media", "Content-Type", "text/css"),
];

fn site() -> impl Handler {
    // `HEAD` comes with `GET`.
    let all = Methods::of(Method::Get).and(Methods::of(Method::Put));
    Router::new()
        .route(all, "/thing", thing)
        .route(all, "/weak", thing)
        .route(all, "/missing", thing)
        .post("/trailers", trailers)
        .post("/quiet", quiet)
        .get("/twice", twice)
        .get("/dated", dated)
        .get("/passed", passed)
        .get("/long", long)
        .get("/own", own)
        .get("/own/layer", streamed.behind(owned))
        .get("/own/{which}", own)
        .get("/digits/marked", marked)
        .get("/{path...}", files)
}

fn bench() -> Bench<impl Handler> {
    Bench::with(&DEFAULT, &TASKS, site(), 4000)
}

fn ask(bench: &mut Bench<impl Handler>, line: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    bench.once(format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes())
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const EARLIER: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

#[test]
fn conditions_are_judged_in_their_order() {
    let mut bench = bench();
    let since = |name: &str, date: &str| format!("If-{name}-Since: {date}");
    let (newer, older) = (since("Modified", EARLIER), since("Modified", SAME));
    let (intact, touched) = (since("Unmodified", LATER), since("Unmodified", EARLIER));
    for (line, fields, expected) in [
        ("GET /thing", &["If-Match: \"v1\""][..], "200"),
        ("GET /thing", &["If-Match: \"v2\""], "412"),
        ("GET /thing", &["If-Match: \"v2\", ,\"v1\""], "200"),
        ("GET /thing", &["If-Match: \"v2\"", "If-Match: \"v1\""], "200"),
        ("GET /thing", &["If-Match: \"a,b\",\"v1\""], "200"),
        ("GET /thing", &["If-Match: W/\"v1\""], "412"),
        ("GET /thing", &["If-Match: v1"], "412"),
        ("GET /thing", &["If-Match: *"], "200"),
        ("PUT /missing", &["If-Match: *"], "412"),
        ("PUT /missing", &["If-None-Match: *"], "200"),
        ("PUT /thing", &["If-None-Match: *"], "412"),
        ("GET /thing", &["If-None-Match: *"], "304"),
        ("HEAD /thing", &["If-None-Match: \"v1\""], "304"),
        ("GET /thing", &["If-None-Match: W/\"v1\""], "304"),
        ("GET /thing", &["If-None-Match: \"v0\", W/\"v1\""], "304"),
        ("GET /thing", &["If-None-Match: \"v0\""], "200"),
        ("GET /thing", &["If-None-Match: \"v0\" \"v1\""], "200"),
        ("GET /thing", &["If-None-Match: v1"], "200"),
        ("GET /weak", &["If-None-Match: \"v1\""], "304"),
        ("GET /weak", &["If-Match: \"v1\""], "412"),
        ("GET /weak", &["If-Match: W/\"v1\""], "412"),
        ("GET /thing", &[older.as_str()], "304"),
        ("GET /thing", &[newer.as_str()], "200"),
        ("PUT /thing", &[older.as_str()], "200"),
        ("GET /thing", &["If-Modified-Since: tomorrow"], "200"),
        ("GET /thing", &["If-Modified-Since: Saturday, 07-Nov-26 08:49:37 GMT"], "304"),
        ("GET /thing", &["If-Modified-Since: Thursday, 07-Nov-85 08:49:37 GMT"], "200"),
        ("GET /thing", &[older.as_str(), older.as_str()], "200"),
        ("GET /weak", &[older.as_str()], "200"),
        ("GET /thing", &[intact.as_str()], "200"),
        ("PUT /thing", &[touched.as_str()], "412"),
        ("PUT /weak", &[touched.as_str()], "200"),
        // The first of a pair counts, where it is there at all.
        ("GET /thing", &["If-Match: \"v1\"", touched.as_str()], "200"),
        ("GET /thing", &["If-None-Match: \"v0\"", older.as_str()], "200"),
        ("GET /thing", &["If-None-Match: \"v1\"", newer.as_str()], "304"),
        ("GET /thing", &["If-Match: \"v2\"", "If-None-Match: \"v1\""], "412"),
        ("GET /thing", &[touched.as_str(), older.as_str()], "412"),
    ] {
        let response = ask(&mut bench, line, fields);
        assert_eq!(status(&response), expected, "{line} {fields:?}\n{response}");
        if expected == "304" {
            assert!(response.contains("ETag: ") && body(&response).is_empty(), "{response}");
            assert!(!response.contains("Content-Length"), "{response}");
        }
    }
    let response = ask(&mut bench, "GET /thing", &[]);
    assert!(response.contains("\r\nETag: \"v1\"\r\n"), "{response}");
    assert!(response.contains(&format!("\r\nLast-Modified: {SAME}\r\n")), "{response}");
    assert!(ask(&mut bench, "GET /weak", &[]).contains("\r\nETag: W/\"v1\"\r\n"));
}

#[test]
fn a_response_has_one_date() {
    let mut bench = bench();
    bench.cx.set_wall_clock(784_111_777_000_000_000);
    let response = ask(&mut bench, "GET /thing", &[]);
    assert!(response.contains(&format!("\r\nDate: {SAME}\r\n")), "{response}");
    let response = ask(&mut bench, "GET /dated", &[]);
    assert!(response.contains(&format!("\r\ndate: {EARLIER}\r\n")), "{response}");
    assert_eq!(response.to_ascii_lowercase().matches("\r\ndate:").count(), 1, "{response}");
}

/// RFC 9110 section 8.8.2.1: nothing was changed after the message was made.
#[test]
fn what_was_changed_last_was_not_changed_in_the_future() {
    for (now, date) in [(784_111_777, SAME), (784_111_777 - 86_400, EARLIER)] {
        let mut bench = bench();
        bench.cx.set_wall_clock(now * 1_000_000_000);
        for path in ["/thing", "/digits.txt", "/", "/long"] {
            let response = ask(&mut bench, &format!("GET {path}"), &[]);
            assert!(response.contains(&format!("\r\nDate: {date}\r\n")), "{response}");
            let modified = format!("\r\nLast-Modified: {date}\r\n");
            assert_eq!(response.matches(&modified).count(), 1, "{now}: {response}");
        }
        // What somebody else has said is theirs.
        let response = ask(&mut bench, "GET /passed", &[]);
        assert!(response.contains(&format!("\r\nlast-modified: {LATER}\r\n")), "{response}");
    }
}

/// RFC 9110 section 5.3.
#[test]
fn what_a_handler_says_itself_is_not_said_twice() {
    static SAYS: Config = Config {
        scheme: Scheme::Https,
        server: "ours",
        hsts: Some(Duration::from_secs(9)),
        ..CONFIG
    };
    let mut bench = Bench::with(&SAYS, &TASKS, site(), 4000);
    let count = |response: &str, name: &str| {
        response.to_ascii_lowercase().matches(&format!("\r\n{name}: ")).count()
    };
    for (path, server, secure, media) in [
        ("/own", "theirs", "max-age=1", "text/css"),
        ("/own/server", "theirs", "max-age=9", "text/plain; charset=utf-8"),
        ("/own/secure", "ours", "max-age=1", "text/plain; charset=utf-8"),
        ("/own/media", "ours", "max-age=9", "text/css"),
        ("/own/layer", "theirs", "max-age=1", "text/css"),
        ("/own/long", "theirs", "max-age=1", "text/css"),
        ("/own/none", "ours", "max-age=9", "text/plain; charset=utf-8"),
    ] {
        for _ in 0..3 {
            let response = ask(&mut bench, &format!("GET {path}"), &[]);
            for (name, value) in
                [("Server", server), ("Strict-Transport-Security", secure), ("Content-Type", media)]
            {
                assert_eq!(count(&response, &name.to_ascii_lowercase()), 1, "{name} {response}");
                assert!(response.contains(&format!("\r\n{name}: {value}\r\n")), "{response}");
            }
        }
    }
    // What is said by a handler once is no rule for others.
    assert_eq!(count(&ask(&mut bench, "GET /digits.txt", &[]), "server"), 1);
}

#[test]
fn a_tag_cannot_split_a_response() {
    let pool = bench().pool();
    for bad in ["a\"b", "a b", "a\r\nb", "a\x7f"] {
        let response = "x".header("ETag", Tag::strong(bad)).into_response(pool);
        assert_eq!(response.code(), Status::INTERNAL_SERVER_ERROR, "{bad:?}");
    }
}

#[test]
fn a_part_is_given_to_who_asks_for_it() {
    let mut bench = bench();
    let range = |value: &str| format!("Range: bytes={value}");
    for (line, fields, expected, content) in [
        ("GET", &[range("2-4")][..], "206", "bytes 2-4/10 234"),
        ("GET", &[range("-3")], "206", "bytes 7-9/10 789"),
        ("GET", &[range("4-")], "206", "bytes 4-9/10 456789"),
        ("GET", &[range("0-99")], "206", "bytes 0-9/10 0123456789"),
        ("GET", &[range("10-")], "416", "bytes */10 Range Not Satisfiable"),
        ("GET", &[range("4-2")], "200", " 0123456789"),
        ("GET", &[range("0-,0-")], "200", " 0123456789"),
        ("GET", &["Range: lines=1".into()], "200", " 0123456789"),
        ("GET", &[range("0-0"), range("1-1")], "200", " 0123456789"),
        ("HEAD", &[range("2-4")], "200", " "),
        ("GET", &[range("2-4"), "If-Range: \"digits\"".into()], "206", "bytes 2-4/10 234"),
        ("GET", &[range("2-4"), "If-Range: \"other\"".into()], "200", " 0123456789"),
        ("GET", &[range("2-4"), "If-Range: W/\"digits\"".into()], "200", " 0123456789"),
        ("GET", &[range("2-4"), format!("If-Range: {SAME}")], "206", "bytes 2-4/10 234"),
        ("GET", &[range("2-4"), format!("If-Range: {LATER}")], "200", " 0123456789"),
        ("GET", &[range("10-"), "If-Range: \"other\"".into()], "200", " 0123456789"),
        // Conditions come first.
        ("GET", &[range("2-4"), "If-None-Match: \"digits\"".into()], "304", " "),
        ("GET", &[range("10-"), "If-Match: \"other\"".into()], "412", " Precondition Failed"),
    ] {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let response = ask(&mut bench, &format!("{line} /digits.txt"), &fields);
        assert_eq!(status(&response), expected, "{fields:?}\n{response}");
        let found = response.split_once("Content-Range: ").map_or("", |(_, rest)| rest);
        let found = found.lines().next().unwrap_or("");
        assert_eq!(format!("{found} {}", body(&response)), content, "{fields:?}");
        if matches!(expected, "200" | "206") {
            assert!(response.contains("ETag: \"digits\"") && response.contains(SAME), "{response}");
            assert!(response.contains("Content-Type: text/plain\r\n"), "{response}");
        }
    }
    let response = ask(&mut bench, "GET /empty", &["Range: bytes=-1"]);
    assert_eq!((status(&response), body(&response)), ("200", ""));
    assert_eq!(status(&ask(&mut bench, "GET /empty", &["Range: bytes=0-"])), "416");
}

#[test]
fn several_parts_are_one_multipart_body_of_the_announced_length() {
    let mut bench = bench();
    let response = ask(&mut bench, "GET /digits.txt", &["Range: bytes=7-, 0-1,90-"]);
    assert_eq!(status(&response), "206");
    let part = |range: &str, bytes: &str| {
        format!(
            "\r\n--digits\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n\
             {bytes}"
        )
    };
    let expected = format!("{}{}\r\n--digits--\r\n", part("7-9", "789"), part("0-1", "01"));
    assert_eq!(body(&response), expected);
    let length = format!("\r\nContent-Length: {}\r\n", expected.len());
    assert!(response.contains(&length), "{response}");
    let media = "\r\nContent-Type: multipart/byteranges; boundary=digits\r\n";
    assert!(response.split_once("\r\n\r\n").unwrap().0.contains(media.trim_end()), "{response}");
    assert!(!response.split_once("\r\n\r\n").unwrap().0.contains("Content-Range"), "{response}");
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn what_is_added_to_a_file_is_added_to_all_parts_of_it() {
    let mut bench = bench();
    for (range, expected) in
        [("", "200"), ("0-0", "206"), ("0-0,5-5", "206"), ("99-", "416"), ("1-", "206")]
    {
        let range = format!("Range: bytes={range}");
        let response = ask(&mut bench, "GET /digits/marked", &[&range]);
        assert_eq!(status(&response), expected, "{range}");
        assert!(response.contains("\r\nX-Mark: yes\r\n"), "{range}: {response}");
    }
}

#[test]
fn a_client_gets_the_coding_that_it_likes_best() {
    let mut bench = bench();
    for (accept, expected, content) in [
        (None, "200", "<html>"),
        (Some("gzip, br"), "200", "BR"),
        (Some("gzip"), "200", "GZIP"),
        (Some("gzip;q=0.9, br;q=0.8"), "200", "GZIP"),
        (Some("identity, gzip;q=0.5"), "200", "<html>"),
        (Some("identity;q=0.5, gzip;q=0.5"), "200", "GZIP"),
        (Some(""), "200", "<html>"),
        (Some("deflate"), "200", "<html>"),
        (Some("*;q=0"), "406", "Not Acceptable"),
        (Some("identity;q=0"), "406", "Not Acceptable"),
    ] {
        let field = accept.map(|accept| format!("Accept-Encoding: {accept}"));
        let fields: Vec<_> = field.iter().map(String::as_str).collect();
        let response = ask(&mut bench, "GET /", &fields);
        assert_eq!((status(&response), body(&response)), (expected, content), "{accept:?}");
        assert!(response.contains("\r\nVary: Accept-Encoding\r\n"), "{response}");
        assert_eq!(response.contains("Content-Encoding: br"), content == "BR");
        assert_eq!(response.contains("Content-Encoding: gzip"), content == "GZIP");
    }
    // Each coding has a tag of its own, and parts are parts of it.
    let gzip = "Accept-Encoding: gzip";
    let response = ask(&mut bench, "GET /", &[gzip, "If-None-Match: \"gz\""]);
    assert_eq!(status(&response), "304");
    assert!(response.contains("\r\nVary: Accept-Encoding\r\n"), "{response}");
    assert_eq!(status(&ask(&mut bench, "GET /", &[gzip, "If-None-Match: \"br\""])), "200");
    assert_eq!(body(&ask(&mut bench, "GET /", &[gzip, "Range: bytes=1-2"])), "ZI");
    // All have one date, by which a client could not tell which of them it has a part of.
    let tagged = [gzip, "Range: bytes=1-2", "If-Range: \"gz\""];
    assert_eq!(body(&ask(&mut bench, "GET /", &tagged)), "ZI");
    let response =
        ask(&mut bench, "GET /", &[gzip, "Range: bytes=1-2", &format!("If-Range: {SAME}")]);
    assert_eq!((status(&response), body(&response)), ("200", "GZIP"));
    // There is no choice where there is one.
    let response = ask(&mut bench, "GET /digits.txt", &["Accept-Encoding: *;q=0"]);
    assert_eq!(status(&response), "200");
    assert!(!response.contains("Vary"), "{response}");
}

#[test]
fn a_folder_is_its_index_and_nothing_outside_is_reached() {
    let mut bench = bench();
    let mut get = |path: &str| ask(&mut bench, &format!("GET {path}"), &[]);
    assert_eq!(body(&get("/a%20folder/")), "folder");
    assert_eq!(body(&get("/a%20folder/index.html")), "folder");
    let response = get("/a%20folder?q=1");
    assert_eq!(status(&response), "308");
    assert!(response.contains("\r\nLocation: /a%20folder/?q=1\r\n"), "{response}");
    for missing in
        ["/none", "/digits.txt/", "//a%20folder", "/a%20folder//", "/%2f", "/digits.txt%00", "/%ff"]
    {
        assert_eq!(status(&get(missing)), "404", "{missing}");
    }
    assert_eq!(status(&get("/../digits.txt")), "400");
    let response = get("/digits.txt");
    assert!(response.contains("\r\nCache-Control: no-cache\r\n"), "{response}");
    assert!(response.contains("\r\nAccept-Ranges: bytes\r\n"), "{response}");
    let options = ask(&mut bench, "OPTIONS /digits.txt", &[]);
    assert!(options.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{options}");
    let options = ask(&mut bench, "OPTIONS http://h", &[]);
    assert!(options.contains("\r\nAllow: GET, HEAD, OPTIONS, POST, PUT\r\n"), "{options}");
    let options = ask(&mut bench, "OPTIONS *", &[]);
    assert!(options.contains("\r\nAllow: GET, HEAD, OPTIONS, POST, PUT\r\n"), "{options}");
    let refused = ask(&mut bench, "DELETE /digits.txt", &[]);
    assert_eq!(status(&refused), "405");
    assert!(refused.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{refused}");
}

#[test]
fn trailer_fields_pass_both_ways() {
    let chunked = "POST /trailers HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\nX-Sum:  7 \r\nHost: evil\r\ncontent-length: 9\r\nX-Other: z\r\n\r\n";
    let expected = "3\r\nabc\r\n0\r\nX-Sum: 7\r\nX-Names: X-Sum X-Other\r\n\r\n";
    let mut bench = bench();
    assert_eq!(body(&bench.once(chunked.as_bytes())), expected);
    // However they are cut, and the connection goes on behind them.
    for place in 70..chunked.len() {
        let line = bench.connect();
        let (front, back) = chunked.as_bytes().split_at(place);
        bench.deliver(line, front);
        bench.settle();
        let response = bench.ask(line, back);
        assert_eq!(body(&response), expected, "{place}");
        let next = bench.ask(line, b"POST /trailers HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(body(&next), "0\r\nX-Sum: none\r\nX-Names: \r\n\r\n");
        bench.finish(line);
        bench.settle();
    }
    // There is no place for them behind an announced length, and none for an old client.
    let known = "POST /trailers?length=3 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(body(&bench.once(known.as_bytes())), "abc");
    let old = "POST /trailers HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(body(&bench.once(old.as_bytes())), "abc");
    // What breaks off with its first trailer field leaves nothing for who is next.
    let alone = "POST /trailers?alone=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(!bench.once(alone.as_bytes()).contains("\r\n0\r\n"));
    let quiet = "POST /quiet HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    assert_eq!(body(&bench.once(quiet.as_bytes())), "3\r\nabc\r\n0\r\n\r\n");
    // What belongs into the head breaks the response off.
    let bad = "POST /trailers?bad=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(!bench.once(bad.as_bytes()).contains("\r\n0\r\n"));
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

const UPGRADE: &str = "GET /twice HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: other/1, echo\r\n\r\n";

#[test]
fn another_protocol_takes_the_connection_over() {
    let mut bench = bench();
    let line = bench.connect();
    let response = bench.ask(line, format!("{UPGRADE}GET / HTTP/1.1\r\n").as_bytes());
    let expected = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nX-Twice: yes\r\n\
        Upgrade: Echo\r\n\r\nGET / HTTP/1.1\r\nGET / HTTP/1.1\r\n";
    assert_eq!(response, expected);
    // It may be silent for as long as it likes, and longer than a body of HTTP.
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.ask(line, b"ab"), "abab");
    assert_eq!(bench.ask(line, b"bye"), "over");
    assert!(bench.wire.lines[line].closed);
    // The client's end is an end, and no broken body.
    let line = bench.connect();
    bench.ask(line, UPGRADE.as_bytes());
    bench.finish(line);
    bench.settle();
    assert_eq!(bench.taken(line), "over");
    assert_eq!(bench.count("upgraded"), 2);
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn who_does_not_offer_a_protocol_is_told_which_one() {
    let mut bench = bench();
    for request in [
        "GET /twice HTTP/1.1\r\nHost: h\r\n\r\n".into(),
        UPGRADE.replace("echo", "other"),
        UPGRADE.replace("Connection: keep-alive, Upgrade", "Connection: keep-alive"),
        UPGRADE.replace("Host: h", "Host: h\r\nContent-Length: 1"),
    ] {
        let response = bench.once(format!("{request}x").as_bytes());
        assert_eq!(status(&response), "426", "{request}");
        assert!(response.contains("\r\nUpgrade: Echo\r\n"), "{response}");
        assert!(response.contains("\r\nConnection: upgrade\r\n"), "{response}");
    }
    let closes = UPGRADE.replace("echo", "other").replace("keep-alive", "close");
    let response = bench.once(closes.as_bytes());
    assert!(response.contains("\r\nConnection: close, upgrade\r\n"), "{response}");
    // An old client cannot do it, but whoever names a protocol says that it is for one connection.
    let old = UPGRADE.replace("1.1", "1.0");
    for (request, says, stays) in [
        (old.replace("keep-alive", "x"), "close, upgrade", false),
        (old, "keep-alive, upgrade", true),
    ] {
        let line = bench.connect();
        let response = bench.ask(line, request.as_bytes());
        assert_eq!(status(&response), "426");
        assert!(response.contains(&format!("\r\nConnection: {says}\r\n")), "{response}");
        assert_eq!(bench.wire.lines[line].closed, !stays);
    }
}
