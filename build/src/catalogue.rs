//! Every component that an instance can be, as the crates' metadata declares them.

use crate::manifest::RESERVED_KEYS;
use crate::report::{Report, list, nearest};
use crate::source::{Key, Node, Sources, Span, Table, Value, get, parse};
use crate::types::{Field, Type, is_keyword, is_word};
use crate::workspace::Workspace;
use std::fs;
use std::path::{Path, PathBuf};

/// All components, sorted by name.
#[derive(Clone, Default, Debug)]
pub struct Catalogue {
    /// The components.
    pub components: Vec<Component>,
}

/// `[package.metadata.waitless]`: what the generator knows about a component.
#[derive(Clone, PartialEq, Debug)]
pub struct Component {
    /// What `is` calls it.
    pub name: String,
    /// Its package.
    pub package: String,
    /// One line about it: the package's description, or the component's own.
    pub doc: String,
    /// Its `Cargo.toml`.
    pub manifest: PathBuf,
    /// Where its metadata begins.
    pub at: Span,
    /// What it is in Rust.
    pub code: Code,
    /// The ports that it provides; none for a leaf.
    pub provides: Vec<String>,
    /// What it stands on.
    pub requires: Requires,
    /// How it spreads over cores.
    pub per_core: PerCore,
    /// What the platform must have.
    pub needs: Vec<String>,
    /// What it brings instead of the platform, of what every image needs.
    pub brings: Vec<String>,
    /// The component of the same package of which this is another form.
    pub variant_of: Option<String>,
    /// The keys that, all together, make it the form that is meant, where the edge does not decide.
    pub when_set: Vec<String>,
    /// Whether one instance alone may stand on it; by its port's kind when absent.
    pub exclusive: Option<bool>,
    /// How many instances it may stand on, of those that stand on one or more.
    pub most: Option<usize>,
    /// Its keys, in the order of the metadata.
    pub config: Vec<Field>,
}

/// What a component is in Rust.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Code {
    /// A function of the app that gives its request handler, and the type of what it is given:
    /// its keys beside those of every handler, if it has any.
    Handler(String, Option<String>),
    /// A type and its configuration's type, as paths from the crate's root.
    Type(String, String),
}

/// What a component stands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requires {
    /// One or more instances that provide the port.
    Many(String),
    /// An instance for each name.
    Named(Vec<(String, String)>),
    /// Nothing: it is among the lowest.
    Nothing,
    /// One instance.
    One(String),
}

/// How a component spreads over cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PerCore {
    /// There is one, and no other core beside it.
    Alone,
    /// There is one, on one core.
    One,
    /// There is one device; each core has a queue of it.
    Queue,
    /// Each core has its own.
    Replicate,
}

impl Requires {
    /// All ports, in order.
    pub fn ports(&self) -> Vec<&str> {
        match self {
            Self::Many(port) | Self::One(port) => vec![port],
            Self::Named(ports) => ports.iter().map(|(_, port)| port.as_str()).collect(),
            Self::Nothing => Vec::new(),
        }
    }

    /// In the words of the catalogue.
    pub fn text(&self) -> String {
        match self {
            Self::Many(port) => format!("{port}+"),
            Self::Named(ports) => {
                let each = ports.iter().map(|(name, port)| format!("{name}: {port}"));
                each.collect::<Vec<_>>().join(", ")
            }
            Self::Nothing => String::new(),
            Self::One(port) => port.clone(),
        }
    }
}

impl PerCore {
    /// In the words of the metadata.
    pub fn text(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::One => "one",
            Self::Queue => "queue",
            Self::Replicate => "replicate",
        }
    }
}

