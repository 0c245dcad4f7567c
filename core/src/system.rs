//! The image as a whole: what it is made of, and the counters of its instances.

use crate::CounterSet;
use crate::capture::Capture;
use alloc::vec::Vec;
use core::cell::RefCell;

/// What the generator knows of an image. A constant in the generated code.
#[derive(Debug)]
pub struct Image {
    /// The app's crate.
    pub app: &'static str,
    /// The app's version.
    pub version: &'static str,
    /// The platform it was generated for.
    pub platform: &'static str,
    /// The graph as JSON, as `build graph --json` prints it.
    pub graph: &'static str,
    /// Its instances, lowest first.
    pub instances: &'static [Instance],
    /// How many cores run a graph of their own.
    pub cores: usize,
    /// Packet buffers per core; 0 lets the platform choose by the memory there is.
    pub packets: usize,
}

/// One instance, as the manifest declares it.
#[derive(Debug)]
pub struct Instance {
    /// The table's name.
    pub name: &'static str,
    /// The crate of its component.
    pub component: &'static str,
}

/// The registry that `/metrics`, `/graph`, the console and a panic's report walk: one a core.
pub struct System {
    image: &'static Image,
    sets: RefCell<Vec<(&'static str, &'static dyn CounterSet)>>,
    captures: RefCell<Vec<&'static Capture>>,
}

impl System {
    /// A registry for `image`, empty as yet.
    pub const fn new(image: &'static Image) -> Self {
        Self { image, sets: RefCell::new(Vec::new()), captures: RefCell::new(Vec::new()) }
    }

    /// What the generator knows of the image.
    pub fn image(&self) -> &'static Image {
        self.image
    }

    /// Enters the counters of the instance `name`. Called by the generated code at start-up.
    pub fn register(&self, name: &'static str, set: &'static dyn CounterSet) {
        self.sets.borrow_mut().push((name, set));
    }

    /// The counters at `index`, with the instance's name; `None` behind the last.
    pub fn set(&self, index: usize) -> Option<(&'static str, &'static dyn CounterSet)> {
        self.sets.borrow().get(index).copied()
    }

    /// Enters a capture. `false` when there is one for the same file already.
    pub fn offer(&self, capture: &'static Capture) -> bool {
        let mut captures = self.captures.borrow_mut();
        let taken = captures.iter().any(|other| other.file() == capture.file());
        if !taken {
            captures.push(capture);
        }
        !taken
    }

    /// The capture at `index`; `None` behind the last.
    pub fn capture(&self, index: usize) -> Option<&'static Capture> {
        self.captures.borrow().get(index).copied()
    }
}
