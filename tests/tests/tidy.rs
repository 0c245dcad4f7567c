//! The rules of `waitless_tests::tidy`, applied to this checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;
use waitless_tests::lab;
use waitless_tests::tidy::{self, Exception, Known, Source};

/// Where `unsafe` may stand, and why it must.
const UNSAFE: &[Exception] = &[
    Exception { path: "platforms/", why: "they are what turns hardware into safe Rust" },
    Exception { path: "components/tap/src/device.rs", why: "TAP devices take an ioctl" },
    Exception { path: "core/src/packet.rs", why: "buffers are shared with devices" },
    Exception { path: "core/src/cores/ring.rs", why: "two cores share the places of a ring" },
    Exception { path: "core/src/cores/once.rs", why: "a pointer changes hands between cores" },
    Exception { path: "core/src/device.rs", why: "registers and DMA memory are not Rust's" },
    Exception { path: "core/src/task/room.rs", why: "futures are made where they stay" },
    Exception { path: "core/src/task/waker.rs", why: "wakers without reference counts or boxes" },
    Exception { path: "components/tcp/tests/memory.rs", why: "an allocator that counts" },
    Exception { path: "tests/tests/hvf/guest.rs", why: "a machine reaches packets as devices do" },
    Exception { path: "tests/tests/peers/raw.rs", why: "no safe call names a device to send by" },
    Exception { path: "tests/bench/plugin/src/lib.rs", why: "QEMU calls it, and counts for it" },
    Exception { path: "tests/src/allocations.rs", why: "a global allocator that counts is unsafe" },
];

/// Where `unwrap` and `expect` may stand in code that images are made of, and why.
const PANICKING: &[Exception] = &[];

/// Where the code is that images are made of.
const IN_IMAGES: [&str; 6] = [
    "components/",
    "core/",
    "platforms/aarch64/",
    "platforms/cpufeatures/",
    "platforms/machine/",
    "platforms/x86_64/",
];

/// The checkout's Rust files.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let files = tidy::files().into_iter().filter(|file| file.ends_with(".rs"));
    files.map(|file| Source::parse(&file, &read(&file)).expect("every .rs file is Rust")).collect()
});

