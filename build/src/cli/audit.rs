//! Proves on a linked image that the sweep makes no indirect call or jump.
//!
//! From the sweep's own function, every direct call and jump is followed, by disassembling. What
//! is reachable so is all that can run in a sweep, as long as no instruction on the way goes
//! where a register or memory says; each one that does is a finding. A finding is allowed by an
//! entry of `allow.toml` (ours, or the app's `audit.toml`) that argues why, and an entry that
//! allows nothing is a finding too.
//! Direct calls must look direct: on x86 the image must be static for that.

use crate::cli::code::{Flow, Isa};
use crate::cli::size::{image_of, is_sweep};
use crate::cli::{self, Which, print};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Which image to audit.
#[derive(clap::Args, Debug)]
pub struct Audit {
    #[command(flatten)]
    which: Which,
    /// Audits this file instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Begins at the functions whose names contain this, instead of the sweep
    #[arg(long, value_name = "NAME")]
    root: Option<String>,
    /// More that is allowed, besides what is built in and `audit.toml` beside the app's Cargo.toml
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
    /// Lists every function that is reachable as well
    #[arg(long)]
    list: bool,
}

/// An entry of the list of what is allowed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// The function, as it is demangled; `*` stands for anything.
    pub function: String,
    /// For an entry: the function that it is entered from, if not any.
    #[serde(default)]
    pub from: Option<String>,
    /// What is allowed: `calls`, that the function itself makes indirect calls, or `entry`, that
    /// it is entered, and what it does is not looked at.
    pub what: What,
    /// The argument.
    pub why: String,
    /// Whether there are images that the entry does not apply to.
    #[serde(default)]
    pub optional: bool,
}

/// What an entry allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The function makes indirect calls.
    Calls,
    /// The function is entered.
    Entry,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    allow: Vec<Allow>,
}

/// An indirect call or jump that the sweep can reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where the instruction is.
    pub address: u64,
    /// The instruction, or what else is wrong.
    pub what: String,
    /// The functions from the sweep to the one that has it.
    pub path: Vec<String>,
}

/// What an audit found.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    /// Names of the functions that were looked at.
    pub functions: Vec<String>,
    /// How many instructions were looked at.
    pub instructions: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many indirect calls each entry allowed, or how often it kept a function from being
    /// entered.
    pub allowed: Vec<usize>,
}

