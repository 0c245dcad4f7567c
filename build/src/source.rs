//! Files with positions: every value that is read from a manifest knows where it was written.

use std::path::{Path, PathBuf};
use std::{fmt, fs};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in one of the files that were read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Span {
    /// The file, as an index into [`Sources`].
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

/// The longest file that is read: a manifest of a thousand instances takes a tenth of it.
const LENGTH_MAX: u64 = 1 << 20;

/// All files that were read, in the order in which their errors are shown.
#[derive(Default, Debug)]
pub struct Sources {
    files: Vec<Source>,
    base: PathBuf,
}

/// One file.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// How messages call it.
    pub shown: String,
    /// What is in it.
    pub text: String,
    /// Where its lines start.
    starts: Vec<usize>,
}

impl Sources {
    /// No files yet. Messages show paths below `base` relative to it.
    pub fn new(base: &Path) -> Self {
        Self { files: Vec::new(), base: base.to_owned() }
    }

    /// Reads the file at `path` and remembers its text; gives its index.
    ///
    /// # Errors
    /// One line that says which file could not be read, and why.
    pub fn read(&mut self, path: &Path) -> Result<usize, String> {
        if let Some(known) = self.files.iter().position(|file| file.path == path) {
            return Ok(known);
        }
        match text_at(path) {
            Ok(text) => Ok(self.add(path, text)),
            Err(why) => Err(format!("cannot read {}{why}", self.shown(path))),
        }
    }

    /// Remembers `text` as the content of `path`; gives its index.
    pub fn add(&mut self, path: &Path, text: String) -> usize {
        let shown = self.shown(path);
        self.files.push(Source::new(path.to_owned(), shown, text));
        self.files.len() - 1
    }

    /// The file with the index `file`.
    pub fn get(&self, file: usize) -> &Source {
        &self.files[file]
    }

    /// All files.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// `file:line` of a place.
    pub fn line(&self, at: Span) -> String {
        let source = self.get(at.file);
        format!("{}:{}", source.shown, source.line_and_column(at.start).0)
    }

    fn shown(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.base).unwrap_or(path);
        path.display().to_string().replace('\\', "/")
    }
}

/// The text of the file at `path`, or what follows its name in a message.
fn text_at(path: &Path) -> Result<String, String> {
    let about = fs::metadata(path).map_err(|why| format!(": {why}"))?;
    if !about.is_file() {
        let kind = if about.is_dir() { "a folder" } else { "no ordinary file" };
        return Err(format!(": it is {kind}; put a file of text in its place"));
    }
    let length = about.len();
    if length > LENGTH_MAX {
        return Err(format!(": it has {length} bytes; shorten it to {LENGTH_MAX} at most"));
    }
    let bytes = fs::read(path).map_err(|why| format!(": {why}"))?;
    String::from_utf8(bytes).map_err(|why| {
        let at = why.utf8_error().valid_up_to();
        let byte = why.as_bytes()[at];
        let before = String::from_utf8_lossy(&why.as_bytes()[..at]).into_owned();
        let before = Source::new(PathBuf::new(), String::new(), before);
        let (line, column) = before.line_and_column(at);
        format!(":{line}:{column}: the byte {byte:02X}h is no UTF-8; save the file as UTF-8")
    })
}

impl Source {
    fn new(path: PathBuf, shown: String, text: String) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(starts).collect();
        Self { path, shown, text, starts }
    }

    /// The line and the column of a byte, both from 1; the column counts characters.
    pub fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let byte = floor(&self.text, byte.min(self.text.len()));
        // The first line starts at 0.
        let line = self.starts.partition_point(|start| *start <= byte);
        (line, self.text[self.starts[line - 1]..byte].chars().count() + 1)
    }

    /// Line number `line`, from 1, without its end.
    pub fn text_of(&self, line: usize) -> &str {
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line));
        start.and_then(|start| self.text[*start..].lines().next()).unwrap_or("")
    }
}

/// A name with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// What was written, quotes removed.
    pub name: String,
    /// Where.
    pub at: Span,
}

/// A value with its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// What was written.
    pub value: Value,
    /// Where.
    pub at: Span,
}

/// A TOML value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Anything between brackets.
    Array(Vec<Node>),
    /// `true` or `false`.
    Bool(bool),
    /// A date, a time or a fraction, which no manifest uses, as it was written; and a number that
    /// is too large for the next, in decimal where it has 64 bits.
    Other(String),
    /// A number.
    Integer(i64),
    /// A text.
    String(String),
    /// A table.
    Table(Table),
}

