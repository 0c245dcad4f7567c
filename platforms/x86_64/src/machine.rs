//! The machine as drivers see it, once it is up.

use crate::clock::Clock;
use crate::interrupts::DEVICE;
use crate::loader::{BootInfo, Physical};
use crate::memory::{Range, Ranges};
use crate::paging::{Access, AddressSpace, PagingError, Table, Tables};
use crate::pci::Configuration;
use alloc::alloc::{Layout, alloc_zeroed};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use spinning_top::Spinlock;
use waitless::Instant;
use waitless::counter::{Counter, CounterSet, Kind, Metric};
use waitless::device::{Dma, MessageInterrupt, PciAddress, Platform, Registers};

/// What was found while booting. One for all cores.
pub struct Machine {
    pub(crate) info: BootInfo,
    pub(crate) clock: Clock,
    pub(crate) pci: Configuration,
    /// Where devices can be put, where firmware did not put them.
    pub(crate) window: Option<Range>,
    pub(crate) core: &'static Core,
    pub(crate) seed: Spinlock<Option<[u8; 32]>>,
    /// What the seed was made of.
    pub(crate) sources: &'static str,
    /// Seconds since 1970 when the image started.
    pub(crate) started: Option<u64>,
    /// The name of the platform that the image was built for.
    pub(crate) name: Spinlock<&'static str>,
}

// SAFETY: what is not `Sync` of its own are registers. Configuration space takes accesses from any
// core, each of which is one instruction; the interrupt controller is used by its own core alone,
// for it is reached through `core` only.
unsafe impl Sync for Machine {}

// SAFETY: as for `Machine`.
unsafe impl Sync for Core {}

/// What belongs to one core. Its address is the core's GS base.
#[repr(C)]
pub(crate) struct Core {
    /// The register that ends an interrupt, or zero. The handlers read it at `gs:0`.
    pub(crate) end_register: u64,
    /// Interrupts so far. The handlers count at `gs:8`.
    pub(crate) interrupts: AtomicU64,
    /// Those of the timer. The handler counts at `gs:16`.
    pub(crate) alarms: AtomicU64,
    /// When the timer will interrupt, and `alarms` when it was set.
    pub(crate) alarm: Cell<(Instant, u64)>,
    /// The core's number, from 0.
    pub(crate) number: usize,
    /// How often the core went to sleep.
    pub(crate) sleeps: Counter,
    pub(crate) apic: crate::apic::LocalApic,
}

impl Core {
    /// Interrupts the core at `deadline` at the latest, maybe once before.
    ///
    /// Setting the timer is slow where it is emulated, and deadlines mostly move away. So a timer
    /// that is set for earlier stays, and is set again when it was in vain.
    pub(crate) fn wake_at(&self, clock: &Clock, now: Instant, deadline: Instant) {
        let alarms = self.alarms.load(Ordering::Relaxed);
        let (alarm, seen) = self.alarm.get();
        if alarm > deadline || seen != alarms {
            let timer = (deadline != Instant::NEVER).then(|| deadline.as_nanos());
            self.apic.set_timer(clock, now.as_nanos(), timer);
            self.alarm.set((deadline, alarms));
        }
    }
}

impl CounterSet for Core {
    fn count(&self) -> usize {
        3
    }

    fn metric(&self, index: usize) -> Option<Metric> {
        let interrupts = self.interrupts.load(Ordering::Relaxed);
        let all = [
            ("interrupts", "interrupts", "Interrupts taken.", Kind::Counter, interrupts),
            (
                "sleeps",
                "sleeps",
                "Times there was nothing to do.",
                Kind::Counter,
                self.sleeps.get(),
            ),
            ("memory", "bytes", "Memory of all allocations.", Kind::Gauge, crate::heap::size()),
        ];
        let (name, unit, help, kind, value) = *all.get(index)?;
        Some(Metric { name, unit, help, kind, value })
    }
}

static MACHINE: AtomicPtr<Machine> = AtomicPtr::new(core::ptr::null_mut());
static SPACE: Spinlock<Option<Space>> = Spinlock::new(None);

/// The address space in use, and the memory that must never be mapped as a device's.
pub(crate) struct Space {
    pub(crate) pages: AddressSpace,
    pub(crate) ram: Ranges,
}

/// The machine. Called by what runs on it, so it is up.
pub fn machine() -> &'static Machine {
    let machine = MACHINE.load(Ordering::Acquire);
    // SAFETY: null, or what `set_machine` was given, which lives for ever and is not changed.
    match unsafe { machine.as_ref() } {
        Some(machine) => machine,
        None => unreachable!("boot sets the machine before it starts the image"),
    }
}

/// Makes `machine` the machine.
pub(crate) fn set_machine(machine: &'static Machine) {
    MACHINE.store(core::ptr::from_ref(machine).cast_mut(), Ordering::Release);
}

