//! Keys whose values are files with certificates and private keys: read, checked, embedded.

use super::Check;
use crate::catalogue::Component;
use crate::certificates::{Chain, PrivateKey, Trust, development};
use crate::graph::Blob;
use crate::manifest::Entry;
use crate::report::Report;
use crate::source::{Node, Span, get};
use crate::staples::Staple;
use crate::types::{Field, Type};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a certificate must still be good for, for nobody to be warned.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What `certificates` means when it is no file.
const DEVELOPMENT: &str = "development";

/// The constants that the files of one instance become.
#[derive(Clone, Default, Debug)]
pub(super) struct Secrets {
    pub(super) certificates: String,
    pub(super) keys: String,
    /// Of the OCSP responses.
    pub(super) staples: String,
}

/// Files with OCSP responses, one for each certificate that has one.
struct StapleFiles {
    /// The struct that each becomes.
    structure: String,
    files: Vec<(Option<PathBuf>, Span)>,
}

impl Check<'_> {
    /// The constants of an instance's certificates and private keys; `None` when the component
    /// has no such keys, or something is wrong, which is reported.
    pub(super) fn secrets(&mut self, entry: &Entry, component: &Component) -> Option<Secrets> {
        let field = |wanted: fn(&Type) -> bool| component.config.iter().find(|f| wanted(&f.kind));
        let certificates = field(|kind| matches!(kind, Type::Certificates(_)))?;
        let Type::Certificates(structure) = &certificates.kind else { return None };
        let keys = field(|kind| matches!(kind, Type::PrivateKeys))?;
        let written = get(&entry.keys, &certificates.name);
        let Some(node) = written.or(certificates.default.as_ref()) else {
            if certificates.is_option() && get(&entry.keys, &keys.name).is_none() {
                let none = || "None".to_owned();
                return Some(Secrets { certificates: none(), keys: none(), staples: none() });
            }
            self.missing_key(entry, certificates);
            return None;
        };
        let krate = self.krate(component);
        let paths = self.certificate_files(entry, node, keys)?;
        let staples = self.staple_files(entry, component, paths.len())?;
        let mut made = Secrets::default();
        let mut sound = true;
        for (number, (certificate, at, key, key_at)) in paths.into_iter().enumerate() {
            let name = &entry.name.name;
            let pair = self.pair(&certificate, at, &key, key_at, certificates.is_option());
            let Some((chain, key)) = pair else {
                sound = false;
                continue;
            };
            match self.staple(number, &staples, &chain, &krate, name) {
                Some(staple) => made.staples += &staple,
                None => sound = false,
            }
            let names: Vec<_> = chain.names.iter().map(|name| format!("{name:?}")).collect();
            let parts = chain.certificates.into_iter().enumerate().map(|(place, bytes)| {
                self.embed(format!("{name}.{number}.{place}.certificate"), bytes)
            });
            let parts = parts.collect::<Vec<_>>().join(", ");
            made.certificates += &format!(
                "{krate}::{structure} {{ certificates: &[{parts}], names: &[{}] }}, ",
                names.join(", ")
            );
            made.keys += &self.embed(format!("{name}.{number}.key"), key.pkcs8);
            made.keys += ", ";
        }
        let list = |items: &str| {
            let list = format!("&[{}]", items.trim_end_matches(", "));
            if certificates.is_option() { format!("Some({list})") } else { list }
        };
        let staples = match staples {
            Some(_) => format!("Some(&[{}])", made.staples.trim_end_matches(", ")),
            None => "None".to_owned(),
        };
        let (certificates, keys) = (list(&made.certificates), list(&made.keys));
        sound.then_some(Secrets { certificates, keys, staples })
    }

    /// The files of certificates, which `node` names, with those of their keys.
    fn certificate_files(
        &mut self,
        entry: &Entry,
        node: &Node,
        keys: &Field,
    ) -> Option<Vec<(PathBuf, Span, PathBuf, Span)>> {
        match (node.str() == Some(DEVELOPMENT), get(&entry.keys, &keys.name)) {
            (true, None) => {
                let folder = self.around.workspace.root.join("certs");
                match development(&folder, SystemTime::now()) {
                    Ok((certificate, key)) => Some(vec![(certificate, node.at, key, node.at)]),
                    Err(why) => {
                        self.report(Report::new(node.at, why));
                        None
                    }
                }
            }
            (true, Some(key)) => {
                let message = "the certificate for development has a key of its own";
                self.report(Report::new(key.at, message).help("remove the line"));
                None
            }
            (false, None) => {
                self.missing_key(entry, keys);
                None
            }
            (false, Some(key)) => self.pairs(node, key),
        }
    }

    /// The files with OCSP responses that an instance names for its `count` certificates, where it
    /// names some; `None` when something is wrong, which is reported.
    #[expect(clippy::option_option, reason = "something is wrong, or there are none, or these")]
    fn staple_files(
        &mut self,
        entry: &Entry,
        component: &Component,
        count: usize,
    ) -> Option<Option<StapleFiles>> {
        let field = component.config.iter().find_map(|field| match &field.kind {
            Type::Staples(structure) => Some((&field.name, structure)),
            _ => None,
        });
        let Some((key, structure)) = field else { return Some(None) };
        let Some(node) = get(&entry.keys, key) else { return Some(None) };
        let names = node.strings().unwrap_or_default();
        if names.len() != count {
            let message =
                format!("there are {} OCSP responses for {count} certificates", names.len());
            let report = Report::new(node.at, message);
            self.report(
                report.help("name one for each certificate, in the same order, or \"none\""),
            );
            return None;
        }
        let path = |(name, at): (&str, Span)| {
            let path = (name != "none").then(|| self.beside(at).join(name));
            (path, at)
        };
        let files = names.into_iter().map(path).collect();
        Some(Some(StapleFiles { structure: structure.clone(), files }))
    }

    /// The item of a list for the certificate in the place `number`; `None` when something is wrong
    /// with its OCSP response, which is reported.
    fn staple(
        &mut self,
        number: usize,
        staples: &Option<StapleFiles>,
        chain: &Chain,
        krate: &str,
        name: &str,
    ) -> Option<String> {
        let Some(StapleFiles { structure, files }) = staples else { return Some(String::new()) };
        let (Some(path), at) = files.get(number)? else { return Some("None, ".to_owned()) };
        let staple = self.file(path, *at, |bytes| Staple::read(bytes, chain))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if staple.until.is_some_and(|until| until <= now) {
            let shown = self.shown(path);
            self.warnings.push(format!("`{shown}` is too old to be shown: fetch a new one"));
        }
        let until = staple.until.map_or("u64::MAX".to_owned(), |until| until.as_secs().to_string());
        let response = self.embed(format!("{name}.{number}.ocsp"), staple.response);
        Some(format!("Some({krate}::{structure} {{ response: {response}, until: {until} }}), "))
    }

    /// The constant of the certificates in the files that `node` names, of those whom an instance
    /// trusts; `None` when something is wrong with them, which is reported.
    pub(super) fn trust(&mut self, entry: &Entry, node: &Node) -> Option<String> {
        let paths = if node.str() == Some(DEVELOPMENT) {
            let folder = self.around.workspace.root.join("certs");
            match development(&folder, SystemTime::now()) {
                Ok((certificate, _)) => vec![(certificate, node.at)],
                Err(why) => {
                    self.report(Report::new(node.at, why));
                    return None;
                }
            }
        } else {
            let Some(names) = node.strings().filter(|names| !names.is_empty()) else {
                let report = Report::new(node.at, "this is no file, nor a list of them");
                self.report(report.help("such as \"certs/roots.pem\""));
                return None;
            };
            names.into_iter().map(|(name, at)| (self.beside(at).join(name), at)).collect()
        };
        let mut all: Vec<Vec<u8>> = Vec::new();
        for (path, at) in paths {
            let read = |bytes: &[u8]| Trust::read(bytes, SystemTime::now());
            let trust = self.file(&path, at, read)?;
            if trust.expired > 0 {
                let (count, shown) = (trust.expired, self.shown(&path));
                let left = format!("`{shown}`: {count} certificates have expired: left out");
                self.warnings.push(left);
            }
            for der in trust.certificates {
                if !all.contains(&der) {
                    all.push(der);
                }
            }
        }
        let name = &entry.name.name;
        let each = all.into_iter().enumerate();
        let each = each.map(|(number, der)| self.embed(format!("{name}.{number}.trust"), der));
        Some(format!("&[{}]", each.collect::<Vec<_>>().join(", ")))
    }

    /// The files that both keys name, in pairs.
    fn pairs(
        &mut self,
        certificates: &Node,
        keys: &Node,
    ) -> Option<Vec<(PathBuf, Span, PathBuf, Span)>> {
        let mut lists = Vec::new();
        for node in [certificates, keys] {
            let Some(names) = node.strings().filter(|names| !names.is_empty()) else {
                let report = Report::new(node.at, "this is no file, nor a list of them");
                self.report(report.help("such as \"certs/server.pem\""));
                return None;
            };
            let path = |(name, at): (&str, Span)| (self.beside(at).join(name), at);
            lists.push(names.into_iter().map(path).collect::<Vec<_>>());
        }
        let (keys_found, found) = (lists.pop()?, lists.pop()?);
        if found.len() != keys_found.len() {
            let (a, b) = (found.len(), keys_found.len());
            let message = format!("there are {b} private keys for {a} certificates");
            let report = Report::new(keys.at, message);
            self.report(report.help("name a key for each certificate, in the same order"));
            return None;
        }
        let both = found.into_iter().zip(keys_found);
        Some(both.map(|((path, at), (key, key_at))| (path, at, key, key_at)).collect())
    }

    /// The folder of the manifest that `at` is in.
    fn beside(&self, at: Span) -> PathBuf {
        let file = &self.around.sources.get(at.file).path;
        file.parent().unwrap_or(Path::new("")).to_owned()
    }

    /// `nameless` is whether the certificate needs no names: who is visited by name has some.
    fn pair(
        &mut self,
        certificate: &Path,
        at: Span,
        key: &Path,
        key_at: Span,
        nameless: bool,
    ) -> Option<(Chain, PrivateKey)> {
        let chain = self.file(certificate, at, |bytes| Chain::read(bytes, SystemTime::now()));
        let private = self.file(key, key_at, PrivateKey::read);
        let (chain, private) = (chain?, private?);
        if !chain.is_named && !nameless {
            let message = format!("`{}` is for no name", self.shown(certificate));
            self.report(Report::new(at, message).help("clients want a subjectAltName"));
            return None;
        }
        if !chain.belongs_to(&private) {
            let message = format!("`{}` is not the key of the certificate", self.shown(key));
            let report = Report::new(key_at, message).label("another key");
            let of = format!("`{}` is this one", self.shown(certificate));
            self.report(report.note(at, of).help("name the key that the certificate was made for"));
            return None;
        }
        if !chain.signs {
            let shown = self.shown(certificate);
            self.warnings.push(format!(
                "`{shown}` has a key that is not for signatures, so that others refuse it: its \
                 KeyUsage lacks digitalSignature"
            ));
        }
        if chain.remaining < SOON {
            let hours = chain.remaining.as_secs() / 3600;
            let (days, shown) = (hours / 24, self.shown(certificate));
            self.warnings.push(format!("`{shown}` expires in {days} days: renew it"));
        }
        Some((chain, private))
    }

    /// What `read` makes of a file.
    fn file<T>(
        &mut self,
        path: &Path,
        at: Span,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Option<T> {
        self.read.push(path.to_owned());
        let shown = self.shown(path);
        let result = match fs::read(path) {
            Ok(bytes) => read(&bytes).map_err(|why| (format!("`{shown}` {why}"), "")),
            Err(why) => Err((
                format!("cannot read `{shown}`: {why}"),
                "paths are relative to the manifest's folder",
            )),
        };
        match result {
            Ok(found) => Some(found),
            Err((message, help)) => {
                self.report(Report::new(at, message).help(help));
                None
            }
        }
    }

    fn shown(&self, path: &Path) -> String {
        self.around.workspace.shown(path)
    }

    /// Puts a file beside the generated code; gives the constant of its bytes.
    fn embed(&mut self, name: String, bytes: Vec<u8>) -> String {
        let expression = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\"))");
        self.blobs.push(Blob { name, bytes });
        expression
    }
}
