//! A reverse proxy: passes requests on to other servers, and their answers back.
//!
//! The manifest's `routes` say which upstreams answer for which host and path. Nothing is kept of
//! a body but the few packets that are under way, so one side is never faster than the other. What
//! is passed on is read and written anew: the framing of a message is that of its connection, so
//! no two readers can disagree on where it ends. An upstream that fails several times in a row is
//! left alone for a while.
//!
//! It does not cache, change bodies, or pass on other protocols than WebSocket.

#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod fields;
mod proxy;
mod routes;
#[cfg(test)]
mod tests;
mod upstreams;

pub use upstreams::Balance;

use alloc::boxed::Box;
use proxy::Proxy;
use waitless::Duration;
use waitless::http::{Handler, is_token};

waitless::app!();

/// What the manifest's `[gateway]` may set, beside what all handlers have.
#[derive(Debug)]
pub struct Config {
    /// The routes.
    pub routes: &'static str,
    /// How an upstream of a route is chosen.
    pub balance: Balance,
    /// So many failures in a row, and an upstream is left alone.
    pub failures: u16,
    /// For how long.
    pub pause: Duration,
    /// Upstreams that are tried for one request.
    pub attempts: u8,
    /// Whether `Host` goes on as it came.
    pub keep_host: bool,
    /// Whether what requests say of those that passed them on is believed.
    pub trust: bool,
    /// How long a connection of WebSocket may carry nothing either way.
    pub silence: Duration,
    /// What it calls itself in `Via`.
    pub name: &'static str,
}

/// What the manifest's `[gateway]` answers with.
///
/// # Panics
/// When a route is none, or the name: a gateway that sends requests elsewhere than was meant, or
/// says what nobody understands, must not start.
fn gateway(config: &'static Config) -> impl Handler {
    if !is_token(config.name.as_bytes()) {
        panic!(
            "`gateway.name` is one word of letters, digits and -._, and there is `{}`",
            config.name
        );
    }
    let proxy = match Proxy::new(config) {
        Ok(proxy) => &*Box::leak(Box::new(proxy)),
        Err(why) => panic!("{why}"),
    };
    move |request| proxy.answer(request)
}
