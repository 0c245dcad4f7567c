//! Images as loaders of Linux take them: memory from its first byte on, without the file's own
//! tables.

use object::{Object, ObjectSegment};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest such image: what a program that is no image may not make of this.
const LENGTH_MAX: u64 = 1 << 30;

/// What the program in `bytes`, linked at 0, puts into memory.
///
/// # Errors
/// One line when it is no such program.
pub fn flat(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let file = object::File::parse(bytes).map_err(|why| format!("this is no image: {why}"))?;
    let mut memory = Vec::new();
    for segment in file.segments() {
        let data = segment.data().map_err(|why| format!("the image cannot be read: {why}"))?;
        let end = segment.address().checked_add(data.len() as u64);
        let end = end.filter(|end| *end <= LENGTH_MAX);
        let end = end.ok_or("this is no image: it is not linked at 0")? as usize;
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[end - data.len()..end].copy_from_slice(data);
    }
    if memory.get(56..60) != Some(b"ARM\x64") {
        return Err("this is no image: it has no header for a loader of Linux".to_owned());
    }
    Ok(memory)
}

/// Writes what `program` puts into memory to a file beside it, and gives that file.
pub(super) fn beside(program: &Path) -> Result<PathBuf, String> {
    let fail = |what: &str, path: &Path, why| format!("cannot {what} {}: {why}", path.display());
    let bytes = fs::read(program).map_err(|why| fail("read", program, why))?;
    // It may be such a file already.
    if bytes.get(56..60) == Some(b"ARM\x64") {
        return Ok(program.to_owned());
    }
    let path = program.with_extension("img");
    fs::write(&path, flat(&bytes)?).map_err(|why| fail("write", &path, why))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_image_is_refused() {
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        for bytes in [&b"no program"[..], &own] {
            assert!(flat(bytes).unwrap_err().starts_with("this is no image"));
        }
    }
}