impl Catalogue {
    /// All components of `workspace`, and those in the Waitless tree that nothing depends on yet.
    pub fn load(workspace: &Workspace, sources: &mut Sources, reports: &mut Vec<Report>) -> Self {
        let mut manifests: Vec<_> =
            workspace.packages.iter().map(|package| package.manifest.clone()).collect();
        // An app in a repository of its own need not depend on all of them.
        let folders = ["components", "platforms"].map(|folder| workspace.home.join(folder));
        let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let mut more: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path().join("Cargo.toml"))
            .filter(|path| path.is_file())
            .collect();
        more.sort();
        manifests
            .extend(more.into_iter().filter(|path| !manifests.contains(path)).collect::<Vec<_>>());
        let mut components: Vec<Component> = Vec::new();
        for manifest in manifests {
            for component in read(&manifest, sources, reports) {
                let known = components.iter().find(|known| known.name == component.name);
                if known.is_none_or(|known| known.package != component.package) {
                    components.push(component);
                }
            }
        }
        components.sort_by(|a, b| a.name.cmp(&b.name));
        Self { components }
    }

    /// The component called `name`; among several, the one of the first package in `prefer`,
    /// which is the app's. What belongs to another app is not found.
    pub fn find(&self, name: &str, prefer: &[String]) -> Option<&Component> {
        let foreign = |component: &Component| {
            prefer.first().is_some_and(|app| *app != component.package)
                && self.is_apps_own(component)
        };
        let named = |component: &&Component| component.name == name && !foreign(component);
        let called = || self.components.iter().filter(named);
        let preferred = prefer.iter().find_map(|package| called().find(|c| c.package == *package));
        preferred.or_else(|| called().next())
    }

    /// All components that any app may use.
    pub fn public(&self) -> impl Iterator<Item = &Component> {
        self.components.iter().filter(|component| !self.is_apps_own(component))
    }

    /// Whether the component belongs to an app: a package that has handlers.
    fn is_apps_own(&self, component: &Component) -> bool {
        let handler = |other: &&Component| matches!(other.code, Code::Handler(..));
        self.components.iter().filter(handler).any(|other| other.package == component.package)
    }

    /// The component itself, then its forms for other ports.
    pub fn variants<'a>(
        &'a self,
        component: &'a Component,
    ) -> impl Iterator<Item = &'a Component> + use<'a> {
        let of_port = self.forms(component).filter(|form| form.when_set.is_empty());
        std::iter::once(component).chain(of_port)
    }

    /// The other forms of a component.
    pub fn forms<'a>(
        &'a self,
        component: &'a Component,
    ) -> impl Iterator<Item = &'a Component> + use<'a> {
        let of = |other: &Component| other.variant_of.as_ref() == Some(&component.name);
        let same = move |other: &&Component| other.package == component.package && of(other);
        self.components.iter().filter(same)
    }

    /// The names of the components that provide `port`, and do not just pass it on.
    pub fn providers(&self, port: &str) -> Vec<&str> {
        let provides = |c: &&Component| c.provides.iter().any(|it| it == port) && !c.passes(port);
        self.components.iter().filter(provides).map(|c| c.name.as_str()).collect()
    }
}

impl Component {
    /// Whether it can be put into an edge of `port`.
    pub fn passes(&self, port: &str) -> bool {
        matches!(&self.requires, Requires::One(required) if required == port)
            && self.provides.iter().any(|provided| provided == port)
    }
}

/// The components that the `Cargo.toml` at `path` declares.
pub fn read(path: &Path, sources: &mut Sources, reports: &mut Vec<Report>) -> Vec<Component> {
    // Most packages are no components, and their manifests need not be kept.
    let Ok(text) = fs::read_to_string(path) else { return Vec::new() };
    if !["metadata", "waitless"].iter().all(|word| text.contains(word)) {
        return Vec::new();
    }
    let file = sources.read(path).unwrap_or_else(|_| sources.add(path, text));
    let (table, syntax) = parse(sources, file);
    reports.extend(syntax.into_iter().map(|error| Report::new(error.at, error.message)));
    let Some(package) = get(&table, "package") else { return Vec::new() };
    let name = package.get("name").and_then(Node::str).unwrap_or_default();
    let doc = package.get("description").and_then(Node::str).unwrap_or_default();
    let metadata = package.get("metadata").and_then(|node| node.get("waitless"));
    let Some(metadata) = metadata.and_then(Node::table) else { return Vec::new() };
    let mut reader = Reader { path, package: name, doc, file, reports };
    let mut found = Vec::new();
    if get(metadata, "component").is_some() || get(metadata, "handler").is_some() {
        found.extend(reader.component(name, metadata, &["components"]));
    }
    for (key, node) in get(metadata, "components").and_then(Node::table).into_iter().flatten() {
        match node.table() {
            Some(table) => found.extend(reader.component(&key.name, table, &[])),
            None => reader.reports.push(Report::new(node.at, "a component is a table")),
        }
    }
    inherit(&mut found, reports);
    found
}

/// Gives each variant what it shares with the component that it is a variant of.
fn inherit(components: &mut [Component], reports: &mut Vec<Report>) {
    let all = components.to_vec();
    for variant in components {
        let Some(name) = &variant.variant_of else { continue };
        let named = |base: &&Component| base.name == *name && base.variant_of.is_none();
        let Some(base) = all.iter().find(named) else {
            let message = format!("`{}` is a variant of `{name}`, which is not here", variant.name);
            let report = Report::new(variant.at, message);
            reports.push(report.help("`variant-of` names another component of the same package"));
            continue;
        };
        variant.per_core = base.per_core;
        variant.needs.clone_from(&base.needs);
        variant.brings.clone_from(&base.brings);
        variant.config.clone_from(&base.config);
    }
}

