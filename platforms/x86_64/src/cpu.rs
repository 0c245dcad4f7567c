//! What the processor can do, and turning it on.

use core::arch::x86_64::{__cpuid, __cpuid_count, _mm_lfence, _rdtsc, CpuidResult};
use x86_64::registers::control::{Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::registers::xcontrol::{XCr0, XCr0Flags};

/// What of the processor's abilities matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) no_execute: bool,
    pub(crate) huge_pages: bool,
    pub(crate) x2apic: bool,
    pub(crate) deadline_timer: bool,
    pub(crate) rdrand: bool,
    pub(crate) rdseed: bool,
    pub(crate) hypervisor: bool,
    xsave: bool,
    avx: bool,
    avx512: bool,
}

impl Features {
    /// Asks the processor.
    pub(crate) fn read() -> Self {
        let one = cpuid(1).unwrap_or(NOTHING);
        let seven = cpuid(7).unwrap_or(NOTHING);
        let extended = cpuid(0x8000_0001).unwrap_or(NOTHING);
        let bit = |register: u32, number: u32| register >> number & 1 != 0;
        Self {
            no_execute: bit(extended.edx, 20),
            huge_pages: bit(extended.edx, 26),
            x2apic: bit(one.ecx, 21),
            deadline_timer: bit(one.ecx, 24),
            rdrand: bit(one.ecx, 30),
            rdseed: bit(seven.ebx, 18),
            hypervisor: bit(one.ecx, 31),
            xsave: bit(one.ecx, 26),
            avx: bit(one.ecx, 28),
            avx512: bit(seven.ebx, 16),
        }
    }

    /// Lets code use the vector registers there are (the entry code did SSE), and pages say
    /// that they hold no code.
    pub(crate) fn enable(&self) {
        // SAFETY: no page table in use has the bit set yet, and the processor knows it.
        unsafe { Efer::update(|flags| flags.insert(EferFlags::NO_EXECUTE_ENABLE)) };
        if !self.xsave {
            return;
        }
        // SAFETY: the processor has it; nothing here saves vector registers, so nothing relies
        // on how much of them there is.
        unsafe { Cr4::update(|flags| flags.insert(Cr4Flags::OSXSAVE)) };
        let mut state = XCr0Flags::X87 | XCr0Flags::SSE;
        if self.avx {
            state |= XCr0Flags::AVX;
            if self.avx512 {
                state |= XCr0Flags::OPMASK | XCr0Flags::ZMM_HI256 | XCr0Flags::HI16_ZMM;
            }
        }
        // SAFETY: each part was asked for above, and comes with those that it needs.
        unsafe { XCr0::write(state) };
    }
}

const NOTHING: CpuidResult = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/// What CPUID says at `leaf`; `None` beyond the last leaf of its kind.
pub(crate) fn cpuid(leaf: u32) -> Option<CpuidResult> {
    let last = __cpuid(leaf & 0xffff_0000).eax;
    // A processor without a kind of leaf answers with something that does not belong there.
    let known = last & 0xffff_0000 == leaf & 0xffff_0000 && leaf <= last;
    known.then(|| __cpuid_count(leaf, 0))
}

/// The processor's counter.
#[inline]
pub(crate) fn ticks() -> u64 {
    // SAFETY: every 64-bit processor has it, and nothing here forbids its use.
    unsafe { _rdtsc() }
}

/// The processor's counter, after everything before is done.
pub(crate) fn ticks_in_order() -> u64 {
    // SAFETY: every 64-bit processor has both.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}
