//! Kea, ISC's DHCP server and radvd, beside the dnsmasq of `addresses`.

use crate::addresses::{address_where, expect_both, expect_name_servers, expect_nothing_wrong};
use crate::host::on;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use waitless_tests::lab::{Capture, Folder, Lab, PATIENCE, Running, Tap, ping, tool};

/// Kea gives addresses of both kinds; radvd says that there is somebody who does.
pub fn kea(_: &Lab) {
    let served = Served::new();
    let four = served.start("kea-dhcp4", &["-c"], &kea4(&served.tap), "DHCP4_STARTED");
    let six = served.start("kea-dhcp6", &["-c"], &kea6(&served), "DHCP6_STARTED");
    let logged = |address: &str| match address.contains(':') {
        true => format!("lease for address {address} and "),
        false => format!("lease {address} has been allocated"),
    };
    served.give_both(&[&four, &six], logged);
}

/// ISC's server does.
pub fn isc(_: &Lab) {
    let served = Served::new();
    let start = |version: &str, text: &str| {
        let leases = served.file(&format!("leases{version}"), "");
        let leases = leases.to_str().expect("a text path");
        let pid = served.folder.path().join(format!("pid{version}"));
        let pid = pid.to_str().expect("a text path");
        let arguments = [version, "-d", "-user", "root", "-lf", leases, "-pf", pid, "-cf"];
        served.start("dhcpd", &arguments, text, "Server starting service.")
    };
    let (four, six) = (start("-4", &isc4(&served.tap)), start("-6", &isc6(&served.tap)));
    let logged = |address: &str| match address.contains(':') {
        true => format!("address {address} to client"),
        false => format!("DHCPACK on {address} to"),
    };
    served.give_both(&[&four, &six], logged);
}

/// radvd alone: an address that the host makes itself, and whom to ask for names.
pub fn radvd(_: &Lab) {
    let mut served = Served::new();
    let _router = served.router(false);
    let mut host = on(&served.tap, None);
    let address = address_where(&mut host, &served.tap, |_| true);
    expect_name_servers(&mut host, &[served.tap.host_v6(53).into()]);
    host.during(|| ping(address, 3, 1400));
    assert_eq!(host.counter("dhcp6", "sent"), 0, "nobody said that there is a server");
    assert_eq!(host.counter("ip6", "control_bad"), 0);
    drop(host);
    expect_nothing_wrong(&mut served.capture, &served.tap, "icmpv6");
}

/// A network with servers.
struct Served {
    tap: Tap,
    capture: Capture,
    folder: Folder,
}

impl Served {
    #[track_caller]
    fn new() -> Self {
        let tap = Tap::new();
        tap.turn_on_ipv6();
        let capture = Capture::on(&tap);
        Self { tap, capture, folder: Folder::new("servers") }
    }

    /// A file with this text.
    #[track_caller]
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, text).expect("a file");
        file
    }

    /// Starts `program` with the arguments, a file with `text`, and the tap where it wants that;
    /// it says `ready` when it is.
    #[track_caller]
    fn start(&self, program: &str, arguments: &[&str], text: &str, ready: &str) -> Running {
        let name = format!("{program}{}.conf", arguments[0]);
        let mut command =
            Command::new(tool(program).unwrap_or_else(|| panic!("{program} is there")));
        command.args(arguments).arg(self.file(&name, text));
        if program == "dhcpd" {
            command.arg(&self.tap.name);
        }
        // Kea's.
        for variable in ["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"] {
            command.env(variable, self.folder.path());
        }
        let mut server = Running::start(command);
        server.expect_output(ready, PATIENCE);
        server
    }

    /// radvd, which says that addresses are to be asked for, or who knows names.
    #[track_caller]
    fn router(&self, managed: bool) -> Running {
        let (network, names) = (self.tap.host_v6(0), self.tap.host_v6(53));
        let more = if managed {
            "AdvManagedFlag on; AdvOtherConfigFlag on;".to_owned()
        } else {
            format!("RDNSS {names} {{}}; DNSSL lan.test {{}};")
        };
        let text = format!(
            "interface {} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; \
             prefix {network}/64 {{ AdvAutonomous {}; }}; {more} }};\n",
            self.tap.name,
            if managed { "off" } else { "on" },
        );
        let pid = self.folder.path().join("radvd.pid");
        let pid = pid.to_str().expect("a text path");
        let arguments = ["-n", "-d", "1", "-m", "stderr", "-u", "root", "-p", pid, "-C"];
        self.start("radvd", &arguments, &text, "version")
    }

    /// A host gets an address of each version of IP and the names of servers, and keeps to them;
    /// one of `servers` logs what `logged` makes of an address.
    #[track_caller]
    fn give_both(mut self, servers: &[&Running], logged: impl Fn(&str) -> String) {
        let _router = self.router(true);
        let mut host = on(&self.tap, None);
        let (address, leased) = expect_both(&mut host, &self.tap);
        let log: String = servers.iter().map(|server| server.output()).collect();
        for said in [logged(&leased.to_string()), logged(&address.to_string())] {
            assert!(log.contains(&said), "{said}:\n{log}");
        }
        let malformed = host.counter("dhcp6", "malformed") + host.counter("dhcp", "malformed");
        assert_eq!(malformed, 0);
        drop(host);
        expect_nothing_wrong(&mut self.capture, &self.tap, "dhcpv6 || dhcp");
    }
}

