//! The full matrix: every machine with every firmware and transport that it has, on 1, 2 and 4
//! cores. It takes a while, so it runs on demand: `make test-all`.

use crate::cores::{SLACK, at_rest, shut_down};
use crate::machines::{UEFI, make_iso, serves};
use crate::serve::Served;
use crate::{ARM, CD, HVF, ISO, LIMINE, LOAD, PC, VIRT};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use waitless_tests::lab::{
    Arch, Edit, Lab, Machine, Need, Test, Variant, run, target, wait_for, with_ends,
};

/// One way to boot.
#[derive(Clone, Copy)]
struct Way {
    /// Architecture, machine, transport, and what loads the image.
    name: &'static str,
    of: Variant,
    needs: &'static [Need],
    machine: fn() -> Machine,
    /// Who loads it from a CD, and the firmware's arguments; without it, QEMU loads the image.
    cd: Option<(&'static str, &'static [&'static str])>,
    /// Whether all cores run, or the first one alone.
    all_cores: bool,
}

const BIOS: &[&str] = &[];

/// An image that QEMU loads.
const fn kernel(
    name: &'static str,
    of: Variant,
    needs: &'static [Need],
    machine: fn() -> Machine,
) -> Way {
    Way { name, of, needs, machine, cd: None, all_cores: true }
}

/// An image on a CD.
const fn cd(
    name: &'static str,
    machine: fn() -> Machine,
    loader: &'static str,
    firmware: &'static [&'static str],
) -> Way {
    // A text cannot be compared in a constant; the loaders differ in length.
    let needs = if loader.len() == "limine".len() { LIMINE } else { ISO };
    Way { name, of: CD, needs, machine, cd: Some((loader, firmware)), all_cores: true }
}

const WAYS: [Way; 17] = [
    kernel("x86_64, q35, PCI, PVH", PC, LOAD, q35),
    cd("x86_64, q35, PCI, BIOS and GRUB", q35, "grub", BIOS),
    cd("x86_64, q35, PCI, UEFI and GRUB", q35, "grub", UEFI),
    cd("x86_64, q35, PCI, BIOS and Limine", q35, "limine", BIOS),
    cd("x86_64, q35, PCI, UEFI and Limine", q35, "limine", UEFI),
    kernel("x86_64, pc, PCI, PVH", PC, LOAD, pc),
    cd("x86_64, pc, PCI, BIOS and GRUB", pc, "grub", BIOS),
    cd("x86_64, pc, PCI, UEFI and GRUB", pc, "grub", UEFI),
    cd("x86_64, pc, PCI, BIOS and Limine", pc, "limine", BIOS),
    cd("x86_64, pc, PCI, UEFI and Limine", pc, "limine", UEFI),
    // Without ACPI there is no list of cores.
    Way { all_cores: false, ..kernel("x86_64, microvm, MMIO, PVH", PC, LOAD, microvm) },
    kernel("x86_64, microvm with ACPI, MMIO, PVH", PC, LOAD, || Machine::new().microvm_with_acpi()),
    kernel("aarch64, virt, PCI, GICv3", VIRT, ARM, || Machine::new().virt()),
    kernel("aarch64, virt, MMIO, GICv3", VIRT, ARM, || Machine::new().virt().without_bus()),
    kernel("aarch64, virt, PCI, GICv2", VIRT, ARM, || Machine::new().older_virt()),
    kernel("aarch64, virt, MMIO, GICv2", VIRT, ARM, || Machine::new().older_virt().without_bus()),
    kernel("aarch64, hvf's on virt, MMIO, GICv3", HVF, ARM, || {
        Machine::new().virt().without_bus().arguments(&["-device", "virtio-rng-device"])
    }),
];

fn q35() -> Machine {
    Machine::new()
}

fn pc() -> Machine {
    Machine::new().pc()
}

fn microvm() -> Machine {
    Machine::new().microvm()
}

/// All of it.
pub fn tests() -> Vec<Test> {
    let each = WAYS.iter().flat_map(|way| [1, 2, 4].map(|cores| (*way, cores)));
    let test = |(way, cores): (Way, usize)| Test {
        name: format!("matrix: {}, {cores}", way.name),
        of: Some(way.of),
        needs: way.needs,
        on_demand: true,
        run: Box::new(move |lab| serves_and_rests(lab, way, cores)),
    };
    each.map(test).collect()
}

/// It gets an address, answers pings, curl and wrk, has every packet back after that, and switches
/// itself off when it is asked to end.
fn serves_and_rests(lab: &Lab, way: Way, cores: usize) {
    let machine = (way.machine)().cores(cores).memory("128M");
    let image = image(lab, way.of, machine.arch());
    let machine = match way.cd {
        Some((loader, firmware)) => machine.arguments(firmware).cdrom(&iso(&image, loader)),
        None => machine,
    };
    let mut served = Served::boot_image(&image, machine);
    let running = if way.all_cores { cores } else { 1 };
    if running > 1 {
        served.vm.expect(&format!(": {running} cores, "));
    }
    serves(&mut served);
    let rest = at_rest(&served);
    let url = format!("http://{}/health", served.address);
    let said = run("wrk", &["-t", "1", "-c", "16", "-d", "2s", "--timeout", "20s", &url]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    wait_for("all packets in their pools", Duration::from_secs(60), || {
        (at_rest(&served).abs_diff(rest) <= SLACK * running as u64).then_some(())
    });
    let console = served.vm.console();
    assert!(!console.contains("panic") && !console.contains("exception"), "{console}");
    shut_down(&mut served.vm, served.address, running);
}

/// The web server with routes that end it, for the platform and the architecture.
fn image(lab: &Lab, of: Variant, arch: Arch) -> PathBuf {
    // A CD holds the image that QEMU also loads itself.
    let platform = if of == HVF { "hvf" } else { "qemu" };
    let name = format!("matrix-{platform}-{}", arch.name());
    let edit: Edit<'_> = ("apps/webserver/src/main.rs", &with_ends);
    lab.images.variant_with(&name, &[edit], platform, arch)
}

/// The CD that `loader` loads the image from, made once.
fn iso(image: &Path, loader: &'static str) -> String {
    static MADE: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let file = target().join("lab").join(format!("matrix-{loader}.iso"));
    let file = file.to_str().expect("a text path").to_owned();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains(loader) {
        make_iso(image, loader, &file);
        made.insert(loader);
    }
    file
}
