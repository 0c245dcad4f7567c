//! What the simulated web server answers.

use waitless::http::{Finished, Handler, Problem, Request, Response, Router};

/// The handler that the generated graph runs.
pub fn site() -> impl Handler {
    Router::new().get("/hello", hello).get("/bytes", bytes).post("/echo", echo)
}

async fn hello(_: Request) -> &'static str {
    "hello"
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

/// What is sent, back.
async fn echo(mut request: Request) -> Finished {
    let mut body = request.stream(Response::ok());
    while let Some(chunk) = request.chunk().await {
        body.send(chunk).await;
    }
    body.finish().await
}