fn read(file: &str) -> String {
    let bytes = std::fs::read(tidy::checkout().join(file)).expect("a listed file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Files that people write and read.
fn texts() -> impl Iterator<Item = (String, String)> {
    const ENDS: [&str; 9] =
        [".rs", ".toml", ".sh", ".ld", ".md", ".s", ".S", "Makefile", ".ci/run"];
    let files = tidy::files().into_iter();
    let written = files.filter(|file| ENDS.iter().any(|end| file.ends_with(end)));
    written.map(|file| (read(&file), file)).map(|(text, file)| (file, text))
}

#[test]
fn lines_fit() {
    // Tables of documents and inline tables of manifests cannot be broken.
    let texts = texts().filter(|(file, _)| !file.ends_with(".md") && !file.ends_with(".toml"));
    tidy::none_of(texts.flat_map(|(file, text)| tidy::line_length(&file, &text)));
}

#[test]
fn functions_and_files_fit() {
    tidy::none_of(SOURCES.iter().flat_map(tidy::function_length));
    tidy::none_of(SOURCES.iter().filter(|s| !s.is_tests()).flat_map(tidy::file_length));
}

#[test]
fn long_tests_have_a_file_of_their_own() {
    tidy::none_of(SOURCES.iter().flat_map(tidy::inline_tests));
}

#[test]
fn nothing_was_left_for_later() {
    tidy::none_of(SOURCES.iter().flat_map(tidy::forbidden_words));
    tidy::none_of(texts().flat_map(|(file, text)| tidy::forbidden_text(&file, &text)));
}

#[test]
fn components_do_not_panic_on_what_they_are_given() {
    let in_images = SOURCES.iter().filter(|source| {
        IN_IMAGES.iter().any(|folder| source.path.starts_with(folder))
            && source.path.contains("/src/")
    });
    tidy::none_of(in_images.flat_map(|source| tidy::panicking_calls(source, PANICKING)));
}

#[test]
fn unsafe_stands_where_it_is_argued() {
    tidy::none_of(SOURCES.iter().flat_map(|source| tidy::unsafe_code(source, UNSAFE)));
}

#[test]
fn every_exception_is_still_needed() {
    for exception in UNSAFE {
        let found = SOURCES.iter().filter(|s| s.path.starts_with(exception.path));
        let needed = found.map(|source| tidy::unsafe_code(source, &[]).len()).sum::<usize>();
        assert!(needed > 0, "{} has no unsafe ({})", exception.path, exception.why);
    }
    for exception in PANICKING {
        let found = SOURCES.iter().filter(|s| s.path.starts_with(exception.path));
        let needed = found.map(|source| tidy::panicking_calls(source, &[]).len()).sum::<usize>();
        assert!(needed > 0, "{} does not panic ({})", exception.path, exception.why);
    }
}

#[test]
fn nothing_names_one_machine() {
    let home = std::env::var("HOME").ok();
    let all = tidy::files().into_iter().filter(|file| !file.ends_with("Cargo.lock"));
    tidy::none_of(all.flat_map(|file| tidy::machine_paths(&file, &read(&file), home.as_deref())));
}

#[test]
fn components_are_complete() {
    let folders: BTreeSet<String> = tidy::files()
        .iter()
        .filter_map(|file| file.strip_prefix("components/")?.split_once('/'))
        .map(|(name, _)| format!("components/{name}"))
        .collect();
    tidy::none_of(folders.iter().flat_map(|folder| {
        let inside = format!("{folder}/src/");
        let sources: Vec<&Source> =
            SOURCES.iter().filter(|source| source.path.starts_with(&inside)).collect();
        let manifest = read(&format!("{folder}/Cargo.toml"));
        tidy::unfinished_component(folder, &manifest, &sources, UNSAFE)
    }));
}

#[test]
fn no_file_is_dead() {
    let root = tidy::checkout();
    let metadata = tidy::metadata();
    let mut roots = Vec::new();
    for package in metadata["packages"].as_array().expect("packages") {
        for target in package["targets"].as_array().expect("targets") {
            let path = target["src_path"].as_str().expect("a path");
            let path = path.strip_prefix(root.to_str().expect("text")).unwrap_or(path);
            roots.push(path.trim_start_matches('/').to_owned());
        }
    }
    // Workspaces of their own.
    roots.extend(tidy::files().into_iter().filter(|f| f.starts_with("tests/fuzz/fuzz_targets/")));
    roots.push("tests/bench/linux/src/main.rs".to_owned());
    tidy::none_of(tidy::dead_files(&roots, &SOURCES));
}

#[test]
fn dependencies_point_down() {
    let root = tidy::checkout();
    tidy::none_of(tidy::dependencies(&tidy::metadata(), root.to_str().expect("text")));
}

#[test]
fn links_lead_somewhere() {
    let there = |path: &str| {
        let path = tidy::checkout().join(path);
        if path.is_dir() { Some(String::new()) } else { std::fs::read_to_string(path).ok() }
    };
    let documents = texts().filter(|(file, _)| file.ends_with(".md"));
    tidy::none_of(documents.flat_map(|(file, text)| tidy::broken_links(&file, &text, &there)));
}

#[test]
fn commands_in_documents_exist() {
    let known = known_commands();
    let documents = texts().filter(|(file, _)| file.ends_with(".md"));
    tidy::none_of(documents.flat_map(|(file, text)| tidy::unknown_commands(&file, &text, &known)));
}

#[test]
fn fuzzing_takes_every_target_and_no_other() {
    let script = tidy::checkout().join("tests/fuzz/run");
    let run = |arguments: &[&str]| Command::new(&script).args(arguments).output().expect("a shell");
    let listed = run(&["--list"]).stdout;
    let listed = String::from_utf8(listed).expect("names");
    let targets: BTreeSet<_> = waitless_tests::fuzz::TARGETS.into_iter().collect();
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), targets);
    let refused = run(&["1", "htpp"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("no target `htpp`"), "{why}");
}

#[test]
fn make_passes_words_on_as_they_are_and_refuses_what_does_not_fit() {
    let make = |arguments: &[&str]| {
        let mut make = Command::new("make");
        // This may run below another one.
        make.current_dir(tidy::checkout()).args(arguments).env_remove("MAKEFLAGS");
        let output = make.output().expect("make");
        let said =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        (output.status.success(), said.concat())
    };
    let (_, said) = make(&["-n", "run", "PLATFORM=qemu", "SET=a.b=1;c d.e=$$2"]);
    assert!(said.contains("--set 'a.b=1;c' --set 'd.e=$2'"), "{said}");
    for goal in ["arch-fits", "arch-of-iso"] {
        let (fine, said) = make(&[goal, "PLATFORM=iso", "ARCH=aarch64"]);
        assert!(!fine && said.contains("an ISO boots x86_64"), "{said}");
        assert!(make(&[goal, "PLATFORM=iso", "ARCH=x86_64"]).0);
    }
}

fn known_commands() -> Known {
    let makefile = read("Makefile");
    let mut known = Known::default();
    for line in makefile.lines() {
        if let Some((target, _)) = line.split_once(':').filter(|(name, _)| is_name(name)) {
            known.make_targets.insert(target.to_owned());
        }
        if let Some((name, _)) = line.split_once('=') {
            let name = name.trim_end_matches(['?', ':', ' ']);
            known.make_variables.insert(name.to_owned());
        }
    }
    let metadata = tidy::metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        known.packages.insert(package["name"].as_str().expect("a name").to_owned());
    }
    known.build = subcommands();
    known
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// The subcommands that `build --help` lists, one a line and indented, and their options.
fn subcommands() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for line in build_help(&["--help"]).lines().filter(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next().unwrap_or_default();
        if is_name(name) && !name.starts_with('-') && name != "help" {
            found.insert(name.to_owned(), options(&build_help(&[name, "--help"])));
        }
    }
    found
}

fn options(help: &str) -> BTreeSet<String> {
    let words = help.split(|c: char| c.is_whitespace() || "[]|,=".contains(c));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

fn build_help(arguments: &[&str]) -> String {
    let said = lab::waitless_build(&tidy::checkout(), arguments).output().expect("it runs");
    assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("help is text")
}
