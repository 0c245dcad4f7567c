extern crate std;
use super::*;
use crate::tree::tests::Writer;
use std::vec::Vec;

/// The board of a tree whose root holds what `fill` writes; addresses and lengths have two words.
fn board(fill: impl FnOnce(&mut Writer)) -> Board {
    Board::read(Tree::new(&tree(fill)).unwrap())
}

fn tree(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.begin("").words("#address-cells", &[2]).words("#size-cells", &[2]);
    fill(&mut writer);
    writer.end().finish()
}

fn node(writer: &mut Writer, name: &str, compatible: &str, reg: &[u32]) {
    writer.begin(name).text("compatible", compatible).words("reg", reg);
}

/// The power key of QEMU's machine: a pin of a controller that comes later in the tree.
fn key(writer: &mut Writer, controller: u32, pin: u32) {
    writer.begin("gpio-keys").text("compatible", "gpio-keys");
    writer
        .begin("poweroff")
        .words("linux,code", &[116])
        .words("gpios", &[controller, pin, 0])
        .end();
    writer.end();
    node(writer, "pl061@9030000", "arm,pl061\0arm,primecell", &[0, 0x903_0000, 0, 0x1000]);
    writer.words("phandle", &[0x8003]).end();
}

#[test]
fn the_power_key_is_a_pin_of_a_controller_that_is_there() {
    let button = |controller, pin| board(|writer| key(writer, controller, pin)).button;
    assert_eq!(button(0x8003, 3), Some((0x903_0000, 3)));
    assert_eq!(button(0x8004, 3), None, "another controller, which nothing is known of");
    assert_eq!(button(0x8003, 8), None, "it has eight pins");
    assert_eq!(board(virt).button, None);
}

