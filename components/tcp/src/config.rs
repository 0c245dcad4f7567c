//! What the manifest says of an instance.

use crate::congestion::Algorithm;
use waitless::Duration;

/// The configuration; `Cargo.toml` documents each key, its range and its default.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "Cargo.toml's metadata documents every key")]
pub struct Config {
    pub connections: u32,
    pub listeners: u16,
    pub backlog: u32,
    pub receive_buffer: u64,
    pub send_buffer: u64,
    pub memory: Option<u64>,
    pub timestamps: bool,
    pub nagle: bool,
    pub delayed_ack: Duration,
    pub retransmit_min: Duration,
    pub syn_retries: u8,
    pub connect_timeout: Duration,
    pub user_timeout: Duration,
    pub fin_wait: Duration,
    pub time_wait: Duration,
    pub time_waits: u32,
    pub keep_alive: Option<Duration>,
    pub keep_alive_interval: Duration,
    pub keep_alive_probes: u8,
    pub traffic_class: u8,
    pub congestion: Algorithm,
    pub pacing: bool,
    pub probing: bool,
    pub ecn: bool,
    pub syn_cookies: bool,
}

impl Config {
    /// The defaults of `Cargo.toml`.
    pub const DEFAULT: Self = Self {
        connections: 131_072,
        listeners: 64,
        backlog: 1024,
        receive_buffer: 16 << 20,
        send_buffer: 16 << 20,
        memory: None,
        timestamps: true,
        nagle: false,
        delayed_ack: Duration::from_millis(40),
        retransmit_min: Duration::from_millis(200),
        syn_retries: 5,
        connect_timeout: Duration::from_secs(180),
        user_timeout: Duration::from_secs(900),
        fin_wait: Duration::from_secs(60),
        time_wait: Duration::from_secs(60),
        time_waits: 65_536,
        keep_alive: None,
        keep_alive_interval: Duration::from_secs(75),
        keep_alive_probes: 9,
        traffic_class: 0,
        congestion: Algorithm::Cubic,
        pacing: false,
        probing: true,
        ecn: true,
        syn_cookies: true,
    };
}
