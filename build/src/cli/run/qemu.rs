//! QEMU's command line: which machine, with which card, around an image.

use super::cards::{Card, cards};
use super::{Run, Service};
use crate::cli::flat;
use crate::cli::iso::{self, Loader};
use crate::graph::Graph;
use crate::report::list;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The machines that an image was tried on, and the architecture of each.
const MACHINES: [(&str, Arch); 4] = [
    ("q35", Arch::X86_64),
    ("pc", Arch::X86_64),
    ("microvm", Arch::X86_64),
    ("virt", Arch::Aarch64),
];

/// What an image is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arch {
    Aarch64,
    X86_64,
}

/// What is emulated.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// The machine: for x86-64 the usual one, an older one, or one without PCI and ACPI; for
    /// AArch64 there is one [default: q35 or virt]
    #[arg(long, value_name = "NAME", value_parser = MACHINES.map(|(name, _)| name))]
    pub(super) machine: Option<String>,
    /// Where the network card is [default: what the machine has]
    #[arg(long, value_name = "TRANSPORT", value_parser = ["virtio-pci", "virtio-mmio"])]
    pub(super) nic: Option<String>,
    /// The firmware that boots an ISO [default: bios]
    #[arg(long, value_name = "KIND", value_parser = ["bios", "uefi"])]
    pub(super) firmware: Option<String>,
}

/// Where QEMU keeps its smallest firmware, which enters an image in half the time of the usual.
const QBOOT: [&str; 4] = [
    "/usr/share/qemu/qboot.rom",
    "/usr/share/qboot/qboot.rom",
    "/usr/local/share/qemu/qboot.rom",
    "/opt/homebrew/share/qemu/qboot.rom",
];

/// Where the UEFI firmware for QEMU is: code and settings in one file.
pub(crate) const OVMF: [&str; 4] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/OVMF/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
    "/usr/share/edk2/x64/OVMF.4m.fd",
];

impl Arch {
    fn of(graph: &Graph) -> Self {
        match graph.platform.target.split('-').next() {
            Some("aarch64") => Self::Aarch64,
            _ => Self::X86_64,
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Aarch64 => "qemu-system-aarch64",
            Self::X86_64 => "qemu-system-x86_64",
        }
    }
}

/// What can be said of the machine before there is an image for it, which takes a while.
///
/// # Errors
/// One line with the next step.
pub(super) fn fits(run: &Run, graph: &Graph) -> Result<(), String> {
    let arch = Arch::of(graph);
    let name = machine(run.machine.machine.as_deref(), arch)?;
    network(run, name, graph, &[])?;
    let is_iso = graph.platform.name == "iso";
    if is_iso {
        boots_iso(name)?;
    }
    if run.dry_run {
        return Ok(());
    }
    if is_iso {
        firmware(&run.machine)?;
        Loader::find()?;
    }
    match iso::in_path(arch.program()) {
        true => Ok(()),
        false => Err(super::not_installed(arch.program())),
    }
}

/// Whether the machine has what an ISO is booted from.
fn boots_iso(machine: &str) -> Result<(), String> {
    if machine == "microvm" {
        return Err("a microvm has nothing to boot an ISO from; use another machine".into());
    }
    Ok(())
}

