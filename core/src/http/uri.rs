//! Paths and queries: matching patterns, finding parameters, decoding them.

/// Whether `path` is of the form `pattern`, in which `{name}` stands for one segment that is not
/// empty, and `{name...}`, as the last one, for whatever follows.
pub(super) fn matches(pattern: &str, path: &[u8]) -> bool {
    walk(pattern, path, |_, _| {})
}

/// The value of the parameter `name` of `pattern` in `path`, as sent.
pub(super) fn parameter<'a>(pattern: &str, path: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let matches = walk(pattern, path.as_bytes(), |parameter, value| {
        if parameter == name {
            found = Some(value);
        }
    });
    core::str::from_utf8(found.filter(|_| matches)?).ok()
}

/// Whether `path` matches; tells of every parameter on the way.
fn walk<'a>(pattern: &str, path: &'a [u8], mut tell: impl FnMut(&str, &'a [u8])) -> bool {
    let mut rest = path;
    let mut parts = pattern.split('/');
    if parts.next() != Some("") {
        return false;
    }
    for part in parts {
        let Some((b'/', after)) = rest.split_first() else { return false };
        let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
        if let Some(name) = name.and_then(|name| name.strip_suffix("...")) {
            tell(name, after);
            return true;
        }
        let end = after.iter().position(|&byte| byte == b'/').unwrap_or(after.len());
        let (segment, behind) = after.split_at(end);
        match name {
            Some(_) if segment.is_empty() => return false,
            Some(name) => tell(name, segment),
            None if part.as_bytes() != segment => return false,
            None => {}
        }
        rest = behind;
    }
    rest.is_empty()
}

/// Whether `pattern` says more than `other` of the paths that fit both.
#[cold]
pub(super) fn says_more(pattern: &str, other: &str) -> bool {
    let rank = |part: &str| match part.strip_prefix('{') {
        Some(name) if name.ends_with("...}") => 2,
        Some(_) => 1,
        None => 0,
    };
    let pairs = pattern.split('/').zip(other.split('/'));
    pairs.map(|(a, b)| (rank(a), rank(b))).find(|(a, b)| a != b).is_some_and(|(a, b)| a < b)
}

/// The value of the first parameter `name` of a query, as sent.
pub(super) fn query_parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// Decodes percent-encoding into `room`, and `+` as a space where `plus` says so. `None` when
/// there is not enough room, when an escape is broken, or when the result is not UTF-8.
pub fn decode<'a>(text: &'a str, plus: bool, room: &'a mut [u8]) -> Option<&'a str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(text);
    }
    let mut length = 0;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus => b' ',
            _ => byte,
        };
        *room.get_mut(length)? = byte;
        length += 1;
    }
    core::str::from_utf8(room.get(..length)?).ok()
}

fn hex(digit: u8) -> Option<u8> {
    Some(char::from(digit).to_digit(16)? as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        for (pattern, path, matching) in [
            ("/", "/", true),
            ("/", "", false),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a/{b}", "/a/x", true),
            ("/a/{b}", "/a/", false),
            ("/a/{b}", "/a", false),
            ("/a/{b}", "/a/x/y", false),
            ("/a/{b}/c", "/a/x/c", true),
            ("/a/{b}/c", "/a/x/d", false),
            ("/f/{rest...}", "/f/x/y/z", true),
            ("/f/{rest...}", "/f/", true),
            ("/f/{rest...}", "/f", false),
            ("/{a}", "*", false),
        ] {
            assert_eq!(matches(pattern, path.as_bytes()), matching, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_are_compared_segment_by_segment() {
        let order = ["/a/b/c", "/a/b/{x}", "/a/{x}/c", "/a/{x}/{y}", "/a/{x...}", "/{x...}"];
        for (at, pattern) in order.into_iter().enumerate() {
            for (other_at, other) in order.into_iter().enumerate() {
                assert_eq!(says_more(pattern, other), at < other_at, "{pattern} {other}");
            }
        }
    }

    #[test]
    fn parameters_are_found_and_decoded() {
        assert_eq!(parameter("/a/{b}/{c}", "/a/x/y%20z", "c"), Some("y%20z"));
        assert_eq!(parameter("/a/{b}", "/a/x", "nobody"), None);
        assert_eq!(parameter("/f/{rest...}", "/f/x/y", "rest"), Some("x/y"));
        assert_eq!(query_parameter("a=1&b=2&a=3", "a"), Some("1"));
        assert_eq!(query_parameter("a&b", "b"), Some(""));
        assert_eq!(query_parameter("ab=1", "a"), None);
        assert_eq!(decode("y%20z", false, &mut [0; 8]), Some("y z"));
        assert_eq!(decode("y+z", true, &mut [0; 8]), Some("y z"));
        assert_eq!(decode("y+z", false, &mut [0; 8]), Some("y+z"));
        for broken in ["%", "%2", "%2g", "%ff", "%20%20%20%20%20%20%20%20%20"] {
            assert_eq!(decode(broken, false, &mut [0; 8]), None, "{broken}");
        }
    }
}
