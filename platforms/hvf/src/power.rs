//! Which cores run, by PSCI (Arm DEN 0022), and how the machine ends.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How a machine ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The image ended with a status; 0 is a success.
    Status(u8),
    /// The image asked to be started again, which nobody here does.
    Reset,
    /// It was ended from here.
    Interrupted,
    /// It did what cannot be gone on with.
    Broken(String),
}

impl End {
    /// The runner's exit status, which means the same as that of an image in QEMU.
    pub fn status(&self) -> u8 {
        match self {
            Self::Status(status) => *status,
            Self::Reset | Self::Interrupted => 0,
            Self::Broken(_) => 1,
        }
    }
}

/// The cores of a machine.
#[derive(Debug)]
pub struct Power {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    cores: Vec<Core>,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Core {
    Off,
    Starting(Start),
    On,
}

/// Where a core begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its first instruction.
    pub entry: u64,
    /// What its X0 holds.
    pub context: u64,
}

/// What a call does to its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It returns this in X0.
    Return(u64),
    /// The core is off.
    Off,
    /// The machine has ended.
    Ended,
}

/// Functions; the bit is what sets those apart that take 64-bit arguments.
mod function {
    pub const BITS_64: u32 = 1 << 30;
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
    pub const VERSION: u32 = 0x8400_0000;
    pub const CPU_OFF: u32 = 0x8400_0002;
    pub const CPU_ON: u32 = 0x8400_0003;
    pub const AFFINITY_INFO: u32 = 0x8400_0004;
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    pub const FEATURES: u32 = 0x8400_000a;
}

/// What calls return (section 5.2.2).
mod result {
    pub const SUCCESS: u64 = 0;
    pub const NOT_SUPPORTED: u64 = -1i64 as u64;
    pub const INVALID_PARAMETERS: u64 = -2i64 as u64;
    pub const ALREADY_ON: u64 = -4i64 as u64;
    pub const ON_PENDING: u64 = -5i64 as u64;
    pub const INVALID_ADDRESS: u64 = -9i64 as u64;
}

/// PSCI 1.1, and version 1.1 of the calling convention.
const VERSION: u64 = 1 << 16 | 1;
/// A trusted system that must be moved between cores: there is none.
const NOTHING_TO_MIGRATE: u64 = 2;
/// Affinity bits of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;
/// Cores of one cluster: as many as an interrupt between cores can name at once.
const CLUSTER: u64 = 16;

/// The affinity of core `index`, as MPIDR_EL1 has it.
pub fn affinity(index: usize) -> u64 {
    let index = index as u64;
    (index / CLUSTER) << 8 | (index % CLUSTER)
}

