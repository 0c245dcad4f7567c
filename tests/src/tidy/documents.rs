//! Rules that look at documents: links that lead somewhere, commands that exist.

use super::Finding;
use super::structure::normal;
use std::collections::{BTreeMap, BTreeSet};

/// The commands that there are.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The targets of the Makefile.
    pub make_targets: BTreeSet<String>,
    /// The variables of the Makefile.
    pub make_variables: BTreeSet<String>,
    /// The subcommands of `cargo run -p build --`, with the options of each.
    pub build: BTreeMap<String, BTreeSet<String>>,
    /// The packages of the workspace.
    pub packages: BTreeSet<String>,
}

/// Links of the document at `path` to files or headings that do not exist. `read` gives a
/// file's text by its path in the checkout; a folder's is empty.
pub fn broken_links(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (file, heading) = target.split_once('#').unwrap_or((&target, ""));
        let file = if file.is_empty() { path.to_owned() } else { format!("{folder}/{file}") };
        match read(&normal(&file)) {
            None => findings.push(Finding::new(path, line, format!("no such file: {target}"))),
            Some(there) if !heading.is_empty() && !headings(&there).contains(heading) => {
                findings.push(Finding::new(path, line, format!("no such heading: {target}")));
            }
            Some(_) => {}
        }
    }
    findings
}

/// Commands in the code of the document at `path` that do not exist.
pub fn unknown_commands(path: &str, text: &str, known: &Known) -> Vec<Finding> {
    let mut findings = Vec::new();
    let known = &with_made(text, known);
    for (line, code) in code_spans(text) {
        let code = code.split(" # ").next().unwrap_or_default();
        for command in code.split("&&").flat_map(|part| part.split(';')) {
            let mut words: Vec<&str> = command.split_whitespace().collect();
            words.retain(|word| !word.starts_with('#') && *word != "$");
            let problem = match words.as_slice() {
                ["make", rest @ ..] => unknown_make(rest, known),
                ["cargo", rest @ ..] => unknown_cargo(rest, known),
                _ => None,
            };
            findings.extend(problem.map(|what| Finding::new(path, line, what)));
        }
    }
    findings
}

/// The code of a document: each line of its code blocks, and its code spans.
pub fn code_spans(text: &str) -> Vec<(usize, String)> {
    let mut spans = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            spans.push((number, line.trim().to_owned()));
        } else {
            let odd = line.split('`').skip(1).step_by(2);
            spans.extend(odd.map(|span| (number, span.trim().to_owned())));
        }
    }
    spans
}

/// What is known, and the packages that the document tells its reader to make: by
/// `new NAME`, or as a file of a component.
fn with_made(text: &str, known: &Known) -> Known {
    let mut known = known.clone();
    for line in text.lines() {
        let new = line.split_once("-p build -- new ").map(|(_, rest)| rest);
        let file = line.split_once("file=components/").map(|(_, rest)| rest);
        let made = new.or(file).map(|rest| rest.split(['/', ' ', '`']).next().unwrap_or_default());
        known.packages.extend(made.map(str::to_owned));
    }
    known
}

fn unknown_make(words: &[&str], known: &Known) -> Option<String> {
    for word in words {
        if let Some((variable, _)) = word.split_once('=') {
            if !known.make_variables.contains(variable) {
                return Some(format!("the Makefile has no variable `{variable}`"));
            }
        } else if word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            && !known.make_targets.contains(*word)
        {
            return Some(format!("the Makefile has no target `{word}`"));
        }
    }
    None
}

fn unknown_cargo(words: &[&str], known: &Known) -> Option<String> {
    let package = words.iter().position(|word| *word == "-p" || *word == "--package");
    let package = package.and_then(|at| words.get(at + 1)).copied()?;
    let placeholder = package.chars().any(|c| c.is_ascii_uppercase() || c == '<');
    if !placeholder && !known.packages.contains(package) {
        return Some(format!("the workspace has no package `{package}`"));
    }
    let arguments = words.split(|word| *word == "--").nth(1)?;
    if package != "build" {
        return None;
    }
    // `check | graph | show` names several; anything else follows one of them.
    let alternatives = arguments.contains(&"|");
    let mut subcommand = None;
    for word in arguments {
        if word.starts_with("--") {
            let option = word.trim_end_matches([',', '.']).split('=').next().unwrap_or(word);
            let options = subcommand.and_then(|name: &str| known.build.get(name));
            if option != "--help" && options.is_some_and(|options| !options.contains(option)) {
                return Some(format!("`build {}` has no {option}", subcommand.unwrap_or("")));
            }
        } else if subcommand.is_none() || alternatives {
            let named = word.chars().all(|c| c.is_ascii_lowercase());
            if named && !known.build.contains_key(*word) {
                return Some(format!("build has no subcommand `{word}`"));
            }
            subcommand = named.then_some(*word).or(subcommand);
        }
    }
    None
}

/// The targets of the links `[text](target)` outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || line.starts_with("    ") {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for part in prose.split("](").skip(1) {
            let target = part.split([')', ' ']).next().unwrap_or_default();
            found.push((index + 1, target.to_owned()));
        }
    }
    found
}

/// The anchors of a document's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        anchors.insert(kept.collect::<String>().replace(' ', "-"));
    }
    anchors
}
