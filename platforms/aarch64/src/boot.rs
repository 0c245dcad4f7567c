//! From the first Rust instruction to the image, once.

use crate::board::{self, Board};
use crate::button::{self, PowerKey};
use crate::controller::{self, Distributor, Interface};
use crate::entry::{CONTROL_STRICT, turn_on};
use crate::its::Service;
use crate::machine::{self, Aarch64, Local, Machine, Messages};
use crate::panic::{refuse, report};
use crate::stacks::{self, Stacks};
use crate::tree::{self, Tree, TreeError};
use crate::{console, cpu, entropy, exceptions, fw_cfg, gic, its, power};
use alloc::alloc::{Layout, alloc_zeroed};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use platform_machine::clock::{Clock, time_of_day};
use platform_machine::ecam::{Ecam, has_addresses};
use platform_machine::machine::Words;
use platform_machine::memory::{self, PAGE, Range, Ranges};
use platform_machine::paging::{Access, AddressSpace, LIMIT, PagingError};
use platform_machine::percore::Core;
use platform_machine::space::EarlyTables;
use platform_machine::{Arch, heap};
use spinning_top::Spinlock;
use waitless::cores::{CORES_MAX, Once};
use waitless::device::Dma;

unsafe extern "Rust" {
    /// The image's start, made by [`start!`](crate::start).
    fn waitless_start() -> !;
}

unsafe extern "C" {
    static image_start: u8;
    static text_end: u8;
    static fixed_end: u8;
    static image_end: u8;
}

/// What the entry code maps at once.
const GIB: u64 = 1 << 30;
/// Where the console of most virtual machines is, for when the device tree cannot say.
const USUAL_CONSOLE: u64 = 0x0900_0000;

/// Boots. A loader left a device tree at `tree`.
pub(crate) extern "C" fn start(tree: u64) -> ! {
    let first_tick = cpu::ticks();
    exceptions::init();
    let mut board = match read_board(tree) {
        Ok(board) => board,
        Err(error) => {
            use_port_early(USUAL_CONSOLE, tree);
            refuse(format_args!("{error}"));
        }
    };
    power::learn(board.conduit);
    let taken = take_memory(&mut board);
    match board.console {
        // SAFETY: the tree says that it is there, and it was mapped with all memory.
        Some(base) if taken.is_ok() => unsafe { console::use_port(base) },
        Some(base) => use_port_early(base, tree),
        None => {}
    }
    if let (pieces @ 1.., bytes) = board.dropped {
        report!("the memory map has {pieces} pieces too many: {} KiB are left unused", bytes >> 10);
    }
    if let Err(error) = taken {
        refuse(format_args!("{error}"));
    }
    power::learn_finisher(board.finisher);

    let (distributor, core) = start_core(&board);
    let Some(clock) = Clock::new(first_tick, cpu::hertz()) else {
        refuse(format_args!("no clock of known speed: CNTFRQ_EL0 is {}", cpu::hertz()));
    };
    // Without one, a component may still have entropy of its own.
    let seed = entropy::seed(&board.seed);
    let uptime = clock.nanos(cpu::ticks()) / 1_000_000_000;
    let time = board.clock.and_then(|clock| machine::try_map(clock, 4));
    let time = time.and_then(|register| time_of_day(register.read32(0).into()));
    let pci = board.pci.and_then(|pci| Ecam::new(pci.base, pci.first, pci.last, machine::try_map));
    let messages = start_messages(&board, pci.as_ref());
    let window = board.pci.and_then(|found| found.window).filter(|_| {
        let read = |at, offset| Some(pci.as_ref()?.read(at, offset));
        !has_addresses(pci.as_ref().map_or(0, Ecam::first), read)
    });
    let distributor = Spinlock::new(distributor);
    let Some(gic) = board.gic else { unreachable!("the first core has its part of it") };
    let (devices, cores, timer) = (board.devices, board.cores, core.local.timer);
    let affinities = Once::new();
    let button = board.button.and_then(|(address, pin)| {
        Some(PowerKey::new(machine::try_map(address, button::LENGTH)?, pin))
    });
    let arch =
        Aarch64 { pci, messages, devices, distributor, gic, timer, button, cores, affinities };
    let set = Words { by: "the device tree", text: board.set, shared: false };
    let mut words = Vec::from([set, Words::of_command_line(board.command_line)]);
    words.extend(board.fw_cfg.and_then(fw_cfg::words).map(Words::of_fw_cfg));
    let mut machine = Machine::new(arch, words, clock, seed);
    machine.window = window;
    machine.started = time.map(|now| now.saturating_sub(uptime));
    machine::set_machine(Box::leak(Box::new(machine)));
    // SAFETY: `start!` defines it with this signature.
    unsafe { waitless_start() }
}

