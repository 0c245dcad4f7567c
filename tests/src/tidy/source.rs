//! A Rust file as tokens: which functions it has, and which of its lines are tests.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A Rust source file.
pub struct Source {
    /// Where it is, relative to the checkout.
    pub path: String,
    /// What it says.
    pub text: String,
    tokens: Vec<Token>,
    tests: Vec<RangeInclusive<usize>>,
}

/// A token with its lines; unlike the compiler's, it can be shared between threads.
#[derive(Clone, Debug)]
pub struct Token {
    kind: Kind,
    /// Its first line, from 1.
    pub line: usize,
    /// Its last line.
    pub last_line: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Word(String),
    Punct(char),
    Literal(String),
    Group(Delimiter, Vec<Token>),
}

impl Token {
    /// Whether it is the character `wanted`.
    pub fn is_punct(&self, wanted: char) -> bool {
        matches!(self.kind, Kind::Punct(punct) if punct == wanted)
    }

    /// The name or keyword that it is; empty when it is something else.
    pub fn word(&self) -> &str {
        match &self.kind {
            Kind::Word(word) => word,
            _ => "",
        }
    }

    /// What is in its braces, brackets or parentheses; empty when it has none.
    fn inside(&self) -> &[Token] {
        match &self.kind {
            Kind::Group(_, inside) => inside,
            _ => &[],
        }
    }

    fn is_group(&self, wanted: Delimiter) -> bool {
        matches!(self.kind, Kind::Group(delimiter, _) if delimiter == wanted)
    }

    fn write(&self, text: &mut String) {
        match &self.kind {
            Kind::Word(part) | Kind::Literal(part) => text.push_str(part),
            Kind::Punct(punct) => text.push(*punct),
            Kind::Group(_, inside) => {
                text.push('(');
                inside.iter().for_each(|token| token.write(text));
                text.push(')');
            }
        }
    }
}

fn convert(stream: TokenStream) -> Vec<Token> {
    let converted = stream.into_iter().map(|token| {
        let (line, last_line) = (token.span().start().line, token.span().end().line);
        let kind = match token {
            TokenTree::Group(group) => Kind::Group(group.delimiter(), convert(group.stream())),
            TokenTree::Ident(ident) => Kind::Word(ident.to_string()),
            TokenTree::Punct(punct) => Kind::Punct(punct.as_char()),
            TokenTree::Literal(literal) => Kind::Literal(literal.to_string()),
        };
        Token { kind, line, last_line }
    });
    converted.collect()
}

/// A function with a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its first line, from 1.
    pub line: usize,
    /// How many lines it has, signature and closing brace included.
    pub lines: usize,
}

impl Source {
    /// Reads `text`, the file at `path`. `Err` says why it is not Rust.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let stream = TokenStream::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        let tokens = convert(stream);
        let mut tests = Vec::new();
        find_tests(&tokens, &mut tests);
        if is_test_file(path) {
            tests = vec![1..=text.lines().count().max(1)];
        }
        Ok(Self { path: path.to_owned(), text: text.to_owned(), tokens, tests })
    }

    /// How many lines it has.
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// How many of its lines are compiled for tests only.
    pub fn test_lines(&self) -> usize {
        self.tests.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// Whether all of it is tests.
    pub fn is_tests(&self) -> bool {
        is_test_file(&self.path)
    }

    /// Whether `line` is compiled for tests only.
    pub fn is_test_line(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    /// Its functions that have a body, nested ones and those in macros' arguments included.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        find_functions(&self.tokens, &mut functions);
        functions
    }

    /// Calls `visit` with each run of tokens of one nesting level and the place in it.
    pub fn each(&self, visit: &mut dyn FnMut(&[Token], usize)) {
        each(&self.tokens, visit);
    }

    /// The modules that it declares in other files: names and, where given, `#[path]`s.
    pub fn modules(&self) -> Vec<(String, Option<String>)> {
        let mut modules = Vec::new();
        find_modules(&self.tokens, "", &mut modules);
        modules
    }

    /// How many `#[test]`s it has.
    pub fn test_count(&self) -> usize {
        let mut count = 0;
        self.each(&mut |run, at| {
            count += usize::from(attribute(run, at) == "test");
        });
        count
    }
}

/// Files that are compiled for tests only, by the tree's conventions.
fn is_test_file(path: &str) -> bool {
    let own_package = path.starts_with("tests/src/") || path.starts_with("tests/tests/");
    path.ends_with("/tests.rs") || (!own_package && path.contains("/tests/"))
}

/// The attribute `#[…]` or `#![…]` whose `#` is at `at`, without spaces; empty when none is.
fn attribute(run: &[Token], at: usize) -> String {
    let mut text = String::new();
    if run[at].is_punct('#') {
        let skip = 1 + usize::from(run.get(at + 1).is_some_and(|token| token.is_punct('!')));
        let group = run.get(at + skip).filter(|token| token.is_group(Delimiter::Bracket));
        group.into_iter().flat_map(Token::inside).for_each(|token| token.write(&mut text));
    }
    text
}

fn each(run: &[Token], visit: &mut dyn FnMut(&[Token], usize)) {
    for (at, token) in run.iter().enumerate() {
        visit(run, at);
        each(token.inside(), visit);
    }
}

/// Whether an item ends with `token`.
fn ends_item(token: &Token) -> bool {
    token.is_group(Delimiter::Brace) || token.is_punct(';')
}

/// The lines of every item behind a `#[cfg(test)]`, or such an attribute with more in it.
fn find_tests(run: &[Token], tests: &mut Vec<RangeInclusive<usize>>) {
    let mut at = 0;
    while at < run.len() {
        let attribute = attribute(run, at);
        if attribute == "cfg(test)" || attribute.starts_with("cfg(all(test,") {
            let end = (at..run.len()).find(|&end| ends_item(&run[end])).unwrap_or(run.len() - 1);
            tests.push(run[at].line..=run[end].last_line);
            at = end;
        } else {
            find_tests(run[at].inside(), tests);
        }
        at += 1;
    }
}

fn find_functions(run: &[Token], functions: &mut Vec<Function>) {
    for (at, token) in run.iter().enumerate() {
        find_functions(token.inside(), functions);
        let name = run.get(at + 1).map_or("", Token::word);
        if token.word() != "fn" || name.is_empty() {
            continue;
        }
        let end = run[at..].iter().find(|token| ends_item(token));
        if let Some(body) = end.filter(|token| token.is_group(Delimiter::Brace)) {
            let (name, line) = (name.to_owned(), token.line);
            functions.push(Function { name, line, lines: body.last_line + 1 - line });
        }
    }
}

fn find_modules(run: &[Token], inside: &str, modules: &mut Vec<(String, Option<String>)>) {
    let mut path = None;
    for (at, token) in run.iter().enumerate() {
        if let Some(value) = attribute(run, at).strip_prefix("path=") {
            path = Some(value.trim_matches('"').to_owned());
        }
        let name = run.get(at + 1).map_or("", Token::word);
        let Some(body) = run.get(at + 2).filter(|_| token.word() == "mod" && !name.is_empty())
        else {
            continue;
        };
        if body.is_punct(';') {
            modules.push((format!("{inside}{name}"), path.take()));
        } else {
            find_modules(body.inside(), &format!("{inside}{name}/"), modules);
        }
    }
}
