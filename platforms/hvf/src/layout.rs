//! Where things lie in the guest: as in QEMU's `virt` machine, as far as it has them.

/// Bytes of a page of devices.
pub const PAGE: u64 = 0x1000;
/// The interrupt controller's distributor.
pub const DISTRIBUTOR: u64 = 0x0800_0000;
/// The console.
pub const CONSOLE: u64 = 0x0900_0000;
/// The wall clock.
pub const CLOCK: u64 = 0x0901_0000;
/// The way out.
pub const FINISHER: u64 = 0x0902_0000;
/// The network card.
pub const NET: u64 = 0x0a00_0000;
/// The source of entropy.
pub const RNG: u64 = 0x0a00_0200;
/// The interrupt controller's part for each core: here there is room for all that the framework
/// may have.
pub const REDISTRIBUTORS: u64 = 0x1000_0000;
/// The memory, to its size.
pub const RAM: u64 = 0x4000_0000;

/// Shared interrupts; the controller's own numbers are 32 higher.
pub const CONSOLE_INTERRUPT: u32 = 1;
/// The clock's, which never comes.
pub const CLOCK_INTERRUPT: u32 = 2;
/// The network card's.
pub const NET_INTERRUPT: u32 = 16;
/// The source of entropy's.
pub const RNG_INTERRUPT: u32 = 17;
/// What is added to a shared interrupt's number.
pub const SHARED: u32 = 32;

/// The most memory: what lies below 512 GiB.
pub const MEMORY_MAX: u64 = (512 << 30) - RAM;
/// Room for the device tree, at the end of the memory; it must not cross a multiple of 2 MiB.
pub const TREE_ROOM: u64 = 64 << 10;

/// What differs between machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Bytes of memory, a multiple of 1 MiB.
    pub memory: u64,
    /// How many cores there are.
    pub cores: usize,
    /// The distributor: address and bytes.
    pub distributor: (u64, u64),
    /// The redistributors: address and bytes of all.
    pub redistributors: (u64, u64),
}

impl Layout {
    /// The layout of a machine whose interrupt controller's parts have so many bytes, and want
    /// to lie at such multiples.
    ///
    /// # Errors
    /// One line, when they do not fit.
    pub fn new(
        memory: u64,
        cores: usize,
        distributor: (u64, u64),
        redistributors: (u64, u64),
    ) -> Result<Self, String> {
        let place = |at: u64, end: u64, (length, alignment): (u64, u64)| {
            let fits = length <= end - at && at.is_multiple_of(alignment.max(1));
            fits.then_some((at, length))
        };
        let distributor = place(DISTRIBUTOR, CONSOLE, distributor);
        let redistributors = place(REDISTRIBUTORS, RAM, redistributors);
        let (Some(distributor), Some(redistributors)) = (distributor, redistributors) else {
            return Err("the framework's interrupt controller is larger than its place".into());
        };
        Ok(Self { memory, cores, distributor, redistributors })
    }

    /// Where the device tree lies.
    pub fn tree(&self) -> u64 {
        RAM + self.memory - TREE_ROOM
    }

    /// The first address behind everything.
    pub fn end(&self) -> u64 {
        RAM + self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overlaps() {
        let layout = Layout::new(64 << 20, 4, (0x1_0000, 0x1_0000), (0x200_0000, 0x1_0000));
        let layout = layout.unwrap();
        let mut parts = [
            layout.distributor,
            (CONSOLE, PAGE),
            (CLOCK, PAGE),
            (FINISHER, PAGE),
            (NET, crate::virtio::mmio::LENGTH),
            (RNG, crate::virtio::mmio::LENGTH),
            layout.redistributors,
            (RAM, layout.memory),
        ];
        parts.sort();
        assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{parts:x?}");
        let tree = layout.tree();
        assert_eq!(tree / (2 << 20), (tree + TREE_ROOM - 1) / (2 << 20));
        assert_eq!(tree + TREE_ROOM, layout.end());
    }

    #[test]
    fn an_interrupt_controller_that_does_not_fit_is_refused() {
        assert!(Layout::new(1 << 20, 1, (0x1_0000, 1 << 28), (0x2_0000, 1)).is_err());
        assert!(Layout::new(1 << 20, 1, (0x1_0000, 1), (0x4000_0000, 1)).is_err());
    }
}
