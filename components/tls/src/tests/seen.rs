//! What others are shown on purpose: what an issuer says of a certificate, and a connection's
//! secrets, where somebody may look.

use super::client::Ends;
use super::usual;
use crate::Config;
use crate::handshake::{CertificateError, Certificates, Staple};
use alloc::string::String;
use alloc::vec::Vec;
use waitless::counter::leak;
use waitless::keys::KeyLog;

const STAPLE: Staple = Staple { response: b"good, says the issuer", until: 1000 };

fn holds(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_the_issuer_says_is_shown_to_who_asks_as_long_as_it_is_good() {
    let config = usual();
    let (chains, keys) = (config.certificate, config.key);
    let made = |staples| Certificates::new(chains, keys).unwrap().stapled(chains, staples);
    let staples: Vec<_> = chains.iter().map(|_| Some(STAPLE)).collect();
    let certificates = made(Some(&staples)).unwrap();
    let entry = certificates.get(0).unwrap();
    for (wants, now, expected) in [
        (true, Some(999), true),
        (true, Some(1000), false),
        (true, None, true),
        (false, Some(999), false),
    ] {
        let message = entry.message(wants, now);
        assert_eq!(holds(message, STAPLE.response), expected, "{wants} {now:?}");
    }
    // The message that is longer is reckoned with.
    assert_eq!(certificates.longest(), entry.message(true, None).len());
    assert!(certificates.are_dated());
    // None for one, none at all, and one too many.
    let none: Vec<_> = chains.iter().map(|_| None).collect();
    for staples in [Some(&none[..]), None] {
        let certificates = made(staples).unwrap();
        assert!(!certificates.are_dated());
        assert!(!holds(certificates.get(0).unwrap().message(true, None), STAPLE.response));
    }
    let many = [&staples[..], &staples].concat();
    assert!(matches!(made(Some(&many)), Err(CertificateError::Count)));
}

#[test]
fn a_client_of_ours_takes_what_the_issuer_says() {
    let staples: &'static [Option<Staple>] = leak([Some(Staple { until: u64::MAX, ..STAPLE })]);
    let mut ends = Ends::new(Config { ocsp: Some(staples), ..usual() });
    let pair = ends.connect("localhost");
    ends.talk(pair);
    ends.hang_up(pair);
    // Who resumes gets no certificate.
    let pair = ends.connect("localhost");
    ends.talk(pair);
    assert_eq!(ends.server.tls.counters.resumed.get(), 1);
}

/// The lines that somebody was told, in order.
fn told(log: &KeyLog) -> Vec<String> {
    let mut lines = Vec::new();
    log.drain(|all| {
        let all = core::str::from_utf8(all).unwrap();
        lines.extend(all.lines().map(String::from));
    });
    lines.sort();
    lines
}

#[test]
fn both_ends_tell_the_same_secrets_where_somebody_looks() {
    let mut ends = Ends::new(usual());
    // Nobody looks at the first connection.
    let pair = ends.connect("localhost");
    ends.hang_up(pair);
    let logs = [&ends.client.cx, &ends.server.cx].map(|cx| {
        let log: &'static KeyLog = leak(KeyLog::new());
        cx.system().keys().enter(log);
        log
    });
    let labels = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ];
    let mut before = Vec::new();
    for _ in 0..2 {
        let pair = ends.connect("localhost");
        ends.talk(pair);
        ends.hang_up(pair);
        let [client, server] = logs.map(told);
        assert_eq!(client, server);
        let found: Vec<_> = client.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(found, labels);
        // All are of one connection, and of this one.
        let random = |line: &String| line.split(' ').nth(1).map(String::from);
        let randoms: Vec<_> = client.iter().map(random).collect();
        assert!(randoms.windows(2).all(|pair| pair[0] == pair[1]) && randoms != before);
        assert!(client.iter().all(|line| line.split(' ').count() == 3 && line.len() > 140));
        before = randoms;
    }
}
