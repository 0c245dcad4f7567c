//! Folders that become part of an image: their files, and what HTTP says about each.

use crate::graph::Folder;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

/// Writes the files of `folder`, each in the codings that make it smaller, to the folder `out`,
/// and beside them the Rust expression that has them all: a `waitless::http::Files`.
///
/// A file's tag is a digest of its bytes, its date that of its last change, now at the latest, or
/// what `SOURCE_DATE_EPOCH` says. Names that begin with a dot are left out.
///
/// # Errors
/// One line that says which file could not be read or written, and why.
pub fn embed(folder: &Folder, out: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(&folder.path, "", 0, &mut files)?;
    // In the order in which they are searched.
    files.sort();
    let put = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        // What has not changed needs no new compilation.
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        fs::write(&path, bytes).map_err(|why| format!("cannot write {}: {why}", path.display()))
    };
    let mut code = String::from("waitless::http::Files::new(&[\n");
    for (number, (name, path)) in files.iter().enumerate() {
        let bytes = fs::read(path).map_err(|why| unreadable(path, &why))?;
        let _ = write!(
            code,
            "    waitless::http::File {{\n        path: {name:?},\n        \
             content: waitless::http::Content {{\n            media: {:?},\n            \
             modified: {},\n            variants: &[\n",
            media(name),
            date(path)
        );
        for (coding, extension, coded) in variants(name, bytes) {
            let file = format!("{}.{number}.{extension}", folder.name);
            let _ = write!(
                code,
                "                waitless::http::Variant {{\n                    \
                 coding: waitless::http::Coding::{coding},\n                    \
                 tag: \"{}\",\n                    \
                 bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), {:?})),\n                }},\n",
                tag(&coded),
                format!("/{file}")
            );
            put(&file, &coded)?;
        }
        code += "            ],\n        },\n    },\n";
    }
    code += "])\n";
    put(&format!("{}.rs", folder.name), code.as_bytes())
}

/// All files below `folder`, with their paths from there.
fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> Result<(), String> {
    if depth > DEEPEST {
        return Err(format!("{} is too deep, or leads back to itself", folder.display()));
    }
    let entries = fs::read_dir(folder).map_err(|why| unreadable(folder, &why))?;
    for entry in entries {
        let path = entry.map_err(|why| unreadable(folder, &why))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("the name of {} is not UTF-8", path.display()))?;
        if name.starts_with('.') {
            continue;
        }
        let full = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{full}/"), depth + 1, files)?;
        } else if full.len() > LONGEST {
            return Err(format!("the name of {} is too long", path.display()));
        } else {
            files.push((full, path));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, why: &io::Error) -> String {
    format!("cannot read {}: {why}", path.display())
}

/// The codings of a file, best first: those that make it smaller, and none.
fn variants(name: &str, bytes: Vec<u8>) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut all = Vec::new();
    if is_text(name) {
        let brotli = brotli_of(&bytes);
        let gzip = gzip_of(&bytes);
        if brotli.len() < gzip.len() && brotli.len() < bytes.len() {
            all.push(("Brotli", "br", brotli));
        }
        if gzip.len() < bytes.len() {
            all.push(("Gzip", "gz", gzip));
        }
    }
    all.push(("Identity", "raw", bytes));
    all
}

fn gzip_of(bytes: &[u8]) -> Vec<u8> {
    // Without a time in it, so that the same file becomes the same bytes.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_else(|_| bytes.to_owned())
}

fn brotli_of(bytes: &[u8]) -> Vec<u8> {
    let parameters = BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    let mut coded = Vec::new();
    match brotli::BrotliCompress(&mut &bytes[..], &mut coded, &parameters) {
        Ok(_) => coded,
        Err(_) => bytes.to_owned(),
    }
}

/// A strong tag, which also serves as a boundary between parts: letters and digits.
fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).fold(String::new(), |mut tag, byte| {
        let _ = write!(tag, "{byte:02x}");
        tag
    })
}

