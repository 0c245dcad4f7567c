//! Queue pairs for the other cores: brought up by the first core with its own, and handed over.

use crate::card::{Card, queue};
use crate::control::Control;
use crate::queue::Queue;
use crate::wire::{command, config, feature};
use crate::{Config, Facts};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use waitless::cores::Slot;
use waitless::cores::flow::{FLOWS, KEY};
use waitless::device::{Dma, Doorbell, HandedOver};
use waitless::{Context, VirtioDevice, VirtioPort, warn};

/// What the drivers on all cores share of one card.
pub(crate) struct Shared {
    /// What each core gets, by its number.
    pub(crate) seats: Vec<Slot<Seat>>,
    pub(crate) link_up: AtomicBool,
    /// A core has seen the device misbehave; the first core is to stop it.
    pub(crate) misbehaved: AtomicBool,
    /// Whether, and how, the device was stopped: [`RUNS`], [`STOPPED`] or [`STUCK`].
    state: AtomicU8,
}

const RUNS: u8 = 0;
const STOPPED: u8 = 1;
const STUCK: u8 = 2;

/// What became of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It runs.
    Runs,
    /// It was reset, and leaves memory alone.
    Stopped,
    /// It does not obey: what it was given must never be used again.
    Stuck,
}

impl Shared {
    pub(crate) fn new(cores: usize) -> Self {
        Self {
            seats: (0..cores).map(|_| Slot::new()).collect(),
            link_up: AtomicBool::new(false),
            misbehaved: AtomicBool::new(false),
            state: AtomicU8::new(RUNS),
        }
    }

    #[inline]
    pub(crate) fn fate(&self) -> Fate {
        match self.state.load(Ordering::Acquire) {
            RUNS => Fate::Runs,
            STOPPED => Fate::Stopped,
            _ => Fate::Stuck,
        }
    }

    /// The device was stopped; `obeyed` says whether it leaves memory alone from now on.
    pub(crate) fn end(&self, obeyed: bool) {
        self.link_up.store(false, Ordering::Relaxed);
        self.state.store(if obeyed { STOPPED } else { STUCK }, Ordering::Release);
    }
}

/// What a core is given of a card that the first core has brought up.
pub(crate) struct Seat {
    pub(crate) facts: Facts,
    /// How many cores have a queue pair: the first so many.
    pub(crate) queues: usize,
    /// Whether every queue can interrupt its core.
    pub(crate) interrupts: bool,
    /// This core's, if it has one.
    pub(crate) pair: Option<Loose>,
}

/// A queue pair that belongs to no core yet.
pub(crate) struct Loose {
    sizes: [u16; 2],
    memory: [HandedOver<Dma>; 2],
    doorbells: [HandedOver<Doorbell>; 2],
    pub(crate) features: u128,
}

impl Loose {
    /// The two queues and their doorbells, on the core that has them from now on.
    pub(crate) fn settle(self) -> Option<([Queue; 2], [Doorbell; 2])> {
        let event_index = self.features & feature::EVENT_IDX != 0;
        let [receive, transmit] = self.memory.map(HandedOver::take);
        let [for_receive, for_transmit] = self.sizes;
        let receive = Queue::new(receive, for_receive, event_index)?;
        let transmit = Queue::new(transmit, for_transmit, event_index)?;
        Some(([receive, transmit], self.doorbells.map(HandedOver::take)))
    }
}

/// The most pairs of a device of which several are used: with more, the control queue would be too
/// far behind for the transports.
const PAIRS_MAX: u16 = 127;

/// What several pairs take of a device.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Pairs that are used.
    pub(crate) pairs: u16,
    /// The number of the control queue.
    control: u16,
    /// Features to accept for it.
    pub(crate) features: u128,
}

impl Plan {
    /// As many pairs as there are cores, or as the device has.
    pub(crate) fn new(
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        offered: u128,
        cores: usize,
    ) -> Self {
        let needed = feature::CTRL_VQ | feature::MQ;
        if cores == 1 || offered & needed != needed {
            return Self { pairs: 1, ..Self::default() };
        }
        // How many queues there are is known once this is agreed to, and not before.
        let there = below.config16(device, config::PAIRS);
        let pairs = there.min(u16::try_from(cores).unwrap_or(u16::MAX));
        if pairs < 2 || there > PAIRS_MAX {
            return Self { pairs: 1, ..Self::default() };
        }
        let features = needed | if spreads(device, below, offered) { feature::RSS } else { 0 };
        Self { pairs, control: 2 * there, features }
    }
}

