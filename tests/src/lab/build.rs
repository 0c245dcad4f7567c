//! Images, built once and kept, and copies of the checkout to build variants in.

use super::Variant;
use super::process::tool;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

/// What is built before the first test: all apps that tests boot as they are.
#[derive(Debug)]
pub struct Images {
    target: PathBuf,
}

/// An architecture that images are built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arch {
    /// 64-bit Arm.
    Aarch64,
    /// 64-bit PCs.
    X86_64,
}

impl Arch {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The target of its images.
    pub fn target(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64-waitless",
            Self::X86_64 => "x86_64-waitless",
        }
    }
}

/// The apps that are built, and what for; `None` for this machine.
const APPS: [(&str, Option<Arch>); 6] = [
    ("webserver", Some(Arch::X86_64)),
    ("hello", Some(Arch::X86_64)),
    ("webserver", Some(Arch::Aarch64)),
    ("webserver", None),
    ("router", None),
    ("gateway", None),
];

/// A file of the checkout, and what a variant makes of its text.
pub type Edit<'a> = (&'a str, &'a dyn Fn(&str) -> String);

impl Images {
    /// Builds those of `APPS` with cargo, as the README says, that tests of `variants` boot.
    pub fn build(variants: &[Variant]) -> Result<(), String> {
        let boots = |variant: &Variant, arch| match arch {
            None => variant.platform == "native",
            Some(_) if variant.platform.starts_with("native") => false,
            Some(_) => variant.arch.is_none() || variant.arch == arch,
        };
        let wanted =
            |&(_, arch): &(&str, Option<Arch>)| variants.iter().any(|variant| boots(variant, arch));
        let apps: Vec<_> = APPS.into_iter().filter(wanted).collect();
        Self::build_these(&apps)
    }

    /// Builds some apps, each for an architecture, or for this machine where there is none; these
    /// are optimized as variants are.
    pub fn build_these(apps: &[(&str, Option<Arch>)]) -> Result<(), String> {
        for &(name, arch) in apps {
            let Some(arch) = arch else {
                println!("building: {name}, to run on this machine");
                Self::built().native_variant(name, &native_name(name), &[]);
                continue;
            };
            let target = ["--target", arch.target()];
            let arguments = [&["build", "--release", "--package", name][..], &target].concat();
            println!("building: cargo {}", arguments.join(" "));
            let status = cargo(&checkout(), &arguments).stdin(Stdio::null()).status();
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("cargo {} failed", arguments.join(" ")));
            }
        }
        Ok(())
    }

    /// Where [`build`](Self::build) left everything.
    pub fn built() -> Self {
        Self { target: target() }
    }

    /// The image of the app `name` for x86-64.
    pub fn image(&self, name: &str) -> PathBuf {
        self.image_for(name, Arch::X86_64)
    }

    /// The image of the app `name` for `arch`.
    pub fn image_for(&self, name: &str, arch: Arch) -> PathBuf {
        self.target.join(arch.target()).join("release").join(name)
    }

    /// The app `name` as a program of this machine.
    pub fn native(&self, name: &str) -> PathBuf {
        self.target.join("lab").join(native_name(name))
    }

    /// Where cargo puts what belongs to variants.
    pub fn variants(&self) -> PathBuf {
        self.target.join("lab/checkout/target")
    }

    /// The default image, built from a copy of the checkout whose root manifest `edit` changed.
    #[track_caller]
    pub fn variant(&self, name: &str, edit: impl Fn(&str) -> String) -> PathBuf {
        self.variant_with(name, &[("waitless.toml", &edit)], "qemu", Arch::X86_64)
    }

    /// The app `webserver`, built for `platform` from a copy of the checkout in which `edits`
    /// changed files. Images are for `arch`. What has the same `name` is built once.
    #[track_caller]
    pub fn variant_with(
        &self,
        name: &str,
        edits: &[Edit<'_>],
        platform: &str,
        arch: Arch,
    ) -> PathBuf {
        static MADE: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = made.get(name) {
            return kept.clone();
        }
        let kept = self.make_variant("webserver", name, edits, platform, arch, false);
        made.insert(name.to_owned(), kept.clone());
        kept
    }

    /// The app `package` as a program of this machine, built from a copy of the checkout in which
    /// `edits` changed files; and the folder of that copy.
    #[track_caller]
    pub fn native_variant(
        &self,
        package: &str,
        name: &str,
        edits: &[Edit<'_>],
    ) -> (PathBuf, PathBuf) {
        let kept = self.make_variant(package, name, edits, "native", Arch::X86_64, false);
        (kept, self.target.join("lab/checkout"))
    }

    /// The app `webserver` for `platform`, unchanged, and optimized as what is released: for
    /// measurements.
    #[track_caller]
    pub fn released(&self, platform: &str, arch: Arch) -> PathBuf {
        let name = format!("{platform}-released");
        self.make_variant("webserver", &name, &[], platform, arch, true)
    }

    #[track_caller]
    fn make_variant(
        &self,
        package: &str,
        name: &str,
        edits: &[Edit<'_>],
        platform: &str,
        arch: Arch,
        whole: bool,
    ) -> PathBuf {
        let copy = self.target.join("lab/checkout");
        copy_checkout(&copy, |_, bytes| bytes);
        for (file, edit) in edits {
            let text = fs::read_to_string(copy.join(file)).expect("the file to edit");
            fs::write(copy.join(file), edit(&text)).expect("the edited file");
        }
        let (target, sub): (&[&str], _) = match platform {
            "native" | "native-tap" => (&[], "."),
            _ => (&["--target", arch.target()], arch.target()),
        };
        give_certificate(&checkout(), &copy);
        let all = [&["build", "--release", "--package", package], target].concat();
        build_in(&copy, &all, platform, whole);
        if !checkout().join(CERTIFICATE[0]).exists() {
            give_certificate(&copy, &checkout());
        }
        let built = self.variants().join(sub).join("release").join(package);
        let kept = self.target.join("lab").join(name);
        fs::copy(&built, &kept).expect("what was built");
        kept
    }
}

/// The certificate for development, and its key.
const CERTIFICATE: [&str; 2] = ["certs/development.pem", "certs/development.key"];

/// Gives another checkout the certificate for development, if there is one: who trusts this one's
/// believes what the other builds.
fn give_certificate(from: &Path, to: &Path) {
    for file in CERTIFICATE {
        let (from, to) = (from.join(file), to.join(file));
        if from.exists() && fs::read(&from).ok() != fs::read(&to).ok() {
            fs::create_dir_all(to.parent().expect("inside a folder")).expect("a folder");
            // With its mode: others may not read the key. Of a file that is there, that stays.
            let _ = fs::remove_file(&to);
            fs::copy(&from, &to).expect("a copy");
        }
    }
}

/// What the app `name` is called as a program of this machine.
fn native_name(name: &str) -> String {
    format!("native-{name}")
}

/// Bytes of an ELF64 file that are loaded: the file sizes of its loadable segments.
pub fn loaded_size(elf: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let (table, entry, count) = (word(32) as usize, half(54), half(56));
    let headers = (0..count).map(|index| table + index * entry);
    headers.filter(|at| elf[*at..*at + 4] == [1, 0, 0, 0]).map(|at| word(at + 32)).sum()
}

/// `waitless-build ARGUMENTS` of this checkout in `folder`, as `cargo run -p build -- ARGUMENTS`
/// would run it; but it is built with the features that the workspace has anyway, which cargo
/// would choose otherwise for one package, and build all that it depends on anew.
#[track_caller]
pub fn waitless_build(folder: &Path, arguments: &[&str]) -> Command {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let words = ["build", "--quiet", "--workspace", "--bin", "waitless-build"];
        let status = cargo(&checkout(), &words).status().expect("cargo runs");
        assert!(status.success(), "cargo {words:?}");
        target().join("debug/waitless-build")
    });
    let mut command = Command::new(&*BUILT);
    command.args(arguments).current_dir(folder).env("CARGO_NET_OFFLINE", "true");
    command
}

