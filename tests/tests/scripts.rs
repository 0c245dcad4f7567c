//! Every script in `tests/scripts`, against the TCP component: each state transition, option,
//! timer and attack. `cargo test -p waitless-tests --test scripts -- NAME` runs those whose name
//! contains a word.
//!
//! `--foreign FOLDER` runs scripts that others wrote for another stack instead, with all folders
//! below; `--KEY=VALUE` then sets a key of the component (`--delayed-ack=40ms`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use waitless_tests::script::{Mistake, Problem, parse, run, run_foreign};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let foreign = arguments.iter().position(|it| it == "--foreign");
    let (folder, rest) = match foreign.map(|at| (arguments.get(at + 1), at)) {
        None => (Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts"), &arguments[..]),
        Some((Some(folder), at)) => (PathBuf::from(folder), &arguments[at + 2..]),
        Some((None, _)) => {
            println!("--foreign needs a folder");
            return ExitCode::FAILURE;
        }
    };
    let words: Vec<&String> = rest.iter().filter(|it| !it.starts_with('-')).collect();
    let mut scripts = Vec::new();
    collect(&folder, &mut scripts);
    scripts.sort();
    let name = |path: &Path| path.strip_prefix(&folder).unwrap_or(path).display().to_string();
    scripts.retain(|path| words.is_empty() || words.iter().any(|word| name(path).contains(*word)));
    let keys: Vec<(String, String)> = rest
        .iter()
        .filter_map(|it| it.strip_prefix("--")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let mut table = Table::default();
    for path in &scripts {
        let text = String::from_utf8_lossy(&std::fs::read(path).expect("a script")).into_owned();
        let outcome = parse(&text).and_then(|script| match foreign {
            Some(_) => run_foreign(&script, &keys),
            None => run(&script),
        });
        table.add(&folder.join(name(path)), outcome, foreign.is_some());
    }
    table.show();
    if table.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Scripts in a folder, and in those below.
fn collect(folder: &Path, scripts: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("the folder with scripts");
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            collect(&path, scripts);
        } else if path.extension().is_some_and(|it| it == "pkt") {
            scripts.push(path);
        }
    }
}

/// How the scripts ended.
#[derive(Default)]
struct Table {
    passed: usize,
    failed: usize,
    /// Those that ask for something that is not here, by what it is.
    skipped: BTreeMap<String, usize>,
}

impl Table {
    fn add(&mut self, path: &Path, outcome: Result<(), Mistake>, foreign: bool) {
        let path = path.display();
        match outcome {
            Ok(()) => self.passed += 1,
            Err(Mistake { problem: Problem::Unsupported(what), .. }) if foreign => {
                *self.skipped.entry(what).or_default() += 1;
            }
            Err(Mistake { line, problem }) => {
                self.failed += 1;
                println!("{path}:{line}: {problem}\n");
            }
        }
    }

    fn show(&self) {
        let Self { passed, failed, skipped } = self;
        for (what, count) in skipped {
            println!("{count:5} skipped: {what}");
        }
        let left_out = match skipped.values().sum::<usize>() {
            0 => String::new(),
            count => format!("; {count} skipped"),
        };
        println!("\ntest result: {passed} scripts passed; {failed} failed{left_out}");
    }
}
