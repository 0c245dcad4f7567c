//! Finds out how fast the processor's counter runs.
//!
//! The processor or a hypervisor often says so. Where neither does, a few milliseconds are
//! compared with a clock of known speed.

use crate::acpi::Register;
use crate::apic::LocalApic;
use crate::clock::{frequency, from_crystal, from_paravirtual};
use crate::cpu::{Features, cpuid, ticks_in_order};
use crate::{kvm, machine};
use x86_64::instructions::port::Port;

/// How long a comparison takes.
const WINDOW_MICROS: u64 = 4_000;
/// Readings per end of the window, of which the quickest counts.
const READINGS: usize = 5;
/// How often a reference is read before it counts as stopped.
const PATIENCE: u32 = 1_000_000;

/// The frequency of the processor's counter, and sets that of the timer in `apic`, if it needs
/// one. `reference` is a clock from the firmware's tables. `None` when nothing tells the time.
pub(crate) fn run(
    features: &Features,
    apic: &mut LocalApic,
    reference: Option<(Register, bool)>,
) -> Option<u64> {
    let known = told(features);
    if let Some(hertz) = known
        && !apic.needs_frequency()
    {
        return Some(hertz);
    }
    apic.start_counter();
    let first = apic.counter();
    let (ticks, timer, hertz) = match known {
        Some(hertz) => {
            let start = ticks_in_order();
            let end = start + hertz / 1_000_000 * (WINDOW_MICROS / 4);
            while ticks_in_order() < end {}
            (ticks_in_order() - start, apic.counter() - first, hertz)
        }
        None => {
            let mut window = None;
            if let Some((register, long)) = reference {
                window = compare(&Reference::Firmware(register, long), apic);
            }
            let (ticks, timer, hertz) = window.or_else(|| compare(&Reference::pit(), apic))?;
            (ticks, timer, hertz)
        }
    };
    if let Some(timer) = frequency(timer, ticks, hertz) {
        apic.set_frequency(timer);
    }
    Some(hertz)
}

/// What the processor or the hypervisor says.
fn told(features: &Features) -> Option<u64> {
    let crystal = cpuid(0x15).and_then(|leaf| from_crystal(leaf.eax, leaf.ebx, leaf.ecx));
    if crystal.is_some() || !features.hypervisor {
        return crystal;
    }
    let timing = cpuid(0x4000_0010).map(|leaf| u64::from(leaf.eax) * 1_000);
    if let Some(hertz) = timing.filter(|&hertz| hertz != 0) {
        return Some(hertz);
    }
    kvm::clock_scale().and_then(|(scale, shift)| from_paravirtual(scale, shift))
}

/// A clock of known speed.
enum Reference {
    /// The firmware's timer, and whether it has 32 bits.
    Firmware(Register, bool),
    /// Channel 2 of the old timer, counting down from 65536.
    Pit,
}

impl Reference {
    /// Starts channel 2 of the old timer: gate on, speaker off, mode 2, the longest period.
    fn pit() -> Self {
        // SAFETY: these are the old timer's ports, or nobody's. Nothing else uses channel 2.
        unsafe {
            let mut gate = Port::<u8>::new(0x61);
            let old = gate.read();
            gate.write(old & !2 | 1);
            Port::<u8>::new(0x43).write(0xb4);
            Port::<u8>::new(0x42).write(0);
            Port::<u8>::new(0x42).write(0);
        }
        Self::Pit
    }

    fn hertz(&self) -> u64 {
        match self {
            Self::Firmware(..) => 3_579_545,
            Self::Pit => 1_193_182,
        }
    }

    fn read(&self) -> u64 {
        match *self {
            Self::Firmware(Register::Port(port), _) => {
                // SAFETY: the firmware's tables name this port; reading a timer changes nothing.
                unsafe { Port::<u32>::new(port).read() }.into()
            }
            Self::Firmware(Register::Memory(address), _) => {
                let memory = machine::try_map(address, 4);
                memory.map_or(0, |memory| memory.read32((address % 4096) as usize).into())
            }
            // SAFETY: latches channel 2 and reads the two halves of its count.
            Self::Pit => unsafe {
                Port::<u8>::new(0x43).write(0x80);
                let mut channel = Port::<u8>::new(0x42);
                u64::from(!u16::from_le_bytes([channel.read(), channel.read()]))
            },
        }
    }

    /// How far it went from `start` to `end`, both read from it.
    fn passed(&self, start: u64, end: u64) -> u64 {
        let mask = match self {
            Self::Firmware(_, true) => u64::from(u32::MAX),
            Self::Firmware(_, false) => (1 << 24) - 1,
            Self::Pit => u64::from(u16::MAX),
        };
        end.wrapping_sub(start) & mask
    }
}

/// One moment, as all clocks see it.
struct Moment {
    ticks: u64,
    timer: u64,
    reference: u64,
}

/// Reads all clocks as close together as they can be read: the quickest of a few tries.
fn moment(reference: &Reference, apic: &LocalApic) -> Moment {
    let readings = core::array::from_fn::<_, READINGS, _>(|_| {
        let before = ticks_in_order();
        let value = reference.read();
        let after = ticks_in_order();
        let timer = apic.counter();
        (after - before, Moment { ticks: before + (after - before) / 2, timer, reference: value })
    });
    let quickest = readings.into_iter().min_by_key(|(width, _)| *width);
    quickest.map_or(Moment { ticks: 0, timer: 0, reference: 0 }, |(_, moment)| moment)
}

/// Ticks of the counter and of the timer in one window, and the counter's frequency; `None`
/// when the reference stands still.
fn compare(reference: &Reference, apic: &LocalApic) -> Option<(u64, u64, u64)> {
    let window = reference.hertz() * WINDOW_MICROS / 1_000_000;
    let start = moment(reference, apic);
    let running = || reference.passed(start.reference, reference.read()) >= window;
    (0..PATIENCE).find(|_| running())?;
    let end = moment(reference, apic);
    let known = reference.passed(start.reference, end.reference);
    let (ticks, timer) = (end.ticks - start.ticks, end.timer - start.timer);
    Some((ticks, timer, frequency(ticks, known, reference.hertz())?))
}
