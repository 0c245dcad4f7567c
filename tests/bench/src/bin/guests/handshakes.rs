//! Clients that make a TLS connection for each request, by rustls. wrk resumes its sessions
//! whenever the server lets it, and cannot be told not to.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme, Stream};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Requests a second over connections of their own, 16 at a time. Each is a full handshake, or
/// goes on with a ticket from the last one of the same client; another is an error.
pub fn run(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    resume: bool,
    duration: Duration,
) -> Result<f64, String> {
    let clients = (0..AT_A_TIME).map(|_| Client::new(address, trusted, resume));
    let clients: Vec<_> = clients.collect::<Result<_, _>>()?;
    // For a first ticket, which is none of what is measured.
    clients.iter().try_for_each(|client| client.ask().map(drop))?;
    let start = Instant::now();
    let counts: Result<Vec<u64>, String> = thread::scope(|scope| {
        let threads =
            clients.iter().map(|client| scope.spawn(|| client.ask_until(start + duration)));
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .map(|it| it.join().map_err(|_| "a client panicked".to_owned())?)
            .collect()
    });
    Ok(counts?.iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64())
}

/// The certificate in a file, which every server must show.
pub fn trust(file: &Path) -> Result<CertificateDer<'static>, String> {
    let said = |why| format!("{}: {why}", file.display());
    CertificateDer::from_pem_file(file).map_err(said)
}

struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    resume: bool,
}

impl Client {
    fn new(
        address: SocketAddr,
        trusted: &CertificateDer<'static>,
        resume: bool,
    ) -> Result<Self, String> {
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
        provider.kx_groups = vec![ring::kx_group::X25519];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|why| why.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Shown(trusted.clone())))
            .with_no_client_auth();
        config.resumption = match resume {
            true => Resumption::in_memory_sessions(4),
            false => Resumption::disabled(),
        };
        Ok(Self { address, config: Arc::new(config), resume })
    }

    /// One request after the other, each on a connection of its own. How many there were.
    fn ask_until(&self, end: Instant) -> Result<u64, String> {
        let mut count = 0;
        while Instant::now() < end {
            let resumed = self.ask()? == HandshakeKind::Resumed;
            if resumed != self.resume {
                let did = if resumed { "resumed" } else { "did not resume" };
                return Err(format!("the server {did}, after {count} connections"));
            }
            count += 1;
        }
        Ok(count)
    }

    fn ask(&self) -> Result<HandshakeKind, String> {
        let text = |error: std::io::Error| error.to_string();
        let name = ServerName::try_from("localhost").map_err(|why| why.to_string())?;
        let tls = ClientConnection::new(self.config.clone(), name);
        let mut tls = tls.map_err(|why| why.to_string())?;
        let mut tcp = TcpStream::connect(self.address).map_err(text)?;
        tcp.set_nodelay(true).map_err(text)?;
        tcp.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        let mut stream = Stream::new(&mut tls, &mut tcp);
        stream.write_all(REQUEST).map_err(text)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(text)?;
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(format!("answered: {}", String::from_utf8_lossy(&answer)));
        }
        tls.handshake_kind().ok_or_else(|| "there was no handshake".to_owned())
    }
}

/// Accepts one certificate, and does not verify signatures: what is measured is the server.
#[derive(Debug)]
struct Shown(CertificateDer<'static>);

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match certificate == &self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(Error::General("it shows another certificate".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("this is TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

const AT_A_TIME: usize = 16;
/// Of a server that is slow and of a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection};
    use std::net::TcpListener;

    /// A server that gives each connection `tickets` to go on with, and the certificate it shows.
    fn server(tickets: usize) -> (SocketAddr, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        config.send_tls13_tickets = tickets;
        config.ticketer = ring::Ticketer::new().unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let tls = ServerConnection::new(config.clone()).unwrap();
                thread::spawn(|| answer(tls, tcp.unwrap()));
            }
        });
        (address, certificate)
    }

    /// Answers a request, however long.
    fn answer(mut tls: ServerConnection, mut tcp: TcpStream) {
        let mut stream = Stream::new(&mut tls, &mut tcp);
        // Clients that do not like the certificate go away.
        let Ok(1..) = stream.read(&mut [0; 1024]) else { return };
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        tls.send_close_notify();
        let _ = tls.complete_io(&mut tcp);
    }

    #[test]
    fn handshakes_are_full_or_resumed_as_was_asked() {
        let (address, certificate) = server(2);
        for resume in [false, true] {
            let rate = run(address, &certificate, resume, Duration::from_millis(100)).unwrap();
            assert!(rate > 0.0);
        }
    }

    #[test]
    fn a_server_that_does_not_resume_is_told_apart() {
        let (address, certificate) = server(0);
        let rate = run(address, &certificate, true, Duration::from_millis(100));
        assert_eq!(rate, Err("the server did not resume, after 0 connections".to_owned()));
    }

    #[test]
    fn another_certificate_is_an_error() {
        let (address, _) = server(2);
        let (_, other) = server(2);
        let rate = run(address, &other, false, Duration::from_millis(100));
        assert!(rate.unwrap_err().contains("another certificate"));
    }
}
