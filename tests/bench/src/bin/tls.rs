//! What TLS costs a server in one process, beside rustls (with ring) on the same keys in the
//! same run: `cargo run --release --package waitless-bench --bin tls`.
//!
//! The client is rustls in both cases, and its time does not count. `handshakes full`,
//! `handshakes resumed` and `records 1400` do that alone, for callgrind to count with
//! `--toggle-collect='*Ours*hear*'` and `--toggle-collect='*seal_all*'`, and say how many.

use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ServerConnection;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tls::Chain;
use tls::crypto::{Secret, Suite};
use tls::handshake::{
    Certificates, Cookies, Flight, Handshake, Seed, Server, Step, Surroundings, Tickets,
};
use tls::key_schedule::TrafficSecret;
use tls::record::Protection;
use waitless::Random;

const RUNS: usize = 7;
const HANDSHAKES: usize = 200;
/// Bytes of data for each run.
const VOLUME: usize = 64 << 20;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["handshakes", kind @ ("full" | "resumed")] => {
            let keys = Keys::new();
            handshakes(&keys, kind == "resumed", &mut Ours::new(&keys), COUNTED);
            println!("{COUNTED}");
        }
        ["records", length] => {
            let length = length.parse().unwrap_or_else(|why| panic!("{length}: {why}"));
            seal_all(Suite::Aes128GcmSha256, length, COUNTED);
            println!("{COUNTED}");
        }
        _ => panic!("nothing, `handshakes full`, `handshakes resumed`, or `records LENGTH`"),
    }
}

/// Handshakes and records that callgrind counts, without the first handshake, which has nothing to
/// resume.
const COUNTED: usize = 20;

fn compare() {
    println!("server side, median of {RUNS} runs in turn\n");
    println!("| what | Waitless | rustls, ring | ratio |\n|---|---|---|---|");
    let keys = Keys::new();
    for resume in [false, true] {
        let what = if resume { "resumptions" } else { "full handshakes" };
        row(
            &format!("{what}, ECDSA P-256 and X25519, a second"),
            || handshakes(&keys, resume, &mut Ours::new(&keys), HANDSHAKES),
            || handshakes(&keys, resume, &mut Rustls::new(&keys), HANDSHAKES),
        );
    }
    for (name, suite) in [
        ("AES-128-GCM", Suite::Aes128GcmSha256),
        ("AES-256-GCM", Suite::Aes256GcmSha384),
        ("ChaCha20-Poly1305", Suite::ChaCha20Poly1305Sha256),
    ] {
        for length in [1_400, 16_384] {
            row(
                &format!("{name}, records of {length} bytes, MB/s"),
                || seal(suite, length),
                || seal_rustls(&keys, suite, length),
            );
        }
    }
}

/// Measures both in turn, so that a busy machine hurts both alike, and prints medians.
fn row(what: &str, mine: impl Fn() -> f64, peers: impl Fn() -> f64) {
    let runs: (Vec<_>, Vec<_>) = (0..RUNS).map(|_| (mine(), peers())).unzip();
    let (mine, peers) = (median(runs.0), median(runs.1));
    println!("| {what} | {mine:.0} | {peers:.0} | {:.2} |", mine / peers);
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// One certificate and its key, for both servers.
struct Keys {
    certificate: &'static [u8],
    key: &'static [u8],
}

impl Keys {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .unwrap_or_else(|why| panic!("no certificate: {why}"));
        Self {
            certificate: made.cert.der().to_vec().leak(),
            key: made.signing_key.serialize_der().leak(),
        }
    }

    fn client(&self, resume: bool, provider: CryptoProvider) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        assert!(roots.add(self.certificate.to_vec().into()).is_ok());
        let versions = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13]);
        let mut config = match versions {
            Ok(builder) => builder.with_root_certificates(roots).with_no_client_auth(),
            Err(why) => panic!("{why}"),
        };
        if !resume {
            config.resumption = Resumption::disabled();
        }
        Arc::new(config)
    }
}

/// A server, of which only the time in `hear` counts.
trait Serves {
    /// A new connection.
    fn begin(&mut self);
    /// Reads records and writes the answer.
    fn hear(&mut self, said: &[u8], answer: &mut Vec<u8>);
    /// The same, in the first handshake.
    fn hear_first(&mut self, said: &[u8], answer: &mut Vec<u8>);
}

