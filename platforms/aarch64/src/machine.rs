//! The architecture as the shared code drives it.

use crate::board::{CORES, DEVICES, Gic};
use crate::boot::memory_for_tables;
use crate::button::PowerKey;
use crate::console::Pl011;
use crate::controller::{Distributor, Interface, redistributor_of};
use crate::its::Service;
use crate::paging::Stage1;
use crate::{cpu, gic, power, secondaries, stacks};
use alloc::boxed::Box;
use core::sync::atomic::Ordering;
use heapless::Vec;
use platform_machine::console::Console;
use platform_machine::ecam::Ecam;
use platform_machine::memory::Range;
use platform_machine::percore::Core;
use platform_machine::space::Space;
use platform_machine::{Arch, Slot, machine, panic};
use spinning_top::Spinlock;
use waitless::cores::Once;
use waitless::device::{MessageInterrupt, MmioDevice, PciAddress, Registers};

/// The machine.
pub type Machine = machine::Machine<Aarch64>;

/// What of a machine only AArch64 has.
pub struct Aarch64 {
    pub(crate) pci: Option<Ecam>,
    pub(crate) messages: Messages,
    pub(crate) devices: Vec<MmioDevice, DEVICES>,
    pub(crate) distributor: Spinlock<Distributor>,
    pub(crate) gic: Gic,
    /// The id of the timer's interrupt.
    pub(crate) timer: u32,
    /// How whoever runs the machine asks it to end.
    pub(crate) button: Option<PowerKey>,
    /// The cores there are, as the tree lists them.
    pub(crate) cores: Vec<u64, CORES>,
    /// The affinities of those that run, by their numbers.
    pub(crate) affinities: Once<alloc::vec::Vec<u64>>,
}

// SAFETY: what is not `Sync` of its own are the registers of configuration space, which takes
// accesses from any core, each of which is one instruction.
unsafe impl Sync for Aarch64 {}

/// What devices on PCI write to interrupt.
pub(crate) enum Messages {
    /// They cannot.
    None,
    /// An interrupt's id, from the first core's on.
    Frame { target: u64, first: u32, count: u32 },
    /// A core's number.
    Service(Box<Spinlock<Service>>),
}

/// What belongs to one core.
pub struct Local {
    pub(crate) interface: Interface,
    /// The id of the timer's interrupt.
    pub(crate) timer: u32,
}

static MACHINE: Slot<Machine> = Slot::new();
static SPACE: Space<Stage1> = Space::new();

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
}

/// Makes `machine` the machine.
pub(crate) fn set_machine(machine: &'static Machine) {
    MACHINE.set(machine);
}

/// Maps `length` bytes of device registers.
pub(crate) fn try_map(address: u64, length: usize) -> Option<Registers> {
    SPACE.map_device(address, length, Aarch64::flush_translations)
}

impl Aarch64 {
    /// The affinity of core `number`.
    fn affinity(&self, number: usize) -> Option<u64> {
        match self.affinities.get() {
            Some(affinities) => affinities.get(number).copied(),
            None => (number == 0).then(cpu::affinity),
        }
    }
}

critical_section::set_impl!(platform_machine::section::ImageSection<Aarch64>);

impl Arch for Aarch64 {
    type Serial = Pl011;
    type Format = Stage1;
    type Local = Local;

