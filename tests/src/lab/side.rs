//! Hosts with a kernel's stack of their own, in namespaces.

use super::{Lab, PATIENCE, Running, run, run_in, wait_for};
use std::path::Path;
use std::process::Command;

/// A namespace that lives as long as the process that keeps it.
#[derive(Debug)]
pub struct Side {
    keeper: Running,
}

impl Side {
    /// One with the device `name`, which has this address of IPv4 there.
    #[track_caller]
    pub fn with(name: &str, address: &str, gateway: &str) -> Self {
        let side = Self::taking(name);
        // So that nothing but what a test does is on the wire.
        side.set_ipv6(name, false);
        side.run("ip", &["address", "add", &format!("{address}/24"), "dev", name]);
        side.run("ip", &["link", "set", name, "up"]);
        side.run("ip", &["route", "add", "default", "via", gateway]);
        side
    }

    /// One with the device `name`, where it speaks IPv6 and takes what routers say.
    #[track_caller]
    pub fn with_ipv6(name: &str) -> Self {
        let side = Self::taking(name);
        side.set_ipv6(name, true);
        side.run("ip", &["link", "set", name, "up"]);
        side
    }

    #[track_caller]
    fn taking(name: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut keeper = Running::start(command);
        keeper.expect_output("ready", PATIENCE);
        run("ip", &["link", "set", name, "netns", &keeper.id().to_string()]);
        let side = Self { keeper };
        side.run("ip", &["link", "set", "lo", "up"]);
        side
    }

    #[track_caller]
    fn set_ipv6(&self, name: &str, on: bool) {
        let off = u8::from(!on);
        let switch = format!("echo {off} > /proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        self.run("sh", &["-c", &switch]);
    }

    fn arguments<'a>(id: &'a str, program: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["--net", "--target", id, "--", program], arguments].concat()
    }

    /// Starts a program there.
    #[track_caller]
    pub fn start(&self, program: &str, arguments: &[&str]) -> Running {
        let mut command = Command::new("nsenter");
        command.args(Self::arguments(&self.keeper.id().to_string(), program, arguments));
        Running::start(command)
    }

    /// What a program says there, and whether it went well.
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let id = self.keeper.id().to_string();
        let arguments = Self::arguments(&id, program, arguments);
        let finished = run_in(Path::new("."), "nsenter", &arguments, b"");
        (finished.status.success(), finished.output + &finished.errors)
    }

    /// What a program says there, which goes well.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let (well, said) = self.try_run(program, arguments);
        assert!(well, "{program} {arguments:?}: {said}");
        said
    }

    /// `curl`, of which nothing is wanted but the body.
    #[track_caller]
    pub fn curl(&self, arguments: &[&str]) -> String {
        let usual = ["--silent", "--show-error", "--fail", "--max-time", "60"];
        self.run("curl", &[&usual, arguments].concat())
    }

    /// A web server on the kernel's sockets there, which echoes datagrams, too.
    #[track_caller]
    pub fn serve(&self, lab: &Lab) -> Running {
        let program = lab.images.native("webserver");
        let program = program.to_str().expect("a text path");
        let everywhere = ["--set", "tcp.bind=0.0.0.0", "--set", "udp.bind=0.0.0.0"];
        let ports = ["--ports", "80/tcp=8080,7/udp=7007"];
        let server = self.start(program, &[&everywhere[..], &ports].concat());
        wait_for("a server", PATIENCE, || {
            let url = "http://127.0.0.1:8080/health";
            self.try_run("curl", &["--silent", "--fail", "--max-time", "5", url]).0.then_some(())
        });
        server
    }
}
