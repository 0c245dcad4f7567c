//! The text of a script without what is not for the parser.

/// The same text with blanks instead of comments and of what stands between `#ifdef` and
/// `#endif`, unless that is `#ifdef STANDARD`: so lines keep their numbers.
pub fn significant(text: &str) -> String {
    without_comments(&without_branches(text))
}

/// Scripts that know several stacks name what they say of each. `STANDARD` is what the RFCs say.
fn without_branches(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Whether each `#ifdef` that is open now holds, the innermost last.
    let mut open: Vec<bool> = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("#ifdef") => open.push(words.next() == Some("STANDARD")),
            Some("#ifndef") => open.push(words.next() != Some("STANDARD")),
            Some("#else") => open.iter_mut().last().into_iter().for_each(|holds| *holds = !*holds),
            Some("#endif") => drop(open.pop()),
            _ if open.iter().all(|holds| *holds) => {
                out.push_str(line);
                continue;
            }
            _ => {}
        }
        out.extend(line.chars().filter(|it| *it == '\n'));
    }
    out
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let length = match rest {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with('#') && out.ends_with(['\n']) | out.is_empty() => {
                rest.find('\n').unwrap_or(rest.len())
            }
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ => {
                out.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            }
        };
        let (comment, after) = rest.split_at(length);
        out.extend(comment.chars().map(|it| if it == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    out
}
