//! Whom the host asks for names: its `/etc/resolv.conf`.

use std::fs;
use waitless::network::names::NameServers;

/// What the host's file says; nothing where it has none.
pub(crate) fn of_host() -> NameServers {
    parse(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

/// Of the words of resolv.conf(5) those that matter here.
fn parse(text: &str) -> NameServers {
    let mut names = NameServers::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                // One with a zone (fe80::1%eth0) is of the host's own interfaces.
                if let Some(Ok(server)) = words.next().map(str::parse) {
                    names.add_server(server);
                }
            }
            Some("search" | "domain") => {
                // Of several lines the last one counts.
                names.search.clear();
                words.for_each(|domain| names.add_domain(domain));
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_file_are_understood_and_others_skipped() {
        let names = parse(
            "# nameserver 1.1.1.1\nnameserver 192.0.2.1\nnameserver\tfd00::1 \n\
             domain old.example\nsearch a.example b.example\noptions ndots:2\n\
             nameserver fe80::1%eth0\nnameserver\nnonsense",
        );
        let servers: Vec<_> = names.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1", "fd00::1"]);
        assert_eq!(names.search, "a.example b.example");
        assert_eq!(parse(""), NameServers::default());
    }
}
