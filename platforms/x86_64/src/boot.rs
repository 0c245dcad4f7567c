//! From the first Rust instruction to the image, once.

use crate::acpi::{self, Acpi};
use crate::apic::LocalApic;
use crate::cpu::{Features, ticks};
use crate::io_apic::IoApics;
use crate::loader::{BootInfo, LoaderError, Physical};
use crate::machine::{self, Firmware, Local, Machine, X86};
use crate::panic::refuse;
use crate::pci::Configuration;
use crate::{calibrate, cmos, console, entropy, interrupts, kvm, mmio};
use crate::{multiboot2, power, pvh, stacks};
use alloc::boxed::Box;
use platform_machine::clock::Clock;
use platform_machine::memory::{self, PAGE, Range, Ranges};
use platform_machine::paging::{Access, AddressSpace, LIMIT, PagingError};
use platform_machine::percore::Core;
use platform_machine::space::EarlyTables;
use platform_machine::{Arch, heap};
use waitless::cores::Once;
use x86_64::PhysAddr;
use x86_64::VirtAddr;
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::registers::model_specific::GsBase;
use x86_64::structures::paging::PhysFrame;

unsafe extern "Rust" {
    /// The image's start, made by [`start!`](crate::start).
    fn waitless_start() -> !;
}

unsafe extern "C" {
    static image_start: u8;
    static text_start: u8;
    static text_end: u8;
    static image_end: u8;
}

/// Memory below this is the firmware's, and other cores start there.
const LOW: u64 = 1 << 20;
/// Bytes of PCI's configuration space in memory, all buses.
const ECAM_LENGTH: u64 = 1 << 28;
/// What PCs keep for devices: from 3 GiB up to the interrupt controllers.
const DEVICES: Range = Range::new(0xc000_0000, 0xfec0_0000);
/// What the entry code mapped.
const FIRST_MAPPED: u64 = 4 << 30;

/// Boots. `magic` says which loader left something at `info`.
pub(crate) extern "C" fn start(magic: u32, info: u32) -> ! {
    let first_tick = ticks();
    console::init();
    // SAFETY: called once, here, with interrupts off.
    unsafe { interrupts::init() };
    let features = Features::read();
    if !features.no_execute {
        refuse(format_args!("the processor cannot keep data from being executed (NX)"));
    }
    features.enable();

    let info = match read_loader(magic, info.into()) {
        Ok(info) => info,
        Err(error) => refuse(format_args!("{error}")),
    };
    if let Err(error) = take_memory(&info, &features) {
        refuse(format_args!("{error}"));
    }
    let acpi = read_firmware(&info);
    power::learn(acpi);

    let map = |address| machine::try_map(address, PAGE as usize);
    let Some(mut apic) = LocalApic::new(&features, map) else {
        refuse(format_args!("the local interrupt controller cannot be reached"));
    };
    let hertz = calibrate::run(&features, &mut apic, acpi.timer);
    let Some(clock) = hertz.and_then(|hertz| Clock::new(first_tick, hertz)) else {
        refuse(format_args!(
            "no clock of known speed: neither CPUID, the hypervisor, ACPI nor a PIT"
        ));
    };
    let seed = entropy::seed(&features);
    let uptime = clock.nanos(ticks()) / 1_000_000_000;
    let started = kvm::wall_clock().or_else(cmos::wall_clock).map(|now| now - uptime);
    start_core(apic);
    let pci = Configuration::find(acpi.ecam, machine::try_map);
    let ecam = acpi.ecam.map_or(Range::default(), |ecam| Range::sized(ecam.base, ECAM_LENGTH));
    let window = memory::largest_gap(DEVICES, &info.memory, &[ecam]);
    let window = (!window.is_empty() && !pci.has_addresses()).then_some(window);
    let io_apics = IoApics::find(acpi, map);
    let mut devices = mmio::from_command_line(info.command_line.as_str());
    if devices.is_empty() {
        devices.clone_from(&acpi.devices);
    }
    let (low_page, ids) = (low_page(&info), Once::new());
    let x86 = X86 { pci, io_apics, devices, acpi, low_page, ids };
    let mut machine = Machine::new(x86, info.command_line, clock, seed);
    machine.window = window;
    machine.started = started;
    machine::set_machine(Box::leak(Box::new(machine)));
    // SAFETY: `start!` defines it with this signature.
    unsafe { waitless_start() }
}

