//! Apple's Hypervisor framework: by this project's own runner, which is built and signed first, or
//! by QEMU.

use super::{Run, Service};
use crate::cli::{doctor, image};
use crate::project::Project;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package of the runner, and its program.
pub(super) const RUNNER: &str = "hvf-runner";

/// Where macOS runs as it must, by the names that Rust has for systems and architectures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Host<'a> {
    pub(super) system: &'a str,
    pub(super) arch: &'a str,
}

/// This machine.
pub(super) const HERE: Host<'static> =
    Host { system: std::env::consts::OS, arch: std::env::consts::ARCH };

/// Whether `host` has the framework.
///
/// # Errors
/// One line with the next step where it has not.
pub(super) fn is_on(host: Host<'_>) -> Result<(), String> {
    if host == (Host { system: "macos", arch: "aarch64" }) {
        return Ok(());
    }
    let Host { system, arch } = host;
    Err(format!(
        "the platform `hvf` takes macOS on Apple silicon, and this is {system} on {arch}; \
         next: `make run ARCH=aarch64` boots the same app in QEMU's emulation"
    ))
}

/// What runs on the framework and is not for this way to use it.
///
/// # Errors
/// One line with the next step.
pub(super) fn fits(run: &Run, by_qemu: bool) -> Result<(), String> {
    if run.net == "tap" {
        return Err("the platform `hvf` has a network of its own; leave out --net tap".into());
    }
    if run.kvm {
        return Err(
            "KVM is Linux's; the platform `hvf` uses macOS's hypervisor, without --kvm".into()
        );
    }
    let for_qemu = [
        ("--machine", run.machine.machine.is_some()),
        ("--nic", run.machine.nic.is_some()),
        ("--cpu", run.cpu.is_some()),
        ("--qemu-arg", !run.qemu_arg.is_empty()),
    ];
    match for_qemu.iter().find(|(_, given)| *given && !by_qemu) {
        Some((option, _)) => Err(format!(
            "{option} is for QEMU: add --runner qemu (RUNNER=qemu with make), or leave it out"
        )),
        None => Ok(()),
    }
}

/// Where the runner will be, or is.
pub(super) fn program(project: &Project) -> PathBuf {
    project.workspace.target.join("release").join(RUNNER)
}

/// Builds the runner and signs it, without which macOS does not let it use the framework.
///
/// # Errors
/// One line with the next step; cargo has said the rest.
pub(super) fn prepare(project: &Project) -> Result<PathBuf, String> {
    if let Ok(output) = Command::new("sw_vers").arg("-productVersion").output() {
        is_new_enough(&String::from_utf8_lossy(&output.stdout))?;
    }
    let runner = image::tool(project, RUNNER)?;
    let mut command = sign(&project.workspace.home, &runner);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|why| {
        format!("cannot start codesign: {why}; next: `xcode-select --install` installs it")
    })?;
    if output.status.success() {
        return Ok(runner);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("codesign does not sign {}: {}", runner.display(), said.trim()))
}

/// Whether `version` of macOS has the framework's interrupt controller; without it, the runner
/// would not even be loaded. What cannot be read is not held against it.
///
/// # Errors
/// One line with the next step where it has not.
pub(super) fn is_new_enough(version: &str) -> Result<(), String> {
    match doctor::macos(version) {
        Some(major) if major < doctor::MACOS => Err(format!(
            "the platform `hvf` takes macOS {}, and this is {}; next: update macOS, or add \
             --runner qemu (RUNNER=qemu with make)",
            doctor::MACOS,
            version.trim()
        )),
        _ => Ok(()),
    }
}

/// The command that signs `runner`, for this machine alone, with what it must be allowed.
pub(super) fn sign(home: &Path, runner: &Path) -> Command {
    let mut command = Command::new("codesign");
    command.args(["--sign", "-", "--force", "--entitlements"]);
    command.arg(home.join("platforms/hvf/entitlements.plist")).arg(runner);
    command
}

/// The command that boots `image` by `runner`.
pub(super) fn command(
    run: &Run,
    runner: &Path,
    image: &Path,
    (cores, memory): (u64, &str),
    services: &[Service],
) -> Command {
    let mut command = Command::new(runner);
    command.args(["--cores", &cores.to_string(), "--memory", memory]);
    for service in services {
        let option = format!("--{}", service.protocol());
        command.arg(option).arg(format!("{}:{}", service.outside, service.inside));
    }
    if !run.set.is_empty() {
        command.arg("--append").arg(run.set.join(" "));
    }
    command.arg(image);
    command
}
