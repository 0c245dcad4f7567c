//! Which clauses of the RFCs are obeyed where: the tables in `docs/rfc/`, the citations in the
//! code, and the tests that the tables name.
//!
//! A citation is a comment of one line, `//= RFC 9293 3.5 MUST-10: simultaneous open`, at the
//! line that obeys the clause. A clause's id is the RFC's own where it numbers its requirements,
//! otherwise the section.

use crate::cli;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What is asked for.
#[derive(clap::Args, Debug)]
pub struct Rfc {
    /// The RFC's number [default: all that have a table]
    number: Option<u32>,
    /// All of it, as docs/conformance.md holds it
    #[arg(long, conflicts_with = "number")]
    markdown: bool,
}

impl Rfc {
    /// Prints the coverage.
    ///
    /// # Errors
    /// What does not agree between the tables, the code and the tests; or no such table.
    pub fn run(&self) -> Result<(), String> {
        let root = cli::open()?.workspace.root;
        let coverage = Coverage::read(&root)?;
        if self.markdown {
            cli::print(&coverage.markdown());
        } else {
            let numbers: Vec<_> = coverage.tables.keys().copied().collect();
            let numbers = match self.number {
                Some(number) if !numbers.contains(&number) => {
                    let known: Vec<_> = numbers.iter().map(u32::to_string).collect();
                    let known: Vec<_> = known.iter().map(String::as_str).collect();
                    return Err(cli::unknown("table of RFC", &number.to_string(), &known));
                }
                Some(number) => vec![number],
                None => numbers,
            };
            for number in numbers {
                cli::print(&coverage.text(number));
            }
        }
        let wrong = coverage.wrong();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// A file of `docs/rfc/`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Table {
    /// The RFC's title.
    title: String,
    /// Its clauses, in its order.
    #[serde(default, rename = "clause")]
    clauses: Vec<Clause>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Clause {
    /// The RFC's own name for it, or the section.
    id: String,
    /// The section, where the id is another.
    section: Option<String>,
    /// What it asks for, in short.
    text: String,
    /// The test that shows it.
    test: Option<String>,
    /// Why it is not obeyed, or not as it says, or not tested.
    why: Option<String>,
}

impl Table {
    /// Whether a citation of `id` has its clause. Where the RFC numbers its clauses, a section is
    /// where they stand and needs no row.
    fn has(&self, id: &str) -> bool {
        let numbered = self.clauses.iter().any(|clause| clause.section.is_some());
        (numbered && !is_numbered(id)) || self.clauses.iter().any(|clause| clause.id == id)
    }
}

/// Where a clause is cited.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    file: String,
    line: usize,
}

/// All tables and what the tree has to them.
#[derive(Default, Debug)]
pub struct Coverage {
    tables: BTreeMap<u32, Table>,
    citations: BTreeMap<(u32, String), Vec<Place>>,
    /// What begins like a citation and is none.
    unreadable: Vec<Place>,
    tests: BTreeSet<String>,
}

impl Coverage {
    /// Reads the tree at `root`.
    ///
    /// # Errors
    /// A file that cannot be read, or a table that cannot be understood.
    pub fn read(root: &Path) -> Result<Self, String> {
        let mut tables = BTreeMap::new();
        for path in files(&root.join("docs/rfc"), "toml")? {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.parse().map_err(|_| format!("{} is no number", path.display()))?;
            let table = toml::from_str(&read(&path)?)
                .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
            tables.insert(number, table);
        }
        let mut coverage = Self { tables, ..Self::default() };
        for folder in ["apps", "core", "components", "platforms", "tests"] {
            for path in files(&root.join(folder), "rs")? {
                let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                coverage.add(&file, &read(&path)?);
            }
        }
        Ok(coverage)
    }

    /// Adds what a source file cites and tests.
    fn add(&mut self, file: &str, text: &str) {
        self.tests.extend(tests(text).map(str::to_owned));
        for (at, line) in text.lines().enumerate() {
            let Some(citation) = line.trim_start().strip_prefix("//=") else { continue };
            let place = Place { file: file.to_owned(), line: at + 1 };
            let keys = cited(citation);
            if keys.is_empty() {
                self.unreadable.push(place.clone());
            }
            for key in keys {
                self.citations.entry(key).or_default().push(place.clone());
            }
        }
    }

