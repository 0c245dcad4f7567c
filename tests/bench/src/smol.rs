//! The peer: smoltcp, with a server on top that does as little as a server can.

use crate::client::{Host, SERVER, SERVER_MAC};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};
use waitless_bench::wire::Wire;

/// What the server on top does.
#[derive(Clone, Copy)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Answers each request with these bytes. It looks for the end of the head and at nothing
    /// else: the least that HTTP can cost.
    Http(&'static [u8]),
}

/// smoltcp on the wire.
pub struct Smol {
    interface: Interface,
    sockets: SocketSet<'static>,
    handles: Vec<SocketHandle>,
    wire: Wire,
    service: Service,
    /// Where a request is put together. Kept, so that it is not filled with zeroes each time.
    request: Vec<u8>,
    now: i64,
}

impl Smol {
    /// A host with `count` sockets that listen on `port`.
    pub fn new(port: u16, count: usize, service: Service) -> Self {
        let mut wire = Wire::default();
        let address = HardwareAddress::Ethernet(EthernetAddress(SERVER_MAC));
        let mut interface = Interface::new(Config::new(address), &mut wire, Instant::ZERO);
        let [a, b, c, d] = SERVER;
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(Ipv4Address::new(a, b, c, d).into(), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; 4096]);
        let handles = (0..count)
            .map(|_| {
                let mut socket = tcp::Socket::new(buffer(), buffer());
                socket.set_nagle_enabled(false);
                socket.listen(port).expect("a fresh socket listens");
                sockets.add(socket)
            })
            .collect();
        let request = vec![0; 4096];
        Self { interface, sockets, handles, wire, service, request, now: 0 }
    }

    fn serve(&mut self) {
        for handle in &self.handles {
            let socket = self.sockets.get_mut::<tcp::Socket>(*handle);
            if !socket.can_recv() {
                continue;
            }
            // Each request arrives in one piece, but the ring buffer may hold it in two.
            let bytes = &mut self.request;
            let count = socket.recv_slice(bytes).unwrap_or(0);
            let answer = match self.service {
                Service::Echo => &bytes[..count],
                Service::Http(answer) if bytes[..count].ends_with(b"\r\n\r\n") => answer,
                Service::Http(_) => continue,
            };
            let _ = socket.send_slice(answer);
        }
    }
}

impl Host for Smol {
    fn deliver(&mut self, frame: &[u8]) {
        self.wire.deliver(frame);
    }

    #[inline(never)]
    fn work(&mut self, _: u64) {
        self.now += 1;
        let now = Instant::from_micros(self.now);
        let _ = self.interface.poll(now, &mut self.wire, &mut self.sockets);
        self.serve();
        let _ = self.interface.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn sent(&mut self, into: &mut [u8]) -> Option<usize> {
        self.wire.sent(into)
    }
}
