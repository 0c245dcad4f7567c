//! The runner: builds an image, boots it, and ends as it ends.

mod qemu;

use crate::catalogue::Component;
use crate::cli::symbols::Symbols;
use crate::cli::tap::Tap;
use crate::cli::{self, Which, image};
use crate::graph::{Graph, Instance};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
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
    /// The TAP device
    #[arg(long, value_name = "NAME", default_value = "waitless0")]
    tap: String,
    /// This machine's address there, where the device has to be made (root only)
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.2.2")]
    tap_address: Ipv4Addr,
    /// The host's port that leads to the image's port 80
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = port())]
    http_port: u16,
    /// The host's port that leads to the image's port 443
    #[arg(long, value_name = "PORT", default_value_t = 8443, value_parser = port())]
    https_port: u16,
    /// The host's port that leads to the image's UDP port 7
    #[arg(long, value_name = "PORT", default_value_t = 7007, value_parser = port())]
    udp_port: u16,
    /// The virtual machine's memory [default: what the manifests say, else 128M]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// The virtual machine's processors [default: what the manifest says, 1 for "all"]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=64))]
    cores: Option<u64>,
    #[command(flatten)]
    machine: qemu::Options,
    /// The processor that QEMU emulates [default: max; host with --kvm]
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

/// Something that listens in the image: what, its port there, and the host's port.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Service {
    kind: Kind,
    inside: u16,
    outside: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Http,
    Https,
    Tcp,
    Udp,
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

/// A port that can be named; 0 would be any.
fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

/// How often ports are asked whether they answer.
const PROBE: Duration = Duration::from_millis(50);

impl Run {
    /// Builds and runs it.
    ///
    /// # Errors
    /// One line with the next step, when it cannot be started.
    pub fn run(&self) -> Result<ExitCode, String> {
        let (project, graph) = cli::load(&self.meant()?)?;
        let platform = project.platform(&graph.platform.name)?;
        let native = platform.target == "host";
        let services = self.services(&graph);
        let tap = self.tap(&graph, native);
        if tap.is_none() && !self.dry_run {
            free(&services)?;
        }
        let program = match &self.image {
            Some(path) if path.is_file() => path.clone(),
            Some(path) => {
                let path = path.display();
                return Err(format!("there is no image {path}; without --image, one is built"));
            }
            None => image::build(&project, &graph.app.package, &platform)?,
        };
        let mut command = match native {
            true => self.native(&program, &services),
            false => qemu::command(self, &program, &graph, &services)?,
        };
        if self.dry_run {
            say(&line(&command));
            return Ok(ExitCode::SUCCESS);
        }
        let _tap = tap.as_deref().map(|name| Tap::ready(name, self.tap_address)).transpose()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|why| start_error(&command, &why))?;
        let outcome = self.watch(&mut child, &graph, &services, &program);
        let status = child.wait().map_err(|why| format!("cannot wait for the image: {why}"))?;
        Ok(self.verdict(status, native, outcome))
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

    /// The TAP device that the image uses, if any: the virtual machine's, or a component's.
    fn tap(&self, graph: &Graph, native: bool) -> Option<String> {
        let needs = |instance: &&Instance| instance.component.needs.iter().any(|n| n == "tap");
        let mut keys = graph.instances.iter().filter(needs).flat_map(|instance| &instance.config);
        let own = keys.find(|setting| setting.field.name == "device");
        own.map(|setting| setting.shown.trim_matches('"').to_owned())
            .or_else(|| (self.net == "tap" && !native).then(|| self.tap.clone()))
    }

