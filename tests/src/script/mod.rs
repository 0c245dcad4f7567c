//! Scripts of what passes a TCP connection, in the syntax of packetdrill: segments that arrive,
//! segments that must be sent, and calls of the service, each at its time. They drive the real
//! component in virtual time, so a run takes no time and is the same each time.
//!
//! ```text
//! --nagle=true                                     // a key of the component's configuration
//! 0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
//! +0   bind(3, ..., ...) = 0
//! +0   listen(3, 1) = 0
//! +0   < S 0:0(0) win 1000 <mss 1000>              // arrives
//! +0   > S. 0:0(0) ack 1 <...>                     // must be sent now, with any options
//! +.1  < . 1:1(0) ack 1 win 1000
//! +0   accept(3, ..., ...) = 4
//! +0   write(4, ..., 2000) = 2000
//! +0   > P. 1:2001(2000) ack 1                     // two segments: as a card would cut it
//! +.2~+.3 > . 1:1001(1000) ack 1                   // somewhen in between
//! +0   %{ timeouts == 1; phase == open }%          // a counter of the component's, the status
//! ```
//!
//! Sequence numbers count from each side's SYN. Payloads have bytes that depend on their place in
//! the stream, and are checked both ways. Every segment that is sent must be expected, and at its
//! time, within `--tolerance` (2 ms, the component's timers being as coarse as one).
//!
//! A call may wait: `0...0.2 read(4, ..., 10) = 10` returns within that time.
//!
//! Scripts that others wrote for another stack run by [`run_foreign`], which compares less:
//! `docs/scripts.md` says what.
//!
//! What differs from packetdrill: a call stands for what the component's port offers (`close` for
//! giving the connection up, `shutdown` for ending its own side), so few options of sockets exist;
//! `%{ … }%` compares counters and is not Python; commands for a shell are skipped; a segment may
//! say its ports (`< 4001>80 S 0:0(0) …`), for scripts with several clients. The clock of the
//! other side's sequence numbers begins shortly before 2^32, so all of them wrap.

mod calls;
mod foreign;
mod host;
mod parse;
mod run;
mod segment;
mod syntax;
#[cfg(test)]
mod tests;
mod text;
mod waits;

pub use parse::parse;
pub use run::{run, run_foreign};
pub use syntax::{Mistake, Problem, Script};
