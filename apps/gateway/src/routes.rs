//! Which requests go where: the routes of the manifest.

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// One route: which requests it is for, and the upstreams that answer them.
#[derive(PartialEq, Eq, Debug)]
pub struct Route {
    /// The host that requests name; any where it is empty.
    pub host: &'static str,
    /// The path that requests begin with, in whole segments.
    pub path: &'static str,
    /// The first of its upstreams among all, and how many there are.
    pub first: usize,
    /// How many there are.
    pub count: usize,
}

/// All routes, the most particular ones first, and all upstreams, each with its URL.
#[derive(PartialEq, Eq, Debug)]
pub struct Routes {
    /// The routes.
    pub routes: Box<[Route]>,
    /// The URLs of the upstreams, without a path.
    pub upstreams: Box<[&'static str]>,
}

/// Why the routes of the manifest are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRoute {
    /// The word that is wrong; the whole route where one is missing.
    pub word: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

impl Routes {
    /// Reads routes, in lines or parted by semicolons. Each is a host, a path or both, then `=`,
    /// and then the URLs of upstreams, parted by commas.
    pub fn read(text: &'static str) -> Result<Self, BadRoute> {
        let (mut routes, mut upstreams) = (Vec::new(), Vec::new());
        let lines = text.split(['\n', ';']).map(str::trim_ascii);
        for line in lines.filter(|line| !line.is_empty()) {
            let bad = |word, expected| BadRoute { word, expected };
            let (what, urls) = line.split_once('=').ok_or(bad(line, ROUTE))?;
            let what = what.trim_ascii();
            let (host, path) = what.split_at(what.find('/').unwrap_or(what.len()));
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
            if what.is_empty() || !host.bytes().all(is_of_host) || !plain(path) {
                return Err(bad(what, "a host without a port, a path that begins with /, or both"));
            }
            let first = upstreams.len();
            for url in urls.split(',').map(str::trim_ascii) {
                let known = ["http://", "https://"].iter().find_map(|it| url.strip_prefix(it));
                let authority = known.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
                match authority.filter(|it| is_authority(it)) {
                    Some(_) => upstreams.push(url.strip_suffix('/').unwrap_or(url)),
                    None => return Err(bad(url, "the URL of an upstream, without a path")),
                }
            }
            let count = upstreams.len() - first;
            if count > UPSTREAMS_MAX {
                return Err(bad(what, "no more than 64 upstreams"));
            }
            let path = path.strip_suffix('/').unwrap_or(path);
            routes.push(Route { host, path, first, count });
        }
        // Stable: of two for the same, the first one counts.
        routes.sort_by_key(|it: &Route| core::cmp::Reverse((!it.host.is_empty(), it.path.len())));
        Ok(Self { routes: routes.into(), upstreams: upstreams.into() })
    }

    /// The route of a request for `path` of `authority`.
    pub fn find(&self, authority: &str, path: &str) -> Option<&Route> {
        let host = host_of(authority);
        self.routes.iter().find(|route| {
            let same_host = route.host.is_empty() || route.host.eq_ignore_ascii_case(host);
            same_host && leads_into(path, route.path)
        })
    }
}

/// The host of an authority, without its port, and without the dot that a name may end in.
fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte)
}

/// Whether `text` is a host, with a port from 1 on or without one.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().unwrap_or(0)),
        _ => (text, 1),
    };
    let is_name = !host.contains([':', '[', ']']);
    let is_address = host.starts_with('[') && host.ends_with(']');
    port > 0 && !host.is_empty() && host.bytes().all(is_of_host) && (is_name || is_address)
}

/// Whether `path` begins with the segments of `route`, however it is written: an upstream may
/// resolve escapes, take two slashes for one and `\` for another, and leave out what stands behind
/// `;` in a segment; it must not be reached by a path that another route is for.
fn leads_into(path: &str, route: &str) -> bool {
    let mut bytes = merged(path);
    merged(route).all(|byte| bytes.next() == Some(byte))
        && matches!(bytes.next(), None | Some(b'/'))
}

/// The bytes of `path` with its escapes resolved, one slash for several and for each `\`, and
/// without the parameters of segments.
fn merged(path: &str) -> impl Iterator<Item = u8> {
    let (mut before, mut skips) = (0, false);
    unescaped(path).filter_map(move |byte| {
        let byte = if byte == b'\\' { b'/' } else { byte };
        skips = byte != b'/' && (skips || byte == b';');
        if skips || (before, byte) == (b'/', b'/') {
            return None;
        }
        before = byte;
        Some(byte)
    })
}

/// The bytes of `path` with its escapes resolved, as far as they are whole.
fn unescaped(path: &str) -> impl Iterator<Item = u8> {
    let mut rest = path.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    core::iter::from_fn(move || {
        let (byte, behind) = match rest {
            [b'%', high, low, behind @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => ((high << 4 | low) as u8, behind),
                _ => (b'%', rest.get(1..)?),
            },
            [first, behind @ ..] => (*first, behind),
            [] => return None,
        };
        rest = behind;
        Some(byte)
    })
}

/// Whether a path could mean another one than it seems to: it has a segment `.` or `..`, as it is
/// or percent-encoded, which an upstream may follow out of its route. What some servers take for
/// the end of a segment is one here.
pub fn is_devious(path: &str) -> bool {
    // How many dots a segment has that has nothing else.
    let mut dots = Some(0_u8);
    for byte in unescaped(path) {
        match byte {
            b'/' | b'\\' | b';' if matches!(dots, Some(1 | 2)) => return true,
            b'/' | b'\\' | b';' => dots = Some(0),
            b'.' => dots = dots.map(|dots| dots.saturating_add(1)),
            _ => dots = None,
        }
    }
    matches!(dots, Some(1 | 2))
}

impl fmt::Display for BadRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in `gateway.routes`: expected {}, and there is `{}`", self.expected, self.word)
    }
}

/// What a route looks like.
const ROUTE: &str = "a route such as /api = http://10.0.0.1:8080";

/// Upstreams of a route: as many as there are bits for.
pub const UPSTREAMS_MAX: usize = 64;
