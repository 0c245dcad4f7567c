//! The runner: builds an image, boots it, and ends as it ends.

mod cards;
mod hvf;
mod qemu;
mod services;

use crate::cli::symbols::Symbols;
use crate::cli::tap::Tap;
use crate::cli::{self, Given, Which, flat, image};
use crate::graph::{Graph, Instance};
use crate::project::Project;
use crate::types::{bytes, memory_size};
use cards::Card;
pub(crate) use qemu::OVMF;
use services::{Ports, Service};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How to run an image.
#[derive(clap::Args, Debug)]
pub struct Run {
    #[command(flatten)]
    which: Which,
    /// The network of a virtual machine: QEMU's own, which needs no rights, or a TAP device
    #[arg(long, default_value = "user", value_parser = ["user", "tap"])]
    net: String,
    /// The TAP device; a machine with several cards has as many, parted by commas
    #[arg(
        long,
        value_name = "NAMES",
        default_value = "waitless0,waitless1",
        value_delimiter = ','
    )]
    tap: Vec<String>,
    /// This machine's address there, where the device has to be made (root only)
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.2.2")]
    tap_address: Ipv4Addr,
    #[command(flatten)]
    ports: Ports,
    #[command(flatten)]
    given: Given,
    /// What runs an image of the platform hvf [default: hvf-runner]
    #[arg(long, value_name = "NAME", value_parser = ["hvf-runner", "qemu"])]
    runner: Option<String>,
    #[command(flatten)]
    machine: qemu::Options,
    /// The processor that QEMU emulates [default: max; host with --kvm and on the platform hvf]
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// Uses the processor's own virtualization
    #[arg(long)]
    kvm: bool,
    /// A key that can be set at boot: --set http.port=81; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// One more argument for QEMU; may be repeated: --qemu-arg=-s
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    qemu_arg: Vec<String>,
    /// Ends the image after so many seconds; that is a success if it was ready by then
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Runs this image instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Prints the command instead of running it
    #[arg(long)]
    dry_run: bool,
}

/// What runs an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Runner {
    /// This project's own, on Apple's framework.
    Hvf,
    /// Nothing: it is a process.
    Nothing,
    Qemu,
}

/// What is heard from an image while it runs.
enum News {
    Line(String),
    /// A line for standard error.
    Error(String),
}

/// After how long an image that has said nothing is said to.
const SILENCE: Duration = Duration::from_secs(10);
const SILENT: &str = "the image has said nothing for 10 s; it may have too little memory to print \
    (--memory), or be on a machine that it does not know (--machine)";

/// The platform that `sim` runs.
const SIMULATION: &str = "simulation";

/// How often ports are asked whether they answer.
const PROBE: Duration = Duration::from_millis(50);

