//! HTTP/1.1 on the wire: what its servers and its clients have in common.
//!
//! Nothing here knows of connections, time or tasks: bytes go in, and what they mean comes out.

mod body;
pub mod chunked;
mod codings;
mod host;
mod input;
mod memory;
pub mod scan;

pub use body::{Framing, NoPacket, Taken, copy, split_off};
pub use codings::{Codings, Options, length};
pub use host::is_host;
pub use input::{Input, NoMemory};
pub use memory::{Budget, Memory, OVERHEAD, try_extend};
