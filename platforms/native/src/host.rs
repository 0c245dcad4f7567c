//! The host as components see it at start-up.

use crate::ports::Ports;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use waitless::boot::Said;
use waitless::device::Platform;
use waitless::{Instant, Protocol};

/// The clock, the descriptors that end the sleep, and the ports in use.
pub struct Host {
    start: std::time::Instant,
    ports: Ports,
    keys: String,
    descriptors: Mutex<Vec<i32>>,
    exposed: Mutex<Vec<Exposed>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Exposed {
    protocol: Protocol,
    image: u16,
    host: u16,
}

/// Descriptors that components may wait for.
pub const DESCRIPTORS_MAX: usize = 64;
/// Ports that are remembered to be told.
const EXPOSED_MAX: usize = 64;

impl Host {
    /// The host from now on. `keys` is what was said of the manifest's keys.
    pub fn new(ports: Ports, keys: String) -> Self {
        Self {
            start: std::time::Instant::now(),
            ports,
            keys,
            descriptors: Mutex::new(Vec::new()),
            exposed: Mutex::new(Vec::new()),
        }
    }

    /// The time now, on a clock that never goes back.
    pub fn now(&self) -> Instant {
        // Nanoseconds since the start exceed 64 bits after 584 years.
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// The descriptors that end the sleep.
    pub fn descriptors(&self) -> MutexGuard<'_, Vec<i32>> {
        lock(&self.descriptors)
    }

    /// A line for each port that the image asked for.
    pub fn exposed(&self) -> Vec<String> {
        lock(&self.exposed).iter().map(describe).collect()
    }
}

impl Platform for Host {
    fn name(&self) -> &'static str {
        "native"
    }

    fn said_at_boot(&self, index: usize) -> Option<Said<'_>> {
        let said = Said { by: "--set", words: &self.keys, shared: false, cut: false };
        (index == 0).then_some(said)
    }

    fn wall_clock(&self, now: Instant) -> Option<u64> {
        // Asked anew each time: the host's clock may be set, and goes on while the host sleeps.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let ago = std::time::Duration::from_nanos(self.now().since(now).as_nanos());
        Some(time.checked_sub(ago)?.as_secs())
    }

    fn host_port(&self, protocol: Protocol, port: u16) -> u16 {
        let host = self.ports.host(protocol, port);
        let entry = Exposed { protocol, image: port, host };
        let mut exposed = lock(&self.exposed);
        if port != 0 && exposed.len() < EXPOSED_MAX && !exposed.contains(&entry) {
            exposed.push(entry);
        }
        host
    }

    fn wake_on(&self, descriptor: i32) -> bool {
        let mut descriptors = lock(&self.descriptors);
        let fits = descriptors.len() < DESCRIPTORS_MAX && descriptor >= 0;
        if fits {
            descriptors.push(descriptor);
        }
        fits
    }
}

/// A place to go to, as a person types it.
fn describe(exposed: &Exposed) -> String {
    let Exposed { protocol, image, host } = *exposed;
    match (protocol, image) {
        (Protocol::TCP, 80) => format!("http://localhost:{host}"),
        (Protocol::TCP, 443) => format!("https://localhost:{host}"),
        (Protocol::TCP, _) => format!("tcp port {image} on localhost:{host}"),
        (Protocol::UDP, _) => format!("udp port {image} on localhost:{host}"),
        (Protocol(number), _) => format!("protocol {number} port {image} on localhost:{host}"),
    }
}

/// A panic elsewhere leaves these lists whole: each change to them is one push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
