//! The loop with small graphs, and what the user can choose.

use crate::host::Host;
use crate::options::{Command, Options};
use crate::ports::Ports;
use crate::sleep::{Sleep, Woken};
use crate::{ExitCode, run_with};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Instant as Clock;
use waitless::capture::Capture;
use waitless::device::Platform;
use waitless::log::Level;
use waitless::{Context, Duration, Image, InitError, Instant, Protocol, Sweep};

static IMAGE: Image = Image {
    app: "test",
    version: "1.2.3",
    platform: "native",
    graph: "{}",
    instances: &[],
    cores: 1,
    packets: 64,
    pins: &[],
};

fn options(arguments: &[&str]) -> Result<Options, String> {
    let arguments = arguments.iter().map(|argument| argument.to_string());
    match Options::parse(arguments, |_| None)? {
        Command::Run(options) => Ok(options),
        Command::Help => Err("help".into()),
    }
}

/// Has a secret to tell, and ends.
struct Tells;

impl Sweep for Tells {
    fn init(&mut self, _: &mut Context) -> Result<(), (&'static str, InitError)> {
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context) {
        assert!(cx.system().keys().is_watched());
        cx.system().keys().tell("A_SECRET", &[0x0f; 32], &[7; 2]);
        cx.system().shut_down();
    }

    fn deadline(&self) -> Instant {
        Instant::ZERO
    }

    fn arm(&mut self) -> bool {
        true
    }
}

#[test]
fn secrets_are_added_to_the_file_that_the_user_names() {
    use std::os::unix::fs::PermissionsExt;
    let name = format!("waitless-secrets-{}", std::process::id());
    let file = std::env::temp_dir().join(name);
    let with = |value: &str| {
        let variable = |name: &str| (name == "SSLKEYLOGFILE").then(|| value.to_owned());
        match Options::parse(std::iter::empty(), variable) {
            Ok(Command::Run(options)) => options,
            _ => panic!("no options"),
        }
    };
    let _alone = SIGNALS.lock();
    for _ in 0..2 {
        let options = with(&file.display().to_string());
        assert_eq!(run_with(&IMAGE, options, |_| Tells), ExitCode::SUCCESS);
    }
    let line = format!("A_SECRET {} 0707\n", "0f".repeat(32));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line.repeat(2));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
    std::fs::remove_file(&file).unwrap();
    // Nobody looks where nobody has said so.
    assert_eq!((options(&[]).unwrap().key_log, with("").key_log), (None, None));
}

/// Wants to be swept every 2 ms, and ends the process by a signal in the fifth sweep. Then there is
/// one more, for it to say so.
struct FiveSweeps {
    sweeps: u32,
    next: Instant,
    capture: &'static Capture,
}

impl Sweep for FiveSweeps {
    fn init(&mut self, cx: &mut Context) -> Result<(), (&'static str, InitError)> {
        assert!(cx.system().offer(self.capture));
        assert_eq!(cx.platform().host_port(Protocol::TCP, 80), 8080);
        assert!(cx.wall_clock().is_some());
        assert_eq!(cx.pool().count(), 64);
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context) {
        if cx.cores().is_ending() {
            self.capture.record(&[b"end "]);
            return;
        }
        assert!(cx.now() >= self.next, "woken too early");
        self.next = cx.now() + Duration::from_millis(2);
        self.sweeps += 1;
        self.capture.record(&[b"sweep "]);
        if self.sweeps == 5 {
            self.next = Instant::NEVER;
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        }
    }

    fn deadline(&self) -> Instant {
        self.next
    }

    fn arm(&mut self) -> bool {
        true
    }
}

/// For a test that signals the whole process, or that a signal would disturb.
static SIGNALS: Mutex<()> = Mutex::new(());

#[test]
fn a_graph_is_swept_at_its_deadlines_until_a_signal_and_captures_are_written() {
    let path = std::env::temp_dir().join(format!("native-test-{}", std::process::id()));
    let file: &'static str = Box::leak(path.to_str().unwrap().to_string().into_boxed_str());
    let capture = Capture::new(file, b"head ".to_vec(), 100).unwrap();
    let capture: &'static Capture = Box::leak(Box::new(capture));
    let _alone = SIGNALS.lock();
    let start = Clock::now();
    let code = run_with(&IMAGE, options(&[]).unwrap(), |_| FiveSweeps {
        sweeps: 0,
        next: Instant::ZERO,
        capture,
    });
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(start.elapsed().as_millis() >= 8);
    let written = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(written, "head sweep sweep sweep sweep sweep end ");
}

struct CannotStart;

impl Sweep for CannotStart {
    fn init(&mut self, _: &mut Context) -> Result<(), (&'static str, InitError)> {
        Err(("nic", InitError("there is none")))
    }

    fn poll(&mut self, _: &mut Context) {
        panic!("swept although it did not start");
    }