/// Reads the device tree at `address`. Nothing in the result refers to the tree's memory.
fn read_board(address: u64) -> Result<Board, TreeError> {
    if address == 0 || !address.is_multiple_of(8) || address >= 512 * GIB {
        return Err(TreeError::Magic(0));
    }
    let base = core::ptr::with_exposed_provenance::<u8>(address as usize);
    // SAFETY: the entry code mapped 2 MiB from there on, and nothing writes to what the loader
    // left before it was read. The image's own memory is not what loaders point to.
    let bytes = |length| unsafe { core::slice::from_raw_parts(base, length) };
    let length = tree::length(bytes(tree::HEADER))?;
    Ok(Board::read(Tree::new(bytes(length))?))
}

/// Uses the console at `base` for the last words of an image whose memory is not mapped yet, if it
/// can be reached: the entry code mapped the first GiB as devices', unless the image or the tree
/// is there.
#[cold]
fn use_port_early(base: u64, tree: u64) {
    let devices = image().start() >= GIB && (tree == 0 || tree >= GIB);
    if devices && base <= GIB - PAGE {
        // SAFETY: it is mapped as a device's; the tree says that the port is there, or most virtual
        // machines have it there, and writing to it is the last that the image does.
        unsafe { console::use_port(base) };
    }
}

fn image() -> Range {
    Range::new(&raw const image_start as u64, &raw const image_end as u64)
}

/// Maps all memory with the rights that it needs, and gives what is free to the allocator. When it
/// fails, memory is still mapped as the entry code did.
fn take_memory(board: &mut Board) -> Result<(), PagingError> {
    let image = image();
    let text = Range::new(image.start(), &raw const text_end as u64);
    let fixed = Range::new(text.end(), &raw const fixed_end as u64);

    let ram = memory::usable(&board.memory);
    let free = ram.clone().without(&board.taken).without(&[image]);
    let first = first_mapped(&free);
    // SAFETY: the loader says that it is free, and the entry code mapped it to itself.
    let mut tables = unsafe { EarlyTables::new(first) };
    let pages = AddressSpace::new(&mut tables, true)?;
    for range in ram.iter() {
        let mapped = Range::new(range.start().max(PAGE), range.end().min(LIMIT));
        pages.map(&mut tables, mapped, Access::ReadWrite)?;
    }
    for module in &board.taken {
        pages.map(&mut tables, module.outer_pages(), Access::Read)?;
    }
    pages.map(&mut tables, image.outer_pages(), Access::ReadWrite)?;
    pages.map(&mut tables, text, Access::ReadExecute)?;
    pages.map(&mut tables, fixed, Access::Read)?;
    for guard in stacks::guards() {
        pages.unmap(&mut tables, guard)?;
    }
    // The other cores' stacks lie at the end of what tables may take, as long as most is left.
    let stacks = board.cores.len().saturating_sub(1).min(CORES_MAX - 1) as u64;
    let stacks = stacks.min(tables.left().length() / 4 / Stacks::LENGTH);
    let stacks = Range::new(first.end() - stacks * Stacks::LENGTH, first.end());
    let places = (stacks.start()..stacks.end()).step_by(Stacks::LENGTH as usize);
    let others: heapless::Vec<Stacks, CORES_MAX> = places.map(Stacks::at).collect();
    for guard in others.iter().flat_map(Stacks::guards) {
        pages.unmap(&mut tables, guard)?;
    }
    if let Some(console) = board.console {
        let page = Range::sized(console, 1).outer_pages();
        if ram.iter().any(|ram| ram.overlaps(page)) {
            return Err(PagingError::OutOfReach);
        }
        pages.map(&mut tables, page, Access::Device)?;
    }

    let used = Range::new(first.start(), tables.left().start());
    if used.overlaps(stacks) {
        return Err(PagingError::OutOfMemory);
    }
    // SAFETY: everything in use stays mapped where it was: code, data, stack and the tables.
    unsafe { turn_on(pages.root(), CONTROL_STRICT) };
    let free = free.without(&[used, stacks]);
    memory::also_dropped(&mut board.dropped, free.dropped());
    for range in free.iter() {
        // SAFETY: the loader says that it is free, it is a part of what is mapped, and the image,
        // the modules and the tables are not in it. The device tree has been read and copied.
        unsafe { heap::claim(Range::new(range.start().max(PAGE), range.end().min(LIMIT))) };
    }
    stacks::remember(others);
    Aarch64::space().set(pages, ram);
    Ok(())
}

