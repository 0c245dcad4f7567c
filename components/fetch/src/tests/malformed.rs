//! Answers that break a rule: each is refused, with the rule, and its connection is given up.

use super::*;

/// What is answered, and what comes of it.
const MALFORMED: [(&str, &str); 55] = [
    ("SSH-2.0-OpenSSH\r\n", "Malformed(NotHttp([83, 83, 72, 45, 50, 46, 48, 45]))"),
    ("<html>", "Malformed(NotHttp([60, 104, 116, 109, 108, 62, 0, 0]))"),
    (" HTTP/1.1 200 OK\r\n\r\n", "Malformed(NotHttp([32, 72, 84, 84, 80, 47, 49, 46]))"),
    ("\r\nHTTP/1.1 200 OK\r\n\r\n", "Malformed(NotHttp([13, 10, 72, 84, 84, 80, 47, 49]))"),
    ("http/1.1 200 OK\r\n\r\n", "Malformed(NotHttp([104, 116, 116, 112, 47, 49, 46, 49]))"),
    ("HTTP/2.0 200 OK\r\n\r\n", "Malformed(Version([50, 46, 48]))"),
    ("HTTP/0.9 200 OK\r\n\r\n", "Malformed(Version([48, 46, 57]))"),
    ("HTTP/1,1 200 OK\r\n\r\n", "Malformed(Version([49, 44, 49]))"),
    ("HTTP/1.1\t200 OK\r\n\r\n", "Malformed(Version([49, 46, 49]))"),
    ("HTTP/11 200 OK\r\n\r\n", "Malformed(Version([49, 49, 32]))"),
    ("HTTP/1.1  200 OK\r\n\r\n", "Malformed(Status([32, 50, 48]))"),
    ("HTTP/1.1 099 OK\r\n\r\n", "Malformed(Status([48, 57, 57]))"),
    ("HTTP/1.1 2x0 OK\r\n\r\n", "Malformed(Status([50, 120, 48]))"),
    ("HTTP/1.1 20 OK\r\n\r\n", "Malformed(Status([50, 48, 32]))"),
    ("HTTP/1.1 2000 OK\r\n\r\n", "Malformed(StatusLine(48))"),
    ("HTTP/1.1 200\tOK\r\n\r\n", "Malformed(StatusLine(9))"),
    ("HTTP/1.1 200 OK\n\r\n", "Malformed(StatusLine(10))"),
    ("HTTP/1.1 200 OK\r \r\n", "Malformed(StatusLine(32))"),
    ("HTTP/1.1 200 O\0K\r\n\r\n", "Malformed(StatusLine(0))"),
    // Fields.
    ("HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", "Malformed(Field { byte: 32, at: 18 })"),
    ("HTTP/1.1 200 OK\r\nX \r\n\r\n", "Malformed(Field { byte: 32, at: 18 })"),
    ("HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok", "Malformed(Field { byte: 32, at: 31 })"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n",
        "Malformed(Field { byte: 9, at: 34 })",
    ),
    ("HTTP/1.1 200 OK\r\n: y\r\n\r\n", "Malformed(Field { byte: 58, at: 17 })"),
    ("HTTP/1.1 200 OK\r\nXy\r\n\r\n", "Malformed(Field { byte: 13, at: 19 })"),
    ("HTTP/1.1 200 OK\r\n folded: y\r\n\r\n", "Malformed(Field { byte: 32, at: 17 })"),
    ("HTTP/1.1 200 OK\r\nX: y\n\r\n", "Malformed(Field { byte: 10, at: 21 })"),
    ("HTTP/1.1 200 OK\r\nX: y\rZ: a\r\n\r\n", "Malformed(Field { byte: 90, at: 22 })"),
    ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", "Malformed(Field { byte: 0, at: 21 })"),
    ("HTTP/1.1 200 OK\r\nX: a\x7fb\r\n\r\n", "Malformed(Field { byte: 127, at: 21 })"),
    ("HTTP/1.1 200 OK\r\nX\u{e9}: a\r\n\r\n", "Malformed(Field { byte: 195, at: 18 })"),
    ("HTTP/1.1 200 OK\r\n\rX: y\r\n\r\n", "Malformed(Field { byte: 13, at: 17 })"),
    ("HTTP/1.1 200 OK\r\n\nX: y\r\n\r\n", "Malformed(Field { byte: 10, at: 17 })"),
    // Lengths.
    ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n 0\r\n\r\nok", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n", "Malformed(Length)"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok", "Malformed(Lengths(2, 3))"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\nok",
        "Malformed(Lengths(2, 1))",
    ),
    // Codings.
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "Malformed(LengthAndCoding)",
    ),
    ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Malformed(OldCoding)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "Malformed(Coding)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "Malformed(Coding)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", "Malformed(Coding)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "Malformed(Coding)"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        "Malformed(Field { byte: 11, at: 36 })",
    ),
    ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "Malformed(Upgrade)"),
    // Chunks.
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "200  Malformed(Chunk)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\no", "200  Malformed(Chunk)"),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n", "200  Malformed(Chunk)"),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
        "200  Malformed(Chunk)",
    ),
];

