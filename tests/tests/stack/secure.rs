//! HTTPS through the whole graph: a client of rustls over bad wires, in virtual time.

use build::certificates::{Chain, make};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::SystemTime;
use waitless::http::Handler;
use waitless::{Duration, Phase, Service, StreamPort};
use waitless_tests::graphs::{self, client, fetch, secure};
use waitless_tests::tidy::checkout;
use waitless_tests::wires;
use waitless_tests::world::World;

type Pair<Site> = World<client::Graph, secure::Graph<Site>>;

const GET: &[u8] = b"GET /bytes?count=50000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// A client that trusts the certificate that the graph was made with.
fn trusting() -> Arc<ClientConfig> {
    let file = checkout().join("tests/graphs/certs/development.pem");
    trusting_in(&std::fs::read(file).expect("the build made it"))
}

/// A client that trusts the certificate in `pem`.
fn trusting_in(pem: &[u8]) -> Arc<ClientConfig> {
    let chain = Chain::read(pem, SystemTime::now()).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(chain.certificates[0].clone().into()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(4);
    config.enable_early_data = true;
    Arc::new(config)
}

/// A request on a connection of its own, early where that may be: the answer, up to the end that
/// the server agrees to.
#[track_caller]
fn request<Site: Handler>(
    world: &mut Pair<Site>,
    config: &Arc<ClientConfig>,
) -> (Vec<u8>, HandshakeKind) {
    say(world, config, 443, GET)
}

/// The same with whatever is said, to `port`.
#[track_caller]
fn say<Site: Handler>(
    world: &mut Pair<Site>,
    config: &Arc<ClientConfig>,
    port: u16,
    request: &[u8],
) -> (Vec<u8>, HandshakeKind) {
    let name = "localhost".try_into().expect("a name");
    let mut tls = ClientConnection::new(config.clone(), name).expect("a client");
    let mut early = match tls.early_data() {
        Some(mut early) => early.write_all(request).is_ok(),
        None => tls.writer().write_all(request).is_err(),
    };
    let tcp = &mut world.a.graph.tcp;
    let service = tcp.attach().expect("room for a service");
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), port).into();
    let stream = tcp.connect(service, remote).expect("a route");
    tcp.set_tag(stream, 1);
    let (mut said, mut got, mut ended) = (Vec::new(), Vec::new(), false);
    world.run_until(Duration::from_secs(600), |world| {
        let tcp = &mut world.a.graph.tcp;
        while tcp.news(service).is_some() {}
        while tls.wants_write() {
            tls.write_tls(&mut said).expect("room");
        }
        if tcp.status(stream).phase == Phase::Open {
            let room = tcp.writable(stream);
            let count = room.len().min(said.len());
            room[..count].copy_from_slice(&said[..count]);
            tcp.commit(stream, count);
            said.drain(..count);
        }
        while !tcp.readable(stream).is_empty() {
            let mut bytes = tcp.readable(stream);
            let before = bytes.len();
            tls.read_tls(&mut bytes).expect("room");
            let count = before - bytes.len();
            tcp.consume(stream, count);
            tls.process_new_packets().expect("what a server says");
            if early && !tls.is_handshaking() && !tls.is_early_data_accepted() {
                early = false;
                tls.writer().write_all(request).expect("room");
            }
            let mut chunk = [0; 4096];
            loop {
                match tls.reader().read(&mut chunk) {
                    Ok(0) => break ended = true,
                    Ok(count) => got.extend_from_slice(&chunk[..count]),
                    Err(_) => break,
                }
            }
        }
        ended || matches!(tcp.status(stream).phase, Phase::Closed | Phase::Reset)
    });
    assert!(ended, "it was cut off after {} bytes", got.len());
    world.a.graph.tcp.close(stream);
    world.a.graph.tcp.release(stream);
    (got, tls.handshake_kind().expect("a handshake"))
}

#[test]
fn requests_are_answered_over_every_wire() {
    let mut early = 0;
    for (seed, (name, wire)) in (1..).zip(wires::ALL) {
        println!("{name}");
        let client = graphs::client(512, seed as u8);
        let mut world = World::new(client, graphs::secure(512, !seed as u8, wire(seed)));
        world.run_for(Duration::from_secs(3));
        let config = trusting();
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (answer, how) = request(&mut world, &config);
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            assert!(answer.len() > 50_000 && answer.ends_with(b"."), "{} bytes", answer.len());
            assert_eq!(how, kind);
        }
        // On some wires a ticket, or the hello that shows it, is under way for too long.
        let [accepted, refused] =
            ["early", "early_refused"].map(|name| world.b.counter("tls", name));
        println!("  {accepted} {refused}");
        assert_eq!(accepted + refused, 1);
        early += accepted;
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
    assert!(early >= wires::ALL.len() as u64 / 2, "{early} requests were early");
}

#[test]
fn a_certificate_is_replaced_by_whoever_has_the_token() {
    for (seed, (name, wire)) in (1..).zip(wires::ALL).take(2) {
        println!("{name}");
        let client = graphs::client(512, seed as u8);
        let mut world = World::new(client, graphs::secure(512, !seed as u8, wire(seed)));
        world.run_for(Duration::from_secs(3));
        let config = trusting();
        let (hour, now) = (std::time::Duration::from_secs(3600), SystemTime::now());
        let (certificate, key) = make(&["localhost", "waitless"], now, hour).expect("random bytes");
        let mut put = |config: &_, token: &str, body: &str| {
            let length = body.len();
            let request = format!(
                "PUT /certificates/localhost HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            let (answer, _) = say(&mut world, config, 8443, request.as_bytes());
            String::from_utf8(answer).expect("text")
        };
        let both = format!("{certificate}{key}");
        assert!(put(&config, "sesame", &both).starts_with("HTTP/1.1 401"));
        let answer = put(&config, "open sesame", &certificate);
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("no private key"));
        let answer = put(&config, "open sesame", &both);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"names\":[\"localhost\",\"waitless\"]"), "{answer}");
        let renewed = trusting_in(certificate.as_bytes());
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (answer, how) = request(&mut world, &renewed);
            assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"."));
            assert_eq!(how, kind);
        }
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
}

