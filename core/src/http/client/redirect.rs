//! Where an answer leads to (RFC 9110, section 15.4), and what goes there.

use super::FetchError;
use super::place::Place;
use crate::http::head::is_same_name;
use crate::http::{Integer, Status};
use alloc::string::String;

/// What becomes of the method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Onward {
    /// The same, with the same body.
    Same,
    /// `GET`, without a body.
    Get,
}

/// Whether an answer of `status` to `method` leads elsewhere, and how one goes there.
pub(super) fn onward(status: Status, method: &str) -> Option<Onward> {
    match status {
        //= RFC 9110 15.4.2: POST may become GET, as it always has
        Status::MOVED_PERMANENTLY | Status::FOUND if method == "POST" => Some(Onward::Get),
        Status::MOVED_PERMANENTLY | Status::FOUND => Some(Onward::Same),
        //= RFC 9110 15.4.4: by a retrieval request
        Status::SEE_OTHER if method == "HEAD" => Some(Onward::Same),
        Status::SEE_OTHER => Some(Onward::Get),
        //= RFC 9110 15.4.8: without another method
        Status::TEMPORARY_REDIRECT | Status::PERMANENT_REDIRECT => Some(Onward::Same),
        _ => None,
    }
}

/// The URL that `location` says, in an answer of `base`, which was asked for `target` (RFC 3986,
/// section 5.2).
pub(super) fn resolve(
    base: &Place<'_>,
    target: &str,
    location: &str,
) -> Result<String, FetchError> {
    let location = location.split('#').next().unwrap_or("");
    if location.len() > URL_MAX {
        return Err(FetchError::RedirectLost);
    }
    let scheme = location.find(':').filter(|&colon| is_scheme(&location[..colon]));
    let (scheme, rest) = match scheme {
        Some(colon) => location.split_at(colon + 1),
        None => (if base.secure { "https:" } else { "http:" }, location),
    };
    let mut url = String::from(scheme);
    url.push_str("//");
    match rest.strip_prefix("//") {
        Some(there) => {
            let end = there.find(['/', '?']).unwrap_or(there.len());
            let (authority, target) = there.split_at(end);
            let (path, query) = split_query(target);
            url.push_str(authority);
            push_path(&mut url, path);
            url.push_str(query);
        }
        None if rest.len() < location.len() => return Err(FetchError::RedirectLost),
        None => {
            url.push_str(base.written);
            if let Some(port) = base.other_port() {
                url.push(':');
                url.push_str(Integer::new(port.into()).text());
            }
            push_relative(&mut url, target, rest);
        }
    }
    Place::parse(&url).map_err(|_| FetchError::RedirectLost)?;
    Ok(url)
}

/// Adds what `location` is, seen from `target`, on the same server.
fn push_relative(url: &mut String, target: &str, location: &str) {
    //= RFC 9110 10.2.2: relative to what was asked for
    // What was asked of the server as a whole has no path (RFC 9112, section 3.3).
    let target = if target == "*" { "" } else { target };
    let (base_path, base_query) = split_query(target);
    let (path, query) = split_query(location);
    match path {
        "" => push_path(url, base_path),
        path if path.starts_with('/') => push_path(url, path),
        path => {
            let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
            let mut whole = String::from(folder);
            whole.push_str(path);
            push_path(url, &whole);
        }
    }
    let is_same = path.is_empty() && query.is_empty();
    url.push_str(if is_same { base_query } else { query });
}

/// Adds `path`, with a slash in front, without `.` and `..` (RFC 3986, section 5.2.4).
fn push_path(url: &mut String, path: &str) {
    let start = url.len();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    let end = url[start..].rfind('/').map_or(start, |slash| start + slash);
                    url.truncate(end);
                }
                if is_last {
                    url.push('/');
                }
            }
            segment => {
                url.push('/');
                url.push_str(segment);
            }
        }
    }
}

/// The path and the query, the latter with its question mark.
fn split_query(location: &str) -> (&str, &str) {
    location.split_at(location.find('?').unwrap_or(location.len()))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Whether a field is for one server alone, and goes to no other.
pub(super) fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|other| is_same_name(name, other))
}

/// Whether a field says what a body is, and goes nowhere without it.
pub(super) fn is_of_body(name: &str) -> bool {
    //= RFC 9110 15.4: known here or not, as whoever gets it knows it
    let says_so = name.get(..8).is_some_and(|start| is_same_name(start, "Content-"));
    says_so || OF_BODY.iter().any(|other| is_same_name(name, other))
}

const SECRET: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// Those whose names do not say so.
const OF_BODY: [&str; 3] = ["Digest", "Last-Modified", "Repr-Digest"];

/// Bytes of a URL that is followed.
const URL_MAX: usize = 8 << 10;
