//! How many bytes of an image each component takes, by the names of its symbols.
//!
//! A function belongs to the first crate in its name that is neither Rust's own nor shared by
//! all: `<tcp::Tcp as Component<ipv4::Ipv4>>::receive` and `Vec<tcp::Segment>::push` both belong
//! to `tcp`. What is inlined belongs to whom it is inlined into; after link-time optimization
//! that is often the sweep itself, which is shown as `(sweep)`. Constants without a name belong
//! to whose code uses them first.

use crate::cli::references::References;
use crate::cli::{self, Which, image};
use object::{Object, ObjectSection, ObjectSymbol, SectionIndex, SectionKind, SymbolKind};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

/// Which image to measure.
#[derive(clap::Args, Debug)]
pub struct Size {
    #[command(flatten)]
    which: Which,
    /// Measures this file instead of building one
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of each kind: text, rodata, data, bss.
pub type Bytes = [u64; 4];

/// What an image is made of.
#[derive(Clone, Default, Debug)]
pub struct Sizes {
    /// Bytes by crate; in parentheses what belongs to none.
    pub crates: BTreeMap<String, Bytes>,
    /// The sizes of all sections together.
    pub total: Bytes,
}

const KINDS: [&str; 4] = ["text", "rodata", "data", "bss"];

/// What neither has a name nor is referred to; in code, what fills the space between functions.
const UNNAMED: &str = "(unnamed)";

/// The crates of Rust itself.
const RUST: [&str; 5] = ["alloc", "compiler_builtins", "core", "hashbrown", "std"];

/// Crates whose generic code belongs to the crate that it is made for.
const SHARED: [&str; 2] = ["heapless", "waitless"];

impl Size {
    /// Prints the table.
    ///
    /// # Errors
    /// One line when there is no image.
    pub fn run(&self) -> Result<(), String> {
        let path = image_of(&self.which, self.image.as_ref())?;
        let bytes =
            fs::read(&path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        let sizes = sizes(&bytes)?;
        if self.json {
            cli::print(&json(&sizes, bytes.len()));
        } else {
            cli::print(&table(&sizes));
            let (path, length) = (path.display(), bytes.len());
            cli::print(&format!("\n{path}: {length} bytes, with what only a debugger reads\n"));
        }
        Ok(())
    }
}

/// The image that is meant: given, or built.
pub(super) fn image_of(which: &Which, given: Option<&PathBuf>) -> Result<PathBuf, String> {
    if let Some(path) = given {
        return Ok(path.clone());
    }
    let (project, graph) = cli::load(which)?;
    let platform = project.platform(&graph.platform.name)?;
    image::build(&project, &graph.app.package, &platform)
}

/// What the image in `bytes` is made of.
///
/// # Errors
/// One line when it is no image.
pub fn sizes(bytes: &[u8]) -> Result<Sizes, String> {
    let file = object::File::parse(bytes).map_err(|why| format!("this is no image: {why}"))?;
    let functions = symbols(&file, |section| section.kind() == SectionKind::Text);
    let functions: Vec<_> =
        functions.into_iter().map(|(range, name)| (range, owner(name))).collect();
    let references = References::new(&file, &functions);
    let mut sizes = Sizes::default();
    for section in file.sections() {
        let Some(kind) = kind(section.kind()) else { continue };
        sizes.total[kind] += section.size();
        let mut at = section.address();
        let end = at + section.size();
        let mut add = |name: &str, bytes| {
            sizes.crates.entry(name.to_owned()).or_default()[kind] += bytes;
        };
        for (range, name) in symbols(&file, |other| other.index() == section.index()) {
            for (bytes, user) in references.parts(at..range.start.max(at)) {
                add(user.unwrap_or(UNNAMED), bytes);
            }
            // Names for the same bytes count once.
            let (start, stop) = (range.start.max(at), range.end.min(end));
            add(&owner(name), stop.saturating_sub(start));
            at = at.max(stop);
        }
        for (bytes, user) in references.parts(at..end) {
            add(user.unwrap_or(UNNAMED), bytes);
        }
    }
    sizes.crates.retain(|_, bytes| bytes.iter().any(|count| *count > 0));
    Ok(sizes)
}

/// The symbols of some sections that have a size, by address.
fn symbols<'a>(
    file: &'a object::File<'_>,
    wanted: impl Fn(&object::Section<'_, '_>) -> bool,
) -> Vec<(Range<u64>, &'a str)> {
    let sections: Vec<_> =
        file.sections().filter(|section| wanted(section)).map(|section| section.index()).collect();
    let here = |index: Option<SectionIndex>| index.is_some_and(|index| sections.contains(&index));
    let known = [SymbolKind::Text, SymbolKind::Data, SymbolKind::Unknown];
    let mut found: Vec<_> = file
        .symbols()
        .filter(|symbol| here(symbol.section_index()) && symbol.size() > 0)
        .filter(|symbol| known.contains(&symbol.kind()))
        .map(|symbol| {
            let end = symbol.address().saturating_add(symbol.size());
            (symbol.address()..end, symbol.name().unwrap_or_default())
        })
        .collect();
    found.sort_unstable_by_key(|(range, name)| (range.start, range.end, *name));
    found
}

fn kind(kind: SectionKind) -> Option<usize> {
    Some(match kind {
        SectionKind::Text => 0,
        SectionKind::ReadOnlyData
        | SectionKind::ReadOnlyString
        | SectionKind::ReadOnlyDataWithRel => 1,
        SectionKind::Data | SectionKind::Tls => 2,
        SectionKind::UninitializedData | SectionKind::UninitializedTls => 3,
        _ => return None,
    })
}

/// The crate that a symbol belongs to.
pub fn owner(symbol: &str) -> String {
    let Ok(name) = rustc_demangle::try_demangle(symbol) else { return "(other)".to_owned() };
    let name = format!("{name:#}");
    if is_sweep(&name) {
        return "(sweep)".to_owned();
    }
    let crates = crates(&name);
    let rust = |found: &&String| RUST.contains(&found.as_str());
    let shared = |found: &&String| SHARED.contains(&found.as_str());
    let own = crates.iter().find(|found| !rust(found) && !shared(found));
    own.or(crates.iter().find(|found| !rust(found)))
        .or(crates.first())
        .cloned()
        .unwrap_or_else(|| "(other)".to_owned())
}

/// Whether it is the sweep of a generated graph.
pub(super) fn is_sweep(name: &str) -> bool {
    name.contains("graph::Graph") && name.ends_with("Sweep>::poll")
}

/// The first parts of all paths in a name, in order.
fn crates(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = name;
    let mut before = "";
    while !rest.is_empty() {
        let word: usize = rest.chars().take_while(|c| letter(*c)).map(char::len_utf8).sum();
        if word == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            before = &name[..name.len() - rest.len() + next];
            rest = &rest[next..];
            continue;
        }
        let (part, tail) = rest.split_at(word);
        if tail.starts_with("::") && !before.ends_with("::") {
            found.push(part.to_owned());
        }
        before = &name[..name.len() - tail.len()];
        rest = tail;
    }
    found
}