/// A table's entries, in the order of the file.
pub type Table = Vec<(Key, Node)>;

impl Node {
    /// The text, if it is one.
    pub fn str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The entry `key` of a table.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.table().and_then(|table| get(table, key))
    }

    /// The texts of a list of texts, or of one text.
    pub fn strings(&self) -> Option<Vec<(&str, Span)>> {
        match &self.value {
            Value::String(text) => Some(vec![(text, self.at)]),
            Value::Array(items) => items.iter().map(|item| Some((item.str()?, item.at))).collect(),
            _ => None,
        }
    }
}

/// The value of `key`.
pub fn get<'a>(table: &'a Table, key: &str) -> Option<&'a Node> {
    table.iter().find(|(name, _)| name.name == key).map(|(_, node)| node)
}

/// As TOML would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| item.value.to_string()).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Other(text) => f.write_str(text),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Table(table) => {
                let entry = |(key, node): &(Key, Node)| format!("{} = {}", key.name, node.value);
                write!(f, "{{ {} }}", table.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What is wrong with a file as TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Syntax {
    /// Where.
    pub at: Span,
    /// What, in the parser's words.
    pub message: String,
}

/// Parses the file with the index `file`. What can be read is returned beside what cannot.
pub fn parse(sources: &Sources, file: usize) -> (Table, Vec<Syntax>) {
    let text = &sources.get(file).text;
    let (table, errors) = DeTable::parse_recoverable(text);
    let clip = |range: std::ops::Range<usize>| {
        let start = floor(text, range.start.min(text.len()));
        Span { file, start, end: floor(text, range.end.min(text.len())).max(start) }
    };
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| Syntax {
            at: clip(error.span().unwrap_or(0..0)),
            message: error.message().to_owned(),
        })
        .collect();
    let read = entries(table.get_ref(), DEPTH_MAX, &clip, &mut errors);
    if errors.iter().any(|error| error.message == TOO_DEEP) {
        // To drop it would take a frame of the stack for each level.
        std::mem::forget(table);
    }
    (read, errors)
}

/// How deep tables and lists stand in each other: a manifest's go to a tenth of it.
const DEPTH_MAX: usize = 32;
const TOO_DEEP: &str = "tables and lists stand too deep in each other";

fn floor(text: &str, mut byte: usize) -> usize {
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

fn entries(
    table: &DeTable<'_>,
    depth: usize,
    clip: &dyn Fn(std::ops::Range<usize>) -> Span,
    errors: &mut Vec<Syntax>,
) -> Table {
    let mut found: Table = table
        .iter()
        .map(|(key, value)| {
            let key = Key { name: key.get_ref().to_string(), at: clip(key.span()) };
            (key, node(value.get_ref(), clip(value.span()), depth, clip, errors))
        })
        .collect();
    found.sort_by_key(|(key, _)| key.at.start);
    found
}

fn node(
    value: &DeValue<'_>,
    at: Span,
    depth: usize,
    clip: &dyn Fn(std::ops::Range<usize>) -> Span,
    errors: &mut Vec<Syntax>,
) -> Node {
    let value = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Integer(value) => {
            let (digits, radix) = (value.as_str(), value.radix());
            match (i64::from_str_radix(digits, radix), u64::from_str_radix(digits, radix)) {
                (Ok(value), _) => Value::Integer(value),
                (_, Ok(value)) => Value::Other(value.to_string()),
                _ if radix == 10 => Value::Other(digits.to_owned()),
                // Without its prefix it could be read as another number.
                _ => Value::Other(format!("{digits} of base {radix}")),
            }
        }
        DeValue::Float(value) => Value::Other(value.as_str().to_owned()),
        DeValue::Datetime(value) => Value::Other(value.to_string()),
        DeValue::Array(_) | DeValue::Table(_) if depth == 0 => {
            errors.push(Syntax { at, message: TOO_DEEP.to_owned() });
            Value::Other(String::new())
        }
        DeValue::Array(items) => {
            let item = |item: &Spanned<DeValue<'_>>| {
                node(item.get_ref(), clip(item.span()), depth - 1, clip, errors)
            };
            Value::Array(items.iter().map(item).collect())
        }
        DeValue::Table(table) => Value::Table(entries(table, depth - 1, clip, errors)),
    };
    Node { value, at }
}
