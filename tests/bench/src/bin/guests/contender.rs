//! Who is measured, and how each is started: on the same machine, network and addresses.

use crate::load;
use crate::options::Options;
use crate::packages;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use waitless_tests::lab::{Arch, Images, Machine, Native, Tap, Vm, loaded_size, run};

/// One of those that are compared.
#[derive(Debug)]
pub struct Contender {
    /// What tables call it.
    pub name: &'static str,
    kind: Kind,
    /// What is started.
    program: PathBuf,
}

/// What kind of server it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Our image, or our process.
    Waitless,
    /// tokio, hyper and rustls on Linux.
    Hyper,
    /// nginx on Linux, which has no `/compute`, no uploads and no echo.
    Nginx,
}

impl Contender {
    /// All that the options let take part.
    pub fn all(options: &Options) -> Result<Vec<Self>, String> {
        let images = Images::built();
        let all = match options.native {
            true => vec![
                Self {
                    name: "Waitless",
                    kind: Kind::Waitless,
                    program: images.released("native-tap", Arch::X86_64),
                },
                Self { name: "hyper", kind: Kind::Hyper, program: packages::hyper() },
            ],
            false => vec![
                Self {
                    name: "Waitless",
                    kind: Kind::Waitless,
                    program: images.image_for("webserver", options.arch),
                },
                Self { name: "Linux, hyper", kind: Kind::Hyper, program: packages::kernel() },
                Self { name: "Linux, nginx", kind: Kind::Nginx, program: packages::kernel() },
            ],
        };
        let wanted = |contender: &Self| options.lets(&contender.name.to_lowercase());
        let chosen: Vec<_> = all.into_iter().filter(wanted).collect();
        if chosen.is_empty() { Err("--only: nobody is called so".to_owned()) } else { Ok(chosen) }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What is started: the image, a kernel or a program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Bytes of what a machine is started from.
    pub fn image_size(&self) -> Option<u64> {
        let length = |path: &PathBuf| std::fs::metadata(path).ok().map(|data| data.len());
        match self.kind {
            Kind::Waitless => Some(loaded_size(&std::fs::read(&self.program).ok()?)),
            Kind::Hyper => Some(length(&self.program)? + length(&packages::root("hyper"))?),
            Kind::Nginx => Some(length(&self.program)? + length(&packages::root("nginx"))?),
        }
    }

    /// Starts it, with so much memory and further arguments to QEMU.
    pub fn start(&self, place: &Place, memory: &str, more: &[&str]) -> Result<Guest, String> {
        if place.native {
            return self.start_native(place);
        }
        let machine = if place.kvm { Machine::new().kvm() } else { Machine::new() };
        let machine = if place.arch == Arch::Aarch64 { machine.virt() } else { machine };
        let machine = machine.memory(memory).cores(place.cores).queues(place.cores);
        let card = match place.cores {
            1 => format!("mac={MAC}"),
            cores => format!("mac={MAC},mq=on,vectors={}", 2 * cores + 2),
        };
        let machine = machine.card(&card).on(&place.tap).arguments(more);
        let address = format!("{}/24", place.address);
        let vm = match self.kind {
            Kind::Waitless => {
                let keys = format!("ip4.address={address} ip4.gateway={}", place.tap.address);
                machine.arguments(&["-append", &keys]).boot(&self.program)
            }
            Kind::Hyper | Kind::Nginx => {
                let name = if self.kind == Kind::Hyper { "hyper" } else { "nginx" };
                let root = packages::root(name);
                let root = root.to_str().ok_or("the cache folder's path is no text")?;
                let keys = format!("console=ttyS0 quiet panic=-1 no_timer_check address={address}");
                machine.arguments(&["-initrd", root, "-append", &keys]).boot(&self.program)
            }
        };
        Ok(Guest { body: Body::Vm(vm), address: place.address })
    }

    fn start_native(&self, place: &Place) -> Result<Guest, String> {
        let body = match self.kind {
            Kind::Waitless => {
                let keys = format!(
                    "ip4.address={}/24 ip4.gateway={} nic.device={}",
                    place.address, place.tap.address, place.tap.name
                );
                let set: Vec<&str> = keys.split(' ').flat_map(|key| ["--set", key]).collect();
                Native::start(&self.program, &set)
            }
            // In a network namespace of its own, behind a cable to this one.
            _ => {
                let (certificate, key) = packages::certificate()?;
                let script = format!(
                    "ip link set lo up && read ready && ip address add {}/24 dev {FAR} && \
                     ip link set {FAR} up && ulimit -n $(ulimit -Hn) && exec {} {} {}",
                    place.address,
                    self.program.display(),
                    certificate.display(),
                    key.display()
                );
                let mut native =
                    Native::start(&PathBuf::from("unshare"), &["--net", "sh", "-c", &script]);
                place.cable(native.process.id())?;
                let input = native.process.input().ok_or("it was piped")?;
                std::io::Write::write_all(input, b"go\n").map_err(|error| error.to_string())?;
                native
            }
        };
        Ok(Guest { body: Body::Native(body), address: place.address })
    }
}

/// Where a contender runs: a network, and an address that is known before it starts.
#[derive(Debug)]
pub struct Place {
    tap: Tap,
    /// The contender's address.
    pub address: Ipv4Addr,
    cores: usize,
    arch: Arch,
    native: bool,
    kvm: bool,
}

impl Place {
    /// A fresh one.
    pub fn new(options: &Options) -> Self {
        let tap = if options.cores > 1 && !options.native {
            Tap::with_queues()
        } else if options.native {
            // Named in the manifest of the platform.
            Tap::named("waitless0")
        } else {
            Tap::new()
        };
        let address = tap.host(HOST);
        let Options { cores, arch, native, kvm, .. } = *options;
        let place = Self { tap, address, cores, arch, native, kvm };
        if !options.native {
            place.know_neighbour();
        }
        place
    }

