//! The interrupt controller's numbers: registers of versions 2 and 3, and what they hold.

/// Registers of the distributor, as byte offsets.
pub mod distributor {
    /// What is on.
    pub const CONTROL: usize = 0x000;
    /// How many interrupts there are.
    pub const TYPE: usize = 0x004;
    /// A bit for each interrupt: its group.
    pub const GROUP: usize = 0x080;
    /// A bit for each interrupt: write one to let it in.
    pub const ENABLE: usize = 0x100;
    /// A bit for each interrupt: write one to keep it out.
    pub const DISABLE: usize = 0x180;
    /// A byte for each interrupt: its priority, 0 the highest.
    pub const PRIORITY: usize = 0x400;
    /// A byte for each interrupt: a bit for each core that it goes to (version 2).
    pub const TARGETS: usize = 0x800;
    /// Two bits for each interrupt: the upper one is set for edges.
    pub const CONFIGURATION: usize = 0xc00;
    /// Writing it interrupts cores: a bit for each, from bit 16 on (version 2).
    pub const SEND: usize = 0xf00;
    /// Eight bytes for each interrupt: the core that it goes to (version 3).
    pub const ROUTE: usize = 0x6000;
}

/// Registers of a core's interface in memory (version 2), as byte offsets.
pub mod interface {
    /// What is on.
    pub const CONTROL: usize = 0x00;
    /// The priority that is too low to interrupt.
    pub const MASK: usize = 0x04;
    /// Reading it takes the next interrupt.
    pub const ACKNOWLEDGE: usize = 0x0c;
    /// Writing what was taken ends it.
    pub const END: usize = 0x10;
    /// Both groups are on and taken by the same register, and group 0 is not masked as group 1 is.
    pub const BOTH: u32 = 0xf;
}

/// Registers of a core's redistributor (version 3), as byte offsets.
pub mod redistributor {
    /// What is on.
    pub const CONTROL: usize = 0x00;
    /// Whose it is, in 64 bits.
    pub const TYPE: usize = 0x08;
    /// Whether it sleeps.
    pub const WAKER: usize = 0x14;
    /// Which priorities messages have.
    pub const PROPERTIES: usize = 0x70;
    /// Which messages are pending.
    pub const PENDING: usize = 0x78;
    /// The second frame, of the core's own interrupts, laid out as the distributor's start.
    pub const PRIVATE: usize = 0x1_0000;
}

/// Registers of a frame that takes messages (version 2m), as byte offsets.
pub mod frame {
    /// Which interrupts messages can become.
    pub const TYPE: usize = 0x08;
    /// Where devices write an interrupt's id.
    pub const SET: usize = 0x40;
}

/// The priority of every interrupt: the middle.
pub const PRIORITY: u8 = 0x80;
/// The interrupt by which a core wakes another.
pub const WAKE: u32 = 0;
/// The interrupt by which a core stops another one that does not look: of group 0, which is not
/// masked, and of the highest priority.
pub const STOP: u32 = 15;
/// All private interrupts but [`STOP`] are of group 1.
pub const GROUPS: u32 = !(1 << STOP);
/// The distributor's control register says that there is one security state, which has all groups
/// (version 3).
pub const ONE_STATE: u32 = 1 << 6;
/// Ids from here on say that no interrupt is pending.
pub const NONE: u32 = 1020;
/// The first id of a message that a service translates.
pub const FIRST_MESSAGE: u32 = 8192;

/// How many interrupts a distributor's type register says there are.
pub const fn count(kind: u32) -> u32 {
    let count = ((kind & 31) + 1) * 32;
    if count > NONE { NONE } else { count }
}

/// Whose redistributor it is, from its 64-bit type register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    /// The core's affinity, packed into 32 bits.
    pub affinity: u32,
    /// The core's number, as services count.
    pub number: u16,
    /// Whether it takes messages of a service.
    pub messages: bool,
    /// Bytes up to the next core's.
    pub length: u64,
    /// Whether it is the last of its region.
    pub last: bool,
}

