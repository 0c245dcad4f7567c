//! Instructions that a guest executes, counted by a plugin of QEMU's.

use crate::contender::{Kind, Place};
use crate::load::Load;
use crate::profile;
use crate::workloads::{Figure, Served};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use waitless_tests::lab::{self, Folder};

/// The file that the plugin counts in: see its documentation.
struct Counts {
    folder: Folder,
}

/// Room for 16 million instructions; what is not used takes no space.
const SIZE: u64 = 256 << 20;

/// Where the plugin is.
fn plugin() -> PathBuf {
    lab::target().join("debug/libcount_plugin.so")
}

/// Builds the plugin.
pub fn prepare() -> Result<(), String> {
    let arguments = ["build", "--quiet", "--package", "count-plugin"];
    match lab::cargo(&lab::checkout(), &arguments).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("cargo cannot build the plugin".to_owned()),
    }
}

impl Counts {
    fn new() -> Result<Self, String> {
        let counts = Self { folder: Folder::new("counts") };
        let file = File::create(counts.file()).and_then(|file| file.set_len(SIZE));
        file.map_err(|error| error.to_string()).map(|()| counts)
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("counts")
    }

    /// How often each address was executed so far.
    fn now(&self) -> Result<HashMap<u64, u64>, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut file = File::open(self.file()).map_err(text)?;
        let mut head = [0; 16];
        file.read_exact(&mut head).map_err(text)?;
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        let (entries, lost) = (word(&head[..8]), word(&head[8..]));
        if lost > 0 {
            return Err(format!("{lost} instructions found no room"));
        }
        let mut bytes = vec![0; 16 * entries as usize];
        file.read_exact(&mut bytes).map_err(text)?;
        Ok(bytes.chunks(16).map(|entry| (word(&entry[..8]), word(&entry[8..]))).collect())
    }
}

/// Instructions for each request on a path while there is always a next one, on a machine of its
/// own whose clock counts instructions.
pub fn instructions(served: &mut Served<'_>) -> Vec<Figure> {
    let path = &served.options.path;
    let what = format!("{path}, {} connections", connections(path));
    match count(served) {
        Ok((all, user)) => {
            let mut figures = vec![Figure::new(&*what, UNIT, Ok(all))];
            if served.contender.kind() != Kind::Waitless {
                figures.push(Figure::new(format!("{what}, the program's own"), UNIT, Ok(user)));
            }
            figures
        }
        Err(said) => vec![Figure::new(what, UNIT, Err(said))],
    }
}

/// Instructions for a request, and those of them that a program executes on Linux.
fn count(served: &Served<'_>) -> Result<(f64, f64), String> {
    let counts = Counts::new()?;
    let place = Place::new(served.options);
    let plugin = format!("{},counts={}", plugin().display(), counts.file().display());
    let more = ["-icount", "shift=0,sleep=on", "-plugin", &plugin];
    let mut guest = served.contender.start(&place, &served.options.memory, &more)?;
    guest.wait(PATIENCE)?;
    let seconds = served.options.seconds;
    let path = served.options.path.as_str();
    let load = Load { connections: connections(path), ..Load::new(path, seconds) };
    // Once for the connections that this opens, and for what is made when it is first needed.
    Load { seconds: 1, ..load.clone() }.run(place.address)?;
    let before = counts.now()?;
    let rate = load.run(place.address)?;
    let after = counts.now()?;
    let new = |(address, count): (u64, u64)| {
        (address, count - before.get(&address).copied().unwrap_or(0))
    };
    let new: HashMap<u64, u64> = after.into_iter().map(new).collect();
    let requests = rate.answers as f64;
    if served.options.profile && served.contender.kind() == Kind::Waitless {
        profile::print(served.contender.program(), &new, requests)?;
    }
    // On Linux, programs live in the lower half of the addresses.
    let user = new.iter().filter(|(address, _)| **address < 1 << 63).map(|(_, count)| count);
    Ok((new.values().sum::<u64>() as f64 / requests, user.sum::<u64>() as f64 / requests))
}

/// As many as keep a server busy; of what is long, a few.
fn connections(path: &str) -> u32 {
    if path == "/health" { 128 } else { 4 }
}

const UNIT: &str = "instructions/request";
/// An emulated Linux that counts is slow.
const PATIENCE: Duration = Duration::from_secs(300);