/// What QEMU 7.2 says of `-M virt,gic-version=3 -smp 2 -m 128M`, as far as it is read.
fn virt(writer: &mut Writer) {
    writer.begin("memory@40000000").text("device_type", "memory");
    writer.words("reg", &[0, 0x4000_0000, 0, 0x800_0000]).end();
    writer.begin("chosen").text("bootargs", "log=debug").bytes("rng-seed", &[7; 32]);
    writer.bytes("kaslr-seed", &[8; 8]).text("stdout-path", "/pl011@9000000");
    writer.text("waitless,set", "http.port=81\0ip4.ttl=3").end();
    node(writer, "fw-cfg@9020000", "qemu,fw-cfg-mmio", &[0, 0x902_0000, 0, 0x18]);
    writer.end();
    writer.begin("cpus").words("#address-cells", &[1]).words("#size-cells", &[0]);
    for core in [0, 1] {
        writer.begin(if core == 0 { "cpu@0" } else { "cpu@1" });
        writer.text("device_type", "cpu").words("reg", &[core]).end();
    }
    writer.end();
    writer.begin("psci").text("compatible", "arm,psci-1.0\0arm,psci").text("method", "hvc").end();
    writer.begin("timer").text("compatible", "arm,armv8-timer");
    writer.words("interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]).end();
    node(writer, "pl011@9000000", "arm,pl011\0arm,primecell", &[0, 0x900_0000, 0, 0x1000]);
    writer.words("interrupts", &[0, 1, 4]).end();
    node(writer, "pl031@9010000", "arm,pl031", &[0, 0x901_0000, 0, 0x1000]);
    writer.end();
    let gic = [0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000];
    node(writer, "intc@8000000", "arm,gic-v3", &gic);
    writer.words("#redistributor-regions", &[1]);
    writer.words("#address-cells", &[2]).words("#size-cells", &[2]);
    node(writer, "its@8080000", "arm,gic-v3-its", &[0, 0x808_0000, 0, 0x2_0000]);
    writer.end().end();
    node(writer, "virtio_mmio@a000200", "virtio,mmio", &[0, 0xa00_0200, 0, 0x200]);
    writer.words("interrupts", &[0, 17, 1]).end();
    node(writer, "pcie@10000000", "pci-host-ecam-generic", &[0x40, 0x1000_0000, 0, 0x1000_0000]);
    writer.words("#address-cells", &[3]).words("#size-cells", &[2]).words("bus-range", &[0, 255]);
    writer.words(
        "ranges",
        &[
            0x100_0000,
            0,
            0,
            0,
            0x3eff_0000,
            0,
            0x1_0000, // ports
            0x200_0000,
            0,
            0x1000_0000,
            0,
            0x1000_0000,
            0,
            0x2eff_0000, // 32 bits
            0x300_0000,
            0x80,
            0,
            0x80,
            0,
            0x80,
            0, // 64 bits
        ],
    );
    writer.end();
}

#[test]
fn a_virtual_machine_of_qemu_is_understood() {
    let board = board(virt);
    assert_eq!(board.command_line.as_str(), "log=debug");
    assert_eq!(board.set.as_str(), "http.port=81 ip4.ttl=3");
    assert_eq!(board.fw_cfg, Some(0x902_0000));
    let ram = Entry { range: Range::sized(0x4000_0000, 128 << 20), kind: Kind::Ram };
    assert_eq!(board.memory.as_slice(), &[ram]);
    assert_eq!((board.console, board.clock), (Some(0x900_0000), Some(0x901_0000)));
    assert_eq!((board.conduit, board.timer), (Some(Conduit::Hypervisor), Some(27)));
    assert_eq!(board.cores.as_slice(), &[0, 1]);
    assert_eq!(board.seed.as_slice(), &[[7; 32].as_slice(), &[8; 8]].concat());
    let redistributors = Range::sized(0x80a_0000, 0xf6_0000);
    let expected = Gic::Three {
        distributor: Range::sized(0x800_0000, 0x1_0000),
        redistributors: Vec::from([redistributors]).into_iter().collect(),
    };
    assert_eq!(board.gic, Some(expected));
    assert_eq!(board.messages, Some(Messages::Service { address: 0x808_0000 }));
    let window = Some(Range::sized(0x1000_0000, 0x2eff_0000));
    assert_eq!(board.pci, Some(Pci { base: 0x40_1000_0000, first: 0, last: 255, window }));
    let device = MmioDevice { address: 0xa00_0200, length: 0x200, line: Some(49) };
    assert_eq!(board.devices.as_slice(), &[device]);
}

#[test]
fn the_older_controller_comes_with_a_frame_for_messages() {
    let board = board(|writer| {
        let gic = [0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000];
        node(writer, "intc@8000000", "arm,cortex-a15-gic", &gic);
        writer.words("#address-cells", &[2]).words("#size-cells", &[2]);
        node(writer, "v2m@8020000", "arm,gic-v2m-frame", &[0, 0x802_0000, 0, 0x1000]);
        writer.end().end();
        writer.begin("psci").text("compatible", "arm,psci-0.2").text("method", "smc").end();
    });
    let expected = Gic::Two {
        distributor: Range::sized(0x800_0000, 0x1_0000),
        interface: Range::sized(0x801_0000, 0x1_0000),
    };
    assert_eq!(board.gic, Some(expected));
    assert_eq!(board.messages, Some(Messages::Frame { address: 0x802_0000 }));
    assert_eq!(board.conduit, Some(Conduit::Monitor));
}

#[test]
fn what_must_stay_is_reserved() {
    let mut writer = Writer::default();
    writer.reserve(0x4800_0000, 0x1000).begin("");
    writer.words("#address-cells", &[2]).words("#size-cells", &[2]);
    writer.begin("reserved-memory").words("#address-cells", &[2]).words("#size-cells", &[2]);
    writer.begin("firmware@50000000").words("reg", &[0, 0x5000_0000, 0, 0x2000]).end().end();
    writer.begin("memory").text("device_type", "memory");
    writer.words("reg", &[0, 0x4000_0000, 0, 0x4000_0000]).end();
    writer.begin("chosen").words("linux,initrd-start", &[0x4100_0000]);
    writer.words("linux,initrd-end", &[0, 0x4200_0000]).end();
    let bytes = writer.end().finish();
    let board = Board::read(Tree::new(&bytes).unwrap());
    let free = platform_machine::memory::usable(&board.memory).without(&board.taken);
    let expected = [
        Range::new(0x4000_0000, 0x4100_0000),
        Range::new(0x4200_0000, 0x4800_0000),
        Range::new(0x4800_1000, 0x5000_0000),
        Range::new(0x5000_2000, 0x8000_0000),
    ];
    assert_eq!(*free, expected);
}

/// A board with two small pieces of RAM, `count` pieces of 1 MiB that are reserved, and a large
/// piece of RAM that they all lie in.
fn reserving(count: u32) -> Board {
    let ram = |writer: &mut Writer, reg: [u32; 4]| {
        writer.begin("memory").text("device_type", "memory").words("reg", &reg).end();
    };
    board(|writer| {
        ram(writer, [1, 0, 0, 0x1000]);
        ram(writer, [2, 0, 0, 0x2000]);
        writer.begin("reserved-memory").words("#address-cells", &[2]).words("#size-cells", &[2]);
        for index in 0..count {
            writer.begin("piece").words("reg", &[0, 0x4000_0000 + (index << 21), 0, 1 << 20]).end();
        }
        writer.end();
        ram(writer, [0, 0x4000_0000, 0, 0x4000_0000]);
    })
}

#[test]
fn reserved_memory_is_never_free_however_much_is_reserved() {
    for count in [1, 60, 125, 126, 127, 128, 129, 130, 200, 500] {
        let board = reserving(count);
        let free = platform_machine::memory::usable(&board.memory);
        for index in 0..u64::from(count) {
            let piece = Range::sized(0x4000_0000 + (index << 21), 1 << 20);
            assert!(!free.iter().any(|free| free.overlaps(piece)), "{index} of {count}");
        }
        assert_eq!(board.memory.iter().any(|entry| entry.kind == Kind::Ram), count < 128);
        let (pieces, bytes) = board.dropped;
        match count {
            ..126 => assert_eq!((pieces, bytes), (0, 0)),
            // The smallest piece of RAM gives way, then the other one, then the large one.
            126 => assert_eq!((pieces, bytes), (1, 0x1000)),
            127 => assert_eq!((pieces, bytes), (2, 0x3000)),
            _ => assert!((pieces, bytes) >= (3, 0x4000_3000), "{count}"),
        }
    }
}

#[test]
fn a_console_at_a_path_deeper_than_any_tree_is_none() {
    let path = "/a".repeat(crate::tree::DEPTH + 1);
    let board = board(|writer| {
        writer.begin("chosen").text("stdout-path", &path).end();
        node(writer, "pl011@1000", "arm,pl011", &[0, 0x1000, 0, 0x1000]);
        writer.end();
    });
    assert_eq!(board.console, Some(0x1000));
}

#[test]
fn the_console_is_what_the_tree_chose() {
    let board = board(|writer| {
        node(writer, "pl011@1000", "arm,pl011", &[0, 0x1000, 0, 0x1000]);
        writer.end();
        writer.begin("chosen").text("stdout-path", "/pl011@2000:115200").end();
        node(writer, "pl011@2000", "arm,pl011", &[0, 0x2000, 0, 0x1000]);
        writer.end();
    });
    assert_eq!(board.console, Some(0x2000));
}

#[test]
fn devices_that_are_off_and_interrupts_that_are_none_do_not_count() {
    let board = board(|writer| {
        node(writer, "pl011@1000", "arm,pl011", &[0, 0x1000, 0, 0x1000]);
        writer.text("status", "disabled").end();
        node(writer, "pl011@2000", "arm,pl011", &[0, 0x2000, 0, 0x1000]);
        writer.end();
        for interrupts in [[2, 1, 4], [1, 16, 4], [0, 988, 4]] {
            node(writer, "virtio_mmio@a000000", "virtio,mmio", &[0, 0xa00_0000, 0, 0x200]);
            writer.words("interrupts", &interrupts).end();
        }
        node(writer, "virtio_mmio@b000000", "virtio,mmio", &[0, 0xb00_0000, 0, 0]);
        writer.end();
    });
    assert_eq!(board.console, Some(0x2000));
    assert_eq!(board.devices.len(), 3, "one has no registers");
    assert!(board.devices.iter().all(|device| device.line.is_none()));
}

#[test]
fn more_than_the_lists_hold_is_left_alone() {
    let board = board(|writer| {
        writer.begin("cpus").words("#address-cells", &[1]).words("#size-cells", &[0]);
        for core in 0..CORES as u32 + 3 {
            writer.begin("cpu").words("reg", &[core]).end();
        }
        writer.end();
        for index in 0..DEVICES as u32 + 3 {
            node(writer, "virtio_mmio", "virtio,mmio", &[0, index << 12, 0, 0x200]);
            writer.end();
        }
    });
    assert_eq!((board.cores.len(), board.devices.len()), (CORES, DEVICES));
}

#[test]
fn a_window_that_is_elsewhere_on_the_bus_or_above_is_none() {
    let with = |ranges: &[u32]| {
        let board = board(|writer| {
            let place = [0x40, 0x1000_0000, 0, 0x10_0000];
            node(writer, "pcie", "pci-host-ecam-generic", &place);
            writer.words("#address-cells", &[3]).words("#size-cells", &[2]);
            writer.words("ranges", ranges).end();
        });
        let pci = board.pci.unwrap();
        assert_eq!((pci.first, pci.last), (0, 0), "as many buses as there is room for");
        pci.window
    };
    let good = [0x200_0000, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x1000];
    assert_eq!(with(&good), Some(Range::sized(0x1000_0000, 0x1000)));
    assert_eq!(with(&[0x200_0000, 0, 0, 0, 0x1000_0000, 0, 0x1000]), None);
    assert_eq!(with(&[0x200_0000, 1, 0, 1, 0, 0, 0x1000]), None);
    assert_eq!(with(&good[..6]), None);
    assert_eq!(with(&[]), None);
}

#[test]
fn no_damage_to_a_real_tree_makes_reading_it_panic() {
    let good = tree(virt);
    for (at, value) in (0..good.len()).flat_map(|at| [0, 1, 0x7f, 0xff].map(|value| (at, value))) {
        let mut bytes = good.clone();
        bytes[at] = value;
        if let Ok(tree) = Tree::new(&bytes) {
            Board::read(tree);
        }
    }
}
