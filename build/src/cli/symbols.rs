//! Says which lines of the source the addresses of a backtrace belong to.

use std::path::Path;

/// What an address is preceded by in a panic's report.
const MARK: &str = "at 0x";

/// The symbols of an image, read when the first address is met.
pub struct Symbols<'a> {
    image: &'a Path,
    loader: Option<Option<addr2line::Loader>>,
}

impl<'a> Symbols<'a> {
    /// Those of the image at `image`.
    pub fn new(image: &'a Path) -> Self {
        Self { image, loader: None }
    }

    /// The line, with function, file and line behind it where it has an address. The functions
    /// that this one is inlined into follow on lines of their own.
    pub fn explain(&mut self, line: &str) -> String {
        let Some((_, rest)) = line.split_once(MARK) else { return line.to_owned() };
        let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        let Ok(address) = u64::from_str_radix(&digits, 16) else { return line.to_owned() };
        let places = self.places(address);
        if places.is_empty() {
            return line.to_owned();
        }
        let lead = " ".repeat(line.find(MARK).unwrap_or(0) + MARK.len() + digits.len() + 2);
        format!("{line}  {}", places.join(&format!("\n{lead}in ")))
    }

    /// The functions that are inlined there, innermost first.
    fn places(&mut self, address: u64) -> Vec<String> {
        let image = self.image;
        let loader = self.loader.get_or_insert_with(|| addr2line::Loader::new(image).ok());
        let Some(loader) = loader else { return Vec::new() };
        let mut places = Vec::new();
        // A return address lies behind the call that it is about.
        let Ok(mut frames) = loader.find_frames(address.saturating_sub(1)) else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let name =
                frame.function.as_ref().and_then(|name| name.demangle().ok().map(String::from));
            let name = name.unwrap_or_else(|| "?".to_owned());
            let place = frame.location.as_ref().and_then(|location| {
                let file = location.file?.rsplit('/').take(3).collect::<Vec<_>>();
                let file: Vec<_> = file.into_iter().rev().collect();
                Some(format!(" ({}:{})", file.join("/"), location.line.unwrap_or(0)))
            });
            places.push(format!("{}{}", brief(&name), place.unwrap_or_default()));
        }
        if places.is_empty()
            && let Some(symbol) = loader.find_symbol(address)
        {
            places.push(brief(&format!("{:#}", rustc_demangle::demangle(symbol))));
        }
        places
    }
}

/// A function's name; when it is longer than most of a line, without what stands in the inner
/// brackets, or in all.
fn brief(name: &str) -> String {
    const LONG: usize = 90;
    let mut short = name.to_owned();
    for depth in [2, 1, 0] {
        if short.chars().count() <= LONG {
            break;
        }
        short = shallow(name, depth);
    }
    short
}

/// The name without what is in brackets within `most` others.
fn shallow(name: &str, most: usize) -> String {
    let (mut out, mut depth, mut before) = (String::new(), 0, ' ');
    for letter in name.chars() {
        // The arrow of a function's type is no bracket.
        let closes = letter == '>' && before != '-';
        if closes && depth > 0 {
            depth -= 1;
        }
        if depth <= most {
            out.push(letter);
        }
        if letter == '<' {
            depth += 1;
            if depth == most + 1 {
                out.push('…');
            }
        }
        before = letter;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSymbol};

    #[test]
    fn an_address_is_followed_by_its_function_and_line() {
        let program = std::env::current_exe().unwrap();
        let bytes = std::fs::read(&program).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let own = |name: &str| name.contains("an_address_is_followed") && !name.contains("closure");
        let symbol = file.symbols().find(|symbol| symbol.name().is_ok_and(own)).unwrap();
        let mut symbols = Symbols::new(&program);
        let line = symbols.explain(&format!("  at {:#x}", symbol.address() + 16));
        assert!(line.contains("an_address_is_followed"), "{line}");
        assert!(line.contains("cli/symbols.rs:"), "{line}");
        assert_eq!(symbols.explain("nothing at 0xzz"), "nothing at 0xzz");
    }

    #[test]
    fn long_names_lose_what_is_deep_in_brackets() {
        let short = "<tcp::Tcp as Component<ipv4::Ipv4>>::receive";
        assert_eq!(brief(short), short);
        let route = "Route<app::index, Route<app::double, Route<app::triple, End>>>";
        let long = format!("<waitless::http::Server<{route}> as waitless::Component<L>>::receive");
        let expected = "<waitless::http::Server<…> as waitless::Component<…>>::receive";
        assert_eq!(shallow(&long, 1), expected);
        assert!(brief(&long).chars().count() < long.chars().count());
        assert_eq!(shallow("f::<fn(u8) -> u8>::g", 0), "f::<…>::g");
    }
}