/// Addresses 50 to 59 of the tap's network, its first host as the router, and a server of names.
/// Kea waits until the device runs, which is when the host is there.
fn kea4(tap: &Tap) -> String {
    let (name, network, router, names) = (&tap.name, tap.host(0), tap.address, tap.host(53));
    let (first, last) = (tap.host(50), tap.host(59));
    format!(
        r#"{{"Dhcp4": {{
            "loggers": [{{
                "name": "kea-dhcp4", "severity": "INFO", "output_options": [{{"output": "stdout"}}]
            }}],
            "interfaces-config": {{
                "interfaces": ["{name}"],
                "service-sockets-max-retries": 300, "service-sockets-retry-wait-time": 100
            }},
            "lease-database": {{"type": "memfile", "persist": false}},
            "valid-lifetime": 600,
            "subnet4": [{{
                "id": 1, "subnet": "{network}/24", "pools": [{{"pool": "{first} - {last}"}}],
                "option-data": [
                    {{"name": "routers", "data": "{router}"}},
                    {{"name": "domain-name-servers", "data": "{names}"}}
                ]
            }}]
        }}}}"#
    )
}

/// Addresses 0x100 to 0x1ff, a server of names, and a domain.
fn kea6(served: &Served) -> String {
    let (tap, folder) = (&served.tap, served.folder.path().display());
    let (name, network, names) = (&tap.name, tap.host_v6(0), tap.host_v6(53));
    let (first, last) = (tap.host_v6(0x100), tap.host_v6(0x1ff));
    format!(
        r#"{{"Dhcp6": {{
            "data-directory": "{folder}",
            "loggers": [{{
                "name": "kea-dhcp6", "severity": "INFO", "output_options": [{{"output": "stdout"}}]
            }}],
            "interfaces-config": {{
                "interfaces": ["{name}"],
                "service-sockets-max-retries": 300, "service-sockets-retry-wait-time": 100
            }},
            "lease-database": {{"type": "memfile", "persist": false}},
            "valid-lifetime": 600, "preferred-lifetime": 300,
            "subnet6": [{{
                "id": 1, "subnet": "{network}/64", "interface": "{name}",
                "pools": [{{"pool": "{first} - {last}"}}],
                "option-data": [
                    {{"name": "dns-servers", "data": "{names}"}},
                    {{"name": "domain-search", "data": "lan.test"}}
                ]
            }}]
        }}}}"#
    )
}

/// As `kea4`.
fn isc4(tap: &Tap) -> String {
    let (network, router, names) = (tap.host(0), tap.address, tap.host(53));
    let (first, last) = (tap.host(50), tap.host(59));
    format!(
        "authoritative; default-lease-time 600; max-lease-time 600;\n\
         subnet {network} netmask 255.255.255.0 {{ range {first} {last}; \
         option routers {router}; option domain-name-servers {names}; }}\n"
    )
}

/// As `kea6`.
fn isc6(tap: &Tap) -> String {
    let (network, names) = (tap.host_v6(0), tap.host_v6(53));
    let (first, last) = (tap.host_v6(0x100), tap.host_v6(0x1ff));
    format!(
        "authoritative; default-lease-time 600; preferred-lifetime 300;\n\
         subnet6 {network}/64 {{ range6 {first} {last}; option dhcp6.name-servers {names}; \
         option dhcp6.domain-search \"lan.test\"; }}\n"
    )
}
