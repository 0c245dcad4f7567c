//! What handlers are given in types of their own, what stands in front of them, and events.

use super::status;
use super::wire::Bench;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use waitless::http::{
    Event, Finished, Handler, IntoResponse, Json, Problem, Request, Response, Router, Status,
};
use waitless::{Duration, Packet};

#[derive(Deserialize, Serialize)]
struct Item {
    name: String,
    count: Option<u32>,
}

async fn query(request: Request) -> Result<Json<Item>, Problem> {
    request.query_as().map(Json)
}

async fn form(mut request: Request) -> Result<Json<Item>, Problem> {
    request.form(100).await.map(Json)
}

async fn json(mut request: Request) -> Result<Json<Item>, Problem> {
    request.json(100).await.map(Json)
}

async fn events(request: Request) -> Finished {
    let mut events = request.events();
    let last = request.header("Last-Event-ID").unwrap_or("0");
    events.send(Event::new(last).name("last\ndata: evil").id("1\0")).await;
    events.send(Event::new("one\ntwo\r\nthree\rfour\n").retry(Duration::from_secs(3))).await;
    request.sleep(Duration::from_secs(60)).await;
    events.keep_alive().await;
    events.send(Event::new("")).await;
    events.finish().await
}

async fn streamed(request: Request) -> Finished {
    let mut body = request.stream(Response::ok().content_type("text/plain"));
    body.write(b"streamed").await;
    body.finish().await
}

async fn whole(_: Request) -> impl IntoResponse {
    "whole".header("X-Own", "own")
}

/// Lets in who says the word, and marks every response.
fn guard(request: &mut Request) -> Result<(), Response> {
    request.respond_with("X-Frame-Options", "DENY");
    match request.header("Authorization") {
        Some("Bearer word") => Ok(()),
        Some("Bearer split") => {
            request.respond_with("X-Split", "a\r\nb");
            Ok(())
        }
        _ => {
            let response = Response::plain(Status::UNAUTHORIZED);
            Err(response.header("WWW-Authenticate", "Bearer").into_response(request.pool()))
        }
    }
}

/// Marks every response, while there is no packet.
fn starve(request: &mut Request) -> Result<(), Response> {
    let all: Vec<Packet> = core::iter::from_fn(|| request.pool().packet()).collect();
    request.respond_with("X-Frame-Options", "DENY");
    drop(all);
    request.respond_with("X-Other", "yes");
    Ok(())
}

async fn named(request: Request) -> Result<String, Problem> {
    request.query("a name")
}

fn site() -> impl Handler {
    let inner = Router::new().get("/whole", whole).get("/streamed", streamed);
    Router::new()
        .get("/named", named)
        .get("/query", query)
        .post("/form", form)
        .post("/json", json)
        .get("/events", events)
        .get("/{path...}", inner.behind(guard))
}

fn post(path: &str, media: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: {media}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

#[test]
fn queries_forms_and_json_become_values() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let mut bench = Bench::new(site());
    let item = "{\"name\":\"a b\",\"count\":7}";
    let long = format!("name={}", "x".repeat(100));
    for (request, expected) in [
        (get("/query?name=a+b&count=7", ""), item),
        (get("/query?na%6De=a%20b", ""), "{\"name\":\"a b\",\"count\":null}"),
        (get("/query?name=a&count=x", ""), "400"),
        (get("/query", ""), "400"),
        (post("/form", FORM, "name=a+b&count=7"), item),
        (post("/form", &format!("{FORM}; charset=utf-8"), "name=a+b&count=7"), item),
        (post("/form", FORM, "count=7"), "400"),
        (post("/form", FORM, &long), "413"),
        (post("/form", "text/plain", "name=a"), "415"),
        (post("/json", "application/json", item), item),
        (post("/json", "Application/JSON;charset=utf-8", item), item),
        (post("/json", "application/json", "{\"name\":1}"), "400"),
        (post("/json", "application/json", "{\"name\":\"a\"} x"), "400"),
        (post("/json", FORM, item), "415"),
    ] {
        let response = bench.once(request.as_bytes());
        match expected.len() {
            3 => assert_eq!(status(&response), expected, "{request}"),
            _ => assert!(response.ends_with(&format!("\r\n\r\n{expected}")), "{response}"),
        }
    }
}

#[test]
fn the_name_of_a_parameter_may_be_escaped() {
    let mut bench = Bench::new(site());
    for query in
        ["a+name=x", "a%20name=x", "%61+n%61me=x", "b=y&%&a+name=x", "a%20name%00&a+name=x"]
    {
        let response = bench.once(get(&format!("/named?{query}"), "").as_bytes());
        assert!(response.ends_with("\r\n\r\nx"), "{query}: {response}");
    }
    for query in ["a%2520name=x", "a%2+name=x", "a+nam=x", "a+name2=x"] {
        let response = bench.once(get(&format!("/named?{query}"), "").as_bytes());
        assert_eq!(status(&response), "400", "{query}");
    }
}

#[test]
fn events_are_told_as_they_come() {
    let mut bench = Bench::new(site());
    let line = bench.connect();
    let response = bench.ask(line, get("/events", "Last-Event-ID: 41\r\n").as_bytes());
    assert!(response.contains("\r\nContent-Type: text/event-stream\r\n"), "{response}");
    assert!(response.contains("\r\nCache-Control: no-cache\r\n"), "{response}");
    let first = "event: last\nid: 1\ndata: 41\n\n";
    let second = "retry: 3000\ndata: one\ndata: two\ndata: three\ndata: four\ndata: \n\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    assert!(response.contains(first) && response.contains(second), "{response}");
    bench.pass(Duration::from_secs(61));
    let rest = bench.taken(line);
    assert!(rest.trim_start().starts_with(&chunk(":\n\n")), "{rest:?}");
    assert!(rest.ends_with("data: \n\n\r\n0\r\n\r\n"), "{rest:?}");
}

/// A response without a field that it needs is worse than none.
#[test]
fn what_a_layer_adds_is_not_lost_without_a_packet() {
    let inner = Router::new().get("/whole", whole).get("/streamed", streamed);
    let mut bench = Bench::new(inner.behind(starve));
    for path in ["/whole", "/streamed"] {
        let response = bench.once(get(path, "").as_bytes());
        assert_eq!(status(&response), "503", "{path}");
        assert!(!response.contains("X-O"), "{response}");
    }
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}

#[test]
fn a_layer_answers_itself_or_marks_whatever_is_answered() {
    let mut bench = Bench::new(site());
    let mut ask = |path: &str, word: &str| {
        bench.once(get(path, &format!("Authorization: Bearer {word}\r\n")).as_bytes())
    };
    for (path, word, expected) in [
        ("/whole", "word", "200"),
        ("/streamed", "word", "200"),
        ("/none", "word", "404"),
        ("/whole", "other", "401"),
        ("/none", "other", "401"),
    ] {
        let response = ask(path, word);
        assert_eq!(status(&response), expected, "{path} {word}");
        assert!(response.contains("\r\nX-Frame-Options: DENY\r\n"), "{response}");
        assert_eq!(response.contains("\r\nX-Own: own\r\n"), response.ends_with("whole"));
        assert_eq!(response.contains("\r\nWWW-Authenticate: Bearer\r\n"), expected == "401");
    }
    assert!(ask("/streamed", "word").ends_with("8\r\nstreamed\r\n0\r\n\r\n"));
    // What a layer adds cannot split a response either.
    assert_eq!(status(&ask("/whole", "split")), "500");
    assert_eq!(status(&ask("/streamed", "split")), "500");
    assert_eq!(bench.pool().available(), bench.pool().count(), "a packet was lost");
}
