//! What goes on, both ways, and what does not.

use super::*;

#[test]
fn a_request_goes_to_its_upstream_and_the_answer_comes_back() {
    let mut bench = bench(CONFIG);
    let visit = bench.visit("GET /x?y=%20", "Host: x\r\nAccept: */*\r\nX-A: b\r\n", Length::None);
    assert_eq!(bench.served[0].target, "10.0.0.1:8080");
    let expected =
        format!("GET /x?y=%20 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nX-A: b\r\n{FORWARDED}");
    assert_eq!(bench.heard(0), expected);
    bench.say(0, "HTTP/1.1 203 Yes\r\nX-B: c\r\nServer: s\r\nContent-Length: 2\r\n\r\nok");
    bench.expect(visit, "203 Known(2) | X-B: c | Server: s | Via: 1.1 gateway > ok");
    // The next one finds the connection.
    let visit = bench.get("/");
    bench.say(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway > ok");
    assert_eq!(bench.served.len(), 1);
    bench.expect_rest();
}

#[test]
fn what_is_about_one_connection_goes_no_further() {
    let mut bench = bench(CONFIG);
    let fields = "Host: x\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n\
        Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Connection: x\r\n\
        Proxy-Authorization: y\r\nTrailer: z\r\nTransfer-Encoding: chunked\r\n\
        X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
        X_Forwarded_For: 1.2.3.4\r\nx-forwarded-Prefix: /x\r\nX-Real-IP: 1.2.3.4\r\n\
        Content_Length: 5\r\nVia: 1.0 other\r\n";
    let visit = bench.visit("GET /", fields, Length::None);
    let expected =
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Other: 2\r\nVia: 1.0 other\r\n{FORWARDED}");
    assert_eq!(bench.heard(0), expected);
    bench.say(
        0,
        "HTTP/1.1 200 OK\r\nConnection: X-Theirs\r\nX-Theirs: 1\r\nX-B: 2\r\nKeep-Alive: 5\r\n\
         Upgrade: h2c\r\nVia: 1.1 inner\r\nContent-Length: 0\r\n\r\n",
    );
    bench.expect(visit, "200 Known(0) | X-B: 2 | Via: 1.1 inner | Via: 1.1 gateway > ");
    bench.expect_rest();
}

#[test]
fn what_others_say_of_the_client_counts_where_they_are_trusted() {
    let mut bench = bench(Config { trust: true, keep_host: false, ..CONFIG });
    let fields = "Host: x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
        Forwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
        X_Forwarded_For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\nX_Forwarded-Port: 6\r\n";
    bench.visit("GET /", fields, Length::None);
    let heard = bench.heard(0);
    let expected = "GET / HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\
        X-Forwarded-Port: 443\r\nX-Forwarded-Host: x\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-For: 1.2.3.4, 5.6.7.8, 192.0.2.7\r\n\
        Forwarded: for=1.2.3.4, for=192.0.2.7;host=\"x\";proto=http\r\n\
        Via: 1.1 gateway\r\n\r\n";
    assert_eq!(heard, expected);
    bench.say(0, OK);
    bench.expect_rest();
}

#[test]
fn what_was_meant_for_this_gateway_alone_goes_no_further_from_whoever_is_trusted() {
    let mut bench = bench(Config { trust: true, ..CONFIG });
    let fields = "Host: x\r\nConnection: X-Real-IP, forwarded, x-forwarded-for\r\n\
        Connection: X-Forwarded-Proto\r\n\
        X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
        X-Real-IP: 1.2.3.4\r\nX-Forwarded-Port: 443\r\n";
    bench.visit("GET /", fields, Length::None);
    let expected = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Port: 443\r\n{FORWARDED}");
    assert_eq!(bench.heard(0), expected);
    bench.say(0, OK);
    bench.expect_rest();
}

#[test]
fn white_space_in_front_of_a_colon_goes_no_further() {
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    bench.say(0, "HTTP/1.1 200 OK\r\nX : y\r\nX-B\t : c\r\nContent-Length: 2\r\n\r\nok");
    bench.expect(visit, "200 Known(2) | X: y | X-B: c | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn a_head_does_not_wait_for_its_body() {
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    bench.say(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway >  (goes on)");
    bench.say(0, "2\r\nok\r\n0\r\n\r\n");
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn a_client_is_named_by_its_address_of_either_version() {
    for (peer, node) in [
        ("[2001:db8::7]:5000", "\"[2001:db8::7]\""),
        ("192.0.2.9:5000", "192.0.2.9"),
        ("[::ffff:192.0.2.9]:5000", "192.0.2.9"),
    ] {
        let mut bench = bench(CONFIG);
        bench.port.peer = Some(peer.parse().unwrap());
        bench.get("/");
        let heard = bench.heard(0);
        assert!(heard.contains(&format!("\r\nForwarded: for={node};host=")), "{peer}\n{heard}");
    }
}

#[test]
fn an_answer_whose_fields_have_no_room_is_not_passed_on_without_them() {
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    // A head that fills a packet; with `Via`, its fields take two, and there is one.
    let (start, end) = ("HTTP/1.1 500 \r\nX-Long: ", "\r\n\r\n");
    let long = waitless::packet::CAPACITY - start.len() - end.len();
    let mut packet = bench.packet(b"");
    packet.reset(0);
    packet.append(format!("{start}{}{end}", "x".repeat(long)).as_bytes()).unwrap();
    bench.served[0].to_say.push_back(packet);
    let pool = bench.cx.pool();
    let all: Vec<Packet> = core::iter::from_fn(|| pool.packet()).collect();
    bench.sweep();
    drop(all);
    bench.expect(visit, "500 Known(21) > ");
    bench.expect_rest();
}

#[test]
fn bodies_pass_both_ways_as_they_come() {
    let mut bench = bench(CONFIG);
    let visit = bench.visit("POST /", "Host: x\r\n", Length::Unknown);
    bench.send(visit, "one");
    let heard = bench.heard(0);
    assert!(
        heard.ends_with("\r\n\r\n3\r\none\r\n") || heard.ends_with("\r\n\r\n3\r\none"),
        "{heard}"
    );
    bench.say(0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nONE\r\n");
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway > ONE (goes on)");
    bench.send(visit, "two");
    bench.end(visit);
    assert!(bench.heard(0).ends_with("3\r\ntwo\r\n0\r\n\r\n"));
    bench.say(0, "3\r\nTWO\r\n0\r\n\r\n");
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway > ONETWO");
    let visit = bench.visit("PUT /", "Host: x\r\n", Length::Known(5));
    bench.send(visit, "hello");
    bench.end(visit);
    let heard = bench.heard(0);
    assert!(heard.contains("\r\nContent-Length: 5\r\n") && heard.ends_with("\r\n\r\nhello"));
    bench.say(0, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn a_client_is_asked_for_its_body_when_the_upstream_asks() {
    let mut bench = bench(CONFIG);
    let fields = "Host: x\r\nExpect: 100-continue\r\n";
    let visit = bench.visit("PUT /", fields, Length::Known(5));
    assert!(bench.heard(0).contains("\r\nExpect: 100-continue\r\n"));
    bench.pass(500);
    assert!(!bench.port.visits[visit].asked);
    bench.say(0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(bench.port.visits[visit].asked);
    bench.send(visit, "hello");
    bench.end(visit);
    assert_eq!(bench.heard(0), "hello");
    bench.say(0, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    let refused = bench.visit("PUT /", fields, Length::Known(5));
    bench.say(0, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
    bench.expect(refused, "413 Known(0) | Via: 1.1 gateway > ");
    assert!(!bench.port.visits[refused].asked);
    bench.expect_rest();
}

#[test]
fn a_slow_client_holds_the_upstream_up_and_a_slow_upstream_the_client() {
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    bench.port.visits[visit].full = true;
    bench.say(0, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    for _ in 0..50 {
        bench.say(0, &"x".repeat(100));
    }
    let waits = bench.served[0].to_say.len();
    assert!((20..40).contains(&waits), "{waits} of 50 wait at the upstream");
    bench.port.visits[visit].full = false;
    bench.tell(visit);
    assert_eq!(bench.port.visits[visit].sent.len(), 5000);
    assert!(bench.port.visits[visit].finished);
    bench.served[0].deaf = true;
    let visit = bench.visit("POST /", "Host: x\r\n", Length::Known(5000));
    for _ in 0..50 {
        bench.send(visit, &"x".repeat(100));
    }
    let waits = bench.port.visits[visit].body.len();
    assert!((20..=44).contains(&waits), "{waits} of 50 wait at the client");
    bench.served[0].deaf = false;
    bench.sweep();
    bench.end(visit);
    bench.sweep();
    assert!(bench.heard(0).ends_with(&"x".repeat(5000)));
    bench.say(0, OK);
    bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    bench.expect_rest();
}

#[test]
fn answers_without_a_body_are_those_without_one() {
    let mut bench = bench(CONFIG);
    for (line, said, expected) in [
        ("HEAD /", "200 OK\r\nContent-Length: 7\r\nETag: \"x\"", "200 Known(7) | ETag: \"x\" | "),
        ("GET /", "304 Not Modified\r\nContent-Length: 7", "304 None | "),
        ("DELETE /", "204 No Content", "204 None | "),
        ("GET /", "200 OK\r\nContent-Length: 0", "200 Known(0) | "),
    ] {
        let visit = bench.visit(line, "Host: x\r\n", Length::None);
        bench.say(0, &format!("HTTP/1.1 {said}\r\n\r\n"));
        bench.expect(visit, &format!("{expected}Via: 1.1 gateway > "));
    }
    assert_eq!(bench.served.len(), 1, "one connection does for all");
    bench.expect_rest();
}

#[test]
fn other_forms_of_targets_and_methods_pass() {
    let mut bench = bench(CONFIG);
    for (line, expected) in [
        ("PURGE /a", "PURGE /a HTTP/1.1\r\n"),
        ("GET http://x/a?b", "GET /a?b HTTP/1.1\r\n"),
        ("GET http://x?b", "GET /?b HTTP/1.1\r\n"),
        ("GET http://x", "GET / HTTP/1.1\r\n"),
    ] {
        // The path is found by whoever reads the request; here it is the whole target.
        let visit = bench.visit(line, "Host: x\r\n", Length::None);
        match line.contains("://") {
            true => assert!(bench.answer(visit).starts_with("404"), "no route begins otherwise"),
            false => {
                assert!(bench.heard(0).starts_with(expected));
                bench.say(0, OK);
            }
        }
    }
    bench.expect_rest();
}

#[test]
fn a_message_has_the_date_of_who_made_it() {
    let mut bench = bench(CONFIG);
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let visit = bench.visit("GET /", &format!("Host: x\r\n{date}"), Length::None);
    assert!(bench.heard(0).contains(&format!("\r\n{date}")));
    bench.say(0, &format!("HTTP/1.1 200 OK\r\n{date}Content-Length: 2\r\n\r\nok"));
    let expected = format!("200 Known(2) | {} | Via: 1.1 gateway > ok", date.trim_ascii_end());
    bench.expect(visit, &expected);
    bench.expect_rest();
}

#[test]
fn trailer_fields_of_answers_go_on() {
    let mut bench = bench(CONFIG);
    let visit = bench.get("/");
    bench.say(
        0,
        "HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 7\r\nX-Mine: 1\r\nContent-Length: 9\r\nDate: x\r\n\r\n",
    );
    bench.expect(visit, "200 Unknown | Via: 1.1 gateway > ok");
    assert_eq!(bench.port.visits[visit].trailers, "X-Sum: 7\r\n");
    bench.expect_rest();
}

#[test]
fn who_came_by_tls_is_told() {
    let mut bench = bench(CONFIG);
    bench.secure = true;
    bench.visit("GET /", "Host: x:8443\r\n", Length::None);
    let heard = bench.heard(0);
    assert!(heard.contains("X-Forwarded-Host: x:8443\r\nX-Forwarded-Proto: https\r\n"));
    assert!(heard.contains("Forwarded: for=192.0.2.7;host=\"x:8443\";proto=https\r\n"));
    bench.say(0, OK);
    bench.expect_rest();
}

#[test]
fn who_is_asked_last_answers_options() {
    let mut bench = bench(CONFIG);
    for (line, left) in [("OPTIONS *", ""), ("OPTIONS /", "0"), ("OPTIONS *", "3")] {
        let fields = match left {
            "" => "Host: x\r\n".to_owned(),
            left => format!("Host: x\r\nMax-Forwards: {left}\r\n"),
        };
        let visit = bench.visit(line, &fields, Length::None);
        bench.expect(visit, "204 None | Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT > ");
    }
    assert!(bench.served.is_empty());
    bench.visit("OPTIONS /", "Host: x\r\nmax-forwards: 3\r\n", Length::None);
    let heard = bench.heard(0).to_ascii_lowercase();
    assert!(heard.contains("\r\nmax-forwards: 2\r\n") && !heard.contains(": 3"), "{heard}");
    bench.say(0, OK);
    let far = "Host: x\r\nMax-Forwards: 99999999999999999999\r\n";
    bench.visit("OPTIONS /", far, Length::None);
    let heard = bench.heard(0);
    assert!(heard.contains("\r\nMax-Forwards: 18446744073709551614\r\n"), "{heard}");
    bench.say(0, OK);
    bench.visit("GET /", "Host: x\r\nMax-Forwards: 3\r\n", Length::None);
    assert!(bench.heard(0).contains("\r\nMax-Forwards: 3\r\n"), "it says nothing of other methods");
    bench.say(0, OK);
    bench.expect_rest();
}

#[test]
fn a_socket_passes_both_ways_until_it_ends() {
    let mut bench = bench(CONFIG);
    let visit = bench.visit("GET /s", &format!("Host: x\r\nKey: k\r\n{SOCKET}"), Length::None);
    let heard = bench.heard(0);
    assert!(heard.starts_with("GET /s HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"), "{heard}");
    assert!(heard.contains("\r\nUpgrade: websocket\r\nKey: k\r\n"), "{heard}");
    assert!(!bench.port.visits[visit].asked, "nothing is taken before the upstream agrees");
    bench.port.visits[visit].ended = false;
    bench.say(
        0,
        "HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nAccept: a\r\n\r\nhi",
    );
    let head = "101 None | Accept: a | Via: 1.1 gateway | Upgrade: websocket";
    bench.expect(visit, &format!("{head} > hi (goes on)"));
    for (up, down) in [("one", "1"), ("two", "2")] {
        bench.send(visit, up);
        assert_eq!(bench.heard(0), up);
        bench.say(0, down);
    }
    // Neither way waits for the other.
    bench.port.visits[visit].full = true;
    for _ in 0..50 {
        bench.say(0, "x");
    }
    bench.send(visit, "three");
    assert_eq!(bench.heard(0), "three");
    bench.port.visits[visit].full = false;
    bench.tell(visit);
    // Who has said all still hears.
    bench.end(visit);
    bench.say(0, "bye");
    bench.served[0].ends = true;
    bench.sweep();
    bench.expect(visit, &format!("{head} > hi12{}bye", "x".repeat(50)));
    bench.expect_rest();
}

#[test]
fn an_upstream_may_decline_a_socket() {
    let mut bench = bench(CONFIG);
    for (offer, expected) in
        [("h2c, WebSocket", "426 Known(0) | Upgrade: websocket | "), ("h2c", "426 Known(0) | ")]
    {
        let visit = bench.get("/");
        bench.say(0, &format!("HTTP/1.1 426 No\r\nUpgrade: {offer}\r\nContent-Length: 0\r\n\r\n"));
        bench.expect(visit, &format!("{expected}Via: 1.1 gateway > "));
    }
    for _ in 0..2 {
        let visit = bench.visit("GET /", &format!("Host: x\r\n{SOCKET}"), Length::None);
        bench.say(0, OK);
        bench.expect(visit, "200 Known(2) | Via: 1.1 gateway > ok");
    }
    assert_eq!(bench.served.len(), 1, "the connection is of use again");
    bench.expect_rest();
}

#[test]
fn a_request_that_may_be_a_copy_is_marked_and_whether_it_is_too_early_is_the_upstreams_to_say() {
    let mut bench = bench(CONFIG);
    let said = |fields: &str| format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}{FORWARDED}");
    for (early, fields, goes_on) in [
        (false, "", ""),
        (true, "", "Early-Data: 1\r\n"),
        (false, "Early-Data: 1\r\n", "Early-Data: 1\r\n"),
        (true, "early-data: 7\r\nEarly-Data: 1\r\n", "Early-Data: 1\r\n"),
        // It is not the client's to take back.
        (false, "Connection: early-data\r\nEarly-Data: 1\r\n", "Early-Data: 1\r\n"),
    ] {
        bench.early = early;
        let visit = bench.visit("GET /", &format!("Host: x\r\n{fields}"), Length::None);
        assert_eq!(bench.heard(0), said(goes_on));
        bench.say(0, "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n");
        bench.expect(visit, "425 Known(0) | Via: 1.1 gateway > ");
    }
    bench.expect_rest();
}
