//! What the simulated web server answers.

use waitless::http::{
    CloseCode, Coding, Content, Date, Finished, Handler, Problem, Request, Response, Router, Tag,
    Validators, Variant, WebSocket,
};

/// The handler that the generated graph runs.
pub fn site() -> impl Handler {
    Router::new()
        .get("/hello", hello)
        .get("/bytes", bytes)
        .post("/echo", echo)
        .get("/file", file)
        .put("/file", put)
        .post("/form", form)
        .get("/socket", socket)
        .get("/who", who)
}

async fn hello(_: Request) -> &'static str {
    "hello"
}

/// Who the client has shown to be.
async fn who(request: Request) -> String {
    request.identity().map_or_else(|| "nobody".to_owned(), |subject| subject.to_string())
}

/// As many dots as are asked for, without an allocation for each piece.
async fn bytes(request: Request) -> Result<Finished, Problem> {
    let mut left: usize = request.query("count")?;
    let mut body = request.stream(Response::ok().content_type("text/plain").length(left as u64));
    while left > 0 {
        body.fill(|room| {
            let count = room.len().min(left);
            room[..count].fill(b'.');
            left -= count;
            count
        })
        .await;
    }
    Ok(body.finish().await)
}

/// A file in three codings.
async fn file(request: Request) -> Response {
    FILE.respond(&request, Some("no-cache")).await
}

const MODIFIED: Date = Date::from_unix(784_111_777);

static FILE: Content = Content {
    media: "text/plain",
    modified: Some(MODIFIED),
    variants: &[
        Variant { coding: Coding::Brotli, tag: "br", bytes: b"brotli" },
        Variant { coding: Coding::Gzip, tag: "gz", bytes: b"gzip of it" },
        Variant { coding: Coding::Identity, tag: "plain", bytes: &[b'f'; 5000] },
    ],
};

/// Takes what is written on a condition.
async fn put(mut request: Request) -> Result<(), Response> {
    request.check(&Validators::new().tag(Tag::strong("plain")).modified(MODIFIED))?;
    while request.chunk().await.is_some() {}
    Ok(())
}

/// The pairs of a form, or of the query.
async fn form(mut request: Request) -> Result<String, Problem> {
    let query: std::collections::BTreeMap<String, String> = request.query_as()?;
    let form: std::collections::BTreeMap<String, String> = request.form(2000).await?;
    Ok(format!("{query:?} {form:?} {:?}", request.trailer("x-sum")))
}

/// Sends messages back.
async fn socket(request: Request) -> Result<Finished, Response> {
    // Every task has room for the longest handler: what lives long and is large has a place of its
    // own.
    Box::pin(talk(request)).await
}

async fn talk(request: Request) -> Result<Finished, Response> {
    let mut socket = WebSocket::accept(request, &["echo"], 4000)?;
    while let Some(message) = socket.receive().await {
        socket.send(message).await;
    }
    Ok(socket.close(CloseCode::NORMAL, "").await)
}

/// What is sent, back.
async fn echo(mut request: Request) -> Finished {
    let mut body = request.stream(Response::ok());
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    body.finish().await
}
