//! The TAP device of an image that runs here: found, or made for as long as the image runs.
//!
//! Root gets one with an address for this machine and a DHCP server behind it, and both go away
//! with the image. A device that is there already belongs to somebody else: it is used as it is.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How a device is known as one of ours, which an end without goodbye may have left behind.
const ALIAS: &str = "made by waitless-build run";

/// A device with what was started for it; what was made here ends with it.
pub struct Tap {
    made: Option<String>,
    server: Option<Child>,
}

impl Tap {
    /// The device `name`. One that is made gets the address `host`, with which it is in a /24.
    ///
    /// # Errors
    /// What a person should do first.
    pub fn ready(name: &str, host: Ipv4Addr) -> Result<Self, String> {
        let mut tap = Self::with_address(name, host, 24)?;
        if tap.made.is_some() {
            tap.server = serve(name, host);
        }
        Ok(tap)
    }

    /// The same without a DHCP server, for an image that has an address beside `host` in a network
    /// with a `prefix` of so many bits.
    ///
    /// # Errors
    /// What a person should do first.
    pub fn with_address(name: &str, host: Ipv4Addr, prefix: u8) -> Result<Self, String> {
        let mut tap = Self { made: None, server: None };
        if !cfg!(target_os = "linux") {
            return Ok(tap);
        }
        let there = Path::new("/sys/class/net").join(name);
        let alias = fs::read_to_string(there.join("ifalias")).unwrap_or_default();
        if there.exists() && alias.trim() != ALIAS {
            return Ok(tap);
        }
        if !is_root() {
            return Err(instructions(name, host, prefix));
        }
        if there.exists() {
            ip(&["link", "del", name])?;
        } else {
            is_free(host, prefix)?;
        }
        ip(&["tuntap", "add", name, "mode", "tap"])?;
        tap.made = Some(name.to_owned());
        ip(&["link", "set", name, "alias", ALIAS])?;
        ip(&["addr", "add", &format!("{host}/{prefix}"), "dev", name])?;
        ip(&["link", "set", name, "up"])?;
        Ok(tap)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        if let Some(name) = &self.made {
            let _ = ip(&["link", "del", name]);
        }
    }
}

/// Whether this process may make devices: by its user, as far as can be told without asking.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.and_then(|line| line.split_whitespace().nth(1)) == Some("0")
}

/// Whether no other network here has these addresses.
fn is_free(host: Ipv4Addr, prefix: u8) -> Result<(), String> {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
    let network = format!("{}/{prefix}", Ipv4Addr::from_bits(host.to_bits() & mask));
    let route = Command::new("ip").args(["-4", "route", "show", "to", "root", &network]).output();
    let route = route.map_err(|why| format!("cannot start ip: {why}; `make setup` installs it"))?;
    let route = String::from_utf8_lossy(&route.stdout);
    match route.split_whitespace().skip_while(|word| *word != "dev").nth(1) {
        None => Ok(()),
        Some(device) => Err(format!(
            "{network} is a network of this machine already, on {device}; \
             give the TAP device an address elsewhere by --tap-address 10.9.8.1"
        )),
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(arguments).stdin(Stdio::null()).output();
    let output =
        output.map_err(|why| format!("cannot start ip: {why}; `make setup` installs it"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`ip {}` failed: {}", arguments.join(" "), why.trim()))
}

/// A DHCP server for the one image; without it, an image needs an address in its manifest.
fn serve(name: &str, host: Ipv4Addr) -> Option<Child> {
    let [a, b, c, _] = host.octets();
    let server = Command::new("dnsmasq")
        .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--leasefile-ro"])
        .args(["--bind-interfaces", "--quiet-dhcp", &format!("--interface={name}")])
        .args(["--except-interface=lo", "--no-ping", "--dhcp-sequential-ip"])
        .args(["--log-facility=/dev/null", "--pid-file="])
        .arg(format!("--dhcp-range={a}.{b}.{c}.15,{a}.{b}.{c}.99,255.255.255.0,5m"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    if let Err(why) = &server {
        eprintln!(
            "warning: no DHCP server on {name} (dnsmasq: {why}; `make setup` installs it); \
             give `ip4` an `address` in the manifest"
        );
    }
    server.ok()
}

fn instructions(name: &str, host: Ipv4Addr, prefix: u8) -> String {
    let [a, b, c, _] = host.octets();
    format!(
        "there is no TAP device `{name}`, and only root can make one: run this as root, or \
         once\n\n  \
         sudo ip tuntap add {name} mode tap user $USER\n  \
         sudo ip addr add {host}/{prefix} dev {name}\n  \
         sudo ip link set {name} up\n  \
         sudo dnsmasq --port=0 --interface={name} --bind-interfaces --except-interface=lo \
         --conf-file=/dev/null --dhcp-range={a}.{b}.{c}.15,{a}.{b}.{c}.99\n"
    )
}
