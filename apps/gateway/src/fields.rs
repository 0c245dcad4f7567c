//! Fields that are passed on, those that are not, and those that say who passed them on (RFC 9110
//! section 7.6, RFC 7239).

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use waitless::http::{FieldValue, Fields, Head, Integer, Version};
use waitless::packet::NoRoom;

/// Whether a field is about one connection, and goes no further: it is one of those that always
/// are, or `Connection` names it. `options` are the members of `Connection`.
pub fn is_hop_by_hop<'a>(name: &str, options: impl Iterator<Item = &'a [u8]>) -> bool {
    HOP_BY_HOP.iter().any(|other| seems_same(name, other)) || is_named(name, options)
}

/// Whether `Connection` names a field, whose members are `options`.
pub fn is_named<'a>(name: &str, mut options: impl Iterator<Item = &'a [u8]>) -> bool {
    //= RFC 9110 7.6.1: what it names is for who gets it alone
    options.any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
}

/// Whether a field says who passed a request on, or what the first one of them saw.
pub fn is_forwarding(name: &str) -> bool {
    let start = name.get(..FORWARDED_X.len()).unwrap_or("");
    seems_same(start, FORWARDED_X)
        || ["Forwarded", "X-Real-IP"].iter().any(|other| seems_same(name, other))
}

/// Whether an upstream may take two names for the same: many of them cannot tell `-` from `_`.
fn seems_same(one: &str, other: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    one.len() == other.len() && one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// The members of the lists that `values` are.
pub fn members<'a>(values: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    let members = values.flat_map(|value| value.split(|&byte| byte == b','));
    //= RFC 9110 5.6.1.2: those that are empty are none
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// The values of all fields called `name`.
pub fn all<'a>(
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    name: &str,
) -> impl Iterator<Item = &'a [u8]> {
    fields.filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Who has passed a message on: `1.1 gateway` (RFC 9110 section 7.6.3).
pub struct Via<'a>(pub Version, pub &'a str);

impl FieldValue for Via<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        let version = match self.0 {
            Version::Http10 => "1.0 ",
            Version::Http11 => "1.1 ",
            Version::Http2 => "2 ",
            Version::Http3 => "3 ",
        };
        fields.append(version.as_bytes())?;
        fields.append(self.1.as_bytes())
    }
}

/// The value of `X-Forwarded-For`: those that came with the request, where they are believed, and
/// the client's address.
pub struct ForwardedFor<'a> {
    /// The request, where it is believed.
    pub head: Option<&'a Head>,
    /// The client.
    pub client: SocketAddr,
}

impl FieldValue for ForwardedFor<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        write_before(fields, self.head, "X-Forwarded-For")?;
        write_address(fields, self.client.ip())
    }
}

/// The value of `Forwarded` (RFC 7239): the same, with the host that was asked for, and how.
pub struct Forwarded<'a> {
    /// The request, where it is believed.
    pub head: Option<&'a Head>,
    /// The client.
    pub client: SocketAddr,
    /// What the client asked for; nothing where it did not say.
    pub host: &'a str,
    /// The scheme of its connection.
    pub scheme: &'a str,
}

impl FieldValue for Forwarded<'_> {
    fn write(self, fields: &mut Fields) -> Result<(), NoRoom> {
        write_before(fields, self.head, "Forwarded")?;
        // RFC 7239, section 6: brackets are for IPv6 alone.
        match self.client.ip().to_canonical() {
            ip @ IpAddr::V4(_) => {
                fields.append(b"for=")?;
                write_address(fields, ip)?;
            }
            ip @ IpAddr::V6(_) => {
                fields.append(b"for=\"[")?;
                write_address(fields, ip)?;
                fields.append(b"]\"")?;
            }
        }
        if !self.host.is_empty() {
            // What is well-formed as a host has no quotes in it.
            let host = [b";host=\"", self.host.as_bytes(), b"\""];
            host.iter().try_for_each(|part| fields.append(part))?;
        }
        fields.append(b";proto=")?;
        fields.append(self.scheme.as_bytes())
    }
}

/// What earlier ones have said, with a comma behind each.
fn write_before(fields: &mut Fields, head: Option<&Head>, name: &str) -> Result<(), NoRoom> {
    for value in head.into_iter().flat_map(|head| all(head.fields(), name)) {
        fields.append(value)?;
        fields.append(b", ")?;
    }
    Ok(())
}

/// An address as text, that of IPv6 as RFC 5952 says. By hand: it is written for each request.
fn write_address(fields: &mut Fields, address: IpAddr) -> Result<(), NoRoom> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    fields.append(b".")?;
                }
                fields.append(Integer::new(octet.into()).bytes())?;
            }
            Ok(())
        }
        IpAddr::V6(address) => write_v6(fields, address),
    }
}

fn write_v6(fields: &mut Fields, address: Ipv6Addr) -> Result<(), NoRoom> {
    let groups = address.segments();
    // The longest run of at least two zeroes, the first of several.
    let run_at = |at: usize| groups.iter().skip(at).take_while(|group| **group == 0).count();
    let (length, Some(start)) = (0..groups.len()).fold((1, None), |best, at| {
        let length = run_at(at);
        if length > best.0 { (length, Some(at)) } else { best }
    }) else {
        return write_groups(fields, &groups);
    };
    write_groups(fields, groups.get(..start).unwrap_or(&[]))?;
    fields.append(b"::")?;
    write_groups(fields, groups.get(start + length..).unwrap_or(&[]))
}

fn write_groups(fields: &mut Fields, groups: &[u16]) -> Result<(), NoRoom> {
    for (index, group) in groups.iter().enumerate() {
        if index > 0 {
            fields.append(b":")?;
        }
        let digits =
            [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(group >> shift & 15)]);
        let zeroes = (group.leading_zeros() as usize / 4).min(3);
        fields.append(digits.get(zeroes..).unwrap_or(&[]))?;
    }
    Ok(())
}

/// Fields about one connection, or about the framing of one message; and `Proxy`, which programs
/// behind an upstream may take for a setting of theirs.
const HOP_BY_HOP: [&str; 12] = [
    "Connection",
    "Content-Length",
    "Keep-Alive",
    "Proxy",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

/// What names begin with that those who pass requests on have made up.
const FORWARDED_X: &str = "X-Forwarded-";