    /// An address of this machine in the contender's network, the one that ends with `host`.
    pub fn own_address(&self, host: u8) -> Ipv4Addr {
        let address = self.tap.host(host);
        let device = if self.native { NEAR } else { &self.tap.name };
        let words = ["address", "add", &format!("{address}/24"), "dev", device];
        // It may be there already.
        let _ = Command::new("ip").args(words).output();
        address
    }

    /// The kernel asks for a neighbour once a second; what is measured is not that.
    fn know_neighbour(&self) {
        let to = self.address.to_string();
        let words = ["neigh", "replace", &to, "lladdr", MAC, "dev"];
        run("ip", &[&words[..], &[&self.tap.name, "nud", "permanent"]].concat());
    }

    /// A pair of Ethernet devices instead of the tap: one here, one in the process's namespace.
    fn cable(&self, process: u32) -> Result<(), String> {
        let text = process.to_string();
        let own = format!("/proc/{process}/ns/net");
        let start = Instant::now();
        // Until it has left this namespace.
        while std::fs::read_link(&own).ok() == std::fs::read_link("/proc/self/ns/net").ok() {
            if start.elapsed() > Duration::from_secs(10) {
                return Err("no network namespace of its own".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        run("ip", &["link", "set", &self.tap.name, "down"]);
        let _ = Command::new("ip").args(["link", "delete", NEAR]).output();
        run("ip", &["link", "add", NEAR, "type", "veth", "peer", "name", FAR, "netns", &text]);
        let near = format!("{}/24", self.tap.address);
        run("ip", &["address", "add", &near, "dev", NEAR]);
        run("ip", &["link", "set", NEAR, "up"]);
        Ok(())
    }
}

/// A contender that runs.
#[derive(Debug)]
pub struct Guest {
    body: Body,
    address: Ipv4Addr,
}

#[derive(Debug)]
enum Body {
    Vm(Vm),
    Native(Native),
}

impl Guest {
    /// Waits until it answers.
    pub fn wait(&mut self, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        while !load::answers(self.address) {
            if self.has_ended() {
                return Err(format!("it ended:\n{}", self.console()));
            }
            if start.elapsed() > patience {
                return Err(format!("no answer in {patience:?}:\n{}", self.console()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The process: QEMU, or the server itself.
    pub fn id(&self) -> u32 {
        match &self.body {
            Body::Vm(vm) => vm.id(),
            Body::Native(native) => native.process.id(),
        }
    }

    /// What it has printed.
    pub fn console(&self) -> String {
        match &self.body {
            Body::Vm(vm) => vm.console(),
            Body::Native(native) => native.process.output(),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        match &mut self.body {
            Body::Vm(vm) => vm.ended(),
            Body::Native(native) => native.process.status().is_some(),
        }
    }
}

/// The card's address.
const MAC: &str = "52:54:00:77:77:77";
/// The host part of a contender's address.
const HOST: u8 = 50;
/// The ends of the cable.
const NEAR: &str = "waitless1";
const FAR: &str = "waitless2";