/// The same with our own client: a request to `name` on a connection of its own, and the answer.
fn own_request<Site: Handler>(
    world: &mut World<fetch::Graph, secure::Graph<Site>>,
    service: Service,
    name: &str,
) -> Result<Vec<u8>, Option<&'static str>> {
    let tls = &mut world.a.graph.tls_client;
    let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), 443).into();
    let stream = tls.connect_to(service, remote, name).expect("room");
    tls.set_tag(stream, 1);
    let (mut said, mut got) = (false, Vec::new());
    world.run_until(Duration::from_secs(600), |world| {
        let tls = &mut world.a.graph.tls_client;
        while tls.news(service).is_some() {}
        let status = tls.status(stream);
        if status.phase == Phase::Open && !said {
            let room = tls.writable(stream);
            room[..GET.len()].copy_from_slice(GET);
            tls.commit(stream, GET.len());
            said = true;
        }
        while let Some(packet) = tls.recv(stream) {
            got.extend_from_slice(packet.bytes());
        }
        let ends = status.finished && status.readable == 0;
        ends && status.phase != Phase::Opening || status.phase == Phase::Reset
    });
    let tls = &mut world.a.graph.tls_client;
    let (phase, why) = (tls.status(stream).phase, tls.failure(stream));
    tls.close(stream);
    tls.release(stream);
    if matches!(phase, Phase::Open | Phase::Closed) { Ok(got) } else { Err(why) }
}

/// The same, and once more where a handshake or a segment took too long: some wires lose so much.
fn patient_request<Site: Handler>(
    world: &mut World<fetch::Graph, secure::Graph<Site>>,
    service: Service,
    name: &str,
) -> Result<Vec<u8>, Option<&'static str>> {
    for _ in 0..5 {
        let before = timed_out(world);
        let answer = own_request(world, service, name);
        if answer != Err(None) {
            return answer;
        }
        assert_ne!(timed_out(world), before, "cut off by nobody");
        println!("  it took too long");
    }
    Err(None)
}

/// How often either end has given up.
fn timed_out<Site: Handler>(world: &World<fetch::Graph, secure::Graph<Site>>) -> u64 {
    let a = ["tcp", "tls-client"].map(|name| world.a.counter(name, "timed_out"));
    let b = ["tcp", "tls"].map(|name| world.b.counter(name, "timed_out"));
    a.into_iter().chain(b).sum()
}

#[test]
fn our_own_client_fetches_over_every_wire() {
    for (seed, (name, wire)) in (1..).zip(wires::ALL) {
        println!("{name}");
        let client = graphs::fetch(512, seed as u8);
        let mut world = World::new(client, graphs::secure(512, !seed as u8, wire(seed)));
        world.run_for(Duration::from_secs(3));
        let service = world.a.graph.tls_client.attach().expect("room for a service");
        for _ in 0..2 {
            let answer = patient_request(&mut world, service, "localhost").expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            assert!(answer.len() > 50_000 && answer.ends_with(b"."), "{} bytes", answer.len());
        }
        let other = patient_request(&mut world, service, "example.org");
        assert_eq!(other, Err(Some("The server's certificate is for other names.")));
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    }
}

/// Clients that go away in the middle of their handshakes leave nothing behind.
#[test]
fn handshakes_that_are_given_up_give_everything_back() {
    let clean = wires::ALL[0].1(1);
    let mut world = World::new(graphs::client(2048, 1), graphs::secure(2048, 2, clean));
    world.run_for(Duration::from_secs(3));
    let config = trusting();
    // So that all tables are there.
    request(&mut world, &config);
    world.run_for(Duration::from_secs(600));
    let service = world.a.graph.tcp.attach().expect("room for a service");
    for round in 0..300 {
        let name = "localhost".try_into().expect("a name");
        let mut tls = ClientConnection::new(config.clone(), name).expect("a client");
        let mut said = Vec::new();
        tls.write_tls(&mut said).expect("a hello");
        // Some of it, all of it, or more than all.
        said.truncate(said.len() * (1 + round % 4) / 4);
        let tcp = &mut world.a.graph.tcp;
        let remote = (std::net::Ipv4Addr::new(10, 0, 0, 2), 443).into();
        let stream = tcp.connect(service, remote).expect("a route");
        tcp.set_tag(stream, 1);
        world.run_for(Duration::from_millis(5));
        let tcp = &mut world.a.graph.tcp;
        let room = tcp.writable(stream);
        room[..said.len()].copy_from_slice(&said);
        tcp.commit(stream, said.len());
        world.run_for(Duration::from_millis(5));
        match round % 3 {
            0 => world.a.graph.tcp.abort(stream),
            1 => world.a.graph.tcp.close(stream),
            _ => {}
        }
        world.a.graph.tcp.release(stream);
    }
    world.run_for(Duration::from_secs(600));
    assert_eq!((world.a.buffers_out(), world.b.buffers_out()), (0, 0), "buffers out");
    let (answer, _) = request(&mut world, &config);
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}
