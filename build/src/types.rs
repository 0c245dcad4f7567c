//! The types of configuration keys: what a manifest may say, and the Rust constant it becomes.

use crate::source::{Node, Span, Value};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The type of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// Files with certificates: a list of the struct with this name at the crate's root.
    Certificates(String),
    /// One of some words: a variant of the enum with this name at the crate's root.
    Choice(Vec<String>, String),
    /// An IPv4 address with the length of its prefix.
    Cidr4,
    /// An IPv6 address with the length of its prefix.
    Cidr6,
    /// A length of time.
    Duration,
    /// A folder whose files are embedded, or `none`.
    Folder,
    /// An IPv4 or IPv6 address.
    Ip,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A list.
    List(Box<Type>),
    /// An Ethernet address.
    Mac,
    /// A value or, for none, a word.
    Or(Box<Type>, String),
    /// Files with the private keys of the certificates.
    PrivateKeys,
    /// An IPv4 network and the router to it.
    Route4,
    /// The SHA-256 of something that is not to be read here.
    Sha256,
    /// Bytes.
    Size,
    /// Files with OCSP responses for the certificates: a list of the struct with this name at the
    /// crate's root, or none in its place.
    Staples(String),
    /// Text.
    String,
    /// Files with the certificates of those who are trusted.
    Trust,
    /// An unsigned number of so many bits.
    Unsigned(u32),
}

/// The types that are called by one word.
pub const NAMES: [&str; 22] = [
    "bool",
    "certificates",
    "cidr4",
    "cidr6",
    "duration",
    "folder",
    "ip",
    "ipv4",
    "ipv6",
    "mac",
    "private-keys",
    "route4",
    "sha256",
    "size",
    "staples",
    "string",
    "trust",
    "u16",
    "u32",
    "u64",
    "u8",
    "[T]",
];

/// A key of a component's configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Field {
    /// Its name, in kebab case.
    pub name: String,
    /// Where it is declared.
    pub at: Span,
    /// Its type.
    pub kind: Type,
    /// The type in the metadata's words.
    pub kind_text: String,
    /// The smallest and the largest number, in the type's smallest unit.
    pub range: Option<(u64, u64)>,
    /// The range in the metadata's words.
    pub range_text: Option<String>,
    /// What it is when the manifest does not say.
    pub default: Option<Node>,
    /// Whether it may be absent without a default.
    pub optional: bool,
    /// What it is for.
    pub doc: String,
    /// Whether it can be set at boot.
    pub boot: bool,
    /// How many bytes of memory each unit of it takes.
    pub memory: Option<u64>,
    /// The key that is not true where it is, both being of type bool.
    pub not_with: Option<String>,
    /// Whether each instance of the component and its forms has a value of its own.
    pub unique: bool,
    /// Whether its value is shown to nobody: not in pictures, nor in what an image says of itself.
    pub secret: bool,
}

/// Why a value does not fit its type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// Where.
    pub at: Span,
    /// What was expected: a noun phrase.
    pub expected: String,
    /// An example, or what to do.
    pub help: String,
}

impl Type {
    /// The type that `text` names; `rust` is the enum's name for a list of words.
    pub fn parse(text: &str, rust: Option<&str>) -> Option<Self> {
        let text = text.trim();
        if let Some(simple) = Self::simple(text) {
            return Some(simple);
        }
        if text == "certificates" {
            return rust.map(|rust| Self::Certificates(rust.to_owned()));
        }
        if text == "staples" {
            return rust.map(|rust| Self::Staples(rust.to_owned()));
        }
        let words: Vec<_> = text.split('|').map(|word| word.trim().to_owned()).collect();
        if words.len() < 2 || !words[1..].iter().all(|word| is_word(word)) {
            return None;
        }
        match (Self::simple(&words[0]), rust) {
            (Some(kind), _) if words.len() == 2 => Some(Self::Or(Box::new(kind), words[1].clone())),
            (None, Some(rust)) if is_word(&words[0]) => Some(Self::Choice(words, rust.to_owned())),
            _ => None,
        }
    }