/// Makes `space` the address space that later mappings go to.
pub(crate) fn set_space(space: Space) {
    *SPACE.lock() = Some(space);
}

/// Maps the pages around `length` bytes of device registers, and gives them from the start of
/// the first page. `None` for memory that is not a device's, and when memory is out.
pub(crate) fn try_map(address: u64, length: usize) -> Option<Registers> {
    let pages = Range::sized(address, length as u64).outer_pages();
    // Whoever dies while holding the lock still gets to the power switch, by another way.
    let mut space = (0..LOCK_TRIES).find_map(|_| SPACE.try_lock())?;
    let space = space.as_mut()?;
    if pages.is_empty() || space.ram.iter().any(|ram| ram.overlaps(pages)) {
        return None;
    }
    space.pages.map(&mut HeapTables, pages, Access::Device).ok()?;
    flush();
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut(pages.start() as usize))?;
    // SAFETY: just mapped for reading and writing, for good; starts at a page; and it is no RAM,
    // so no objects live there.
    Some(unsafe { Registers::new(base, pages.length() as usize) })
}

/// How often the address space's lock is tried. Changing a mapping takes microseconds.
const LOCK_TRIES: u32 = 1_000_000;

/// Forgets translations that may have changed.
fn flush() {
    x86_64::instructions::tlb::flush_all();
}

/// Tables from the global allocator, which is memory mapped to itself.
pub(crate) struct HeapTables;

impl Tables for HeapTables {
    fn allocate(&mut self) -> Option<u64> {
        let layout = Layout::new::<PageTable>();
        // SAFETY: the layout has a size.
        let table = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(table.expose_provenance().get() as u64)
    }

    fn table(&mut self, address: u64) -> &mut Table {
        // SAFETY: `allocate` or boot gave the table out, and nobody freed it.
        unsafe { table_at(address) }
    }
}

/// The table at `address`.
///
/// # Safety
/// There is a table, it is mapped to itself, and nobody else uses it for `'a`.
pub(crate) unsafe fn table_at<'a>(address: u64) -> &'a mut Table {
    let table = core::ptr::with_exposed_provenance_mut::<Table>(address as usize);
    // SAFETY: the caller vouches for it.
    unsafe { &mut *table }
}

#[repr(align(4096))]
struct PageTable(#[expect(dead_code, reason = "for its layout")] Table);

/// Physical memory that is not RAM, for reading: firmware tables. What is not mapped yet is
/// mapped when it is asked for.
pub(crate) struct Firmware;

impl Physical for Firmware {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let pages = Range::sized(address, length as u64).outer_pages();
        let mut space = SPACE.lock();
        let space = space.as_mut()?;
        for page in (pages.start()..pages.end()).step_by(4096) {
            if space.pages.access(&mut HeapTables, page).is_none() {
                space.pages.map(&mut HeapTables, Range::sized(page, 4096), Access::Read).ok()?;
            }
        }
        let base = core::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: mapped, and firmware tables do not change while an image runs. An address in
        // RAM that Rust uses could only come from a table that lies: the parser checks sums.
        (address != 0).then(|| unsafe { core::slice::from_raw_parts(base, length) })
    }
}

impl Machine {
    /// The loader's command line.
    pub fn command_line(&self) -> &str {
        &self.info.command_line
    }

    /// Interrupts that this core has taken.
    pub fn interrupts(&self) -> u64 {
        self.core.interrupts.load(Ordering::Relaxed)
    }
}

impl Platform for Machine {
    fn name(&self) -> &'static str {
        *self.name.lock()
    }

    fn wall_clock(&self, now: Instant) -> Option<u64> {
        Some(self.started? + now.as_nanos() / 1_000_000_000)
    }

    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        self.pci.read(function, offset)
    }

    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        self.pci.write(function, offset, value);
    }

    fn pci_window(&self) -> Option<(u64, u64)> {
        self.window.map(|window| (window.start(), window.length()))
    }

    fn map(&self, address: u64, length: usize) -> Option<Registers> {
        try_map(address, length)?.part((address % 4096) as usize, length)
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
        if core != self.core.number {
            return None;
        }
        // A device can only name the first 256 cores without more machinery.
        let id = u8::try_from(self.core.apic.id()).ok()?;
        let address = 0xfee0_0000 | u64::from(id) << 12;
        Some(MessageInterrupt { address, data: DEVICE.into() })
    }
}

impl From<PagingError> for &'static str {
    fn from(error: PagingError) -> Self {
        match error {
            PagingError::OutOfMemory => "not enough memory for page tables",
            PagingError::OutOfReach => "memory lies beyond what four levels of tables reach",
        }
    }
}
