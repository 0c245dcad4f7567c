//! How many connections a server holds open at a time.

use crate::contender::Place;
use crate::machine;
use crate::workloads::{Figure, Served};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Opens connections until one is not accepted, and then asks on a hundred of them.
pub fn ceiling(served: &mut Served<'_>) -> Vec<Figure> {
    let before = machine::resident(served.guest.id()).unwrap_or(0.0);
    let mut open = Vec::new();
    let stopped = fill(served.place, &mut open);
    let after = machine::resident(served.guest.id()).unwrap_or(0.0);
    println!("  it ends because of {stopped}");
    let answered = open.iter().step_by((open.len() / 100).max(1)).filter(|s| answers(s)).count();
    let asked = open.len().div_ceil((open.len() / 100).max(1));
    let count = match answered == asked {
        true => Ok(open.len() as f64),
        false => Err(format!("{answered} of {asked} answer, with {} open", open.len())),
    };
    let each = (after - before).max(0.0) * 1024.0 / open.len().max(1) as f64;
    vec![
        Figure::new("connections at a time", "connections", count),
        Figure::new("memory for each of them, resident", "bytes", Ok(each)),
    ]
}

/// Opens them, from addresses of this machine that each have 28,000 ports. What ended it.
fn fill(place: &Place, open: &mut Vec<TcpStream>) -> String {
    for number in 0..ADDRESSES {
        let from = place.own_address(100 + number);
        for _ in 0..PORTS {
            match connect(from, place.address) {
                Ok(stream) => open.push(stream),
                Err(error) => return format!("{error}, with {} open", open.len()),
            }
        }
    }
    format!("the client: {} is all that it opens", open.len())
}

fn connect(from: Ipv4Addr, to: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((to, 80)).into(), Duration::from_secs(5))?;
    Ok(socket.into())
}

fn answers(mut stream: &TcpStream) -> bool {
    let mut answer = [0; 12];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// Lets this program and what it starts have as many descriptors as the kernel gives.
pub fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    if setrlimit(Resource::Nofile, most).is_err() {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Then fewer connections are opened, and what ends them is printed.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

const DESCRIPTORS: u64 = 1 << 20;
const ADDRESSES: u8 = 8;
const PORTS: usize = 25_000;
