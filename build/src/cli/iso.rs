//! A bootable ISO around an image: for BIOS and UEFI, from a CD or copied to a disk.
//!
//! Limine loads it where that is installed, otherwise GRUB does, from the system's packages.
//! Neither is a part of this project; both are free to be copied.

use crate::cli::{self, Which, image};
use crate::project::PlatformFile;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io};

/// Which ISO to make.
#[derive(clap::Args, Debug)]
pub struct Iso {
    #[command(flatten)]
    which: Which,
    /// The file [default: target/iso/APP.iso]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Who loads the image [default: Limine where it is installed, else GRUB]
    #[arg(long, value_name = "NAME", value_parser = ["limine", "grub"])]
    loader: Option<String>,
    /// The image's command line, such as log=debug
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    command_line: String,
    /// Puts this image into it instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

/// Who loads an image from a CD.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loader {
    /// Limine, whose files are in this folder; its own program is there or in the path.
    Limine(PathBuf),
    /// GRUB, by `grub-mkrescue`.
    Grub,
}

/// What Limine's folder must hold.
pub(crate) const LIMINE: [&str; 4] =
    ["limine-bios.sys", "limine-bios-cd.bin", "limine-uefi-cd.bin", "BOOTX64.EFI"];

/// Where distributions keep it.
pub(crate) const LIMINE_FOLDERS: [&str; 3] =
    ["/usr/share/limine", "/usr/local/share/limine", "/opt/homebrew/share/limine"];

/// What rustc builds PCs' images for, and what their ELF files say.
const PC: &str = "x86_64-waitless";
const X86_64: [u8; 2] = [62, 0];

/// Where GRUB's modules are, for BIOS and for UEFI, and the packages that have them.
pub(crate) const GRUB_MODULES: [(&str, &str); 2] =
    [("/usr/lib/grub/i386-pc", "grub-pc-bin"), ("/usr/lib/grub/x86_64-efi", "grub-efi-amd64-bin")];

impl Iso {
    /// Makes it and says where it is.
    ///
    /// # Errors
    /// One line with the next step.
    pub fn run(&self) -> Result<(), String> {
        let (project, graph) = cli::load(&self.which)?;
        let app = &graph.app.package;
        let loader = self.loader()?;
        let program = match &self.image {
            Some(path) if path.is_file() => path.clone(),
            Some(path) => return Err(image::is_not(path)),
            None => {
                let platform = project.platform(&graph.platform.name)?;
                is_for_pcs(&platform)?;
                image::build(&project, app, &platform)?
            }
        };
        let usual = || project.workspace.target.join("iso").join(format!("{app}.iso"));
        let output = self.output.clone().unwrap_or_else(usual);
        make(&loader, &program, app, &self.command_line, &output)?;
        eprintln!("{}: loaded by {}", output.display(), loader.name());
        Ok(())
    }

    fn loader(&self) -> Result<Loader, String> {
        match self.loader.as_deref() {
            None => Loader::find(),
            Some("limine") => Loader::limine().ok_or_else(|| {
                "Limine is not here: set LIMINE_DIR to a folder with its release's files".into()
            }),
            Some(_) => Loader::grub(),
        }
    }
}

impl Loader {
    /// Limine where it is installed, else GRUB.
    ///
    /// # Errors
    /// One line that says what to install.
    pub fn find() -> Result<Self, String> {
        Self::limine().map_or_else(Self::grub, Ok)
    }

    /// Limine, of `LIMINE_DIR` or as it is installed.
    pub fn limine() -> Option<Self> {
        let told = env::var_os("LIMINE_DIR").map(PathBuf::from);
        let installed = LIMINE_FOLDERS.iter().map(PathBuf::from);
        let folders = told.into_iter().chain(installed);
        let complete = |folder: &PathBuf| LIMINE.iter().all(|file| folder.join(file).is_file());
        let found = folders.into_iter().find(complete)?;
        (tool(&found).is_some() && in_path("xorriso")).then_some(Self::Limine(found))
    }

    fn grub() -> Result<Self, String> {
        let missing = grub_missing();
        if missing.is_empty() {
            return Ok(Self::Grub);
        }
        let packages = missing.join(" ");
        Err(format!("no loader for the ISO is installed; next: apt-get install {packages}"))
    }

    /// What a person calls it.
    pub fn name(&self) -> String {
        match self {
            Self::Limine(folder) => format!("Limine, from {}", folder.display()),
            Self::Grub => "GRUB".to_owned(),
        }
    }
}

