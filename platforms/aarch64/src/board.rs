//! What the device tree says of a machine: the few things that an image needs.

use crate::tree::{Node, Tree, cells, word};
use heapless::Vec;
use platform_machine::memory::{self, Dropped, ENTRIES, Entry, Kind, Range};
use platform_machine::options::CommandLine;
use waitless::device::MmioDevice;

/// How many cores are listed.
pub const CORES: usize = 64;
/// How many devices at fixed places are listed. QEMU's machine has 32.
pub const DEVICES: usize = 64;
/// The most bytes of registers of such a device.
const DEVICE_MAX: u64 = 1 << 20;
/// How many ranges of redistributors are listed.
pub const REGIONS: usize = 4;

/// What the tree says. Whatever is missing from it is missing here.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The command line.
    pub command_line: CommandLine,
    /// What the tree itself says of keys: the texts of `/chosen/waitless,set`.
    pub set: CommandLine,
    /// The memory map: RAM, and what of it must stay. It holds the pieces that matter most; see
    /// [`add`](memory::add).
    pub memory: Vec<Entry, ENTRIES>,
    /// Pieces that the map had no room for, and how many bytes they have.
    pub dropped: Dropped,
    /// What is only to be read: an initial file system.
    pub taken: Vec<Range, 1>,
    /// Where a PL011 is, for the console.
    pub console: Option<u64>,
    /// Where a PL031 is, for the time of day.
    pub clock: Option<u64>,
    /// How the firmware is called.
    pub conduit: Option<Conduit>,
    /// A register that ends a virtual machine with a status.
    pub finisher: Option<u64>,
    /// Where QEMU's firmware configuration device is.
    pub fw_cfg: Option<u64>,
    /// The power key: where the PL061 is that it is a pin of, and which.
    pub button: Option<(u64, u8)>,
    /// The id of the virtual timer's interrupt.
    pub timer: Option<u32>,
    /// The interrupt controller.
    pub gic: Option<Gic>,
    /// How devices on PCI interrupt.
    pub messages: Option<Messages>,
    /// PCI.
    pub pci: Option<Pci>,
    /// Virtio devices at fixed places, each with its interrupt's id.
    pub devices: Vec<MmioDevice, DEVICES>,
    /// The cores that can be used, as `MPIDR_EL1` names them.
    pub cores: Vec<u64, CORES>,
    /// What the loader says is random.
    pub seed: Vec<u8, 64>,
    /// Controllers of pins: what others call each, and where it is.
    pins: Vec<(u32, u64), PINS>,
    /// The power key: the controller, as others call it, and the pin.
    key: Option<(u32, u32)>,
}

/// How many controllers of pins are listed.
const PINS: usize = 4;
/// The power key, by the code that the tree's bindings give it.
const KEY_POWER: u32 = 116;

/// How the firmware is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// By `hvc`.
    Hypervisor,
    /// By `smc`.
    Monitor,
}

/// An interrupt controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gic {
    /// Version 2: distributor and processor interface.
    Two {
        /// The distributor's registers.
        distributor: Range,
        /// Each core sees its own registers here.
        interface: Range,
    },
    /// Version 3 and 4: distributor and redistributors.
    Three {
        /// The distributor's registers.
        distributor: Range,
        /// Where the cores' redistributors are, one after the other.
        redistributors: Vec<Range, REGIONS>,
    },
}

/// How devices on PCI interrupt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Messages {
    /// By a frame of registers that makes shared interrupts of them.
    Frame {
        /// Its registers.
        address: u64,
    },
    /// By a service that translates what each device sends.
    Service {
        /// Its registers.
        address: u64,
    },
}

/// PCI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pci {
    /// Configuration space of bus 0.
    pub base: u64,
    /// The first bus.
    pub first: u8,
    /// The last bus.
    pub last: u8,
    /// Addresses below 4 GiB that mean the same on the bus.
    pub window: Option<Range>,
}

/// The property of `/chosen` that sets keys of the manifest.
const SET: &str = "waitless,set";

