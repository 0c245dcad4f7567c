//! Where an answer leads to (RFC 9110, section 15.4), and what goes there.

use super::FetchError;
use super::place::Place;
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

/// The URL that `location` says, in an answer of `base` (RFC 3986, section 5.2).
pub(super) fn resolve(base: &Place<'_>, location: &str) -> Result<String, FetchError> {
    let location = location.split('#').next().unwrap_or("");
    if location.len() > URL_MAX {
        return Err(FetchError::RedirectLost);
    }
    if let Some((scheme, _)) = location.split_once(':')
        && is_scheme(scheme)
    {
        let url = String::from(location);
        Place::parse(&url).map_err(|_| FetchError::RedirectLost)?;
        return Ok(url);
    }
    let mut url = String::from(if base.secure { "https:" } else { "http:" });
    let (base_path, _) = base.target.split_once('?').unwrap_or((base.target, ""));
    if location.starts_with("//") {
        url.push_str(location);
    } else {
        url.push_str("//");
        url.push_str(base.written);
        if let Some(port) = base.other_port() {
            url.push(':');
            url.push_str(Integer::new(port.into()).text());
        }
        let (path, query) = split_query(location);
        match path {
            "" if query.is_empty() => url.push_str(base.target),
            "" => url.push_str(base_path),
            path if path.starts_with('/') => push_path(&mut url, path),
            path => {
                let folder = base_path.rfind('/').map_or("/", |end| &base_path[..=end]);
                let mut whole = String::from(folder);
                whole.push_str(path);
                push_path(&mut url, &whole);
            }
        }
        url.push_str(query);
    }
    Place::parse(&url).map_err(|_| FetchError::RedirectLost)?;
    Ok(url)
}

/// Adds `path`, which begins with a slash, without `.` and `..` (RFC 3986, section 5.2.4).
fn push_path(url: &mut String, path: &str) {
    let start = url.len();
    let mut segments = path.split('/').skip(1).peekable();
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

/// Fields that are for one server alone, and go to no other.
pub(super) const SECRET: [&str; 3] = ["Authorization", "Cookie", "Proxy-Authorization"];

/// Fields that say what a body is, and go nowhere without it.
pub(super) const OF_BODY: [&str; 4] =
    ["Content-Encoding", "Content-Language", "Content-Location", "Content-Type"];

/// Bytes of a URL that is followed.
const URL_MAX: usize = 8 << 10;
