//! Counters with names, units and help, cheap to bump and readable from anywhere.

use core::sync::atomic::{AtomicU64, Ordering};

/// One number that its component alone writes, and anybody may read.
///
/// A bump is a plain load and store, not an atomic read-modify-write: each core has its own.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts `count` more. Wraps after 2^64.
    #[inline]
    pub fn add(&self, count: u64) {
        self.set(self.get().wrapping_add(count));
    }

    /// Counts `count` less, for a gauge.
    #[inline]
    pub fn sub(&self, count: u64) {
        self.set(self.get().wrapping_sub(count));
    }

    /// Makes it `value`, for a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether a number only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// One number with its description.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name, in snake case.
    pub name: &'static str,
    /// What is counted: `packets`, `bytes`, …
    pub unit: &'static str,
    /// One sentence for a person.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: Kind,
    /// The value now.
    pub value: u64,
}

/// All numbers of one instance, in a fixed order.
pub trait CounterSet: Sync {
    /// How many there are.
    fn count(&self) -> usize;
    /// The one at `index`; `None` from [`count`](Self::count) on.
    fn metric(&self, index: usize) -> Option<Metric>;
}

/// The set of an instance that counts nothing.
impl CounterSet for () {
    fn count(&self) -> usize {
        0
    }

    fn metric(&self, _: usize) -> Option<Metric> {
        None
    }
}

/// Two sets as one, one behind the other.
pub struct Both(pub &'static dyn CounterSet, pub &'static dyn CounterSet);

impl CounterSet for Both {
    fn count(&self) -> usize {
        self.0.count() + self.1.count()
    }

    fn metric(&self, index: usize) -> Option<Metric> {
        match index.checked_sub(self.0.count()) {
            None => self.0.metric(index),
            Some(index) => self.1.metric(index),
        }
    }
}

/// Declares a struct of counters and gauges, each with its unit and, as its doc comment, its help.
///
/// ```
/// waitless::counters! {
///     /// What this component counts.
///     pub struct Counters {
///         /// Frames taken from the device.
///         counter received: packets,
///         /// Connections that are open.
///         gauge open: connections,
///     }
/// }
/// let counters = Counters::leak();
/// counters.received.add(2);
/// assert_eq!(counters.received.get(), 2);
/// ```
#[macro_export]
macro_rules! counters {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $set:ident {
            $($(#[doc = $help:literal])+ $kind:ident $name:ident : $unit:ident,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Default, Debug)]
        $visibility struct $set {
            $($(#[doc = $help])+ pub $name: $crate::counter::Counter,)*
        }

        impl $set {
            /// A set at zero that lives as long as the image.
            #[allow(dead_code)]
            pub fn leak() -> &'static Self {
                $crate::counter::leak(Self::default())
            }
        }

        impl $crate::counter::CounterSet for $set {
            fn count(&self) -> usize {
                [$(stringify!($name)),*].len()
            }

            fn metric(&self, index: usize) -> Option<$crate::counter::Metric> {
                const TEXTS: &[$crate::counter::Text] = &[$($crate::counter::Text {
                    all: concat!(stringify!($name), stringify!($unit), $($help),+),
                    name: stringify!($name).len() as u8,
                    unit: stringify!($unit).len() as u8,
                    kind: $crate::counter_kind!($kind),
                }),*];
                TEXTS.get(index)?.metric([$(&self.$name),*].get(index)?)
            }
        }
    };
}

/// What [`counters!`](crate::counters) says of one number: three texts in one, which takes less of
/// an image.
#[doc(hidden)]
#[derive(Debug)]
pub struct Text {
    pub all: &'static str,
    /// Bytes of the name, which comes first.
    pub name: u8,
    /// Bytes of the unit, which is next; the help is the rest.
    pub unit: u8,
    pub kind: Kind,
}

impl Text {
    /// The number with its description.
    pub fn metric(&self, counter: &Counter) -> Option<Metric> {
        let (name, rest) = self.all.split_at_checked(self.name.into())?;
        let (unit, help) = rest.split_at_checked(self.unit.into())?;
        let (kind, value) = (self.kind, counter.get());
        Some(Metric { name, unit, help: help.trim_ascii(), kind, value })
    }
}

/// The [`Kind`] behind a word in [`counters!`](crate::counters).
#[doc(hidden)]
#[macro_export]
macro_rules! counter_kind {
    (counter) => {
        $crate::counter::Kind::Counter
    };
    (gauge) => {
        $crate::counter::Kind::Gauge
    };
}

/// Lets `set` live as long as the image. For start-up: what is leaked is never given back.
pub fn leak<T>(set: T) -> &'static T {
    alloc::boxed::Box::leak(alloc::boxed::Box::new(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    counters! {
        /// An example.
        struct Example {
            /// Things seen,
            /// all of them.
            counter seen: things,
            /// Things here now.
            gauge here: things,
        }
    }

    #[test]
    fn metrics_come_in_order_with_their_descriptions() {
        let example = Example::default();
        example.seen.add(3);
        example.here.set(1);
        assert_eq!(example.count(), 2);
        let seen = example.metric(0).unwrap();
        assert_eq!((seen.name, seen.unit, seen.kind), ("seen", "things", Kind::Counter));
        assert_eq!((seen.help, seen.value), ("Things seen, all of them.", 3));
        assert_eq!(example.metric(1).unwrap().kind, Kind::Gauge);
        assert!(example.metric(2).is_none());
    }

    #[test]
    fn two_sets_are_one() {
        let (first, second) = (Example::leak(), Example::leak());
        second.here.set(4);
        let both = Both(first, second);
        assert_eq!(both.count(), 4);
        let value = |index| both.metric(index).map(|metric| metric.value);
        assert_eq!([0, 3, 4].map(value), [Some(0), Some(4), None]);
    }
}