/// The command that boots `program` as `run` says.
pub(super) fn command(
    run: &Run,
    program: &Path,
    graph: &Graph,
    services: &[Service],
) -> Result<Command, String> {
    let arch = Arch::of(graph);
    let name = machine(run.machine.machine.as_deref(), arch)?;
    let mut command = Command::new(arch.program());
    let hvf = graph.platform.name == "hvf";
    let (accelerator, usual) = match (run.kvm, arch) {
        _ if hvf => ("hvf", "host"),
        (true, _) => ("kvm", "host"),
        // Signing pointers as the architecture says takes most of the time, for nothing.
        (false, Arch::Aarch64) => ("tcg", "max,pauth-impdef=on"),
        (false, Arch::X86_64) => ("tcg", "max"),
    };
    let iso = iso(run, name, program, graph)?;
    let cpu = run.cpu.as_deref().unwrap_or(usual);
    let (cores, memory) = run.size(graph);
    let machine = match name {
        // Without ACPI, the devices are listed on the command line. With it, the cores are.
        "microvm" if cores == 1 => "microvm,acpi=off",
        "microvm" => "microvm,acpi=on",
        // The controller that knows more than eight cores, and that current machines have.
        "virt" => "virt,gic-version=3",
        name => name,
    };
    command.args(["-machine", machine, "-accel", accelerator, "-cpu", cpu, "-m", &memory]);
    if cores > 1 {
        command.args(["-smp", &cores.to_string()]);
    }
    match (&iso, arch) {
        (Some(iso), _) => command.arg("-cdrom").arg(iso),
        (None, Arch::Aarch64) => command.arg("-kernel").arg(flat::beside(program)?),
        (None, Arch::X86_64) => command.arg("-kernel").arg(program),
    };
    if iso.is_none() && !run.set.is_empty() {
        command.arg("-append").arg(run.set.join(" "));
    }
    // By which an image ends with a status.
    match arch {
        // Apple's framework does not stop for what asks a debugger.
        Arch::Aarch64 if hvf => &mut command,
        Arch::Aarch64 => command.arg("-semihosting"),
        Arch::X86_64 => command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]),
    };
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.args(network(run, name, graph, services)?);
    if hvf {
        // What the runner has too. Apple's processors have no instruction for it.
        command.args(["-device", "virtio-rng-device"]);
    }
    let usual = matches!(name, "pc" | "q35");
    if iso.is_some() {
        command.args(firmware(&run.machine)?);
    } else if usual && QBOOT.iter().any(|path| Path::new(path).exists()) {
        command.args(["-bios", "qboot.rom"]);
    }
    command.args(&run.qemu_arg);
    Ok(command)
}

/// The ISO around `program`, where the platform boots from one.
fn iso(run: &Run, machine: &str, program: &Path, graph: &Graph) -> Result<Option<PathBuf>, String> {
    if graph.platform.name != "iso" {
        return Ok(None);
    }
    boots_iso(machine)?;
    let path = program.with_extension("iso");
    if !run.dry_run {
        let loader = Loader::find()?;
        iso::make(&loader, program, &graph.app.package, &run.set.join(" "), &path)?;
        eprintln!("{}: loaded by {}", path.display(), loader.name());
    }
    Ok(Some(path))
}

/// What makes QEMU start with the firmware that is asked for.
fn firmware(options: &Options) -> Result<Vec<&'static str>, String> {
    if options.firmware.as_deref() != Some("uefi") {
        return Ok(Vec::new());
    }
    let found = OVMF.iter().find(|path| Path::new(path).exists());
    found.map(|path| vec!["-bios", *path]).ok_or_else(|| {
        "QEMU's UEFI firmware is not installed; next: apt-get install ovmf".to_owned()
    })
}

/// The machine that is wanted, or the usual one of `arch`.
fn machine(wanted: Option<&str>, arch: Arch) -> Result<&'static str, String> {
    let mut fitting = MACHINES.iter().filter(|(_, of)| *of == arch).map(|(name, _)| *name);
    let Some(wanted) = wanted else { return fitting.next().ok_or_else(String::new) };
    let all: Vec<_> = fitting.collect();
    let found = all.iter().find(|name| **name == wanted);
    found.copied().ok_or_else(|| {
        format!("the image is not for the machine `{wanted}`; it is for {}", list(&all))
    })
}

/// The arguments for all cards, and the networks that they are on.
fn network(
    run: &Run,
    machine: &str,
    graph: &Graph,
    services: &[Service],
) -> Result<Vec<String>, String> {
    let bus = graph.platform.has.iter().any(|has| has == "pci");
    let mut cards = cards(graph);
    // A machine has one also for an image that does nothing with it.
    let several = cards.len().max(1);
    cards.resize_with(several, Card::default);
    let networks = cards
        .iter()
        .enumerate()
        .flat_map(|(number, card)| ["-netdev".to_owned(), netdev(run, services, number, card)]);
    let devices = card(machine, bus, run.machine.nic.as_deref(), several)?;
    Ok(networks.chain(devices).collect())
}