    fn simple(text: &str) -> Option<Self> {
        if let Some(item) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return Some(Self::List(Box::new(Self::simple(item.trim())?)));
        }
        Some(match text {
            "bool" => Self::Bool,
            "cidr4" => Self::Cidr4,
            "cidr6" => Self::Cidr6,
            "duration" => Self::Duration,
            "folder" => Self::Folder,
            "ip" => Self::Ip,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "mac" => Self::Mac,
            "private-keys" => Self::PrivateKeys,
            "route4" => Self::Route4,
            "sha256" => Self::Sha256,
            "size" => Self::Size,
            "string" => Self::String,
            "trust" => Self::Trust,
            "u8" => Self::Unsigned(8),
            "u16" => Self::Unsigned(16),
            "u32" => Self::Unsigned(32),
            "u64" => Self::Unsigned(64),
            _ => return None,
        })
    }

    /// A range such as `1..=255` or `1ms..`, in the type's smallest unit.
    pub fn range(&self, text: &str) -> Option<(u64, u64)> {
        let number = |text: &str| self.number(text.trim());
        let (low, high) = text.split_once("..")?;
        let low = if low.trim().is_empty() { 0 } else { number(low)? };
        let high = match high.strip_prefix('=') {
            Some(high) => number(high)?,
            None if high.trim().is_empty() => self.largest(),
            None => number(high)?.checked_sub(1)?,
        };
        (low <= high && high <= self.largest()).then_some((low, high))
    }

    fn number(&self, text: &str) -> Option<u64> {
        match self {
            Self::Duration => duration(text),
            Self::List(inner) | Self::Or(inner, _) => inner.number(text),
            Self::Size => size(text),
            Self::String | Self::Unsigned(_) => text.replace('_', "").parse().ok(),
            _ => None,
        }
    }

    fn largest(&self) -> u64 {
        match self {
            Self::List(inner) | Self::Or(inner, _) => inner.largest(),
            Self::Unsigned(bits) => u64::MAX >> (64 - bits),
            _ => u64::MAX,
        }
    }

    /// What a value of the type looks like, for a message.
    fn expected(&self, range: Option<&str>) -> (String, &'static str) {
        let within = range.map_or(String::new(), |range| format!(" in {range}"));
        match self {
            Self::Bool => ("`true` or `false`".into(), ""),
            Self::Choice(words, _) => {
                let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                (words.join(" or "), "")
            }
            Self::Certificates(_) => (
                "a PEM or DER file, or a list of them".into(),
                "such as \"certs/server.pem\"; \"development\" makes a certificate for tests",
            ),
            Self::Cidr4 => ("an IPv4 address with its prefix".into(), "such as \"10.0.0.2/24\""),
            Self::Cidr6 => ("an IPv6 address with its prefix".into(), "such as \"fd00::2/64\""),
            Self::Duration => {
                (format!("a length of time{within}"), "such as \"200ms\", \"5s\", \"2m\" or \"1h\"")
            }
            Self::Folder => {
                ("a folder, or \"none\"".into(), "such as \"www\", beside the manifest")
            }
            Self::Ip => ("an IP address".into(), "such as \"10.0.0.2\" or \"fd00::2\""),
            Self::Ipv4 => ("an IPv4 address".into(), "such as \"10.0.0.2\""),
            Self::Ipv6 => ("an IPv6 address".into(), "such as \"fd00::2\""),
            Self::List(inner) => (format!("a list of {}", inner.plural()), ""),
            Self::Mac => ("an Ethernet address".into(), "such as \"52:54:00:12:34:56\""),
            Self::Or(inner, word) => {
                let (expected, help) = inner.expected(range);
                (format!("{expected}, or \"{word}\""), help)
            }
            Self::PrivateKeys => {
                ("a PEM or DER file for each certificate".into(), "such as \"certs/server.key\"")
            }
            Self::Route4 => {
                let example = "such as \"10.1.0.0/16 via 10.0.0.7\"";
                ("a network and the router to it".into(), example)
            }
            Self::Sha256 => (
                "a SHA-256 of 64 hexadecimal digits".into(),
                "`printf %s TOKEN | sha256sum` prints that of a token",
            ),
            Self::Staples(_) => (
                "a file with an OCSP response for each certificate, or \"none\"".into(),
                "such as \"certs/server.ocsp\"; `openssl ocsp -respout FILE` fetches one",
            ),
            Self::Trust => (
                "a file with certificates, PEM or DER, or a list of them".into(),
                "such as \"certs/roots.pem\"; \"development\" trusts the one for tests",
            ),
            Self::Size => (format!("a size in bytes{within}"), "such as \"64K\", \"4M\" or 4096"),
            Self::String => match range {
                Some(range) => (format!("text of {range} bytes"), ""),
                None => ("text in quotes".into(), ""),
            },
            Self::Unsigned(_) if range.is_some() => (format!("a number{within}"), ""),
            Self::Unsigned(_) => (format!("a number from 0 to {}", self.largest()), ""),
        }
    }

    fn plural(&self) -> &'static str {
        match self {
            Self::Bool => "`true` and `false`",
            Self::Certificates(_) | Self::PrivateKeys | Self::Staples(_) | Self::Trust => "files",
            Self::Choice(..) | Self::Or(..) => "words",
            Self::Cidr4 => "IPv4 addresses with their prefixes",
            Self::Cidr6 => "IPv6 addresses with their prefixes",
            Self::Duration => "lengths of time",
            Self::Folder => "folders",
            Self::Ip | Self::Ipv4 | Self::Ipv6 => "IP addresses",
            Self::List(_) => "lists",
            Self::Mac => "Ethernet addresses",
            Self::Route4 => "networks with the routers to them",
            Self::Sha256 => "SHA-256s",
            Self::Size => "sizes",
            Self::String => "texts",
            Self::Unsigned(_) => "numbers",
        }
    }

    /// The Rust type of the configuration's field; `krate` is the path of the component's crate.
    pub fn rust(&self, krate: &str) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Certificates(name) => format!("&'static [{krate}::{name}]"),
            Self::Staples(name) => format!("&'static [Option<{krate}::{name}>]"),
            Self::PrivateKeys | Self::Trust => "&'static [&'static [u8]]".into(),
            Self::Choice(_, name) => format!("{krate}::{name}"),
            Self::Cidr4 => "(core::net::Ipv4Addr, u8)".into(),
            Self::Cidr6 => "(core::net::Ipv6Addr, u8)".into(),
            Self::Duration => "waitless::Duration".into(),
            Self::Folder => "waitless::http::Files".into(),
            Self::Ip => "core::net::IpAddr".into(),
            Self::Ipv4 => "core::net::Ipv4Addr".into(),
            Self::Ipv6 => "core::net::Ipv6Addr".into(),
            Self::List(inner) => format!("&'static [{}]", inner.rust(krate)),
            Self::Mac => "waitless::Mac".into(),
            Self::Or(inner, _) => format!("Option<{}>", inner.rust(krate)),
            Self::Route4 => "waitless::Ipv4Route".into(),
            Self::Sha256 => "[u8; 32]".into(),
            Self::Size => "u64".into(),
            Self::String => "&'static str".into(),
            Self::Unsigned(bits) => format!("u{bits}"),
        }
    }
}

