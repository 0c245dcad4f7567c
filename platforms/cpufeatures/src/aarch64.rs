//! Asks the register that says which instructions there are.

use core::arch::asm;

/// Whether the processor has a feature.
#[must_use]
pub fn has(feature: &str) -> bool {
    let register: u64;
    // SAFETY: reads a register without effects, which images (at EL1) may read, and which Linux
    // reads for processes.
    unsafe {
        asm!(
            "mrs {}, id_aa64isar0_el1",
            out(reg) register,
            options(nomem, nostack, preserves_flags),
        );
    }
    let field = |at: u32| register >> at & 15;
    match feature {
        // 2: with PMULL.
        "aes" => field(4) >= 2,
        "sha2" => field(12) >= 1,
        // 2: with SHA-512, which crates expect of those that have SHA-3.
        "sha3" => field(12) >= 2 && field(32) >= 1,
        _ => false,
    }
}
