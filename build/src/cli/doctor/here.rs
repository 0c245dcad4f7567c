//! The machine that this runs on.

use super::Surroundings;
use crate::cli::iso::in_path;
use std::env;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl Surroundings for Here {
    fn system(&self) -> (&str, &str) {
        (env::consts::OS, env::consts::ARCH)
    }

    fn is_root(&self) -> bool {
        self.output("id", &["-u"]).is_some_and(|id| id.trim() == "0")
    }

    fn variable(&self, name: &str) -> Option<String> {
        env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn exists(&self, path: &str) -> bool {
        fs::exists(path).unwrap_or(false)
    }

    fn opens(&self, path: &str) -> bool {
        OpenOptions::new().read(true).write(true).open(path).is_ok()
    }

    fn has(&self, program: &str) -> bool {
        let administrators = ["/usr/sbin", "/sbin"];
        match program.contains('/') {
            true => Path::new(program).is_file(),
            false => {
                in_path(program)
                    || administrators.iter().any(|folder| Path::new(folder).join(program).is_file())
            }
        }
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output = command(program, arguments).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        command(program, arguments).output().is_ok_and(|output| output.status.success())
    }
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // Some say their version in the user's language.
    command.env("LC_ALL", "C");
    command
}
