//! Images that run: in QEMU, or as a process.

use super::build::{Arch, put_changed};
use super::network::{Frames, Tap};
use super::process::{Running, tool};
use super::{Connection, PATIENCE, wait_for};
use build::cli::flat;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// Long enough for an emulated machine to start beside other work.
const BOOT_PATIENCE: Duration = Duration::from_secs(60);

/// An emulated machine, as it will be started.
#[derive(Clone, Debug)]
pub struct Machine {
    arch: Arch,
    machine: &'static str,
    memory: String,
    cores: usize,
    queues: usize,
    arguments: Vec<String>,
    card: String,
    usual_firmware: bool,
    cdrom: Option<String>,
    kvm: bool,
}

impl Machine {
    /// One core and no network.
    pub fn new() -> Self {
        Self {
            arch: Arch::X86_64,
            machine: "q35",
            memory: "64M".to_owned(),
            cores: 1,
            queues: 1,
            arguments: Vec::new(),
            card: "virtio-net-pci,netdev=net,romfile=".to_owned(),
            usual_firmware: false,
            cdrom: None,
            kvm: false,
        }
    }

    /// The older machine with a bus.
    pub fn pc(mut self) -> Self {
        self.machine = "pc";
        self
    }

    /// A machine without PCI and ACPI, whose card's registers are at a fixed address; before the
    /// network is chosen.
    pub fn microvm(mut self) -> Self {
        self.machine = "microvm,acpi=off";
        self.card = "virtio-net-device,netdev=net".to_owned();
        self.arguments(&["-global", "virtio-mmio.force-legacy=false"])
    }

    /// The same with ACPI, whose tables list its devices and its cores.
    pub fn microvm_with_acpi(self) -> Self {
        Self { machine: "microvm,acpi=on", ..self.microvm() }
    }

    /// The machine of 64-bit Arm, with an interrupt controller of version 3 and a card on PCI;
    /// before anything else is chosen.
    pub fn virt(mut self) -> Self {
        self.arch = Arch::Aarch64;
        self.machine = "virt,gic-version=3";
        self
    }

    /// The same with an interrupt controller of version 2.
    pub fn older_virt(mut self) -> Self {
        self = self.virt();
        self.machine = "virt,gic-version=2";
        self
    }

    /// With a card whose registers are at a fixed address, of a machine that has a bus as well.
    pub fn without_bus(self) -> Self {
        let machine = self.machine;
        Self { machine, ..self.microvm() }
    }

    /// What images it runs.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// With so much memory, in QEMU's words.
    pub fn memory(mut self, memory: &str) -> Self {
        memory.clone_into(&mut self.memory);
        self
    }

    /// With so many cores.
    pub fn cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self
    }

    /// With so many queue pairs of its network card, on a tap that has them; before the network
    /// is chosen.
    pub fn queues(mut self, queues: usize) -> Self {
        self.queues = queues;
        self
    }

    /// With further arguments to QEMU.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// On this machine's own processors, by KVM.
    pub fn kvm(mut self) -> Self {
        self.kvm = true;
        self
    }

    /// With QEMU's usual firmware, which takes longer than the one that is chosen otherwise.
    pub fn usual_firmware(mut self) -> Self {
        self.usual_firmware = true;
        self
    }

    /// Booted from the CD in `file`, by QEMU's usual firmware or one that the arguments name.
    pub fn cdrom(mut self, file: &str) -> Self {
        self.cdrom = Some(file.to_owned());
        self.usual_firmware()
    }

    /// With further properties of the network card; before the network is chosen.
    pub fn card(mut self, properties: &str) -> Self {
        self.card = format!("{},{properties}", self.card);
        self
    }

    /// With its network card on `tap`.
    pub fn on(self, tap: &Tap) -> Self {
        let mut netdev = format!("tap,id=net,ifname={},script=no,downscript=no", tap.name);
        if self.queues > 1 {
            netdev += &format!(",queues={}", self.queues);
        }
        let card = self.card.clone();
        self.arguments(&["-netdev", &netdev, "-device", &card])
    }

    /// With its network card on a hub, together with `tap` and a test's raw frames.
    pub fn on_hub(self, tap: &Tap, frames: &Frames) -> Self {
        let wire = format!("tap,id=wire,ifname={},script=no,downscript=no", tap.name);
        let ours = format!(
            "socket,id=ours,udp=127.0.0.1:{},localaddr=127.0.0.1:{}",
            frames.port(),
            frames.hub.port()
        );
        let card = self.card.clone();
        self.arguments(&["-netdev", &wire, "-netdev", &ours])
            .arguments(&["-netdev", "hubport,id=h0,hubid=0,netdev=wire"])
            .arguments(&["-netdev", "hubport,id=h1,hubid=0,netdev=ours"])
            .arguments(&["-netdev", "hubport,id=net,hubid=0", "-device", &card])
    }

    /// With its network card on QEMU's user network; `forwards` are host and guest ports.
    pub fn on_user_network(self, forwards: &[(&str, u16, u16)]) -> Self {
        let mut netdev = "user,id=net".to_owned();
        for (protocol, host, guest) in forwards {
            netdev += &format!(",hostfwd={protocol}:127.0.0.1:{host}-:{guest}");
        }
        let card = self.card.clone();
        self.arguments(&["-netdev", &netdev, "-device", &card])
    }

    /// Starts `image` on it.
    #[track_caller]
    pub fn boot(self, image: &Path) -> Vm {
        let (program, cpu) = match self.arch {
            Arch::Aarch64 => ("qemu-system-aarch64", "max,pauth-impdef=on"),
            Arch::X86_64 => ("qemu-system-x86_64", "max"),
        };
        let mut command = Command::new(tool(program).expect("QEMU is there"));
        let (accelerator, cpu) = if self.kvm { ("kvm", "host") } else { ("tcg", cpu) };
        command.args(["-M", self.machine, "-accel", accelerator, "-cpu", cpu]);
        command.args(["-smp", &self.cores.to_string()]);
        command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
        command.args(["-m", &self.memory]);
        let firmware = matches!(self.machine, "pc" | "q35") && !self.usual_firmware;
        match self.arch {
            Arch::Aarch64 => _ = command.arg("-semihosting"),
            Arch::X86_64 => _ = command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]),
        }
        // As `build run` does: the firmware that takes the least time, where it is there.
        if Path::new("/usr/share/qemu/qboot.rom").exists() && firmware {
            command.args(["-bios", "qboot.rom"]);
        }
        command.args(&self.arguments);
        match &self.cdrom {
            Some(file) => command.arg("-cdrom").arg(file),
            None => command.arg("-kernel").arg(self.loaded(image)),
        };
        Vm { process: Running::start(command) }
    }
}

