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
    hvf_runner::hypervisor::run(options)
}

#[cfg(not(all(target_os = "macos", target_arch = "aarch64")))]
fn run(_: &Options) -> Result<End, String> {
    Err("the Hypervisor framework is macOS's on Apple silicon; here, use `make run`".into())
}

/// The exit status, which means the same as that of an image in QEMU.
fn ended(end: Result<End, String>) -> ExitCode {
    match end {
        Ok(End::Status(status)) => ExitCode::from(status),
        Ok(End::Reset | End::Interrupted) => ExitCode::SUCCESS,
        Ok(End::Broken(why)) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}