impl Power {
    /// `cores` cores, all of them off.
    pub fn new(cores: usize) -> Self {
        let state = State { cores: vec![Core::Off; cores], end: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Starts a core, if it is off.
    pub fn start(&self, core: usize, start: Start) {
        let mut state = self.lock();
        if let Some(core @ Core::Off) = state.cores.get_mut(core) {
            *core = Core::Starting(start);
            self.changed.notify_all();
        }
    }

    /// Waits until a core is started; `None` when the machine ends before.
    pub fn wait_for_start(&self, core: usize) -> Option<Start> {
        let mut state = self.lock();
        loop {
            if state.end.is_some() {
                return None;
            }
            if let Some(Core::Starting(start)) = state.cores.get(core).copied() {
                state.cores[core] = Core::On;
                return Some(start);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the machine; the first end counts.
    pub fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }

    /// Whether the machine has ended.
    pub fn is_over(&self) -> bool {
        self.lock().end.is_some()
    }

    /// Waits until the machine ends.
    pub fn wait_for_end(&self) -> End {
        let mut state = self.lock();
        loop {
            if let Some(end) = &state.end {
                return end.clone();
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A call by `core`: X0 to X3. `is_memory` says whether an address can be started at.
    pub fn call(
        &self,
        core: usize,
        arguments: [u64; 4],
        is_memory: impl Fn(u64) -> bool,
    ) -> Outcome {
        let [id, first, second, third] = arguments;
        let id = id as u32;
        let outcome = match id & !function::BITS_64 {
            function::SMCCC_VERSION if id == function::SMCCC_VERSION => VERSION,
            function::VERSION if id == function::VERSION => VERSION,
            function::MIGRATE_INFO_TYPE if id == function::MIGRATE_INFO_TYPE => NOTHING_TO_MIGRATE,
            function::FEATURES if id == function::FEATURES => features(first as u32),
            function::CPU_ON if is_memory(second) => {
                self.turn_on(first, Start { entry: second, context: third })
            }
            function::CPU_ON => result::INVALID_ADDRESS,
            function::AFFINITY_INFO => self.affinity_info(first, second),
            function::CPU_OFF if id == function::CPU_OFF => {
                if let Some(core) = self.lock().cores.get_mut(core) {
                    *core = Core::Off;
                }
                return Outcome::Off;
            }
            function::SYSTEM_OFF if id == function::SYSTEM_OFF => {
                self.end(End::Status(0));
                return Outcome::Ended;
            }
            function::SYSTEM_RESET if id == function::SYSTEM_RESET => {
                self.end(End::Reset);
                return Outcome::Ended;
            }
            _ => result::NOT_SUPPORTED,
        };
        Outcome::Return(outcome)
    }

    fn turn_on(&self, target: u64, start: Start) -> u64 {
        let mut state = self.lock();
        let Some(core) = find(&state, target) else { return result::INVALID_PARAMETERS };
        match state.cores[core] {
            Core::On => result::ALREADY_ON,
            Core::Starting(_) => result::ON_PENDING,
            Core::Off => {
                state.cores[core] = Core::Starting(start);
                self.changed.notify_all();
                result::SUCCESS
            }
        }
    }

    /// 0: on; 1: off; 2: about to be on.
    fn affinity_info(&self, target: u64, level: u64) -> u64 {
        let state = self.lock();
        match find(&state, target).map(|core| state.cores[core]) {
            Some(Core::On) if level == 0 => 0,
            Some(Core::Off) if level == 0 => 1,
            Some(Core::Starting(_)) if level == 0 => 2,
            _ => result::INVALID_PARAMETERS,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(state: &State, target: u64) -> Option<usize> {
    (0..state.cores.len()).find(|&core| affinity(core) == target & AFFINITY)
}

fn features(id: u32) -> u64 {
    let both = [function::CPU_ON, function::AFFINITY_INFO];
    let one = [
        function::SMCCC_VERSION,
        function::VERSION,
        function::CPU_OFF,
        function::MIGRATE_INFO_TYPE,
        function::SYSTEM_OFF,
        function::SYSTEM_RESET,
        function::FEATURES,
    ];
    let known = one.contains(&id) || both.contains(&(id & !function::BITS_64));
    if known { result::SUCCESS } else { result::NOT_SUPPORTED }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(power: &Power, id: u64, arguments: [u64; 3]) -> Outcome {
        let [a, b, c] = arguments;
        power.call(0, [id, a, b, c], |address| address >= 0x4000_0000)
    }

    const ON: u64 = 0xc400_0003;

    #[test]
    fn cores_are_turned_on_once_and_off_again() {
        let power = Power::new(18);
        power.start(0, Start { entry: 1, context: 2 });
        assert_eq!(power.wait_for_start(0), Some(Start { entry: 1, context: 2 }));
        let start = [0x101, 0x4000_1000, 7];
        assert_eq!(call(&power, 0xc400_0004, [0x101, 0, 0]), Outcome::Return(1));
        assert_eq!(call(&power, ON, start), Outcome::Return(0));
        assert_eq!(call(&power, ON, start), Outcome::Return(-5i64 as u64));
        assert_eq!(call(&power, 0xc400_0004, [0x101, 0, 0]), Outcome::Return(2));
        let expected = Start { entry: 0x4000_1000, context: 7 };
        assert_eq!(power.wait_for_start(17), Some(expected), "the second of the second cluster");
        assert_eq!(call(&power, ON, start), Outcome::Return(-4i64 as u64));
        assert_eq!(power.call(17, [0x8400_0002, 0, 0, 0], |_| true), Outcome::Off);
        assert_eq!(call(&power, ON, start), Outcome::Return(0));
        let bit_31 = [0x8000_0101, 0, 0];
        assert_eq!(call(&power, 0xc400_0004, bit_31), Outcome::Return(2), "as MPIDR_EL1 has it");
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let power = Power::new(2);
        for (id, arguments, expected) in [
            (ON, [2, 0x4000_0000, 0], -2),
            (ON, [0x100, 0x4000_0000, 0], -2),
            (ON, [1, 0x1000, 0], -9),
            (0xc400_0004, [0, 1, 0], -2),
            (0xc400_0004, [5, 0, 0], -2),
            (0x8400_0001, [0, 0, 0], -1),
            (0xc400_0008, [0, 0, 0], -1),
            (0, [0, 0, 0], -1),
            (0x8400_0000, [0, 0, 0], 0x1_0001),
            (0x8000_0000, [0, 0, 0], 0x1_0001),
            (0x8400_0006, [0, 0, 0], 2),
            (0x8400_000a, [ON, 0, 0], 0),
            (0x8400_000a, [0x8400_0008, 0, 0], 0),
            (0x8400_000a, [0x8400_0001, 0, 0], -1),
        ] {
            let got = call(&power, id, arguments);
            assert_eq!(got, Outcome::Return(expected as i64 as u64), "{id:#x} {arguments:x?}");
        }
        assert!(!power.is_over());
    }

    #[test]
    fn the_first_end_counts_and_nobody_waits_any_more() {
        let power = Power::new(2);
        std::thread::scope(|scope| {
            let core = scope.spawn(|| power.wait_for_start(1));
            let end = scope.spawn(|| power.wait_for_end());
            assert_eq!(call(&power, 0x8400_0008, [0; 3]), Outcome::Ended);
            power.end(End::Interrupted);
            assert_eq!(core.join().unwrap(), None);
            assert_eq!(end.join().unwrap(), End::Status(0));
        });
        let power = Power::new(1);
        assert_eq!(call(&power, 0x8400_0009, [0; 3]), Outcome::Ended);
        assert_eq!(power.wait_for_end(), End::Reset);
    }
}
