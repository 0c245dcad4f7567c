//! What `doctor` says of machines that are not this one, compared with files.

mod common;

use build::cli::{Surroundings, doctor};
use build::project::PlatformFile;
use common::golden;
use std::path::Path;

/// A machine, by what is there.
#[derive(Default)]
struct Fake {
    system: (&'static str, &'static str),
    root: bool,
    variables: Vec<(&'static str, &'static str)>,
    files: Vec<&'static str>,
    devices: Vec<&'static str>,
    /// Programs with what they say.
    programs: Vec<(&'static str, &'static str)>,
    /// Whether `unshare` makes networks.
    namespaces: bool,
}

impl Surroundings for Fake {
    fn system(&self) -> (&str, &str) {
        self.system
    }

    fn is_root(&self) -> bool {
        self.root
    }

    fn variable(&self, name: &str) -> Option<String> {
        let found = self.variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.files.contains(&path) || self.devices.contains(&path)
    }

    fn opens(&self, path: &str) -> bool {
        self.devices.contains(&path)
    }

    fn has(&self, program: &str) -> bool {
        self.programs.iter().any(|(name, _)| *name == program)
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let called = format!("{program} {}", arguments.join(" "));
        let said = |name: &str| self.programs.iter().find(|(known, _)| *known == name);
        said(&called).or_else(|| said(program)).map(|(_, said)| (*said).to_owned())
    }

    fn succeeds(&self, program: &str, _: &[&str]) -> bool {
        program == "unshare" && self.namespaces
    }
}

const RUST: [(&str, &str); 4] = [
    ("cargo", "cargo 1.96.0 (0ab1c2d3e 2026-05-01)"),
    ("/home/me/.cache/waitless/toolchain/bin/rustc", "rustc 1.96.0 (0ab1c2d3e 2026-05-01)"),
    ("/home/me/.cache/waitless/toolchain/bin/rustc --print sysroot", "/usr\n"),
    ("/home/me/.cache/waitless/toolchain/linker/rust-lld", "LLD 19.1.7"),
];
const SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
const HOME: (&str, &str) = ("HOME", "/home/me");

/// A Debian on which `make test` has been.
fn complete() -> Fake {
    let more = [
        ("cc", "cc (Debian 12.2.0-14+deb12u1) 12.2.0"),
        ("qemu-system-x86_64", "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"),
        ("qemu-system-aarch64", "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"),
        ("xorriso", "GNU xorriso 1.5.4"),
        ("grub-mkrescue", "grub-mkrescue (GRUB) 2.06-13+deb12u1"),
        ("mformat", "mformat (GNU mtools) 4.0.33"),
        ("ip", "ip utility, iproute2-6.1.0, libbpf 1.1.2"),
        ("dnsmasq", "Dnsmasq version 2.90"),
        ("curl", "curl 7.88.1 (x86_64-pc-linux-gnu)"),
        ("wrk", "wrk debian/4.1.0-3+b2 [epoll]"),
        ("ping", "ping from iputils 20221126"),
        ("tshark", "TShark (Wireshark) 4.0.17"),
        ("dumpcap", "Dumpcap (Wireshark) 4.0.17"),
        ("openssl", "OpenSSL 3.0.17 1 Jul 2025"),
        ("valgrind", "valgrind-3.19.0"),
        ("unshare", "unshare from util-linux 2.38.1"),
        ("git", "git version 2.39.5"),
        ("apt-get", ""),
    ];
    Fake {
        system: ("linux", "x86_64"),
        root: true,
        variables: vec![HOME],
        files: vec![
            SOURCES,
            "/usr/share/ovmf/OVMF.fd",
            "/usr/lib/grub/i386-pc",
            "/usr/lib/grub/x86_64-efi",
        ],
        devices: vec!["/dev/kvm", "/dev/net/tun"],
        programs: [&RUST[..], &more].concat(),
        namespaces: true,
    }
}

/// The same, where almost nothing is there and the user is nobody.
fn bare() -> Fake {
    Fake {
        system: ("linux", "x86_64"),
        variables: vec![HOME],
        files: vec!["/dev/kvm"],
        programs: vec![RUST[0], ("apt-get", "")],
        ..Fake::default()
    }
}

/// A Mac with Rust, QEMU and the command line tools.
fn mac() -> Fake {
    let more = [
        ("cc", "Apple clang version 17.0.0 (clang-1700.0.13.5)"),
        ("qemu-system-aarch64", "QEMU emulator version 10.0.2"),
        ("curl", "curl 8.7.1 (x86_64-apple-darwin24.0)"),
        ("git", "git version 2.39.5 (Apple Git-154)"),
        ("sysctl", "1\n"),
        ("sw_vers", "15.5\n"),
    ];
    Fake {
        system: ("macos", "aarch64"),
        variables: vec![HOME],
        files: vec![SOURCES, "/usr/bin/codesign"],
        programs: [&RUST[..], &more].concat(),
        ..Fake::default()
    }
}

/// An older one, with a processor of another make.
fn old_mac() -> Fake {
    Fake {
        system: ("macos", "x86_64"),
        programs: vec![RUST[0], ("sysctl", "1\n"), ("sw_vers", "14.7.1\n")],
        variables: vec![HOME],
        ..Fake::default()
    }
}

/// Limine beside GRUB that lacks a part, on a distribution that is not Debian's.
fn limine() -> Fake {
    let folder = "/opt/limine";
    let mut fake = complete();
    fake.programs.retain(|(name, _)| *name != "apt-get" && *name != "mformat");
    fake.programs.push(("limine", "Limine 8.2.0"));
    fake.variables.push(("LIMINE_DIR", folder));
    fake.files.extend([
        "/opt/limine/limine-bios.sys",
        "/opt/limine/limine-bios-cd.bin",
        "/opt/limine/limine-uefi-cd.bin",
        "/opt/limine/BOOTX64.EFI",
    ]);
    fake.devices.clear();
    fake
}

fn platforms() -> Vec<PlatformFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    build::Project::open(root).unwrap().platforms()
}

#[test]
fn every_machine_hears_what_it_runs_and_lacks() {
    let platforms = platforms();
    let machines = [
        ("complete", complete()),
        ("bare", bare()),
        ("mac", mac()),
        ("old-mac", old_mac()),
        ("limine", limine()),
    ];
    let wrong: Vec<_> = machines
        .iter()
        .filter_map(|(name, fake)| golden(&format!("doctor/{name}.txt"), &doctor(fake, &platforms)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_helps_is_said_for_everything_that_is_missing() {
    for fake in [bare(), mac(), old_mac(), limine()] {
        let said = doctor(&fake, &platforms());
        let (_, missing) = said.split_once("What is missing").expect("something is");
        for line in missing.lines().skip(1).filter(|line| !line.is_empty()) {
            let (_, next) = line.split_once(": ").expect(line);
            assert!(!next.is_empty() && !next.ends_with(' '), "{line}");
        }
    }
}
