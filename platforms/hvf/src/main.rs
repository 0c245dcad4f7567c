//! The runner's program: understands the command line and ends as the image ended.

use hvf_runner::options::{Command, HELP, Options};
use hvf_runner::power::End;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Command::parse(std::env::args().skip(1)) {
        Ok(Command::Run(options)) => ended(run(&options)),
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(why) => ended(Err(why)),
    }
}

#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
fn run(options: &Options) -> Result<End, String> {
    raise_descriptor_limit();
    hvf_runner::hypervisor::run(options)
}

/// Connections are descriptors, and the usual soft limit of macOS is 256.
#[cfg(all(target_os = "macos", target_arch = "aarch64"))]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    // More than all connections take; macOS refuses to be asked for no limit at all.
    const WANTED: u64 = 4096;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(limit.maximum.map_or(WANTED, |maximum| maximum.min(WANTED)));
    // Where it fails, the old limit holds, and connections beyond it wait.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(not(all(target_os = "macos", target_arch = "aarch64")))]
fn run(_: &Options) -> Result<End, String> {
    Err("the Hypervisor framework is macOS's on Apple silicon; here, use `make run`".into())
}

/// The exit status; why, where nobody has said it yet.
fn ended(end: Result<End, String>) -> ExitCode {
    match end {
        Ok(end) => {
            if let End::Broken(why) = &end {
                eprintln!("error: {why}");
            }
            ExitCode::from(end.status())
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
