//! From the first Rust instruction to the image, once.

use crate::acpi::{self, Acpi};
use crate::apic::LocalApic;
use crate::button::PowerButton;
use crate::cpu::{Features, ticks};
use crate::io_apic::IoApics;
use crate::limine::{self, Loaded};
use crate::loader::{BootInfo, LoaderError, Physical};
use crate::machine::{self, Firmware, Local, Machine, X86};
use crate::panic::{refuse, report};
use crate::pci::Configuration;
use crate::{calibrate, cmos, console, entropy, fw_cfg, image, interrupts, kvm, mmio};
use crate::{multiboot2, power, pvh, requests, stacks};
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform_machine::clock::Clock;
use platform_machine::machine::Words;
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

/// Memory below this is the firmware's, and other cores start there.
const LOW: u64 = 1 << 20;
/// Bytes of PCI's configuration space in memory, all buses.
const ECAM_LENGTH: u64 = 1 << 28;
/// What PCs keep for devices: from 3 GiB up to the interrupt controllers.
const DEVICES: Range = Range::new(0xc000_0000, 0xfec0_0000);
/// What the entry code mapped.
const FIRST_MAPPED: u64 = 4 << 30;

/// Boots by PVH or Multiboot2: `magic` says which loader left something at `info`.
pub(crate) extern "C" fn start(magic: u32, info: u32) -> ! {
    let begun = begin();
    let info = if magic == multiboot2::MAGIC {
        multiboot2::parse(&FirstMapped, info.into())
    } else {
        pvh::parse(&FirstMapped, info.into())
    };
    let loaded = info.map(|info| Loaded { info, direct: 0, image: image::usual_place() });
    boot(begun, loaded)
}

/// Boots by Limine's protocol.
pub(crate) extern "C" fn start_limine() -> ! {
    let begun = begin();
    boot(begun, limine::parse(&LoaderMapped, &requests::answers()))
}

/// Where the counter was, and what the processor can.
type Begun = (u64, Features);

/// What comes first, whoever loaded the image: a word can be said, and a fault is reported.
fn begin() -> Begun {
    let first_tick = ticks();
    console::init();
    // SAFETY: called once, here, with interrupts off.
    unsafe { interrupts::init() };
    let features = Features::read();
    if !features.no_execute {
        refuse(format_args!("the processor cannot keep data from being executed (NX)"));
    }
    features.enable();
    (first_tick, features)
}

fn boot((first_tick, features): Begun, loaded: Result<Loaded, LoaderError>) -> ! {
    let Loaded { mut info, direct, image } = match loaded {
        Ok(loaded) => loaded,
        Err(error) => refuse(format_args!("{error}")),
    };
    image::set_place(image);
    let mapped = take_memory(&mut info, direct, &features);
    if let (pieces @ 1.., bytes) = info.dropped {
        report!("the memory map has {pieces} pieces too many: {} KiB are left unused", bytes >> 10);
    }
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(error) => refuse(format_args!("{error}")),
    };
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
    let started = kvm::wall_clock().or_else(|| cmos::wall_clock(acpi.century));
    let started = started.map(|now| now.saturating_sub(uptime));
    let started = started.or(info.date);
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
    let (low_page, ids) = (low_page(mapped, &info.taken), Once::new());
    let button = acpi.button.as_ref().and_then(PowerButton::new);
    let x86 = X86 { pci, io_apics, devices, acpi, low_page, ids, button };
    let mut words = Vec::from([Words::of_command_line(info.command_line)]);
    words.extend(fw_cfg::words(&features).map(Words::of_fw_cfg));
    let mut machine = Machine::new(x86, words, clock, seed);
    machine.window = window;
    machine.started = started;
    machine::set_machine(Box::leak(Box::new(machine)));
    // SAFETY: `start!` defines it with this signature.
    unsafe { waitless_start() }
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

/// Memory as Limine's loader mapped it, all of it in the upper half.
struct LoaderMapped;

impl Physical for LoaderMapped {
    fn bytes(&self, address: u64, length: usize) -> Option<&[u8]> {
        address.checked_add(length as u64)?;
        let base = core::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: the loader says where its answers are, and that they are mapped. Nothing writes
        // to them before they were read; they are in memory of the loader's own.
        let slice = || unsafe { core::slice::from_raw_parts(base, length) };
        (address >> 63 != 0).then(slice)
    }
}

/// Maps all memory with the rights that it needs, and gives what is free to the allocator. So far
/// memory is mapped `direct` bytes higher than it is. What the loader left has been read. Gives
/// what is mapped of RAM.
fn take_memory(
    info: &mut BootInfo,
    direct: u64,
    features: &Features,
) -> Result<Ranges, PagingError> {
    let (all, text, rodata) = (image::all(), image::text(), image::rodata());
    // The tables in use, and the loader's stack, are still needed.
    let loaders = info.release_loader();
    let ram = memory::usable(&info.memory);
    // The image is where it was linked, and nowhere else: nobody writes its code from elsewhere.
    let mapped = ram.clone().without(&[image::physical(all)]);
    let free = mapped.clone().without(&info.taken).without(&[Range::new(0, LOW)]);
    let tables = first_mapped(&free.clone().without(&loaders));
    // SAFETY: the loader says that it is free, and it is mapped there.
    let mut tables = unsafe { EarlyTables::mapped_at(tables, direct) };
    let first_table = tables.left().start();
    let pages = AddressSpace::new(&mut tables, features.huge_pages)?;
    for range in mapped.iter() {
        let range = Range::new(range.start().max(PAGE), range.end().min(LIMIT));
        pages.map(&mut tables, range, Access::ReadWrite)?;
    }
    for module in &info.taken {
        pages.map(&mut tables, module.outer_pages(), Access::Read)?;
    }
    for (range, access) in
        [(all, Access::ReadWrite), (text, Access::ReadExecute), (rodata, Access::Read)]
    {
        pages.map_at(&mut tables, range.start(), image::physical(range), access)?;
    }
    for guard in stacks::guards() {
        pages.unmap(&mut tables, guard)?;
    }

    let root = PhysFrame::containing_address(PhysAddr::new(pages.root()));
    // SAFETY: everything in use stays mapped where it was: code, data, the image's own stack.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    let used = Range::new(first_table, tables.left().start());
    let free = free.without(&[used]);
    for range in free.iter() {
        // SAFETY: the loader says that it is free, it is a part of what is mapped, and the image,
        // the modules and the tables are not in it. Memory of the loader's own has been read and
        // copied.
        unsafe { heap::claim(Range::new(range.start(), range.end().min(LIMIT))) };
    }
    memory::also_dropped(&mut info.dropped, free.dropped());
    X86::space().set(pages, ram);
    Ok(mapped)
}

/// The largest free range of what is surely mapped: page tables come from there.
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

/// A free page below 64 KiB of what is `mapped`, where cores can start in real mode. Firmware keeps
/// its own data at both ends of that.
fn low_page(mapped: Ranges, taken: &[Range]) -> Option<u64> {
    let free = mapped.without(taken);
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
