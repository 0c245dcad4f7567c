//! How it begins: a request with a key, and an answer that proves that it was read (RFC 6455,
//! section 4.2).

use crate::http::head::is_same_name;
use crate::http::{IntoResponse, Method, Request, Response, Status, Upgraded};
use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

/// The connection, and which of `protocols` was chosen.
pub(super) fn accept(
    request: Request,
    protocols: &[&'static str],
) -> Result<(Upgraded, Option<&'static str>), Response> {
    let pool = request.pool();
    if !request.offers("websocket") || request.header("Sec-WebSocket-Version") != Some("13") {
        let required = Response::plain(Status::UPGRADE_REQUIRED);
        let required =
            required.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
        return Err(required.into_response(pool));
    }
    //= RFC 6455 4.2.1: what is missing is said by the status
    let key = key(&request).filter(|_| request.method() == Method::Get);
    let Some(accept) = key.map(answer) else {
        return Err(Response::plain(Status::BAD_REQUEST));
    };
    let accept = core::str::from_utf8(&accept).unwrap_or("");
    //= RFC 6455 4.2.2: the first of ours that the client lists
    let listed = |protocol: &&&'static str| lists(&request, protocol.as_bytes());
    let protocol = protocols.iter().find(listed).copied();
    let response = ().header("Sec-WebSocket-Accept", accept);
    let mut response = response.into_response(pool);
    if let Some(protocol) = protocol {
        response = response.header("Sec-WebSocket-Protocol", protocol).into_response(pool);
    }
    Ok((request.upgrade("websocket", response)?, protocol))
}

/// Whether the client lists `protocol`, in this very case (RFC 6455, section 11.3.4).
fn lists(request: &Request, protocol: &[u8]) -> bool {
    let fields = request.head().fields();
    let mut lists = fields.filter(|(name, _)| is_same_name(name, "Sec-WebSocket-Protocol"));
    lists
        .any(|(_, list)| list.split(|&byte| byte == b',').any(|item| item.trim_ascii() == protocol))
}

/// The key: exactly one.
fn key(request: &Request) -> Option<&[u8]> {
    let mut keys = request.head().fields().filter(|(name, _)| is_same_name(name, KEY));
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) if is_key(key) => Some(key),
        _ => None,
    }
}

/// Whether `key` is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

fn answer(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut answer = [0; 28];
    // 20 bytes are 28 digits.
    let _ = Base64::encode(&digest, &mut answer);
    answer
}

const KEY: &str = "Sec-WebSocket-Key";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_rfc() {
        // Section 1.3.
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(&answer(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for bad in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ=", b"dGhlIHNhbXBsZSBub25jZQ=="[1..].as_ref()]
        {
            assert!(!is_key(bad));
        }
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25j Q=="));
    }
}
