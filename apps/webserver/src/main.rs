//! The default image: a web server that shows what runs in it.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::string::String;
use serde::Serialize;
use waitless::Duration;
use waitless::http::{
    Body, CloseCode, Event, Finished, Handler, Integer, IntoResponse, Json, Length, Problem,
    Request, Response, Router, Status, WebSocket, files, openmetrics,
};
use waitless::task::yield_now;

waitless::app!();

/// What the manifest's `[site]` answers with.
fn site() -> impl Handler {
    Router::new()
        .get("/health", health)
        .get("/", page)
        .get("/compute", compute)
        .post("/echo", echo)
        .post("/upload", upload)
        .get("/download", download)
        .get("/metrics", metrics)
        .get("/graph", graph)
        .get("/capture/{file}", capture)
        .get("/static/{path...}", files)
        .get("/events", events)
        .get("/socket", socket)
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// `{"status":"ok"}`: it runs, or it would not answer.
async fn health(_: Request) -> impl IntoResponse {
    Json(Health { status: "ok" })
}

/// A page that draws the graph and shows the counters: one of the files in `www`.
async fn page(request: Request) -> impl IntoResponse {
    request.respond_with("Content-Security-Policy", POLICY);
    match request.files().find("index.html") {
        Some(page) => page.respond(&request, Some("no-cache")).await,
        None => Response::plain(Status::NOT_FOUND),
    }
}

/// The page is whole, and talks to nobody but us.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Serialize)]
struct Primes {
    n: u32,
    count: u32,
    largest: Option<u32>,
}

/// `?n=`: counts the primes up to `n`, at most a million, and lets others run now and then.
async fn compute(request: Request) -> Result<impl IntoResponse, Problem> {
    let n: u32 = request.query("n")?;
    if n > 1_000_000 {
        return Err(Problem::bad_request("n is at most 1000000"));
    }
    let mut primes = Primes { n, count: 0, largest: None };
    for candidate in 2..=n {
        if is_prime(candidate) {
            primes.count += 1;
            primes.largest = Some(candidate);
        }
        if candidate % 256 == 0 {
            yield_now().await;
        }
    }
    Ok(Json(primes))
}

fn is_prime(candidate: u32) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= candidate {
        if candidate.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    true
}

/// Sends the body back as it comes.
async fn echo(mut request: Request) -> Finished {
    let head = Response::ok().content_type("application/octet-stream");
    let mut body = request.stream(match request.body_length() {
        Length::Known(bytes) => head.length(bytes),
        Length::None => head.length(0),
        Length::Unknown => head,
    });
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    body.finish().await
}

#[derive(Serialize)]
struct Upload {
    bytes: u64,
}

/// Says how long the body is that was sent.
async fn upload(mut request: Request) -> impl IntoResponse {
    let mut bytes = 0;
    while let Some(chunk) = request.chunk().await {
        bytes += chunk.chain_len() as u64;
    }
    Json(Upload { bytes })
}

/// `?bytes=`: so many bytes of the alphabet, at most a terabyte.
async fn download(request: Request) -> Result<Finished, Problem> {
    let bytes: u64 = request.query("bytes")?;
    if bytes > 1 << 40 {
        return Err(Problem::bad_request("bytes is at most 1099511627776"));
    }
    let head = Response::ok().content_type("application/octet-stream").length(bytes);
    let mut body = request.stream(head);
    let mut sent = 0;
    while sent < bytes {
        body.fill(|room| {
            let count =
                usize::try_from(bytes - sent).map_or(room.len(), |left| left.min(room.len()));
            let mut rest = room.get_mut(..count).unwrap_or_default();
            // The pattern goes on where the last packet ended.
            let mut phase = (sent % LINE) as usize;
            while !rest.is_empty() {
                let pattern = LINES.get(phase..).unwrap_or_default();
                let (now, later) = rest.split_at_mut(pattern.len().min(rest.len()));
                now.copy_from_slice(pattern.get(..now.len()).unwrap_or_default());
                rest = later;
                phase = 0;
            }
            sent += count as u64;
            count
        })
        .await;
    }
    Ok(body.finish().await)
}

/// All counters, as OpenMetrics text.
async fn metrics(request: Request) -> Finished {
    let mut body = request.stream(Response::ok().content_type(openmetrics::CONTENT_TYPE));
    openmetrics::write(request.system(), &mut body).await;
    body.finish().await
}

/// What the image is made of, as JSON.
async fn graph(request: Request) -> Response {
    let graph = request.system().image().graph;
    Response::new(Status::OK).content_type("application/json").body(Body::Static(graph.as_bytes()))
}

/// What a `pcap` recorded that says `share = true`, as a file for `tshark` or Wireshark. Recording
/// pauses meanwhile.
async fn capture(request: Request) -> Result<Finished, Status> {
    let file: String = request.param("file").map_err(|_| Status::NOT_FOUND)?;
    let mut captures = (0..).map_while(|index| request.system().capture(index));
    let found = captures.find(|capture| capture.is_shared() && capture.file() == file);
    let mut download = found.ok_or(Status::NOT_FOUND)?.download();
    let head = Response::ok().content_type("application/octet-stream");
    let mut body = request.stream(head.length(download.left() as u64));
    while download.left() > 0 {
        body.fill(|room| download.read(room)).await;
    }
    Ok(body.finish().await)
}

/// `?count=`: so many events, at most a million, one each second, each with its number.
async fn events(request: Request) -> Result<Finished, Problem> {
    let count: u64 = request.query_or("count", 1_000_000)?;
    let mut events = request.events();
    for number in 1..=count.min(1_000_000) {
        events.send(Event::new(Integer::new(number).text()).name("second")).await;
        request.sleep(Duration::from_secs(1)).await;
    }
    Ok(events.finish().await)
}

/// WebSocket: sends every message back, up to 1 MiB. A client that is silent for a minute must
/// answer a ping within another.
async fn socket(request: Request) -> Result<Finished, Response> {
    // Every task has room for the longest handler: what lives long and is large has a place of its
    // own.
    Box::pin(talk(request)).await
}

async fn talk(request: Request) -> Result<Finished, Response> {
    let socket = WebSocket::accept(request, &[], 1 << 20)?;
    let mut socket = socket.silence(Duration::from_secs(60));
    while let Some(message) = socket.receive().await {
        socket.send(message).await;
    }
    Ok(socket.close(CloseCode::NORMAL, "").await)
}

/// What `/download` repeats: lines of 64 bytes, so that a dump is easy to check. Many, so that a
/// packet is filled by one copy.
static LINES: [u8; 32 * LINE as usize] = {
    let alphabet = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-\n";
    let mut lines = [0; 32 * LINE as usize];
    let mut at = 0;
    while at < lines.len() {
        lines[at] = alphabet[at % alphabet.len()];
        at += 1;
    }
    lines
};
const LINE: u64 = 64;