/// What an ISO can hold: it boots PCs.
fn is_for_pcs(platform: &PlatformFile) -> Result<(), String> {
    let name = &platform.name;
    match platform.target.as_str() {
        PC => Ok(()),
        "host" => Err(format!("`{name}` runs on this host; use --platform iso")),
        other => Err(format!("an ISO boots x86-64, and `{name}` builds for {other} here")),
    }
}

/// The packages that GRUB's way lacks here.
pub fn grub_missing() -> Vec<&'static str> {
    let programs =
        [("grub-mkrescue", "grub-common"), ("xorriso", "xorriso"), ("mformat", "mtools")];
    let programs = programs.into_iter().filter(|(program, _)| !in_path(program));
    let modules = GRUB_MODULES.into_iter().filter(|(path, _)| !Path::new(path).is_dir());
    programs.chain(modules).map(|(_, package)| package).collect()
}

/// Makes an ISO that loads `program`.
///
/// # Errors
/// One line.
pub fn make(
    loader: &Loader,
    program: &Path,
    name: &str,
    command_line: &str,
    output: &Path,
) -> Result<(), String> {
    let fail = |what: &str, why: io::Error| format!("cannot {what}: {why}");
    let bytes = fs::read(program).map_err(|why| fail("read the image", why))?;
    if bytes.starts_with(b"\x7fELF") && bytes.get(18..20) != Some(&X86_64) {
        return Err("the image is not for x86-64, which is what an ISO boots".to_owned());
    }
    let stripped = without_debugging(bytes).ok_or("the image is no ELF file of 64 bits")?;
    if let Some(place) = output.parent() {
        fs::create_dir_all(place).map_err(|why| fail("make the folder of the ISO", why))?;
    }
    let contents = Contents::new().map_err(|why| fail("make a temporary folder", why))?;
    let folder = contents.0.as_path();
    put(&folder.join("boot/kernel"), &stripped)?;
    match loader {
        Loader::Grub => grub(folder, name, command_line, output),
        Loader::Limine(files) => limine(files, folder, name, command_line, output),
    }
}

/// A folder for what an ISO is to hold. It is a new one, and goes with this value: what was there
/// before, wherever the ISO is to be, is somebody's.
struct Contents(PathBuf);

impl Contents {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let folder = env::temp_dir().join(format!("waitless-iso-{process}-{number}"));
            match fs::create_dir(&folder) {
                // What an older process with this number left.
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {}
                made => return made.map(|()| Self(folder)),
            }
        }
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn grub(folder: &Path, name: &str, command_line: &str, output: &Path) -> Result<(), String> {
    put(&folder.join("boot/grub/grub.cfg"), grub_config(name, command_line).as_bytes())?;
    // Fonts, themes and translations would be two thirds of the file.
    let modules = "--install-modules=multiboot2 normal part_msdos part_gpt iso9660";
    let small = ["--fonts=", "--themes=", "--locales=", "--compress=xz", modules];
    let mut command = Command::new("grub-mkrescue");
    command.args(small).arg("-o").arg(output).arg(folder);
    finish(command)
}

/// GRUB's script, in which a word can hold whatever it likes: `;` would end the command.
fn grub_config(name: &str, command_line: &str) -> String {
    let words = command_line.split_ascii_whitespace();
    let quoted = words.map(|word| format!(" '{}'", word.replace('\'', r"'\''")));
    let words: String = quoted.collect();
    format!("set timeout=0\nmenuentry \"{name}\" {{\n    multiboot2 /boot/kernel{words}\n}}\n")
}

fn limine(
    files: &Path,
    folder: &Path,
    name: &str,
    command_line: &str,
    output: &Path,
) -> Result<(), String> {
    // Before version 8.6, a path was called `kernel_path`; keys that are not known are ignored.
    let config = format!(
        "timeout: 0\nquiet: yes\n/{name}\n    protocol: limine\n    path: boot():/boot/kernel\n    \
         kernel_path: boot():/boot/kernel\n    cmdline: {command_line}\n"
    );
    put(&folder.join("boot/limine/limine.conf"), config.as_bytes())?;
    for file in LIMINE {
        let place = if file.ends_with("EFI") { "EFI/BOOT" } else { "boot/limine" };
        let bytes = fs::read(files.join(file)).map_err(|why| format!("{file}: {why}"))?;
        put(&folder.join(place).join(file), &bytes)?;
    }
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-R", "-r", "-J"]);
    command.args(["-b", "boot/limine/limine-bios-cd.bin", "-no-emul-boot"]);
    command.args(["-boot-load-size", "4", "-boot-info-table"]);
    command.args(["--efi-boot", "boot/limine/limine-uefi-cd.bin", "-efi-boot-part"]);
    command.args(["--efi-boot-image", "--protective-msdos-label", "-o"]);
    finish({
        command.arg(output).arg(folder);
        command
    })?;
    // The part that a BIOS starts when the file is on a disk.
    let mut install = Command::new(tool(files).ok_or("Limine's own program vanished")?);
    install.arg("bios-install").arg(output);
    finish(install)
}

