//! QEMU's command line: which machine, with which card, around an image.

use super::{Kind, Run, Service};
use crate::cli::iso::{self, Loader};
use crate::graph::Graph;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The machines that an image was tried on.
const MACHINES: [&str; 3] = ["q35", "pc", "microvm"];

/// What is emulated.
#[derive(clap::Args, Debug)]
pub(super) struct Options {
    /// The machine: the usual one, an older one, or one without PCI and ACPI
    #[arg(long, value_name = "NAME", default_value = "q35", value_parser = MACHINES)]
    machine: String,
    /// Where the network card is [default: what the machine has]
    #[arg(long, value_name = "TRANSPORT", value_parser = ["virtio-pci", "virtio-mmio"])]
    nic: Option<String>,
    /// The firmware that boots an ISO
    #[arg(long, value_name = "KIND", default_value = "bios", value_parser = ["bios", "uefi"])]
    firmware: String,
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

/// The command that boots `program` as `run` says.
pub(super) fn command(
    run: &Run,
    program: &Path,
    graph: &Graph,
    services: &[Service],
) -> Result<Command, String> {
    let iso = iso(run, program, graph)?;
    let mut command = Command::new("qemu-system-x86_64");
    let small = run.machine.machine == "microvm";
    let accelerator = if run.kvm { "kvm" } else { "tcg" };
    let usual = if run.kvm { "host" } else { "max" };
    let cpu = run.cpu.as_deref().unwrap_or(usual);
    let bytes = graph.app.memory.unwrap_or(128 << 20);
    let memory = run.memory.clone().unwrap_or_else(|| format!("{}M", bytes.div_ceil(1 << 20)));
    // Without ACPI, the devices are listed on the command line.
    let machine = if small { "microvm,acpi=off" } else { &run.machine.machine };
    command.args(["-machine", machine, "-accel", accelerator, "-cpu", cpu, "-m", &memory]);
    let meant = if graph.app.all_cores { 1 } else { graph.app.cores };
    let cores = run.cores.unwrap_or(meant);
    if cores > 1 {
        command.args(["-smp", &cores.to_string()]);
    }
    match &iso {
        Some(iso) => command.arg("-cdrom").arg(iso),
        None => {
            if !run.set.is_empty() {
                command.arg("-append").arg(run.set.join(" "));
            }
            command.arg("-kernel").arg(program)
        }
    };
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    command.args(["-netdev", &netdev(run, services)]);
    command.args(card(&run.machine)?);
    if iso.is_some() {
        command.args(firmware(&run.machine)?);
    } else if !small && QBOOT.iter().any(|path| Path::new(path).exists()) {
        command.args(["-bios", "qboot.rom"]);
    }
    command.args(&run.qemu_arg);
    Ok(command)
}

/// The ISO around `program`, where the platform boots from one.
fn iso(run: &Run, program: &Path, graph: &Graph) -> Result<Option<PathBuf>, String> {
    if graph.platform.name != "iso" {
        return Ok(None);
    }
    if run.machine.machine == "microvm" {
        return Err("a microvm has nothing to boot an ISO from; use another machine".into());
    }
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
    if options.firmware == "bios" {
        return Ok(Vec::new());
    }
    let found = OVMF.iter().find(|path| Path::new(path).exists());
    found.map(|path| vec!["-bios", *path]).ok_or_else(|| {
        "QEMU's UEFI firmware is not installed; next: apt-get install ovmf".to_owned()
    })
}

fn netdev(run: &Run, services: &[Service]) -> String {
    if run.net == "tap" {
        return format!("tap,id=n0,ifname={},script=no,downscript=no", run.tap);
    }
    let forward = |service: &Service| {
        let protocol = if service.kind == Kind::Udp { "udp" } else { "tcp" };
        format!(",hostfwd={protocol}:127.0.0.1:{}-:{}", service.outside, service.inside)
    };
    format!("user,id=n0{}", services.iter().map(forward).collect::<String>())
}

fn card(options: &Options) -> Result<Vec<&'static str>, String> {
    let bus = options.machine != "microvm";
    let usual = if bus { "virtio-pci" } else { "virtio-mmio" };
    match (options.nic.as_deref().unwrap_or(usual), bus) {
        // Nothing boots from the card, so it needs no code of its own.
        ("virtio-pci", true) => Ok(vec!["-device", "virtio-net-pci,netdev=n0,romfile="]),
        ("virtio-mmio", false) => {
            let modern = ["-global", "virtio-mmio.force-legacy=false"];
            Ok([&modern[..], &["-device", "virtio-net-device,netdev=n0"]].concat())
        }
        (nic, _) => {
            let machine = &options.machine;
            Err(format!(
                "the machine `{machine}` has no {nic}; use --nic {usual} or another machine"
            ))
        }
    }
}
