//! Whole stacks on a wire, in virtual time: the same seed gives the same run.

mod datagrams;
mod dual;
mod edges;
mod fairness;
mod fetch;
mod goodput;
mod names;
mod secure;
mod soak;
mod streams;
mod web;

/// Seeds of each wire. More when looking for something: `WAITLESS_TEST_SEEDS=500`.
fn seeds() -> std::ops::RangeInclusive<u64> {
    let count = std::env::var("WAITLESS_TEST_SEEDS").ok().and_then(|count| count.parse().ok());
    1..=count.unwrap_or(8)
}
