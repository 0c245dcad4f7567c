//! Patterns against paths, and parameters in both.

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
        ("/ab", "/%61b", true),
        ("/ab", "/a%62", true),
        ("/ab", "/a%2", false),
        ("/a/b", "/a%2fb", false),
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

#[test]
fn paths_that_lead_elsewhere_are_suspicious() {
    for path in ["/.", "/..", "/./a", "/a/../b", "/%2e", "/%2E.", "/a/.%2e/b", "/%", "/%4", "/a%g0"]
    {
        assert!(is_suspicious(path.as_bytes(), path.contains('%')), "{path}");
    }
    for path in ["/", "", "*", "/a", "//", "/...", "/.a", "/a.", "/%2e%2e%2e", "/%20", "/a%2f.."] {
        assert!(!is_suspicious(path.as_bytes(), path.contains('%')), "{path}");
    }
}

#[test]
fn texts_are_equal_when_every_byte_is() {
    let text = b"/a/path/of/some/24/bytes";
    for length in 0..=text.len() {
        let one = &text[..length];
        assert!(is_equal(one, one) && !is_equal(one, &text[..length / 2]) || length == 0);
        for at in 0..length {
            let mut other = *text;
            other[at] ^= 1;
            assert!(!is_equal(one, &other[..length]), "{length}, {at}");
        }
    }
}