    /// What does not agree.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (number, table) in &self.tables {
            let mut ids = BTreeSet::new();
            for clause in &table.clauses {
                let name = format!("RFC {number} {}", clause.id);
                if !ids.insert(&clause.id) {
                    wrong.push(format!("{name}: docs/rfc/{number}.toml has it twice"));
                }
                match (&clause.test, &clause.why) {
                    (Some(test), _) if !self.tests.contains(test) => {
                        wrong.push(format!("{name}: there is no test `{test}`"));
                    }
                    (Some(_), _) if self.places(*number, clause).is_empty() => {
                        wrong.push(format!("{name}: no line of the code cites it"));
                    }
                    (None, None) => wrong.push(format!("{name}: neither a test nor why not")),
                    _ => {}
                }
            }
        }
        for Place { file, line } in &self.unreadable {
            wrong.push(format!("{file}:{line}: no citation: `//= RFC 9293 3.5 MUST-10: …` is one"));
        }
        for ((number, id), places) in &self.citations {
            let Place { file, line } = &places[0];
            match self.tables.get(number) {
                None => wrong.push(format!("{file}:{line}: there is no docs/rfc/{number}.toml")),
                Some(table) if !table.has(id) => {
                    wrong.push(format!("{file}:{line}: docs/rfc/{number}.toml has no `{id}`"));
                }
                Some(_) => {}
            }
        }
        wrong
    }

    fn places(&self, number: u32, clause: &Clause) -> &[Place] {
        self.citations.get(&(number, clause.id.clone())).map_or(&[], Vec::as_slice)
    }

    /// One RFC's coverage for a terminal.
    fn text(&self, number: u32) -> String {
        let Some(table) = self.tables.get(&number) else { return String::new() };
        let mut text = format!("RFC {number}: {}\n", table.title);
        for clause in &table.clauses {
            let places = self.places(number, clause);
            let _ = writeln!(text, "  {:<9} {}", clause.id, clause.text);
            for Place { file, line } in places {
                let _ = writeln!(text, "            {file}:{line}");
            }
            if let Some(test) = &clause.test {
                let _ = writeln!(text, "            test {test}");
            }
            if let Some(why) = &clause.why {
                let _ = writeln!(text, "            {}: {why}", self.status(number, clause));
            }
        }
        let _ = writeln!(text, "  {}", self.summary(number));
        text
    }

    fn status(&self, number: u32, clause: &Clause) -> &'static str {
        match (self.places(number, clause).is_empty(), &clause.test, &clause.why) {
            (false, _, None) => "yes",
            (false, _, Some(_)) => "differs",
            (true, _, _) => "no",
        }
    }

    fn summary(&self, number: u32) -> String {
        let Some(table) = self.tables.get(&number) else { return String::new() };
        let count = |status| {
            table.clauses.iter().filter(|clause| self.status(number, clause) == status).count()
        };
        let (yes, differs, no) = (count("yes"), count("differs"), count("no"));
        format!("{yes} of {} clauses obeyed, {differs} differently, {no} not", yes + differs + no)
    }

    /// All of it as a document. Without lines, which move with every change.
    pub fn markdown(&self) -> String {
        let mut text = "# Conformance\n\n\
            Generated by `cargo run -p build -- rfc --markdown` from the tables in `docs/rfc/` and \
            the citations\nin the code; `cargo run -p build -- rfc 9293` prints an RFC's clauses \
            with the lines that obey them.\n\n\
            The table of RFC 9293 has every clause that the RFC numbers. The other tables have the \
            sections that are\nimplemented here, and where the code differs from them: an account \
            of what was done, not a proof that nothing is\nmissing.\n\n\
            A citation is a comment `//= RFC 9293 3.5 MUST-10: …` at the line that obeys the \
            clause. A clause is named as\nthe RFC numbers it, otherwise by its section. A test \
            fails when a clause has neither a citation and a test nor a\nreason, when a test does \
            not exist, and when a citation has no clause. \"differs\" is what is obeyed in \
            part or\notherwise, and \"no\" what is not, each with the reason.\n"
            .to_owned();
        for (number, table) in &self.tables {
            let _ = write!(text, "\n## RFC {number}: {}\n\n", table.title);
            let _ = writeln!(text, "{}.\n", self.summary(*number));
            text += "| clause | section | what it asks for | | where | test, or why |\n";
            text += "|---|---|---|---|---|---|\n";
            for clause in &table.clauses {
                self.row(&mut text, *number, clause);
            }
        }
        text
    }

    fn row(&self, text: &mut String, number: u32, clause: &Clause) {
        let files: BTreeSet<_> = self.places(number, clause).iter().map(|it| &it.file).collect();
        let files: Vec<_> = files.into_iter().map(|file| format!("`{}`", short(file))).collect();
        let tests = clause.test.iter().map(|test| format!("`{test}`"));
        let says: Vec<_> = tests.chain(clause.why.clone()).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            clause.id,
            clause.section.as_deref().unwrap_or_default(),
            clause.text,
            self.status(number, clause),
            files.join(" "),
            says.join("; ")
        );
    }
}

/// `components/tcp/src/input.rs` as `tcp/input.rs`.
fn short(file: &str) -> String {
    file.trim_start_matches("components/").replace("/src/", "/")
}

/// The clauses that are cited by what follows `//=`.
fn cited(citation: &str) -> Vec<(u32, String)> {
    let head = citation.split(':').next().unwrap_or_default();
    let mut keys = Vec::new();
    for part in head.split("RFC ").skip(1) {
        let mut words = part.split([' ', ',']).filter(|word| !word.is_empty());
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else { continue };
        keys.extend(words.filter(|word| is_id(word)).map(|word| (number, word.to_owned())));
    }
    keys
}