impl Audit {
    /// Prints what was found; fails if that is anything.
    ///
    /// # Errors
    /// One line when there is no image or no sweep in it.
    pub fn run(&self) -> Result<ExitCode, String> {
        let path = image_of(&self.which, self.image.as_ref())?;
        let bytes =
            fs::read(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        let allow = self.allowed()?;
        let outcome = audit_image(&bytes, self.root.as_deref(), &allow)?;
        if self.list {
            outcome.functions.iter().for_each(|name| print(&format!("{name}\n")));
        }
        print(&describe(&outcome, &allow));
        Ok(if is_clean(&outcome, &allow) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Audit {
    /// What is allowed: by us, by the app, and by who calls this.
    fn allowed(&self) -> Result<Vec<Allow>, String> {
        let mut files = Vec::new();
        if let Ok(project) = cli::open()
            && let Ok(app) = cli::app(&project, &self.which)
            && let Some(package) = project.workspace.package(&app)
        {
            files.push(package.folder().join("audit.toml"));
        }
        files.retain(|file| file.is_file());
        files.extend(self.allow.clone());
        let mut allow = allow_list(include_str!("allow.toml"))?;
        for file in files {
            let text = fs::read_to_string(&file);
            let text = text.map_err(|why| format!("cannot read {}: {why}", file.display()))?;
            allow.extend(allow_list(&text).map_err(|why| format!("{}: {why}", file.display()))?);
        }
        Ok(allow)
    }
}

/// The entries of a list of what is allowed.
///
/// # Errors
/// What is wrong with it.
pub fn allow_list(text: &str) -> Result<Vec<Allow>, String> {
    let list = toml::from_str::<List>(text).map_err(|why| why.to_string())?.allow;
    match list.iter().find(|entry| entry.what == What::Calls && entry.from.is_some()) {
        Some(entry) => Err(format!("`{}`: `from` is for `what = \"entry\"` only", entry.function)),
        None => Ok(list),
    }
}

/// Whether nothing is wrong: no finding, and no entry that allows nothing.
pub fn is_clean(outcome: &Outcome, allow: &[Allow]) -> bool {
    outcome.findings.is_empty() && idle(outcome, allow).next().is_none()
}

fn idle<'a>(outcome: &'a Outcome, allow: &'a [Allow]) -> impl Iterator<Item = &'a Allow> {
    let both = allow.iter().zip(&outcome.allowed);
    both.filter(|(entry, count)| **count == 0 && !entry.optional).map(|(entry, _)| entry)
}

fn describe(outcome: &Outcome, allow: &[Allow]) -> String {
    let mut out = String::new();
    for finding in &outcome.findings {
        let _ = writeln!(out, "error: {} at {:#x}", finding.what, finding.address);
        for (depth, function) in finding.path.iter().rev().map(|name| short(name)).enumerate() {
            let lead = if depth == 0 { "in" } else { "called by" };
            let _ = writeln!(out, "  {lead} {function}");
        }
        out.push('\n');
    }
    for entry in idle(outcome, allow) {
        let _ =
            writeln!(out, "error: `{}` is allowed, and there is nothing to allow", entry.function);
        out.push_str("  = help: remove the entry from the list\n\n");
    }
    let (functions, instructions) = (outcome.functions.len(), outcome.instructions);
    let _ = writeln!(
        out,
        "{functions} functions with {instructions} instructions are reachable from the sweep"
    );
    for (entry, count) in allow.iter().zip(&outcome.allowed).filter(|(_, count)| **count > 0) {
        let what = match entry.what {
            What::Calls => "indirect calls",
            What::Entry => "calls that are not followed",
        };
        let from = entry.from.as_ref().map_or(String::new(), |from| format!(" from {from}"));
        let (name, why) = (&entry.function, entry.why.trim());
        let _ = writeln!(out, "allowed: {count} {what}, {name}{from}: {why}");
    }
    let wrong = outcome.findings.len() + idle(outcome, allow).count();
    let _ = match wrong {
        0 => writeln!(out, "no other indirect call or jump"),
        count => writeln!(out, "error: {count} findings"),
    };
    out
}

/// A name that is longer than a line, without its middle.
fn short(name: &str) -> String {
    const ENDS: usize = 90;
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= 2 * ENDS + 1 {
        return name.to_owned();
    }
    let (head, tail) = (&letters[..ENDS], &letters[letters.len() - ENDS..]);
    head.iter().chain(['…'].iter()).chain(tail).collect()
}

/// Follows the sweep of the image in `bytes`.
///
/// # Errors
/// One line when it is no image of a known architecture, or nothing in it is called `root`.
pub fn audit_image(bytes: &[u8], root: Option<&str>, allow: &[Allow]) -> Result<Outcome, String> {
    let file = object::File::parse(bytes).map_err(|why| format!("this is no image: {why}"))?;
    let isa = Isa::of(file.architecture());
    let isa = isa.ok_or("only images for x86-64 and AArch64 can be audited")?;
    let mut code = Code { isa, sections: Vec::new(), functions: BTreeMap::new() };
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let data = section.data().map_err(|why| format!("the image cannot be read: {why}"))?;
        code.sections.push((section.address(), data));
        let end = section.address() + section.size();
        for symbol in file.symbols() {
            let here = symbol.section_index() == Some(section.index());
            let fits = symbol.kind() == SymbolKind::Text
                || (symbol.kind() == SymbolKind::Unknown && symbol.address() < end);
            let name = symbol.name().unwrap_or_default();
            if !here || !fits || name.is_empty() {
                continue;
            }
            let name = format!("{:#}", rustc_demangle::demangle(name));
            let function = code.functions.entry(symbol.address()).or_default();
            // Names for the same code: the longest extent, and the first name.
            function.0 = function.0.max(symbol.address() + symbol.size());
            if function.1.is_empty() || symbol.kind() == SymbolKind::Text && symbol.size() > 0 {
                function.1 = name;
            }
        }
        code.close(end);
    }
    let is_root = |name: &str| root.map_or_else(|| is_sweep(name), |root| name.contains(root));
    let roots: Vec<u64> =
        code.functions.iter().filter(|(_, (_, name))| is_root(name)).map(|(at, _)| *at).collect();
    if roots.is_empty() {
        let root = root.unwrap_or("<graph::Graph as waitless::Sweep>::poll");
        return Err(format!("the image has no function called {root}; was it stripped?"));
    }
    Ok(Walk::new(&code, allow).from(&roots))
}

/// The code of an image.
struct Code<'a> {
    isa: Isa,
    sections: Vec<(u64, &'a [u8])>,
    /// By address: the end, and the name.
    functions: BTreeMap<u64, (u64, String)>,
}

impl<'a> Code<'a> {
    /// Lets functions without a size reach to the next one, or to the section's end.
    fn close(&mut self, end: u64) {
        let starts: Vec<u64> = self.functions.keys().copied().collect();
        for (index, start) in starts.iter().enumerate() {
            let next = starts.get(index + 1).copied().unwrap_or(end).min(end.max(*start));
            if let Some(function) = self.functions.get_mut(start)
                && function.0 <= *start
            {
                function.0 = next;
            }
        }
    }

    /// The function that `address` belongs to.
    fn function(&self, address: u64) -> Option<(u64, u64, &str)> {
        // Labels within a function end early: the nearest that reaches far enough is meant.
        let mut before = self.functions.range(..=address).rev().take(64);
        let (start, (end, name)) = before.find(|(_, (end, _))| address < *end)?;
        Some((*start, *end, name))
    }

    fn bytes(&self, start: u64, end: u64) -> Option<&'a [u8]> {
        self.sections.iter().find_map(|(at, data)| {
            let from = usize::try_from(start.checked_sub(*at)?).ok()?;
            let to = usize::try_from(end.checked_sub(*at)?).ok()?;
            data.get(from..to)
        })
    }
}

/// A breadth-first walk, so that the path to a finding is a shortest one.
struct Walk<'a> {
    code: &'a Code<'a>,
    allow: &'a [Allow],
    /// Who was found from where.
    callers: BTreeMap<u64, Option<u64>>,
    waiting: VecDeque<u64>,
    outcome: Outcome,
}

impl<'a> Walk<'a> {
    fn new(code: &'a Code<'a>, allow: &'a [Allow]) -> Self {
        let outcome = Outcome { allowed: vec![0; allow.len()], ..Outcome::default() };
        Self { code, allow, callers: BTreeMap::new(), waiting: VecDeque::new(), outcome }
    }