fn sorted(sizes: &Sizes) -> Vec<(&String, &Bytes)> {
    let mut rows: Vec<_> = sizes.crates.iter().collect();
    rows.sort_by_key(|(name, bytes)| (std::cmp::Reverse(bytes.iter().sum::<u64>()), *name));
    rows
}

fn table(sizes: &Sizes) -> String {
    let mut out = String::new();
    let width = sizes.crates.keys().map(String::len).max().unwrap_or(0).max(8);
    let mut row = |name: &str, cells: [String; 5]| {
        let [a, b, c, d, e] = cells;
        let _ = writeln!(out, "{name:width$} {a:>9} {b:>9} {c:>9} {d:>9} {e:>9}");
    };
    row("crate", [KINDS[0], KINDS[1], KINDS[2], KINDS[3], "all"].map(str::to_owned));
    let cells = |bytes: &Bytes| {
        let [a, b, c, d] = *bytes;
        [a, b, c, d, a + b + c + d].map(|count| count.to_string())
    };
    for (name, bytes) in sorted(sizes) {
        row(name, cells(bytes));
    }
    row("all", cells(&sizes.total));
    out
}

fn json(sizes: &Sizes, file: usize) -> String {
    let object = |bytes: &Bytes| {
        let pairs =
            KINDS.iter().zip(bytes).map(|(kind, count)| ((*kind).to_owned(), (*count).into()));
        serde_json::Value::Object(pairs.collect())
    };
    let crates = sorted(sizes).into_iter().map(|(name, bytes)| (name.clone(), object(bytes)));
    let value = serde_json::json!({
        "crates": serde_json::Value::Object(crates.collect()),
        "all": object(&sizes.total),
        "file": file,
    });
    serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
}
