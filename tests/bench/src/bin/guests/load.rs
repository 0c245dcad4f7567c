//! The client: wrk for HTTP, and a few lines for datagrams.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};
use waitless_tests::lab::run_in;

/// Whether `/health` of `address` is answered with 200, when asked once.
pub fn answers(address: Ipv4Addr) -> bool {
    let to = SocketAddr::new(IpAddr::V4(address), 80);
    let Ok(mut stream) = TcpStream::connect_timeout(&to, Duration::from_millis(15)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut answer = [0; 12];
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// What a server answers to `GET path`, head and body.
pub fn whole_answer(address: Ipv4Addr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect((address, 80)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).ok()?;
    answer.truncate(length);
    String::from_utf8(answer).ok()
}

/// A load by wrk.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// What is asked for.
    pub path: &'a str,
    /// Connections at a time.
    pub connections: u32,
    /// How long.
    pub seconds: u32,
    /// Further fields, complete.
    pub fields: &'a [&'a str],
    /// A script in Lua; empty for none.
    pub script: &'a str,
    /// Over TLS.
    pub secure: bool,
}

/// What a load was like.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Answers in all.
    pub answers: u64,
    /// Answers a second.
    pub per_second: f64,
    /// Half of them came within this, in ms.
    pub median_ms: f64,
    /// All but one of a hundred, in ms.
    pub p99_ms: f64,
}

impl<'a> Load<'a> {
    /// One of a connection that asks for `path` over and over, in the clear.
    pub fn new(path: &'a str, seconds: u32) -> Self {
        Self { path, connections: 1, seconds, fields: &[], script: "", secure: false }
    }

    /// Runs it. An error says what went wrong on the way.
    pub fn run(&self, address: Ipv4Addr) -> Result<Rate, String> {
        let scheme = if self.secure { "https" } else { "http" };
        let url = format!("{scheme}://{address}{}", self.path);
        let connections = self.connections.to_string();
        let duration = format!("{}s", self.seconds);
        let mut words = vec!["-t", "1", "-c", &connections, "-d", &duration, "--latency"];
        words.extend(["--timeout", "20s"]);
        self.fields.iter().for_each(|field| words.extend(["-H", *field]));
        let folder = waitless_tests::lab::Folder::new("script");
        let (script, openssl) = (folder.path().join("load.lua"), folder.path().join("openssl.cnf"));
        let text = |error: std::io::Error| error.to_string();
        if !self.script.is_empty() {
            std::fs::write(&script, self.script).map_err(text)?;
            words.extend(["-s", script.to_str().ok_or("a path that is no text")?]);
        }
        std::fs::write(&openssl, OPENSSL).map_err(text)?;
        words.push(&url);
        let settings = format!("OPENSSL_CONF={}", openssl.display());
        let said = run_in(Path::new("."), "env", &[&[&settings, "wrk"], &words[..]].concat(), b"");
        let complains = |line: &&str| line.contains("errors") || line.contains("Non-2xx");
        if let Some(line) = said.output.lines().find(complains) {
            return Err(line.trim().to_owned());
        }
        match rate(&said.output) {
            Some(Rate { answers: 0, .. }) => Err("no answer within the time".to_owned()),
            Some(rate) => Ok(rate),
            None => Err(format!("wrk: {}{}", said.output, said.errors)),
        }
    }
}

/// What wrk's OpenSSL offers, so that all servers choose the same whatever its version prefers.
const OPENSSL: &str = "openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = client
[client]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
";

fn rate(said: &str) -> Option<Rate> {
    let after = |begin: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(begin))?;
        line.split_whitespace().nth(1)
    };
    let answers = said.lines().find(|line| line.contains(" requests in "))?;
    Some(Rate {
        answers: answers.split_whitespace().next()?.parse().ok()?,
        per_second: after("Requests/sec:")?.parse().ok()?,
        median_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
    })
}

/// wrk writes `1.50ms`, `812.00us`, `1.02s` and `1.10m`.
fn milliseconds(text: &str) -> Option<f64> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Sends datagrams to the echo, so many at a time, each when one has come back. Echoes a second.
pub fn echoes(address: Ipv4Addr, at_a_time: usize, duration: Duration) -> Result<f64, String> {
    let mut from = Source::new(address, at_a_time).map_err(|error| error.to_string())?;
    let mut room = [0; 2048];
    let (start, mut count, mut silences) = (Instant::now(), 0u64, 0);
    while start.elapsed() < duration {
        let next = match from.socket.recv(&mut room) {
            Ok(_) => {
                count += 1;
                from.next()
            }
            // All that were on the way are lost.
            Err(_) => {
                silences += 1;
                if silences > 10 {
                    return Err("no echo".to_owned());
                }
                None
            }
        };
        if next.is_none() {
            from = Source::new(address, at_a_time).map_err(|error| error.to_string())?;
        }
    }
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// A port that asks the echo. An echo may take a source that never pauses for another echo and
/// leave an answer out, as ours does after a thousand, so none asks that often.
struct Source {
    socket: UdpSocket,
    left: usize,
}

impl Source {
    const QUESTIONS: usize = 900;

    fn new(address: Ipv4Addr, at_a_time: usize) -> std::io::Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect((address, 7))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        (0..at_a_time).try_for_each(|_| socket.send(&[b'x'; 64]).map(drop))?;
        Ok(Self { socket, left: Self::QUESTIONS - at_a_time })
    }

    /// What is sent when an answer came; `None` when it has asked often enough. Answers that are
    /// still on their way count for nobody.
    fn next(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        // What cannot be sent is missed like one that was lost.
        let _ = self.socket.send(&[b'x'; 64]);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 4s test @ http://10.77.1.50/health
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   421.12us  120.00us   9.10ms   91.20%
    Req/Sec    38.20k     2.10k   43.00k    71.00%
  Latency Distribution
     50%  402.00us
     75%  470.00us
     90%  540.00us
     99%    1.25ms
  152801 requests in 4.00s, 20.10MB read
Requests/sec:  38196.12
Transfer/sec:      5.02MB
";

    #[test]
    fn what_wrk_prints_is_read() {
        let rate = rate(SAID).unwrap();
        assert_eq!((rate.answers, rate.per_second), (152_801, 38_196.12));
        assert_eq!((rate.median_ms, rate.p99_ms), (0.402, 1.25));
        for (text, expected) in [("1.02s", Some(1_020.0)), ("2.00m", Some(120_000.0)), ("3", None)]
        {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
