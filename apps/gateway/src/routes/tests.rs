//! Routes that are found, and those that are none.

use super::*;
use alloc::format;
use alloc::string::ToString;

const A: &str = "http://10.0.0.1:8080";
const B: &str = "http://b";

fn routes() -> Routes {
    let text = "
        / = http://10.0.0.1:8080
        /api = http://b, http://10.0.0.1:8080/; example.org=http://b
        example.org/api/v2/=http://10.0.0.1:8080
        /api = http://never
    ";
    Routes::read(text).unwrap()
}

#[test]
fn the_most_particular_route_is_taken() {
    let routes = routes();
    for (authority, path, expected) in [
        ("x", "/", &[A][..]),
        ("", "/apis", &[A]),
        ("x:80", "/api", &[B, A]),
        ("[::1]:80", "/api/v2", &[B, A]),
        ("example.org", "/", &[B]),
        ("EXAMPLE.org:8080", "/api", &[B]),
        ("example.org.", "/api/v2", &[A]),
        ("example.org", "/api/v2/x", &[A]),
        ("example.org", "/api/v20", &[B]),
        ("x", "/%61p%69/v2", &[B, A]),
        ("x", "//api", &[B, A]),
        ("x", "/%2fapi%2Fx", &[B, A]),
        ("x", "/api;v=2", &[B, A]),
        ("x", "/;x/api", &[B, A]),
        ("x", "/\\api\\v2", &[B, A]),
        ("x", "/api%3bv/x", &[B, A]),
        ("x", "/api%", &[A]),
        ("x", "/ap/i", &[A]),
    ] {
        let route = routes.find(authority, path).unwrap();
        let found = &routes.upstreams[route.first..route.first + route.count];
        assert_eq!(found, expected, "{authority}{path}");
    }
    let only = Routes::read("a.test/x=http://b").unwrap();
    assert_eq!((only.find("b.test", "/x"), only.find("a.test", "/")), (None, None));
}

#[test]
fn a_route_that_is_none_says_which_word_is_wrong() {
    let url = "the URL of an upstream, without a path";
    let what = "a host without a port, a path that begins with /, or both";
    for (text, expected, word) in [
        ("/x", ROUTE, "/x"),
        ("/ http://a", ROUTE, "/ http://a"),
        ("/=", url, ""),
        ("/=http://a,", url, ""),
        ("/=a", url, "a"),
        ("/=http://a/b", url, "http://a/b"),
        ("/=http://", url, "http://"),
        ("/=http://u@a", url, "http://u@a"),
        ("/=http://a b", url, "http://a b"),
        ("/=http://a?b", url, "http://a?b"),
        ("/=http://:80", url, "http://:80"),
        ("/=http://a:0", url, "http://a:0"),
        ("/=http://a:65536", url, "http://a:65536"),
        ("/=http://::1", url, "http://::1"),
        ("=http://a", what, ""),
        ("a*b/x=http://b", what, "a*b/x"),
        ("a /x=http://b", what, "a /x"),
    ] {
        assert_eq!(Routes::read(text), Err(BadRoute { word, expected }), "{text}");
    }
    let said = Routes::read("/=a").unwrap_err().to_string();
    assert_eq!(said, format!("in `gateway.routes`: expected {url}, and there is `a`"));
}

#[test]
fn paths_that_lead_out_of_their_route_are_told() {
    for path in [
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2E/",
        "/.%2e",
        "/a\\..\\b",
        "/a/%2E",
        "/a%2f..%2fb",
        "/a%5c%2e%2e",
        "/..;/a",
        "/a/..;b",
    ] {
        assert!(is_devious(path), "{path}");
    }
    for path in [
        "/",
        "/a..b",
        "/...",
        "/.a",
        "/a.",
        "/%2e%2e%2e",
        "/%2f",
        "//",
        "/%2ea",
        "/a;b",
        "/%",
        "/%2",
        "/.%",
        "/%zz..",
    ] {
        assert!(!is_devious(path), "{path}");
    }
}