/// The network at the card with this number.
fn netdev(run: &Run, services: &[Service], number: usize, card: &Card) -> String {
    if run.net == "tap" {
        let name = run.tap.get(number).map_or("", String::as_str);
        return format!("tap,id=n{number},ifname={name},script=no,downscript=no");
    }
    // The first network is QEMU's usual one, where an image gets the usual address.
    let own = card.address.filter(|_| number > 0).zip(card.host());
    let (network, to) = match own {
        Some(((address, prefix), (host, _))) => {
            (format!(",net={address}/{prefix},host={host}"), address.to_string())
        }
        None => (String::new(), String::new()),
    };
    let here = services.iter().filter(|service| service.card == number);
    let forward = |service: &Service| {
        let Service { inside, outside, .. } = service;
        format!(",hostfwd={}:127.0.0.1:{outside}-{to}:{inside}", service.protocol())
    };
    format!("user,id=n{number}{network}{}", here.map(forward).collect::<String>())
}

/// The arguments for so many cards, on a machine for an image that finds devices on a `bus` or
/// not.
fn card(
    machine: &str,
    bus: bool,
    wanted: Option<&str>,
    count: usize,
) -> Result<Vec<String>, String> {
    let (bus, fixed) = (bus && machine != "microvm", matches!(machine, "microvm" | "virt"));
    let usual = if bus { "virtio-pci" } else { "virtio-mmio" };
    let devices = |device: &str| -> Vec<String> {
        let each = (0..count)
            .flat_map(|number| ["-device".to_owned(), device.replace("n0", &format!("n{number}"))]);
        each.collect()
    };
    match wanted.unwrap_or(usual) {
        // Nothing boots from the card, so it needs no code of its own.
        "virtio-pci" if bus => Ok(devices("virtio-net-pci,netdev=n0,romfile=")),
        "virtio-mmio" if fixed && count > 1 => {
            // QEMU fills the places from the last one down.
            Err(format!("the machine `{machine}` has one card only here; use another machine"))
        }
        "virtio-mmio" if fixed => {
            let modern = ["-global", "virtio-mmio.force-legacy=false"].map(str::to_owned);
            Ok([&modern[..], &devices("virtio-net-device,netdev=n0")].concat())
        }
        nic => Err(format!(
            "the machine `{machine}` has no {nic} here; use --nic {usual} or another machine"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_of_the_image_s_architecture() {
        assert_eq!(machine(None, Arch::Aarch64), Ok("virt"));
        assert_eq!(machine(None, Arch::X86_64), Ok("q35"));
        assert_eq!(machine(Some("pc"), Arch::X86_64), Ok("pc"));
        let error = "the image is not for the machine `virt`; it is for `q35`, `pc` and `microvm`";
        assert_eq!(machine(Some("virt"), Arch::X86_64), Err(error.to_owned()));
    }

    #[test]
    fn the_firmware_is_bios_unless_said_otherwise() {
        let options = |kind: Option<&str>| Options {
            machine: None,
            nic: None,
            firmware: kind.map(str::to_owned),
        };
        assert_eq!(firmware(&options(None)), Ok(Vec::new()));
        assert_eq!(firmware(&options(Some("bios"))), Ok(Vec::new()));
        assert_ne!(firmware(&options(Some("uefi"))), Ok(Vec::new()));
    }

    #[test]
    fn a_card_is_where_the_machine_has_room_for_it() {
        assert!(card("virt", true, None, 1).is_ok_and(|all| all[1].starts_with("virtio-net-pci")));
        assert!(card("virt", true, Some("virtio-mmio"), 1).is_ok());
        assert!(card("microvm", true, None, 1).is_ok_and(|all| all[0] == "-global"));
        assert!(card("microvm", true, Some("virtio-pci"), 1).is_err());
        assert!(card("q35", true, Some("virtio-mmio"), 1).is_err());
        assert!(card("virt", false, None, 1).is_ok_and(|all| all[0] == "-global"));
        assert!(card("virt", false, Some("virtio-pci"), 1).is_err());
        assert!(card("q35", true, None, 2).is_ok_and(|all| all[3].contains("netdev=n1,")));
        assert!(card("microvm", true, None, 2).is_err());
    }
}
