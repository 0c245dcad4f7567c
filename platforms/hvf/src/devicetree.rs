//! The machine, described to the guest (Devicetree Specification 0.4 and Linux's bindings).

use crate::layout::{self, Layout};
use crate::power::affinity;
use vm_fdt::{Error, FdtWriter};

/// Numbers by which nodes name each other.
const GIC: u32 = 1;
const CLOCK: u32 = 2;

/// In an interrupt's description: whose it is, and what it looks like.
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const LEVEL: u32 = 4;

/// Describes the machine: `seed` feeds the guest's randomness, `arguments` is its command line.
///
/// # Errors
/// When that cannot be a device tree, as with a zero byte in `arguments`.
pub fn describe(layout: &Layout, arguments: &str, seed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_string("model", "waitless,hvf")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", GIC)?;
    tree.property_null("dma-coherent")?;

    let chosen = tree.begin_node("chosen")?;
    tree.property_string("bootargs", arguments)?;
    tree.property_string("stdout-path", &format!("/pl011@{:x}", layout::CONSOLE))?;
    tree.property("rng-seed", seed)?;
    tree.end_node(chosen)?;

    let memory = tree.begin_node(&format!("memory@{:x}", layout::RAM))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[layout::RAM, layout.memory])?;
    tree.end_node(memory)?;

    cores(&mut tree, layout.cores)?;
    interrupts(&mut tree, layout)?;
    devices(&mut tree)?;
    tree.end_node(root)?;
    tree.finish()
}

fn cores(tree: &mut FdtWriter, count: usize) -> Result<(), Error> {
    let cpus = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 0)?;
    for core in 0..count {
        let cpu = tree.begin_node(&format!("cpu@{:x}", affinity(core)))?;
        tree.property_string("device_type", "cpu")?;
        tree.property_string("compatible", "arm,armv8")?;
        tree.property_array_u64("reg", &[affinity(core)])?;
        tree.property_string("enable-method", "psci")?;
        tree.end_node(cpu)?;
    }
    tree.end_node(cpus)?;
    let psci = tree.begin_node("psci")?;
    let versions = ["arm,psci-1.0", "arm,psci-0.2"].map(String::from);
    tree.property_string_list("compatible", versions.to_vec())?;
    tree.property_string("method", "hvc")?;
    tree.end_node(psci)
}

fn interrupts(tree: &mut FdtWriter, layout: &Layout) -> Result<(), Error> {
    let gic = tree.begin_node(&format!("intc@{:x}", layout.distributor.0))?;
    tree.property_string("compatible", "arm,gic-v3")?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 3)?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    let ((at, length), (first, all)) = (layout.distributor, layout.redistributors);
    tree.property_array_u64("reg", &[at, length, first, all])?;
    tree.property_phandle(GIC)?;
    tree.end_node(gic)?;
    let timer = tree.begin_node("timer")?;
    tree.property_string("compatible", "arm,armv8-timer")?;
    tree.property_null("always-on")?;
    // Secure, non-secure, virtual and the hypervisor's, in this order.
    let numbers = [13, 14, 11, 10];
    let cells: Vec<u32> = numbers.iter().flat_map(|number| [PRIVATE, *number, LEVEL]).collect();
    tree.property_array_u32("interrupts", &cells)?;
    tree.end_node(timer)
}

