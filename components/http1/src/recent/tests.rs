//! What is remembered, and what is taken for what.

extern crate std;

use super::*;
use crate::parse::{Limits, parse};
use std::vec::Vec;

const LIMITS: Limits = Limits { head: 4096, line: 1024, fields: 64, secure: false };

fn parsed(bytes: &[u8]) -> Parsed {
    parse(bytes, &LIMITS).unwrap().unwrap()
}

#[test]
fn a_head_is_known_again_and_no_other_is_taken_for_it() {
    let mut recent = Recent::new();
    let head = b"GET /health HTTP/1.1\r\nHost: 10.0.0.1\r\nAccept: */*\r\n\r\n".to_vec();
    assert!(recent.find(&head).is_none());
    recent.remember(&head, &parsed(&head));
    assert!(recent.find(&head) == Some(parsed(&head)));
    for at in 0..head.len() {
        for bit in 0..8 {
            let mut other = head.clone();
            other[at] ^= 1 << bit;
            assert!(recent.find(&other).is_none(), "byte {at}, bit {bit}");
        }
        assert!(recent.find(&head[..at]).is_none(), "{at} bytes");
    }
    let longer = [&head[..], b"x"].concat();
    assert!(recent.find(&longer).is_none());
}

#[test]
fn long_ones_and_those_with_something_behind_are_not_remembered() {
    let mut recent = Recent::new();
    for length in 20..200 {
        let mut head = b"GET /".to_vec();
        head.resize(5 + length, b'a');
        head.extend_from_slice(b" HTTP/1.1\r\nHost: x\r\n\r\n");
        recent.remember(&head, &parsed(&head));
        assert_eq!(recent.find(&head).is_some(), head.len() <= LONG, "{}", head.len());
    }
    let two = b"GET /two HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    recent.remember(&two, &parsed(&two));
    assert!(recent.find(&two).is_none());
}

/// Heads that mean something different each, many of them of the same length or beginning.
fn heads() -> Vec<Vec<u8>> {
    let lines = [
        "GET /one HTTP/1.1",
        "GET /two HTTP/1.1",
        "GET /one?a=b HTTP/1.1",
        "GET /one HTTP/1.0",
        "HEAD /one HTTP/1.1",
        "POST /one HTTP/1.1",
        "GET http://x/one HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "\r\nGET /one HTTP/1.1",
    ];
    let fields = [
        "",
        "Content-Length: 1\r\n",
        "Content-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nExpect: 100-continue\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
    ];
    let all = lines.iter().flat_map(|line| {
        fields
            .iter()
            .map(move |field| std::format!("{line}\r\nHost: x\r\n{field}\r\n").into_bytes())
    });
    all.filter(|head| matches!(parse(head, &LIMITS), Ok(Some(_)))).collect()
}

#[test]
fn whatever_was_asked_before_the_answer_is_the_parser_s() {
    let (mut recent, heads) = (Recent::new(), heads());
    assert!(heads.len() > 50, "{} heads", heads.len());
    let mut known = 0;
    // Each head after each other one, and twice in a row.
    for first in &heads {
        for second in &heads {
            for head in [first, second, second] {
                let expected = parsed(head);
                match recent.find(head) {
                    Some(found) => {
                        known += 1;
                        assert!(found == expected, "{}", head.escape_ascii());
                    }
                    None => recent.remember(head, &expected),
                }
            }
        }
    }
    assert!(known >= heads.len() * heads.len(), "{known} were known");
}