/// Whether the device can spread flows just as the cores do.
fn spreads(device: VirtioDevice, below: &mut impl VirtioPort, offered: u128) -> bool {
    offered & feature::RSS != 0
        && below.config32(device, config::HASH_TYPES) & command::HASHES == command::HASHES
        && usize::from(below.config16(device, config::TABLE_LENGTH)) >= FLOWS
        && usize::from(below.config8(device, config::KEY_LENGTH)) >= command::KEY_LENGTH
}

/// The pairs behind the first, and the control queue, enabled and ready to be handed over.
pub(crate) struct Others {
    pub(crate) pairs: Vec<Loose>,
    control: Option<Control>,
}

impl Others {
    /// Sets them up, before the device is live. None, where queues cannot be handed over.
    pub(crate) fn enable(
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        plan: Plan,
        features: u128,
        wanted: &Config,
        cx: &mut Context,
    ) -> Result<Self, &'static str> {
        let mut pairs = Vec::new();
        for pair in 1..plan.pairs {
            let Some(pair) = loose(device, below, pair, features, wanted, cx)? else {
                // Without a command, the device keeps to the first pair.
                warn!(cx, "the device's queues cannot be handed to other cores");
                return Ok(Self { pairs: Vec::new(), control: None });
            };
            pairs.push(pair);
        }
        let control = match plan.pairs {
            1 => None,
            _ => Some(Control::enable(device, below, plan.control, cx)?),
        };
        Ok(Self { pairs, control })
    }

    /// Tells the device, which is live, to use them. One that does not keeps to the first pair.
    pub(crate) fn use_all(
        &mut self,
        device: VirtioDevice,
        below: &mut impl VirtioPort,
        plan: Plan,
        cx: &Context,
    ) {
        let Some(mut control) = self.control.take() else { return };
        let command = match plan.features & feature::RSS {
            0 => [&[command::MQ, command::PAIRS_SET][..], &plan.pairs.to_le_bytes()].concat(),
            _ => spread(plan.pairs, cx),
        };
        if !control.asks(device, below, &command) {
            self.pairs.clear();
        }
    }
}

/// Makes the pair numbered `pair`. `None` when it cannot be handed to its core.
fn loose(
    device: VirtioDevice,
    below: &mut impl VirtioPort,
    pair: u16,
    features: u128,
    wanted: &Config,
    cx: &mut Context,
) -> Result<Option<Loose>, &'static str> {
    let core = usize::from(pair);
    let mut memory = Vec::new();
    let mut doorbells = Vec::new();
    for number in [2 * pair, 2 * pair + 1] {
        let made = queue(device, below, number, core, features, wanted, cx)?;
        let size = made.size();
        memory.extend(made.into_memory().hand_over().map(|memory| (size, memory)));
        doorbells.extend(below.doorbell(device, number).and_then(Doorbell::hand_over));
    }
    let (Ok([receive, transmit]), Ok(doorbells)) =
        (<[_; 2]>::try_from(memory), <[_; 2]>::try_from(doorbells))
    else {
        return Ok(None);
    };
    let sizes = [receive.0, transmit.0];
    let memory = [receive.1, transmit.1];
    Ok(Some(Loose { sizes, memory, doorbells, features }))
}

/// Asks the device to send each flow to the pair of its home core (section 5.1.6.5.7.1).
fn spread(pairs: u16, cx: &Context) -> Vec<u8> {
    let mut bytes = Vec::from([command::MQ, command::RSS_CONFIG]);
    bytes.extend(command::HASHES.to_le_bytes());
    bytes.extend((FLOWS as u16 - 1).to_le_bytes());
    // What has no flow is the first core's.
    bytes.extend(0u16.to_le_bytes());
    for flow in 0..FLOWS {
        let home = cx.cores().home(flow as u8);
        bytes.extend(((home % usize::from(pairs)) as u16).to_le_bytes());
    }
    bytes.extend(pairs.to_le_bytes());
    bytes.push(command::KEY_LENGTH as u8);
    bytes.extend(KEY.to_be_bytes().repeat(command::KEY_LENGTH / 2));
    bytes
}

impl Seat {
    /// Leaves each other core what it needs to know.
    pub(crate) fn assign(shared: &Shared, card: &Card, others: Others, interrupts: bool) {
        let queues = 1 + others.pairs.len();
        let mut pairs = others.pairs.into_iter();
        for slot in shared.seats.iter().skip(1) {
            slot.put(Self { facts: card.facts(), queues, interrupts, pair: pairs.next() });
        }
    }
}
