//! The traits through which the generated loop drives a component.

use crate::{Context, CounterSet, Instant};
use core::fmt;

/// A component that stands on the port `Below`.
///
/// The loop sweeps [`receive`](Self::receive) from the wire upwards, then
/// [`transmit`](Self::transmit) back down. One call moves at most one [`BATCH`](crate::BATCH)
/// over an edge, never blocks and, once warmed up, never allocates.
///
/// `Below` is `()` for the lowest, the provider's type for one port, and a tuple of `&mut` for
/// several. A component is made by its own `new(&'static Config, &mut Context) -> Self`, which
/// draws no random numbers: where a component brings the entropy, there is none before `init`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand on `{Below}`",
    note = "the `requires` in its Cargo.toml and its `impl Component<_>` disagree"
)]
pub trait Component<Below: ?Sized> {
    /// Called once, lowest component first. An error keeps the image from starting.
    fn init(&mut self, below: &mut Below, cx: &mut Context) -> Result<(), InitError> {
        let _ = (below, cx);
        Ok(())
    }

    /// The upward half of a sweep: takes what has arrived from `below`.
    fn receive(&mut self, below: &mut Below, cx: &mut Context);

    /// The downward half of a sweep: gives `below` what is to be sent.
    fn transmit(&mut self, below: &mut Below, cx: &mut Context) {
        let _ = (below, cx);
    }

    /// When it next needs a sweep although nothing arrives: [`Instant::ZERO`] when it has work
    /// left now, [`Instant::NEVER`] when it has none.
    fn deadline(&self) -> Instant {
        Instant::NEVER
    }

    /// Called before the core sleeps: a device must interrupt from now on. `false` when
    /// something has arrived already, so that the core must not sleep.
    fn arm(&mut self) -> bool {
        true
    }
}

/// What a component shows of itself to `/metrics`, to the console and to a panic's report.
pub trait Inspect {
    /// Its counters. They live as long as the image, so they can be read while the component
    /// is at work.
    fn counters(&self) -> &'static dyn CounterSet {
        &()
    }
}

/// A whole graph, as the generated code implements it and a platform runs it.
pub trait Sweep {
    /// Brings all instances up, lowest first. `Err` names the instance that could not.
    fn init(&mut self, cx: &mut Context) -> Result<(), (&'static str, InitError)>;
    /// One sweep.
    fn poll(&mut self, cx: &mut Context);
    /// The earliest deadline of all instances.
    fn deadline(&self) -> Instant;
    /// Prepares all instances for sleep; `false` when the core must not.
    fn arm(&mut self) -> bool;
}

/// Why a component cannot start, as a sentence for a person, with the next step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InitError(pub &'static str);

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