/// What the loader left, copied.
fn read_loader(magic: u32, address: u64) -> Result<BootInfo, LoaderError> {
    if magic == multiboot2::MAGIC {
        multiboot2::parse(&FirstMapped, address)
    } else {
        pvh::parse(&FirstMapped, address)
    }
}

/// The memory that the entry code mapped.
struct FirstMapped;

impl Physical for FirstMapped {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        let end = address.checked_add(length as u64)?;
        let base = core::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: all of it is mapped, and nothing writes to what the loader left before it was
        // read. The image's own memory is not what loaders point to.
        let slice = || unsafe { core::slice::from_raw_parts(base, length) };
        (address != 0 && end <= FIRST_MAPPED).then(slice)
    }
}

/// Maps all memory with the rights that it needs, and gives what is free to the allocator.
fn take_memory(info: &BootInfo, features: &Features) -> Result<(), PagingError> {
    let at = |symbol: *const u8| symbol as u64;
    let image = Range::new(at(&raw const image_start), at(&raw const image_end));
    let text = Range::new(at(&raw const text_start), at(&raw const text_end));
    let rodata = Range::new(image.start(), text.start());

    let ram = memory::usable(&info.memory, &[]);
    let mut taken = info.taken.clone();
    for range in [Range::new(0, LOW), image] {
        taken.push(range).map_err(|_| PagingError::OutOfMemory)?;
    }
    let mut free = memory::usable(&info.memory, &taken);
    // SAFETY: the loader says that it is free, and the entry code mapped it to itself.
    let mut tables = unsafe { EarlyTables::new(first_mapped(&free)) };
    let pages = AddressSpace::new(&mut tables, features.huge_pages)?;
    for range in &ram {
        let mapped = Range::new(range.start().max(PAGE), range.end().min(LIMIT));
        pages.map(&mut tables, mapped, Access::ReadWrite)?;
    }
    for module in &info.taken {
        pages.map(&mut tables, module.outer_pages(), Access::Read)?;
    }
    pages.map(&mut tables, image.outer_pages(), Access::ReadWrite)?;
    pages.map(&mut tables, text, Access::ReadExecute)?;
    pages.map(&mut tables, rodata, Access::Read)?;
    for guard in stacks::guards() {
        pages.unmap(&mut tables, guard)?;
    }

    let root = PhysFrame::containing_address(PhysAddr::new(pages.root()));
    // SAFETY: everything in use stays mapped where it was: code, data, stack and the tables.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    let used = Range::new(first_mapped(&free).start(), tables.left().start());
    taken.push(used).map_err(|_| PagingError::OutOfMemory)?;
    free = memory::usable(&info.memory, &taken);
    for range in free {
        // SAFETY: the loader says that it is free, it is mapped, and the image, the modules and
        // the tables are not in it. Memory of the loader's own has been read and copied.
        unsafe { heap::claim(Range::new(range.start(), range.end().min(LIMIT))) };
    }
    X86::space().set(pages, ram);
    Ok(())
}

/// The largest free range that the entry code mapped: page tables come from there.
fn first_mapped(free: &Ranges) -> Range {
    let reachable = free
        .iter()
        .map(|range| Range::new(range.start().min(FIRST_MAPPED), range.end().min(FIRST_MAPPED)));
    reachable.max_by_key(|range| range.length()).unwrap_or_default()
}

/// Reads the firmware's tables.
fn read_firmware(info: &BootInfo) -> &'static Acpi {
    let firmware = Firmware;
    let root = info.root.or_else(|| acpi::search(&firmware));
    Box::leak(Box::new(root.map_or_else(Acpi::default, |root| acpi::parse(&firmware, root))))
}

/// A free page below 64 KiB, where cores can start in real mode. Firmware keeps its own data at
/// both ends of that.
fn low_page(info: &BootInfo) -> Option<u64> {
    let free = memory::usable(&info.memory, &info.taken);
    let pages = (0x8000..0x1_0000).step_by(PAGE as usize);
    let mut pages = pages.map(|page| Range::sized(page, PAGE));
    pages
        .find(|page| free.iter().any(|f| f.start() <= page.start() && page.end() <= f.end()))
        .map(Range::start)
}

/// Sets up what belongs to the first core.
fn start_core(apic: LocalApic) {
    let core = Box::leak(Box::new(Core::<X86>::new(0, Local::new(apic))));
    GsBase::write(VirtAddr::from_ptr(core));
}
