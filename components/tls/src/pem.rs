//! Blocks of PEM (RFC 7468), as they are sent to whoever replaces a certificate.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use zeroize::Zeroizing;

/// What stands between two boundaries.
pub struct Block<'a> {
    /// What it says that it is.
    pub label: &'a str,
    /// Its content, which may be a private key: it is wiped.
    pub der: Zeroizing<Vec<u8>>,
}

/// The most blocks of one text.
const BLOCKS_MAX: usize = 32;

/// The blocks in `text`, in order. What stands around them is for people.
///
/// # Errors
/// What is wrong, as a line for a person.
pub fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, String> {
    let (mut blocks, mut rest) = (Vec::new(), text);
    while let Some(start) = find(rest, b"-----BEGIN ") {
        let block = rest.get(start..).unwrap_or_default();
        let end = find(block, b"-----END ").ok_or("a block of the PEM text has no end")?;
        let line = block.get(end..).unwrap_or_default();
        let line = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
        let (block, behind) = block.split_at_checked(end + line).unwrap_or((block, &[]));
        if blocks.len() == BLOCKS_MAX {
            return Err(alloc::format!("more than {BLOCKS_MAX} blocks of PEM"));
        }
        // Four letters stand for three bytes.
        let mut der = Zeroizing::new(vec![0; block.len()]);
        let (label, length) = match pem_rfc7468::decode(block.trim_ascii_end(), &mut der) {
            Ok((label, bytes)) => (label, bytes.len()),
            Err(why) => return Err(alloc::format!("a block cannot be read as PEM: {why}")),
        };
        der.truncate(length);
        blocks.push(Block { label, der });
        rest = behind;
    }
    Ok(blocks)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
