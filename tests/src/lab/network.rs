//! Taps, address servers, captures and other programs on the network.

use super::process::{Running, run, run_in, tool};
use super::{Folder, PATIENCE, wait_for};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A TAP device that this machine has `address` on, with its /24 network; gone when dropped.
#[derive(Debug)]
pub struct Tap {
    /// The device's name.
    pub name: String,
    /// This machine's address on it.
    pub address: Ipv4Addr,
}

impl Tap {
    /// A tap with a name and a network that no other has.
    #[track_caller]
    pub fn new() -> Self {
        Self::next(&[])
    }

    /// The same, for several queues at a time.
    #[track_caller]
    pub fn with_queues() -> Self {
        Self::next(&["multi_queue"])
    }

    #[track_caller]
    fn next(more: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::with(number, &format!("wl{}-{number}", std::process::id()), more)
    }

    /// A tap called `name`.
    #[track_caller]
    pub fn named(name: &str) -> Self {
        Self::with(251, name, &[])
    }

    #[track_caller]
    fn with(number: u32, name: &str, more: &[&str]) -> Self {
        let address = Ipv4Addr::new(10, 77, (number % 252) as u8, 1);
        run("ip", &[&["tuntap", "add", "dev", name, "mode", "tap"], more].concat());
        let tap = Self { name: name.to_owned(), address };
        run("ip", &["address", "add", &format!("{address}/24"), "dev", &tap.name]);
        // So that nothing but what a test does is on the wire.
        let no_ipv6 = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", tap.name);
        let _ = std::fs::write(no_ipv6, "1");
        run("ip", &["link", "set", &tap.name, "up"]);
        tap
    }

    /// Turns IPv6 on, with the first address of a network that no other tap has either: what is
    /// left of connections over another tap must not come along here.
    #[track_caller]
    pub fn turn_on_ipv6(&self) {
        let no_ipv6 = format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", self.name);
        std::fs::write(no_ipv6, "0").expect("this machine has IPv6");
        let address = format!("{}/64", self.host_v6(1));
        run("ip", &["-6", "address", "add", &address, "dev", &self.name, "nodad"]);
    }

    /// This machine's Ethernet address on it.
    #[track_caller]
    pub fn station(&self) -> String {
        let said = self.described();
        let mut words = said.split_whitespace().skip_while(|word| *word != "link/ether");
        words.nth(1).unwrap_or_else(|| panic!("no address: {said}")).to_owned()
    }

    /// Its number among this machine's devices.
    #[track_caller]
    pub fn index(&self) -> i32 {
        let said = self.described();
        let number = said.split(':').next().and_then(|number| number.trim().parse().ok());
        number.unwrap_or_else(|| panic!("no number: {said}"))
    }

    /// What the kernel says of it. In `/sys` are the devices of the namespace that mounted it.
    #[track_caller]
    fn described(&self) -> String {
        run("ip", &["-o", "link", "show", "dev", &self.name])
    }

    /// The address with the host part `host` in its network.
    pub fn host(&self, host: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.address.octets();
        Ipv4Addr::new(a, b, c, host)
    }

    /// The same, in its IPv6 network.
    pub fn host_v6(&self, host: u16) -> Ipv6Addr {
        let [_, _, network, _] = self.address.octets();
        Ipv6Addr::new(0xfd77, 0, 0, network.into(), 0, 0, 0, host)
    }
}

impl Default for Tap {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // When it cannot be deleted, the network namespace takes it along.
        let _ = Command::new("ip").args(["link", "delete", &self.name]).output();
    }
}

/// A DHCP server on a tap.
#[derive(Debug)]
pub struct Dhcp {
    server: Running,
    _folder: Folder,
}

impl Dhcp {
    /// dnsmasq, giving out the addresses 50 to 59 of the tap's network. `more` are further
    /// arguments.
    #[track_caller]
    pub fn on(tap: &Tap, more: &[&str]) -> Self {
        Self::start(tap, &[&["--port=0"], more].concat())
    }

    /// The same, and a server of the names that the arguments list.
    #[track_caller]
    pub fn and_names_on(tap: &Tap, more: &[&str]) -> Self {
        Self::start(tap, &[&["--no-resolv", "--no-hosts"], more].concat())
    }

