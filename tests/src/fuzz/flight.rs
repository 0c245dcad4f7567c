//! What servers say to a TLS client, message by message and without records, so that the client
//! reads all of it. It never takes a forged handshake for complete.

use build::certificates::{Chain, PrivateKey, make};
use std::time::{Duration as HostDuration, SystemTime, UNIX_EPOCH};
use tls::client::{Client, Config, Handshake, Target};
use tls::handshake::{
    self, Certificates, Cookies, Flight, Seed, Server, Step, Surroundings, Tickets,
};
use tls::role::Role;
use waitless::{Duration, Instant, Random, testing};

/// A client that begins the same handshake again and again, and the answer to it.
pub struct Dialling {
    client: Client,
    now: u64,
    flight: Flight,
    genuine: Vec<Vec<u8>>,
}

/// What the client's hello is made of.
const SEED: [u8; 32] = [7; 32];

impl Dialling {
    /// One that trusts the server whose answer it gets.
    ///
    /// # Panics
    /// When client and server do not understand each other.
    pub fn new() -> Self {
        let now = SystemTime::now();
        let (pem, key) =
            make(&["localhost"], now, HostDuration::from_secs(86_400 * 30)).expect("a certificate");
        let chain = Chain::read(pem.as_bytes(), now).expect("it can be read");
        let key = PrivateKey::read(key.as_bytes()).expect("it can be read");
        let certificates: Vec<&'static [u8]> =
            chain.certificates.into_iter().map(|der| &*der.leak()).collect();
        let trust = &*certificates.leak();
        let config = Box::leak(Box::new(Config {
            trust,
            certificate: None,
            key: None,
            alpn: &["http/1.1"],
            connections: 1,
            handshakes: 1,
            handshake_timeout: Duration::from_secs(1),
            message_limit: 65_536,
            // Each hello is the same.
            sessions: 0,
        }));
        let mut cx = testing::context(8, 1);
        let mut made = Self {
            client: Client::new(config, &mut cx).expect("a client"),
            now: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            flight: Flight::default(),
            genuine: Vec::new(),
        };
        made.begin();
        let hello = made.flight.bytes.clone();
        let keys: &'static [&'static [u8]] = Box::leak(Box::new([&*key.pkcs8.leak()]));
        let chains: &'static [tls::Chain] =
            Box::leak(Box::new([tls::Chain { certificates: trust, names: &["localhost"] }]));
        let random = &mut Random::new([9; 32]);
        let minute = Duration::from_secs(60);
        let seed = Seed::new(minute, Instant::ZERO, 1, random);
        let mut server: Server = Server {
            certificates: Certificates::new(chains, keys).expect("a key"),
            protocols: &["http/1.1"],
            tickets: Tickets::new(minute, &seed, random),
            ticket_count: 1,
            cookies: Cookies::new(random),
            clients: None,
            early: None,
            detail: None,
        };
        let mut around =
            Surroundings { now: Instant::ZERO, unix_secs: None, keys: None, early: false, random };
        let mut answer = Flight::default();
        handshake::Handshake::new()
            .read(&hello, &mut server, &mut around, &mut answer)
            .expect("the server takes the hello");
        let mut rest = answer.bytes.as_slice();
        while let Some([_, length @ ..]) = rest.first_chunk::<4>() {
            let length = u32::from_be_bytes([0, length[0], length[1], length[2]]) as usize;
            let (message, behind) = rest.split_at(4 + length);
            made.genuine.push(message.to_vec());
            rest = behind;
        }
        assert_eq!(made.genuine.len(), 5, "a hello, extensions, certificate, signature, Finished");
        made
    }

    /// The server's messages, as they should be.
    pub fn genuine(&self) -> &[Vec<u8>] {
        &self.genuine
    }

    fn begin(&mut self) -> (Handshake, Random) {
        let (mut handshake, mut random) = (Handshake::default(), Random::new(SEED));
        let target = Target { name: "localhost".into(), port: 443 };
        self.flight.clear();
        let mut around = Surroundings {
            now: Instant::ZERO,
            unix_secs: Some(self.now),
            keys: None,
            early: false,
            random: &mut random,
        };
        let begun = self.client.begin(&mut handshake, target, &mut around, &mut self.flight);
        begun.expect("a hello");
        (handshake, random)
    }

    /// Says so many of the genuine messages as the first byte says, and then one of the kind of
    /// the second byte whose body is the rest.
    ///
    /// # Panics
    /// When the client refuses what is genuine, or takes what is not for a whole handshake.
    pub fn run(&mut self, input: &[u8]) {
        let [count, kind, body @ ..] = input else { return };
        let count = usize::from(count % 6);
        let (mut handshake, mut random) = self.begin();
        let mut around = Surroundings {
            now: Instant::ZERO,
            unix_secs: Some(self.now),
            keys: None,
            early: false,
            random: &mut random,
        };
        for message in self.genuine.iter().take(count) {
            self.flight.clear();
            let read = self.client.read(&mut handshake, message, &mut around, &mut self.flight);
            read.expect("it is genuine");
        }
        let complete =
            |flight: &Flight| flight.steps.iter().any(|step| matches!(step, Step::Complete(_)));
        assert_eq!(complete(&self.flight), count == 5);
        let length = (body.len() as u32).to_be_bytes();
        let forged = [&[*kind, length[1], length[2], length[3]], body].concat();
        self.flight.clear();
        let read = self.client.read(&mut handshake, &forged, &mut around, &mut self.flight);
        let is_genuine = self.genuine.get(count) == Some(&forged);
        assert!(is_genuine || !complete(&self.flight), "a forged handshake is complete");
        if read.is_err() {
            let more = self.client.read(&mut handshake, &forged, &mut around, &mut self.flight);
            assert!(more.is_err(), "it goes on after a fault");
        }
    }
}

impl Default for Dialling {
    fn default() -> Self {
        Self::new()
    }
}
