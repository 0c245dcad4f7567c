//! What is wrong, shaped as rustc would say it: where, what, and the next step.

use crate::source::{Sources, Span};
use std::fmt::Write;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// Where; nowhere for what is not in a file.
    pub at: Option<Span>,
    /// What is wrong, in one sentence without its full stop.
    pub message: String,
    /// What the marked text has to do with it.
    pub label: String,
    /// Other places that matter, with what they have to do with it.
    pub notes: Vec<(Span, String)>,
    /// The next steps.
    pub help: Vec<String>,
    /// The packages that the app's package must depend on, where that is what is wrong.
    pub missing: Vec<Missing>,
}

/// A dependency that the app's package must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The package.
    pub package: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// The `cfg` under which it is needed, if not always.
    pub condition: Option<String>,
}

impl Report {
    /// A report about the text at `at`.
    pub fn new(at: Span, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::general(message) }
    }

    /// A report about no place in particular.
    pub fn general(message: impl Into<String>) -> Self {
        Self {
            at: None,
            message: message.into(),
            label: String::new(),
            notes: Vec::new(),
            help: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// With words beside the marked text.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With a next step; nothing if it is empty.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help = help.into();
        if !help.is_empty() {
            self.help.push(help);
        }
        self
    }

    /// With another place that matters.
    pub fn note(mut self, at: Span, text: impl Into<String>) -> Self {
        self.notes.push((at, text.into()));
        self
    }
}

/// How many reports are shown: what is wrong in a thousand places was one mistake.
const SHOWN: usize = 50;

/// All reports, sorted by file and line, each as rustc would show it, and their number.
pub fn render(reports: &[Report], sources: &Sources) -> String {
    let mut sorted: Vec<_> = reports.iter().collect();
    sorted.sort_by_key(|report| report.at);
    sorted.dedup();
    let mut out = String::new();
    for report in sorted.iter().take(SHOWN) {
        one(&mut out, report, sources);
        out.push('\n');
    }
    if let Some(more) = sorted.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(out, "and {more} more\n");
    }
    let count = sorted.len();
    let plural = if count == 1 { "" } else { "s" };
    let _ = writeln!(out, "error: the graph has {count} error{plural}; nothing was generated");
    out
}

fn one(out: &mut String, report: &Report, sources: &Sources) {
    let _ = writeln!(out, "error: {}", report.message);
    let places = report.at.iter().chain(report.notes.iter().map(|(at, _)| at));
    let line = |at: &Span| sources.get(at.file).line_and_column(at.start).0;
    let width = places.map(line).max().map_or(1, |line| line.to_string().len());
    if let Some(at) = report.at {
        excerpt(out, sources, at, "-->", &report.label, width);
    }
    for (at, text) in &report.notes {
        excerpt(out, sources, *at, ":::", text, width);
    }
    if !report.help.is_empty() && report.at.is_some() {
        let _ = writeln!(out, "{:width$} |", "");
    }
    for help in &report.help {
        let mut lines = help.lines();
        let _ = writeln!(out, "{:width$} = help: {}", "", lines.next().unwrap_or_default());
        lines.for_each(|line| {
            let _ = writeln!(out, "{:width$}         {line}", "");
        });
    }
}

/// Half of the most that is shown of a line, in characters.
const EXCERPT: usize = 160;

/// The line of `at` with the text marked, below where it is.
fn excerpt(out: &mut String, sources: &Sources, at: Span, arrow: &str, label: &str, width: usize) {
    let source = sources.get(at.file);
    let (line, column) = source.line_and_column(at.start);
    // Of a line that no terminal shows, what is around the place.
    let skip = if column > EXCERPT { column - EXCERPT / 2 } else { 0 };
    let text: String = source.text_of(line).chars().skip(skip).take(2 * EXCERPT).collect();
    let _ = writeln!(out, "{:width$}{arrow} {}:{line}:{column}", "", source.shown);
    let _ = writeln!(out, "{:width$} |", "");
    let excerpt = format!("{line:width$} | {}", text.replace('\t', "    "));
    let _ = writeln!(out, "{}", excerpt.trim_end());
    let before: String = text.chars().take(column - skip - 1).collect();
    let marked = source.text.get(at.start..at.end).unwrap_or_default();
    let marked: String = marked.chars().take(EXCERPT).collect();
    let marked = marked.lines().next().unwrap_or_default().replace('\t', "    ");
    let indent = before.replace('\t', "    ").chars().count();
    let carets = "^".repeat(marked.trim_end().chars().count().max(1));
    let mark = format!("{:width$} | {:indent$}{carets} {label}", "", "");
    let _ = writeln!(out, "{}", mark.trim_end());
}

/// "did you mean", for a name that is close to a known one; else empty.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let close = known.map(|other| (distance(name, other), other));
    close.filter(|(distance, _)| *distance <= limit).min().map(|(_, other)| other)
}

/// How many letters must be changed, added, removed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, _) | (_, 0) => i + j,
                _ => {
                    let cost = usize::from(a[i - 1] != b[j - 1]);
                    let mut best = rows[i - 1][j - 1] + cost;
                    best = best.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                        best = best.min(rows[i - 2][j - 2] + 1);
                    }
                    best
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

/// `` `a`, `b` and `c` ``.
pub fn list<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
