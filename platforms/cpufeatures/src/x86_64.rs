//! Asks CPUID, and XGETBV for vector registers.

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// The bit of CPUID's leaf 1, ECX: XGETBV works, and says which registers are turned on.
const OSXSAVE: u32 = 27;

/// Whether the processor has a feature, and has been told to let it be used.
#[must_use]
pub fn has(feature: &str) -> bool {
    let one = __cpuid(1).ecx;
    let bit = |register: u32, number: u32| register >> number & 1 != 0;
    match feature {
        // Every processor with 64 bits has it.
        "sse2" => true,
        "sse3" => bit(one, 0),
        "pclmulqdq" => bit(one, 1),
        "ssse3" => bit(one, 9),
        "sse4.1" => bit(one, 19),
        "aes" => bit(one, 25),
        "avx" => bit(one, 28) && bit(one, OSXSAVE) && has_wide_registers(),
        "sha" => __cpuid(0).eax >= 7 && bit(__cpuid_count(7, 0).ebx, 29),
        _ => false,
    }
}

/// Whether the registers of AVX are turned on. Only where there is XGETBV.
fn has_wide_registers() -> bool {
    // SAFETY: the caller has seen OSXSAVE, with which the instruction is defined; the register
    // with the number 0 is always there.
    let on = unsafe { _xgetbv(0) };
    on & 0b110 == 0b110
}
