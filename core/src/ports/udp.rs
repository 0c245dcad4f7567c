use crate::Packet;

/// Datagrams, for the services that stand on UDP.
pub trait UdpPort {
    /// Claims the local port `port` on every address; 0 claims a free one.
    fn bind(&mut self, port: u16) -> Result<Socket, BindError>;

    /// The next datagram for `socket`, UDP header stripped; `info()` has both addresses and
    /// ports.
    fn recv(&mut self, socket: Socket) -> Option<Packet>;

    /// Queues a datagram to `info().remote` and `info().remote_port`. The local address is
    /// `info().local`, chosen where it is unspecified; the local port is the socket's. `Err`
    /// when there is no room now. A received datagram that is sent back goes to its sender.
    fn send(&mut self, socket: Socket, datagram: Packet) -> Result<(), Packet>;

    /// The local port of `socket`.
    fn local_port(&self, socket: Socket) -> u16;

    /// The longest payload that fits into one packet to a host whose path takes `mtu` bytes is
    /// `mtu` minus this: UDP's header and that of IP below.
    fn overhead(&self) -> usize {
        28
    }
}

/// A bound port, as its [`UdpPort`] knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Socket(pub usize);

/// Why a port cannot be bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BindError {
    /// Somebody in this image has it.
    Taken,
    /// The table of bound ports is full.
    Full,
    /// The host below refuses.
    Refused,
}
