//! Runs scripts.

use super::calls::Socket;
use super::host::{Host, Sent};
use super::segment::{Flow, THEIR_FIRST, decode, difference, encode, show};
use super::syntax::{Action, Base, Error, ErrorKind, Event, Mistake, Script, Segment, Time};
use std::collections::{BTreeMap, VecDeque};
use tcp::{Algorithm, Config};
use waitless::{Duration, Instant, PathErrorKind, Phase, Stream, StreamPort};

/// Where the component listens.
pub const OUR_PORT: u16 = 8080;
/// The other side's port.
pub const THEIR_PORT: u16 = 40_000;
const PSH: u8 = 8;
const FIN: u8 = 1;

/// Runs a script to its end, or to the first thing that is not as it says.
pub fn run(script: &Script) -> Result<(), Mistake> {
    let mut runner = Runner::new(script)?;
    for event in &script.events {
        let outcome = runner.step(event);
        outcome.map_err(|what| Mistake { line: event.line, what })?;
    }
    let last = script.events.last().map_or(1, |event| event.line);
    runner.nothing_left(Instant::NEVER).map_err(|what| Mistake { line: last, what })
}

pub struct Runner {
    pub host: Host,
    tolerance: Duration,
    /// When the event before was.
    before: Instant,
    /// The ports of segments that do not say theirs, the other side's first.
    pub ports: (u16, u16),
    flows: BTreeMap<(u16, u16), Flow>,
    pub sockets: BTreeMap<i64, Socket>,
    /// New connections that nobody accepted yet.
    pub fresh: VecDeque<Stream>,
    /// The socket that assertions are about: the last one that was used.
    pub current: i64,
}

impl Runner {
    fn new(script: &Script) -> Result<Self, Mistake> {
        let mut config = Config::DEFAULT;
        let (mut mtu, mut tolerance) = (1500, Duration::from_millis(2));
        for (line, name, value) in &script.options {
            let wrong =
                || Mistake { line: *line, what: format!("`--{name}={value}` is no option") };
            match name.as_str() {
                "mtu" => mtu = value.parse().map_err(|_| wrong())?,
                "tolerance" => tolerance = duration(value).ok_or_else(wrong)?,
                _ => set(&mut config, name, value).ok_or_else(wrong)?,
            }
        }
        Ok(Self {
            host: Host::new(config, mtu),
            tolerance,
            before: Host::begin(),
            ports: (THEIR_PORT, OUR_PORT),
            flows: BTreeMap::new(),
            sockets: BTreeMap::new(),
            fresh: VecDeque::new(),
            current: 0,
        })
    }

    fn step(&mut self, event: &Event) -> Result<(), String> {
        let Time { from, until } = event.time;
        let at = match from {
            Base::Begin(time) => Host::begin() + time,
            Base::Before(time) => self.before + time,
            Base::Any => self.before,
        };
        if let Action::Sends(expected) = &event.action {
            let last = match (from, until) {
                (Base::Any, _) => Instant::NEVER,
                (Base::Begin(_), Some(until)) => Host::begin() + until,
                (Base::Before(_), Some(until)) => self.before + until,
                (_, None) => at,
            };
            let sent = self.expect(expected, at, last)?;
            self.before = if last == at { at } else { sent };
            return Ok(());
        }
        if until.is_some() {
            return Err("calls that wait are not supported".to_owned());
        }
        self.host.wait(at);
        self.nothing_left(at)?;
        self.before = at;
        match &event.action {
            Action::Arrives(segment) => self.arrives(segment)?,
            Action::Error(error) => self.error(error),
            Action::Call(call) => self.call(call)?,
            Action::Assert(text) => self.assert(text)?,
            Action::Sends(_) | Action::Shell => {}
        }
        Ok(())
    }