impl Run {
    /// Builds and runs it.
    ///
    /// # Errors
    /// One line with the next step, when it cannot be started.
    pub fn run(&self) -> Result<ExitCode, String> {
        let (project, graph) = cli::load_for(&self.meant()?, &self.given)?;
        let platform = project.platform(&graph.platform.name)?;
        if platform.name == SIMULATION {
            let app = &graph.app.package;
            return Err(format!("the platform `{SIMULATION}` is many hosts; use `sim {app}`"));
        }
        let runner = self.runner(&graph)?;
        if runner == Runner::Qemu {
            qemu::fits(self, &graph)?;
        }
        if graph.platform.name == "hvf" && !self.dry_run {
            hvf::is_on(hvf::HERE)?;
        }
        let services = services::services(&graph, &self.ports, &self.set)?;
        let cards = cards::cards(&graph);
        let taps = self.taps(&graph, runner, &cards)?;
        if taps.is_empty() && !self.dry_run {
            services::free(&services)?;
        }
        let program = match &self.image {
            Some(path) if path.is_file() => path.clone(),
            Some(path) => return Err(image::is_not(path)),
            None => image::build(&project, &graph.app.package, &platform)?,
        };
        self.fits_into_memory(&program, &graph)?;
        if runner == Runner::Hvf && !self.dry_run {
            hvf::prepare(&project)?;
        }
        let commands = self.commands(&project, &program, &graph, &services)?;
        if self.dry_run {
            commands.iter().for_each(|command| say(&line(command)));
            return Ok(ExitCode::SUCCESS);
        }
        let mut command = commands.into_iter().next_back().ok_or("there is nothing to run")?;
        let made = taps.iter().enumerate().map(|(number, name)| {
            // On the first one there is a DHCP server, on the others an address beside the image's.
            match cards.get(number).and_then(Card::host).filter(|_| number > 0) {
                Some((host, prefix)) => Tap::with_address(name, host, prefix),
                None => Tap::ready(name, self.tap_address),
            }
        });
        let _taps = made.collect::<Result<Vec<_>, _>>()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|why| start_error(&command, &why))?;
        let outcome = self.watch(&mut child, &graph, &services, &program);
        let status = child.wait().map_err(|why| format!("cannot wait for the image: {why}"))?;
        Ok(self.verdict(status, runner, outcome))
    }

    /// The commands that run `program`: the last one does, and what comes before it has been
    /// done by then.
    fn commands(
        &self,
        project: &Project,
        program: &Path,
        graph: &Graph,
        services: &[Service],
    ) -> Result<Vec<Command>, String> {
        match self.runner(graph)? {
            Runner::Nothing => Ok(vec![self.native(program, services)]),
            Runner::Qemu => Ok(vec![qemu::command(self, program, graph, services)?]),
            Runner::Hvf => {
                let runner = hvf::program(project);
                let (image, size) = (flat::beside(program)?, self.size(graph));
                Ok(vec![
                    image::tool_command(project, hvf::RUNNER),
                    hvf::sign(&project.workspace.home, &runner),
                    hvf::command(self, &runner, &image, (size.0, &size.1), services),
                ])
            }
        }
    }

    /// What runs the graph's image.
    fn runner(&self, graph: &Graph) -> Result<Runner, String> {
        let (native, is_hvf) = (graph.platform.target == "host", graph.platform.name == "hvf");
        if let (Some(runner), false) = (&self.runner, is_hvf) {
            return Err(format!("--runner {runner} is for the platform hvf; add --platform hvf"));
        }
        let runner = match self.runner.as_deref() {
            _ if native => Runner::Nothing,
            Some("qemu") => Runner::Qemu,
            _ if is_hvf => Runner::Hvf,
            _ => Runner::Qemu,
        };
        if is_hvf {
            hvf::fits(self, runner == Runner::Qemu)?;
        }
        self.applies(graph, runner)?;
        Ok(runner)
    }

    /// Reports an option that this way to run an image takes no notice of.
    fn applies(&self, graph: &Graph, runner: Runner) -> Result<(), String> {
        let machine = [
            ("--machine", self.machine.machine.is_some()),
            ("--nic", self.machine.nic.is_some()),
            ("--cpu", self.cpu.is_some()),
            ("--qemu-arg", !self.qemu_arg.is_empty()),
            ("--kvm", self.kvm),
            ("--memory", self.given.memory.is_some()),
            ("--cores", self.given.cores.is_some()),
        ];
        let given = machine.iter().find(|(_, given)| *given);
        if let (Some((option, _)), Runner::Nothing) = (given, runner) {
            let name = &graph.platform.name;
            return Err(format!(
                "{option} is for a virtual machine, and `{name}` is a process: choose another \
                 platform by --platform (PLATFORM=qemu with make), or leave it out"
            ));
        }
        if self.machine.firmware.is_some() && graph.platform.name != "iso" {
            return Err("--firmware is for the platform iso: add --platform iso (PLATFORM=iso \
                        with make), or leave it out"
                .to_owned());
        }
        // The runner of hvf has refused one before.
        let is_tap = self.net == "tap";
        match self.ports.chosen().first().filter(|_| is_tap) {
            Some((option, _)) => Err(format!(
                "{option} is a port of this machine that leads to the image, and on a TAP device \
                 the image has an address of its own: leave it out"
            )),
            None => Ok(()),
        }
    }

    /// Whether the image, as it was linked, ends where there still is memory.
    fn fits_into_memory(&self, program: &Path, graph: &Graph) -> Result<(), String> {
        let (_, memory) = self.size(graph);
        let Some((end, memory)) = image::end(program).zip(memory_size(&memory)) else {
            return Ok(());
        };
        if graph.platform.target == "host" || end <= memory {
            return Ok(());
        }
        Err(format!(
            "the image alone takes the first {} of memory, and there are {}; give it more by \
             --memory, or by `memory` in [app]",
            bytes(end),
            bytes(memory)
        ))
    }

    /// How many cores and how much memory a virtual machine gets.
    fn size(&self, graph: &Graph) -> (u64, String) {
        let bytes = graph.app.memory.unwrap_or(128 << 20);
        // QEMU takes fewer ways to write a size than a command line here.
        let given = self.given.memory.as_deref().and_then(memory_size);
        let bytes = given.unwrap_or_else(|| bytes.next_multiple_of(1 << 20));
        let memory = match bytes.is_multiple_of(1 << 20) {
            true => format!("{}M", bytes >> 20),
            false => format!("{}K", bytes.div_ceil(1 << 10)),
        };
        let meant = if graph.app.all_cores { 1 } else { graph.app.cores };
        (self.given.cores.unwrap_or(meant), memory)
    }

    /// The platform that is meant: a process on a TAP device is one of its own.
    fn meant(&self) -> Result<Which, String> {
        let mut which = self.which.clone();
        let on_tap = format!("{}-tap", which.platform);
        if self.net == "tap" && cli::open()?.platforms().iter().any(|p| p.name == on_tap) {
            which.platform = on_tap;
        }
        Ok(which)
    }

    /// The TAP devices that the image uses, one for each card: a component's, or the virtual
    /// machine's.
    fn taps(&self, graph: &Graph, runner: Runner, cards: &[Card]) -> Result<Vec<String>, String> {
        let needs = |instance: &&Instance| instance.component.needs.iter().any(|n| n == "tap");
        let keys = graph.instances.iter().filter(needs).flat_map(|instance| &instance.config);
        let own = keys.filter(|setting| setting.field.name == "device");
        let own: Vec<_> = own.map(|it| it.shown.trim_matches('"').to_owned()).collect();
        if !own.is_empty() || self.net != "tap" || runner != Runner::Qemu {
            return Ok(own);
        }
        let several = cards.len().max(1);
        match self.tap.get(..several) {
            Some(taps) => Ok(taps.to_vec()),
            None => {
                Err(format!("the image has {several} cards; name a TAP device for each (--tap)"))
            }
        }
    }

    fn native(&self, program: &Path, services: &[Service]) -> Command {
        let mut command = Command::new(program);
        let ports = services.iter().map(|service| {
            format!("{}/{}={}", service.inside, service.protocol(), service.outside)
        });
        let ports = ports.collect::<Vec<_>>().join(",");
        command.args(self.set.iter().flat_map(|word| ["--set", word.as_str()]));
        if !ports.is_empty() {
            command.args(["--ports", &ports]);
        }
        command
    }

    /// Shows what the image says, and where it can be reached once it can. Gives whether it was
    /// ready, and whether it was ended from here.
    fn watch(
        &self,
        child: &mut Child,
        graph: &Graph,
        services: &[Service],
        program: &Path,
    ) -> (bool, bool) {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        // A second attempt finds the handler set, which is as good.
        let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
        let news = listen(child);
        let start = Instant::now();
        // One that no clock reaches is none.
        let limit = self.timeout.and_then(|it| start.checked_add(Duration::from_secs(it)));
        let own_stack =
            graph.instances.iter().any(|i| i.component.provides.iter().any(|p| p == "IpPort"));
        let mut symbols = Symbols::new(program);
        let (mut ready, mut told, mut address) = (false, false, None);
        let mut silent = true;
        loop {
            match news.recv_timeout(PROBE) {
                Ok(News::Line(line)) => {
                    silent = false;
                    say(&symbols.explain(&line));
                    address = address.or_else(|| address_in(&line));
                }
                Ok(News::Error(line)) => {
                    complain(&line);
                    address = address.or_else(|| address_in(&line));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return (ready, false),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            ready = ready || if own_stack { address.is_some() } else { services::answer(services) };
            if ready && !told {
                told = true;
                let guest = (self.net == "tap" || graph.platform.name == "native-tap")
                    .then(|| address.clone())
                    .flatten();
                tell(services, guest.as_deref(), start.elapsed());
            }
            if silent && start.elapsed() >= SILENCE {
                silent = false;
                complain(SILENT);
            }
            let late = limit.is_some_and(|limit| Instant::now() >= limit);
            if late || interrupted.load(Ordering::Relaxed) {
                end(child, &news);
                return (ready, true);
            }
        }
    }

    fn verdict(
        &self,
        status: ExitStatus,
        runner: Runner,
        (ready, ended): (bool, bool),
    ) -> ExitCode {
        if ended {
            if !ready && self.timeout.is_some() {
                eprintln!("error: the image was not ready in time");
                return ExitCode::FAILURE;
            }
            return ExitCode::SUCCESS;
        }
        let (code, why) = meaning(status.code(), &status.to_string(), runner);
        if let Some(why) = why {
            let of_qemu = self.kvm && matches!(status.code(), None | Some(1));
            let next = if of_qemu { "; see whether it runs without --kvm" } else { "" };
            eprintln!("error: {why}{next}");
        }
        ExitCode::from(code)
    }
}

/// The status to pass on for one with which an image ended, `status` in words, and what it means;
/// nothing for an end that is as it should be.
fn meaning(code: Option<i32>, status: &str, runner: Runner) -> (u8, Option<String>) {
    let virtual_machine = runner != Runner::Nothing;
    let why = match code {
        Some(0) => return (0, None),
        Some(1) if runner == Runner::Qemu => "QEMU failed; what it said is above",
        Some(1) if runner == Runner::Hvf => "the image was stopped; see above",
        Some(2) if runner == Runner::Hvf => "the machine could not be started; see above",
        // What the machine's exit device makes of the two ways in which an image fails.
        Some(3) if virtual_machine => "the image panicked or met an exception; see above",
        Some(5) if virtual_machine => "the image could not start; see above",
        Some(code) => {
            let passed = u8::try_from(code).unwrap_or(1);
            return (passed, Some(format!("the image ended with status {code}")));
        }
        None => {
            let what = if runner == Runner::Qemu { "QEMU" } else { "the image" };
            return (1, Some(format!("{what} was ended by {status}")));
        }
    };
    (code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1), Some(why.to_owned()))
}

