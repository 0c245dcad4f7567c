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
        test("kernel: bulk both ways, judged by tshark", CAPTURE, transfers::bulk),
        test("kernel: thousands of short connections", CAPTURE, transfers::short_connections),
        test("kernel: a wire that loses, doubles and reorders", TAP, transfers::bad_wires),
        test("kernel: tiny segments", CAPTURE, transfers::tiny_segments),
        test("kernel: windows that close", TAP, transfers::closed_windows),
        test("kernel: half-closed", TAP, endings::half_closed),
        test("kernel: both open at once", TAP, endings::opened_at_once),
        test("kernel: both close at once", CAPTURE, endings::closed_at_once),
        test("kernel: resets and refusals", TAP, endings::resets),
    ])
}

fn test(name: &'static str, needs: &'static [Need], run: fn(&lab::Lab)) -> Test {
    let (name, run) = (name.to_owned(), Box::new(run));
    Test { name, of: None, needs, on_demand: false, run }
}
