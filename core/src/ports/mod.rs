//! The ports: all that one component may know of another.
//!
//! A port is a mailbox. Every method is O(1), touches only the state of the component that
//! provides it, never blocks, never allocates and never calls further. What cannot be sent now
//! comes back unchanged as `Err`, and is sent in a later sweep or dropped and counted by who
//! holds it then. A provider checks for room **before** it prepends a header.
//!
//! The one exception is [`CertificatePort`], which is for operators and not for the loop.

mod certificates;
mod dual;
mod http;
mod ip;
mod link;
mod nic;
mod pci;
mod resolver;
mod stream;
mod udp;
mod virtio;

pub use certificates::*;
pub use http::*;
pub use ip::*;
pub use link::*;
pub use nic::*;
pub use pci::*;
pub use resolver::*;
pub use stream::*;
pub use udp::*;
pub use virtio::*;
