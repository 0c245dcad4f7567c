//! What a person sees, compared with files: every kind of error, and generated code.

mod common;

use build::graph::Graph;
use common::{cases, golden, platform, project};

#[test]
fn every_error_is_said_as_expected() {
    let wrong: Vec<_> = cases("errors", "toml")
        .into_iter()
        .filter_map(|(name, manifest)| {
            let mut project = project(&format!("errors-{name}"), &manifest);
            let text = match project.graph("web", platform(&manifest)) {
                Ok(_) => "no error\n".to_owned(),
                Err(text) => text,
            };
            golden(&format!("errors/{name}.stderr"), &text)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_left_out_of_the_image_is_said() {
    let manifest = "[app]\ncrate = \"web\"\nstacks = [\"tcp\"]\n\n[http]\nis = \"http1\"\n\
        on = \"tcp\"\n\n[ip4]\naddress = \"10.0.0.2/24\"\n\n[site]\non = [\"http\"]\n\n\
        [bad-weather]\nis = \"netem\"\n";
    let warnings = |under: &str| {
        let mut project = project("left-out", &format!("{manifest}under = \"{under}\"\n"));
        project.graph("web", "qemu").unwrap_or_else(|e| panic!("{e}")).warnings
    };
    assert_eq!(warnings("eth"), [""; 0]);
    let unused = "`bad-weather` is not in the image, as `udp` above it is not";
    assert_eq!(warnings("udp").concat(), unused);
}

#[test]
fn an_app_for_no_platform_is_not_well() {
    let mut project = project("nowhere", "[app]\ncrate = \"web\"\nplatforms = [\"qmeu\"]\n");
    let wrong = build::cli::checked_nowhere(&mut project, &[]);
    assert!(wrong.starts_with("web, which is for no platform:\n"), "{wrong}");
    assert!(wrong.contains("did you mean `qemu`?"), "{wrong}");
    assert_eq!(build::cli::checked_nowhere(&mut project, &["web".to_owned()]), "");
}

#[test]
fn a_thousand_mistakes_are_one() {
    let manifest = "x\n".repeat(350_000);
    let text = project("mistakes", &manifest).graph("web", "qemu").unwrap_err();
    assert!(text.lines().count() < 1_000, "{}", text.lines().count());
    assert!(text.contains("\nand 349950 more\n"), "{}", &text[text.len() - 500..]);
}

#[test]
fn code_is_generated_as_expected() {
    let wrong: Vec<_> = cases("graphs", "toml")
        .into_iter()
        .filter_map(|(name, manifest)| {
            let mut project = project(&format!("graphs-{name}"), &manifest);
            let graph = project.graph("web", platform(&manifest)).unwrap_or_else(|e| panic!("{e}"));
            let code = build::emit::code(&graph, &project.sources);
            let json = build::json::pretty(&graph, &project.sources);
            let code = golden(&format!("graphs/{name}.code"), &code);
            code.or(golden(&format!("graphs/{name}.json"), &json))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What follows the usual head of a manifest, on `platform`.
fn graph_of(name: &str, platform: &str, app: &str, rest: &str) -> Result<Graph, String> {
    let manifest = format!("[app]\ncrate = \"web\"\n{app}\n{rest}");
    project(name, &manifest).graph("web", platform)
}

#[test]
fn what_an_app_says_of_an_edge_is_for_platforms_that_have_it() {
    let rest = "[stack.mine.udp]\non = \"ip4\"\n[udp]\ncore = 0\nvia = \"ring\"\n\
        [tcp]\non = \"ip4\"\n[echo]\non = \"udp\"\n[echo-tcp]\non = \"tcp\"\n";
    for platform in ["native", "qemu"] {
        let stacks = "stacks = [\"tcp\", \"mine\"]";
        graph_of("edges-of-others", platform, stacks, rest).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn an_app_for_more_cores_than_there_are_runs_on_those() {
    let rest = "[echo]\non = \"udp\"\ncore = 9\n[udp]\ncore = 8\n[ip4]\ncore = 8\n[eth]\ncore = 8\n\
        [nic]\ncore = 8\n[tcp]\ncore = 8\n[icmp]\ncore = 8\n[dhcp]\ncore = 8\n";
    for (platform, cores, core) in [("many", 4, Some(3)), ("qemu", 1, None)] {
        let stacks = "stacks = [\"tcp\"]\ncores = 16";
        let graph = graph_of("fewer-cores", platform, stacks, rest);
        let graph = graph.unwrap_or_else(|e| panic!("{e}"));
        let echo = graph.instances.iter().find(|it| it.name == "echo").unwrap();
        assert_eq!((graph.app.cores, echo.core), (cores, core), "{platform}");
    }
}

#[test]
fn a_dependency_counts_where_its_condition_holds() {
    let manifest = "[app]\ncrate = \"web\"\nstacks = [\"tcp\"]\n[echo]\non = \"udp\"\n";
    for (condition, is_there) in [("cfg(unix)", false), ("cfg(target_os = \"none\")", true)] {
        let mut project = project("conditions", manifest);
        let packages = &mut project.workspace.packages;
        let web = packages.iter_mut().find(|package| package.name == "web").unwrap();
        let echo = web.dependencies.iter_mut().find(|it| it.package == "echo").unwrap();
        echo.target = Some(condition.to_owned());
        match project.graph("web", "qemu") {
            Ok(_) => assert!(is_there, "{condition}"),
            Err(why) => {
                assert!(!is_there && why.contains("does not depend on `echo`"), "{why}");
                assert!(why.contains("not one that counts on `qemu`"), "{why}");
            }
        }
    }
}

#[test]
fn one_that_is_put_under_another_may_come_before_it() {
    let rest = "[echo]\non = \"udp\"\n[upper]\nis = \"pcap\"\nunder = \"lower\"\n\
        [lower]\nis = \"netem\"\nunder = \"eth\"\n";
    let graph = graph_of("taps-before", "qemu", "stacks = [\"tcp\"]", rest);
    let graph = graph.unwrap_or_else(|e| panic!("{e}"));
    let below = |name: &str| {
        let instance = graph.instances.iter().find(|it| it.name == name).unwrap();
        graph.instances[instance.below[0].to].name.as_str()
    };
    assert_eq!([below("eth"), below("lower"), below("upper")], ["lower", "upper", "nic"]);
}
