//! Makes the frequency of the processor's counter of what the processor or a hypervisor says.

use platform_machine::clock::frequency;

/// The frequency in CPUID leaf 0x15: a crystal's, times a fraction.
pub fn from_crystal(denominator: u32, numerator: u32, crystal_hertz: u32) -> Option<u64> {
    if numerator == 0 || crystal_hertz == 0 {
        return None;
    }
    frequency(numerator.into(), denominator.into(), crystal_hertz.into())
}

/// The frequency that a hypervisor's clock implies: its nanoseconds are ticks, shifted by
/// `shift`, times `scale`, over 2^32.
pub fn from_paravirtual(scale: u32, shift: i8) -> Option<u64> {
    let hertz = (1_000_000_000u128 << 32).checked_div(scale.into())?;
    let hertz = match shift {
        0..=31 => hertz >> shift,
        -32..=-1 => hertz << -shift,
        _ => return None,
    };
    u64::try_from(hertz).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_come_out_of_what_others_say() {
        assert_eq!(from_crystal(2, 250, 24_000_000), Some(3_000_000_000));
        assert_eq!(from_crystal(0, 250, 24_000_000), None);
        assert_eq!(from_crystal(2, 250, 0), None);
        // What KVM gives for 2.8 GHz: half a nanosecond and more a tick, doubled.
        let hertz = from_paravirtual(3_067_833_783, -1).unwrap();
        assert!(hertz.abs_diff(2_800_000_000) < 10, "{hertz}");
        assert_eq!(from_paravirtual(0, 0), None);
    }
}
