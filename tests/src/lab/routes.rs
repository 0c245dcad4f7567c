//! What tests add to the web server, and read of what it says.

/// The web server's source with three routes more, each of which ends it in another way: `/panic`,
/// `/hang` and `/shutdown`.
///
/// # Panics
/// When the web server's routes look different.
pub fn with_ends(source: &str) -> String {
    let routes = "Router::new().get(\"/panic\", dies).get(\"/hang\", hangs)\
                  .get(\"/shutdown\", ends)";
    let changed = source.replacen("Router::new()", routes, 1);
    assert_ne!(changed, source, "the web server's routes look different now");
    changed
        + r#"
async fn dies(_: Request) -> &'static str {
    panic!("on request")
}

async fn hangs(_: Request) -> &'static str {
    loop {
        core::hint::spin_loop();
    }
}

async fn ends(request: Request) -> &'static str {
    request.system().shut_down();
    "bye"
}
"#
}

/// The value of the sample of `/metrics` that starts with `name`.
///
/// # Panics
/// When there is none.
#[track_caller]
pub fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in\n{text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// Packets that are free or wait for frames, of all cores, by `/metrics`.
///
/// # Panics
/// When it does not say.
#[track_caller]
pub fn free_packets(metrics: &str) -> u64 {
    value(metrics, "waitless_pool_available_buffers{")
        + value(metrics, "waitless_virtio_net_posted_packets{")
}
