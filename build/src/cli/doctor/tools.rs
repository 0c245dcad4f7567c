//! What platforms and tests take, how one sees that it is there, and what helps where it is not.

use super::Surroundings;
use crate::cli::iso;
use crate::cli::run::OVMF;

/// The architecture that a QEMU emulates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arch {
    Aarch64,
    X86_64,
}

/// Where something can be of use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum On {
    Both,
    Linux,
    Mac,
}

/// How one sees that something is there.
pub(super) enum Probe {
    /// A program that tells its version when it is called like this.
    Version(&'static [&'static str]),
    /// One of some files.
    Files(&'static [&'static str]),
}

/// A program or a file that others make.
pub(super) struct Tool {
    name: &'static str,
    probe: Probe,
    purpose: &'static str,
    on: On,
    /// The packages of Debian and of Homebrew.
    packages: [&'static str; 2],
}

/// What has been looked at.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    /// Its version or place; nothing where it is missing.
    pub(super) found: Option<String>,
    /// What helps where it is missing.
    pub(super) next: String,
}

/// Everything that has been looked at.
pub(super) struct Checks<'a> {
    pub(super) machine: &'a dyn Surroundings,
    checks: Vec<Check>,
}

const RUN: &str = "to run images";
const TESTS: &str = "for tests";
const ISO: &str = "for ISOs";

/// Apple's framework.
pub(super) const FRAMEWORK: &str = "Hypervisor.framework";
/// What makes an ISO that GRUB loads.
pub(super) const GRUB: [&str; 4] = ["grub-mkrescue", "mformat", "GRUB for BIOS", "GRUB for UEFI"];

const VERSION: Probe = Probe::Version(&["--version"]);

const fn tool(
    name: &'static str,
    probe: Probe,
    purpose: &'static str,
    on: On,
    packages: [&'static str; 2],
) -> Tool {
    Tool { name, probe, purpose, on, packages }
}

/// Programs and files.
pub(super) const TOOLS: [Tool; 21] = [
    tool("cc", VERSION, "to build", On::Both, ["gcc libc6-dev", ""]),
    tool("qemu-system-x86_64", VERSION, RUN, On::Both, ["qemu-system-x86", "qemu"]),
    tool("qemu-system-aarch64", VERSION, RUN, On::Both, ["qemu-system-arm", "qemu"]),
    tool("OVMF", Probe::Files(&OVMF), "for ISOs by UEFI", On::Linux, ["ovmf", ""]),
    tool("xorriso", VERSION, ISO, On::Both, ["xorriso", "xorriso"]),
    tool("grub-mkrescue", VERSION, ISO, On::Linux, ["grub-common", ""]),
    tool("mformat", VERSION, ISO, On::Linux, ["mtools", ""]),
    tool(
        "GRUB for BIOS",
        Probe::Files(&[iso::GRUB_MODULES[0].0]),
        ISO,
        On::Linux,
        [iso::GRUB_MODULES[0].1, ""],
    ),
    tool(
        "GRUB for UEFI",
        Probe::Files(&[iso::GRUB_MODULES[1].0]),
        ISO,
        On::Linux,
        [iso::GRUB_MODULES[1].1, ""],
    ),
    tool("codesign", Probe::Files(&["/usr/bin/codesign"]), "for hvf", On::Mac, ["", ""]),
    tool("ip", Probe::Version(&["-V"]), "for TAP devices", On::Linux, ["iproute2", ""]),
    tool("dnsmasq", VERSION, "for TAP devices", On::Linux, ["dnsmasq-base", ""]),
    tool("curl", VERSION, TESTS, On::Both, ["curl", "curl"]),
    tool("wrk", Probe::Version(&["-v"]), TESTS, On::Linux, ["wrk", ""]),
    tool("ping", Probe::Version(&["-V"]), TESTS, On::Linux, ["iputils-ping", ""]),
    tool("tshark", VERSION, TESTS, On::Linux, ["tshark", ""]),
    tool("dumpcap", VERSION, TESTS, On::Linux, ["tshark", ""]),
    tool("openssl", Probe::Version(&["version"]), TESTS, On::Linux, ["openssl", ""]),
    tool("valgrind", VERSION, TESTS, On::Linux, ["valgrind", ""]),
    tool("unshare", VERSION, TESTS, On::Linux, ["util-linux", ""]),
    tool("git", VERSION, TESTS, On::Both, ["git", "git"]),
];

/// The QEMU for `arch`.
pub(super) fn qemu(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "qemu-system-aarch64",
        Arch::X86_64 => "qemu-system-x86_64",
    }
}

