//! Paths and queries: matching patterns, finding parameters, decoding them.

#[cfg(test)]
mod tests;

/// Whether two texts are the same. Most are short, and then it takes two comparisons of words that
/// may overlap, instead of a call that looks at each byte.
#[inline]
pub(super) fn is_equal(one: &[u8], two: &[u8]) -> bool {
    fn at_ends<const N: usize>(one: &[u8], two: &[u8]) -> bool {
        one.first_chunk::<N>() == two.first_chunk() && one.last_chunk::<N>() == two.last_chunk()
    }
    one.len() == two.len()
        && match one.len() {
            0..4 => one.iter().eq(two),
            4..8 => at_ends::<4>(one, two),
            8..=16 => at_ends::<8>(one, two),
            _ => one == two,
        }
}

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
            None if !is_same(part.as_bytes(), segment) => return false,
            None => {}
        }
        rest = behind;
    }
    rest.is_empty()
}

/// Whether `segment` says `part`, in which nothing is escaped (RFC 3986, section 6.2.2.2).
fn is_same(part: &[u8], segment: &[u8]) -> bool {
    part == segment
        || (segment.contains(&b'%') && unescaped(segment, false).eq(part.iter().copied().map(Some)))
}

/// The bytes of `text` with its escapes resolved, and `+` as a space where `plus` says so; `None`
/// for an escape that is broken.
fn unescaped(text: &[u8], plus: bool) -> impl Iterator<Item = Option<u8>> {
    let mut bytes = text.iter().copied();
    core::iter::from_fn(move || {
        let byte = bytes.next()?;
        Some(match byte {
            b'%' => escape(&mut bytes),
            b'+' if plus => Some(b' '),
            _ => Some(byte),
        })
    })
}

/// What the two digits say that `digits` begin with. Once in an image, as few paths have any.
#[cold]
#[inline(never)]
fn escape(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let (high, low) = (digits.next().and_then(hex), digits.next().and_then(hex));
    Some(high? << 4 | low?)
}

/// Whether `path` is one that a client has no reason to send: with a segment that names its own
/// place or the one above, which clients resolve (RFC 3986, section 5.2.4), or with a broken
/// escape. Nothing that is made of such a path can lead out of where it belongs.
/// `escaped` where there are escapes.
pub(super) fn is_suspicious(path: &[u8], escaped: bool) -> bool {
    let mut segments = path.split(|&byte| byte == b'/');
    segments.any(|segment| {
        let is_short = segment.len() <= 6;
        let is_dots = |count: usize| {
            is_short && unescaped(segment, false).eq(core::iter::repeat_n(Some(b'.'), count))
        };
        let is_broken = escaped && unescaped(segment, false).any(|byte| byte.is_none());
        is_broken || is_dots(1) || is_dots(2)
    })
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
        (key == name || is_name(key, name)).then_some(value)
    })
}

/// Whether `key` says `name` once its escapes are resolved.
#[cold]
#[inline(never)]
fn is_name(key: &str, name: &str) -> bool {
    unescaped(key.as_bytes(), true).eq(name.bytes().map(Some))
}

/// Decodes percent-encoding into `room`, and `+` as a space where `plus` says so. `None` when
/// there is not enough room, when an escape is broken, or when the result is not UTF-8.
pub fn decode<'a>(text: &'a str, plus: bool, room: &'a mut [u8]) -> Option<&'a str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(text);
    }
    let mut length = 0;
    for byte in unescaped(text.as_bytes(), plus) {
        *room.get_mut(length)? = byte?;
        length += 1;
    }
    core::str::from_utf8(room.get(..length)?).ok()
}

fn hex(digit: u8) -> Option<u8> {
    Some(char::from(digit).to_digit(16)? as u8)
}