impl Field {
    /// `node` as a constant expression; `krate` is the path of the component's crate.
    ///
    /// # Errors
    /// Where and why the value does not fit the type or the range.
    pub fn expression(&self, node: &Node, krate: &str) -> Result<String, Misfit> {
        let inner = self.of_type(&self.kind, node, krate)?;
        Ok(if self.is_option() { format!("Some({inner})") } else { inner })
    }

    /// Whether its value names files, which are read elsewhere.
    pub fn is_of_files(&self) -> bool {
        matches!(
            self.kind,
            Type::Certificates(_)
                | Type::Folder
                | Type::PrivateKeys
                | Type::Staples(_)
                | Type::Trust
        )
    }

    /// The expression for a value that is written without quotes, as in `when`; `at` is where.
    ///
    /// # Errors
    /// As [`Field::expression`].
    pub fn of_word(&self, word: &str, at: Span) -> Result<String, Misfit> {
        let number = word.replace('_', "").parse().map(Value::Integer).ok();
        let switch = word.parse().map(Value::Bool).ok();
        let text = Value::String(word.to_owned());
        let fit = [number, switch]
            .into_iter()
            .flatten()
            .find_map(|value| self.expression(&Node { value, at }, "").ok());
        fit.map_or_else(|| self.expression(&Node { value: text, at }, ""), Ok)
    }

    /// What reads a value that is said at boot, in the generated code; `None` for types of which
    /// none can be.
    pub fn boot_parser(&self) -> Option<String> {
        let parser = self.parser(&self.kind)?;
        Some(if self.is_option() { format!("boot::some({parser})") } else { parser })
    }

