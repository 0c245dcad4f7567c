//! The default image's routes as a Linux program: tokio, hyper and rustls, one worker for each
//! core. The command line names a certificate and its key.
//!
//! It is what a good engineer would write in an afternoon: static bodies are not copied, sockets
//! do not wait for more to send, and the answer to `/health` has the same fields and bytes.

mod tls;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

fn main() {
    let mut files = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(certificate), Some(key)) = (files.next(), files.next()) else {
        panic!("linux-webserver CERTIFICATE KEY");
    };
    let acceptor = tls::acceptor(&certificate, &key);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = match cores {
        // Without threads to share with, tokio needs no locks.
        1 => runtime::Builder::new_current_thread().enable_io().build(),
        _ => runtime::Builder::new_multi_thread().worker_threads(cores).enable_io().build(),
    };
    runtime.expect("a runtime").block_on(serve(acceptor));
}

async fn serve(acceptor: TlsAcceptor) {
    let socket = UdpSocket::bind(any(7)).await.expect("UDP port 7 is free");
    tokio::spawn(echo_datagrams(socket));
    tokio::spawn(serve_tls(listen(any(443)), acceptor));
    let listener = listen(any(80));
    loop {
        let stream = accept(&listener).await;
        tokio::spawn(converse(stream));
    }
}

async fn serve_tls(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let stream = accept(&listener).await;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream).await;
            }
        });
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            return stream;
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut server = http1::Builder::new();
    server.title_case_headers(true);
    // A client that goes away is no news.
    let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("an option that all sockets have");
    socket.bind(address).expect("the port is free");
    socket.listen(65_535).expect("a bound socket listens")
}

async fn echo_datagrams(socket: UdpSocket) {
    let mut room = vec![0; 65_536];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut room).await else { continue };
        let _ = socket.send_to(&room[..length], from).await;
    }
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => json(Bytes::from_static(br#"{"status":"ok"}"#)),
        (&Method::GET, "/compute") => compute(number(&request, "n")).await,
        (&Method::GET, "/download") => download(number(&request, "bytes")),
        (&Method::POST, "/echo") => octets(request.into_body().boxed()),
        (&Method::POST, "/upload") => upload(request.into_body()).await,
        _ => status(StatusCode::NOT_FOUND),
    })
}

/// The value of `name` in the query.
fn number(request: &Request<Incoming>, name: &str) -> Option<u64> {
    let pairs = request.uri().query()?.split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name)?.1.parse().ok()
}

fn json(body: impl Into<Bytes>) -> Answer {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    let media = header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}

fn octets(body: BoxBody<Bytes, hyper::Error>) -> Answer {
    let mut answer = Response::new(body);
    let media = header::HeaderValue::from_static("application/octet-stream");
    answer.headers_mut().insert(header::CONTENT_TYPE, media);
    answer
}

fn status(status: StatusCode) -> Answer {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

/// Counts the primes up to `n` as the image does, and lets others run now and then.
async fn compute(n: Option<u64>) -> Answer {
    let Some(n) = n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 1_000_000) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let (mut count, mut largest) = (0, None);
    for candidate in 2..=n {
        if is_prime(candidate) {
            count += 1;
            largest = Some(candidate);
        }
        if candidate % 256 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let largest = largest.map_or("null".to_owned(), |prime: u32| prime.to_string());
    json(format!(r#"{{"n":{n},"count":{count},"largest":{largest}}}"#))
}

fn is_prime(candidate: u32) -> bool {
    let mut divisor = 2;
    while divisor * divisor <= candidate {
        if candidate.is_multiple_of(divisor) {
            return false;
        }
        divisor += 1;
    }
    true
}

async fn upload(mut body: Incoming) -> Answer {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
    json(format!(r#"{{"bytes":{bytes}}}"#))
}

fn download(bytes: Option<u64>) -> Answer {
    match bytes {
        Some(bytes) if bytes <= 1 << 40 => octets(Pattern { left: bytes }.boxed()),
        _ => status(StatusCode::BAD_REQUEST),
    }
}

/// So many bytes of the alphabet, out of memory that is never copied by this program.
struct Pattern {
    left: u64,
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let count = self.left.min(BLOCK.len() as u64);
        self.left -= count;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&BLOCK[..count as usize])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What `/download` repeats, a thousand times.
static BLOCK: [u8; 65_536] = {
    let alphabet = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-\n";
    let mut block = [0; 65_536];
    let mut at = 0;
    while at < block.len() {
        block[at] = alphabet[at % 64];
        at += 1;
    }
    block
};