fn devices(tree: &mut FdtWriter) -> Result<(), Error> {
    let clock = tree.begin_node("apb-pclk")?;
    tree.property_string("compatible", "fixed-clock")?;
    tree.property_u32("#clock-cells", 0)?;
    tree.property_u32("clock-frequency", 24_000_000)?;
    tree.property_phandle(CLOCK)?;
    tree.end_node(clock)?;

    for (name, address, interrupt) in [
        ("pl011", layout::CONSOLE, layout::CONSOLE_INTERRUPT),
        ("pl031", layout::CLOCK, layout::CLOCK_INTERRUPT),
    ] {
        let node = tree.begin_node(&format!("{name}@{address:x}"))?;
        let compatible = [format!("arm,{name}"), "arm,primecell".into()];
        tree.property_string_list("compatible", compatible.to_vec())?;
        place(tree, address, layout::PAGE, Some(interrupt))?;
        match name {
            "pl011" => {
                tree.property_array_u32("clocks", &[CLOCK, CLOCK])?;
                let names = ["uartclk", "apb_pclk"].map(String::from);
                tree.property_string_list("clock-names", names.to_vec())?;
            }
            _ => {
                tree.property_array_u32("clocks", &[CLOCK])?;
                tree.property_string("clock-names", "apb_pclk")?;
            }
        }
        tree.end_node(node)?;
    }

    let finisher = tree.begin_node(&format!("test@{:x}", layout::FINISHER))?;
    tree.property_string("compatible", "sifive,test0")?;
    place(tree, layout::FINISHER, layout::PAGE, None)?;
    tree.end_node(finisher)?;

    for (address, interrupt) in
        [(layout::NET, layout::NET_INTERRUPT), (layout::RNG, layout::RNG_INTERRUPT)]
    {
        let node = tree.begin_node(&format!("virtio_mmio@{address:x}"))?;
        tree.property_string("compatible", "virtio,mmio")?;
        tree.property_null("dma-coherent")?;
        place(tree, address, crate::virtio::mmio::LENGTH, Some(interrupt))?;
        tree.end_node(node)?;
    }
    Ok(())
}

/// Where a device lies, and its shared interrupt.
fn place(
    tree: &mut FdtWriter,
    address: u64,
    length: u64,
    interrupt: Option<u32>,
) -> Result<(), Error> {
    tree.property_array_u64("reg", &[address, length])?;
    match interrupt {
        Some(number) => tree.property_array_u32("interrupts", &[SHARED, number, LEVEL]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(cores: usize) -> Vec<u8> {
        let layout = Layout::new(64 << 20, cores, (0x1_0000, 1), (0x200_0000, 1)).unwrap();
        describe(&layout, "log=debug", &[0xab; 64]).unwrap()
    }

    /// Whether a property's value is in the tree.
    fn has(tree: &[u8], value: &[u8]) -> bool {
        tree.windows(value.len()).any(|window| window == value)
    }

    #[test]
    fn the_machine_is_described_and_fits() {
        let tree = tree(64);
        assert_eq!(tree[..4], [0xd0, 0x0d, 0xfe, 0xed]);
        let length = u32::from_be_bytes([tree[4], tree[5], tree[6], tree[7]]);
        assert_eq!(length as usize, tree.len());
        assert!(tree.len() < layout::TREE_ROOM as usize, "{}", tree.len());
        for text in ["log=debug\0", "/pl011@9000000\0", "cpu@0\0", "cpu@30f\0", "sifive,test0\0"] {
            assert!(has(&tree, text.as_bytes()), "{text}");
        }
        assert!(!has(&tree, b"cpu@400\0") && !has(&tree, b"cpu@10\0"));
        let memory = [0, 0x4000_0000, 0, 64 << 20].map(u32::to_be_bytes).concat();
        let card = [0, NET as u32, 0, 0x200].map(u32::to_be_bytes).concat();
        let line = [SHARED, layout::NET_INTERRUPT, LEVEL].map(u32::to_be_bytes).concat();
        assert!(has(&tree, &memory) && has(&tree, &card) && has(&tree, &line));
        assert!(has(&tree, &[0xab; 64]));
    }

    const NET: u64 = layout::NET;

    #[test]
    fn a_command_line_that_cannot_be_told_is_refused() {
        let layout = Layout::new(64 << 20, 1, (0x1_0000, 1), (0x200_0000, 1)).unwrap();
        assert!(describe(&layout, "a\0b", &[]).is_err());
    }
}
