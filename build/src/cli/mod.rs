//! The command line: what `cargo run -p build -- …` does.

mod add;
mod audit;
mod code;
mod components;
mod doctor;
mod explain;
mod flat;
mod image;
mod iso;
mod new;
mod references;
mod rfc;
mod run;
mod schema;
mod sim;
mod size;
mod symbols;
mod tap;
mod top;

use crate::graph::Graph;
use crate::project::{PlatformFile, Project};
use crate::report::{list, nearest};
use crate::{emit, json, picture};
use clap::{Args, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

pub use audit::{Allow, Finding, Outcome, What, allow_list, audit_image, is_clean};
pub use components::markdown;
pub use doctor::{Surroundings, report as doctor};
pub use explain::explain;
pub use flat::flat;
pub use new::MAIN;
pub use rfc::Coverage;
pub use schema::schema;
pub use size::{Sizes, owner, sizes};

/// Waitless: from a manifest to a graph, to pictures of it, and to an image that runs.
#[derive(Parser, Debug)]
#[command(name = "waitless-build", version, max_term_width = 100)]
#[command(after_help = "All commands work on the app of the current folder, or on --app; \
    `help COMMAND` has examples.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which graph is meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct Which {
    /// The app: the name of its package [default: the current folder's, else the workspace's]
    #[arg(long, value_name = "NAME", global = true)]
    pub app: Option<String>,
    /// The platform: a folder of `platforms/`
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        env = "WAITLESS_PLATFORM",
        default_value = "qemu"
    )]
    pub platform: String,
    /// The architecture, of a platform that has several [default: the platform's first]
    #[arg(long, value_name = "NAME", global = true, env = "WAITLESS_ARCH")]
    pub arch: Option<String>,
}

