//! Requests at a fixed rate, whether answers come or not.
//!
//! A client that waits for each answer asks less of a server that is slow, and so hides most of
//! the slowness. Here, each request has a time at which it is due, and its latency counts from
//! then on, however late it could be sent: that is the correction for coordinated omission.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// Latencies in ms.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// Half of all are at most this.
    pub median: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// All.
    pub most: f64,
}

struct Connection {
    stream: TcpStream,
    /// When the requests that wait here are due, the one under way first.
    due: VecDeque<Instant>,
    /// Bytes of the answer under way that are missing; 0 when there is none.
    missing: usize,
}

/// Asks for `/health` at `rate` a second over 64 connections.
pub fn run(address: Ipv4Addr, rate: u32, duration: Duration) -> Result<Latency, String> {
    let text = |error: std::io::Error| error.to_string();
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let answer = crate::load::whole_answer(address, "/health").ok_or("no answer")?.len();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect((address, 80)).map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        stream.set_nonblocking(true).map_err(text)?;
        connections.push(Connection { stream, due: VecDeque::new(), missing: 0 });
    }
    let (start, mut asked, mut latencies) = (Instant::now(), 0_u64, Vec::new());
    let all = u64::from(rate) * duration.as_secs();
    while (latencies.len() as u64) < all {
        if start.elapsed() > 2 * duration + Duration::from_secs(2) {
            return Err(format!("{} of {all} were answered in twice the time", latencies.len()));
        }
        while asked < all {
            let due = start + Duration::from_secs(1).mul_f64(asked as f64 / f64::from(rate));
            if due > Instant::now() {
                break;
            }
            connections[asked as usize % CONNECTIONS].due.push_back(due);
            asked += 1;
        }
        let mut quiet = true;
        for connection in &mut connections {
            quiet &= !connection.step(request.as_bytes(), answer, &mut latencies)?;
        }
        if quiet {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Ok(Latency { median: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0) })
}

impl Connection {
    /// Sends or receives what it can. Whether it did anything.
    fn step(
        &mut self,
        request: &[u8],
        answer: usize,
        latencies: &mut Vec<f64>,
    ) -> Result<bool, String> {
        let Some(due) = self.due.front() else { return Ok(false) };
        if self.missing == 0 {
            self.stream.write_all(request).map_err(|error| error.to_string())?;
            self.missing = answer;
            return Ok(true);
        }
        let mut room = [0; 4096];
        match self.stream.read(&mut room) {
            Ok(0) => Err("the server ended a connection".to_owned()),
            Ok(length) => {
                self.missing = self.missing.saturating_sub(length);
                if self.missing == 0 {
                    latencies.push(due.elapsed().as_secs_f64() * 1_000.0);
                    self.due.pop_front();
                }
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

const CONNECTIONS: usize = 64;
