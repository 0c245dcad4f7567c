//! The card of a simulated host, and what the host has in common with the simulation.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use waitless::{Component, Context, Inspect, Instant, Mac, NicPort, Packet};

/// Frames that a card holds each way.
const FRAMES_MAX: usize = 256;
/// The longest payload of a frame.
const MTU: u16 = 1500;

/// What the simulation and the components of one host share: the only way between them.
pub struct Socket(Mutex<State>);

thread_local! {
    static CURRENT: Cell<Option<&'static Socket>> = const { Cell::new(None) };
}

/// What is on both sides of it.
pub struct State {
    /// The number of the host, from 1: the last byte of its addresses.
    pub number: u8,
    /// Frames for the host.
    pub arrived: VecDeque<Vec<u8>>,
    /// Frames from it.
    pub leaving: VecDeque<Vec<u8>>,
    /// Frames that found no room in the card, or no buffer.
    pub overruns: u64,
    /// What its visitor is to do, and what came of it.
    pub plan: crate::visitor::Plan,
}

impl Socket {
    /// The socket of host `number`, whose visitor does what `plan` says.
    pub fn new(number: u8, plan: crate::visitor::Plan) -> Self {
        let (arrived, leaving) = (VecDeque::new(), VecDeque::new());
        Self(Mutex::new(State { number, arrived, leaving, overruns: 0, plan }))
    }

    /// The socket of the host that is being made. Its components find each other here: they
    /// are made by code that knows neither the simulation nor its hosts.
    pub fn current() -> &'static Self {
        CURRENT.get().unwrap_or_else(|| Self::new(1, crate::visitor::Plan::default()).enter())
    }

    /// Makes it the one of the host that is made next. It is never given back.
    pub fn enter(self) -> &'static Self {
        let socket: &'static Self = Box::leak(Box::new(self));
        CURRENT.set(Some(socket));
        socket
    }

    /// What is in it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        // One thread uses it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A card on the wire of the simulation.
pub struct Plug {
    socket: &'static Socket,
    mac: Mac,
    arrived: VecDeque<Packet>,
}

/// Nothing can be set.
#[derive(Debug)]
pub struct PlugConfig {}

impl Plug {
    /// The card of the host that is being made.
    pub fn new(_: &'static PlugConfig, _: &mut Context) -> Self {
        let socket = Socket::current();
        let mac = Mac([2, 0, 0, 0, 0, socket.state().number]);
        Self { socket, mac, arrived: VecDeque::new() }
    }
}

impl Component<()> for Plug {
    fn receive(&mut self, (): &mut (), cx: &mut Context) {
        let mut state = self.socket.state();
        while self.arrived.len() < FRAMES_MAX
            && let Some(frame) = state.arrived.pop_front()
        {
            let packet = cx.packet().and_then(|mut packet| {
                packet.append(&frame).ok()?;
                Some(packet)
            });
            match packet {
                Some(packet) => self.arrived.push_back(packet),
                None => state.overruns += 1,
            }
        }
    }

    fn deadline(&self) -> Instant {
        let idle = self.arrived.is_empty() && self.socket.state().arrived.is_empty();
        if idle { Instant::NEVER } else { Instant::ZERO }
    }
}

impl NicPort for Plug {
    fn mac(&self) -> Mac {
        self.mac
    }

    fn mtu(&self) -> u16 {
        MTU
    }

    fn recv(&mut self) -> Option<Packet> {
        self.arrived.pop_front()
    }

    fn send(&mut self, frame: Packet) -> Result<(), Packet> {
        if self.room() == 0 {
            return Err(frame);
        }
        let bytes = frame.bytes().to_vec();
        self.socket.state().leaving.push_back(bytes);
        Ok(())
    }

    fn room(&self) -> usize {
        FRAMES_MAX.saturating_sub(self.socket.state().leaving.len())
    }
}

impl Inspect for Plug {}
