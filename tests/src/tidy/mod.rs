//! The rules of style and structure that a compiler does not check.
//!
//! A rule is a function from what it looks at to its [`Finding`]s, so that each one has a unit
//! test that shows it can fail. `tests/tests/tidy.rs` applies all of them to the checkout.

mod documents;
mod rules;
mod source;
mod structure;
#[cfg(test)]
mod tests;

pub use documents::{Known, broken_links, code_spans, unknown_commands};
pub use rules::{
    Exception, file_length, forbidden_text, forbidden_words, function_length, inline_tests,
    line_length, machine_paths, panicking_calls, unsafe_code,
};
pub use source::{Function, Source, Token};
pub use structure::{dead_files, dependencies, unfinished_component};

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One thing that a rule found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where, relative to the checkout.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong, and what to do.
    pub what: String,
}

impl Finding {
    /// A finding at `line` of `file`.
    pub fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// The checkout that this crate stands in.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in it").to_owned()
}

/// All files of the checkout that git tracks or would track, relative to it, sorted.
pub fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(checkout())
        .output()
        .expect("git lists the checkout's files");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("file names are text");
    let mut files: Vec<String> = names.lines().map(str::to_owned).collect();
    files.retain(|file| checkout().join(file).is_file());
    files.sort();
    files.dedup();
    files
}

/// What `cargo metadata` says of the workspace's own packages.
pub fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let said = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(checkout())
        .output()
        .expect("cargo says what the workspace is");
    assert!(said.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).expect("cargo metadata is JSON")
}

/// Fails with all of `findings`, one a line.
#[track_caller]
pub fn none_of(findings: impl IntoIterator<Item = Finding>) {
    let lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(lines.is_empty(), "{} findings:\n{}\n", lines.len(), lines.join("\n"));
}
