//! Answers: texts, and certificates as JSON.

use alloc::string::String;
use core::fmt::{self, Write as _};
use waitless::calendar::date_of;
use waitless::http::{Body, Response, Status};
use waitless::{Certificate, CertificatePort, Exchange, HttpPort, Pool};

/// An answer, and how much of it was sent.
pub struct Answer {
    status: Status,
    media: &'static str,
    field: Option<(&'static str, &'static str)>,
    text: String,
    is_begun: bool,
    sent: usize,
}

/// How much of an answer was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// All.
    All,
    /// There is no packet for more.
    NoPacket,
    /// There is no room for more.
    Part,
}

/// Bytes of a piece of an answer.
const PIECE: usize = 1400;

impl Answer {
    /// A line of text.
    pub fn text(status: Status, line: &str) -> Self {
        let media = "text/plain; charset=utf-8";
        let text = alloc::format!("{line}\n");
        Self { status, media, field: None, text, is_begun: false, sent: 0 }
    }

    /// The same with one more field.
    pub fn with(self, name: &'static str, value: &'static str) -> Self {
        Self { field: Some((name, value)), ..self }
    }

    /// All certificates in service.
    pub fn all(certificates: &impl CertificatePort) -> Self {
        Self::list(certificates, |_, _| true)
    }

    /// Those for `name`, or the one in the place `name`.
    pub fn named(certificates: &impl CertificatePort, name: &str) -> Self {
        let number = Certificate::place(name);
        let is_for = |certificate: &Certificate| {
            certificate.names.iter().any(|other| other.eq_ignore_ascii_case(name))
        };
        let list = Self::list(certificates, |place, it| number == Some(place) || is_for(it));
        if list.text == NONE {
            return Self::text(Status::NOT_FOUND, "No certificate in service is for this name.");
        }
        list
    }

    /// The certificate in `place`.
    pub fn certificate(certificates: &impl CertificatePort, place: usize) -> Self {
        let mut text = String::new();
        if let Some(certificate) = certificates.certificate(place) {
            let _ = writeln!(text, "{}", Json { place, certificate: &certificate });
        }
        Self { media: JSON, text, ..Self::text(Status::OK, "") }
    }

    fn list(
        certificates: &impl CertificatePort,
        wanted: impl Fn(usize, &Certificate) -> bool,
    ) -> Self {
        let mut text = String::from("[");
        // Ends: there is a last place.
        for place in 0.. {
            let Some(certificate) = certificates.certificate(place) else { break };
            if wanted(place, &certificate) {
                let separator = if text.len() > 1 { ",\n " } else { "" };
                let _ = write!(text, "{separator}{}", Json { place, certificate: &certificate });
            }
        }
        text.push_str("]\n");
        Self { media: JSON, text, ..Self::text(Status::OK, "") }
    }

    /// Sends what of it can be sent now.
    pub fn send(&mut self, exchange: Exchange, http: &mut impl HttpPort, pool: Pool) -> Sent {
        if !self.is_begun {
            // Without a packet for its field, the response would become another one.
            if self.field.is_some() && pool.packet().is_none() {
                return Sent::NoPacket;
            }
            let response = Response::new(self.status).content_type(self.media);
            let response = response.length(self.text.len() as u64).body(Body::Stream);
            let response = match self.field {
                Some((name, value)) => response.field(pool, name, value),
                None => response,
            };
            if http.respond(exchange, response).is_err() {
                return Sent::Part;
            }
            self.is_begun = true;
        }
        while let Some(rest) = self.text.as_bytes().get(self.sent..).filter(|it| !it.is_empty()) {
            let piece = rest.get(..PIECE).unwrap_or(rest);
            let Some(mut part) = pool.packet() else { return Sent::NoPacket };
            if part.append(piece).is_err() || http.send(exchange, part).is_err() {
                return Sent::Part;
            }
            self.sent += piece.len();
        }
        http.finish(exchange);
        Sent::All
    }
}

const JSON: &str = "application/json";
/// A list of nothing.
const NONE: &str = "[]\n";

/// A certificate as JSON (RFC 8259).
struct Json<'a> {
    place: usize,
    certificate: &'a Certificate,
}

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = self.certificate;
        write!(f, "{{\"place\":{},\"names\":[", self.place)?;
        for (number, name) in it.names.iter().enumerate() {
            write!(f, "{}{}", if number > 0 { "," } else { "" }, Text(name))?;
        }
        write!(f, "],\"subject\":{},\"serial\":\"", Text(&it.subject))?;
        // As OpenSSL writes it, which the sign of the number is not part of.
        let serial = it.serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty());
        serial.unwrap_or(&it.serial).iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
        let (from, until) = (Time(it.not_before), Time(it.not_after));
        write!(f, "\",\"not_before\":\"{from}\",\"not_after\":\"{until}\",\"sha256\":\"")?;
        it.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        let (key, chain, ocsp) = (it.key, it.chain, it.stapled);
        write!(f, "\",\"key\":\"{key}\",\"chain\":{chain},\"ocsp\":{ocsp}}}")
    }
}

/// Text between quotes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}")?,
                '\0'..' ' | '\x7f' => write!(f, "\\u{:04x}", u32::from(letter))?,
                _ => f.write_char(letter)?,
            }
        }
        f.write_char('"')
    }
}

/// A time, in seconds since 1970 (RFC 3339).
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / 86_400);
        let (hour, minute, second) = (self.0 / 3600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}
