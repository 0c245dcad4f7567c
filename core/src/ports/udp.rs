use crate::Packet;
use crate::network::names::NameServers;
use core::net::SocketAddr;

/// Datagrams, for the services that stand on UDP.
pub trait UdpPort {
    /// Claims the local port `port` on every address; 0 claims a free one.
    fn bind(&mut self, port: u16) -> Result<Socket, BindError>;

    /// Claims a free local port for an exchange with `remote`: one that nobody outside can guess
    /// (RFC 6056), and to which answers come on this core.
    fn bind_towards(&mut self, remote: SocketAddr) -> Result<Socket, BindError> {
        let _ = remote;
        self.bind(0)
    }

    /// Gives a port back: what waits for it is dropped, and `socket` may be another's from now
    /// on. A provider that cannot do so keeps it.
    fn release(&mut self, socket: Socket) {
        let _ = socket;
    }

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

    /// Who knows the addresses of names, as far as the network below has said so; `None` where
    /// it says nothing of that.
    fn name_servers(&self) -> Option<&NameServers> {
        None
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
