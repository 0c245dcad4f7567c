//! What is written to a local interrupt controller, in its older form (xAPIC, registers in memory)
//! and its newer one (x2APIC, model-specific registers), and who can be reached by it.

/// What is sent to other cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// An interrupt of this vector.
    Interrupt(u8),
    /// Waits for a start.
    Init,
    /// Starts in real mode at this page, below 1 MiB.
    Start(u8),
    /// An interrupt that nothing masks.
    NonMaskable,
}

impl Command {
    /// The lower half of the command register, for a single core.
    pub const fn bits(self) -> u32 {
        const ASSERT: u32 = 1 << 14;
        match self {
            Self::Interrupt(vector) => ASSERT | vector as u32,
            Self::NonMaskable => ASSERT | 4 << 8,
            Self::Init => ASSERT | 5 << 8,
            Self::Start(page) => ASSERT | 6 << 8 | page as u32,
        }
    }

    /// The same for all cores but the one that sends it.
    pub const fn bits_for_others(self) -> u32 {
        self.bits() | 3 << 18
    }
}

/// The address of a controller's registers, in the register that turns it on.
pub const fn address(base: u64) -> u64 {
    base & 0x000f_ffff_ffff_f000
}

/// The model-specific register that the register at `offset` is in the newer form.
pub const fn model_specific(offset: u32) -> u32 {
    0x800 + offset / 16
}

/// What the newer form's command register takes in one write.
pub const fn command(id: u32, bits: u32) -> u64 {
    (id as u64) << 32 | bits as u64
}

/// The older form's two halves of it: the upper one is written first, and the lower one sends.
pub const fn command_halves(id: u32, bits: u32) -> (u32, u32) {
    (id << 24, bits)
}

/// An interrupt id, as the form's own register shows it.
pub const fn id(register: u32, newer: bool) -> u32 {
    if newer { register } else { register >> 24 }
}

/// Whether a core with the interrupt id `id` can be sent something. The older form's ids have 8
/// bits; ids of nothing but ones mean everybody.
pub const fn reaches(id: u32, newer: bool) -> bool {
    id < if newer { u32::MAX } else { 0xff }
}

/// Where a device writes a message to interrupt the core with the interrupt id `id`: ids of 8 bits.
/// A hypervisor that says so takes `wide` ones, of 15, whose upper bits stand where hardware has
/// those of a remapped message.
pub const fn message_address(id: u32, wide: bool) -> Option<u64> {
    if id >= 0xff && !(wide && id < 1 << 15) {
        return None;
    }
    Some(0xfee0_0000 | ((id as u64 & 0xff) << 12) | ((id as u64 >> 8) << 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_the_manual_has_them() {
        // Intel SDM volume 3, section 11.6.1: delivery modes 0, 4, 5 and 6, assert, a shorthand.
        assert_eq!(Command::Interrupt(0x41).bits(), 0x4041);
        assert_eq!(Command::NonMaskable.bits(), 0x4400);
        assert_eq!(Command::Init.bits(), 0x4500);
        assert_eq!(Command::Start(0x9).bits(), 0x4609);
        assert_eq!(Command::NonMaskable.bits_for_others(), 0xc_4400);
    }

    #[test]
    fn the_newer_form_writes_a_command_at_once_and_the_older_one_in_halves() {
        let start = Command::Start(8).bits();
        assert_eq!(command(0x1_0203, start), 0x0001_0203_0000_4608);
        assert_eq!(command_halves(3, start), (0x0300_0000, 0x4608));
        // Section 11.12.1.2: the command register is one of 64 bits, at 830h.
        assert_eq!(model_specific(0x300), 0x830);
        assert_eq!((model_specific(0x20), model_specific(0xb0)), (0x802, 0x80b));
        assert_eq!((model_specific(0x320), model_specific(0x3e0)), (0x832, 0x83e));
        assert_eq!(address(0xfee0_0900), 0xfee0_0000);
    }

    #[test]
    fn ids_have_as_many_bits_as_the_form() {
        assert_eq!((id(0x0300_0000, false), id(0x300, true)), (3, 0x300));
        for (id, older, newer) in
            [(0, true, true), (254, true, true), (255, false, true), (256, false, true)]
        {
            assert_eq!((reaches(id, false), reaches(id, true)), (older, newer), "{id}");
        }
        assert!(!reaches(u32::MAX, true), "everybody is nobody in particular");
    }

    #[test]
    fn messages_reach_255_cores_and_more_where_a_hypervisor_takes_them() {
        assert_eq!(message_address(3, false), Some(0xfee0_3000));
        assert_eq!(message_address(254, false), Some(0xfeef_e000));
        assert_eq!((message_address(255, false), message_address(256, false)), (None, None));
        // Bits 14 to 8 of the id are bits 11 to 5 of the address.
        assert_eq!(message_address(0x102, true), Some(0xfee0_2020));
        assert_eq!(message_address(0x7fff, true), Some(0xfeef_ffe0));
        assert_eq!(message_address(0x8000, true), None);
    }
}