/// `count` handshakes and one before them; how many a second.
fn handshakes(keys: &Keys, resume: bool, server: &mut impl Serves, count: usize) -> f64 {
    let client = keys.client(resume, ring::default_provider());
    let mut spent = Duration::ZERO;
    // The first one has nothing to resume.
    for number in 0..=count {
        let name = "localhost".try_into().unwrap_or_else(|_| panic!("no name"));
        let mut client = ClientConnection::new(client.clone(), name)
            .unwrap_or_else(|why| panic!("no client: {why}"));
        server.begin();
        let (mut said, mut answer) = (Vec::new(), Vec::new());
        while client.is_handshaking() || client.wants_write() {
            said.clear();
            while client.wants_write() {
                let _ = client.write_tls(&mut said);
            }
            answer.clear();
            let start = Instant::now();
            if number == 0 {
                server.hear_first(&said, &mut answer);
            } else {
                server.hear(&said, &mut answer);
                spent += start.elapsed();
            }
            let mut heard = answer.as_slice();
            while !heard.is_empty() {
                let _ = client.read_tls(&mut heard);
                client.process_new_packets().unwrap_or_else(|why| panic!("{why}"));
            }
        }
        let resumed = client.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, resume && number > 0);
    }
    count as f64 / spent.as_secs_f64()
}

struct Ours {
    server: Server,
    random: Random,
    flight: Flight,
    handshake: Handshake,
    read: Option<Protection>,
    write: Option<Protection>,
}

impl Ours {
    fn new(keys: &Keys) -> Self {
        let mut random = Random::new([1; 32]);
        let chain = Chain { certificates: vec![keys.certificate].leak(), names: &["localhost"] };
        let certificates = Certificates::new(vec![chain].leak(), vec![keys.key].leak());
        let hour = waitless::Duration::from_secs(3600);
        let seed = Seed::new(hour, waitless::Instant::ZERO, 1, &mut random);
        Self {
            server: Server {
                certificates: certificates.unwrap_or_else(|why| panic!("{why:?}")),
                protocols: &[],
                tickets: Tickets::new(hour, &seed, &mut random),
                ticket_count: 2,
                cookies: Cookies::new(&mut random),
                clients: None,
                early: None,
                detail: None,
            },
            random,
            flight: Flight::default(),
            handshake: Handshake::new(),
            read: None,
            write: None,
        }
    }
}

impl Serves for Ours {
    fn begin(&mut self) {
        self.handshake = Handshake::new();
        (self.read, self.write) = (None, None);
    }

    #[inline(never)]
    fn hear(&mut self, said: &[u8], answer: &mut Vec<u8>) {
        self.read(said, answer);
    }

    fn hear_first(&mut self, said: &[u8], answer: &mut Vec<u8>) {
        self.read(said, answer);
    }
}

impl Ours {
    fn read(&mut self, said: &[u8], answer: &mut Vec<u8>) {
        let mut rest = said;
        while let Some((header, behind)) = rest.split_first_chunk::<5>() {
            let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
            let mut body = behind[..length].to_vec();
            rest = &behind[length..];
            match (&mut self.read, header[0]) {
                (_, 20) => continue,
                (Some(read), 23) => {
                    let opened = read.open(header, &mut body);
                    body.truncate(opened.unwrap_or_else(|why| panic!("{why}")).length);
                }
                _ => {}
            }
            self.flight.clear();
            let around = &mut Surroundings {
                now: waitless::Instant::ZERO,
                unix_secs: None,
                keys: None,
                early: false,
                random: &mut self.random,
            };
            let read = self.handshake.read(&body, &mut self.server, around, &mut self.flight);
            read.unwrap_or_else(|why| panic!("{why}"));
            let mut start = 0;
            for step in std::mem::take(&mut self.flight.steps) {
                match step {
                    Step::Send(_, end) => {
                        put(&self.flight.bytes[start..end], self.write.as_mut(), answer);
                        start = end;
                    }
                    Step::ChangeCipherSpec => answer.extend([20, 3, 3, 0, 1, 1]),
                    Step::WriteKeys(_, suite, secret) => {
                        self.write = Some(Protection::new(suite, secret));
                    }
                    Step::ReadKeys(_, suite, secret) => {
                        self.read = Some(Protection::new(suite, secret));
                    }
                    Step::SkipEarlyData
                    | Step::AcceptEarlyData(_)
                    | Step::RecordLimit(_)
                    | Step::Complete(_)
                    | Step::Retried => {}
                }
            }
        }
    }
}

