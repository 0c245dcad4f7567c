//! Simulates an app: builds it for the platform `simulation`, and runs that.

use super::{open, unknown};
use clap::Args;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What to simulate, and how.
#[derive(Args, Debug)]
pub struct Sim {
    /// The app: the name of its package
    app: String,
    /// What the simulation is told; `sim APP --help` lists it all
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Sim {
    /// Builds and runs. The program's own code is what this gives.
    ///
    /// # Errors
    /// One line; cargo or the simulation has said the rest.
    pub fn run(self) -> Result<ExitCode, String> {
        let mut project = open()?;
        let apps = project.apps();
        if !apps.contains(&self.app) {
            let known: Vec<&str> = apps.iter().map(String::as_str).collect();
            return Err(unknown("app", &self.app, &known));
        }
        // What is wrong with the graph is said better here than by a build script.
        project.graph(&self.app, PLATFORM)?;
        // Apart from other builds, whose programs have the same names.
        let target = project.workspace.target.join("simulation");
        let built = build(&project.workspace.root, &self.app, &target).status();
        let built = built.map_err(|why| format!("cannot start cargo: {why}"))?;
        if !built.success() {
            return Err(format!("`{}` was not built for {PLATFORM}; see above", self.app));
        }
        let program = target.join("debug").join(&self.app);
        let mut simulation = Command::new(&program);
        simulation.args(&self.options);
        if !self.options.iter().any(|option| option.starts_with("--pcap")) {
            simulation.arg("--pcap").arg(target.join(format!("{}.pcap", self.app)));
        }
        let status = simulation.status();
        let status = status.map_err(|why| format!("cannot start {}: {why}", program.display()))?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

const PLATFORM: &str = "simulation";

/// What builds `app`. Checks for overflow stay on: a run that finds nothing should have looked. A
/// panic unwinds, whatever the profile says: the seed that made it is to be named.
fn build(root: &Path, app: &str, target: &Path) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root).args(["build", "--quiet", "--package", app]);
    for setting in ["opt-level=2", "debug=1", "panic=\"unwind\""] {
        cargo.args(["--config", &format!("profile.dev.{setting}")]);
    }
    cargo.arg("--target-dir").arg(target).env("WAITLESS_PLATFORM", PLATFORM);
    for variable in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTDOC"] {
        cargo.env_remove(variable);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree's own profile ends a program at once, and nobody would say which seed it was.
    #[test]
    fn a_seed_that_panics_can_be_named() {
        let cargo = build(Path::new("."), "hello", Path::new("target"));
        let words: Vec<_> = cargo.get_args().collect();
        assert!(words.contains(&"profile.dev.panic=\"unwind\"".as_ref()), "{words:?}");
    }
}