/// The largest free range in what the entry code mapped around the image: page tables come from
/// there.
fn first_mapped(free: &Ranges) -> Range {
    let gib = Range::sized(image().start() & !(GIB - 1), GIB);
    let reachable = free.iter().map(|range| {
        Range::new(range.start().max(gib.start()).max(PAGE), range.end().min(gib.end()))
    });
    reachable.max_by_key(|range| range.length()).unwrap_or_default()
}

/// Sets up what belongs to the first core.
fn start_core(board: &Board) -> (Distributor, &'static Core<Aarch64>) {
    let timer = controller::timer(board);
    let parts = board.gic.as_ref().and_then(|gic| {
        let distributor = Distributor::new(gic)?;
        Some((distributor, Interface::new(gic, timer)?))
    });
    let Some((distributor, interface)) = parts else {
        refuse(format_args!("no interrupt controller: neither a GICv2 nor a GICv3 can be reached"));
    };
    let core = Box::leak(Box::new(Core::<Aarch64>::new(0, Local { interface, timer })));
    cpu::set_this_core(core::ptr::from_ref(core).cast());
    (distributor, core)
}

/// How devices on PCI can interrupt.
fn start_messages(board: &Board, pci: Option<&Ecam>) -> Messages {
    match board.messages {
        None => Messages::None,
        Some(board::Messages::Frame { address }) => {
            let offered = machine::try_map(address, PAGE as usize)
                .and_then(|frame| gic::offered(frame.read32(gic::frame::TYPE)));
            let target = address + gic::frame::SET as u64;
            let frame = |(first, count)| Messages::Frame { target, first, count };
            offered.map_or(Messages::None, frame)
        }
        Some(board::Messages::Service { address }) => {
            let service = pci.and_then(|pci| start_service(address, board.cores.len(), pci));
            service.map_or(Messages::None, |service| {
                Messages::Service(Box::new(Spinlock::new(service)))
            })
        }
    }
}

fn start_service(address: u64, cores: usize, pci: &Ecam) -> Option<Service> {
    const SERVICE: usize = 0x2_0000;
    let registers = machine::try_map(address, SERVICE)?;
    let functions = its::functions(pci.first(), |at, offset| pci.read(at, offset));
    Service::new(address, registers, functions, cores.clamp(1, CORES_MAX), memory_for_tables)
}

/// Zeroed memory that starts at a multiple of 64 KiB.
pub(crate) fn memory_for_tables(length: usize) -> Option<Dma> {
    let layout = Layout::from_size_align(length.max(1), 0x1_0000).ok()?;
    // SAFETY: the layout's size is not zero.
    let base = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    let address = base.expose_provenance().get() as u64;
    // SAFETY: fresh memory that is never given back, mapped to itself.
    Some(unsafe { Dma::new(base, length, address) })
}
