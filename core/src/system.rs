//! The image as a whole: what it is made of, and the counters of its instances.

use crate::CounterSet;
use crate::capture::Capture;
use crate::cores::{Cores, Pin};
use crate::counter::Metric;
use crate::dial::Dialer;
use crate::http::client::Client;
use crate::keys::KeyLogs;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

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
    /// How many cores run a graph of their own, at most.
    pub cores: usize,
    /// Packet buffers per core; 0 lets the platform choose by the memory there is.
    pub packets: usize,
    /// The services that run on one core, to which their port's traffic is steered.
    pub pins: &'static [Pin],
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
    cores: &'static Cores,
    core: usize,
    sets: RefCell<Vec<(&'static str, &'static dyn CounterSet)>>,
    captures: RefCell<Vec<&'static Capture>>,
    keys: KeyLogs,
    dialer: Cell<Option<&'static Dialer>>,
    secure_dialer: Cell<Option<&'static Dialer>>,
    client: Cell<Option<&'static Client>>,
}

impl System {
    /// A registry for `image` on a single core, empty as yet.
    pub fn new(image: &'static Image) -> Self {
        Self::on(image, Box::leak(Box::new(Cores::new(1))), 0)
    }

    /// A registry for `image` on `core`, one of `cores`, empty as yet.
    pub const fn on(image: &'static Image, cores: &'static Cores, core: usize) -> Self {
        Self {
            image,
            cores,
            core,
            sets: RefCell::new(Vec::new()),
            captures: RefCell::new(Vec::new()),
            keys: KeyLogs::new(),
            dialer: Cell::new(None),
            secure_dialer: Cell::new(None),
            client: Cell::new(None),
        }
    }

    /// What the generator knows of the image.
    pub fn image(&self) -> &'static Image {
        self.image
    }

    /// Enters the counters of the instance `name`. Called by the generated code at start-up.
    pub fn register(&self, name: &'static str, set: &'static dyn CounterSet) {
        self.sets.borrow_mut().push((name, set));
    }

    /// All cores.
    pub fn cores(&self) -> &'static Cores {
        self.cores
    }

    /// Ends the image: the answers that are under way leave, what is in memory is given back and
    /// counted, and the machine is switched off or the process ends. A handler may call it.
    pub fn shut_down(&self) {
        self.cores.end();
    }

    /// The number of this core.
    pub fn core(&self) -> usize {
        self.core
    }

    /// Makes the counters entered so far known to the other cores. Called once, by the platform,
    /// when the graph is built.
    pub fn publish(&self) {
        self.cores.publish(self.core, self.sets.borrow().clone());
    }

    /// The counters at `index` of all cores together, with the instance's name; `None` behind the
    /// last.
    pub fn total(&self, index: usize) -> Option<(&'static str, Total)> {
        let (name, own) = self.set(index)?;
        Some((name, Total { own, core: self.core, cores: self.cores, index }))
    }

    /// This core's counters at `index`, with the instance's name; `None` behind the last.
    pub fn set(&self, index: usize) -> Option<(&'static str, &'static dyn CounterSet)> {
        self.sets.borrow().get(index).copied()
    }

    /// Who may look into TLS connections: nobody, unless somebody was entered there.
    pub fn keys(&self) -> &KeyLogs {
        &self.keys
    }

    /// Enters who begins connections for handlers.
    pub fn set_dialer(&self, dialer: &'static Dialer) {
        self.dialer.set(Some(dialer));
    }

    /// Who begins connections for handlers; `None` in an image without an instance of `dial`.
    pub fn dialer(&self) -> Option<&'static Dialer> {
        self.dialer.get()
    }

    /// Enters who begins connections for handlers that nobody on the way can read or change.
    pub fn set_secure_dialer(&self, dialer: &'static Dialer) {
        self.secure_dialer.set(Some(dialer));
    }

    /// Who begins such connections; `None` in an image without an instance of `dial` on one of
    /// `tls-client`.
    pub fn secure_dialer(&self) -> Option<&'static Dialer> {
        self.secure_dialer.get()
    }

    /// Enters who asks other servers for handlers.
    pub fn set_client(&self, client: &'static Client) {
        self.client.set(Some(client));
    }

    /// Who asks other servers for handlers; `None` in an image without an instance of `fetch`.
    pub fn client(&self) -> Option<&'static Client> {
        self.client.get()
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

/// The counters of one instance on all cores, each the sum of those of the cores.
pub struct Total {
    own: &'static dyn CounterSet,
    core: usize,
    cores: &'static Cores,
    index: usize,
}

impl CounterSet for Total {
    fn count(&self) -> usize {
        self.own.count()
    }

    /// The one place that calls through a pointer when counters are asked for, which is a matter of
    /// the control plane.
    #[cold]
    #[inline(never)]
    fn metric(&self, index: usize) -> Option<Metric> {
        let mut metric = self.own.metric(index)?;
        for (core, set) in self.cores.counters(self.index) {
            // Every core builds the same graph, so the same instance stands at the same place.
            if core != self.core
                && let Some(other) = set.metric(index)
            {
                metric.value = metric.value.wrapping_add(other.value);
            }
        }
        Some(metric)
    }
}
