//! Rules that look at one file.

use super::source::Token;
use super::{Finding, Function, Source};

/// The longest line, in characters.
const COLUMNS_MAX: usize = 100;
/// The longest function, in lines.
const FUNCTION_LINES_MAX: usize = 70;
/// The longest file, in lines that are no tests.
const FILE_LINES_MAX: usize = 700;
/// Shorter files may have as many tests as they like.
const SHORT_FILE_LINES: usize = 120;

/// A file that a rule does not hold for, and the reason.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// A file, or a folder when it ends with a slash; relative to the checkout.
    pub path: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Exception {
    fn covers(&self, path: &str) -> bool {
        path == self.path || (self.path.ends_with('/') && path.starts_with(self.path))
    }
}

/// Lines are at most 100 columns long, except for addresses that cannot be broken.
pub fn line_length(path: &str, text: &str) -> Vec<Finding> {
    let too_long = |line: &str| line.chars().count() > COLUMNS_MAX && !line.contains("https://");
    numbered(text)
        .filter(|(_, line)| too_long(line))
        .map(|(number, line)| {
            let columns = line.chars().count();
            Finding::new(path, number, format!("{columns} columns, at most {COLUMNS_MAX}"))
        })
        .collect()
}

/// Functions are at most 70 lines long.
pub fn function_length(source: &Source) -> Vec<Finding> {
    let too_long = source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX);
    too_long
        .map(|Function { name, line, lines }| {
            let what = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            Finding::new(&source.path, line, what)
        })
        .collect()
}

/// Files have at most 700 lines that are no tests.
pub fn file_length(source: &Source) -> Vec<Finding> {
    let lines = source.lines().saturating_sub(source.test_lines());
    let what = format!("{lines} lines without tests, at most {FILE_LINES_MAX}");
    finding_if(lines > FILE_LINES_MAX, &source.path, what)
}

/// Tests longer than a third of their file live in a file of their own.
pub fn inline_tests(source: &Source) -> Vec<Finding> {
    let (lines, tests) = (source.lines(), source.test_lines());
    let too_many = !source.is_tests() && lines > SHORT_FILE_LINES && tests * 3 > lines;
    let what = format!("{tests} of {lines} lines are tests: move them to tests.rs");
    finding_if(too_many, &source.path, what)
}

/// Nothing that was left for later: `todo!`, `unimplemented!`, `dbg!`.
pub fn forbidden_words(source: &Source) -> Vec<Finding> {
    const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
    found(source, |run, at| {
        let name = run[at].word();
        let called = run.get(at + 1).is_some_and(|token| token.is_punct('!'));
        (called && MACROS.contains(&name)).then(|| format!("`{name}!` was left"))
    })
}

/// Nothing that a reader of any file would stumble over: notes to oneself.
pub fn forbidden_text(path: &str, text: &str) -> Vec<Finding> {
    let notes = [concat!("FIX", "ME"), concat!("XX", "X:"), concat!("TO", "DO")];
    numbered(text)
        .filter_map(|(number, line)| {
            let note = notes.iter().find(|note| line.contains(**note))?;
            Some(Finding::new(path, number, format!("`{note}` was left")))
        })
        .collect()
}

/// Outside tests, nothing panics on what it is given: no `unwrap`, no `expect`.
pub fn panicking_calls(source: &Source, exceptions: &[Exception]) -> Vec<Finding> {
    if exceptions.iter().any(|exception| exception.covers(&source.path)) {
        return Vec::new();
    }
    found(source, |run, at| {
        let name = run[at].word();
        let called = ["unwrap", "expect"].contains(&name);
        let before = |tokens: usize| at.checked_sub(tokens).and_then(|at| run.get(at));
        // Other types may have functions of these names.
        let of_std = before(3).is_some_and(|token| ["Option", "Result"].contains(&token.word()));
        let method = called && (before(1).is_some_and(|token| token.is_punct('.')) || of_std);
        let what = format!("`{name}` outside tests: handle it, or argue for an exception");
        method.then_some(what)
    })
}

/// `unsafe` stands only in the files that are named for it.
pub fn unsafe_code(source: &Source, exceptions: &[Exception]) -> Vec<Finding> {
    if exceptions.iter().any(|exception| exception.covers(&source.path)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    source.each(&mut |run, at| {
        // In `#[unsafe(no_mangle)]` too.
        if run[at].word() == "unsafe" {
            let line = run[at].line;
            findings.push(Finding::new(&source.path, line, "`unsafe` in a file not named for it"));
        }
    });
    findings
}

/// No path of one machine, and no host of a package registry.
pub fn machine_paths(path: &str, text: &str, home: Option<&str>) -> Vec<Finding> {
    let mut wanted: Vec<String> = ["/ro@ot/", "/wo@rk/", "index.cra@tes.io", "static.cra@tes.io"]
        .into_iter()
        .chain(["artif@actory", "pythonh@osted", "npm@js", "deb.deb@ian.org"])
        .map(|pattern| pattern.replace('@', ""))
        .collect();
    wanted.extend(home.filter(|home| home.len() > 2).map(|home| format!("{home}/")));
    numbered(text)
        .filter_map(|(number, line)| {
            let pattern = wanted.iter().find(|pattern| line.contains(pattern.as_str()))?;
            Some(Finding::new(path, number, format!("`{pattern}` means nothing elsewhere")))
        })
        .collect()
}

/// What `look` says of the tokens that are compiled outside tests.
fn found(source: &Source, look: impl Fn(&[Token], usize) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    source.each(&mut |run, at| {
        let line = run[at].line;
        if !source.is_test_line(line)
            && let Some(what) = look(run, at)
        {
            findings.push(Finding::new(&source.path, line, what));
        }
    });
    findings
}

fn finding_if(wrong: bool, path: &str, what: String) -> Vec<Finding> {
    if wrong { vec![Finding::new(path, 0, what)] } else { Vec::new() }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}
