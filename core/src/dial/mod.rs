//! Connections that handlers begin: [`Dialer::connect`] takes a name and a port, and gives a
//! [`Connection`] to read from and write to.
//!
//! A handler never holds a port. It shares a few mailboxes with the component that dials for it
//! (`components/dial`), which finds the addresses of names, connects, and moves packets between
//! the mailboxes and TCP. They are [`Line`]s, all made at the start; a line serves one connection
//! after the other.
//!
//! ```
//! use waitless::http::{Problem, Request, Status};
//!
//! /// What a server says of its own accord, or why not.
//! async fn banner(request: Request) -> Result<waitless::Packet, Problem> {
//!     let silent = || Problem { status: Status::BAD_GATEWAY, reason: "it says nothing" };
//!     let connected = request.connect("mail.example.org:25").await;
//!     let mut connection = connected.map_err(|_| silent())?;
//!     let first = connection.recv().await.map_err(|_| silent())?;
//!     first.ok_or_else(silent)
//! }
//! # let _ = banner;
//! ```

mod connection;
mod line;
#[cfg(test)]
mod tests;

pub use connection::Connection;
pub(crate) use connection::Unsent;
pub use line::{Line, Work};

use crate::task::Task;
use crate::{NoAddress, Pool};
use alloc::boxed::Box;
use core::cell::Cell;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

/// The lines of one core, as handlers and the component that serves them see them.
pub struct Dialer {
    lines: Box<[Line]>,
    /// Lines for which there is something to do, by bit.
    work: Box<[Cell<u64>]>,
    waiting: Cell<u32>,
    /// The line that is looked at first: not always the first of all, or the last would wait for as
    /// long as the others have something to do.
    next: Cell<usize>,
}

/// Why there is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialError {
    /// No component dials in this image: it has no instance of `dial`, or for secure connections
    /// none on a `tls-client`.
    NoDialer,
    /// What was given is not `NAME:PORT` or `ADDRESS:PORT`.
    BadTarget,
    /// All lines are in use.
    Full,
    /// The name has no address.
    NoAddress(NoAddress),
    /// No route leads to any of its addresses.
    NoRoute,
    /// All that answered refused.
    Refused,
    /// None answered in time.
    TimedOut,
    /// One answered, but there is no secure connection to it, and this is why.
    Insecure(&'static str),
}

/// How a connection ended otherwise than in agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// The other side reset it.
    Reset,
    /// The other side did not answer any more.
    TimedOut,
    /// The path failed.
    Unreachable,
    /// This side has said already that nothing follows.
    Finished,
}

/// The longest name or address that can be dialled, in bytes.
pub const TARGET_MAX: usize = 255;

impl Dialer {
    /// So many lines, which live as long as the image.
    pub fn leak(lines: usize, pool: Pool) -> &'static Self {
        let work = lines.div_ceil(64);
        Box::leak(Box::new(Self {
            lines: (0..lines).map(|index| Line::new(index as u32, pool)).collect(),
            work: (0..work).map(|_| Cell::new(0)).collect(),
            waiting: Cell::new(0),
            next: Cell::new(0),
        }))
    }

    /// Connects to `target`: a name or an address, a colon, and a port; an IPv6 address stands in
    /// brackets. Where a name has several addresses, the first that answers is taken.
    pub async fn connect(&'static self, target: &str) -> Result<Connection, DialError> {
        let (host, port) = split(target).ok_or(DialError::BadTarget)?;
        self.connect_to(host, port).await
    }

    /// The same for a name or an address that was taken apart, without brackets.
    pub(crate) async fn connect_to(
        &'static self,
        host: &str,
        port: u16,
    ) -> Result<Connection, DialError> {
        let line = self.lines.iter().find(|line| line.is_free()).ok_or(DialError::Full)?;
        // From here on the line is given back when the handler goes away.
        let connection = Connection::begin(self, line, host, port);
        poll_fn(|cx| match line.outcome() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                line.wait(Task::expect(cx));
                Poll::Pending
            }
        })
        .await?;
        Ok(connection)
    }

    /// The lines, for who serves them.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether a line has something to do for who serves it.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.waiting.get() > 0
    }

    /// The next line for which there is something to do.
    pub fn next_work(&self) -> Option<&Line> {
        if self.waiting.get() == 0 {
            return None;
        }
        let (count, next) = (self.lines.len(), self.next.get());
        // The word of `next` twice: its end first, and its beginning last.
        let (words, end) = (self.work.len(), u64::MAX << (next % 64));
        let line = (0..=words).find_map(|step| {
            let at = (next / 64 + step) % words;
            let those = if step == 0 { end } else { u64::MAX };
            let due = self.work.get(at)?.get() & those;
            (due != 0).then(|| at * 64 + due.trailing_zeros() as usize)
        })?;
        let word = self.work.get(line / 64)?;
        word.set(word.get() & !(1 << (line % 64)));
        self.waiting.set(self.waiting.get() - 1);
        self.next.set(if line + 1 < count { line + 1 } else { 0 });
        self.lines.get(line)
    }

    /// Has a line looked after.
    pub(crate) fn touch(&self, line: u32) {
        let Some(word) = self.work.get(line as usize / 64) else { return };
        let bit = 1 << (line % 64);
        if word.get() & bit == 0 {
            word.set(word.get() | bit);
            self.waiting.set(self.waiting.get() + 1);
        }
    }
}

/// The host and the port in a target.
fn split(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        // Without brackets one could not tell where the address ends.
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty() && host.len() <= TARGET_MAX).then_some((host, port))
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDialer => "this image has no instance of `dial` for that",
            Self::BadTarget => "a target is NAME:PORT, ADDRESS:PORT or [ADDRESS]:PORT",
            Self::Full => "too many connections",
            Self::NoAddress(why) => return why.fmt(f),
            Self::NoRoute => "no route leads there",
            Self::Refused => "it refuses",
            Self::TimedOut => "it does not answer",
            Self::Insecure(why) => why,
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "the other side reset the connection",
            Self::TimedOut => "the other side does not answer any more",
            Self::Unreachable => "the path has failed",
            Self::Finished => "nothing may follow",
        })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("lines", &self.lines.len()).finish_non_exhaustive()
    }
}
