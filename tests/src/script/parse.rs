//! Reads scripts.

use super::syntax::{
    Action, Base, Call, Error, ErrorKind, Event, FLAGS, Mistake, Problem, Script, Segment,
    TcpOption, Time,
};
use super::text::significant;
use waitless::Duration;

type Result<T> = std::result::Result<T, Mistake>;

/// Reads a script.
pub fn parse(text: &str) -> Result<Script> {
    let text = significant(text);
    let mut cursor = Cursor { text: &text, at: 0, v6: false };
    let mut script = Script::default();
    loop {
        cursor.skip_space();
        if cursor.rest().is_empty() {
            return Ok(script);
        }
        let line = cursor.line();
        // What sets the kernel up stands before the first event, without a time.
        if cursor.eat("`") {
            let command = cursor.until("`")?.to_owned();
            if script.events.is_empty() {
                script.setup.push((line, command));
            }
            continue;
        }
        if script.events.is_empty() && cursor.eat("--") {
            let option = cursor.until_line_end();
            let (name, value) = option.split_once('=').unwrap_or((option, "true"));
            if name == "udp_encapsulation" {
                return cursor.unsupported("TCP in UDP");
            }
            cursor.v6 |= (name, value) == ("ip_version", "ipv6");
            script.options.push((line, name.trim().to_owned(), value.trim().to_owned()));
            continue;
        }
        let time = cursor.time()?;
        let action = cursor.action()?;
        script.events.push(Event { line, time, action });
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// The script is about IPv6, whose errors have other codes.
    v6: bool,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn line(&self) -> usize {
        1 + self.text[..self.at].matches('\n').count()
    }

    fn mistake<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Mistake { line: self.line(), problem: Problem::Differs(what.into()) })
    }

    fn unsupported<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(Mistake { line: self.line(), problem: Problem::Unsupported(what.into()) })
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, what: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    fn expect(&mut self, what: &str) -> Result<()> {
        if self.eat(what) {
            return Ok(());
        }
        let found: String = self.rest().chars().take_while(|it| *it != '\n').take(20).collect();
        self.mistake(format!("expected `{what}`, found `{found}`"))
    }

    /// Everything that `belongs`.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|it| !belongs(it)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn until_line_end(&mut self) -> &'a str {
        self.take_while(|it| it != '\n')
    }

    /// Everything up to `end`, which is skipped.
    fn until(&mut self, end: &str) -> Result<&'a str> {
        let rest = self.rest();
        let Some(length) = rest.find(end) else { return self.mistake(format!("no `{end}`")) };
        self.at += length + end.len();
        Ok(&rest[..length])
    }

    fn word(&mut self) -> &'a str {
        self.skip_space();
        self.take_while(|it| it.is_ascii_alphanumeric() || it == '_')
    }

    fn number<T: TryFrom<u64>>(&mut self) -> Result<T> {
        let word = self.word();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => word.parse(),
        };
        match number.ok().and_then(|number| T::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => self.mistake(format!("expected a number, found `{word}`")),
        }
    }

    fn seconds(&mut self) -> Result<Duration> {
        self.skip_space();
        let mut digits = self.take_while(|it| it.is_ascii_digit()).to_owned();
        // What follows may be `...`.
        if self.rest().starts_with('.') && !self.rest().starts_with("..") {
            self.at += 1;
            digits.push('.');
            digits.push_str(self.take_while(|it| it.is_ascii_digit()));
        }
        match digits.trim_end_matches('.').parse::<f64>() {
            Ok(seconds) => Ok(Duration::from_micros((seconds * 1e6).round() as u64)),
            Err(_) => self.mistake(format!("expected a time in seconds, found `{digits}`")),
        }
    }

    fn time(&mut self) -> Result<Time> {
        if self.eat("*") {
            return Ok(Time { from: Base::Any, until: None });
        }
        let from = match self.eat("+") {
            true => Base::Before(self.seconds()?),
            false => Base::Begin(self.seconds()?),
        };
        let range = self.eat("~") || self.eat("...");
        let relative = range && self.eat("+");
        let until = if range { Some(self.seconds()?) } else { None };
        if relative && !matches!(from, Base::Before(_)) {
            return self.mistake("both times of a range count from the same");
        }
        Ok(Time { from, until })
    }

    fn action(&mut self) -> Result<Action> {
        self.skip_space();
        match self.rest().chars().next() {
            Some('<') => {
                self.at += 1;
                self.arriving()
            }
            Some('>') => {
                self.at += 1;
                Ok(Action::Sends(self.segment()?))
            }
            Some('`') => {
                self.at += 1;
                Ok(Action::Shell(self.until("`")?.to_owned()))
            }
            Some('%') => {
                self.expect("%{")?;
                Ok(Action::Assert(self.until("}%")?.trim().to_owned()))
            }
            _ => Ok(Action::Call(self.call()?)),
        }
    }

    fn arriving(&mut self) -> Result<Action> {
        let mark = self.bracketed()?;
        if !self.eat("icmp") {
            let segment = self.segment()?;
            return Ok(Action::Arrives(Segment { mark: mark.or(segment.mark), ..segment }));
        }
        Ok(Action::Error(self.error()?))
    }

    /// An ICMP error.
    fn error(&mut self) -> Result<Error> {
        let what = self.word();
        let code = self.word();
        let kind = match (what, code) {
            ("unreachable", "frag_needed") | ("packet_too_big", "mtu") => {
                if code == "frag_needed" {
                    self.expect("mtu")?;
                }
                ErrorKind::TooBig(self.number()?)
            }
            ("unreachable", code) => match unreachable(code, self.v6) {
                Some(code) => ErrorKind::Unreachable(code),
                None => return self.unsupported(format!("ICMP's `{code}`")),
            },
            ("time_exceeded", code) => ErrorKind::TimeExceeded(code.contains("frag").into()),
            ("parameter_problem", _) => ErrorKind::Parameter,
            ("source_quench" | "redirect", _) => ErrorKind::Ignored,
            _ => return self.unsupported(format!("ICMP's `{what}`")),
        };
        if !self.eat("[") {
            return self.unsupported("an ICMP error that does not say what it is about");
        }
        let sequence = self.number()?;
        if self.until("]")?.contains("udp") {
            return self.unsupported("TCP in UDP");
        }
        Ok(Error { kind, sequence })
    }

    /// What stands in brackets or parentheses before a segment: its mark, if it says that.
    fn bracketed(&mut self) -> Result<Option<u8>> {
        let text = if self.eat("[") {
            self.until("]")?
        } else if self.eat("(") {
            self.until(")")?
        } else {
            return Ok(None);
        };
        let mut mark = None;
        for word in text.split(',').map(str::trim) {
            mark = match word {
                "noecn" => Some(0),
                "ect1" => Some(1),
                "ect0" => Some(2),
                "ce" => Some(3),
                // Either of the two that say that marks are understood: the one in use.
                "ect01" => Some(2),
                _ if word.starts_with("tos") || word.starts_with("ttl") => mark,
                _ => return self.unsupported(format!("`{word}` of an IP header")),
            };
        }
        Ok(mark)
    }

    fn segment(&mut self) -> Result<Segment> {
        let mut segment = Segment { mark: self.bracketed()?, ..Segment::default() };
        self.skip_space();
        if self.rest().starts_with("udp") || self.rest().starts_with("icmp") {
            return self.unsupported("what is neither TCP nor an ICMP error that arrives");
        }
        if self.rest().starts_with(|it: char| it.is_ascii_digit()) {
            let from = self.number()?;
            self.expect(">")?;
            segment.ports = Some((from, self.number()?));
            self.skip_space();
        }
        let letters = self.take_while(|it| !it.is_whitespace());
        for letter in letters.chars().filter(|it| *it != '-') {
            let Some((_, bit)) = FLAGS.iter().find(|(it, _)| *it == letter) else {
                return self.mistake(format!("`{letter}` of `{letters}` is no control bit"));
            };
            segment.flags |= bit;
        }
        segment.sequence = self.number()?;
        self.expect(":")?;
        let end: u32 = self.number()?;
        self.expect("(")?;
        segment.length = self.number()?;
        self.expect(")")?;
        if self.eat("!") {
            return self.unsupported("a sequence number that does not count from the SYN");
        }
        if end != segment.sequence.wrapping_add(segment.length) {
            return self.mistake("the last number is not the first one and the length");
        }
        self.segment_rest(&mut segment)?;
        Ok(segment)
    }

    fn segment_rest(&mut self, segment: &mut Segment) -> Result<()> {
        segment.options = Some(Vec::new());
        if self.eat("ack ") {
            segment.acknowledgement = Some(self.number()?);
        }
        if self.eat("win ") {
            segment.window = Some(self.number()?);
        }
        if self.eat("urg ") {
            self.number::<u16>()?;
        }
        self.skip_space();
        // A `<` in the next line is the next event's.
        let line = self.text[..self.at].rfind('\n').map_or(0, |end| end + 1);
        let begins_line = self.text[line..self.at].trim().is_empty();
        if begins_line || !self.eat("<") {
            return Ok(());
        }
        if self.eat("...") {
            segment.options = None;
            return self.expect(">");
        }
        let mut options = Vec::new();
        loop {
            if self.eat(">") {
                break;
            }
            options.push(self.option()?);
            self.eat(",");
        }
        segment.options = Some(options);
        Ok(())
    }

    fn option(&mut self) -> Result<TcpOption> {
        Ok(match self.word() {
            "nop" => TcpOption::Nop,
            "eol" => TcpOption::End,
            "mss" => TcpOption::Mss(self.number()?),
            "wscale" => TcpOption::Scale(self.number()?),
            "sackOK" => TcpOption::SackPermitted,
            "sack" => {
                let mut ranges = Vec::new();
                loop {
                    self.skip_space();
                    if !self.rest().starts_with(|it: char| it.is_ascii_digit()) {
                        break TcpOption::Sack(ranges);
                    }
                    let from = self.number()?;
                    self.expect(":")?;
                    ranges.push((from, self.number()?));
                }
            }
            "TS" => {
                self.expect("val")?;
                let value = self.number()?;
                self.expect("ecr")?;
                TcpOption::Stamps(value, self.number()?)
            }
            "kind" => {
                let kind = self.number()?;
                let mut bytes = Vec::new();
                while self.rest().trim_start().starts_with("0x") {
                    bytes.push(self.number()?);
                }
                TcpOption::Other(kind, bytes)
            }
            "FO" | "FOEXP" => return self.unsupported("TCP Fast Open"),
            "md5" => return self.unsupported("the option MD5 (RFC 2385)"),
            option => return self.unsupported(format!("the option `{option}`")),
        })
    }

    fn call(&mut self) -> Result<Call> {
        let name = self.word().to_owned();
        if name.is_empty() {
            let rest = self.until_line_end().trim();
            return self.mistake(format!("`{rest}` is no event"));
        }
        self.expect("(")?;
        let arguments = self.arguments()?;
        let mut call = Call { name, arguments, result: None, error: None };
        self.expect("=")?;
        if self.eat("...") {
            return Ok(call);
        }
        let negative = self.eat("-");
        let number: i64 = self.number()?;
        call.result = Some(if negative { -number } else { number });
        // An error's name, and what it means, in parentheses.
        let rest = self.take_while(|it| it != '\n').trim();
        let error = rest.split(['(', ' ']).next().unwrap_or_default();
        call.error = error.starts_with('E').then(|| error.to_owned());
        Ok(call)
    }

    /// Arguments up to the closing parenthesis, divided at commas outside of brackets.
    fn arguments(&mut self) -> Result<Vec<String>> {
        let (mut depth, mut all, mut one) = (0, Vec::new(), String::new());
        loop {
            let Some(next) = self.rest().chars().next() else { return self.mistake("no `)`") };
            self.at += next.len_utf8();
            match next {
                ')' if depth == 0 => break,
                ',' if depth == 0 => {
                    all.push(std::mem::take(&mut one).trim().to_owned());
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            one.push(next);
        }
        if !one.trim().is_empty() {
            all.push(one.trim().to_owned());
        }
        Ok(all)
    }
}

/// An error's code by its name.
fn unreachable(name: &str, v6: bool) -> Option<u8> {
    const V4: [&str; 16] = [
        "net_unreachable",
        "host_unreachable",
        "protocol_unreachable",
        "port_unreachable",
        "frag_needed",
        "source_route_failed",
        "net_unknown",
        "host_unknown",
        "source_host_isolated",
        "net_prohibited",
        "host_prohibited",
        "net_unreachable_for_tos",
        "host_unreachable_for_tos",
        "comm_prohibited",
        "precedence_violation",
        "precedence_cutoff",
    ];
    const V6: [&str; 5] = [
        "no_route",
        "admin_prohibited",
        "not_neighbour",
        "address_unreachable",
        "port_unreachable",
    ];
    let names = if v6 { &V6[..] } else { &V4[..] };
    names.iter().position(|it| *it == name).map(|at| at as u8)
}