/// What the machine is given, whatever the manifests say.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Given {
    /// The virtual machine's memory [default: what the manifests say, else 128M]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// The virtual machine's processors [default: what the manifest says, 1 for "all"]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub cores: Option<u64>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Says everything that is wrong with a manifest
    #[command(after_help = "Examples:\n  check\n  check --app hello --platform native\n  \
        check --memory 8M --cores 4\n  check --all")]
    Check {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        given: Given,
        /// Every app on every platform that it is for
        #[arg(long)]
        all: bool,
    },
    /// Draws the graph: a tree in the terminal, or a picture
    #[command(after_help = "Examples:\n  graph\n  graph --svg graph.svg --html graph.html\n  \
        graph --dot | dot -Tpng > graph.png\n  graph --json | jq .instances[].name")]
    Graph {
        #[command(flatten)]
        which: Which,
        /// In the language of Graphviz
        #[arg(long, group = "form")]
        dot: bool,
        /// As JSON, as an image shows it on /graph
        #[arg(long, group = "form")]
        json: bool,
        /// Writes a picture
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// Writes a page with the picture and all settings, which needs nothing else
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Prints the code that is generated from the graph
    #[command(after_help = "Examples:\n  show\n  show --app hello --platform native | less")]
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// Says what an instance is, and every key with its value and where that comes from
    #[command(after_help = "Examples:\n  explain ip4\n  explain http --platform native\n  \
        explain netem        # a component that is not in the graph")]
    Explain {
        /// The instance, or a component
        instance: String,
        #[command(flatten)]
        which: Which,
    },
    /// Lists all components that there are
    #[command(after_help = "Examples:\n  components\n  components --markdown > docs/components.md")]
    Components {
        /// All of it with every key, as docs/components.md holds it
        #[arg(long)]
        markdown: bool,
    },
    /// Adds an instance of a component to the manifest, and its crate to the app's Cargo.toml
    #[command(after_help = "Examples:\n  add pcap --under eth\n  \
        add http1 --name alternate --on tcp --set port=8000\n  \
        add echo --on udp --set port=7 --dry-run")]
    Add(add::Add),
    /// Makes an app that builds and boots at once
    #[command(
        after_help = "Examples:\n  new clock                    # apps/clock in this workspace\n  \
        new clock --path ../clock    # in a repository of its own, on this tree\n  \
        new clock --path ../clock --git https://example.org/waitless"
    )]
    New(new::New),
    /// Says how many bytes of an image each component takes
    #[command(after_help = "Examples:\n  size\n  size --app hello --json\n  \
        size --image target/x86_64-waitless/release/hello")]
    Size(size::Size),
    /// Proves that nothing reachable from the sweep makes an indirect call or jump
    #[command(after_help = "Examples:\n  audit\n  audit --app hello --arch aarch64\n  \
        audit --root 'platform_machine::run'")]
    Audit(audit::Audit),
    /// Says which clauses of an RFC are obeyed: where, by which test, or why not
    #[command(after_help = "Examples:\n  rfc 9293\n  rfc | grep ' no:'\n  \
        rfc --markdown > docs/conformance.md")]
    Rfc(rfc::Rfc),
    /// Says what this machine can run, and what is missing for the rest
    Doctor,
    /// Builds an image and boots it
    #[command(after_help = "Examples:\n  run\n  run --app hello --platform native\n  \
        run --http-port 8000 --memory 64M --timeout 30\n  run --net tap --qemu-arg=-s\n  \
        run --arch aarch64 --nic virtio-mmio")]
    Run(run::Run),
    /// Simulates hosts with an app's graph, which visit each other over a bad wire
    #[command(after_help = "Examples:\n  sim hello\n  sim hello --seeds 1000 --loss 2% --reorder \
        --delay 40ms±10\n  sim webserver --path '/download?bytes=100000' --post /echo=50000 \
        --partition 5s..8s\n  sim hello --seed 17 --verbose\n  sim hello --help")]
    Sim(sim::Sim),
    /// Makes a bootable ISO, for BIOS and UEFI
    #[command(after_help = "Examples:\n  iso\n  iso --app hello --output hello.iso\n  \
        iso --loader grub --command-line log=debug")]
    Iso(iso::Iso),
    /// Shows live where an image's time goes, instance by instance
    #[command(after_help = "The image needs `trace = true` in [app]. Examples:\n  \
        top localhost:8080\n  top 10.0.2.15 --interval 5 --count 1")]
    Top(top::Top),
    /// Writes a JSON Schema for waitless.toml, by which editors complete and check
    #[command(
        after_help = "Examples:\n  schema                # to target/waitless.schema.json\n  \
        schema --output -"
    )]
    Schema {
        /// The file, or `-` for standard output [default: target/waitless.schema.json]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    match dispatch(command) {
        Ok(code) => code,
        Err(message) => {
            let message = message.trim_end();
            let known = message.starts_with("error") || message.starts_with("\nerror");
            eprintln!("{}{message}", if known { "" } else { "error: " });
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, String> {
    match command {
        Command::Check { which, given, all } => check(&which, &given, all)?,
        Command::Graph { which, dot, json, svg, html } => draw(&which, dot, json, svg, html)?,
        Command::Show { which } => {
            let (project, graph) = load(&which)?;
            print(&emit::code(&graph, &project.sources));
        }
        Command::Explain { instance, which } => {
            let (project, graph) = load(&which)?;
            print(&explain(&project, &graph, &instance)?);
        }
        Command::Doctor => print(&doctor::report(&doctor::Here, &open()?.platforms())),
        Command::Components { markdown } => {
            let project = open()?;
            let catalogue = &project.catalogue;
            print(&if markdown {
                components::markdown(catalogue)
            } else {
                components::table(catalogue)
            });
        }
        Command::Add(add) => add.run(open()?)?,
        Command::New(new) => new.run()?,
        Command::Size(size) => size.run()?,
        Command::Audit(audit) => return audit.run(),
        Command::Rfc(rfc) => rfc.run()?,
        Command::Run(run) => return run.run(),
        Command::Sim(sim) => return sim.run(),
        Command::Iso(iso) => iso.run()?,
        Command::Top(top) => top.run()?,
        Command::Schema { output } => {
            let project = open()?;
            let text = schema::schema(&project);
            match output {
                Some(path) if path == Path::new("-") => print(&text),
                Some(path) => write(&path, &text)?,
                None => write(&project.workspace.target.join("waitless.schema.json"), &text)?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(which: &Which, given: &Given, all: bool) -> Result<(), String> {
    let mut project = open()?;
    project.give(given.memory.as_deref(), given.cores);
    let variants: Vec<(String, String, Option<String>)> = if all {
        let platforms = project.platforms();
        let each = |app: String| {
            let variant = move |p: &PlatformFile| (app.clone(), p.name.clone(), p.arch.clone());
            platforms.iter().map(variant).collect::<Vec<_>>()
        };
        project.apps().into_iter().flat_map(each).collect()
    } else {
        vec![(app(&project, which)?, which.platform.clone(), which.arch.clone())]
    };
    let (mut wrong, mut here) = (String::new(), Vec::new());
    for (app, platform, arch) in variants {
        project.set_arch(arch.clone());
        if all && !project.is_for(&app, &platform)? {
            continue;
        }
        here.push(app.clone());
        let arch = arch.map_or(String::new(), |arch| format!(", {arch}"));
        match project.graph(&app, &platform) {
            Ok(graph) => {
                let count = graph.instances.len();
                println!("{app} on {platform}{arch}: {count} instances, all well");
                graph.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            }
            Err(why) if all => wrong += &format!("{app} on {platform}{arch}:\n{why}\n"),
            Err(why) => return Err(why),
        }
    }
    if all {
        project.set_arch(None);
        wrong += &checked_nowhere(&mut project, &here);
    }
    // Editors look for it there.
    let schema = project.workspace.target.join("waitless.schema.json");
    if project.workspace.target.is_dir() {
        let _ = fs::write(schema, schema::schema(&project));
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("\nerror: not all is well\n{wrong}")) }
}

/// What is wrong with the apps that are for none of the platforms: not among those `here`.
pub fn checked_nowhere(project: &mut Project, here: &[String]) -> String {
    let mut wrong = String::new();
    for app in project.apps().into_iter().filter(|app| !here.contains(app)) {
        let first = project.platforms().into_iter().next().map(|platform| platform.name);
        let why = match first.map(|platform| project.graph(&app, &platform)) {
            None => "there are no platforms".to_owned(),
            Some(Err(why)) => why,
            Some(Ok(_)) => continue,
        };
        wrong += &format!("{app}, which is for no platform:\n{why}\n");
    }
    wrong
}

fn draw(
    which: &Which,
    dot: bool,
    json: bool,
    svg: Option<PathBuf>,
    html: Option<PathBuf>,
) -> Result<(), String> {
    let (project, graph) = load(which)?;
    if let Some(path) = &svg {
        write(path, &picture::svg(&graph))?;
    }
    if let Some(path) = &html {
        write(path, &picture::html(&graph, &project.sources))?;
    }
    if dot {
        print(&picture::dot(&graph));
    } else if json {
        print(&json::pretty(&graph, &project.sources));
    } else if svg.is_none() && html.is_none() {
        let colour = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        print(&picture::tree(&graph, colour));
    }
    Ok(())
}

/// The project around the current folder.
pub(crate) fn open() -> Result<Project, String> {
    let mut folder = env::current_dir().map_err(|why| format!("no current folder: {why}"))?;
    let here = folder.clone();
    while !folder.join("Cargo.toml").is_file() {
        if !folder.pop() {
            let here = here.display();
            return Err(format!("there is no Cargo.toml in {here} or above; go into a workspace"));
        }
    }
    Project::open(&folder)
}

/// The app that is meant.
pub(crate) fn app(project: &Project, which: &Which) -> Result<String, String> {
    match &which.app {
        Some(app) => Ok(app.clone()),
        None => project.default_app(),
    }
}

/// The project and the graph that is meant.
pub(crate) fn load(which: &Which) -> Result<(Project, Graph), String> {
    load_for(which, &Given::default())
}

/// The same, for a machine that is given something else than the manifests say.
pub(crate) fn load_for(which: &Which, given: &Given) -> Result<(Project, Graph), String> {
    let mut project = open()?;
    project.give(given.memory.as_deref(), given.cores);
    project.set_arch(which.arch.clone());
    let app = app(&project, which)?;
    let graph = project.graph(&app, &which.platform)?;
    Ok((project, graph))
}

/// Prints; a reader that went away is no error.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes a file and says so.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), String> {
    let fail = |why| format!("cannot write {}: {why}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    fs::write(path, text).map_err(fail)?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// A message for a name that is not known.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("there is no {what} `{name}`; did you mean `{near}`?"),
        None => format!("there is no {what} `{name}`; there are {}", list(known)),
    }
}