/// What builds for `target`.
pub(super) fn toolchain(target: &str) -> &'static [&'static str] {
    match target {
        "host" => &["cargo", "cc"],
        _ => &["cargo", "cc", "rustc for images", "rust-lld"],
    }
}

impl<'a> Checks<'a> {
    /// Looks at everything that can be of use on `machine`.
    pub(super) fn of(machine: &'a dyn Surroundings) -> Self {
        let mut checks = rust(machine);
        let here = if machine.system().0 == "macos" { On::Mac } else { On::Linux };
        let useful = TOOLS.iter().filter(|tool| tool.on == On::Both || tool.on == here);
        checks.extend(useful.map(|tool| tool.check(machine)));
        checks.push(limine(machine));
        match here {
            On::Mac => checks.extend(mac(machine)),
            _ => checks.extend(linux(machine)),
        }
        Self { machine, checks }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter()
    }

    /// Whether the one called `name` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name && check.found.is_some())
    }
}

impl Tool {
    fn check(&self, machine: &dyn Surroundings) -> Check {
        let found = match self.probe {
            Probe::Version(arguments) => {
                let there = machine.has(self.name);
                there.then(|| version_of(machine, self.name, arguments))
            }
            Probe::Files(files) => {
                files.iter().find(|file| machine.exists(file)).map(|file| (*file).to_owned())
            }
        };
        let next = install(machine, self.packages);
        Check { name: self.name, purpose: self.purpose, found, next }
    }
}

/// The command that installs one of the packages here.
fn install(machine: &dyn Surroundings, [debian, homebrew]: [&str; 2]) -> String {
    match machine.system().0 {
        "macos" if homebrew.is_empty() => "xcode-select --install".to_owned(),
        "macos" => format!("brew install {homebrew}"),
        _ if !machine.has("apt-get") => format!("what Debian calls {debian}"),
        _ if machine.is_root() => format!("apt-get install {debian}"),
        _ => format!("sudo apt-get install {debian}"),
    }
}

fn version_of(machine: &dyn Surroundings, program: &str, arguments: &[&str]) -> String {
    let said = machine.output(program, arguments).unwrap_or_default();
    version(&said).map_or_else(|| "there".to_owned(), str::to_owned)
}

/// The first thing that looks like a version.
fn version(said: &str) -> Option<&str> {
    let words = || said.split(|c: char| c.is_whitespace() || "-/,():".contains(c));
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let dotted = |word: &&str| {
        let mut parts = word.split('.');
        parts.clone().count() > 1 && parts.all(|p| p.chars().all(|c| c.is_ascii_digit()))
    };
    words().filter(number).find(dotted).or_else(|| words().find(number))
}

/// Rust itself, and the toolchain that is composed for images.
fn rust(machine: &dyn Surroundings) -> Vec<Check> {
    let cache = machine.variable("XDG_CACHE_HOME");
    let home = machine.variable("HOME").unwrap_or_default();
    let cache = cache.unwrap_or_else(|| format!("{home}/.cache"));
    let composed = machine.variable("WAITLESS_TOOLCHAIN");
    let composed = composed.unwrap_or_else(|| format!("{cache}/waitless/toolchain"));
    let (rustc, lld) = (format!("{composed}/bin/rustc"), format!("{composed}/linker/rust-lld"));
    let sources = machine.output(&rustc, &["--print", "sysroot"]).is_some_and(|root| {
        let core = "lib/rustlib/src/rust/library/core/Cargo.toml";
        machine.exists(&format!("{}/{core}", root.trim()))
    });
    let images = (machine.has(&rustc) && sources)
        .then(|| version_of(machine, &rustc, &["--version"]) + ", with the library's sources");
    let linker =
        machine.has(&lld).then(|| version_of(machine, &lld, &["-flavor", "gnu", "--version"]));
    let cargo = machine.has("cargo").then(|| version_of(machine, "cargo", &["--version"]));
    let setup = || "make setup".to_owned();
    let check = |name, purpose, found, next| Check { name, purpose, found, next };
    vec![
        check("cargo", "to build", cargo, "https://rustup.rs".to_owned()),
        check("rustc for images", "to build images", images, setup()),
        check("rust-lld", "to link images", linker, setup()),
    ]
}

