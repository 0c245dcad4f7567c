//! No manifest, however broken, makes the generator panic.

mod common;

use build::picture;
use common::{cases, platform, project};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many broken manifests are tried.
const ROUNDS: usize = 2_000;

/// Small pieces that mean something in a manifest.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "\"",
    "=",
    "\n",
    ".",
    "{",
    "}",
    ",",
    "#",
    "'",
    "on",
    "is",
    "under",
    "udp",
    "ä",
    "\t",
    "[app]",
    "[a.b]",
    "0",
    "-1",
    "99999999999999999999",
    "true",
    "\u{0}",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn broken_manifests_never_panic() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (good, bad) = (cases("graphs", "toml"), cases("errors", "toml"));
    let (mut sound, mut wrong) = (0, 0);
    let first = project("fuzz", "[app]\ncrate = \"web\"\n");
    let path = first.workspace.root.join("apps/web/waitless.toml");
    let mut workspace = first.workspace;
    workspace.root.clone_from(&workspace.home);
    for _ in 0..ROUNDS {
        let seeds = if dice.below(3) > 0 { &good } else { &bad };
        let manifest = mutate(&seeds[dice.below(seeds.len())].1, &mut dice);
        fs::write(&path, &manifest).unwrap();
        let folder = workspace.root.clone();
        let workspace = workspace.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut project = build::Project::with(workspace, &folder);
            match project.graph("web", platform(&manifest)) {
                Ok(graph) => {
                    let code = build::emit::code(&graph, &project.sources);
                    let drawn = picture::svg(&graph) + &picture::tree(&graph, true);
                    assert!(!code.is_empty() && !drawn.is_empty());
                    true
                }
                Err(text) => {
                    assert!(text.starts_with("error") || text.starts_with("there is no platform"));
                    false
                }
            }
        }));
        match outcome {
            Ok(true) => sound += 1,
            Ok(false) => wrong += 1,
            Err(_) => panic!("this manifest panics:\n{manifest}\n({manifest:?})"),
        }
    }
    assert!(sound > ROUNDS / 50 && wrong > ROUNDS / 2, "{sound} sound, {wrong} wrong");
}

#[test]
fn deep_manifests_are_refused() {
    let dotted = ["a"; 79].join(".");
    let mut nested = "1".to_owned();
    for _ in 0..78 {
        nested = format!("{{ {dotted} = {nested} }}");
    }
    let lists = format!("{}{}", "[".repeat(78), "]".repeat(78));
    for value in [nested, lists, format!("{{ {} = 1 }}", ["a"; 70].join("."))] {
        let manifest = format!("[app]\ncrate = \"web\"\n[x]\ny = {value}\n");
        let text = project("deep", &manifest).graph("web", "qemu").unwrap_err();
        assert!(text.contains("too deep"), "{text}");
    }
}

/// One to four changes: a piece put in, a stretch taken out, doubled or moved.
fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(letters.len() + 1);
        let end = (at + dice.below(12)).min(letters.len());
        match dice.below(5) {
            0 => drop(letters.drain(at..end)),
            1 => {
                let piece = PIECES[dice.below(PIECES.len())];
                letters.splice(at..at, piece.chars());
            }
            2 => {
                let part: Vec<char> = letters[at..end].to_vec();
                let to = dice.below(letters.len() + 1);
                letters.splice(to..to, part);
            }
            3 => {
                // Another line of the same manifest, in place of this one.
                let lines: Vec<String> =
                    letters.iter().collect::<String>().lines().map(str::to_owned).collect();
                let mut lines = lines;
                if !lines.is_empty() {
                    let (a, b) = (dice.below(lines.len()), dice.below(lines.len()));
                    lines.swap(a, b);
                }
                letters = lines.join("\n").chars().collect();
            }
            _ => {
                if let Some(letter) = letters.get_mut(at) {
                    *letter = char::from_u32(dice.below(0x250) as u32).unwrap_or('x');
                }
            }
        }
    }
    letters.into_iter().collect()
}