    fn from(mut self, roots: &[u64]) -> Outcome {
        for root in roots {
            self.callers.insert(*root, None);
            self.waiting.push_back(*root);
        }
        while let Some(start) = self.waiting.pop_front() {
            self.visit(start);
        }
        self.outcome
    }

    fn visit(&mut self, start: u64) {
        let Some((start, end, name)) = self.code.function(start) else { return };
        self.outcome.functions.push(name.to_owned());
        let Some(bytes) = self.code.bytes(start, end) else {
            self.find(start, start, "code that is not in the image".to_owned());
            return;
        };
        self.code.isa.flows(bytes, start, |at, flow| {
            self.outcome.instructions += 1;
            match flow {
                Flow::Indirect(text) if !self.allowed(name, name, What::Calls) => {
                    self.find(start, at, format!("indirect: {text}"));
                }
                Flow::To(target, text) if !(start..end).contains(&target) => {
                    self.follow((start, name), (at, text), target);
                }
                _ => {}
            }
        });
    }

    /// Goes from the function `from`, in which the instruction `by` stands, to `target`.
    fn follow(&mut self, from: (u64, &str), by: (u64, String), target: u64) {
        let Some((callee, _, name)) = self.code.function(target) else {
            self.find(from.0, by.0, format!("code without a name: {}", by.1));
            return;
        };
        if self.callers.contains_key(&callee) || self.allowed(name, from.1, What::Entry) {
            return;
        }
        self.callers.insert(callee, Some(from.0));
        self.waiting.push_back(callee);
    }

    /// Whether an entry allows it; counts the entry's use.
    fn allowed(&mut self, name: &str, caller: &str, what: What) -> bool {
        let fits = |entry: &Allow| {
            let from = entry.from.as_ref().is_none_or(|from| matches(from, caller));
            entry.what == what && matches(&entry.function, name) && from
        };
        let found = self.allow.iter().position(fits);
        found.is_some_and(|index| {
            self.outcome.allowed[index] += 1;
            true
        })
    }

    fn find(&mut self, function: u64, address: u64, what: String) {
        let mut path = Vec::new();
        let mut at = Some(function);
        while let Some(function) = at {
            let name = self.code.function(function).map_or("?", |(_, _, name)| name);
            path.push(name.to_owned());
            at = self.callers.get(&function).copied().flatten();
        }
        path.reverse();
        self.outcome.findings.push(Finding { address, what, path });
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len())
                .filter(|at| rest.is_char_boundary(*at))
                .any(|at| matches(tail, &rest[at..]))
        }),
    }
}