    #[inline]
    fn core() -> &'static Core<Self> {
        // SAFETY: boot set it to the core's state, which lives for ever.
        unsafe { &*cpu::this_core().cast() }
    }

    fn number() -> usize {
        // The first core has no state while it boots.
        if cpu::this_core().is_null() { 0 } else { Self::core().number }
    }

    fn start_cores(machine: &'static Machine, most: usize) -> usize {
        let affinities = secondaries::start(machine, most);
        let count = affinities.len();
        let _ = machine.arch.affinities.set(affinities);
        count
    }

    fn wake(&self, number: usize) {
        if let Some(affinity) = self.affinity(number) {
            Self::core().local.interface.wake(affinity);
        }
    }

    /// Interrupts are taken where a core sleeps, so what it is told here is to wake up. Then, or
    /// before its next sweep, it finds that another one reports.
    fn stop_others() -> u64 {
        let Some(arch) = MACHINE.get().map(|machine| &machine.arch) else { return 0 };
        let count = arch.affinities.get().map_or(0, alloc::vec::Vec::len);
        let own = Self::number();
        let others = (0..count).filter(|number| *number != own);
        others.inspect(|number| arch.wake(*number)).fold(0, |all, number| all | 1 << number)
    }

    /// By an interrupt that is not masked, where the controller has a group for it.
    fn stop_busy(number: usize) {
        if let Some(affinity) = Self::machine().arch.affinity(number) {
            Self::core().local.interface.stop(affinity);
        }
    }

    #[inline]
    fn attend() {
        panic::give_way::<Self>();
    }

    fn stop() -> ! {
        cpu::mask_all();
        if !cpu::this_core().is_null() {
            Self::core().local.interface.accept_stop();
        }
        loop {
            cpu::wait();
        }
    }

    #[inline]
    fn machine() -> &'static Machine {
        match MACHINE.get() {
            Some(machine) => machine,
            None => unreachable!("boot sets the machine before it starts the image"),
        }
    }

    fn console() -> &'static Console<Pl011> {
        &crate::console::CONSOLE
    }

    fn space() -> &'static Space<Stage1> {
        &SPACE
    }

    #[inline]
    fn ticks() -> u64 {
        cpu::ticks()
    }

    #[inline]
    fn set_timer(_: &Core<Self>, _: u64, deadline: Option<u64>) {
        match deadline {
            Some(deadline) => cpu::set_timer(Self::machine().clock.ticks(deadline)),
            None => cpu::stop_timer(),
        }
    }

    #[inline]
    fn halt(core: &Core<Self>) {
        cpu::wait();
        let (mut all, mut alarms) = (0, 0);
        core.local.interface.take(|id| {
            all += 1;
            if id == core.local.timer {
                // It holds its line up until it is told.
                cpu::stop_timer();
                alarms += 1;
            }
        });
        // Nobody else changes them.
        for (counter, more) in [(&core.interrupts, all), (&core.alarms, alarms)] {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }

    fn mask_interrupts() {
        cpu::mask_all();
    }

    fn flush_translations() {
        cpu::flush_translations();
    }

    fn text() -> Range {
        Range::new(&raw const image_start as u64, &raw const text_end as u64)
    }

    fn start_of_image() -> u64 {
        &raw const image_start as u64
    }

    fn stack_around(address: u64) -> Option<Range> {
        stacks::around(address)
    }

    fn exit(status: u8) -> ! {
        power::exit(status)
    }

    fn is_asked_to_end(&self) -> Option<bool> {
        self.button.as_ref().map(PowerKey::is_pressed)
    }

    fn pci_read(&self, function: PciAddress, offset: u16) -> Option<u32> {
        Some(self.pci.as_ref()?.read(function, offset))
    }

    fn pci_write(&self, function: PciAddress, offset: u16, value: u32) {
        if let Some(pci) = &self.pci {
            pci.write(function, offset, value);
        }
    }

    fn message_interrupt(&self, core: usize) -> Option<MessageInterrupt> {
        let affinity = self.affinity(core)?;
        let number = u32::try_from(core).ok()?;
        match &self.messages {
            Messages::None => None,
            Messages::Frame { target, first, count } => {
                let data = Some(first + number).filter(|_| number < *count)?;
                let routed = self.distributor.lock().route(data, true, affinity);
                routed.then_some(MessageInterrupt { address: *target, data })
            }
            Messages::Service(service) => {
                let Gic::Three { redistributors, .. } = &self.gic else { return None };
                let wanted = gic::packed(affinity);
                let mut regions = redistributors.iter();
                let found = regions.find_map(|region| redistributor_of(*region, wanted))?;
                let address = service.lock().interrupt(core, &found, memory_for_tables)?;
                Some(MessageInterrupt { address, data: number })
            }
        }
    }

    fn mmio_device(&self, index: usize) -> Option<MmioDevice> {
        self.devices.get(index).copied()
    }

    fn route_line(&self, line: u32, core: usize) -> bool {
        // Its level does not count: nobody here knows how to make a device let go of it.
        let affinity = self.affinity(core);
        affinity.is_some_and(|affinity| self.distributor.lock().route(line, true, affinity))
    }
}
