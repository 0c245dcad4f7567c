//! Scripts that others wrote, for another stack: what they say of its kernel is turned into the
//! component's configuration where there is such a key, and refused by name where it matters
//! and there is none.

use super::calls::Socket;
use super::run::{Runner, set};
use super::syntax::{Action, Mistake, Problem, Script, Segment, TcpOption};
use tcp::Config;
use waitless::{Phase, StreamPort};

const PSH: u8 = 8;
const SYN: u8 = 2;
const MARKS: u8 = 64 | 128;

/// How a general-purpose system is set up, as far as keys of the component say it: what such
/// scripts take for granted. Acknowledgements are not delayed, as a kernel's are not at a
/// connection's begin.
const ASSUMED: [(&str, &str); 5] = [
    ("nagle", "true"),
    ("ecn", "false"),
    ("pacing", "false"),
    ("probing", "false"),
    ("delayed-ack", "0ms"),
];

/// Settings of Linux and FreeBSD whose other values would need what the component has not: the
/// name, the value that it obeys, and what else it would be.
const FIXED: [(&str, &str, &str); 11] = [
    ("tcp_sack", "1", "SACK that can be turned off"),
    ("sack.enable", "1", "SACK that can be turned off"),
    ("tcp_window_scaling", "1", "window scaling that can be turned off"),
    ("rfc1323", "1", "window scaling that can be turned off"),
    ("insecure_rst", "0", "resets as before RFC 5961"),
    ("insecure_syn", "0", "SYNs as before RFC 5961"),
    ("blackhole", "0", "closed ports that say nothing"),
    ("drop_synfin", "0", "SYNs with a FIN that are dropped"),
    ("syncookies_only", "0", "SYN cookies for every connection"),
    ("rexmit_initial", "1000", "another first retransmission timeout"),
    ("rexmit_drop_options", "0", "SYNs that lose their options"),
];

/// Commands that change the path or the kernel's queues, which are not here.
const PATH_COMMANDS: [&str; 5] = ["ip route", "ip -6 route", "ip ro ", "iptables", "nft "];

/// The configuration that a script asks for, which `keys` change once more.
pub fn configure(
    script: &Script,
    keys: &[(String, String)],
    config: &mut Config,
) -> Result<(), Mistake> {
    for (name, value) in ASSUMED {
        let known = set(config, name, value);
        debug_assert!(known.is_some(), "{name}");
    }
    let fails = |line, what| Mistake { line, problem: Problem::Unsupported(what) };
    for (line, command) in &script.setup {
        command_before(script, command, config).map_err(|what| fails(*line, what))?;
    }
    let before = script.events.iter().take_while(|event| !matches!(event.action, Action::Sends(_)));
    for event in before {
        if let Action::Shell(command) = &event.action {
            command_before(script, command, config).map_err(|what| fails(event.line, what))?;
        }
    }
    for (name, value) in keys {
        let known = set(config, name, value);
        known.ok_or_else(|| fails(0, format!("a key `{name}` with the value `{value}`")))?;
    }
    Ok(())
}

/// What a command before the first segment changes. What it would need, where that is not here.
fn command_before(script: &Script, command: &str, config: &mut Config) -> Result<(), String> {
    command_later(command)?;
    for word in command.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else { continue };
        let name = name.rsplit_once(['/']).map_or(name, |(_, last)| last);
        let name = name.trim_start_matches("net.inet.tcp.").trim_start_matches("net.ipv4.");
        let value = value.trim_matches(['"', '\'', ';']);
        let changed = match name {
            "tcp_timestamps" => set(config, "timestamps", truth(value)),
            "tcp_ecn" | "ecn.enable" => set(config, "ecn", truth(marks(script, value))),
            "tcp_congestion_control" => set(config, "congestion", value),
            "tcp_syncookies" | "syncookies" => set(config, "syn-cookies", truth(value)),
            "tcp_fastopen" | "fastopen.client_enable" if value != "0" => {
                return Err("TCP Fast Open".to_owned());
            }
            "tcp_mtu_probing" => set(config, "probing", truth(value)),
            "tcp_syn_retries" => set(config, "syn-retries", value),
            "keepinit" => set(config, "connect-timeout", &format!("{value}ms")),
            "delacktime" => set(config, "delayed-ack", &format!("{value}ms")),
            _ => Some(()),
        };
        changed.ok_or_else(|| format!("`{name}` with the value `{value}`"))?;
        let wrong = FIXED.iter().find(|(it, obeyed, _)| *it == name && *obeyed != value);
        if let Some((_, _, what)) = wrong {
            return Err((*what).to_owned());
        }
    }
    Ok(())
}

