//! What a script says.

use waitless::Duration;

/// A script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Lines such as `--nagle=true`: the line's number, the name, the value.
    pub options: Vec<(usize, String, String)>,
    /// Commands for a shell that stand before the first event, with their lines.
    pub setup: Vec<(usize, String)>,
    /// What happens, in order.
    pub events: Vec<Event>,
}

/// Something that happens, or must.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// The line where it begins, from 1.
    pub line: usize,
    /// When.
    pub time: Time,
    /// What.
    pub action: Action,
}

/// When something happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// From when on.
    pub from: Base,
    /// Until when, where that is not the same: `0.1~0.2` for packets, `0...0.2` for calls that
    /// wait. Counts from where `from` does.
    pub until: Option<Duration>,
}

/// What a time counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// The begin of the script.
    Begin(Duration),
    /// The event before.
    Before(Duration),
    /// Any time from the event before on.
    Any,
}

/// What happens.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// A segment arrives.
    Arrives(Segment),
    /// A segment must be sent.
    Sends(Segment),
    /// An ICMP error arrives.
    Error(Error),
    /// The service calls.
    Call(Call),
    /// Something must be so: the text within `%{` and `}%`.
    Assert(String),
    /// A command for a shell, which is not run.
    Shell(String),
}

/// A segment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Both ports, the sender's first, where they are said.
    pub ports: Option<(u16, u16)>,
    /// The mark in the IP header (RFC 3168 section 5), where it is said.
    pub mark: Option<u8>,
    /// The control bits.
    pub flags: u8,
    /// The first sequence number and how many bytes of payload follow.
    pub sequence: u32,
    /// Bytes of payload.
    pub length: u32,
    /// The acknowledgement.
    pub acknowledgement: Option<u32>,
    /// The window, not scaled; any where it is not said.
    pub window: Option<u16>,
    /// The options; `None` for any.
    pub options: Option<Vec<TcpOption>>,
}

/// An option of a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TcpOption {
    /// Padding.
    Nop,
    /// The end of all options.
    End,
    /// The longest segment.
    Mss(u16),
    /// The window's scale.
    Scale(u8),
    /// Selective acknowledgements are understood.
    SackPermitted,
    /// What has arrived, from and to.
    Sack(Vec<(u32, u32)>),
    /// Timestamps: the sender's clock and the receiver's.
    Stamps(u32, u32),
    /// Another one, by its number and bytes.
    Other(u8, Vec<u8>),
}

/// An ICMP error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Error {
    /// What it says.
    pub kind: ErrorKind,
    /// The sequence number of the segment that it is about.
    pub sequence: u32,
}

/// What an ICMP error says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// Unreachable, with the code.
    Unreachable(u8),
    /// Longer than the next link takes, which is said.
    TooBig(u16),
    /// Too many routers, or too long for fragments to come together, with the code.
    TimeExceeded(u8),
    /// Something in a header.
    Parameter,
    /// What hosts ignore: source quench, and what concerns other layers.
    Ignored,
}

/// A call of the service's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The arguments, as they are written.
    pub arguments: Vec<String>,
    /// What it gives: `None` for anything.
    pub result: Option<i64>,
    /// Why it fails.
    pub error: Option<String>,
}

/// Control bits by their letters.
pub const FLAGS: [(char, u8); 8] =
    [('F', 1), ('S', 2), ('R', 4), ('P', 8), ('.', 16), ('U', 32), ('E', 64), ('W', 128)];

/// Where a script is wrong, or what it says is not so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// It is not as the script says.
    Differs(String),
    /// The script asks for something that is not here: what.
    Unsupported(String),
}

impl From<String> for Problem {
    fn from(what: String) -> Self {
        Self::Differs(what)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Differs(what) => f.write_str(what),
            Self::Unsupported(what) => write!(f, "{what} is not supported"),
        }
    }
}
