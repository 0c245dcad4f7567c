//! Every way to boot an image in QEMU: machine, firmware, loader, and what the card is on.

use super::{Arch, Lab, Machine, Variant, checkout, target, waitless_build, with_ends};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// QEMU's arguments for UEFI.
pub const UEFI: &[&str] = &["-bios", "/usr/share/ovmf/OVMF.fd"];
const BIOS: &[&str] = &[];

const PC: Variant = Variant { platform: "qemu", arch: Some(Arch::X86_64) };
const VIRT: Variant = Variant { platform: "qemu", arch: Some(Arch::Aarch64) };
/// What Apple's machines boot.
const HVF: Variant = Variant { platform: "hvf", arch: Some(Arch::Aarch64) };
/// On a CD is the image that QEMU also loads itself.
const CD: Variant = Variant { platform: "iso", arch: Some(Arch::X86_64) };

/// One way to boot.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Architecture, machine, what the card is on, and what loads the image.
    pub name: &'static str,
    /// What the image is for.
    pub of: Variant,
    machine: fn() -> Machine,
    /// Who loads it from a CD, and the firmware's arguments; without it, QEMU loads the image.
    cd: Option<(&'static str, &'static [&'static str])>,
    /// Whether all cores run, or the first one alone.
    pub all_cores: bool,
}

/// All of them.
pub const WAYS: [Way; 17] = [
    kernel("x86_64, q35, PCI, PVH", PC, q35),
    cd("x86_64, q35, PCI, BIOS and GRUB", q35, "grub", BIOS),
    cd("x86_64, q35, PCI, UEFI and GRUB", q35, "grub", UEFI),
    cd("x86_64, q35, PCI, BIOS and Limine", q35, "limine", BIOS),
    cd("x86_64, q35, PCI, UEFI and Limine", q35, "limine", UEFI),
    kernel("x86_64, pc, PCI, PVH", PC, pc),
    cd("x86_64, pc, PCI, BIOS and GRUB", pc, "grub", BIOS),
    cd("x86_64, pc, PCI, UEFI and GRUB", pc, "grub", UEFI),
    cd("x86_64, pc, PCI, BIOS and Limine", pc, "limine", BIOS),
    cd("x86_64, pc, PCI, UEFI and Limine", pc, "limine", UEFI),
    // Without ACPI there is no list of cores.
    Way {
        all_cores: false,
        ..kernel("x86_64, microvm, MMIO, PVH", PC, || Machine::new().microvm())
    },
    kernel("x86_64, microvm with ACPI, MMIO, PVH", PC, || Machine::new().microvm_with_acpi()),
    kernel("aarch64, virt, PCI, GICv3", VIRT, || Machine::new().virt()),
    kernel("aarch64, virt, MMIO, GICv3", VIRT, || Machine::new().virt().without_bus()),
    kernel("aarch64, virt, PCI, GICv2", VIRT, || Machine::new().older_virt()),
    kernel("aarch64, virt, MMIO, GICv2", VIRT, || Machine::new().older_virt().without_bus()),
    kernel("aarch64, hvf's on virt, MMIO, GICv3", HVF, || {
        Machine::new().virt().without_bus().arguments(&["-device", "virtio-rng-device"])
    }),
];

/// An image that QEMU loads.
const fn kernel(name: &'static str, of: Variant, machine: fn() -> Machine) -> Way {
    Way { name, of, machine, cd: None, all_cores: true }
}

/// An image on a CD.
const fn cd(
    name: &'static str,
    machine: fn() -> Machine,
    loader: &'static str,
    firmware: &'static [&'static str],
) -> Way {
    Way { name, of: CD, machine, cd: Some((loader, firmware)), all_cores: true }
}

fn q35() -> Machine {
    Machine::new()
}

fn pc() -> Machine {
    Machine::new().pc()
}

impl Way {
    /// Who loads the image from a CD, if it is on one.
    pub fn loader(&self) -> Option<&'static str> {
        self.cd.map(|(loader, _)| loader)
    }

    /// The web server with routes that end it and `edits` beside, called `name` among the lab's.
    #[track_caller]
    pub fn image(&self, lab: &Lab, name: &str, edits: &[super::Edit<'_>]) -> PathBuf {
        let platform = if self.of == HVF { "hvf" } else { "qemu" };
        let arch = (self.machine)().arch();
        let ends: super::Edit<'_> = ("apps/webserver/src/main.rs", &with_ends);
        let name = format!("{name}-{platform}-{}", arch.name());
        lab.images.variant_with(&name, &[edits, &[ends]].concat(), platform, arch)
    }

    /// The machine that `image` boots on, with enough memory for any firmware. A CD is made once
    /// for each loader, so that all images of a program must be the same.
    #[track_caller]
    pub fn machine(&self, image: &Path) -> Machine {
        let machine = (self.machine)().memory("128M");
        let Some((loader, firmware)) = self.cd else { return machine };
        machine.arguments(firmware).cdrom(&iso(image, loader))
    }
}

/// The CD that `loader` loads the image from, made once.
#[track_caller]
fn iso(image: &Path, loader: &'static str) -> String {
    static MADE: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let image_name = image.file_name().unwrap_or_default().to_string_lossy();
    let file = target().join("lab").join(format!("{image_name}-{loader}.iso"));
    let file = file.to_str().expect("a text path").to_owned();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if !made.contains(loader) {
        make_iso(image, loader, &file);
        made.insert(loader);
    }
    file
}

/// Puts `image` on a CD.
#[track_caller]
pub fn make_iso(image: &Path, loader: &str, file: &str) {
    let image = image.to_str().expect("a text path");
    let words = ["iso", "--platform", "iso"];
    let choice = ["--loader", loader, "--image", image, "--output", file];
    let line = ["--command-line", "log=debug"];
    let made = waitless_build(&checkout(), &[&words[..], &choice, &line].concat()).output();
    let made = made.expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
