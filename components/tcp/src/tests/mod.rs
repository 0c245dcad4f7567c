//! Tests of the component as a whole: traces against a fake port, and two ends on a wire.

mod bbr;
mod closing;
#[path = "../../tests/fake/mod.rs"]
mod fake;
mod fuzz;
mod lengths;
mod marks;
mod opening;
mod options;
mod pacing;
mod path;
mod pressure;
mod receiving;
mod recovery;
mod sending;
mod sim;
mod trace;
mod tuning;

use crate::Config;

/// A configuration that lives as long as it must.
fn config(change: impl FnOnce(&mut Config)) -> &'static Config {
    let mut config = Config::DEFAULT;
    change(&mut config);
    std::boxed::Box::leak(std::boxed::Box::new(config))
}
