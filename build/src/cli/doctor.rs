//! Says what this machine can run, and what is missing for the rest.
//!
//! It only looks: nothing is installed, built or changed. What is looked at comes from
//! [`Surroundings`], so that tests can bring other machines than the one that they run on.

mod here;
mod tools;

pub use here::Here;
pub(super) use tools::{MACOS, macos};

use crate::project::PlatformFile;
use std::fmt::Write;
use tools::{Arch, Checks};

/// A machine, as far as it can be asked.
pub trait Surroundings {
    /// The system and the processor, by Rust's names, such as `linux` and `x86_64`.
    fn system(&self) -> (&str, &str);
    /// Whether the user may do everything.
    fn is_root(&self) -> bool;
    /// An environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &str) -> bool;
    /// Whether a file can be opened for reading and writing.
    fn opens(&self, path: &str) -> bool;
    /// Whether there is such a program: a name in `PATH`, or a path.
    fn has(&self, program: &str) -> bool;
    /// What a program prints on both outputs, however it ends; `None` when it cannot be started.
    fn output(&self, program: &str, arguments: &[&str]) -> Option<String>;
    /// Whether a program ends with success.
    fn succeeds(&self, program: &str, arguments: &[&str]) -> bool;
}

/// What `machine` has, runs and lacks, of what `platforms` take.
pub fn report(machine: &dyn Surroundings, platforms: &[PlatformFile]) -> String {
    let checks = Checks::of(machine);
    let (system, arch) = machine.system();
    let root = if machine.is_root() { ", as root" } else { "" };
    let mut out = format!("This machine: {system} on {arch}{root}\n\nWhat it has\n");
    for check in checks.all() {
        if let Some(found) = &check.found {
            line(&mut out, check.name, found);
        }
    }
    out.push_str("\nWhat it runs\n");
    let rows = rows(&checks, platforms);
    for row in &rows {
        let name = format!("{:<16} {:<8}", row.name, row.arch);
        let _ = writeln!(out, "  {name} {}", row.verdict(&checks));
    }
    let missing: Vec<_> = checks.all().filter(|check| check.found.is_none()).collect();
    if !missing.is_empty() {
        out.push_str("\nWhat is missing, what it is for, and what helps\n");
    }
    for check in missing {
        line(&mut out, check.name, &format!("{}: {}", check.purpose, check.next));
    }
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    let _ = writeln!(out, "  {name:<25} {text}");
}

/// A way to run images.
struct Row {
    name: String,
    arch: String,
    /// What it takes, by the names of checks.
    needs: Vec<&'static str>,
    /// Of these, one is enough: either all of the first, or all of the second.
    either: Option<(&'static [&'static str], &'static [&'static str])>,
    /// What is good to know where it runs.
    note: String,
}

impl Row {
    fn verdict(&self, checks: &Checks) -> String {
        let lacks = |name: &&'static str| !checks.has(name);
        let mut missing: Vec<_> = self.needs.iter().copied().filter(|name| lacks(name)).collect();
        if let Some((first, second)) = self.either
            && first.iter().any(lacks)
        {
            missing.extend(second.iter().copied().filter(|name| lacks(name)));
        }
        match (&missing[..], &self.note[..]) {
            ([], "") => "yes".to_owned(),
            ([], note) => format!("yes, {note}"),
            (missing, _) => format!("no: {}", missing.join(", ")),
        }
    }
}

/// What can be booted at all, of what is there.
fn rows(checks: &Checks, platforms: &[PlatformFile]) -> Vec<Row> {
    let (system, here) = checks.machine.system();
    let mut rows = Vec::new();
    for platform in platforms {
        let target = platform.target.split('-').next().unwrap_or_default();
        let row = |name: String, needs: &[&'static str], note: &str| Row {
            name,
            arch: if platform.target == "host" { here } else { target }.to_owned(),
            needs: [tools::toolchain(&platform.target), needs].concat(),
            either: None,
            note: note.to_owned(),
        };
        let name = platform.name.clone();
        match (&name[..], &platform.target[..]) {
            ("native-tap", _) if system == "macos" => rows.push(row(name, &["Linux"], "")),
            ("native-tap", _) => rows.push(row(name, &["TAP devices", "ip"], "")),
            (_, "host") => rows.push(row(name, &[], "")),
            ("hvf", _) if system != "macos" => {
                rows.push(row(name, &["macOS on Apple silicon"], ""));
            }
            ("hvf", _) => {
                let own = [tools::FRAMEWORK, "macOS 15", "codesign"];
                rows.push(row(name.clone(), &own, "never tried on a Mac"));
                let qemu = [tools::FRAMEWORK, tools::qemu(Arch::Aarch64)];
                rows.push(row(format!("{name}, by QEMU"), &qemu, "never tried on a Mac"));
            }
            ("iso", _) => {
                let qemu = tools::qemu(Arch::X86_64);
                for (firmware, needs) in [("BIOS", &[][..]), ("UEFI", &["OVMF"])] {
                    let needs = [&[qemu, "xorriso"], needs].concat();
                    let loader = if checks.has("Limine") { "by Limine" } else { "by GRUB" };
                    let row = row(format!("{name}, {firmware}"), &needs, loader);
                    rows.push(Row { either: Some((&["Limine"], &tools::GRUB)), ..row });
                }
            }
            _ => {
                let qemu =
                    tools::qemu(if target == "aarch64" { Arch::Aarch64 } else { Arch::X86_64 });
                let kvm = target == here && checks.has("KVM");
                let note = if kvm { "emulated, or by --kvm" } else { "emulated" };
                rows.push(row(name, &[qemu], note));
            }
        }
    }
    rows
}
