//! Every script in `tests/scripts`, against the TCP component: each state transition, option,
//! timer and attack. `cargo test -p waitless-tests --test scripts -- NAME` runs those whose name
//! contains a word.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use waitless_tests::script::{Mistake, parse, run};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with('-')).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder with scripts")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "pkt"))
        .collect();
    scripts.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    scripts.retain(|path| words.is_empty() || words.iter().any(|word| name(path).contains(word)));
    let mut failed = 0;
    for path in &scripts {
        if let Err(Mistake { line, what }) = play(path) {
            failed += 1;
            println!("tests/scripts/{}:{line}: {what}\n", name(path));
        }
    }
    let passed = scripts.len() - failed;
    println!("\ntest result: {passed} scripts passed; {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(path: &Path) -> Result<(), Mistake> {
    let text = std::fs::read_to_string(path).expect("a script is text");
    run(&parse(&text)?)
}