struct Reader<'a> {
    path: &'a Path,
    package: &'a str,
    doc: &'a str,
    file: usize,
    reports: &'a mut Vec<Report>,
}

/// The keys of a component's metadata.
pub const KEYS: [&str; 14] = [
    "brings",
    "component",
    "config",
    "config-type",
    "doc",
    "exclusive",
    "handler",
    "most",
    "needs",
    "per-core",
    "provides",
    "requires",
    "variant-of",
    "when-set",
];
/// The keys of a key's metadata.
pub const FIELD_KEYS: [&str; 11] = [
    "boot", "default", "doc", "memory", "not-with", "optional", "range", "rust", "secret", "type",
    "unique",
];

impl Reader<'_> {
    fn component(&mut self, name: &str, table: &Table, more: &[&str]) -> Option<Component> {
        self.unknown(table, &[&KEYS[..], more].concat(), "a component's metadata");
        let text = |key| get(table, key).and_then(Node::str);
        let (code, at) = match (text("component"), text("handler")) {
            (Some(path), _) => {
                let module = path.rsplit_once("::").map_or("", |(module, _)| module);
                let separator = if module.is_empty() { "" } else { "::" };
                let config = match text("config-type") {
                    Some(config) => config.to_owned(),
                    None => format!("{module}{separator}Config"),
                };
                (Code::Type(path.to_owned(), config), get(table, "component")?.at)
            }
            (None, Some(function)) => {
                let keys = get(table, "config").and_then(Node::table);
                let keys = keys.filter(|keys| !keys.is_empty());
                let kind = keys.map(|_| text("config-type").unwrap_or("Config").to_owned());
                (Code::Handler(function.to_owned(), kind), get(table, "handler")?.at)
            }
            (None, None) => {
                let at = table.first().map(|(key, _)| key.at);
                let at = at.unwrap_or(Span { file: self.file, start: 0, end: 0 });
                let report = Report::new(at, format!("`{name}` does not say what it is in Rust"));
                self.reports.push(report.help("add `component = \"Type\"` or `handler = \"fn\"`"));
                return None;
            }
        };
        let config = get(table, "config").and_then(Node::table);
        let config = config.into_iter().flatten();
        let mut config: Vec<_> = config.filter_map(|(key, node)| self.field(key, node)).collect();
        self.switches(&config);
        let requires = self.requires(table);
        let mut most = self.most(table, &requires);
        if matches!(code, Code::Handler(..)) {
            most = Some(most.unwrap_or(HTTP_PORTS).min(HTTP_PORTS));
            self.handler_stands(table, at, &requires);
            let taken = |field: &Field| SERVER_KEYS.contains(&field.name.as_str());
            for field in config.iter().filter(|field| taken(field)) {
                let message = format!("every handler has a key `{}`", field.name);
                self.reports
                    .push(Report::new(field.at, message).help("give this one another name"));
            }
            config.retain(|field| !taken(field));
            config.splice(0..0, [tasks(at), patience(at), files(at)]);
        }
        Some(Component {
            name: name.to_owned(),
            package: self.package.to_owned(),
            doc: text("doc").unwrap_or(self.doc).to_owned(),
            manifest: self.path.to_owned(),
            at,
            code,
            provides: self.strings(table, "provides"),
            requires,
            per_core: self.per_core(table),
            needs: self.strings(table, "needs"),
            brings: self.strings(table, "brings"),
            variant_of: text("variant-of").map(str::to_owned),
            when_set: self.strings(table, "when-set"),
            exclusive: get(table, "exclusive").map(|node| node.value == Value::Bool(true)),
            most,
            config,
        })
    }

    /// Reports `not-with` where the two keys are no switches.
    fn switches(&mut self, config: &[Field]) {
        let switch = |name: &str| config.iter().any(|it| it.name == name && it.kind == Type::Bool);
        for field in config {
            if field.not_with.as_deref().is_some_and(|other| !switch(other) || !switch(&field.name))
            {
                let message =
                    format!("`not-with` of `{}` is for two keys of type bool", field.name);
                self.reports.push(Report::new(field.at, message));
            }
        }
    }

    fn strings(&mut self, table: &Table, key: &str) -> Vec<String> {
        let Some(node) = get(table, key) else { return Vec::new() };
        match node.strings() {
            Some(texts) => texts.into_iter().map(|(text, _)| text.to_owned()).collect(),
            None => {
                let report = Report::new(node.at, format!("`{key}` is a name or a list of names"));
                self.reports.push(report);
                Vec::new()
            }
        }
    }

    fn requires(&mut self, table: &Table) -> Requires {
        let Some(node) = get(table, "requires") else { return Requires::Nothing };
        match &node.value {
            Value::String(port) => match port.strip_suffix('+') {
                Some(port) => Requires::Many(port.to_owned()),
                None => Requires::One(port.to_owned()),
            },
            Value::Table(ports) if ports.iter().all(|(_, port)| port.str().is_some()) => {
                let port =
                    |(name, port): &(Key, Node)| Some((name.name.clone(), port.str()?.into()));
                Requires::Named(ports.iter().filter_map(port).collect())
            }
            _ => {
                let message = "`requires` is a port, `\"Port+\"`, or a table of ports";
                self.reports.push(Report::new(node.at, message));
                Requires::Nothing
            }
        }
    }

    /// How many instances it may stand on, where the metadata says so.
    fn most(&mut self, table: &Table, requires: &Requires) -> Option<usize> {
        let node = get(table, "most")?;
        let most = match (&node.value, requires) {
            (Value::Integer(most @ 1..), Requires::Many(_)) => usize::try_from(*most).ok(),
            _ => None,
        };
        if most.is_none() {
            let message = "`most` is a number from 1 on, of what `requires` as \"Port+\"";
            self.reports.push(Report::new(node.at, message));
        }
        most
    }

    /// Reports a handler that does not stand as what runs it does.
    fn handler_stands(&mut self, table: &Table, at: Span, requires: &Requires) {
        if *requires == Requires::Many("HttpPort".to_owned()) {
            return;
        }
        let at = get(table, "requires").map_or(at, |node| node.at);
        let report = Report::new(at, "a handler stands on one or more services of HTTP");
        self.reports.push(report.help("write `requires = \"HttpPort+\"`"));
    }

    fn per_core(&mut self, table: &Table) -> PerCore {
        let Some(node) = get(table, "per-core") else { return PerCore::Replicate };
        match node.str() {
            Some("alone") => PerCore::Alone,
            Some("one") => PerCore::One,
            Some("queue") => PerCore::Queue,
            Some("replicate") => PerCore::Replicate,
            _ => {
                let message = "`per-core` is \"replicate\", \"queue\", \"one\" or \"alone\"";
                self.reports.push(Report::new(node.at, message));
                PerCore::Replicate
            }
        }
    }

    /// Reports a name that no key can have, since it is another thing in a manifest or in Rust.
    fn name_of_key(&mut self, key: &Key) {
        let name = key.name.as_str();
        let why = if RESERVED_KEYS.contains(&name) {
            "every instance has such a key of its own"
        } else if is_keyword(name) {
            "it is a word of Rust, where it would be a field"
        } else if !is_word(name) {
            "use lower-case letters, digits and hyphens, a letter first"
        } else {
            return;
        };
        let report = Report::new(key.at, format!("`{name}` is no name for a key")).label(why);
        self.reports.push(report.help("give it another name"));
    }

    fn field(&mut self, key: &Key, node: &Node) -> Option<Field> {
        self.name_of_key(key);
        let Some(table) = node.table() else {
            let report = Report::new(node.at, format!("the key `{}` is no table", key.name));
            self.reports.push(report.help("such as { type = \"u16\", default = 7, doc = \"…\" }"));
            return None;
        };
        self.unknown(table, &FIELD_KEYS, "a key of a component");
        let text = |key| get(table, key).and_then(Node::str);
        let kind_text = text("type").unwrap_or_default();
        let Some(kind) = Type::parse(kind_text, text("rust")) else {
            let report = Report::new(get(table, "type").map_or(key.at, |node| node.at), {
                format!("`{}` has no type that the generator knows", key.name)
            });
            self.reports.push(report.help(
                "u8 u16 u32 u64 bool string duration size ipv4 ipv6 ip cidr4 cidr6 mac route4,\n\
                 `[T]`, `T | word`, `a | b` with `rust = \"EnumAtTheRoot\"`, private-keys, trust,\n\
                 or certificates and staples with `rust = \"StructAtTheRoot\"`",
            ));
            return None;
        };
        let range_text = text("range").map(str::to_owned);
        let range = range_text.as_deref().and_then(|range| kind.range(range));
        if let (Some(node), None) = (get(table, "range"), range) {
            let message = format!("this is no range of {kind_text}");
            self.reports.push(Report::new(node.at, message).help("such as \"1..=255\""));
        }
        let field = Field {
            name: key.name.clone(),
            at: key.at,
            kind,
            kind_text: kind_text.to_owned(),
            range,
            range_text,
            default: get(table, "default").cloned(),
            optional: get(table, "optional").is_some_and(|n| n.value == Value::Bool(true)),
            doc: text("doc").unwrap_or_default().to_owned(),
            boot: get(table, "boot").is_some_and(|n| n.value == Value::Bool(true)),
            memory: get(table, "memory").and_then(|node| match node.value {
                Value::Integer(bytes) => u64::try_from(bytes).ok(),
                _ => None,
            }),
            not_with: text("not-with").map(str::to_owned),
            unique: get(table, "unique").is_some_and(|n| n.value == Value::Bool(true)),
            secret: get(table, "secret").is_some_and(|n| n.value == Value::Bool(true)),
        };
        if let (Some(node), true, None) = (get(table, "boot"), field.boot, field.boot_parser()) {
            let message = format!("a key of type {kind_text} cannot be set at boot");
            self.reports.push(Report::new(node.at, message).help("remove `boot`"));
        }
        let default = field.default.as_ref();
        let is_file = matches!(field.kind, Type::Certificates(_) | Type::PrivateKeys | Type::Trust);
        let default = default.filter(|_| !is_file);
        if let Some(Err(why)) = default.map(|default| field.expression(default, "x")) {
            let message = format!("the default of `{}` does not fit its type", key.name);
            let label = format!("expected {}", why.expected);
            self.reports.push(Report::new(why.at, message).label(label));
        }
        Some(field)
    }

    fn unknown(&mut self, table: &Table, known: &[&str], what: &str) {
        for (key, _) in table.iter().filter(|(key, _)| !known.contains(&key.name.as_str())) {
            let report = Report::new(key.at, format!("{what} has no key `{}`", key.name));
            let near = nearest(&key.name, known.iter().copied());
            self.reports.push(match near {
                Some(near) => report.label(format!("did you mean `{near}`?")),
                None => report.help(format!("there are {}", list(known))),
            });
        }
    }
}

