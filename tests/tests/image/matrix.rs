//! The full matrix: every machine with every firmware and transport that it has, on 1, 2 and 4
//! cores. It takes a while, so it runs on demand: `make test-all`.

use crate::cores::{SLACK, at_rest, shut_down};
use crate::machines::serves;
use crate::serve::Served;
use crate::{ARM, ISO, LIMINE, LOAD};
use std::time::Duration;
use waitless_tests::lab::{Arch, Lab, Need, Test, WAYS, Way, run, wait_for};

/// All of it.
pub fn tests() -> Vec<Test> {
    let each = WAYS.iter().flat_map(|way| [1, 2, 4].map(|cores| (*way, cores)));
    let test = |(way, cores): (Way, usize)| Test {
        name: format!("matrix: {}, {cores}", way.name),
        of: Some(way.of),
        needs: needs(&way),
        on_demand: true,
        run: Box::new(move |lab| serves_and_rests(lab, way, cores)),
    };
    each.map(test).collect()
}

fn needs(way: &Way) -> &'static [Need] {
    match way.loader() {
        Some("limine") => LIMINE,
        Some(_) => ISO,
        None if way.of.arch == Some(Arch::Aarch64) => ARM,
        None => LOAD,
    }
}

/// It gets an address, answers pings, curl and wrk, has every packet back after that, and switches
/// itself off when it is asked to end.
fn serves_and_rests(lab: &Lab, way: Way, cores: usize) {
    let image = way.image(lab, "matrix", &[]);
    let mut served = Served::boot_image(&image, way.machine(&image).cores(cores));
    let running = if way.all_cores { cores } else { 1 };
    if running > 1 {
        served.vm.expect(&format!(": {running} cores, "));
    }
    serves(&mut served);
    let rest = at_rest(&served);
    let url = format!("http://{}/health", served.address);
    let said = run("wrk", &["-t", "1", "-c", "16", "-d", "2s", "--timeout", "20s", &url]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    wait_for("all packets in their pools", Duration::from_secs(60), || {
        (at_rest(&served).abs_diff(rest) <= SLACK * running as u64).then_some(())
    });
    let console = served.vm.console();
    assert!(!console.contains("panic") && !console.contains("exception"), "{console}");
    shut_down(&mut served.vm, served.address, running);
}
