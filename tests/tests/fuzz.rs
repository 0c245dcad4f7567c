//! A bounded number of executions of every fuzz target, the same in every run.
//!
//! `make fuzz` runs them for longer, guided by coverage. `WAITLESS_FUZZ_EXECUTIONS=100000` makes
//! this run longer.

use waitless_tests::{corpus, fuzz, mutate::Mutator};

/// Executions of each target.
fn executions() -> usize {
    let set = std::env::var("WAITLESS_FUZZ_EXECUTIONS").ok();
    set.and_then(|count| count.parse().ok()).unwrap_or(6_000)
}

fn run(target: &str) {
    let corpus = corpus::files(target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for (name, input) in &corpus {
        println!("{target}/{name}");
        fuzz::run(target, input);
    }
    let mut mutator = Mutator::new(1);
    // A whole connection takes longer than a packet, and a hello longer than that.
    let times = match target {
        "pair" => executions() / 10,
        "flight" | "hello" | "tls" => executions() / 20,
        _ => executions(),
    };
    for _ in 0..times {
        let mut input = mutator.pick(&corpus).1.clone();
        mutator.mutate(&mut input, 4096);
        // Shown when it panics.
        let shown = Shown(&input);
        fuzz::run(target, &input);
        std::mem::forget(shown);
    }
}

/// Prints an input when it is dropped, that is, while its execution panics.
struct Shown<'a>(&'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        println!("the input, for a file in tests/corpus: {}", self.0.escape_ascii());
    }
}

#[test]
fn ethernet() {
    run("ethernet");
}

#[test]
fn arp() {
    run("arp");
}

#[test]
fn ipv4() {
    run("ipv4");
}

#[test]
fn icmp() {
    run("icmp");
}

#[test]
fn udp() {
    run("udp");
}

#[test]
fn tcp() {
    run("tcp");
}

#[test]
fn dhcp() {
    run("dhcp");
}

#[test]
fn http() {
    run("http");
}

#[test]
fn pair() {
    run("pair");
}

#[test]
fn ipv6() {
    run("ipv6");
}

#[test]
fn icmp6() {
    run("icmp6");
}

#[test]
fn ndp() {
    run("ndp");
}

#[test]
fn dns() {
    run("dns");
}

#[test]
fn sntp() {
    run("sntp");
}

#[test]
fn dhcp6() {
    run("dhcp6");
}

#[test]
fn firewall() {
    run("firewall");
}

#[test]
fn every_target_has_a_corpus_and_a_test() {
    let own = include_str!("fuzz.rs");
    for target in fuzz::TARGETS {
        assert!(!corpus::files(target).is_empty(), "{target} has no corpus");
        assert!(own.contains(&format!("run(\"{target}\");")), "{target} has no test here");
        let file = format!("tests/fuzz/fuzz_targets/{target}.rs");
        assert!(waitless_tests::tidy::checkout().join(&file).is_file(), "no {file}");
    }
}

#[test]
fn flight() {
    run("flight");
}

#[test]
fn fetch() {
    run("fetch");
}

#[test]
fn tls() {
    run("tls");
}

#[test]
fn hello() {
    run("hello");
}

#[test]
fn certificate() {
    run("certificate");
}

#[test]
fn router() {
    run("router");
}