/// How many services of HTTP a handler can stand on: what `waitless::http::Server` is made for.
pub const HTTP_PORTS: usize = 6;

/// The keys of every component that runs an app's handlers, which come before those of its own.
pub const SERVER_KEYS: [&str; 3] = ["tasks", "patience", "files"];

/// A key of every component that runs an app's handlers: `waitless::http::ServerConfig`.
fn tasks(at: Span) -> Field {
    Field {
        name: "tasks".to_owned(),
        at,
        kind: Type::Unsigned(32),
        kind_text: "u32".to_owned(),
        range: Some((1, 65_536)),
        range_text: Some("1..=65536".to_owned()),
        default: Some(Node { value: Value::Integer(1024), at }),
        optional: false,
        doc: "How many requests are served at a time, fewer where there is little memory. Near \
              that, slow clients have to go."
            .to_owned(),
        boot: false,
        memory: None,
        not_with: None,
        unique: false,
        secret: false,
    }
}

/// Another one.
fn patience(at: Span) -> Field {
    let second = 1_000_000_000;
    Field {
        name: "patience".to_owned(),
        at,
        kind: Type::Duration,
        kind_text: "duration".to_owned(),
        range: Some((0, 3600 * second)),
        range_text: Some("0s..=1h".to_owned()),
        default: Some(Node { value: Value::String("1s".to_owned()), at }),
        optional: false,
        doc: "How long a request waits for its turn when as many are served; then it is answered \
              with 503."
            .to_owned(),
        boot: false,
        memory: None,
        not_with: None,
        unique: false,
        secret: false,
    }
}

/// The last one.
fn files(at: Span) -> Field {
    Field {
        name: "files".to_owned(),
        at,
        kind: Type::Folder,
        kind_text: "folder".to_owned(),
        range: None,
        range_text: None,
        default: Some(Node { value: Value::String("none".to_owned()), at }),
        optional: false,
        doc: "A folder, beside the manifest, whose files become part of the image: what the \
              handler `waitless::http::files` serves."
            .to_owned(),
        boot: false,
        memory: None,
        not_with: None,
        unique: false,
        secret: false,
    }
}
