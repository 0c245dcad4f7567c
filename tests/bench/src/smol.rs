//! The peer: smoltcp, with a server on top that does as little as a server can.

use crate::client::{Host, SERVER, SERVER_MAC};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr, Ipv4Address};
use std::cell::RefCell;
use std::collections::VecDeque;

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
        let mut buffer = self.wire.spare.get_mut().pop().unwrap_or_default();
        buffer.clear();
        buffer.extend(frame);
        self.wire.arrived.push_back(buffer);
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
        let frame = self.wire.sent.pop_front()?;
        into[..frame.len()].copy_from_slice(&frame);
        let length = frame.len();
        self.wire.spare.get_mut().push(frame);
        Some(length)
    }
}

/// Two queues of frames, whose buffers are used again.
#[derive(Default)]
struct Wire {
    arrived: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    spare: RefCell<Vec<Vec<u8>>>,
}

struct Arrived<'a>(Vec<u8>, &'a RefCell<Vec<Vec<u8>>>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>, &'a RefCell<Vec<Vec<u8>>>);

impl Device for Wire {
    type RxToken<'a> = Arrived<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived<'_>, Sending<'_>)> {
        let frame = self.arrived.pop_front()?;
        Some((Arrived(frame, &self.spare), Sending(&mut self.sent, &self.spare)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent, &self.spare))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, run: F) -> R {
        let result = run(&self.0);
        self.1.borrow_mut().push(self.0);
        result
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, run: F) -> R {
        let mut buffer = self.1.borrow_mut().pop().unwrap_or_default();
        buffer.resize(length, 0);
        let result = run(&mut buffer);
        self.0.push_back(buffer);
        result
    }
}
