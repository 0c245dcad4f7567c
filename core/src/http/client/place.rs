//! Where a request goes: what a URL says (RFC 3986, RFC 9110 section 4.2).

use super::FetchError;
use crate::dial::TARGET_MAX;
use crate::http::wire::is_host;
use crate::http::wire::scan::target_length;

/// A server, and what is asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place<'a> {
    /// Whether by TLS.
    pub secure: bool,
    /// Its name or address, that of IPv6 without brackets.
    pub host: &'a str,
    /// The same with brackets, as it stands in `Host`.
    pub written: &'a str,
    pub port: u16,
    /// The path and the query; without a slash in front where the URL has no path.
    pub target: &'a str,
}

impl<'a> Place<'a> {
    /// Takes `url` apart. What identifies a part of the document stays here.
    pub fn parse(url: &'a str) -> Result<Self, FetchError> {
        let bad = FetchError::BadUrl;
        let scheme = bad("a URL begins with http:// or https://");
        let (name, rest) = url.split_once("://").ok_or(scheme)?;
        let secure = name.eq_ignore_ascii_case("https");
        if !secure && !name.eq_ignore_ascii_case("http") {
            return Err(scheme);
        }
        let rest = rest.split('#').next().unwrap_or("");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        //= RFC 9110 4.2.4: a user's name in a URL is an error
        if authority.contains('@') {
            return Err(bad("a URL has no user's name"));
        }
        let (written, port) = match authority.rsplit_once(':') {
            // A colon within an address of IPv6 has its bracket behind it.
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        //= RFC 9110 4.2.1: an empty host is an error
        let host = written.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(written);
        if host.is_empty() || host.len() > TARGET_MAX || !is_host(authority.as_bytes()) {
            return Err(bad("a URL has the name or the address of a server"));
        }
        let port = match port {
            "" => default_port(secure),
            port => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(bad("a URL's port is 1 to 65535"))?,
        };
        check_target(target)?;
        Ok(Self { secure, host, written, port, target })
    }

    /// The port, unless it is the scheme's own.
    pub fn other_port(&self) -> Option<u16> {
        (self.port != default_port(self.secure)).then_some(self.port)
    }

    /// Whether both are the same server (RFC 9110, section 4.3.1).
    pub fn is_same_origin(&self, other: &Place<'_>) -> bool {
        self.secure == other.secure
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// Whether `target` may stand behind a method: a path or a query, or both.
pub(super) fn check_target(target: &str) -> Result<(), FetchError> {
    match target_length(target.as_bytes()) == target.len() {
        true => Ok(()),
        false => Err(FetchError::BadUrl("a URL has visible ASCII only, and %XX for the rest")),
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}
