//! Who knows the addresses of names, as the network says.

use core::net::IpAddr;
use heapless::{String, Vec};

/// Name servers that are remembered.
pub const SERVERS_MAX: usize = 6;

/// Bytes of all domains to search, with a space between each two.
pub const SEARCH_MAX: usize = 256;

/// What a host has been told of names: by DHCP, by routers (RFC 8106), or by a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameServers {
    /// Whom to ask, the best first.
    pub servers: Vec<IpAddr, SERVERS_MAX>,
    /// The domains in which names without a dot are looked for, with a space between each two.
    pub search: String<SEARCH_MAX>,
}

impl NameServers {
    /// Adds a server, unless it is known, unspecified, or one too many.
    pub fn add_server(&mut self, server: IpAddr) {
        if !server.is_unspecified() && !self.servers.contains(&server) {
            // One too many is left out.
            let _ = self.servers.push(server);
        }
    }

    /// Adds a domain to search, unless it is there, has a space in it, or is one too many.
    pub fn add_domain(&mut self, domain: &str) {
        let known = self.domains().any(|known| known.eq_ignore_ascii_case(domain));
        if !domain.contains(' ') && !known {
            append_domain(&mut self.search, domain);
        }
    }

    /// The domains to search, in their order.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.search.split(' ').filter(|domain| !domain.is_empty())
    }
}

/// Appends a domain to those to search, with a space in front where there is one already. An empty
/// one, and one that does not fit, is left out.
pub fn append_domain(search: &mut String<SEARCH_MAX>, domain: &str) {
    let space = usize::from(!search.is_empty());
    if domain.is_empty() || domain.len() + space > search.capacity() - search.len() {
        return;
    }
    // There is room: it was just counted.
    if space > 0 {
        let _ = search.push(' ');
    }
    let _ = search.push_str(domain);
}

/// The longest name as people write it (RFC 1035 section 2.3.4: 255 bytes on the wire).
pub const NAME_MAX: usize = 253;

/// Reads a name as options carry it (RFC 1035 section 3.1, without compression), and gives what
/// stands behind it; the root reads as empty text. `None` for what is cut off, too long, or has
/// other characters than letters, digits, hyphens and underscores.
pub fn read_name(mut bytes: &[u8]) -> Option<(String<NAME_MAX>, &[u8])> {
    let mut name = String::new();
    // Bounded: each label takes a byte at least of what may be 253 long.
    loop {
        let (length, rest) = bytes.split_first()?;
        if *length == 0 {
            return Some((name, rest));
        }
        let (label, rest) = rest.split_at_checked(usize::from(*length))?;
        if label.len() > LABEL_MAX || !label.iter().all(|byte| is_in_names(*byte)) {
            return None;
        }
        if !name.is_empty() {
            name.push('.').ok()?;
        }
        name.push_str(core::str::from_utf8(label).ok()?).ok()?;
        bytes = rest;
    }
}

/// The longest part of a name between two dots (RFC 1035 section 2.3.4).
pub const LABEL_MAX: usize = 63;

/// Whether names of hosts have such a character (RFC 1123 section 2.1), or such of services do.
pub const fn is_in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_stand_in_options() {
        let (name, rest) = read_name(b"\x03www\x07example\x00more").unwrap();
        assert_eq!((name.as_str(), rest), ("www.example", &b"more"[..]));
        assert_eq!(read_name(b"\x00").unwrap().0, "");
        for wrong in [&b""[..], b"\x03ww", b"\x03www", b"\xc0\x00", b"\x03a b\x00", b"\x01.\x00"] {
            assert_eq!(read_name(wrong), None, "{}", wrong.escape_ascii());
        }
        let label = [&[63][..], &[b'x'; 63]].concat();
        let longest = [&label.repeat(3)[..], &[61], &[b'x'; 61], &[0]].concat();
        assert_eq!(read_name(&longest).unwrap().0.len(), NAME_MAX);
        let longer = [&label.repeat(3)[..], &[62], &[b'x'; 62], &[0]].concat();
        assert_eq!(read_name(&longer), None);
    }

    #[test]
    fn servers_and_domains_are_kept_once_and_within_limits() {
        let mut names = NameServers::default();
        for number in [1, 2, 1, 0, 3, 4, 5, 6, 7] {
            names.add_server(core::net::Ipv4Addr::from(number).into());
        }
        let numbers = names.servers.iter().map(|it| match it {
            IpAddr::V4(it) => u32::from(*it),
            IpAddr::V6(_) => 0,
        });
        assert!(numbers.eq(1..=6));
        for domain in ["a.example", "b.example", "A.EXAMPLE", "", "two words"] {
            names.add_domain(domain);
        }
        assert!(names.domains().eq(["a.example", "b.example"]));
        let long = "x".repeat(SEARCH_MAX - "a.example b.example ".len());
        names.add_domain(&(long.clone() + "y"));
        assert_eq!(names.domains().count(), 2, "one byte too many");
        names.add_domain(&long);
        assert_eq!((names.domains().count(), names.search.len()), (3, SEARCH_MAX));
    }
}