/// Hears what the image says; the channel closes when it has ended.
fn listen(child: &mut Child) -> mpsc::Receiver<News> {
    let (sender, news) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || each_line(output, |line| sender.send(News::Line(line)).is_ok()));
    }
    if let Some(errors) = child.stderr.take() {
        thread::spawn(move || each_line(errors, |line| sender.send(News::Error(line)).is_ok()));
    }
    news
}

/// Calls `take` with each line, until that says no.
fn each_line(from: impl Read, take: impl Fn(String) -> bool) {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if !take(String::from_utf8_lossy(&line).trim_end().to_owned()) {
            return;
        }
        line.clear();
    }
}

/// The address in a line such as `… address 10.0.2.15/24 …`.
fn address_in(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("address ")?;
    let (address, _) = rest.split_once('/')?;
    address.parse::<std::net::IpAddr>().ok().map(|address| address.to_string())
}

fn tell(services: &[Service], guest: Option<&str>, after: Duration) {
    say(&format!("\nready after {} ms", after.as_millis()));
    for service in services {
        let (host, port) = match guest {
            Some(guest) => (guest, service.inside),
            None => ("localhost", service.outside),
        };
        say(&format!("  {}", service.url(host, port)));
    }
    say("Ctrl-C ends it\n");
}

/// Prints a line; that nobody reads it is no reason to leave the image alone.
fn say(line: &str) {
    cli::print(&format!("{line}\n"));
    let _ = std::io::stdout().flush();
}

/// Passes on what the image or QEMU complains about, which is not that it was ended from here.
fn complain(line: &str) {
    if !line.contains("terminating on signal") {
        eprintln!("{line}");
    }
}

/// Asks the image to end, and ends it if it does not.
fn end(child: &mut Child, news: &mpsc::Receiver<News>) {
    let id = child.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status();
    let patience = Instant::now() + Duration::from_secs(3);
    while asked.is_ok() && Instant::now() < patience {
        match news.recv_timeout(PROBE) {
            Ok(News::Line(line)) => say(&line),
            Ok(News::Error(line)) => complain(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
    }
    let _ = child.kill();
}

fn start_error(command: &Command, why: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    if why.kind() == std::io::ErrorKind::NotFound && program.starts_with("qemu") {
        return not_installed(&program);
    }
    format!("cannot start {program}: {why}")
}

fn not_installed(program: &str) -> String {
    let next = if cfg!(target_os = "macos") { "brew install qemu" } else { "make setup" };
    format!("{program} is not installed; `{next}` installs it")
}

/// A command as a shell would take it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
        if word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
