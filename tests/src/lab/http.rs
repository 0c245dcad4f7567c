//! Two HTTP clients: curl, and a plain connection for what curl would not send.

use super::{PATIENCE, run_in};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What curl prints of an answer, headers first; panics when it fails.
#[track_caller]
pub fn curl(arguments: &[&str]) -> String {
    let mut all = vec!["--silent", "--show-error", "--max-time", "60"];
    all.extend(arguments);
    let said = run_in(Path::new("."), "curl", &all, b"");
    assert!(said.status.success(), "curl {arguments:?}: {}", said.errors);
    said.output
}

/// A TCP connection to a server.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What has arrived behind the last answer.
    rest: Vec<u8>,
}

/// An HTTP/1.1 answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The head, up to the empty line.
    pub head: String,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Connection {
    /// To the port `port` of `host`.
    #[track_caller]
    pub fn to(host: impl Into<IpAddr>, port: u16) -> Self {
        let host = host.into();
        let stream = TcpStream::connect_timeout(&SocketAddr::from((host, port)), PATIENCE)
            .unwrap_or_else(|error| panic!("{host}:{port}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, rest: Vec::new() }
    }

    /// This end's port.
    #[track_caller]
    pub fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("a connected socket has an address").port()
    }

    /// Sends bytes as they are. An error shows in the answer.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Reads a few bytes, if there are some, and forgets them.
    pub fn taste(&mut self) {
        let _ = self.stream.set_read_timeout(Some(Duration::from_millis(1)));
        let _ = self.stream.read(&mut [0; 100]);
    }

    /// Says that nothing follows.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next answer; `None` when the server ended the connection instead.
    #[track_caller]
    pub fn answer(&mut self) -> Option<Answer> {
        self.answer_to("GET")
    }

    /// The next answer to a request of `method`.
    #[track_caller]
    pub fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let end = self.find(b"\r\n\r\n")?;
        let head: Vec<u8> = self.rest.drain(..end).collect();
        let head = String::from_utf8(head).expect("a head is text");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        let body = match (header(&head, "transfer-encoding"), header(&head, "content-length")) {
            _ if method == "HEAD" || status == 204 || status == 304 || status < 200 => Vec::new(),
            (Some(_), _) => self.chunks()?,
            (None, Some(length)) => self.take(length.parse().expect("a length"))?,
            (None, None) => self.until_end(),
        };
        Some(Answer { status, head, body })
    }

    /// Whether the server ends the connection within `patience`.
    pub fn ends(&mut self, patience: Duration) -> bool {
        self.stream.set_read_timeout(Some(patience)).expect("a timeout");
        let mut byte = [0; 512];
        loop {
            match self.stream.read(&mut byte) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = self.find(b"\r\n")?;
            let line = String::from_utf8(self.take(end)?).expect("a chunk's size is text");
            let length = line.trim().split(';').next().unwrap_or_default();
            let length = usize::from_str_radix(length, 16).expect("a chunk's size");
            body.extend(self.take(length)?);
            assert_eq!(self.take(2)?, b"\r\n", "behind a chunk");
            if length == 0 {
                return Some(body);
            }
        }
    }

    /// The length of what there is up to and with `wanted`.
    fn find(&mut self, wanted: &[u8]) -> Option<usize> {
        loop {
            if let Some(at) = self.rest.windows(wanted.len()).position(|bytes| bytes == wanted) {
                return Some(at + wanted.len());
            }
            self.more()?;
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.rest.len() < length {
            self.more()?;
        }
        Some(self.rest.drain(..length).collect())
    }

    fn until_end(&mut self) -> Vec<u8> {
        while self.more().is_some() {}
        std::mem::take(&mut self.rest)
    }

    fn more(&mut self) -> Option<()> {
        let mut bytes = [0; 65_536];
        match self.stream.read(&mut bytes) {
            Ok(count @ 1..) => {
                self.rest.extend(&bytes[..count]);
                Some(())
            }
            _ => None,
        }
    }
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
