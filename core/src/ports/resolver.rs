use core::fmt;
use core::net::IpAddr;
use heapless::Vec;

/// Finds the addresses that names stand for.
///
/// Who wants to know [`ask`](Self::ask)s and looks in each sweep whether there is an
/// [`answer`](Self::answer): what is known already is there at once, everything else is bounded in
/// time by the provider. Each question takes a place until it was answered or is
/// [`forgotten`](Self::forget).
pub trait ResolverPort {
    /// Begins to look for the addresses of `name` in one version of IP. A name is written as
    /// people write it: `example.org`, with or without a dot at its end; an address stands for
    /// itself.
    fn ask(&mut self, name: &str, family: Family) -> Result<Question, AskError>;

    /// What became of the question, once there is something; then the question is over. One that
    /// is not valid reads as [`NoAddress::Forgotten`].
    fn answer(&mut self, question: Question) -> Option<Result<Addresses, NoAddress>>;

    /// Gives a question up.
    fn forget(&mut self, question: Question);
}

/// A version of IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Version 4.
    V4,
    /// Version 6.
    V6,
}

impl Family {
    /// The version that `address` is one of.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The addresses of a name, one at least, in the order in which a server gave them.
pub type Addresses = Vec<IpAddr, ADDRESSES_MAX>;

/// Addresses of a name in one version of IP; a server's further ones are left out.
pub const ADDRESSES_MAX: usize = 8;

/// A question, as its [`ResolverPort`] knows it: a place and a generation, so that an old handle
/// never reaches a new question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Question {
    /// The place in the provider's table.
    pub index: u16,
    /// How often the place was used before.
    pub generation: u16,
}

/// Why a question could not be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskError {
    /// What was given is not a name: see RFC 1035 section 2.3.1. Letters, digits, hyphens and
    /// underscores are understood, in labels of at most 63, 253 in all.
    BadName,
    /// Too many questions are open.
    Full,
}

/// Why there is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoAddress {
    /// There is no such name.
    NoSuchName,
    /// The name has no address in this version of IP.
    NoneOfFamily,
    /// The servers answered, but could not say.
    Failed,
    /// No server answered in time.
    TimedOut,
    /// No server is known.
    NoServer,
    /// The question is not open.
    Forgotten,
}

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchName => "there is no such name",
            Self::NoneOfFamily => "the name has no address of this kind",
            Self::Failed => "the name servers could not say",
            Self::TimedOut => "no name server answered in time",
            Self::NoServer => "no name server is known",
            Self::Forgotten => "the question is not open",
        })
    }
}
