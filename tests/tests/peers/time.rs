//! The time of day from chrony, whose server is found by its name.

use crate::host::on;
use crate::names::name_server;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use waitless_tests::lab::{Folder, Lab, PATIENCE, Running, Tap, tool};
use waitless_tests::live::Live;

pub fn from_a_server(_: &Lab) {
    let (tap, folder) = (Tap::new(), Folder::new("time"));
    tap.turn_on_ipv6();
    let _names = name_server(&tap, &folder);
    let _chrony = chrony(&folder, "local stratum 8\n");
    let mut host = on(&tap, None);
    assert_eq!(host.cx.wall_clock(), None, "nobody has said yet");
    host.until("the time", |host| (host.counter("time", "set") > 0).then_some(()));
    let before = real_nanos();
    host.turn();
    let own = host.cx.wall_nanos().expect("it was told");
    let (earliest, latest) = (before - SECOND, real_nanos() + SECOND);
    assert!((earliest..=latest).contains(&own), "{own} ns, at {before} ns");
    assert_eq!(host.counter("time", "foreign"), 0);
}

/// It answers, and says that its clock follows nobody: such a time is not taken.
pub fn unknown(_: &Lab) {
    let (tap, folder) = (Tap::new(), Folder::new("time"));
    tap.turn_on_ipv6();
    let _names = name_server(&tap, &folder);
    let _chrony = chrony(&folder, "");
    let mut host = on(&tap, None);
    host.until("an answer", |host| (host.counter("time", "unsynchronised") > 0).then_some(()));
    assert_eq!((host.cx.wall_clock(), host.counter("time", "set")), (None, 0));
}

/// This machine's time, in nanoseconds since 1970.
fn real_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    since.as_nanos() as u64
}

const SECOND: u64 = 1_000_000_000;

/// A time server for everybody, which leaves this machine's clock alone.
#[track_caller]
fn chrony(folder: &Folder, more: &str) -> Running {
    let file = folder.path().join("chrony.conf");
    let pid = folder.path().join("pid");
    let text = format!("allow\ncmdport 0\nbindcmdaddress /\npidfile {}\n{more}", pid.display());
    fs::write(&file, text).expect("a configuration");
    let mut command = Command::new(tool("chronyd").expect("chronyd is there"));
    command.args(["-d", "-x", "-u", "root", "-f"]).arg(&file);
    let mut server = Running::start(command);
    server.expect_output("starting", PATIENCE);
    server
}