    /// What listens in the image. Ports without an option of their own are the same outside,
    /// or 8000 higher where they belong to root.
    fn services(&self, graph: &Graph) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        for (index, instance) in graph.instances.iter().enumerate() {
            let port = instance.config.iter().find(|setting| setting.field.name == "port");
            let Some(inside) = port.and_then(|s| s.shown.parse::<u16>().ok()) else { continue };
            let Some(kind) = kind(graph, index, &instance.component) else { continue };
            let outside = match (kind, inside) {
                (Kind::Udp, 7) => self.udp_port,
                (Kind::Udp, _) if inside < 1024 => inside + 8000,
                (Kind::Http, 80) => self.http_port,
                (Kind::Https, 443) => self.https_port,
                _ if inside < 1024 => inside + 8000,
                _ => inside,
            };
            let service = Service { kind, inside, outside };
            if !services.contains(&service) {
                services.push(service);
            }
        }
        services
    }

    fn native(&self, program: &Path, services: &[Service]) -> Command {
        let mut command = Command::new(program);
        let ports = services.iter().map(|service| {
            let protocol = if service.kind == Kind::Udp { "udp" } else { "tcp" };
            format!("{}/{protocol}={}", service.inside, service.outside)
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
        let limit = self.timeout.map(|seconds| start + Duration::from_secs(seconds));
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
            ready = ready || if own_stack { address.is_some() } else { answers(services) };
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

    fn verdict(&self, status: ExitStatus, native: bool, (ready, ended): (bool, bool)) -> ExitCode {
        if ended {
            if !ready && self.timeout.is_some() {
                eprintln!("error: the image was not ready in time");
                return ExitCode::FAILURE;
            }
            return ExitCode::SUCCESS;
        }
        match status.code() {
            Some(0) => ExitCode::SUCCESS,
            Some(1) if !native => {
                let next = if self.kvm { "; see whether it runs without --kvm" } else { "" };
                eprintln!("error: QEMU failed; what it said is above{next}");
                ExitCode::FAILURE
            }
            // What the machine's exit device makes of the two ways in which an image fails.
            Some(3) if !native => {
                eprintln!("error: the image panicked or met an exception; see above");
                ExitCode::from(3)
            }
            Some(5) if !native => {
                eprintln!("error: the image could not start; see above");
                ExitCode::from(5)
            }
            Some(code) => {
                eprintln!("error: the image ended with status {code}");
                ExitCode::from(u8::try_from(code).unwrap_or(1))
            }
            None => {
                let what = if native { "the image" } else { "QEMU" };
                let next = if self.kvm { "; see whether it runs without --kvm" } else { "" };
                eprintln!("error: {what} was ended by {status}{next}");
                ExitCode::FAILURE
            }
        }
    }
}

/// What a component with a port serves, by what it provides and stands on.
fn kind(graph: &Graph, index: usize, component: &Component) -> Option<Kind> {
    let on = |port: &str| graph.instances[index].below.iter().any(|edge| edge.port == port);
    let http = component.provides.iter().any(|port| port == "HttpPort");
    let mut below = graph.instances[index].below.iter().map(|edge| &graph.instances[edge.to]);
    // A stream that itself stands on streams is encrypted.
    let secret = below.any(|lower| lower.below.iter().any(|edge| edge.port == "StreamPort"));
    match (on("StreamPort"), on("UdpPort"), http) {
        (true, _, true) if secret => Some(Kind::Https),
        (true, _, true) => Some(Kind::Http),
        (true, ..) => Some(Kind::Tcp),
        (_, true, _) => Some(Kind::Udp),
        _ => None,
    }
}

/// Whether all of the host's ports are free.
fn free(services: &[Service]) -> Result<(), String> {
    for service in services {
        let at = ("127.0.0.1", service.outside);
        let taken = match service.kind {
            Kind::Udp => UdpSocket::bind(at).is_err(),
            _ => TcpListener::bind(at).is_err(),
        };
        if taken {
            let option = match (service.kind, service.inside) {
                (Kind::Http, 80) => "choose another by --http-port (HTTP_PORT=… with make)",
                (Kind::Https, 443) => "choose another by --https-port (HTTPS_PORT=… with make)",
                (Kind::Udp, 7) => "choose another by --udp-port (UDP_PORT=… with make)",
                _ => "choose another `port` in the manifest",
            };
            let protocol = if service.kind == Kind::Udp { "UDP" } else { "TCP" };
            let port = service.outside;
            return Err(format!("{protocol} port {port} of this machine is in use; {option}"));
        }
    }
    Ok(())
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

/// Whether all TCP services take connections.
fn answers(services: &[Service]) -> bool {
    let streams = services.iter().filter(|service| service.kind != Kind::Udp);
    streams.into_iter().all(|service| TcpStream::connect(("127.0.0.1", service.outside)).is_ok())
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
        let place = match service.kind {
            Kind::Http if port == 80 => format!("http://{host}/"),
            Kind::Http => format!("http://{host}:{port}/"),
            Kind::Https if port == 443 => format!("https://{host}/"),
            Kind::Https => format!("https://{host}:{port}/"),
            Kind::Tcp => format!("tcp {host}:{port}"),
            Kind::Udp => format!("udp {host}:{port}"),
        };
        say(&format!("  {place}"));
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
        return format!("{program} is not installed; `make setup` installs it");
    }
    format!("cannot start {program}: {why}")
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
