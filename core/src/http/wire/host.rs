//! Host and port, as in `Host` and in targets (RFC 3986, section 3.2, without user information).

use super::scan::name_length;

/// Whether `bytes` are a host with or without a port. Empty is well-formed, but a port is that of
/// a host.
pub fn is_host(bytes: &[u8]) -> bool {
    let (host_is_good, port) = match bytes {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|&byte| byte == b']') else { return false };
            let (address, behind) = rest.split_at(end);
            (is_ipv6(address), behind.get(1..).unwrap_or(&[]))
        }
        //= RFC 9110 4.2.1: an empty host is an error
        [b':', ..] => return false,
        _ => {
            // What stops the name must be the port's colon.
            (true, bytes.get(escaped_length(bytes)..).unwrap_or(&[]))
        }
    };
    host_is_good && is_port(port)
}

/// Bytes of the name that `bytes` begin with, in which an escape is a `%` and two digits.
fn escaped_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += name_length(bytes.get(at..).unwrap_or(&[]));
        match bytes.get(at..) {
            Some([b'%', one, two, ..]) if [one, two].iter().all(|it| it.is_ascii_hexdigit()) => {
                at += 3;
            }
            _ => return at,
        }
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    core::str::from_utf8(address)
        .is_ok_and(|address| address.parse::<core::net::Ipv6Addr>().is_ok())
}

/// Empty, or a colon and up to five digits, perhaps none.
fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            let value = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
            value <= 65_535
        }
        _ => false,
    }
}

#[inline]
pub(super) fn is_name_byte(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

/// Which bytes may stand in a name by themselves (RFC 3986, section 3.2.2).
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_from_what_is_none() {
        for host in
            ["", "a", "a.b:80", "a:", "10.0.0.1", "[::1]", "[::1]:8080", "a_b-c%20", "%41%c3%A4:1"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in [
            ":", ":80", "a/b", "u@a", "a:b", "a:65536", "a:123456", "[::1", "[zz]", "[::1]x",
            "a b", "a?b", "a#b", "a\\b", "a%", "a%4", "a%zz", "%4g:80", "a:80:80", "\u{e9}",
        ] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
    }
}