    fn parser(&self, kind: &Type) -> Option<String> {
        let (least, most) = self.range.unwrap_or((0, kind.largest()));
        let range = format!("{}, {}", grouped(least), limit(most));
        Some(match kind {
            Type::Bool | Type::Ip | Type::Ipv4 | Type::Ipv6 => "boot::parsed".to_owned(),
            Type::Certificates(_)
            | Type::Choice(..)
            | Type::Cidr6
            | Type::Folder
            | Type::List(_)
            | Type::PrivateKeys
            | Type::Route4
            | Type::Sha256
            | Type::Staples(_)
            | Type::Trust => return None,
            Type::Cidr4 => "boot::cidr4".to_owned(),
            Type::Duration => format!("boot::duration({range})"),
            Type::Mac => "boot::mac".to_owned(),
            Type::Or(inner, word) => format!("boot::or({word:?}, {})", self.parser(inner)?),
            Type::Size => format!("boot::size({range})"),
            Type::String => format!("boot::text({range})"),
            Type::Unsigned(_) => format!("boot::number({range})"),
        })
    }

    /// What a value looks like, for a message.
    pub fn expected(&self) -> String {
        self.kind.expected(self.range_text.as_deref()).0.replace('"', "'")
    }

    /// Whether the Rust field is an `Option` because the key may be absent.
    pub fn is_option(&self) -> bool {
        self.optional && self.default.is_none() && !matches!(self.kind, Type::Or(..))
    }

    /// From now on, only a value is taken and no word for none.
    pub fn take_no_word(&mut self) {
        if let Type::Or(inner, _) = &self.kind {
            (self.kind, self.default, self.optional) = (inner.as_ref().clone(), None, true);
        }
    }

    /// The number that the value stands for, in the type's smallest unit.
    pub fn number(&self, node: &Node) -> Option<u64> {
        match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Other(text) => text.parse().ok(),
            Value::String(text) => self.kind.number(text),
            _ => None,
        }
    }

    fn of_type(&self, kind: &Type, node: &Node, krate: &str) -> Result<String, Misfit> {
        let misfit = || {
            let (expected, help) = kind.expected(self.range_text.as_deref());
            Misfit { at: node.at, expected, help: help.to_owned() }
        };
        let ranged = |number: u64| match self.range {
            Some((low, high)) if number < low || number > high => Err(misfit()),
            _ => Ok(number),
        };
        match (kind, &node.value) {
            (Type::Bool, Value::Bool(value)) => Ok(value.to_string()),
            (Type::Choice(words, rust), Value::String(text)) => {
                let word = words.iter().find(|word| *word == text).ok_or_else(misfit)?;
                Ok(format!("{krate}::{rust}::{}", camel(word)))
            }
            (Type::List(inner), Value::Array(items)) => {
                let each = items.iter().map(|item| self.of_type(inner, item, krate));
                Ok(format!("&[{}]", each.collect::<Result<Vec<_>, _>>()?.join(", ")))
            }
            (Type::Or(_, word), Value::String(text)) if word == text => Ok("None".into()),
            (Type::Or(inner, _), _) => match self.of_type(inner, node, krate) {
                Ok(value) => Ok(format!("Some({value})")),
                Err(_) => Err(misfit()),
            },
            (Type::Size | Type::Unsigned(_), Value::Integer(number)) => {
                let number = u64::try_from(*number).map_err(|_| misfit())?;
                if number > kind.largest() {
                    return Err(misfit());
                }
                ranged(number).map(grouped)
            }
            (Type::Size | Type::Unsigned(64), Value::Other(text)) => {
                text.parse().map_err(|_| misfit()).and_then(ranged).map(grouped)
            }
            (_, Value::String(text)) => {
                scalar(kind, text, &ranged).unwrap_or_else(|| Err(misfit()))
            }
            _ => Err(misfit()),
        }
    }
}

