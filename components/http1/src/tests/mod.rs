//! Tests over a fake stream: the server as its clients see it.

extern crate std;

mod bodies;
mod fuzz;
mod heads;
mod life;
mod wire;

use alloc::string::String;
use waitless::Duration;
use waitless::http::{
    Finished, Handler, Html, IntoResponse, Problem, Request, Response, Router, Status,
};

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
    let mut body = request.stream(Response::ok());
    body.write(b"something").await;
    body.flush().await;
    drop(body);
    Status::INTERNAL_SERVER_ERROR
}

async fn fields(request: Request) -> Result<impl IntoResponse, Problem> {
    let (length, byte): (usize, u8) = (request.query("length")?, request.query("byte")?);
    let mut value = heapless::String::<3000>::new();
    for _ in 0..length {
        let _ = value.push(char::from(byte));
    }
    Ok("fields".header("X-Value", value))
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
        .get("/fields", fields)
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
