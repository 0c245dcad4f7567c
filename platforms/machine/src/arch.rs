//! What an architecture gives to the shared code.

/// The status that means: an image did what it should.
pub const SUCCESS: u8 = 0;
/// The status after a panic or a processor exception.
pub const FAILURE: u8 = 1;
/// The status of an image that could not start.
pub const REFUSED: u8 = 2;

#[cfg(target_os = "none")]
pub use bare::Arch;

#[cfg(target_os = "none")]
mod bare {
    use crate::console::{Console, Serial};
    use crate::machine::Machine;
    use crate::memory::Range;
    use crate::paging::Format;
    use crate::percore::Core;
    use crate::space::Space;
    use waitless::device::{MessageInterrupt, MmioDevice, PciAddress};

    /// An architecture. A value is what its machine is made of, beside what every machine has
    /// ([`Machine`]); functions without `self` act on the core that runs them, with interrupts
    /// off before and after.
    pub trait Arch: Sync + Sized + 'static {
        /// The port of the console.
        type Serial: Serial + Send + 'static;
        /// The form of page tables.
        type Format: Format + Send;
        /// What belongs to one core beside what every core has.
        type Local: 'static;

        /// This core's state, by the register that points to it.
        fn core() -> &'static Core<Self>;

        /// This core's number; 0 while it has no state yet.
        fn number() -> usize {
            Self::core().number
        }

        /// Starts further cores, until `most` run, this one included, and gives how many do: at
        /// least 1. Each sets its state up and calls [`crew::join`](crate::crew::join); their
        /// numbers count on from 1. Called once, by the first core.
        fn start_cores(machine: &'static Machine<Self>, most: usize) -> usize {
            let _ = (machine, most);
            1
        }

        /// Makes an interrupt pending at core `number`, so that its halt, or its next one, ends.
        fn wake(&self, number: usize) {
            let _ = number;
        }

        /// Tells all other cores to stop for good. Those it told, a bit for each.
        fn stop_others() -> u64 {
            0
        }

        /// Stops core `number`, which was told and goes on, whatever it does.
        fn stop_busy(number: usize) {
            let _ = number;
        }

        /// Called once a sweep on each of several cores: where another core cannot interrupt one
        /// that is busy, it stops here.
        #[inline]
        fn attend() {}

        /// Stops this core for good, with interrupts masked.
        fn stop() -> ! {
            Self::mask_interrupts();
            loop {
                core::hint::spin_loop();
            }
        }

        /// The machine. Called by what runs on it, so it is up.
        fn machine() -> &'static Machine<Self>;

        /// The console. It works from the first line of Rust on.
        fn console() -> &'static Console<Self::Serial>;

        /// The address space that all cores use.
        fn space() -> &'static Space<Self::Format>;

        /// The counter that the machine's clock is made of. All cores' agree.
        fn ticks() -> u64;

        /// Lets this core's timer interrupt at `deadline`, in nanoseconds of the machine's
        /// clock, where it is `now`; a little later, or earlier when that is further off than
        /// the timer reaches. `None` for never.
        fn set_timer(core: &Core<Self>, now: u64, deadline: Option<u64>);

        /// Halts until an interrupt is pending, and takes what is: each one counts in
        /// [`Core::interrupts`], the timer's in [`Core::alarms`] too. One that was pending before
        /// ends the halt at once.
        fn halt(core: &Core<Self>);

        /// Keeps interrupts out, wherever it is called.
        fn mask_interrupts();

        /// Forgets translations of addresses that may have changed, on this core.
        fn flush_translations();

        /// The code, where return addresses point to.
        fn text() -> Range;

        /// Where the image's address 0 is: what an address in memory is beyond the one in its
        /// file. 0 where images are always at the same place.
        fn start_of_image() -> u64 {
            0
        }

        /// The stack that `address` is in.
        fn stack_around(address: u64) -> Option<Range>;

        /// Switches the machine off. `status` reaches whoever started it where there is a way.
        fn exit(status: u8) -> !;

        /// Whether whoever runs the machine has asked it to end, by its power button. `None` where
        /// there is no way to ask.
        fn is_asked_to_end(&self) -> Option<bool> {
            None
        }

        /// Reads a register of PCI's configuration space; `None` without PCI.
        fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32>;

        /// Writes a register of PCI's configuration space.
        fn pci_write(&self, function: PciAddress, offset: u16, value: u32);

        /// What a PCI device must write where to wake `core`.
        fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt>;

        /// Place number `index` of a virtio device that is on no bus.
        fn mmio_device(&self, index: usize) -> Option<MmioDevice>;

        /// Lets `line` wake `core` whenever it rises.
        fn route_line(&self, line: u32, core: usize) -> bool;
    }
}
