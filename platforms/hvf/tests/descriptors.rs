//! The network where the system gives out no more descriptors. The limit is the process's, so this
//! is a program of its own.

use hvf_runner::network::{Config, Forward, Network, Protocol};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn without_descriptors_the_network_sleeps_and_takes_connections_later() {
    let forward = Forward { protocol: Protocol::Tcp, host: 0, guest: 80 };
    let config = Config { forwards: vec![forward], nameserver: None };
    let mut network = Network::new(&config).unwrap();
    let port = network.forwards()[0].host;
    let (wake, _other) = UnixStream::pair().unwrap();
    let _client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();

    let usual = getrlimit(Resource::Nofile);
    let next = UnixStream::pair().unwrap().0.as_raw_fd() as u64;
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(next), ..usual }).unwrap();
    let mut turns = 0;
    let mut now = Duration::ZERO;
    while now < Duration::from_millis(950) {
        network.poll(now);
        let delay = network.delay(now);
        // The system says at once that there is a connection.
        network.wait(wake.as_fd(), Some(Duration::ZERO)).unwrap();
        now += delay.unwrap_or(Duration::from_millis(1)).max(Duration::from_micros(100));
        turns += 1;
    }
    assert!(turns < 40, "{turns} turns in a second in which nothing can happen");
    assert_eq!(network.connections(), 0);

    setrlimit(Resource::Nofile, usual).unwrap();
    for millis in [1000, 1100, 1200] {
        network.poll(Duration::from_millis(millis));
    }
    assert_eq!(network.connections(), 1);
}
