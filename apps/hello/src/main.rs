//! The smallest image that says hello: `curl http://localhost:8080/`.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::string::String;
use waitless::http::{Handler, IntoResponse, Problem, Request, Router};

waitless::app!();

/// What the manifest's `[site]` answers with.
fn site() -> impl Handler {
    Router::new().get("/", index).get("/hello/{name}", hello)
}

async fn index(_: Request) -> &'static str {
    "Hello! This machine also answers /hello/you.\n"
}

async fn hello(request: Request) -> Result<impl IntoResponse, Problem> {
    let name: String = request.param("name")?;
    Ok(request.text(format_args!("Hello, {name}!\n")))
}