/// The range of `reg` at `index`, if it has a length.
fn place(node: &Node, index: usize) -> Option<Range> {
    let (address, length) = node.places().nth(index)?;
    (length != 0).then(|| Range::sized(address, length))
}

/// The id of the interrupt at `index`: three words, the kind first.
fn interrupt(node: &Node, index: usize) -> Option<u32> {
    let word = |at| node.word("interrupts", index * 3 + at);
    let number = word(1)?;
    match word(0)? {
        // Shared by all cores.
        0 if number < 988 => Some(number + 32),
        // Each core's own.
        1 if number < 16 => Some(number + 16),
        _ => None,
    }
}

impl Board {
    /// Reads `tree`.
    pub fn read(tree: Tree) -> Self {
        let mut board = Self::default();
        for (start, length) in tree.reserved() {
            board.reserve(Range::sized(start, length));
        }
        // Where the node is whose children are at hand: of reserved memory, of the cores.
        let (mut parent, mut children) = ("", 0);
        for node in tree.nodes() {
            if node.depth < children {
                (parent, children) = ("", 0);
            }
            if node.depth == 1 && matches!(node.name, "reserved-memory" | "cpus") {
                (parent, children) = (node.name, 2);
            }
            match (parent, node.base_name()) {
                ("reserved-memory", _) if node.depth == 2 => {
                    for (start, length) in node.places() {
                        board.reserve(Range::sized(start, length));
                    }
                }
                ("cpus", "cpu") => board.core(&node),
                (_, "chosen") if node.depth == 1 => board.chosen(tree, &node),
                _ => board.device(&node),
            }
        }
        board.button = board.key.and_then(|(controller, pin)| {
            let (_, address) = board.pins.iter().find(|(name, _)| *name == controller)?;
            Some((*address, u8::try_from(pin).ok().filter(|pin| *pin < 8)?))
        });
        board
    }

    fn reserve(&mut self, range: Range) {
        self.add(range, Kind::Reserved);
    }

    fn add(&mut self, range: Range, kind: Kind) {
        memory::add(&mut self.memory, Entry { range, kind }, &mut self.dropped);
    }

    fn core(&mut self, node: &Node) {
        let disabled = node.text("status").is_some_and(|status| status.starts_with("fail"));
        if let Some((affinity, _)) = node.places().next()
            && !disabled
        {
            // More cores than the list holds are left alone.
            let _ = self.cores.push(affinity);
        }
    }