    /// Whatever was sent before `at` should have been expected.
    fn nothing_left(&mut self, at: Instant) -> Result<(), String> {
        match self.host.sent.pop_front() {
            Some(sent) if sent.at + self.tolerance < at || at == Instant::NEVER => {
                let what = self.read(&sent, &Segment::default());
                let what = what.map_or_else(|what| what, |segment| show(&segment));
                Err(format!("at {}, no line expects what was sent: {what}", seconds(sent.at)))
            }
            Some(sent) => {
                self.host.sent.push_front(sent);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn arrives(&mut self, segment: &Segment) -> Result<(), String> {
        let ports = segment.ports.unwrap_or(self.ports);
        let flow = self.flows.entry(ports).or_default();
        let bytes = encode(segment, ports, flow);
        self.host.arrives(&bytes, segment.mark.unwrap_or(0))
    }

    fn error(&mut self, error: &Error) {
        let (theirs, ours) = self.ports;
        let flow = self.flows.entry(self.ports).or_default();
        let sequence = error.sequence.wrapping_add(flow.ours.unwrap_or(0));
        let mut header = [0; 8];
        header[..2].copy_from_slice(&ours.to_be_bytes());
        header[2..4].copy_from_slice(&theirs.to_be_bytes());
        header[4..].copy_from_slice(&sequence.to_be_bytes());
        let kind = match error.kind {
            ErrorKind::Unreachable(code) => PathErrorKind::Unreachable(code),
            ErrorKind::TooBig(mtu) => PathErrorKind::TooBig(mtu),
        };
        self.host.error(kind, header);
    }

    fn read(&mut self, sent: &Sent, expected: &Segment) -> Result<Segment, String> {
        let short = |at: usize| u16::from_be_bytes([sent.bytes[at], sent.bytes[at + 1]]);
        let flow = self.flows.entry((short(2), short(0))).or_default();
        decode(sent, expected, flow)
    }

    /// Expects a segment between two times. When it was sent.
    fn expect(
        &mut self,
        wanted: &Segment,
        from: Instant,
        last: Instant,
    ) -> Result<Instant, String> {
        let (theirs, ours) = self.ports;
        let expected = Segment { ports: wanted.ports.or(Some((ours, theirs))), ..wanted.clone() };
        let last = if last == Instant::NEVER { last } else { last + self.tolerance };
        let (mut whole, at) = self.next(&expected, from, last)?;
        // A card would have cut a long one into these.
        while whole.length < expected.length && whole.flags & FIN == 0 {
            let (more, _) = self.next(&expected, from, last)?;
            let follows = more.sequence == whole.sequence.wrapping_add(whole.length)
                && more.acknowledgement == whole.acknowledgement
                && (more.flags ^ whole.flags) & !(PSH | FIN) == 0;
            if !follows {
                return Err(format!(
                    "expected {}\n     came {}, which does not follow {}",
                    show(&expected),
                    show(&more),
                    show(&whole)
                ));
            }
            whole = Segment { length: whole.length + more.length, flags: more.flags, ..whole };
        }
        match difference(&expected, &whole) {
            None => Ok(at),
            Some(what) => {
                let (expected, came) = (show(&expected), show(&whole));
                Err(format!("{what} differ\n  expected {expected}\n      came {came}"))
            }
        }
    }

    fn next(
        &mut self,
        expected: &Segment,
        from: Instant,
        last: Instant,
    ) -> Result<(Segment, Instant), String> {
        // Somewhere an end: longer than any timer runs.
        let most = self.host.now() + Duration::from_secs(100_000);
        self.host.wait_for_segment(last.min(most));
        let Some(sent) = self.host.sent.pop_front() else {
            let (what, now) = (show(expected), seconds(last.min(most)));
            return Err(format!("expected {what}, and nothing was sent until {now}"));
        };
        let segment = self.read(&sent, expected)?;
        let (at, show) = (sent.at, show(&segment));
        if at + self.tolerance < from {
            return Err(format!("at {}, earlier than {}: {show}", seconds(at), seconds(from)));
        }
        if at > last {
            return Err(format!("at {}, later than {}: {show}", seconds(at), seconds(last)));
        }
        Ok((segment, at))
    }

    fn assert(&mut self, text: &str) -> Result<(), String> {
        let all = text.split([';', ',', '\n']).map(str::trim).filter(|it| !it.is_empty());
        for one in all {
            let one = one.strip_prefix("assert ").unwrap_or(one);
            let words: Vec<&str> = one.split_whitespace().collect();
            let [name, operator, value] = words[..] else {
                return Err(format!("`{one}` is no comparison: write `counter == 1`"));
            };
            let is = self.value(name).ok_or_else(|| format!("there is no `{name}` to compare"))?;
            let numbers = (is.parse::<u64>().ok(), value.parse::<u64>().ok());
            let holds = match (operator, numbers) {
                ("==", _) => is == value,
                ("!=", _) => is != value,
                ("<=", (Some(is), Some(value))) => is <= value,
                (">=", (Some(is), Some(value))) => is >= value,
                ("<", (Some(is), Some(value))) => is < value,
                (">", (Some(is), Some(value))) => is > value,
                _ => return Err(format!("`{operator}` compares nothing here")),
            };
            if !holds {
                return Err(format!("{one}: it is {is}"));
            }
        }
        Ok(())
    }

    /// What an assertion may be about.
    fn value(&self, name: &str) -> Option<String> {
        let stream = self.sockets.get(&self.current).and_then(|socket| socket.stream);
        let status = stream.map(|stream| self.host.tcp.status(stream)).unwrap_or_default();
        Some(match name {
            "phase" => phase(status.phase).to_owned(),
            "readable" => status.readable.to_string(),
            "writable" => status.writable.to_string(),
            "unacknowledged" => status.unacknowledged.to_string(),
            "segment" => status.segment.to_string(),
            "packets_kept" => self.host.tcp.kept().to_string(),
            _ => self.host.counter(name)?.to_string(),
        })
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Open => "open",
        Phase::Closed => "closed",
        Phase::Reset => "reset",
        Phase::TimedOut => "timed_out",
        Phase::Unreachable => "unreachable",
    }
}

/// A time since the begin, as scripts write it.
fn seconds(at: Instant) -> String {
    format!("{:.3} s", at.since(Host::begin()).as_nanos() as f64 / 1e9)
}

fn duration(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let count: u64 = number.parse().ok()?;
    match &text[number.len()..] {
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        _ => None,
    }
}

/// Sets a key of the component's configuration, by its name in a manifest.
fn set(config: &mut Config, name: &str, value: &str) -> Option<()> {
    match name {
        "nagle" => config.nagle = value.parse().ok()?,
        "probing" => config.probing = value.parse().ok()?,
        "pacing" => config.pacing = value.parse().ok()?,
        "ecn" => config.ecn = value.parse().ok()?,
        "timestamps" => config.timestamps = value.parse().ok()?,
        "syn-cookies" => config.syn_cookies = value.parse().ok()?,
        "backlog" => config.backlog = value.parse().ok()?,
        "receive-buffer" => config.receive_buffer = value.parse().ok()?,
        "send-buffer" => config.send_buffer = value.parse().ok()?,
        "syn-retries" => config.syn_retries = value.parse().ok()?,
        "keep-alive-probes" => config.keep_alive_probes = value.parse().ok()?,
        "delayed-ack" => config.delayed_ack = duration(value)?,
        "retransmit-min" => config.retransmit_min = duration(value)?,
        "connect-timeout" => config.connect_timeout = duration(value)?,
        "user-timeout" => config.user_timeout = duration(value)?,
        "fin-wait" => config.fin_wait = duration(value)?,
        "time-wait" => config.time_wait = duration(value)?,
        "keep-alive" => config.keep_alive = Some(duration(value)?),
        "keep-alive-interval" => config.keep_alive_interval = duration(value)?,
        "congestion" => {
            config.congestion = match value {
                "cubic" => Algorithm::Cubic,
                "reno" => Algorithm::Reno,
                "bbr" => Algorithm::Bbr,
                _ => return None,
            };
        }
        _ => return None,
    }
    Some(())
}

/// The numbers of the other side wrap soon after a script's begin.
const _: () = assert!(THEIR_FIRST > u32::MAX - 10_000);
