//! Captures and secrets as files: written between sweeps, never by a component.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use waitless::capture::Capture;
use waitless::keys::KeyLog;
use waitless::{Context, System};

/// The files that captures go to.
#[derive(Default)]
pub struct Files(Vec<Entry>);

struct Entry {
    capture: &'static Capture,
    /// `None` once writing failed.
    file: Option<BufWriter<File>>,
    /// Whether something may still be in the writer's memory.
    is_dirty: bool,
}

impl Files {
    /// Creates a file for each capture, replacing what was there.
    pub fn open(&mut self, system: &System) -> Result<(), String> {
        let mut index = 0;
        while let Some(capture) = system.capture(index) {
            let name = capture.file();
            let file = open_own(name, File::options().write(true).truncate(true));
            let mut file = file.map(BufWriter::new).map_err(|error| {
                format!("{name} cannot be written: {error}; set `file` to another place")
            })?;
            // What fails here fails again at the first flush, which says so.
            let _ = file.write_all(capture.head());
            self.0.push(Entry { capture, file: Some(file), is_dirty: true });
            index += 1;
        }
        Ok(())
    }

    /// The names of all files.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|entry| entry.capture.file())
    }

    /// Takes what components have captured.
    pub fn take(&mut self, cx: &Context) {
        for entry in &mut self.0 {
            if entry.capture.is_empty() {
                continue;
            }
            let Some(file) = &mut entry.file else { continue };
            let mut outcome = Ok(());
            entry.capture.drain(|bytes| {
                if outcome.is_ok() {
                    outcome = file.write_all(bytes);
                }
            });
            entry.is_dirty = true;
            entry.check(outcome, cx);
        }
    }

    /// Writes to the files what is still in memory.
    pub fn flush(&mut self, cx: &Context) {
        for entry in self.0.iter_mut().filter(|entry| entry.is_dirty) {
            entry.is_dirty = false;
            let Some(file) = &mut entry.file else { continue };
            let outcome = file.flush();
            entry.check(outcome, cx);
        }
    }
}

/// Opens a file, which only its owner may read where it is made now: it may hold what others have
/// said in confidence, or the secrets of their connections.
fn open_own(name: &str, options: &mut OpenOptions) -> io::Result<File> {
    options.create(true).mode(0o600).open(name)
}

/// The file that the secrets of TLS connections are added to.
pub struct KeyFile {
    name: String,
    log: &'static KeyLog,
    /// `None` once writing failed.
    file: Option<File>,
}

impl KeyFile {
    /// The file `name`, which only its owner may read where it is made now. From here on,
    /// connections tell their secrets.
    pub fn open(name: String, cx: &Context) -> Result<Self, String> {
        let file = open_own(&name, File::options().append(true));
        let file = file.map_err(|error| format!("{name}, of SSLKEYLOGFILE: {error}"))?;
        let log: &'static KeyLog = Box::leak(Box::new(KeyLog::new()));
        cx.system().keys().enter(log);
        waitless::warn!(cx, "SSLKEYLOGFILE: the secrets of TLS connections are written to {name}");
        Ok(Self { name, log, file: Some(file) })
    }

    /// Takes what connections have told.
    pub fn take(&mut self, cx: &Context) {
        if self.log.is_empty() {
            return;
        }
        self.log.drain(|lines| {
            let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(lines)) else {
                return;
            };
            waitless::error!(cx, "no more secrets in {}: {error}", self.name);
            self.file = None;
        });
    }
}

impl Entry {
    /// Gives a file up that cannot be written, and says so once.
    fn check(&mut self, outcome: std::io::Result<()>, cx: &Context) {
        if let Err(error) = outcome {
            waitless::error!(cx, "capture in {} ends: {error}", self.capture.file());
            self.file = None;
        }
    }
}
