//! What a request and an exchange cost, counted exactly: no more instructions than
//! `tests/instructions.toml` allows.
//!
//! Callgrind runs the bench and counts what the graph executes, so a busy machine changes
//! nothing. Without valgrind this test says so and counts nothing; with
//! `WAITLESS_TEST_REQUIRE=all` it fails then.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const REQUIRE: &str = "WAITLESS_TEST_REQUIRE";

#[test]
fn nothing_costs_more_instructions_than_its_budget() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        // Not by a macro: what those print is shown only when a test fails.
        let _ = writeln!(io::stderr(), "\n*** instructions are not counted: needs valgrind ***");
        let required = env::var(REQUIRE).is_ok_and(|value| value == "all");
        assert!(!required, "{REQUIRE}=all: a skipped test is a failure here");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("instructions.toml")).expect("the budget is there");
    let budget: BTreeMap<String, u64> = toml::from_str(&text).expect("the budget is TOML");
    let bench = build(root);
    let mut over = Vec::new();
    for (what, most) in budget {
        let counted = count(&bench, &what);
        println!("{what}: {counted} instructions, budget {most}");
        if counted > most {
            over.push(format!("{what}: {counted} instructions instead of at most {most}"));
        }
    }
    assert!(
        over.is_empty(),
        "over the budget of tests/instructions.toml:\n  {}\nFind out what has become dearer, or \
         change the budget and say why. Figures and tools: docs/performance.md",
        over.join("\n  ")
    );
}

/// Builds the bench as it is measured; where it is then.
fn build(root: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "--quiet", "--release", "--package", "waitless-bench"]);
    cargo.args(["--bin", "waitless-bench", "--message-format", "json"]);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    let mut values = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let executable =
        values.find_map(|value: serde_json::Value| value["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo says what it built")
}

/// Instructions for each exchange of the kind `what`, `http 32` for example.
fn count(bench: &Path, what: &str) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg("--toggle-collect=*Ours*work*").arg(bench).arg("instructions");
    let output = valgrind.args(what.split(' ')).output().expect("valgrind runs");
    let (told, counted) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}:\n{told}{counted}");
    let exchanges = told.trim().parse::<u64>().expect("the bench says how many it made");
    let total = counted.lines().find_map(|line| line.split_once("Collected : "));
    let total = total.and_then(|(_, total)| total.trim().parse::<u64>().ok());
    total.expect("callgrind says what it counted") / exchanges
}