fn date(path: &Path) -> String {
    let epoch = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = |time: SystemTime| Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs());
    let modified = || {
        let modified = fs::metadata(path).and_then(|data| data.modified()).ok()?;
        // Nothing was changed in the future.
        seconds(modified.min(SystemTime::now()))
    };
    match epoch.or_else(modified) {
        Some(unix) => format!("Some(waitless::http::Date::from_unix({unix}))"),
        None => "None".to_owned(),
    }
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase()
}

/// The media type of a file, by the end of its name.
fn media(name: &str) -> &'static str {
    let extension = extension(name);
    let known = MEDIA.iter().find(|(end, _)| *end == extension);
    known.map_or("application/octet-stream", |(_, media)| media)
}

/// Whether it is worth trying to make it smaller: what is not compressed already.
fn is_text(name: &str) -> bool {
    let media = media(name);
    let others = [
        "application/json",
        "application/manifest+json",
        "application/wasm",
        "application/xml",
        "image/svg+xml",
        "image/x-icon",
        "application/octet-stream",
    ];
    media.starts_with("text/") || others.contains(&media) || media.starts_with("font/ttf")
}

/// The deepest nesting of folders.
const DEEPEST: usize = 32;

/// The longest path of a file, which `waitless::http::files` can look up.
const LONGEST: usize = 500;

const MEDIA: [(&str, &str); 34] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("ics", "text/calendar; charset=utf-8"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("ogg", "audio/ogg"),
    ("otf", "font/otf"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn media_types_are_in_order_and_found_by_the_end_of_a_name() {
        assert!(MEDIA.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(media("a/b.HTML"), "text/html; charset=utf-8");
        assert_eq!(media("a.tar.gz"), "application/gzip");
        assert_eq!(media("LICENSE"), "application/octet-stream");
    }

    #[test]
    fn a_coding_is_kept_where_it_makes_a_file_smaller() {
        let text = "a line that comes again\n".repeat(100).into_bytes();
        let codings: Vec<_> = variants("a.txt", text.clone()).into_iter().map(|it| it.0).collect();
        assert_eq!(codings, ["Brotli", "Gzip", "Identity"]);
        let codings = |name: &str, bytes: &[u8]| {
            variants(name, bytes.to_owned()).into_iter().map(|it| it.0).collect::<Vec<_>>()
        };
        assert_eq!(codings("a.txt", b"a"), ["Identity"]);
        assert_eq!(codings("a.png", &text), ["Identity"]);
        let mut back = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip_of(&text)[..]), &mut back)
            .unwrap();
        assert_eq!(back, text);
        let mut back = Vec::new();
        brotli::BrotliDecompress(&mut &brotli_of(&text)[..], &mut back).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn a_file_was_not_changed_in_the_future() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/files-date-test");
        let file = fs::File::create(&path).unwrap();
        let date_of = |time: SystemTime| {
            file.set_modified(time).unwrap();
            let text = date(&path);
            let digits: String = text.chars().filter(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap()
        };
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if env::var("SOURCE_DATE_EPOCH").is_err() {
            assert_eq!(date_of(UNIX_EPOCH + Duration::from_secs(784_111_777)), 784_111_777);
            let before = now();
            let date = date_of(SystemTime::now() + Duration::from_secs(86_400));
            assert!((before..=now()).contains(&date), "{date}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_folder_becomes_an_expression_and_its_files() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/files-test");
        let (folder, out) = (root.join("www"), root.join("out"));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::create_dir_all(&out).unwrap();
        fs::write(folder.join("sub/a.css"), "a{}").unwrap();
        fs::write(folder.join("sub.txt"), "text").unwrap();
        fs::write(folder.join(".hidden"), "no").unwrap();
        embed(&Folder { name: "site.files".into(), path: folder.clone() }, &out).unwrap();
        let code = fs::read_to_string(out.join("site.files.rs")).unwrap();
        // By bytes, as the image searches them.
        assert!(code.find("sub.txt").unwrap() < code.find("sub/a.css").unwrap(), "{code}");
        assert!(!code.contains("hidden"), "{code}");
        assert_eq!(fs::read(out.join("site.files.1.raw")).unwrap(), b"a{}");
        let gone = Folder { name: "x".into(), path: folder.join("gone") };
        assert!(embed(&gone, &out).unwrap_err().starts_with("cannot read"));
        fs::remove_dir_all(&root).unwrap();
    }
}