/// Runs cargo in `folder`, without a network; panics with its output when it fails.
///
/// Unless `whole`, leaves out the optimization of the whole program, which takes a minute each
/// time: what is released has it, and is what most tests boot.
#[track_caller]
fn build_in(folder: &Path, arguments: &[&str], platform: &str, whole: bool) {
    let mut cargo = cargo(folder, arguments);
    cargo.env("CARGO_NET_OFFLINE", "true").env("WAITLESS_PLATFORM", platform);
    if !whole {
        in_parts(&mut cargo);
    }
    let output = cargo.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}:\n{errors}");
}

/// Leaves out the optimization of the whole program, and most of that of its parts.
pub fn in_parts(cargo: &mut Command) {
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
    cargo.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "line-tables-only");
}

/// `cargo ARGUMENTS` in `folder`, free of what the cargo that runs this test has set.
pub fn cargo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("cargo").expect("cargo is in PATH"));
    command.args(arguments).current_dir(folder);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let set_for_tests = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if set_for_tests.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    if folder != checkout() {
        command.env_remove("CARGO_TARGET_DIR");
    }
    command
}

/// Copies what git tracks, as `edit` makes it, which is given each file's name and bytes. Leaves
/// files alone that are the same already, so that cargo builds only what changed.
pub fn copy_checkout(to: &Path, edit: impl Fn(&str, Vec<u8>) -> Vec<u8>) {
    let from = checkout();
    for file in crate::tidy::files().iter().map(String::as_str).chain(["Cargo.lock"]) {
        let bytes = fs::read(from.join(file)).expect("a listed file can be read");
        put_changed(&to.join(file), &edit(file, bytes));
    }
}

/// Writes a file, unless it has the same bytes already.
pub fn put_changed(file: &Path, bytes: &[u8]) {
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return;
    }
    fs::create_dir_all(file.parent().expect("inside a folder")).expect("a folder");
    fs::write(file, bytes).expect("a copy");
}

/// The checkout that this crate stands in.
pub fn checkout() -> PathBuf {
    crate::tidy::checkout()
}

/// Where cargo puts what it builds here.
pub fn target() -> PathBuf {
    let set = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.unwrap_or_else(|| checkout().join("target"))
}

/// An empty folder for a test; gone when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder whose name contains `name`.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Process ids repeat in process namespaces; the time does not.
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let time = time.map_or(0, |time| time.as_nanos());
        let path = env::temp_dir().join(format!("waitless-{name}-{time:x}-{number}"));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
