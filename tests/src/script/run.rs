//! Runs scripts.

use super::calls::Socket;
use super::foreign;
use super::host::{Ends, Host, Sent};
use super::segment::{Flow, THEIR_FIRST, decode, difference, encode, show};
use super::syntax::{
    Action, Base, Error, ErrorKind, Event, Mistake, Problem, Script, Segment, Time,
};
use super::waits::Waiting;
use std::collections::{BTreeMap, VecDeque};
use tcp::{Algorithm, Config};
use waitless::{Duration, Instant, PathErrorKind, Phase, Stream, StreamPort};

/// Where the component listens.
pub const OUR_PORT: u16 = 8080;
/// The other side's port.
pub const THEIR_PORT: u16 = 40_000;
const PSH: u8 = 8;
const FIN: u8 = 1;
const ACK: u8 = 16;

/// Runs a script to its end, or to the first thing that is not as it says.
pub fn run(script: &Script) -> Result<(), Mistake> {
    Runner::new(script, None)?.play(script)
}

/// Runs a script that was written for another stack: what it cannot know of this one is not
/// compared. `keys` are keys of the component's configuration that say more than it does.
pub fn run_foreign(script: &Script, keys: &[(String, String)]) -> Result<(), Mistake> {
    Runner::new(script, Some(keys))?.play(script)
}

pub struct Runner {
    pub host: Host,
    pub tolerance: Duration,
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
    /// The script was written for another stack.
    pub foreign: bool,
    /// Calls that have not returned yet.
    pub waiting: Vec<Waiting>,
    /// What is left of a segment that a script for another stack sees in two.
    rest: Option<(Segment, Instant)>,
}

impl Runner {
    fn new(script: &Script, foreign: Option<&[(String, String)]>) -> Result<Self, Mistake> {
        let mut config = Config::DEFAULT;
        let (mut mtu, mut tolerance) = (1500, Duration::from_millis(2));
        let mut ends = Ends::V4;
        if let Some(keys) = foreign {
            tolerance = Duration::from_millis(10);
            foreign::configure(script, keys, &mut config)?;
        }
        for (line, name, value) in &script.options {
            let wrong = || Mistake {
                line: *line,
                problem: Problem::Unsupported(format!("the option `--{name}={value}`")),
            };
            match name.as_str() {
                "mtu" => mtu = value.parse().map_err(|_| wrong())?,
                "tolerance" => tolerance = duration(value).ok_or_else(wrong)?,
                "tolerance_usecs" => tolerance = foreign::tolerance(value).ok_or_else(wrong)?,
                "ip_version" if value == "ipv4" => {}
                "ip_version" if value == "ipv6" => ends = Ends::V6,
                _ if foreign.is_some() && foreign::option_is_for_the_tool(name) => {}
                _ => set(&mut config, name, value).ok_or_else(wrong)?,
            }
        }
        Ok(Self {
            host: Host::new(config, mtu, ends),
            tolerance,
            before: Host::begin(),
            ports: (THEIR_PORT, OUR_PORT),
            flows: BTreeMap::new(),
            sockets: BTreeMap::new(),
            fresh: VecDeque::new(),
            current: 0,
            foreign: foreign.is_some(),
            waiting: Vec::new(),
            rest: None,
        })
    }

    fn play(mut self, script: &Script) -> Result<(), Mistake> {
        for event in &script.events {
            let outcome = self.step(event);
            outcome.map_err(|problem| Mistake { line: event.line, problem })?;
            self.note_opened();
        }
        let line = script.events.last().map_or(1, |event| event.line);
        let mut end = self.outwait();
        if !self.foreign {
            end = end.and_then(|()| self.nothing_left(Instant::NEVER));
        }
        end.map_err(|problem| Mistake { line, problem })
    }

    fn step(&mut self, event: &Event) -> Result<(), Problem> {
        let Time { from, until } = event.time;
        let (base, at) = match from {
            Base::Begin(time) => (Host::begin(), Host::begin() + time),
            Base::Before(time) => (self.before, self.before + time),
            Base::Any => (self.before, self.before),
        };
        if let Action::Sends(expected) = &event.action {
            let last = match (from, until) {
                (Base::Any, _) => Instant::NEVER,
                (_, Some(until)) => base + until,
                (_, None) => at,
            };
            let sent = self.expect(expected, at, last)?;
            self.before = if last == at { at } else { sent };
            return Ok(());
        }
        self.host.wait(at);
        self.overdue(at)?;
        // For other runners, what was sent waits until a line looks at it.
        if !self.foreign {
            self.nothing_left(at)?;
        }
        self.before = at;
        match &event.action {
            Action::Arrives(segment) => self.arrives(segment)?,
            Action::Error(error) => self.error(error),
            Action::Call(call) => {
                self.call(call, until.map(|until| base + until))?;
            }
            Action::Assert(text) if self.foreign => self.assert_foreign(text)?,
            Action::Assert(text) => self.assert(text)?,
            Action::Shell(command) if self.foreign => {
                foreign::command_later(command).map_err(Problem::Unsupported)?;
            }
            Action::Sends(_) | Action::Shell(_) => {}
        }
        self.retry()
    }

