//! Where instructions go: counts of addresses, by component, by function and by line.

use addr2line::Loader;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Functions and lines that are shown.
const SHOWN: usize = 45;

#[derive(Default)]
struct Totals {
    components: BTreeMap<String, u64>,
    functions: BTreeMap<String, u64>,
    lines: BTreeMap<String, u64>,
}

/// Prints where the instructions of `counts` went in `image`, for each of so many requests.
pub fn print(image: &Path, counts: &HashMap<u64, u64>, requests: f64) -> Result<(), String> {
    let loader = Loader::new(image).map_err(|error| format!("{}: {error}", image.display()))?;
    let mut totals = Totals::default();
    for (address, count) in counts.iter().filter(|(_, count)| **count > 0) {
        totals.add(&loader, *address, *count);
    }
    let all = counts.values().sum::<u64>();
    println!("\n{:.0} instructions for each of {requests} requests", all as f64 / requests);
    table("component", &totals.components, all, requests);
    table("function", &totals.functions, all, requests);
    table("line", &totals.lines, all, requests);
    Ok(())
}

impl Totals {
    fn add(&mut self, loader: &Loader, address: u64, count: u64) {
        let (mut component, mut line, mut function) = (None, None, None);
        let frames = loader.find_frames(address);
        // Innermost first: what is inlined belongs to the first function of ours around it.
        if let Ok(mut frames) = frames {
            while let Ok(Some(frame)) = frames.next() {
                let place = frame.location.as_ref();
                let file = place.and_then(|place| place.file).and_then(ours);
                let Some(file) = file else { continue };
                let number = place.and_then(|place| place.line).unwrap_or(0);
                let name = frame.function.as_ref().and_then(|name| name.demangle().ok());
                component = Some(owner(file));
                function = name.map(|name| short(&name));
                line = Some(format!("{file}:{number}"));
                break;
            }
        }
        let symbol = || loader.find_symbol(address).unwrap_or("?").to_owned();
        let function = function.unwrap_or_else(symbol);
        *self.components.entry(component.unwrap_or("(rust)".to_owned())).or_default() += count;
        *self.lines.entry(line.unwrap_or_else(|| function.clone())).or_default() += count;
        *self.functions.entry(function).or_default() += count;
    }
}

/// The part of a path that lies in this tree; `None` for what does not.
fn ours(file: &str) -> Option<&str> {
    let folders = ["components/", "core/src/", "platforms/", "apps/", "tests/"];
    let in_rust = file.contains("/library/") || file.contains("/registry/");
    let here = |folder: &&str| file.starts_with(*folder) || file.contains(&format!("/{folder}"));
    let folder = folders.into_iter().find(|folder| here(folder)).filter(|_| !in_rust);
    match folder {
        Some(folder) => file.find(folder).map(|at| &file[at..]),
        None => file.ends_with("/graph.rs").then_some("(sweep)"),
    }
}

/// Whom a file belongs to: `tcp`, `waitless::http`, `platform-machine`.
fn owner(file: &str) -> String {
    let parts: Vec<&str> = file.split('/').collect();
    match parts.as_slice() {
        ["components" | "apps", name, ..] => (*name).to_owned(),
        ["core", "src", part, ..] => format!("waitless::{}", part.trim_end_matches(".rs")),
        ["platforms", name, ..] => format!("platform-{name}"),
        _ => file.to_owned(),
    }
}

/// A name without what is in its angle brackets, beyond the first.
fn short(name: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    let mut before = ' ';
    for letter in name.chars() {
        depth -= usize::from(letter == '>' && before != '-' && depth > 0);
        if depth < 2 {
            out.push(letter);
        }
        depth += usize::from(letter == '<');
        before = letter;
    }
    out
}

fn table(what: &str, counts: &BTreeMap<String, u64>, all: u64, requests: f64) {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    println!("\n{:>9}  {:>6}  {what}", "a request", "share");
    for (name, count) in rows.into_iter().take(SHOWN) {
        let share = 100.0 * *count as f64 / all as f64;
        println!("{:>9.1}  {share:>5.1}%  {name}", *count as f64 / requests);
    }
}
