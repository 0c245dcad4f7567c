//! Waitless beside Linux: the same machine, the same client, the same minute. `make bench` runs
//! this.
//!
//! Each contender is booted in turn, all workloads run on it, and it is ended: A B C A B C. So
//! whatever else the machine does hurts all alike, and what others took of it is printed beside.
//! Figures are of one machine at one time: compare what one run prints, not two runs.

mod archive;
mod ceiling;
mod chart;
mod contender;
mod counts;
mod handshakes;
mod load;
mod machine;
mod open_loop;
mod options;
mod packages;
mod profile;
mod report;
mod workloads;

use contender::{Contender, Place};
use options::Options;
use report::Results;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use waitless_tests::lab::{self, Entered, Images};
use workloads::{Served, Workload};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(said) => {
            println!("{said}");
            return ExitCode::FAILURE;
        }
    };
    let chosen = match workloads::chosen(&options.workloads) {
        Ok(chosen) => chosen,
        Err(said) => {
            println!("{said}");
            return ExitCode::FAILURE;
        }
    };
    match lab::enter(|| prepare(&options, &chosen)) {
        Entered::Outside(status) => status,
        Entered::Inside { isolated: true } => run(&options, &chosen),
        Entered::Inside { isolated: false } => {
            println!("this needs root or user namespaces, and /dev/net/tun");
            ExitCode::FAILURE
        }
    }
}

/// Builds and fetches what needs the world outside.
fn prepare(options: &Options, chosen: &[&Workload]) -> Result<(), String> {
    if !options.native && options.lets("waitless") {
        Images::build_these(&[("webserver", Some(options.arch))])?;
    }
    if !options.native && chosen.iter().any(|workload| workload.counts()) {
        counts::prepare()?;
    }
    packages::prepare(options)
}

fn run(options: &Options, chosen: &[&Workload]) -> ExitCode {
    ceiling::raise_limit();
    let contenders = match Contender::all(options) {
        Ok(contenders) => contenders,
        Err(said) => {
            println!("{said}");
            return ExitCode::FAILURE;
        }
    };
    let mut results = Results::new(options, &contenders);
    println!("{}", results.heading());
    for number in 1..=options.runs {
        for contender in &contenders {
            println!("run {number} of {}: {}", options.runs, contender.name);
            one_run(options, chosen, contender, &mut results);
        }
    }
    println!("\n{}", results.table());
    results.save();
    ExitCode::SUCCESS
}

/// Boots a contender, and runs all workloads on it.
fn one_run(options: &Options, chosen: &[&Workload], contender: &Contender, results: &mut Results) {
    let place = Place::new(options);
    let start = Instant::now();
    let mut guest = match contender.start(&place, &options.memory, &[]) {
        Ok(guest) => guest,
        Err(said) => return println!("  it does not start: {said}"),
    };
    if let Err(said) = guest.wait(BOOT_PATIENCE) {
        return println!("  it does not answer: {said}");
    }
    let booted = start.elapsed();
    let mut served = Served { options, contender, place: &place, guest, booted };
    for workload in chosen.iter().filter(|workload| workload.is_for(options)) {
        let before = machine::Share::now(served.guest.id());
        let said = (workload.run)(&mut served);
        let others = before.others(served.guest.id());
        for figure in said {
            println!("  {} ({:.0} % to others)", figure.line(), 100.0 * others);
            results.add(contender, figure, others);
        }
        if served.guest.has_ended() {
            return println!("  it ended:\n{}", served.guest.console());
        }
    }
}

/// Longer than an emulated Linux takes on a machine that is busy.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
