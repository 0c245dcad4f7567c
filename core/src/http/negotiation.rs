//! Content coding by what the client accepts (RFC 9110, section 12.5.3).

use super::Head;
use super::head::is_same_name;

/// How bytes are coded (RFC 9110, section 8.4.1; RFC 7932).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// Not at all.
    Identity,
    /// `gzip`.
    Gzip,
    /// `br`.
    Brotli,
}

impl Coding {
    /// Its name in `Content-Encoding`; `None` for none.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// How much a client likes each coding, in thousandths; 0 for what it does not accept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Weights {
    identity: u16,
    gzip: u16,
    brotli: u16,
}

impl Weights {
    /// What `Accept-Encoding` says; anything that it does not say is as the RFC has it.
    pub(super) fn of(head: &Head) -> Self {
        //= RFC 9110 12.5.3: weights, `*`, and what is not said
        let (mut identity, mut gzip, mut brotli, mut others) = (None, None, None, None);
        let is_accept = |name: &str| is_same_name(name, "Accept-Encoding");
        let mut said = false;
        for (_, value) in head.fields().filter(|(name, _)| is_accept(name)) {
            said = true;
            for element in value.split(|&byte| byte == b',') {
                let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
                let name = parts.next().unwrap_or(&[]);
                let weight = parts.next().map_or(MOST, weight);
                let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
                if is(b"identity") {
                    identity = Some(weight);
                } else if is(b"gzip") || is(b"x-gzip") {
                    gzip = Some(weight);
                } else if is(b"br") {
                    brotli = Some(weight);
                } else if is(b"*") {
                    others = Some(weight);
                }
            }
        }
        if !said {
            // Anything goes, but nobody asked for it.
            return Self { identity: MOST, gzip: 0, brotli: 0 };
        }
        let coded = others.unwrap_or(0);
        Self {
            // Acceptable unless it is excluded, though others are preferred.
            identity: identity.or(others.filter(|&weight| weight == 0)).unwrap_or(LEAST),
            gzip: gzip.unwrap_or(coded),
            brotli: brotli.unwrap_or(coded),
        }
    }

    pub(super) fn weight(self, coding: Coding) -> u16 {
        match coding {
            Coding::Identity => self.identity,
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
        }
    }
}

/// `q=0.5` in thousandths. What is none asks for nothing.
fn weight(parameter: &[u8]) -> u16 {
    let [b'q' | b'Q', b'=', whole, digits @ ..] = parameter else { return 0 };
    let (point, digits) = match digits {
        [] => (true, digits),
        [first, rest @ ..] => (*first == b'.', rest),
    };
    if !point || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let padded = digits.iter().chain(b"000").take(3);
    let thousandths = padded.fold(0, |sum, &digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        b'0' => thousandths,
        b'1' if thousandths == 0 => MOST,
        _ => 0,
    }
}

const MOST: u16 = 1000;

/// What is wanted when nothing better is there.
const LEAST: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HeadBytes, Layout, Length, Method, Span, Version};

    fn weights(fields: &str) -> (u16, u16, u16) {
        let layout = Layout {
            method: Method::Get,
            version: Version::Http11,
            body: Length::None,
            name: Span::default(),
            target: Span::default(),
            authority: Span::default(),
            path: Span::default(),
            query: None,
            fields: Span::new(0, fields.len()),
            secure: false,
        };
        let head = Head::new(HeadBytes::Memory(fields.as_bytes().into()), layout);
        let weights = Weights::of(&head);
        (weights.identity, weights.gzip, weights.brotli)
    }

    #[test]
    fn weights_are_what_the_client_says() {
        for (value, expected) in [
            ("gzip, deflate, br", (1, 1000, 1000)),
            ("gzip;q=0.5, br;q=0.25", (1, 500, 250)),
            ("gzip; q=1.000 ,br ;q=0.001", (1, 1000, 1)),
            ("x-gzip", (1, 1000, 0)),
            ("*", (1, 1000, 1000)),
            ("*;q=0", (0, 0, 0)),
            ("*;q=0, identity", (1000, 0, 0)),
            ("identity;q=0, gzip", (0, 1000, 0)),
            ("*;q=0.5, gzip;q=0", (1, 0, 500)),
            ("", (1, 0, 0)),
            ("deflate", (1, 0, 0)),
            ("gzip;q=2, br;q=1.5", (1, 0, 0)),
            ("gzip;q=0.1234, br;level=9", (1, 0, 0)),
            ("GZIP;Q=0.7", (1, 700, 0)),
        ] {
            let fields = alloc::format!("Accept-Encoding: {value}\r\n");
            assert_eq!(weights(&fields), expected, "{value}");
        }
        assert_eq!(weights("Host: h\r\n"), (1000, 0, 0));
        assert_eq!(
            weights("Accept-Encoding: gzip\r\nA: b\r\naccept-encoding: br\r\n"),
            (1, 1000, 1000)
        );
    }
}
