//! QEMU's command line: which machine, with which card, around an image.

use super::{Kind, Run, Service};
use crate::graph::Graph;
use std::path::Path;
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
}

/// Where QEMU keeps its smallest firmware, which enters an image in half the time of the usual.
const QBOOT: [&str; 4] = [
    "/usr/share/qemu/qboot.rom",
    "/usr/share/qboot/qboot.rom",
    "/usr/local/share/qemu/qboot.rom",
    "/opt/homebrew/share/qemu/qboot.rom",
];

/// The command that boots `program` as `run` says.
pub(super) fn command(
    run: &Run,
    program: &Path,
    graph: &Graph,
    services: &[Service],
) -> Result<Command, String> {
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
    command.arg("-kernel").arg(program);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    command.args(["-netdev", &netdev(run, services)]);
    command.args(card(&run.machine)?);
    if !small && QBOOT.iter().any(|path| Path::new(path).exists()) {
        command.args(["-bios", "qboot.rom"]);
    }
    command.args(&run.qemu_arg);
    Ok(command)
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