impl Whose {
    /// What the register's value means.
    pub const fn read(kind: u64) -> Self {
        let virtual_messages = kind & 1 << 1 != 0;
        Self {
            affinity: (kind >> 32) as u32,
            number: (kind >> 8) as u16,
            messages: kind & 1 != 0,
            length: if virtual_messages { 0x4_0000 } else { 0x2_0000 },
            last: kind & 1 << 4 != 0,
        }
    }
}

/// A core's affinity out of `MPIDR_EL1`.
pub const fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_00ff_ffff
}

/// An affinity packed into 32 bits, as redistributors have it.
pub const fn packed(affinity: u64) -> u32 {
    (affinity & 0xff_ffff | affinity >> 8 & 0xff00_0000) as u32
}

/// What sends the interrupt `id`, below 16, to the core with this affinity (version 3).
pub const fn sent_to(affinity: u64, id: u32) -> u64 {
    let (highest, higher, high) =
        (affinity >> 32 & 0xff, affinity >> 16 & 0xff, affinity >> 8 & 0xff);
    // Cores of a cluster are told sixteen at a time.
    let (row, bit) = (affinity >> 4 & 15, affinity & 15);
    highest << 48 | row << 44 | higher << 32 | (id as u64 & 15) << 24 | high << 16 | 1 << bit
}

/// The register of 32 bits that holds the field of `bits` bits of interrupt `id`, behind a
/// block's start, and how far the field is shifted in it.
pub const fn place(id: u32, bits: u32) -> (usize, u32) {
    let each = 32 / bits;
    ((id / each) as usize * 4, id % each * bits)
}

/// The ids that a frame's type register offers: the first, and how many; `None` when they are no
/// shared interrupts.
pub const fn offered(kind: u32) -> Option<(u32, u32)> {
    let (first, count) = (kind >> 16 & 0x3ff, kind & 0x3ff);
    if first >= 32 && count > 0 && first + count <= NONE { Some((first, count)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_architecture_puts_them() {
        assert_eq!(place(33, 1), (4, 1));
        assert_eq!(place(33, 2), (8, 2));
        assert_eq!(place(33, 8), (32, 8));
        assert_eq!(place(1019, 1), (124, 27));
    }

    #[test]
    fn affinities_lose_what_is_none() {
        assert_eq!(affinity(0x8000_0102), 0x102);
        assert_eq!(affinity(0x12_4012_3456), 0x12_0012_3456);
        assert_eq!(packed(0x12_0012_3456), 0x1212_3456);
    }

    #[test]
    fn an_interrupt_is_sent_to_one_core() {
        assert_eq!(sent_to(0, WAKE), 1);
        assert_eq!(sent_to(0x103, STOP), 15 << 24 | 1 << 16 | 8);
        let far = 0x12 << 48 | 2 << 44 | 0x34 << 32 | 0x56 << 16 | 0x80;
        assert_eq!(sent_to(0x12_0034_5627, 0), far);
    }

    #[test]
    fn type_registers_tell_counts_and_owners() {
        assert_eq!(count(0x0378_0008), 288);
        assert_eq!(count(31), NONE);
        let whose = Whose::read(0x0001_0203_0000_0511);
        let expected = Whose {
            affinity: 0x0001_0203,
            number: 5,
            messages: true,
            length: 0x2_0000,
            last: true,
        };
        assert_eq!(whose, expected);
        assert_eq!(Whose::read(2).length, 0x4_0000);
    }

    #[test]
    fn a_frame_offers_shared_interrupts_or_none() {
        assert_eq!(offered(80 << 16 | 64), Some((80, 64)));
        assert_eq!(offered(u32::MAX), None);
        assert_eq!(offered(16 << 16 | 4), None);
        assert_eq!(offered(80 << 16), None);
    }
}
