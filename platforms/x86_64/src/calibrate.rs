//! Finds out how fast the processor's counter runs.
//!
//! The processor or a hypervisor often says so. Where neither does, a few milliseconds are
//! compared with a clock of known speed ([`window`]).

use crate::acpi::Register;
use crate::apic::LocalApic;
use crate::cpu::{Features, cpuid, ticks_in_order};
use crate::frequency::{from_crystal, from_paravirtual};
use crate::{kvm, machine, window};
use x86_64::instructions::port::Port;

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
    let found = match known {
        Some(hertz) => compare(&Reference::Processor(hertz), apic),
        None => {
            let firmware = reference.map(|(register, long)| Reference::Firmware(register, long));
            let found = firmware.and_then(|firmware| compare(&firmware, apic));
            found.or_else(|| compare(&Reference::pit(), apic))
        }
    };
    let (hertz, timer) = found?;
    apic.set_frequency(timer);
    Some(known.unwrap_or(hertz))
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
    /// The processor's counter itself, of this frequency.
    Processor(u64),
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
            Self::Processor(hertz) => *hertz,
            Self::Firmware(..) => 3_579_545,
            Self::Pit => 1_193_182,
        }
    }

    fn read(&self) -> u64 {
        match *self {
            Self::Processor(_) => ticks_in_order(),
            Self::Firmware(Register::Port(port), _) => {
                // SAFETY: the firmware's tables name this port; reading a timer changes nothing.
                unsafe { Port::<u32>::new(port).read() }.into()
            }
            Self::Firmware(Register::Memory(address), _) => {
                let memory = machine::try_map(address, 4);
                memory.map_or(0, |memory| memory.read32(0).into())
            }
            // SAFETY: latches channel 2 and reads the two halves of its count.
            Self::Pit => unsafe {
                Port::<u8>::new(0x43).write(0x80);
                let mut channel = Port::<u8>::new(0x42);
                u64::from(!u16::from_le_bytes([channel.read(), channel.read()]))
            },
        }
    }

    /// The bits that its count has.
    fn mask(&self) -> u64 {
        match self {
            Self::Processor(_) => u64::MAX,
            Self::Firmware(_, true) => u64::from(u32::MAX),
            Self::Firmware(_, false) => (1 << 24) - 1,
            Self::Pit => u64::from(u16::MAX),
        }
    }
}

/// The frequencies of the processor's counter and of the timer, by `reference`; `None` when that
/// stands still.
fn compare(reference: &Reference, apic: &LocalApic) -> Option<(u64, u64)> {
    let (hertz, mask, read) = (reference.hertz(), reference.mask(), || reference.read());
    let clock = window::Reference { hertz, mask, read: &read };
    window::compare(clock, &|| apic.counter(), &ticks_in_order)
}