    /// Whatever was sent before `at` should have been expected.
    fn nothing_left(&mut self, at: Instant) -> Result<(), Problem> {
        if let Some((segment, when)) = self.rest.take() {
            let (when, what) = (seconds(when), show(&segment));
            return Err(format!("at {when}, no line expects what was sent: {what}").into());
        }
        match self.host.sent.pop_front() {
            Some(sent) if sent.at + self.tolerance < at || at == Instant::NEVER => {
                let what = self.read(&sent, &Segment::default());
                let what = what.map_or_else(|what| what, |segment| show(&segment));
                let at = seconds(sent.at);
                Err(format!("at {at}, no line expects what was sent: {what}").into())
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
        // A card would have put a long one together out of these.
        let most = if self.foreign { 1_400 } else { u32::MAX };
        let mut piece = segment.clone();
        let mut left = segment.length;
        loop {
            piece.length = left.min(most);
            left -= piece.length;
            piece.flags = segment.flags & if left > 0 { !(PSH | FIN) } else { u8::MAX };
            let bytes = encode(&piece, self.host.ends, ports, flow);
            self.host.comes(&bytes, segment.mark.unwrap_or(0))?;
            piece.sequence = piece.sequence.wrapping_add(piece.length);
            if left == 0 {
                break;
            }
        }
        self.host.sweep();
        Ok(())
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
            ErrorKind::TimeExceeded(code) => PathErrorKind::TimeExceeded(code),
            ErrorKind::Parameter => PathErrorKind::Parameter(0),
            ErrorKind::Ignored => return,
        };
        self.host.error(kind, header);
    }

    fn read(&mut self, sent: &Sent, expected: &Segment) -> Result<Segment, String> {
        let short = |at: usize| u16::from_be_bytes([sent.bytes[at], sent.bytes[at + 1]]);
        let flow = self.flows.entry((short(2), short(0))).or_default();
        decode(sent, expected, self.host.ends, flow)
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
        let mut expected = expected;
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
        if self.foreign {
            self.divide(&expected, &mut whole, at);
        }
        let (as_expected, as_sent) = (expected.clone(), whole.clone());
        if self.foreign {
            foreign::alike(&mut expected, &mut whole);
        }
        let differ = difference(&expected, &whole);
        let (expected, whole) = (as_expected, as_sent);
        match differ {
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
        if let Some((segment, at)) = self.rest.take() {
            return Ok((segment, at));
        }
        // Somewhere an end: longer than any timer runs.
        let most = self.host.now() + Duration::from_secs(100_000);
        self.host.wait_for_segment(last.min(most));
        let Some(sent) = self.host.sent.pop_front() else {
            let (what, now) = (show(expected), seconds(last.min(most)));
            return Err(format!("expected {what}, and nothing was sent until {now}"));
        };
        let segment = self.read(&sent, expected)?;
        if self.foreign && self.is_early(&segment, expected) {
            return self.next(expected, from, last);
        }
        let (at, show) = (sent.at, show(&segment));
        if at + self.tolerance < from {
            return Err(format!("at {}, earlier than {}: {show}", seconds(at), seconds(from)));
        }
        if at > last {
            return Err(format!("at {}, later than {}: {show}", seconds(at), seconds(last)));
        }
        Ok((segment, at))
    }

    /// Whether a segment only acknowledges what the other stack would have acknowledged together
    /// with what follows: how long that may be delayed is each stack's own affair.
    fn is_early(&mut self, segment: &Segment, expected: &Segment) -> bool {
        let Some((acknowledgement, (ours, theirs))) = segment.acknowledgement.zip(segment.ports)
        else {
            return false;
        };
        let flow = self.flows.entry((theirs, ours)).or_default();
        let news = acknowledgement.wrapping_sub(flow.told) as i32 > 0;
        flow.told = acknowledgement;
        let (mut segment, mut expected) = (segment.clone(), expected.clone());
        foreign::alike(&mut expected, &mut segment);
        let alone = segment.flags == ACK && segment.length == 0 && !self.host.sent.is_empty();
        news && alone && difference(&expected, &segment).is_some()
    }

    /// What was sent may be longer than what is expected: the rest is what comes next.
    fn divide(&mut self, expected: &Segment, whole: &mut Segment, at: Instant) {
        let more = whole.length.saturating_sub(expected.length);
        if more == 0 || expected.length == 0 || whole.sequence != expected.sequence {
            return;
        }
        let mut rest = whole.clone();
        rest.length = more;
        rest.sequence = whole.sequence.wrapping_add(expected.length);
        whole.length = expected.length;
        whole.flags &= !FIN;
        self.rest = Some((rest, at));
    }

    /// Of the other stack's own state, only what this one has as well is looked at.
    fn assert_foreign(&mut self, text: &str) -> Result<(), String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        for one in lines.flat_map(|line| line.split(';')) {
            let one = one.split(',').next().unwrap_or_default().trim();
            if one.starts_with("assert tcpi_snd_mss ") {
                self.assert(&one.replace("tcpi_snd_mss", "segment"))?;
            }
        }
        Ok(())
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
pub fn seconds(at: Instant) -> String {
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
pub fn set(config: &mut Config, name: &str, value: &str) -> Option<()> {
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