/// `3.10.7.4`, `A.2`, `MUST-10`.
fn is_id(word: &str) -> bool {
    is_numbered(word) || word.split('.').all(|part| part.parse::<u8>().is_ok() || part.len() == 1)
}

/// `MUST-10`: the RFC's own name for a clause.
fn is_numbered(word: &str) -> bool {
    ["MUST-", "SHLD-", "MAY-", "REC-", "REQ-"].iter().any(|start| word.starts_with(start))
}

/// The names of the functions below `#[test]`.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().map(str::trim_start).filter_map(move |line| {
        let Some(rest) = line.strip_prefix("fn ") else {
            is_test = line == "#[test]" || (is_test && line.starts_with("#["));
            return None;
        };
        core::mem::take(&mut is_test).then(|| rest.split(['(', '<']).next()).flatten()
    })
}

/// The files below `folder` that end in `extension`, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = |why| format!("cannot read {}: {why}", folder.display());
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn citations_are_read() {
        let key = |number, id: &str| (number, id.to_owned());
        assert_eq!(cited(" x == 1; // 9293 3.5"), []);
        assert_eq!(
            cited(" RFC 9293 3.5 MUST-10, SHLD-2: both open: at once"),
            [key(9293, "3.5"), key(9293, "MUST-10"), key(9293, "SHLD-2")]
        );
        assert_eq!(
            cited(" RFC 1191 6.5, RFC 8201 5.4: shorter"),
            [key(1191, "6.5"), key(8201, "5.4")]
        );
    }

    #[test]
    fn only_tests_are_tests() {
        let text =
            "#[test]\nfn a() {}\nfn b() {}\n  #[test]\n  #[ignore]\n  fn c() {}\n#[x]\nfn d()";
        assert_eq!(tests(text).collect::<Vec<_>>(), ["a", "c"]);
    }

    fn coverage(table: &str, code: &str) -> Coverage {
        let tables = [(9293, toml::from_str(table).unwrap())].into();
        let mut coverage = Coverage { tables, ..Coverage::default() };
        coverage.add("components/tcp/src/a.rs", code);
        coverage
    }

    const CODE: &str = "//= RFC 9293 3.5 MUST-10: simultaneous open\n#[test]\nfn both_open() {}\n";

    #[test]
    fn what_agrees_is_printed_with_its_lines() {
        let table = "title = \"TCP\"\n[[clause]]\nid = \"MUST-10\"\nsection = \"3.5\"\n\
            text = \"both open\"\ntest = \"both_open\"\n[[clause]]\nid = \"MAY-1\"\n\
            section = \"3.6\"\ntext = \"x\"\nwhy = \"nobody asks\"\n";
        let coverage = coverage(table, CODE);
        assert_eq!(coverage.wrong(), [""; 0]);
        let text = coverage.text(9293);
        assert!(text.contains("components/tcp/src/a.rs:1\n            test both_open"), "{text}");
        assert!(text.contains("no: nobody asks"), "{text}");
        assert!(text.ends_with("  1 of 2 clauses obeyed, 0 differently, 1 not\n"), "{text}");
        let row = "| MUST-10 | 3.5 | both open | yes | `tcp/a.rs` | `both_open` |\n";
        assert!(coverage.markdown().contains(row), "{}", coverage.markdown());
    }

    #[test]
    fn what_does_not_agree_is_told() {
        let clause = |rest: &str| {
            format!(
                "title = \"TCP\"\n[[clause]]\nid = \"MUST-9\"\nsection = \"3\"\n\
                    text = \"x\"\n{rest}"
            )
        };
        for (rest, wrong) in [
            ("", "RFC 9293 MUST-9: neither a test nor why not"),
            ("test = \"gone\"", "RFC 9293 MUST-9: there is no test `gone`"),
            ("test = \"both_open\"", "RFC 9293 MUST-9: no line of the code cites it"),
        ] {
            let coverage = coverage(&clause(rest), CODE);
            let dangling = "components/tcp/src/a.rs:1: docs/rfc/9293.toml has no `MUST-10`";
            assert_eq!(coverage.wrong(), [wrong, dangling]);
        }
        let table = clause("why = \"x\"\n[[clause]]\nid = \"MUST-9\"\ntext = \"x\"\nwhy = \"x\"");
        let code = "//= RFC9293 3.5: x\n//= RFC 9293 3.5: a section\n//= RFC 1 2: x\n";
        assert_eq!(
            coverage(&table, code).wrong(),
            [
                "RFC 9293 MUST-9: docs/rfc/9293.toml has it twice",
                "components/tcp/src/a.rs:1: no citation: `//= RFC 9293 3.5 MUST-10: …` is one",
                "components/tcp/src/a.rs:3: there is no docs/rfc/1.toml",
            ]
        );
    }
}