impl Machine {
    /// What QEMU is given for `image`: on Arm, what a loader puts into memory, beside the file.
    #[track_caller]
    fn loaded(&self, image: &Path) -> PathBuf {
        if self.arch == Arch::X86_64 {
            return image.to_owned();
        }
        let loaded = image.with_extension("img");
        let bytes = fs::read(image).expect("the image can be read");
        put_changed(&loaded, &flat(&bytes).expect("an image for Arm"));
        loaded
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

/// An emulated machine that runs.
#[derive(Debug)]
pub struct Vm {
    process: Running,
}

impl Vm {
    /// Waits until its console shows `text`, and gives everything it shows.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.process.expect_output(text, BOOT_PATIENCE)
    }

    /// What its console has shown.
    pub fn console(&self) -> String {
        self.process.output()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.process.status().is_some()
    }

    /// The process id of the emulator.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn expect_end(&mut self) -> ExitStatus {
        self.process.expect_end(BOOT_PATIENCE)
    }

    /// Panics when it has ended.
    #[track_caller]
    pub fn assert_alive(&mut self) {
        let ended = self.process.status();
        assert!(ended.is_none(), "the machine ended ({ended:?}):\n{}", self.console());
    }

    /// Waits until it answers HTTP at `address`.
    #[track_caller]
    pub fn expect_http(&mut self, address: Ipv4Addr, port: u16) {
        wait_for("an answer", BOOT_PATIENCE, || {
            self.assert_alive();
            answers(address, port).then_some(())
        });
    }

    /// Waits until it has an address in the network of `tap`, and gives that.
    #[track_caller]
    pub fn expect_address(&mut self, tap: &Tap) -> Ipv4Addr {
        wait_for("an address by DHCP", BOOT_PATIENCE, || {
            self.assert_alive();
            let console = self.console();
            (50..60).map(|host| tap.host(host)).find(|it| names(&console, *it))
        })
    }
}

/// An app that runs as a process of this machine.
#[derive(Debug)]
pub struct Native {
    /// The process.
    pub process: Running,
}

impl Native {
    /// Starts `program` with `arguments`.
    #[track_caller]
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self { process: Running::start(command) }
    }

    /// Waits until it answers HTTP at `address`.
    #[track_caller]
    pub fn expect_http(&mut self, address: Ipv4Addr, port: u16) {
        wait_for("an answer", PATIENCE, || {
            let ended = self.process.status();
            assert!(ended.is_none(), "it ended ({ended:?}):\n{}", self.process.output());
            answers(address, port).then_some(())
        });
    }
}

fn answers(address: Ipv4Addr, port: u16) -> bool {
    let timeout = Duration::from_secs(1);
    if std::net::TcpStream::connect_timeout(&(address, port).into(), timeout).is_err() {
        return false;
    }
    let mut connection = Connection::to(address, port);
    connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.answer().is_some()
}

/// Whether `text` names `address`, and not one that only begins like it.
fn names(text: &str, address: Ipv4Addr) -> bool {
    let address = address.to_string();
    text.split(|c: char| !c.is_ascii_digit() && c != '.').any(|word| word == address)
}
