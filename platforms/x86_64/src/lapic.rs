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
mod tests;