#[test]
fn every_answer_that_breaks_a_rule_is_refused_however_its_bytes_come() {
    for (answer, expected) in MALFORMED {
        for piece in [1, 2, 5, 1400] {
            let mut bench = Bench::new();
            bench.get("http://a/");
            bench.say_in(0, answer.as_bytes(), piece);
            let said = bench.said();
            // What came of the first bytes may have been less than what there is to show.
            let shows = expected.contains("NotHttp")
                || expected.contains("(Version")
                || expected.contains("(Status(");
            match piece < 1400 && shows {
                true => {
                    assert_eq!(said[0].split('(').nth(1), expected.split('(').nth(1), "{answer}")
                }
                false => assert_eq!(said, [expected], "{answer}"),
            }
            assert_eq!(bench.open(), (0, 0), "{answer}");
            let counters = bench.cx.system().client().unwrap().counters();
            assert_eq!((counters.failed.get(), counters.malformed.get()), (1, 1));
            bench.expect_rest();
        }
    }
}

#[test]
fn heads_have_limits() {
    let line = "X: 1234567890\r\n".repeat(21);
    let long = format!("X: {}\r\n", "y".repeat(4096));
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(17);
    for (answer, expected) in [
        (format!("HTTP/1.1 200 OK\r\n{line}\r\n"), "Malformed(TooManyFields(20))"),
        (format!("HTTP/1.1 200 OK\r\n{long}"), "Malformed(HeadTooLong(4096))"),
        (format!("HTTP/1.1 200 {}", "y".repeat(4096)), "Malformed(HeadTooLong(4096))"),
        (interim, "Malformed(TooManyInterim(16))"),
    ] {
        for piece in [64, 1000, 1400] {
            let mut bench = Bench::new();
            bench.get("http://a/");
            bench.say_in(0, answer.as_bytes(), piece);
            bench.expect(&[expected]);
            bench.expect_rest();
        }
    }
    // As long as it may be: in several packets.
    let fits = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok", "y".repeat(4000));
    for piece in [37, 1000, 1400] {
        let mut bench = Bench::new();
        bench.get("http://a/");
        bench.say_in(0, fits.as_bytes(), piece);
        bench.expect(&["200 ok"]);
        bench.expect_rest();
    }
}

#[test]
fn an_answer_that_breaks_off_says_where() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12";
    let cases = [
        ("", "Closed { came: None, expected: None }"),
        ("HTTP/1.1 200 OK\r\nConte", "Closed { came: None, expected: None }"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "Closed { came: None, expected: None }"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12",
            "200 12 Closed { came: Some(2), expected: Some(5) }",
        ),
        (chunked, "200 12 Closed { came: Some(2), expected: None }"),
    ];
    for (answer, expected) in cases {
        let mut bench = Bench::new();
        bench.get("http://a/");
        bench.say(0, answer);
        bench.close(0);
        bench.expect(&[expected]);
        bench.expect_rest();
    }
    for (answer, expected) in [("", "Broken(Reset)"), (chunked, "200 12 Broken(Reset)")] {
        let mut bench = Bench::new();
        bench.get("http://a/");
        bench.say(0, answer);
        bench.reset(0);
        bench.expect(&[expected]);
        bench.expect_rest();
    }
    // Without a length, only a reset tells that something is missing.
    let mut bench = Bench::new();
    bench.get("http://a/");
    bench.say(0, "HTTP/1.1 200 OK\r\n\r\n12");
    bench.reset(0);
    bench.expect(&["200 12 Broken(Reset)"]);
    bench.expect_rest();
}

#[test]
fn errors_say_what_was_expected_and_what_came() {
    for (answer, expected) in [
        ("SSH-2.0-x\r\n", "expected an answer that begins with HTTP/, and there came SSH-2.0-"),
        ("HTTP/2.0 200\r\n", "expected HTTP/1.1 or HTTP/1.0, and there came HTTP/2.0"),
        ("HTTP/1.1 \r\n\r\n", "expected a status of three digits, and there came \\r\\n\\r"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n", "Content-Length says both 2 and 3"),
    ] {
        let mut bench = Bench::new();
        bench.handler(|client| async move {
            client.fetch(Method::Get, "http://a/").send().await.unwrap_err().to_string()
        });
        bench.say(0, answer);
        bench.expect(&[expected]);
    }
}