/// Whether a command in the midst of a script can be left out.
pub fn command_later(command: &str) -> Result<(), String> {
    let found = PATH_COMMANDS.iter().find(|it| command.contains(**it));
    let limit = command.contains("limit 0").then_some(&"tc qdisc");
    match found.or(limit) {
        Some(found) => Err(format!("the command `{}`", found.trim())),
        None => Ok(()),
    }
}

fn truth(value: &str) -> &'static str {
    if value == "0" { "false" } else { "true" }
}

/// Where marks are understood but not offered, the component has one key for both: it is what
/// the script's own first SYN says.
fn marks<'a>(script: &Script, value: &'a str) -> &'a str {
    let offers = script.events.iter().any(|event| match &event.action {
        Action::Sends(segment) | Action::Arrives(segment) => {
            segment.flags & (SYN | MARKS) == SYN | MARKS
        }
        _ => false,
    });
    if offers { value } else { "0" }
}

/// Both sides of a comparison without what a script for another stack cannot know: the window,
/// PSH, and of options the order, the padding, the window's scale and the clock.
pub fn alike(expected: &mut Segment, sent: &mut Segment) {
    for segment in [&mut *expected, &mut *sent] {
        segment.flags &= !PSH;
        segment.window = None;
        let Some(options) = &mut segment.options else { continue };
        options.retain(|it| !matches!(it, TcpOption::Nop | TcpOption::End));
        for option in options.iter_mut() {
            match option {
                TcpOption::Scale(shift) => *shift = 0,
                TcpOption::Stamps(value, _) => *value = 0,
                _ => {}
            }
        }
        options.sort_by_key(kind);
    }
}

fn kind(option: &TcpOption) -> u8 {
    match option {
        TcpOption::End => 0,
        TcpOption::Nop => 1,
        TcpOption::Mss(_) => 2,
        TcpOption::Scale(_) => 3,
        TcpOption::SackPermitted => 4,
        TcpOption::Sack(_) => 5,
        TcpOption::Stamps(..) => 8,
        TcpOption::Other(kind, _) => *kind,
    }
}

/// Options of the script's own line that are another tool's business.
pub fn option_is_for_the_tool(name: &str) -> bool {
    matches!(name, "local_ip" | "remote_ip" | "strict_segments" | "non_fatal" | "mss")
        || name.starts_with("wire_")
        || name.starts_with("tcp_ts_")
        || name == "gateway_ip"
        || name == "netmask_ip"
}

impl Runner {
    /// What `getsockopt(SO_ERROR)` gives: the error is said once.
    pub fn error_of(&mut self, descriptor: i64) -> &'static str {
        let Some(socket) = self.sockets.get_mut(&descriptor) else { return "EBADF" };
        let Some(stream) = socket.stream else { return "0" };
        if std::mem::replace(&mut socket.error_said, true) {
            return "0";
        }
        match self.host.tcp.status(stream).phase {
            Phase::Reset if socket.opened => "ECONNRESET",
            Phase::Reset => "ECONNREFUSED",
            Phase::TimedOut => "ETIMEDOUT",
            Phase::Unreachable => "EHOSTUNREACH",
            Phase::Opening | Phase::Open | Phase::Closed => {
                socket.error_said = false;
                "0"
            }
        }
    }

    /// Notes which sockets have been open by now.
    pub fn note_opened(&mut self) {
        for Socket { stream, opened, .. } in self.sockets.values_mut() {
            if let Some(stream) = stream {
                *opened |= self.host.tcp.status(*stream).phase == Phase::Open;
            }
        }
    }

    /// `getsockopt` and `ioctl`, which tell a number.
    pub fn told(&mut self, descriptor: i64, name: &str, value: &str) -> Result<(), Problem> {
        let value = value.trim_matches(['[', ']']);
        let stream = self.sockets.get(&descriptor).and_then(|socket| socket.stream);
        let status = stream.map(|stream| self.host.tcp.status(stream)).unwrap_or_default();
        let is = match (name, stream) {
            ("SO_ERROR", _) => self.error_of(descriptor).to_owned(),
            ("TCP_MAXSEG", Some(_)) => status.segment.to_string(),
            ("SIOCINQ" | "FIONREAD", Some(_)) => status.readable.to_string(),
            // How much is kept where is each stack's own affair.
            ("SO_RCVBUF" | "SO_SNDBUF", _) => return Ok(()),
            _ => return Err(Problem::Unsupported(format!("the option `{name}`"))),
        };
        match is == value {
            true => Ok(()),
            false => Err(Problem::Differs(format!("{name} is {is}, not {value}"))),
        }
    }
}

/// When a script's times may be off, said in its own words.
pub fn tolerance(value: &str) -> Option<waitless::Duration> {
    Some(waitless::Duration::from_micros(value.parse().ok()?))
}
