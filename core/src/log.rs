//! Messages with levels, written through the [`Context`](crate::Context).
//!
//! A message costs one comparison when its level is off. Writing one formats text and may wait
//! for a slow console, so it is for what happens rarely; what happens often is counted.

use crate::Instant;
use core::fmt::{self, Arguments};
use core::str::FromStr;

/// How much a message matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something is not as it should be, and works.
    Warn,
    /// What an operator wants to see once.
    Info,
    /// What a developer of the component wants to see.
    Debug,
    /// Everything.
    Trace,
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// Where messages go.
pub trait Sink: Sync {
    /// Writes one line.
    fn write(&self, line: Arguments<'_>);
}

/// A sink and the level up to which messages reach it.
#[derive(Clone, Copy)]
pub struct Log {
    level: Level,
    sink: &'static dyn Sink,
}

impl Log {
    /// Messages up to `level` go to `sink`.
    pub const fn new(level: Level, sink: &'static dyn Sink) -> Self {
        Self { level, sink }
    }

    /// The level up to which messages are written.
    #[inline]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Writes one message, whatever its level.
    #[cold]
    pub fn write(&self, now: Instant, level: Level, target: &'static str, text: Arguments<'_>) {
        self.sink.write(format_args!("[{now:>12}] {level:5} {target}: {text}"));
    }
}

/// Writes a message of a level that is given first: `log!(cx, Level::Info, "…")`.
#[macro_export]
macro_rules! log {
    ($cx:expr, $level:expr, $($text:tt)+) => {
        if $cx.logs($level) {
            $cx.write_log($level, env!("CARGO_PKG_NAME"), format_args!($($text)+));
        }
    };
}

/// Writes a message of level `error`: something does not work.
#[macro_export]
macro_rules! error {
    ($cx:expr, $($text:tt)+) => { $crate::log!($cx, $crate::log::Level::Error, $($text)+) };
}

/// Writes a message of level `warn`: something is not as it should be.
#[macro_export]
macro_rules! warn {
    ($cx:expr, $($text:tt)+) => { $crate::log!($cx, $crate::log::Level::Warn, $($text)+) };
}

/// Writes a message of level `info`: what an operator wants to see once.
#[macro_export]
macro_rules! info {
    ($cx:expr, $($text:tt)+) => { $crate::log!($cx, $crate::log::Level::Info, $($text)+) };
}

/// Writes a message of level `debug`: what a developer of the component wants to see.
#[macro_export]
macro_rules! debug {
    ($cx:expr, $($text:tt)+) => { $crate::log!($cx, $crate::log::Level::Debug, $($text)+) };
}

/// Writes a message of level `trace`: everything.
#[macro_export]
macro_rules! trace {
    ($cx:expr, $($text:tt)+) => { $crate::log!($cx, $crate::log::Level::Trace, $($text)+) };
}
