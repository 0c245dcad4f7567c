//! What a request, a connection and the image cost, counted exactly: no more than 2% above what
//! `tests/baseline.toml` says.
//!
//! A busy machine changes none of these. Instructions are counted by callgrind; without valgrind
//! that test says so and counts nothing; with `WAITLESS_TEST_REQUIRE=all` it fails then.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs, iter};
use waitless_tests::lab::{Arch, Images, loaded_size};

const REQUIRE: &str = "WAITLESS_TEST_REQUIRE";

/// What was measured, by kind and name.
type Baseline = BTreeMap<String, BTreeMap<String, u64>>;

#[test]
fn instructions_have_not_grown() {
    if has_valgrind() {
        compare("instructions", |what| exchange(&BENCH.server, what));
    }
}

/// Both ends of connections.
#[test]
fn ends_have_not_grown() {
    if has_valgrind() {
        compare("ends", |what| exchange(&BENCH.ends, what));
    }
}

/// The server's end.
#[test]
fn handshakes_have_not_grown() {
    if has_valgrind() {
        let count = |what: &str| instructions(&BENCH.tls, "*Ours*hear*", &["handshakes", what]);
        compare("handshakes", count);
    }
}

#[test]
fn allocations_have_not_grown() {
    compare("allocations", |what| bench("allocations", what));
}

#[test]
fn connections_have_not_grown() {
    compare("connection", |what| bench("connection", what));
}

/// The images that the tests of whole images boot.
#[test]
fn the_image_has_not_grown() {
    compare("image", |what| {
        let arch = match what {
            "x86_64" => Arch::X86_64,
            "aarch64" => Arch::Aarch64,
            _ => panic!("no image is built for {what}"),
        };
        Images::build_these(&[("webserver", Some(arch))]).expect("the image builds");
        let image = Images::built().image_for("webserver", arch);
        loaded_size(&fs::read(image).expect("it was built"))
    });
}

#[test]
fn growth_beyond_two_percent_is_found() {
    assert_eq!(most(0), 0);
    assert_eq!(most(49), 49);
    assert_eq!(most(50), 51);
    assert_eq!(most(684_792), 698_487);
}

/// The most that is allowed where `baseline` was measured.
fn most(baseline: u64) -> u64 {
    baseline + baseline / 50
}

/// Measures everything of a kind; panics with what has grown too much.
#[track_caller]
fn compare(kind: &str, measure: impl Fn(&str) -> u64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.toml");
    let text = fs::read_to_string(path).expect("the baseline is there");
    let mut baseline: Baseline = toml::from_str(&text).expect("the baseline is TOML");
    let of_kind = baseline.remove(kind).expect("the baseline has this kind");
    assert!(!of_kind.is_empty(), "nothing is compared");
    let mut grown = Vec::new();
    for (what, before) in of_kind {
        let now = measure(&what);
        println!("{kind}, {what}: {now}, baseline {before}");
        if now > most(before) {
            grown.push(format!("{what}: {now} instead of {before}, at most {}", most(before)));
        }
    }
    assert!(
        grown.is_empty(),
        "{kind}: more than 2% above tests/baseline.toml:\n  {}\nFind out what has become dearer, \
         or change the baseline and say why. Figures and tools: docs/performance.md",
        grown.join("\n  ")
    );
}

/// Whether instructions can be counted.
fn has_valgrind() -> bool {
    let found = Command::new("valgrind").arg("--version").output().is_ok();
    if !found {
        // Not by a macro: what those print is shown only when a test fails.
        let _ = writeln!(io::stderr(), "\n*** instructions are not counted: needs valgrind ***");
        let required = env::var(REQUIRE).is_ok_and(|value| value == "all");
        assert!(!required, "{REQUIRE}=all: a skipped test is a failure here");
    }
    found
}

/// Instructions of ours for each exchange of the kind `what` that `program` makes.
fn exchange(program: &Path, what: &str) -> u64 {
    let words: Vec<&str> = iter::once("instructions").chain(what.split(' ')).collect();
    instructions(program, "*Ours*work*", &words)
}

/// Instructions in `function` for each of what `program` makes when it is told `words`.
fn instructions(program: &Path, function: &str, words: &[&str]) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(format!("--toggle-collect={function}"));
    let (told, counted) = run(valgrind.arg(program).args(words));
    let exchanges = told.trim().parse::<u64>().expect("the bench says how many it made");
    let total = counted.lines().find_map(|line| line.split_once("Collected : "));
    let total = total.and_then(|(_, total)| total.trim().parse::<u64>().ok());
    total.expect("callgrind says what it counted") / exchanges
}

/// What the bench says of one thing.
fn bench(mode: &str, what: &str) -> u64 {
    let (told, _) = run(Command::new(&BENCH.server).arg(mode).args(what.split(' ')));
    told.trim().parse().expect("the bench says a number")
}

/// Output and errors of a program that succeeds.
#[track_caller]
fn run(command: &mut Command) -> (String, String) {
    let output = command.output().expect("it runs");
    let [told, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}:\n{told}{errors}");
    (told, errors)
}

/// The programs of the bench.
struct Bench {
    /// A server and a client made of frames.
    server: PathBuf,
    /// Both ends.
    ends: PathBuf,
    /// A server's end of handshakes.
    tls: PathBuf,
}

/// The bench, built as it is measured.
static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["build", "--quiet", "--release", "--package", "waitless-bench"]);
    cargo.args([
        "--no-default-features",
        "--bin",
        "waitless-bench",
        "--bin",
        "ends",
        "--bin",
        "tls",
    ]);
    cargo.args(["--message-format", "json"]);
    let (messages, _) = run(&mut cargo);
    let values = messages.lines().filter_map(|line| serde_json::from_str(line).ok());
    let executables: BTreeMap<String, PathBuf> = values
        .filter_map(|value: serde_json::Value| {
            let name = value["target"]["name"].as_str()?.to_owned();
            Some((name, PathBuf::from(value["executable"].as_str()?)))
        })
        .collect();
    let program = |name: &str| executables.get(name).expect("cargo says what it built").clone();
    Bench { server: program("waitless-bench"), ends: program("ends"), tls: program("tls") }
});
