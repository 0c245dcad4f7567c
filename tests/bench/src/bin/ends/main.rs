//! What both ends of a connection take together, of ours and of smoltcp in the same run: for a
//! request and its response, for a full segment, and for a connection that is opened and ended.
//!
//! Time is measured here; instructions by callgrind, for which this runs itself with `instructions`
//! and what to count. It is a program of its own, so that there is one graph in it, as in an image:
//! what two graphs call is not inlined in either.

mod ours;
mod pair;
mod smol;

use ours::our_end;
use pair::{End, Ends, SEGMENT};
use smol::SmolEnd;
use std::env;
use std::process::Command;
use waitless_bench::Spread;
use waitless_tests::traffic::Job;

/// What is measured: its name in a command, what it counts, and what the ends do.
const MEASURED: [(&str, &str, Job); 3] = [
    ("request", "request of 40 bytes and response of 120", Job::Ask),
    ("segment", "segment of 1,460 bytes", Job::Pour),
    ("connection", "connection opened and ended", Job::Visit),
];
const CONNECTIONS: [usize; 2] = [1, 32];

fn main() {
    let mut words = env::args().skip(1);
    match words.next().as_deref() {
        None => compare(),
        Some("instructions") => {
            let what = words.next().unwrap_or_default();
            let connections = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
            let count = count(&what, connections);
            println!("{}", count.expect("request | segment | connection, or smoltcp- before it"));
        }
        Some(_) => panic!("instructions, or nothing: all, beside smoltcp"),
    }
}

/// Does for callgrind what `what` says, by ours or, as `smoltcp-…`, by smoltcp. `None` when
/// there is no such thing.
fn count(what: &str, connections: usize) -> Option<u64> {
    let (peers, name) = match what.strip_prefix("smoltcp-") {
        Some(name) => (true, name),
        None => (false, what),
    };
    let &(_, _, job) = MEASURED.iter().find(|&&(it, ..)| it == name)?;
    Some(match peers {
        true => smol(job, connections).measure(COUNTED),
        false => ours(job, connections).measure(COUNTED),
    })
}

/// Prints the table of all of it.
fn compare() {
    println!("both ends together, instructions by callgrind, time as median of {RUNS} runs");
    for (name, text, job) in MEASURED {
        for connections in CONNECTIONS {
            println!("  {text}, {connections} at a time:");
            let [mine, peers] = ["", "smoltcp-"].map(|who| callgrind(who, name, connections));
            if let (Some(mine), Some(peers)) = (mine, peers) {
                let share = mine as f64 / peers as f64;
                println!("    Waitless {mine}, smoltcp {peers} instructions, {share:.2}×");
            }
            let (mine, peers) = times(job, connections);
            let share = mine.median / peers.median;
            print!("    Waitless {mine}, smoltcp {peers} ns, {share:.2}×");
            if job == Job::Pour {
                let [mine, peers] = [&mine, &peers].map(|it| SEGMENT as f64 / it.median * 1_000.0);
                print!("; {mine:.0} and {peers:.0} MB/s");
            }
            println!();
        }
    }
}

/// Nanoseconds for each, turn by turn, so that a busy machine hurts both alike.
fn times(job: Job, connections: usize) -> (Spread, Spread) {
    let (mut mine, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        mine.push(time(&mut ours(job, connections)));
        peers.push(time(&mut smol(job, connections)));
    }
    (Spread::of(mine), Spread::of(peers))
}

fn time(ends: &mut Ends<impl End>) -> f64 {
    let done = ends.measure(TIMED);
    ends.spent().as_nanos() as f64 / done as f64
}

/// Instructions for each, by this program under callgrind. `None` without valgrind.
fn callgrind(who: &str, name: &str, connections: usize) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let toggle = if who.is_empty() { "*Ours*work*" } else { "*SmolEnd*work*" };
    valgrind.arg(format!("--toggle-collect={toggle}")).arg(env::current_exe().ok()?);
    valgrind.args(["instructions", &format!("{who}{name}"), &connections.to_string()]);
    let output = valgrind.output().ok()?;
    let done: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().ok()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let total = told.lines().find_map(|line| line.split_once("Collected : "))?.1;
    Some(total.trim().parse::<u64>().ok()? / done)
}

fn ours(job: Job, connections: usize) -> Ends<impl End> {
    Ends::new(our_end, job, connections)
}

fn smol(job: Job, connections: usize) -> Ends<SmolEnd> {
    Ends::new(|number| SmolEnd::new(number, connections), job, connections)
}

const RUNS: usize = 7;
/// Rounds that are counted, and that are timed.
const COUNTED: usize = 1_000;
const TIMED: usize = 2_000;