/// A value that is written as text. `None` when it is not of the type.
fn scalar(
    kind: &Type,
    text: &str,
    ranged: &dyn Fn(u64) -> Result<u64, Misfit>,
) -> Option<Result<String, Misfit>> {
    Some(match kind {
        Type::Cidr4 => {
            let (address, prefix) = text.split_once('/')?;
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix = prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 32)?;
            Ok(format!("({}, {prefix})", ipv4(address)))
        }
        Type::Cidr6 => {
            let (address, prefix) = text.split_once('/')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let prefix = prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 128)?;
            Ok(format!("({}, {prefix})", ipv6(address)))
        }
        Type::Duration => ranged(duration(text)?).map(duration_expression),
        // What is one is seen to where it is known whose it is.
        Type::Folder => (text == "none").then(|| Ok("waitless::http::Files::NONE".to_owned()))?,
        Type::Ip => Ok(match text.parse().ok()? {
            IpAddr::V4(address) => format!("core::net::IpAddr::V4({})", ipv4(address)),
            IpAddr::V6(address) => format!("core::net::IpAddr::V6({})", ipv6(address)),
        }),
        Type::Ipv4 => Ok(ipv4(text.parse().ok()?)),
        Type::Ipv6 => Ok(ipv6(text.parse().ok()?)),
        Type::Mac => {
            let parts: Option<Vec<u8>> = text
                .split(':')
                .map(|part| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2))
                .collect();
            let parts = parts.filter(|parts| parts.len() == 6)?;
            let parts: Vec<_> = parts.iter().map(|part| format!("{part:#04x}")).collect();
            Ok(format!("waitless::Mac([{}])", parts.join(", ")))
        }
        Type::Route4 => {
            let (network, via) = text.split_once(" via ")?;
            let (network, bits) = network.trim().split_once('/')?;
            let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= 32)?;
            let network: Ipv4Addr = network.parse().ok()?;
            // Bits of a host in a network are a mistake, of whatever kind.
            let host = network.to_bits() & u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let via = via.trim().parse().ok().filter(|_| host == 0)?;
            Ok(format!("({}, {bits}, {})", ipv4(network), ipv4(via)))
        }
        Type::Sha256 => {
            // Pairs of digits alone: no sign stands in one.
            let pairs = text.as_bytes().chunks(2).filter(|pair| pair.len() == 2);
            let pairs = pairs.map(|pair| str::from_utf8(pair).ok().filter(|it| is_hex(it)));
            let bytes: Vec<_> =
                pairs.map(|it| Some(format!("0x{}", it?))).collect::<Option<_>>()?;
            (text.len() == 64).then(|| Ok(format!("[{}]", bytes.join(", "))))?
        }
        Type::Size => ranged(size(text)?).map(grouped),
        Type::String => ranged(text.len() as u64).map(|_| format!("{text:?}")),
        _ => return None,
    })
}

fn ipv4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("core::net::Ipv4Addr::new({a}, {b}, {c}, {d})")
}

fn ipv6(address: Ipv6Addr) -> String {
    let parts = address.segments().map(|part| format!("{part:#x}"));
    format!("core::net::Ipv6Addr::new({})", parts.join(", "))
}

/// Nanoseconds.
pub fn duration(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(unit)
}

fn duration_expression(nanos: u64) -> String {
    let units = [("secs", 1_000_000_000), ("millis", 1_000_000), ("micros", 1_000), ("nanos", 1)];
    let fits = |(_, unit): &&(&str, u64)| nanos.is_multiple_of(*unit);
    let (name, unit) = units.iter().find(fits).unwrap_or(&("nanos", 1));
    format!("waitless::Duration::from_{name}({})", grouped(nanos / unit))
}

/// Bytes.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return None,
    };
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(unit)
}

/// Bytes of the memory of a virtual machine, as QEMU takes it: a number alone is one of MiB.
pub fn memory_size(text: &str) -> Option<u64> {
    match text.chars().all(|c| c.is_ascii_digit()) {
        true => size(&format!("{text}M")),
        false => size(&text.to_uppercase().replace("IB", "iB")),
    }
}

/// Bytes as a person writes them: `64 KiB`.
pub fn bytes(count: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if count >= 1 << shift {
            let tenths = (u128::from(count) * 10) >> shift;
            let fraction =
                if tenths.is_multiple_of(10) { String::new() } else { format!(".{}", tenths % 10) };
            return format!("{}{fraction} {unit}", tenths / 10);
        }
    }
    format!("{count} bytes")
}

/// The largest number that a key takes; without a bound of its own, all there are.
fn limit(number: u64) -> String {
    if number == u64::MAX { "u64::MAX".to_owned() } else { grouped(number) }
}

/// A number with its thousands apart, as clippy wants long ones.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// Whether all of `text` is hexadecimal.
fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether `text` is a word of manifests: lower-case letters, digits and hyphens.
pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Whether no name in Rust can be `word`.
pub(crate) fn is_keyword(word: &str) -> bool {
    KEYWORDS.split(' ').any(|keyword| keyword == word)
}

/// Rust's own words, and those that it keeps for itself.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield";

/// `new-reno` as `NewReno`.
pub fn camel(word: &str) -> String {
    let part = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    word.split('-').map(part).collect()
}