    #[track_caller]
    fn start(tap: &Tap, more: &[&str]) -> Self {
        let folder = Folder::new("dhcp");
        let range = format!("{},{},12h", tap.host(50), tap.host(59));
        let mut command = Command::new(tool("dnsmasq").expect("dnsmasq is there"));
        command.args(["--no-daemon", "--conf-file=/dev/null", "--user=root"]);
        command.args(["--bind-interfaces", "--dhcp-authoritative", "--no-ping"]);
        command.arg("--leasefile-ro").arg("--pid-file=").arg(format!("--interface={}", tap.name));
        command.arg(format!("--dhcp-range={range}")).args(more).current_dir(folder.path());
        let mut server = Running::start(command);
        server.expect_output("started", PATIENCE);
        Self { server, _folder: folder }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.server.output()
    }
}

/// A capture of everything on a tap.
#[derive(Debug)]
pub struct Capture {
    program: Option<Running>,
    file: PathBuf,
    folder: Folder,
}

impl Capture {
    /// Captures what passes `tap` from now on.
    #[track_caller]
    pub fn on(tap: &Tap) -> Self {
        let folder = Folder::new("capture");
        let file = folder.path().join("wire.pcap");
        let mut command = Command::new(tool("dumpcap").expect("dumpcap comes with tshark"));
        command.args(["-q", "-P", "-B", "16", "-i", &tap.name, "-w"]).arg(&file);
        let mut program = Running::start(command);
        program.expect_output("File:", PATIENCE);
        Self { program: Some(program), file, folder }
    }

    /// Ends the capture and gives the frames that `filter` (in Wireshark's language) matches,
    /// one a line.
    #[track_caller]
    pub fn frames(&mut self, filter: &str) -> Vec<String> {
        if let Some(mut program) = self.program.take() {
            // What was on the wire last has not reached the file yet.
            std::thread::sleep(Duration::from_millis(500));
            program.signal("INT");
            program.expect_end(PATIENCE);
        }
        frames_of(&self.file, filter, self.folder.path())
    }
}

/// The frames of a capture file that `filter` matches, one a line, checksums checked.
#[track_caller]
pub fn frames_of(file: &Path, filter: &str, folder: &Path) -> Vec<String> {
    let file = file.to_str().expect("a text path");
    let checks = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE"];
    let mut arguments = vec!["-n", "-r", file, "-Y", filter];
    checks.iter().for_each(|check| arguments.extend(["-o", check]));
    let said = run_in(folder, "tshark", &arguments, b"");
    assert!(said.status.success(), "tshark: {}", said.errors);
    said.output.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// Raw frames into and out of a machine's network, through a hub that the machine is on too.
#[derive(Debug)]
pub struct Frames {
    socket: UdpSocket,
    /// Where the hub's end is.
    pub hub: SocketAddr,
}

impl Frames {
    /// Two free ports of this machine: ours, and the hub's.
    pub fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let hub = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        Self { socket, hub: hub.expect("a free port") }
    }

    /// Our end's port.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    /// Puts a frame on the hub.
    pub fn send(&self, frame: &[u8]) {
        // The hub may be gone; whoever looks at the machine will see that.
        let _ = self.socket.send_to(frame, self.hub);
    }

    /// The next frame that somebody else put there, waiting shortly.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self::new()
    }
}

/// A UDP socket towards one host.
#[derive(Debug)]
pub struct UdpProbe(UdpSocket);

impl UdpProbe {
    /// Towards `to`.
    #[track_caller]
    pub fn to(to: SocketAddr) -> Self {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        socket.connect(to).expect("a route");
        Self(socket)
    }

    /// Sends `payload` until the same comes back; datagrams may be lost while a machine starts.
    #[track_caller]
    pub fn expect_echo(&self, payload: &[u8]) {
        let mut room = vec![0; 65_536];
        let answer = wait_for("an echo", PATIENCE, || {
            self.0.send(payload).ok()?;
            let length = self.0.recv(&mut room).ok()?;
            Some(room[..length].to_vec())
        });
        assert_eq!(answer.len(), payload.len());
        assert!(answer == payload, "the echo differs");
    }
}

/// Whether `address` answers `count` pings, all of them.
#[track_caller]
pub fn ping(address: impl std::fmt::Display, count: u32, bytes: u32) {
    let (count, bytes) = (count.to_string(), bytes.to_string());
    let to = address.to_string();
    let said = run("ping", &["-n", "-i", "0.2", "-W", "5", "-c", &count, "-s", &bytes, &to]);
    assert!(said.contains(" 0% packet loss"), "{said}");
}
