//! Upstreams and clients that fail, and what must not go on.

use super::*;

#[test]
fn an_upstream_that_fails_is_answered_for() {
    for (said, ends, expected) in [
        ("", true, "502"),
        ("SSH-2.0-x\r\n", false, "502"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false, "502"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
            "502",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", false, "502"),
        // Nothing of a body that breaks off at once.
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\nz", false, "502"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", false, "502"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, "502"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, "502"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false, "502"),
        ("HTTP/1.1 777 X\r\nContent-Length: 0\r\n\r\n", false, "502"),
    ] {
        let mut bench = bench(CONFIG);
        let visit = bench.get("/");
        bench.served[0].ends = ends;
        bench.say(0, said);
        assert!(bench.answer(visit).starts_with(expected), "{said}: {}", bench.answer(visit));
        assert!(bench.port.visits[visit].finished);
        bench.expect_rest();
    }
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    bench.pass(30_010);
    assert!(bench.answer(visit).starts_with("504"));
    // Nobody else could be asked, so it is not left alone.
    let visit = bench.get("/");
    bench.say(1, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn an_answer_that_breaks_off_is_seen_to() {
    for (said, resets) in [
        ("Content-Length: 5\r\n\r\n12", false),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n12", false),
        ("X: y\r\n\r\n12", true),
    ] {
        let mut bench = bench(CONFIG);
        let visit = bench.get("/");
        bench.say(0, &format!("HTTP/1.1 200 OK\r\n{said}"));
        if resets {
            bench.dialer.lines()[bench.served[0].line as usize].break_off(Broken::Reset);
        }
        bench.served[0].ends = true;
        bench.sweep();
        assert!(bench.answer(visit).ends_with("> 12 (cut off)"), "{}", bench.answer(visit));
        bench.expect_rest();
        // The same where all of that comes at once.
        let mut bench = self::bench(CONFIG);
        let visit = bench.get("/");
        let packet = bench.packet(format!("HTTP/1.1 200 OK\r\n{said}").as_bytes());
        bench.served[0].to_say.push_back(packet);
        bench.served[0].ends = !resets;
        bench.sweep();
        if resets {
            bench.dialer.lines()[bench.served[0].line as usize].break_off(Broken::Reset);
            bench.sweep();
        }
        assert!(bench.answer(visit).ends_with("> 12 (cut off)"), "{}", bench.answer(visit));
        bench.expect_rest();
    }
}

#[test]
fn upstreams_take_turns_and_stand_in_for_each_other() {
    let mut bench = bench(CONFIG);
    for _ in 0..4 {
        bench.get("/api/x");
    }
    let targets: Vec<_> = bench.served.iter().map(|served| served.target.clone()).collect();
    assert_eq!(targets, ["a:80", "b:80", "a:80", "b:80"]);
    for at in 0..4 {
        bench.say(at, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        bench.expect(at, "200 Known(2) | Via: 1.1 gateway > ok");
    }
    // One that refuses is passed over, also for a request with a body, of which nothing was sent.
    bench.refusing.insert("a:80".into(), Some(DialError::Refused));
    let visit = bench.visit("POST /api", "Host: x\r\n", Length::Known(2));
    bench.send(visit, "hi");
    bench.end(visit);
    assert_eq!(bench.served[4].target, "b:80");
    assert!(bench.heard(4).ends_with("\r\n\r\nhi"));
    bench.say(4, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    // And then it is not asked at all.
    for _ in 0..3 {
        let visit = bench.get("/api");
        bench.say(4, OK);
        bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    }
    bench.refusing.insert("b:80".into(), Some(DialError::Refused));
    bench.pass(20_000);
    let visit = bench.get("/api");
    assert!(bench.answer(visit).starts_with("502"), "both refuse");
    let visit = bench.get("/api");
    assert!(bench.answer(visit).starts_with("502"), "and are asked, as nobody else could be");
    // Another route is not concerned.
    let visit = bench.get("/");
    let at = bench.served.len() - 1;
    bench.say(at, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn an_upstream_that_cannot_be_reached_in_time_is_a_504() {
    let mut bench = bench(CONFIG);
    bench.refusing.insert("10.0.0.1:8080".into(), None);
    let visit = bench.get("/");
    bench.pass(10_010);
    assert!(bench.answer(visit).starts_with("504"), "{}", bench.answer(visit));
}

#[test]
fn too_many_at_a_time_are_a_503() {
    let mut bench = bench(CONFIG);
    for _ in 0..5 {
        bench.get("/");
    }
    assert!(bench.answer(4).starts_with("503"), "{}", bench.answer(4));
    for at in 0..4 {
        bench.say(at, OK);
        bench.expect(at, "200 Known(2) | Via: 1.1 gateway > ok");
    }
    bench.expect_rest();
}

#[test]
fn a_client_that_goes_away_takes_its_request_with_it() {
    let mut bench = bench(CONFIG);
    let visit = bench.visit("POST /", "Host: x\r\n", Length::Known(10));
    bench.send(visit, "half");
    bench.port.visits[visit].gone = true;
    bench.tell(visit);
    assert!(bench.served[0].left);
    assert!(bench.heard(0).ends_with("\r\n\r\nhalf"), "and no more, so that it is not complete");
    bench.expect_rest();
}

#[test]
fn what_must_not_be_passed_on_is_refused() {
    let only = Config { routes: "/api = http://a", ..CONFIG };
    let mut bench = bench(only);
    let options = format!("Host: x\r\nConnection: {}\r\n", ["a"; 33].join(","));
    let empty =
        format!("Host: x\r\nConnection: {}\r\nVia:, ,,{}\r\n", ",".repeat(40), ",".repeat(20));
    let many = format!("Host: x\r\nVia: {}\r\n", ["1.1 x"; 16].join(", "));
    for (line, fields, expected) in [
        ("GET /other", "Host: x\r\n", "404"),
        ("GET /api/../other", "Host: x\r\n", "400"),
        ("GET /api/%2e%2e/other", "Host: x\r\n", "400"),
        ("TRACE /api", "Host: x\r\n", "501"),
        ("GET /api", &many, "508"),
        ("GET /api", &options, "400"),
        ("OPTIONS /api", "Host: x\r\nMax-Forwards: +3\r\n", "400"),
        ("OPTIONS /api", "Host: x\r\nMax-Forwards: 3, 2\r\n", "400"),
        ("OPTIONS /api", "Host: x\r\nMax-Forwards:\r\n", "400"),
    ] {
        let visit = bench.visit(line, fields, Length::None);
        assert!(bench.answer(visit).starts_with(expected), "{line}: {}", bench.answer(visit));
    }
    assert!(bench.served.is_empty());
    // Members that are empty are none.
    let visit = bench.visit("GET /api", &empty, Length::None);
    bench.say(0, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn one_that_goes_away_is_stood_in_for_where_that_does_no_harm() {
    for (line, length, repeats) in [
        ("GET /api", Length::None, true),
        ("DELETE /api", Length::None, true),
        ("POST /api", Length::None, false),
        ("PUT /api", Length::Known(2), false),
    ] {
        let mut bench = bench(CONFIG);
        let visit = bench.visit(line, "Host: x\r\n", length);
        bench.say(0, "");
        bench.served[0].ends = true;
        bench.sweep();
        if repeats {
            assert_eq!(bench.served[1].target, "b:80");
            bench.say(1, OK);
            bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
        } else {
            assert!(bench.answer(visit).starts_with("502"), "{line}");
            assert_eq!(bench.served.len(), 1);
        }
        bench.expect_rest();
    }
}

#[test]
fn an_upgrade_that_was_not_asked_for_is_a_502() {
    for (fields, said) in [
        ("", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
        (SOCKET, "Connection: upgrade\r\nUpgrade: h2c\r\n"),
        (SOCKET, "Connection: upgrade\r\n"),
    ] {
        let mut bench = bench(CONFIG);
        let visit = bench.visit("GET /", &format!("Host: x\r\n{fields}"), Length::None);
        bench.say(0, &format!("HTTP/1.1 101 Switching Protocols\r\n{said}\r\n"));
        assert!(bench.answer(visit).starts_with("502"), "{said}");
        bench.expect_rest();
    }
}

#[test]
fn a_socket_that_is_silent_or_left_is_given_up() {
    let mut bench = bench(CONFIG);
    let (silent, left) = (bench.socket("/"), bench.socket("/"));
    bench.pass(599_000);
    bench.send(silent, "up");
    bench.say(1, "down");
    bench.pass(599_000);
    assert!(bench.answer(silent).ends_with(" (goes on)") && !bench.served[1].left);
    bench.pass(2_000);
    assert!(bench.answer(silent).ends_with(" (cut off)"), "{}", bench.answer(silent));
    let visit = bench.socket("/");
    bench.port.visits[visit].gone = true;
    bench.tell(visit);
    assert!(bench.served[2].left);
    assert!(bench.answer(left).ends_with(" (cut off)"));
    bench.expect_rest();
}
