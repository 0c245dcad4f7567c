//! The architecture as the shared code drives it.

use crate::acpi::Acpi;
use crate::apic::LocalApic;
use crate::button::PowerButton;
use crate::console::Uart;
use crate::interrupts::DEVICE;
use crate::io_apic::IoApics;
use crate::lapic::{self, Command};
use crate::loader::Physical;
use crate::paging::Long;
use crate::pci::Configuration;
use crate::{cpu, image, kvm, mmio, power, secondaries, stacks};
use alloc::vec::Vec;
use platform_machine::console::Console;
use platform_machine::memory::Range;
use platform_machine::percore::Core;
use platform_machine::space::Space;
use platform_machine::{Arch, Slot, machine};
use waitless::cores::Once;
use waitless::device::{MessageInterrupt, MmioDevice, PciAddress, Registers};
use x86_64::instructions::interrupts;
use x86_64::registers::model_specific::GsBase;

/// The machine.
pub type Machine = machine::Machine<X86>;

/// What of a machine only x86 has.
pub struct X86 {
    pub(crate) pci: Configuration,
    pub(crate) io_apics: IoApics,
    /// Virtio devices that are on no bus.
    pub(crate) devices: mmio::Devices,
    /// What the firmware says of the processors.
    pub(crate) acpi: &'static Acpi,
    /// A free page below 64 KiB, where other cores can start.
    pub(crate) low_page: Option<u64>,
    /// The interrupt ids of the cores, by their numbers.
    pub(crate) ids: Once<Vec<u32>>,
    /// How whoever runs the machine asks it to end.
    pub(crate) button: Option<PowerButton>,
}

// SAFETY: what is not `Sync` of its own are registers. Configuration space takes accesses from any
// core, each of which is one instruction; those of interrupt controllers are behind a lock.
unsafe impl Sync for X86 {}

impl X86 {
    /// How an interrupt line names `core`: by 8 bits.
    fn interrupt_id(&self, core: usize) -> Option<u8> {
        u8::try_from(self.id(core)?).ok()
    }
}

/// What belongs to one core. Handlers find it at `gs:0`.
#[repr(C)]
pub struct Local {
    /// The register that ends an interrupt, or zero. The handlers read it at `gs:0`.
    end_register: u64,
    apic: LocalApic,
}

impl Local {
    pub(crate) fn new(apic: LocalApic) -> Self {
        Self { end_register: apic.end_register(), apic }
    }

    pub(crate) fn apic(&self) -> &LocalApic {
        &self.apic
    }
}

static MACHINE: Slot<Machine> = Slot::new();
static SPACE: Space<Long> = Space::new();

impl X86 {
    /// The interrupt id of core `number`.
    fn id(&self, number: usize) -> Option<u32> {
        match self.ids.get() {
            Some(ids) => ids.get(number).copied(),
            None => (number == 0).then(|| X86::core().local.apic.id()),
        }
    }
}

/// Makes `machine` the machine.
pub(crate) fn set_machine(machine: &'static Machine) {
    MACHINE.set(machine);
}

/// Maps `length` bytes of device registers.
pub(crate) fn try_map(address: u64, length: usize) -> Option<Registers> {
    SPACE.map_device(address, length, X86::flush_translations)
}

critical_section::set_impl!(platform_machine::section::ImageSection<X86>);

impl Arch for X86 {
    type Serial = Uart;
    type Format = Long;
    type Local = Local;

    #[inline]
    fn core() -> &'static Core<Self> {
        let core = GsBase::read().as_ptr::<Core<Self>>();
        // SAFETY: boot set it to the core's state, which lives for ever.
        unsafe { &*core }
    }

    fn number() -> usize {
        // The first core has no state while it boots, and the others have theirs at once.
        if GsBase::read().is_null() { 0 } else { Self::core().number }
    }

    fn start_cores(machine: &'static Machine, most: usize) -> usize {
        let ids = secondaries::start(machine, most);
        let count = ids.len();
        let _ = machine.arch.ids.set(ids);
        count
    }

    fn wake(&self, number: usize) {
        if let Some(id) = self.id(number) {
            Self::core().local.apic.send(id, Command::Interrupt(DEVICE));
        }
    }

    fn stop_others() -> u64 {
        let ids = MACHINE.get().and_then(|machine| machine.arch.ids.get());
        let (own, mut told) = (Self::number(), 0);
        // One by one: processors that the image did not start have nothing to take it with.
        for (number, id) in ids.into_iter().flatten().enumerate().filter(|(at, _)| *at != own) {
            Self::core().local.apic.send(*id, Command::NonMaskable);
            told |= 1 << number;
        }
        told
    }

    fn stop() -> ! {
        loop {
            interrupts::disable();
            x86_64::instructions::hlt();
        }
    }

    #[inline]
    fn machine() -> &'static Machine {
        match MACHINE.get() {
            Some(machine) => machine,
            None => unreachable!("boot sets the machine before it starts the image"),
        }
    }

    fn console() -> &'static Console<Uart> {
        &crate::console::CONSOLE
    }

    fn space() -> &'static Space<Long> {
        &SPACE
    }

    #[inline]
    fn ticks() -> u64 {
        cpu::ticks()
    }

    #[inline]
    fn set_timer(core: &Core<Self>, now: u64, deadline: Option<u64>) {
        core.local.apic.set_timer(&Self::machine().clock, now, deadline);
    }

    #[inline]
    fn halt(_core: &Core<Self>) {
        interrupts::enable_and_hlt();
        interrupts::disable();
    }

    fn mask_interrupts() {
        interrupts::disable();
    }

    fn flush_translations() {
        x86_64::instructions::tlb::flush_all();
    }

    fn text() -> Range {
        image::text()
    }

    fn stack_around(address: u64) -> Option<Range> {
        stacks::around(address)
    }

    fn exit(status: u8) -> ! {
        power::exit(status)
    }

    fn is_asked_to_end(&self) -> Option<bool> {
        self.button.as_ref().map(PowerButton::is_pressed)
    }

    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        self.pci.read(function, offset)
    }

    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        self.pci.write(function, offset, value);
    }

    fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt> {
        let address = lapic::message_address(self.id(core)?, kvm::takes_wide_ids())?;
        Some(MessageInterrupt { address, data: DEVICE.into() })
    }

    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        self.devices.get(index).copied()
    }

    fn route_line(&self, line: u32, core: usize) -> bool {
        self.interrupt_id(core).is_some_and(|id| self.io_apics.route(line, id, DEVICE))
    }
}

/// Physical memory that is not RAM, for reading: firmware tables. What is not mapped yet is
/// mapped when it is asked for.
pub(crate) struct Firmware;

impl Physical for Firmware {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        SPACE.map_readable(Range::sized(address, length as u64)).ok()?;
        let base = core::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: mapped, and firmware tables do not change while an image runs. An address in
        // RAM that Rust uses could only come from a table that lies: the parser checks sums.
        (address != 0).then(|| unsafe { core::slice::from_raw_parts(base, length) })
    }
}