    fn chosen(&mut self, tree: Tree, node: &Node) {
        // Options of the line may follow a colon.
        let path = node.text("stdout-path").and_then(|path| path.split(':').next());
        let console = path.and_then(|path| tree.at(path)).filter(|node| node.is("arm,pl011"));
        let address = console.and_then(|node| node.places().next()).map(|(address, _)| address);
        self.console = address.or(self.console);
        self.command_line = CommandLine::new(node.property("bootargs").unwrap_or_default());
        self.set = CommandLine::list(node.property(SET).unwrap_or_default());
        for name in ["rng-seed", "kaslr-seed"] {
            let bytes = node.property(name).unwrap_or_default();
            let room = self.seed.capacity() - self.seed.len();
            // It was cut to the room.
            let _ = self.seed.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        let end = |name| Some(cells(node.property(name).filter(|value| value.len() <= 8)?));
        if let (Some(start), Some(end)) = (end("linux,initrd-start"), end("linux,initrd-end")) {
            let _ = self.taken.push(Range::new(start, end));
        }
    }

    fn device(&mut self, node: &Node) {
        if !node.is_okay() {
            return;
        }
        if node.text("device_type") == Some("memory") {
            for (start, length) in node.places() {
                self.add(Range::sized(start, length), Kind::Ram);
            }
        }
        let address = || node.places().next().map(|(address, _)| address);
        match () {
            () if node.is("arm,pl011") => self.console = self.console.or_else(address),
            () if node.is("arm,pl031") => self.clock = self.clock.or_else(address),
            () if node.is("sifive,test0") => self.finisher = address(),
            () if node.is("arm,pl061") => {
                // More controllers than the list holds have no key.
                let _ =
                    self.pins.push((node.word("phandle", 0).unwrap_or(0), address().unwrap_or(0)));
            }
            () if node.word("linux,code", 0) == Some(KEY_POWER) => {
                self.key = node.word("gpios", 0).zip(node.word("gpios", 1));
            }
            () if node.is("qemu,fw-cfg-mmio") => self.fw_cfg = self.fw_cfg.or_else(address),
            () if node.is("arm,armv8-timer") => self.timer = interrupt(node, 2),
            () if ["arm,psci", "arm,psci-0.2", "arm,psci-1.0"].iter().any(|it| node.is(it)) => {
                self.conduit = match node.text("method") {
                    Some("hvc") => Some(Conduit::Hypervisor),
                    Some("smc") => Some(Conduit::Monitor),
                    _ => None,
                };
            }
            () if node.is("arm,gic-v3") => self.gic = version_3(node),
            () if ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic"]
                .iter()
                .any(|it| node.is(it)) =>
            {
                let both = place(node, 0).zip(place(node, 1));
                self.gic = both.map(|(distributor, interface)| Gic::Two { distributor, interface });
            }
            () if node.is("arm,gic-v2m-frame") => {
                self.messages = address().map(|address| Messages::Frame { address });
            }
            () if node.is("arm,gic-v3-its") => {
                let service = || address().map(|address| Messages::Service { address });
                self.messages = self.messages.or_else(service);
            }
            () if node.is("pci-host-ecam-generic") => self.pci = pci(node),
            () if node.is("virtio,mmio") => {
                if let Some(registers) = place(node, 0) {
                    let (address, line) = (registers.start(), interrupt(node, 0));
                    let length = registers.length().min(DEVICE_MAX) as usize;
                    // More devices than the list holds are left alone.
                    let _ = self.devices.push(MmioDevice { address, length, line });
                }
            }
            () => {}
        }
    }
}

fn version_3(node: &Node) -> Option<Gic> {
    let count = node.number("#redistributor-regions").unwrap_or(1) as usize;
    let all = (1..=count.min(REGIONS)).filter_map(|index| place(node, index));
    let redistributors: Vec<Range, REGIONS> = all.collect();
    let distributor = place(node, 0)?;
    (!redistributors.is_empty()).then_some(Gic::Three { distributor, redistributors })
}

/// Bits of the first word of a bus address: which space.
const SPACE: u32 = 3 << 24;
const MEMORY_32: u32 = 2 << 24;

fn pci(node: &Node) -> Option<Pci> {
    let space = place(node, 0)?;
    let buses = (space.length() >> 20).clamp(1, 256) as u32;
    let first = node.word("bus-range", 0).unwrap_or(0);
    let last = node.word("bus-range", 1).unwrap_or(255).min(first.saturating_add(buses - 1));
    // The place is that of the first bus.
    let base = space.start().checked_sub(u64::from(first) << 20)?;
    let window = window(node);
    Some(Pci { base, first: first.try_into().ok()?, last: last.try_into().ok()?, window })
}

/// The first range of 32-bit memory that devices can be put into: its addresses on the bus, of
/// three words, are those of the parent.
fn window(node: &Node) -> Option<Range> {
    let (own, parent) = (node.own_cells(), node.cells);
    if own.address != 3 || own.size != 2 || !(1..=2).contains(&parent.address) {
        return None;
    }
    let length = (3 + parent.address as usize + 2) * 4;
    let mut entries = node.property("ranges")?.chunks_exact(length);
    entries.find_map(|entry| {
        let kind = word(entry, 0)? & SPACE;
        let bus = cells(entry.get(4..12)?);
        let (place, length) = entry.get(12..)?.split_at_checked(parent.address as usize * 4)?;
        let range = Range::sized(bus, cells(length));
        let fits = kind == MEMORY_32 && cells(place) == bus && range.end() <= 1 << 32;
        (fits && !range.is_empty()).then_some(range)
    })
}

#[cfg(test)]
mod tests;
