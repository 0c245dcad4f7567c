//! The machine as drivers see it, once it is up.

use crate::Arch;
use crate::clock::Clock;
use crate::memory::Range;
use crate::options::CommandLine;
use alloc::alloc::{Layout, alloc_zeroed};
use alloc::vec::Vec;
use core::ptr::NonNull;
use spinning_top::Spinlock;
use waitless::boot::Said;
use waitless::device::{Dma, MessageInterrupt, MmioDevice, PciAddress, Platform, Registers};
use waitless::{Instant, Random};

/// What somebody said at boot.
#[derive(Clone, Debug)]
pub struct Words {
    /// Who, in words.
    pub by: &'static str,
    /// What.
    pub text: CommandLine,
    /// Whether others are told things there, too.
    pub shared: bool,
}

impl Words {
    /// What the loader's command line says, which may be meant for anybody.
    pub fn of_command_line(text: CommandLine) -> Self {
        Self { by: "the command line", text, shared: true }
    }

    /// What QEMU's file says.
    pub fn of_fw_cfg(text: CommandLine) -> Self {
        Self { by: "fw_cfg", text, shared: false }
    }
}

/// What was found while booting. One for all cores.
pub struct Machine<A> {
    /// What the architecture knows of it.
    pub arch: A,
    /// What was said at boot, what counts most last.
    pub words: Vec<Words>,
    /// Makes time of [`Arch::ticks`].
    pub clock: Clock,
    /// Where devices can be put, where firmware did not put them.
    pub window: Option<Range>,
    /// What all randomness comes from, until it is taken. Not seeded where no source of the
    /// platform's own counts.
    pub random: Spinlock<Option<Random>>,
    /// What it was seeded from.
    pub sources: &'static str,
    /// Seconds since 1970 when the clock was zero.
    pub started: Option<u64>,
    /// The name of the platform that the image was built for.
    pub(crate) name: Spinlock<&'static str>,
}

impl<A: Arch> Machine<A> {
    /// A machine without wall clock and without room for devices.
    pub fn new(
        arch: A,
        words: Vec<Words>,
        clock: Clock,
        seed: Option<([u8; 32], &'static str)>,
    ) -> Self {
        let (random, sources) = match seed {
            Some((seed, sources)) => (Random::new(seed), sources),
            None => (Random::unseeded(), "nothing yet"),
        };
        Self {
            arch,
            words,
            clock,
            window: None,
            random: Spinlock::new(Some(random)),
            sources,
            started: None,
            name: Spinlock::new(""),
        }
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.nanos(A::ticks()))
    }
}

impl<A: Arch> Platform for Machine<A> {
    fn name(&self) -> &'static str {
        *self.name.lock()
    }

    fn said_at_boot(&self, index: usize) -> Option<Said<'_>> {
        let Words { by, text, shared } = self.words.get(index)?;
        Some(Said { by, words: text.as_str(), shared: *shared, cut: text.is_cut() })
    }

    fn wall_clock(&self, now: Instant) -> Option<u64> {
        Some(self.started? + now.as_nanos() / 1_000_000_000)
    }

    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        self.arch.pci_read(function, offset)
    }

    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        self.arch.pci_write(function, offset, value);
    }

    fn pci_window(&self) -> Option<(u64, u64)> {
        self.window.map(|window| (window.start(), window.length()))
    }

    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        A::space().map_device(address, length, A::flush_translations)
    }

    fn dma(&self, length: usize) -> Option<Dma> {
        let layout = Layout::from_size_align(length.max(1), 4096).ok()?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let address = base.expose_provenance().get() as u64;
        // SAFETY: fresh memory that is never given back, aligned to a page; it is mapped to
        // itself, and devices see the same addresses.
        Some(unsafe { Dma::new(base, length, address) })
    }

    fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt> {
        self.arch.message_interrupt(core)
    }

    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        self.arch.mmio_device(index)
    }

    fn route_line(&self, line: u32, core: usize) -> bool {
        self.arch.route_line(line, core)
    }

    fn wake(&self, core: usize) {
        self.arch.wake(core);
    }
}
