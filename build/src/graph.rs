//! A graph that is known to be sound: what pictures and code are made from.

use crate::catalogue::{Code, Component};
use crate::files;
use crate::manifest::Layer;
use crate::source::Span;
use crate::types::Field;
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that one image runs.
#[derive(Clone, Debug)]
pub struct Graph {
    /// What `[app]` says.
    pub app: App,
    /// What `[platform]` says.
    pub platform: Platform,
    /// All instances; each comes after those that it stands on.
    pub instances: Vec<Instance>,
    /// The services to whose core their port's traffic is steered.
    pub pins: Vec<Pin>,
    /// Files that the generated code includes.
    pub blobs: Vec<Blob>,
    /// Folders whose files the generated code includes.
    pub folders: Vec<Folder>,
    /// Files that were read for it, beside the manifests.
    pub read: Vec<PathBuf>,
    /// What should be looked after, though it is sound: a sentence each.
    pub warnings: Vec<String>,
}

/// A file that stands beside the generated code.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A folder whose files become part of the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folder {
    /// What the files that are made of it are called.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// `[app]`.
#[derive(Clone, Default, Debug)]
pub struct App {
    /// The app's package.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// How many cores run a graph of their own, at most.
    pub cores: u64,
    /// Whether as many do as the machine has.
    pub all_cores: bool,
    /// Packet buffers for each core; 0 lets the platform choose.
    pub packets: u64,
    /// Bytes of memory that the image is given.
    pub memory: Option<u64>,
    /// What the app calls itself on the network.
    pub hostname: Option<String>,
    /// The stacks that are merged in.
    pub stacks: Vec<String>,
    /// Whether it counts each instance's cycles.
    pub trace: bool,
}

/// `[platform]`.
#[derive(Clone, Default, Debug)]
pub struct Platform {
    /// Its name.
    pub name: String,
    /// The package that boots the image.
    pub package: String,
    /// The crate's name in the generated code.
    pub ident: String,
    /// What rustc builds for; `host` for the machine that builds.
    pub target: String,
    /// What it has, of what components need.
    pub has: Vec<String>,
}

/// An instance of a component.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The table's name.
    pub name: String,
    /// The component.
    pub component: Component,
    /// The component's crate in the generated code; `crate` for the app's own.
    pub krate: String,
    /// All keys of the component, in its order.
    pub config: Vec<Setting>,
    /// What it stands on, in the order of what it requires.
    pub below: Vec<Edge>,
    /// The core that it runs on; none for every core.
    pub core: Option<u64>,
    /// Where it was declared first.
    pub layer: Layer,
    /// Where.
    pub at: Span,
}

/// A service on one core over instances that every core has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The name of its instance.
    pub instance: String,
    /// Whether it listens on a port of UDP instead of TCP.
    pub is_udp: bool,
    /// The port.
    pub port: u64,
    /// Whether another one can be said at boot.
    pub boot: bool,
    /// The core.
    pub core: u64,
}

/// One key with its value.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The key.
    pub field: Field,
    /// The value as a Rust constant.
    pub expression: String,
    /// The value as the manifest would write it; `(set)` where it is a secret.
    pub shown: String,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The component's metadata.
    Default,
    /// A line of a manifest.
    Written(Span),
}

/// What an instance stands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The instance below, as an index into the graph's.
    pub to: usize,
    /// The port that it provides.
    pub port: String,
    /// What the component calls it, where it stands on several.
    pub label: Option<String>,
    /// Whether it crosses cores, by rings.
    pub ring: bool,
}

impl Edge {
    /// The port, and how it crosses cores where it does.
    pub fn text(&self) -> String {
        if self.ring { format!("{} via ring", self.port) } else { self.port.clone() }
    }
}

impl Instance {
    /// Its name in the generated code.
    pub fn ident(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The name of its configuration in the generated code.
    pub fn constant(&self) -> String {
        self.ident().to_uppercase()
    }

    /// Whether it runs the app's handlers.
    pub fn is_handler(&self) -> bool {
        matches!(self.component.code, Code::Handler(..))
    }

    /// The settings that can be replaced at boot.
    pub fn boot_keys(&self) -> impl Iterator<Item = &Setting> {
        self.config.iter().filter(|setting| setting.field.boot)
    }

    /// The settings that somebody wrote.
    pub fn written(&self) -> impl Iterator<Item = &Setting> {
        self.config.iter().filter(|setting| matches!(setting.origin, Origin::Written(_)))
    }
}

impl App {
    /// How many cores, in words.
    pub fn cores_in_words(&self) -> String {
        match self.cores {
            1 => "1 core".to_owned(),
            _ if self.all_cores => "all cores".to_owned(),
            cores => format!("{cores} cores"),
        }
    }
}

impl Graph {
    /// The cores on which only some instances run.
    pub fn is_placed(&self) -> bool {
        self.instances.iter().any(|instance| instance.core.is_some())
    }

    /// Writes the files that the generated code includes to the folder `out`.
    ///
    /// # Errors
    /// One line that says which could not be written.
    pub fn put_blobs(&self, out: &Path) -> Result<(), String> {
        for blob in &self.blobs {
            let path = out.join(&blob.name);
            fs::write(&path, &blob.bytes)
                .map_err(|why| format!("cannot write {}: {why}", path.display()))?;
        }
        for folder in &self.folders {
            files::embed(folder, out)?;
        }
        Ok(())
    }

    /// The instance called `name`.
    pub fn find(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name == name)
    }

    /// The instances that stand on number `index`.
    pub fn above(&self, index: usize) -> impl Iterator<Item = (usize, &Instance)> {
        let stands = move |i: &Instance| i.below.iter().any(|edge| edge.to == index);
        self.instances.iter().enumerate().filter(move |(_, i)| stands(i))
    }
}