    fn deadline(&self) -> Instant {
        Instant::NEVER
    }

    fn arm(&mut self) -> bool {
        true
    }
}

#[test]
fn a_graph_that_cannot_start_fails_the_process() {
    assert_eq!(run_with(&IMAGE, options(&[]).unwrap(), |_| CannotStart), ExitCode::FAILURE);
}

#[test]
fn a_readable_descriptor_ends_the_sleep_and_a_dead_one_only_once() {
    let _alone = SIGNALS.lock();
    let host = Host::new(Ports::default(), String::new());
    let (mut sleep, _) = Sleep::until_signal().unwrap();
    let (mut near, far) = UnixStream::pair().unwrap();
    assert!(host.wake_on(far.as_raw_fd()));
    let start = Clock::now();
    let short = Some(Duration::from_millis(5));
    assert_eq!(sleep.for_at_most(short, &host).unwrap(), Woken::Normally);
    assert!(start.elapsed().as_millis() >= 5, "nothing was readable");
    near.write_all(b"x").unwrap();
    assert_eq!(sleep.for_at_most(None, &host).unwrap(), Woken::Normally);

    // Nobody has this number, so `poll` reports it as invalid.
    assert!(host.wake_on(1_000_000));
    host.descriptors().remove(0);
    assert_eq!(sleep.for_at_most(None, &host).unwrap(), Woken::ByDead(1_000_000));
    assert!(host.descriptors().is_empty());
}

#[test]
fn descriptors_are_limited() {
    let host = Host::new(Ports::default(), String::new());
    assert!(!host.wake_on(-1));
    assert_eq!((0..100).filter(|_| host.wake_on(0)).count(), 64);
}

#[test]
fn low_ports_move_where_everybody_may_listen() {
    let ports = Ports::default();
    for (image, host) in
        [(7, 8007), (22, 8022), (80, 8080), (443, 8443), (1023, 9023), (1024, 1024), (0, 0)]
    {
        assert_eq!(ports.host(Protocol::TCP, image), host);
    }
    assert_eq!(ports.host(Protocol::UDP, 7), 7007);
}

#[test]
fn the_user_chooses_ports() {
    let tcp = |ports: &Ports, port| ports.host(Protocol::TCP, port);
    let ports = Ports::parse("80=9000, 81=9001,80=9002").unwrap();
    assert_eq!((tcp(&ports, 80), tcp(&ports, 81), tcp(&ports, 443)), (9002, 9001, 8443));
    let ports = Ports::parse("same,80=9000").unwrap();
    assert_eq!((tcp(&ports, 80), tcp(&ports, 443)), (9000, 443));
    let ports = Ports::parse("7/udp=1,7/tcp=2").unwrap();
    assert_eq!((tcp(&ports, 7), ports.host(Protocol::UDP, 7)), (2, 1));
    for text in ["80", "80=", "=80", "80=70000", "a=b", "80=81=82", "80/sctp=81"] {
        assert!(Ports::parse(text).unwrap_err().contains("IMAGE=HOST"), "{text}");
    }
}

#[test]
fn ports_are_told_as_a_person_types_them() {
    let host = Host::new(Ports::default(), String::new());
    for port in [80, 443, 2000, 80, 0] {
        host.host_port(Protocol::TCP, port);
    }
    host.host_port(Protocol::UDP, 7);
    assert_eq!(
        host.exposed(),
        [
            "http://localhost:8080",
            "https://localhost:8443",
            "tcp port 2000 on localhost:2000",
            "udp port 7 on localhost:7007"
        ]
    );
}

#[test]
fn the_command_line_goes_before_the_environment() {
    let parsed = options(&["--log", "debug", "--ports=80=81", "--packets", "100"]).unwrap();
    assert_eq!(
        (parsed.log, parsed.ports.host(Protocol::TCP, 80), parsed.packets),
        (Some(Level::Debug), 81, Some(100))
    );
    let environment = |name: &str| (name == "WAITLESS_LOG").then(|| "trace".to_string());
    let Ok(Command::Run(parsed)) = Options::parse(std::iter::empty(), environment) else {
        panic!("refused")
    };
    assert_eq!((parsed.log, parsed.packets), (Some(Level::Trace), None));
    let arguments = ["--log=warn".to_string()].into_iter();
    let Ok(Command::Run(parsed)) = Options::parse(arguments, environment) else {
        panic!("refused")
    };
    assert_eq!(parsed.log, Some(Level::Warn));
}

#[test]
fn a_wrong_command_line_says_what_is_right() {
    for (arguments, part) in [
        (&["--nonsense"][..], "no option"),
        (&["--log"], "needs a value"),
        (&["--log", "loud"], "use error, warn"),
        (&["--packets", "3"], "64 to 10000000"),
        (&["--help"], "help"),
    ] {
        let error = options(arguments).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