/// Adds a handshake record.
fn put(bytes: &[u8], write: Option<&mut Protection>, answer: &mut Vec<u8>) {
    let start = answer.len();
    answer.extend([22, 3, 3, 0, 0]);
    answer[start + 3..].copy_from_slice(&(bytes.len() as u16).to_be_bytes());
    answer.extend(bytes);
    let Some(write) = write else { return };
    answer.push(22);
    let sealed = write.seal(&mut answer[start + 5..]);
    let (header, tag) = sealed.unwrap_or_else(|why| panic!("{why}"));
    answer[start..start + 5].copy_from_slice(&header);
    answer.extend(tag);
}

struct Rustls {
    config: Arc<ServerConfig>,
    connection: ServerConnection,
}

impl Rustls {
    fn new(keys: &Keys) -> Self {
        Self::with(keys, ring::default_provider())
    }

    fn with(keys: &Keys, provider: CryptoProvider) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.key.to_vec()));
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| {
                builder.with_single_cert(vec![keys.certificate.to_vec().into()], key)
            });
        let mut config = config.unwrap_or_else(|why| panic!("{why}"));
        // As ours: what is known of a connection is in its ticket.
        config.ticketer = ring::Ticketer::new().unwrap_or_else(|why| panic!("{why}"));
        let config = Arc::new(config);
        let connection = ServerConnection::new(config.clone());
        Self { config, connection: connection.unwrap_or_else(|why| panic!("{why}")) }
    }
}

impl Serves for Rustls {
    fn begin(&mut self) {
        let connection = ServerConnection::new(self.config.clone());
        self.connection = connection.unwrap_or_else(|why| panic!("{why}"));
    }

    fn hear(&mut self, mut said: &[u8], answer: &mut Vec<u8>) {
        while !said.is_empty() {
            let _ = self.connection.read_tls(&mut said);
            self.connection.process_new_packets().unwrap_or_else(|why| panic!("{why}"));
        }
        while self.connection.wants_write() {
            let _ = self.connection.write_tls(answer);
        }
    }

    fn hear_first(&mut self, said: &[u8], answer: &mut Vec<u8>) {
        self.hear(said, answer);
    }
}

/// Megabytes of data that become records of `length` bytes in a second, in place.
fn seal(suite: Suite, length: usize) -> f64 {
    let rounds = VOLUME / length;
    let start = Instant::now();
    seal_all(suite, length, rounds);
    (rounds * length) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

#[inline(never)]
fn seal_all(suite: Suite, length: usize, rounds: usize) {
    let secret = Secret::new(&[7; 48][..suite.hash().length()]);
    let mut write = Protection::new(suite, TrafficSecret::new(suite.hash(), secret));
    let mut record = vec![0; length + 1];
    for _ in 0..rounds {
        record[length] = 23;
        assert!(write.seal(&mut record).is_ok());
    }
}

/// The same through a connection of rustls, which copies.
fn seal_rustls(keys: &Keys, suite: Suite, length: usize) -> f64 {
    use std::io::Write;
    let mut provider = ring::default_provider();
    let is_it = |it: &SupportedCipherSuite| u16::from(it.suite()) == suite.code();
    provider.cipher_suites.retain(is_it);
    let mut server = Rustls::with(keys, provider.clone());
    let name = "localhost".try_into().unwrap_or_else(|_| panic!("no name"));
    let client = ClientConnection::new(keys.client(false, provider), name);
    let mut client = client.unwrap_or_else(|why| panic!("{why}"));
    let (mut said, mut answer) = (Vec::new(), Vec::new());
    while server.connection.is_handshaking() {
        said.clear();
        answer.clear();
        let _ = client.write_tls(&mut said);
        server.hear(&said, &mut answer);
        let mut heard = answer.as_slice();
        while !heard.is_empty() {
            let _ = client.read_tls(&mut heard);
            client.process_new_packets().unwrap_or_else(|why| panic!("{why}"));
        }
    }
    let data = vec![0; length];
    let rounds = VOLUME / length;
    let start = Instant::now();
    for _ in 0..rounds {
        assert!(server.connection.writer().write_all(&data).is_ok());
        answer.clear();
        while server.connection.wants_write() {
            let _ = server.connection.write_tls(&mut answer);
        }
    }
    (rounds * length) as f64 / 1e6 / start.elapsed().as_secs_f64()
}
