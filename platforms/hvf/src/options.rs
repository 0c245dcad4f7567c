//! The command line.

use crate::layout;
use crate::network::{Forward, Protocol};
use std::path::PathBuf;

/// What is printed for `--help`.
pub const HELP: &str = "\
Runs an aarch64 image in a virtual machine of macOS on Apple silicon.

Usage: hvf-runner [OPTION]... IMAGE

  --cores N            cores, 1 to 64 [1]
  --memory SIZE        memory: 16M, 2G, … [128M]
  --append TEXT        the image's command line
  --tcp HOST:GUEST     a TCP port of this machine that leads to one of the image's; may be repeated
  --udp HOST:GUEST     the same for UDP
  --help               this

The exit status is the image's: 0 after a clean end, 3 after a panic, 5 when it could not start;
0 after Ctrl-C; 1 when it did what cannot be gone on with; 2 when it was not started at all.";

/// What the user wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The image's file.
    pub image: PathBuf,
    /// Cores, 1 to 64.
    pub cores: usize,
    /// Bytes of memory, a multiple of 1 MiB.
    pub memory: u64,
    /// The image's command line.
    pub append: String,
    /// The ports of this machine that lead to the image's.
    pub forwards: Vec<Forward>,
}

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Run an image.
    Run(Options),
    /// Print [`HELP`].
    Help,
}

/// Cores of a machine at most.
const CORES_MAX: usize = 64;
/// The least memory: an image and its device tree.
const MEMORY_MIN: u64 = 4 << 20;

impl Command {
    /// Understands the command line, without the program's name.
    ///
    /// # Errors
    /// One line with what would be right.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut image = None;
        let (mut cores, mut memory, mut append) = (1, 128 << 20, String::new());
        let mut forwards = Vec::new();
        while let Some(argument) = arguments.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (&*argument, None),
            };
            let value = || {
                let value = attached.or_else(|| arguments.next());
                value.ok_or_else(|| format!("{name} needs a value; see --help"))
            };
            match name {
                "--help" | "-h" => return Ok(Self::Help),
                "--cores" => cores = parse_cores(&value()?)?,
                "--memory" => memory = parse_memory(&value()?)?,
                "--append" => append = parse_append(value()?)?,
                "--tcp" => forwards.push(parse_forward(Protocol::Tcp, &value()?)?),
                "--udp" => forwards.push(parse_forward(Protocol::Udp, &value()?)?),
                _ if name.starts_with('-') => {
                    return Err(format!("there is no option {name}; see --help"));
                }
                _ if image.is_none() => image = Some(PathBuf::from(&argument)),
                _ => return Err(format!("`{argument}`: there is one image only; see --help")),
            }
        }
        let image = image.ok_or("which image? see --help")?;
        Ok(Self::Run(Options { image, cores, memory, append, forwards }))
    }
}

fn parse_cores(text: &str) -> Result<usize, String> {
    let cores = text.parse().ok().filter(|cores| (1..=CORES_MAX).contains(cores));
    cores.ok_or_else(|| format!("--cores {text}: a number from 1 to {CORES_MAX} is expected"))
}

/// A number of bytes, or of MiB or GiB with a suffix, as QEMU has it: alone it is MiB.
fn parse_memory(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "M" | "MiB" => Some(20),
        "G" | "GiB" => Some(30),
        "K" | "KiB" => Some(10),
        _ => None,
    };
    let number = digits.parse::<u64>().ok();
    let bytes = number.zip(shift).and_then(|(number, shift)| number.checked_mul(1 << shift));
    // The memory ends with a megabyte; a part of one is not missed.
    let bytes = bytes.map(|bytes| bytes & !((1 << 20) - 1));
    let fits = bytes.filter(|bytes| (MEMORY_MIN..=layout::MEMORY_MAX).contains(bytes));
    fits.ok_or_else(|| format!("--memory {text}: a size from 4M to 511G is expected"))
}

fn parse_append(text: String) -> Result<String, String> {
    match text.len() <= 2048 && !text.contains('\0') {
        true => Ok(text),
        false => Err("--append: at most 2048 bytes are expected, none of them zero".into()),
    }
}

fn parse_forward(protocol: Protocol, text: &str) -> Result<Forward, String> {
    let ports = text.split_once(':').and_then(|(host, guest)| {
        let (host, guest) = (host.parse().ok()?, guest.parse::<u16>().ok()?);
        (guest != 0).then_some(Forward { protocol, host, guest })
    });
    ports.ok_or_else(|| format!("`{text}` is no pair of ports: write HOST:GUEST, as in 8080:80"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Command, String> {
        Command::parse(arguments.iter().map(|argument| argument.to_string()))
    }

    #[test]
    fn everything_can_be_chosen() {
        let forward = |protocol, host, guest| Forward { protocol, host, guest };
        let arguments =
            ["--cores=4", "--memory", "64M", "--tcp", "8080:80", "--udp=7007:7", "--append", "a=b"];
        let expected = Options {
            image: "app".into(),
            cores: 4,
            memory: 64 << 20,
            append: "a=b".into(),
            forwards: vec![forward(Protocol::Tcp, 8080, 80), forward(Protocol::Udp, 7007, 7)],
        };
        let arguments = [&arguments[..], &["app"]].concat();
        assert_eq!(parse(&arguments), Ok(Command::Run(expected)));
        assert_eq!(parse(&["app", "--help"]), Ok(Command::Help));
    }

    #[test]
    fn sizes_are_as_qemu_has_them() {
        for (text, mebibytes) in [("16", 16), ("16M", 16), ("2G", 2048), ("5000K", 4)] {
            assert_eq!(parse_memory(text), Ok(mebibytes << 20), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_right() {
        for (arguments, part) in [
            (&[][..], "which image"),
            (&["--cores", "0", "x"], "1 to 64"),
            (&["--cores", "65", "x"], "1 to 64"),
            (&["--cores"], "needs a value"),
            (&["--memory", "3M", "x"], "4M to 511G"),
            (&["--memory", "99999999999G", "x"], "4M to 511G"),
            (&["--memory", "12T", "x"], "4M to 511G"),
            (&["--tcp", "80", "x"], "HOST:GUEST"),
            (&["--udp", "7:0", "x"], "HOST:GUEST"),
            (&["--append", "a\0", "x"], "none of them zero"),
            (&["--nonsense", "x"], "no option"),
            (&["x", "y"], "one image only"),
        ] {
            let error = parse(arguments).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