/// Runs a program that says much when all is well; only what it says otherwise is shown.
fn finish(mut command: Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|why| format!("cannot start {name}: {why}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed:\n{}", said.trim_end()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let fail = |why| format!("cannot write {}: {why}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, bytes).map_err(fail)
}

/// Limine's own program: beside its files, or in the path.
fn tool(files: &Path) -> Option<PathBuf> {
    let beside = files.join("limine");
    if beside.is_file() {
        return Some(beside);
    }
    in_path("limine").then(|| PathBuf::from("limine"))
}

/// Whether there is such a program.
pub fn in_path(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// An ELF file of 64 bits up to the end of what is loaded, without the list of its sections,
/// which only debuggers read. `None` for another file.
fn without_debugging(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let long = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(field.try_into().ok()?))
    };
    let short = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at.checked_add(2)?)?;
        Some(usize::from(u16::from_le_bytes(field.try_into().ok()?)))
    };
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (long(&bytes, 32)?, short(&bytes, 54)?, short(&bytes, 56)?);
    let table = usize::try_from(table).ok()?;
    let mut end = table.checked_add(size * count)?;
    for header in (0..count).map(|index| table + index * size) {
        let (offset, length) = (long(&bytes, header + 8)?, long(&bytes, header + 32)?);
        end = end.max(usize::try_from(offset.checked_add(length)?).ok()?);
    }
    if end > bytes.len() {
        return None;
    }
    bytes.truncate(end);
    // Where the list of sections is, the count of its entries, and which of them has names.
    bytes.get_mut(40..48)?.fill(0);
    bytes.get_mut(60..64)?.fill(0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one segment of 16 bytes, and something behind it.
    fn elf() -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 + 16 + 100];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[40] = 200;
        (bytes[54], bytes[56], bytes[60], bytes[62]) = (56, 1, 7, 6);
        (bytes[64 + 8], bytes[64 + 32]) = (120, 16);
        bytes
    }

    #[test]
    fn what_is_not_loaded_is_left_out() {
        let stripped = without_debugging(elf()).unwrap();
        assert_eq!(stripped.len(), 136);
        assert_eq!((stripped[40], stripped[60], stripped[62]), (0, 0, 0), "no sections");
        assert_eq!((stripped[32], stripped[56]), (64, 1), "the segments stay");
    }

    #[test]
    fn what_is_beside_the_iso_stays() {
        let folder = Contents::new().unwrap();
        let [image, output] = ["image", "mine.iso"].map(|name| folder.0.join(name));
        let mine = folder.0.join("mine.files/letter");
        put(&mine, b"dear").unwrap();
        put(&image, &elf()).unwrap();
        // There is no Limine, so none is made.
        let _ = make(&Loader::Limine(folder.0.join("none")), &image, "web", "", &output);
        assert_eq!(fs::read(&mine).unwrap(), b"dear");
        let (path, other) = (folder.0.clone(), Contents::new().unwrap());
        assert_ne!(path, other.0);
        drop(folder);
        assert!(!path.exists() && other.0.is_dir());
    }

    #[test]
    fn words_are_quoted_for_grub() {
        let config = grub_config("web", "a.b=a;b$c  x='y'");
        let line = r"multiboot2 /boot/kernel 'a.b=a;b$c' 'x='\''y'\'''";
        assert_eq!(config.lines().nth(2).map(str::trim), Some(line));
        assert!(grub_config("web", "").contains("multiboot2 /boot/kernel\n"));
    }

    #[test]
    fn what_boots_no_pc_is_refused() {
        let platform = |target| PlatformFile::of("it", target);
        assert!(is_for_pcs(&platform("x86_64-waitless")).is_ok());
        assert!(is_for_pcs(&platform("host")).unwrap_err().contains("--platform iso"));
        assert!(is_for_pcs(&platform("aarch64-waitless")).unwrap_err().contains("x86-64"));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        assert_eq!(without_debugging(b"#!/bin/sh".to_vec()), None);
        let whole = elf();
        for length in 0..136 {
            assert_eq!(without_debugging(whole[..length].to_vec()), None, "{length}");
        }
        let mut far = whole;
        far[64 + 15] = 0xff;
        assert_eq!(without_debugging(far), None);
    }
}
