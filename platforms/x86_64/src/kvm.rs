//! What KVM tells its guests of time.

use crate::cpu::{cpuid, ticks};
use crate::image::physical_address;
use crate::paravirtual;
use core::cell::UnsafeCell;
use platform_machine::clock::time_of_day;
use x86_64::registers::model_specific::Msr;

/// The page of this core's clock. Layout and meaning are KVM's.
#[repr(C, align(64))]
struct Clock(UnsafeCell<[u32; 8]>);

// SAFETY: read volatile and by one core; the hypervisor is the only writer, while that core is
// not running.
unsafe impl Sync for Clock {}

static CLOCK: Clock = Clock(UnsafeCell::new([0; 8]));
static WALL: Clock = Clock(UnsafeCell::new([0; 8]));

const SIGNATURE: [u32; 3] =
    [u32::from_le_bytes(*b"KVMK"), u32::from_le_bytes(*b"VMKV"), u32::from_le_bytes(*b"M\0\0\0")];
const CLOCK_FEATURE: u32 = 1 << 3;
const WIDE_IDS: u32 = 1 << 15;
const WALL_MSR: u32 = 0x4b56_4d00;
const CLOCK_MSR: u32 = 0x4b56_4d01;

/// What KVM offers; nothing where there is none.
fn features() -> u32 {
    let base = cpuid(0x4000_0000).map(|leaf| [leaf.ebx, leaf.ecx, leaf.edx]);
    let features = cpuid(0x4000_0001).map_or(0, |leaf| leaf.eax);
    if base == Some(SIGNATURE) { features } else { 0 }
}

/// Whether the messages of devices can name cores by 15 bits.
pub(crate) fn takes_wide_ids() -> bool {
    features() & WIDE_IDS != 0
}

/// The words of the clock page, taken when the hypervisor was not writing them.
fn read(clock: &Clock) -> Option<[u32; 8]> {
    for _ in 0..1_000 {
        // SAFETY: the page is static; the hypervisor may change it, hence volatile.
        let (before, words, after) = unsafe {
            let page = clock.0.get();
            let version = page.cast::<u32>();
            (version.read_volatile(), page.read_volatile(), version.read_volatile())
        };
        if before == after && before & 1 == 0 {
            return Some(words);
        }
    }
    None
}

/// What makes nanoseconds of ticks: a factor over 2^32 and a shift before.
pub(crate) fn clock_scale() -> Option<(u32, i8)> {
    let clock = paravirtual::Clock::read(clock()?);
    Some((clock.scale, clock.shift))
}

fn clock() -> Option<[u32; 8]> {
    if features() & CLOCK_FEATURE == 0 {
        return None;
    }
    // SAFETY: the register takes the physical address of a static page, aligned as it must be;
    // bit 0 turns it on. The hypervisor writes there, and nobody else uses it.
    unsafe { Msr::new(CLOCK_MSR).write(physical_address(CLOCK.0.get()) | 1) };
    read(&CLOCK).filter(|words| words[6] != 0)
}

/// Seconds since 1970, now.
pub(crate) fn wall_clock() -> Option<u64> {
    let clock = clock()?;
    // SAFETY: as for the clock; this one is written once, at this moment.
    unsafe { Msr::new(WALL_MSR).write(physical_address(WALL.0.get())) };
    let wall = read(&WALL)?;
    // A page that nobody wrote to is 1970.
    paravirtual::Clock::read(clock).wall_clock(wall, ticks()).and_then(time_of_day)
}
