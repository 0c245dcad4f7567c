//! TCP against the stack of the host's kernel, over a TAP device and over both versions of IP.
//!
//! The graph runs in this process, in real time; the kernel's sockets are this process's, too, and
//! nonblocking. So one thread sees both ends of each connection, and can have both do something
//! at once. `cargo test -p waitless-tests --test kernel -- WORD` runs those whose name contains
//! the word.

mod endings;
mod ends;
mod link;
mod transfers;

use std::process::ExitCode;
use waitless_tests::lab::{self, Need, Test};

/// A TAP device.
const TAP: &[Need] = &[Need::Tap];
/// The same with a capture.
const CAPTURE: &[Need] = &[Need::Tap, Need::Program("tshark"), Need::Program("dumpcap")];

fn main() -> ExitCode {
    lab::main(&[
        Test::new("kernel: bulk both ways, judged by tshark", CAPTURE, transfers::bulk),
        Test::new("kernel: thousands of short connections", CAPTURE, transfers::short_connections),
        Test::new("kernel: a wire that loses, doubles and reorders", TAP, transfers::bad_wires),
        Test::new("kernel: tiny segments", CAPTURE, transfers::tiny_segments),
        Test::new("kernel: windows that close", TAP, transfers::closed_windows),
        Test::new("kernel: half-closed", TAP, endings::half_closed),
        Test::new("kernel: both open at once", TAP, endings::opened_at_once),
        Test::new("kernel: both close at once", CAPTURE, endings::closed_at_once),
        Test::new("kernel: resets and refusals", TAP, endings::resets),
    ])
}
