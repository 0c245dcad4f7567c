//! What the user can choose when starting the process.

use crate::ports::Ports;
use waitless::log::Level;

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// To run the graph.
    Run(Options),
    /// To explain itself.
    Help,
}

/// How to run the graph.
#[derive(Debug)]
pub struct Options {
    /// The level up to which messages are written; `None` leaves it to the keys.
    pub log: Option<Level>,
    /// Where the image's ports are on the host.
    pub ports: Ports,
    /// Packet buffers; `None` leaves it to the manifest.
    pub packets: Option<usize>,
    /// Words `instance.key=value`, parted by spaces.
    pub keys: String,
    /// The file that the secrets of TLS connections are written to.
    pub key_log: Option<String>,
}

pub const HELP: &str = "\
Options (each can also be set by the variable in brackets):
  --log LEVEL     error, warn, info, debug or trace; info by default [WAITLESS_LOG]
  --ports MAP     where the image's ports are on this host [WAITLESS_PORTS]. A list such as
                  80=8080,7/udp=7007; with `same` in it, ports that are not listed are the same
                  as the image's. Otherwise TCP's 80 is 8080 and 443 is 8443, UDP's 7 is 7007,
                  and any other port below 1024 is 8000 more, because these belong to root
  --packets N     packet buffers, 2 KiB each [WAITLESS_PACKETS]
  --set KEY=VALUE a key of the manifest that can be set at boot, such as http.port=81; may be
                  repeated [WAITLESS_SET, several parted by spaces]
  --help          this text

With a file's name in the variable SSLKEYLOGFILE, the secrets of TLS connections are added to that
file: whoever has them can read all that passes. Wireshark does.";

impl Options {
    /// Reads the command line, and from the environment what the command line leaves open.
    pub fn parse(
        mut arguments: impl Iterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Command, String> {
        let mut log = variable("WAITLESS_LOG");
        let mut ports = variable("WAITLESS_PORTS");
        let mut packets = variable("WAITLESS_PACKETS");
        let mut keys = variable("WAITLESS_SET").unwrap_or_default();
        let mut set = None;
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (argument, None),
            };
            let choice = match name.as_str() {
                "--log" => &mut log,
                "--ports" => &mut ports,
                "--packets" => &mut packets,
                "--set" => &mut set,
                "--help" | "-h" => return Ok(Command::Help),
                _ => return Err(format!("`{name}` is no option of this image\n\n{HELP}")),
            };
            let value = value.or_else(|| arguments.next());
            *choice = Some(value.ok_or_else(|| format!("`{name}` needs a value\n\n{HELP}"))?);
            if let Some(word) = set.take() {
                keys += &format!(" {word}");
            }
        }
        Ok(Command::Run(Self {
            log: log.map(|level| parse_level(&level)).transpose()?,
            ports: Ports::parse(ports.as_deref().unwrap_or_default())?,
            keys,
            packets: packets.map(|count| parse_packets(&count)).transpose()?,
            key_log: variable("SSLKEYLOGFILE").filter(|file| !file.is_empty()),
        }))
    }
}

fn parse_level(text: &str) -> Result<Level, String> {
    text.parse().map_err(|()| {
        format!("`{text}` is no level of messages: use error, warn, info, debug or trace")
    })
}

fn parse_packets(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (64..=10_000_000).contains(count));
    count.ok_or_else(|| format!("`{text}` is no number of packets: use 64 to 10000000"))
}
