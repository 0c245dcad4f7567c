//! Tests over a fake stream: the server as its clients see it.

extern crate std;

mod bodies;
mod broken;
mod content;
mod early;
mod fuzz;
mod heads;
mod life;
mod slow;
mod typed;
mod websocket;
mod wire;

use alloc::string::String;
use waitless::Duration;
use waitless::http::{
    Finished, Handler, Html, IntoResponse, Length, Problem, Request, Response, Router, Status,
};
use waitless::task::{timeout, yield_now};

static LONG: [u8; 10_000] = [b'x'; 10_000];

async fn hello(_: Request) -> &'static str {
    "hello"
}

async fn page(_: Request) -> Html<&'static str> {
    Html(core::str::from_utf8(&LONG).unwrap())
}

/// What of a request could be smuggled: method, path, query and body.
async fn show(mut request: Request) -> Result<impl IntoResponse, Problem> {
    let body = request.collect(1000).await?;
    let body = String::from_utf8_lossy(&body);
    let head = request.head();
    Ok(request.text(format_args!(
        "{} {} {:?} {} [{body}]",
        head.method_name(),
        head.path(),
        head.query(),
        head.authority(),
    )))
}

async fn echo(mut request: Request) -> Finished {
    let mut body = request.stream(Response::ok());
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    body.finish().await
}

async fn count(request: Request) -> Result<Finished, Problem> {
    let bytes: u64 = request.query("bytes")?;
    let announced = Response::ok().length(request.query_or("announced", bytes)?);
    let mut body = request.stream(announced);
    let mut left = bytes;
    while left > 0 {
        body.fill(|room| {
            let count = room.len().min(left as usize);
            room[..count].fill(b'z');
            left -= count as u64;
            count
        })
        .await;
    }
    Ok(body.finish().await)
}

async fn slow(request: Request) -> &'static str {
    request.sleep(Duration::from_secs(5)).await;
    "slow"
}

async fn give_up(request: Request) -> Status {
    let announced = request.query("announced").map(|bytes| Response::ok().length(bytes));
    let mut body = request.stream(announced.unwrap_or(Response::ok()));
    body.write(b"something").await;
    body.flush().await;
    // Long enough for it to be sent.
    yield_now().await;
    drop(body);
    Status::INTERNAL_SERVER_ERROR
}

/// Does not want the body, and says so bit by bit.
async fn refuse(request: Request) -> Finished {
    let mut body = request.stream(Response::new(Status::CONTENT_TOO_LARGE));
    body.write(b"no").await;
    body.finish().await
}

async fn drop_at_once(request: Request) -> Status {
    drop(request.stream(Response::ok()));
    Status::INTERNAL_SERVER_ERROR
}

/// Begins a response whose status has no body, and gives it up.
async fn drop_empty(request: Request) -> Status {
    drop(request.stream(Response::new(Status::NO_CONTENT)));
    Status::INTERNAL_SERVER_ERROR
}

/// Begins a response, waits a second for the request's body, and has nothing to say.
async fn hollow(mut request: Request) -> Finished {
    let body = request.stream(Response::ok());
    let _ = timeout(Duration::from_secs(1), request.chunk()).await;
    body.finish().await
}

/// Sends whoever brings a body elsewhere, bit by bit.
async fn elsewhere(request: Request) -> Finished {
    let mut body = request.stream(Response::new(Status::new(307)));
    body.write(b"there").await;
    body.finish().await
}

/// Looks at the first part of a body, and answers at length.
async fn peek(mut request: Request) -> Html<&'static str> {
    request.chunk().await;
    Html(core::str::from_utf8(&LONG).unwrap())
}

/// Reads all of a body, and keeps nothing of it.
async fn swallow(mut request: Request) {
    while request.chunk().await.is_some() {}
}

/// That many packets that have no room in front.
async fn bare(request: Request) -> Result<Finished, Problem> {
    let count: usize = request.query("count")?;
    let mut body = request.stream(Response::ok());
    for _ in 0..count {
        let mut packet = body.packet().await;
        packet.reset(0);
        let _ = packet.append(b"bare");
        body.send(packet).await;
    }
    Ok(body.finish().await)
}

async fn fields(request: Request) -> Result<impl IntoResponse, Problem> {
    let (length, byte): (usize, u8) = (request.query("length")?, request.query("byte")?);
    let mut value = String::new();
    for _ in 0..length {
        value.push('a');
    }
    value.push(char::from(byte));
    Ok("fields".header("X-Value", value))
}

/// A long head, and a body behind it that is echoed, or `/page`'s.
async fn long_head(mut request: Request) -> Result<Response, Problem> {
    let length: usize = request.query_or("length", 5000)?;
    let value = "b".repeat(length);
    if request.body_length() == Length::None {
        let pool = request.pool();
        let page = page(request).await.header("X-Value", value.as_str());
        return Ok(page.into_response(pool));
    }
    let head = Response::ok().header("X-Value", value.as_str()).into_response(request.pool());
    let mut body = request.stream(head);
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    Ok(body.finish().await.into_response(request.pool()))
}

async fn nothing(_: Request) {}

async fn any_status(request: Request) -> Result<impl IntoResponse, Problem> {
    Ok("whatever".status(Status::new(request.param("code")?)))
}

async fn named(request: Request) -> Result<impl IntoResponse, Problem> {
    let (name, number): (heapless::String<16>, u32) =
        (request.param("name")?, request.param("number")?);
    Ok(request.text(format_args!("{name}/{number}")))
}

fn site() -> impl Handler {
    Router::new()
        .get("/", hello)
        .get("/page", page)
        .get("/show", show)
        .post("/show", show)
        .post("/echo", echo)
        .get("/count", count)
        .get("/slow", slow)
        .get("/give-up", give_up)
        .get("/drop", drop_at_once)
        .get("/drop-empty", drop_empty)
        .put("/elsewhere", elsewhere)
        .put("/refuse", refuse)
        .put("/hollow", hollow)
        .post("/peek", peek)
        .post("/swallow", swallow)
        .get("/bare", bare)
        .get("/fields", fields)
        .get("/long-head", long_head)
        .post("/long-head", long_head)
        .get("/nothing", nothing)
        .delete("/nothing", nothing)
        .get("/status/{code}", any_status)
        .get("/named/{rest...}", page)
        .get("/named/{name}/{number}", named)
        .get("/named/me/{number}", hello)
        .get("/named/{name}/1", nothing)
}

/// The status of the first response.
fn status(response: &str) -> &str {
    response.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or("none")
}
