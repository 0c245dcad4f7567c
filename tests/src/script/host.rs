//! The component, with queues below it and virtual time around it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tcp::{Config, Tcp};
use waitless::{
    ClaimState, Component, Context, Duration, Inspect, Instant, IpPort, Ipv4Configuration, Mac,
    Offloads, Packet, PathError, PathErrorKind, Protocol, Reject, Service, StreamPort, testing,
};

/// The two addresses of a script.
#[derive(Clone, Copy)]
pub struct Ends {
    /// That of the host with the component.
    pub local: IpAddr,
    /// That of the one whom the script plays.
    pub remote: IpAddr,
}

impl Ends {
    /// Two addresses of IPv4.
    pub const V4: Self = Self {
        local: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        remote: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
    };
    /// Two addresses of IPv6.
    pub const V6: Self = Self {
        local: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
        remote: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    };
}

/// Packets of the component's host.
const PACKETS: usize = 2048;
/// Sweeps at one time; more than any batch needs.
const SWEEPS_MAX: usize = 256;
/// Times at which something is due, between two events of a script.
const WAKES_MAX: usize = 100_000;

/// A segment that was sent, and when.
pub struct Sent {
    pub at: Instant,
    pub class: u8,
    pub bytes: Vec<u8>,
}

/// The component and what surrounds it.
pub struct Host {
    pub tcp: Tcp,
    pub service: Service,
    pub cx: Context,
    pub ends: Ends,
    ip: Ip,
    /// What was sent and no line has looked at.
    pub sent: VecDeque<Sent>,
}

impl Host {
    pub fn new(config: Config, mtu: u16, ends: Ends) -> Self {
        let mut cx = testing::context(PACKETS, 1);
        // The clock of timestamps is that of the begin: zero would be a special value.
        cx.set_now(Instant::from_nanos(BEGIN_NANOS));
        let mut tcp = Tcp::new(Box::leak(Box::new(config)), &mut cx);
        let (inbox, errors, sent) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        let mut ip = Ip { inbox, errors, sent, mtu, ends };
        let ready = tcp.init(&mut ip, &mut cx);
        assert!(ready.is_ok(), "{ready:?}");
        let service = tcp.attach().expect("the first service has room");
        Self { tcp, service, cx, ends, ip, sent: VecDeque::new() }
    }

    /// When scripts begin.
    pub fn begin() -> Instant {
        Instant::from_nanos(BEGIN_NANOS)
    }

    pub fn now(&self) -> Instant {
        self.cx.now()
    }

    /// A segment comes, with its mark; the next sweep is what looks at it.
    pub fn comes(&mut self, bytes: &[u8], class: u8) -> Result<(), String> {
        let mut packet = self.cx.packet().ok_or("the component keeps all packets")?;
        packet.append(bytes).map_err(|_| "a segment that long does not fit into a packet")?;
        packet.info_mut().local = self.ends.local;
        packet.info_mut().remote = self.ends.remote;
        packet.info_mut().class = class;
        self.ip.inbox.push_back(packet);
        Ok(())
    }

    /// An ICMP error arrives about a segment whose header began with these bytes.
    pub fn error(&mut self, kind: PathErrorKind, header: [u8; 8]) {
        let Ends { local, remote } = self.ends;
        self.ip.errors.push_back(PathError { kind, local, remote, header });
        self.sweep();
    }

    /// Sweeps until nothing is left that can be done now.
    pub fn sweep(&mut self) {
        for _ in 0..SWEEPS_MAX {
            self.tcp.receive(&mut self.ip, &mut self.cx);
            self.tcp.transmit(&mut self.ip, &mut self.cx);
            while let Some(packet) = self.ip.sent.pop_front() {
                let (class, bytes) = (packet.info().class, packet.bytes().to_vec());
                self.sent.push_back(Sent { at: self.cx.now(), class, bytes });
            }
            let due = Component::<Ip>::deadline(&self.tcp) <= self.cx.now();
            if self.ip.inbox.is_empty() && !due {
                return;
            }
        }
    }

    /// Lets time pass, with a sweep at each deadline on the way, until `until` or until
    /// something was sent.
    pub fn wait_for_segment(&mut self, until: Instant) {
        for _ in 0..WAKES_MAX {
            let next = Component::<Ip>::deadline(&self.tcp);
            if !self.sent.is_empty() || next > until {
                return;
            }
            self.cx.set_now(next.max(self.cx.now()));
            self.sweep();
        }
    }

    /// Lets time pass until `until`.
    pub fn wait(&mut self, until: Instant) {
        for _ in 0..WAKES_MAX {
            let next = Component::<Ip>::deadline(&self.tcp);
            if next > until {
                break;
            }
            self.cx.set_now(next.max(self.cx.now()));
            self.sweep();
        }
        self.cx.set_now(until.max(self.cx.now()));
    }

    /// A counter of the component's.
    pub fn counter(&self, name: &str) -> Option<u64> {
        let set = Inspect::counters(&self.tcp);
        let found = (0..set.count()).filter_map(|at| set.metric(at)).find(|it| it.name == name);
        found.map(|it| it.value)
    }
}

const BEGIN_NANOS: u64 = Duration::from_secs(1_000).as_nanos();

/// An IP layer that is nothing but queues.
struct Ip {
    inbox: VecDeque<Packet>,
    errors: VecDeque<PathError>,
    sent: VecDeque<Packet>,
    mtu: u16,
    ends: Ends,
}

impl IpPort for Ip {
    fn recv(&mut self, _: Protocol) -> Option<Packet> {
        self.inbox.pop_front()
    }

    fn send(&mut self, _: Protocol, packet: Packet) -> Result<(), Packet> {
        self.sent.push_back(packet);
        Ok(())
    }

    fn room(&self) -> usize {
        waitless::BATCH
    }

    fn source_for(&self, _: IpAddr) -> Option<IpAddr> {
        Some(self.ends.local)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address == self.ends.local
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        address.is_multicast()
    }

    fn mtu(&self, _: IpAddr) -> u16 {
        self.mtu
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    fn reject(&mut self, _: Protocol, _: Packet, _: Reject) {}

    fn rejected(&mut self) -> Option<(Packet, Reject)> {
        None
    }

    fn report(&mut self, _: Protocol, error: PathError) {
        self.errors.push_back(error);
    }

    fn path_error(&mut self, _: Protocol) -> Option<PathError> {
        self.errors.pop_front()
    }

    fn wants_address(&self) -> bool {
        false
    }

    fn configure(&mut self, _: Option<Ipv4Configuration>) {}

    fn configuration(&self) -> Option<&Ipv4Configuration> {
        None
    }

    fn claim_state(&self) -> ClaimState {
        ClaimState::Owned
    }

    fn generation(&self) -> u32 {
        0
    }

    fn mac(&self) -> Mac {
        Mac([2, 0, 0, 0, 0, 1])
    }
}
