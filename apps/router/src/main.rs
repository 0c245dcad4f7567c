//! A router with two network cards, a firewall and address translation. All of that is drawn in
//! `waitless.toml`; here is the page that shows how it goes, for those inside.

#![cfg_attr(target_os = "none", no_std, no_main)]

use waitless::http::{
    Finished, Handler, IntoResponse, Request, Response, Router, Status, openmetrics,
};

waitless::app!();

/// What the manifest's `[site]` answers with.
fn site() -> impl Handler {
    Router::new().get("/", page).get("/metrics", metrics)
}

/// The page, which reads `/metrics` every other second.
async fn page(request: Request) -> impl IntoResponse {
    let response = match request.files().find("index.html") {
        Some(page) => page.respond(&request, Some("no-cache")).await,
        None => Response::plain(Status::NOT_FOUND),
    };
    response.header("Content-Security-Policy", POLICY)
}

/// The page is whole, and talks to nobody but us.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What every instance counts, as OpenMetrics.
async fn metrics(request: Request) -> Finished {
    let mut body = request.stream(Response::ok().content_type(openmetrics::CONTENT_TYPE));
    openmetrics::write(request.system(), &mut body).await;
    body.finish().await
}