/// The loader that no package registry has.
fn limine(machine: &dyn Surroundings) -> Check {
    let told = machine.variable("LIMINE_DIR");
    let folders = told.into_iter().chain(iso::LIMINE_FOLDERS.map(str::to_owned));
    let complete = |folder: &String| {
        let program = machine.has("limine") || machine.has(&format!("{folder}/limine"));
        program && iso::LIMINE.iter().all(|file| machine.exists(&format!("{folder}/{file}")))
    };
    Check {
        name: "Limine",
        purpose: "for ISOs, instead of GRUB",
        found: { folders }.find(complete),
        next: "set LIMINE_DIR to a folder with the files of a binary release of Limine, which no \
               package registry has"
            .to_owned(),
    }
}

/// What Linux allows.
fn linux(machine: &dyn Surroundings) -> Vec<Check> {
    let kvm = "/dev/kvm";
    let next = if machine.exists(kvm) {
        "`sudo usermod --append --groups kvm $USER`, and a new login".to_owned()
    } else {
        format!("turn it on in the firmware's settings; there is no {kvm}")
    };
    let tun = machine.opens("/dev/net/tun");
    let root = if machine.is_root() { Some("made by root") } else { None };
    let ready = machine.exists("/sys/class/net/waitless0").then_some("waitless0 is there");
    let tap = ready.or(root.filter(|_| tun)).map(str::to_owned);
    let probe = "ip link set lo up && ip tuntap add dev probe mode tap";
    let inside = ["--net", "sh", "-c", probe];
    let as_user = [&["--user", "--map-root-user"][..], &inside].concat();
    let spaces = machine.succeeds("unshare", &inside) || machine.succeeds("unshare", &as_user);
    vec![
        Check {
            name: "KVM",
            purpose: "for speed: --kvm",
            found: machine.opens(kvm).then(|| format!("{kvm} can be used")),
            next,
        },
        Check {
            name: "TAP devices",
            purpose: "for native-tap, and for NET=tap",
            found: tap,
            next: "run it as root, or let root make waitless0: `make run NET=tap` says how"
                .to_owned(),
        },
        Check {
            name: "networks for tests",
            purpose: TESTS,
            found: spaces.then(|| "namespaces with TAP devices".to_owned()),
            next: "run tests as root, or allow user namespaces and /dev/net/tun".to_owned(),
        },
    ]
}

/// The macOS whose framework has an interrupt controller.
pub(in crate::cli) const MACOS: u32 = 15;

/// Which macOS it is whose version is `said`.
pub(in crate::cli) fn macos(said: &str) -> Option<u32> {
    said.trim().split('.').next()?.parse().ok()
}

/// What macOS and the Mac have.
fn mac(machine: &dyn Surroundings) -> Vec<Check> {
    let support = machine.output("sysctl", &["-n", "kern.hv_support"]);
    let support = support.is_some_and(|said| said.trim() == "1");
    let silicon = machine.system().1 == "aarch64";
    let version = machine.output("sw_vers", &["-productVersion"]).unwrap_or_default();
    let major = macos(&version);
    vec![
        Check {
            name: FRAMEWORK,
            purpose: "for hvf",
            found: (support && silicon).then(|| "Apple silicon".to_owned()),
            next: "hvf takes Apple silicon".to_owned(),
        },
        Check {
            name: "macOS 15",
            purpose: "for hvf",
            found: major.filter(|major| *major >= MACOS).map(|_| version.trim().to_owned()),
            next: "update macOS: its interrupt controller for guests came with version 15"
                .to_owned(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u16)", "7.2.22"),
            ("ip utility, iproute2-6.1.0, libbpf 1.1.2", "6.1.0"),
            ("ping from iputils 20221126", "20221126"),
            ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012", "4.1.0"),
            ("grub-mkrescue (GRUB) 2.06-13+deb12u1", "2.06"),
            ("LLD 19.1.7 (compatible with GNU linkers)", "19.1.7"),
        ] {
            assert_eq!(version(said), Some(expected));
        }
        assert_eq!(version("usage: codesign"), None);
    }
}
