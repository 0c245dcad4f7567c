//! Each rule finds what it is for, and nothing in what is fine.

use super::*;

fn source(text: &str) -> Source {
    Source::parse("components/x/src/lib.rs", text).expect("Rust")
}

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[test]
fn a_line_of_101_columns_is_found_and_one_of_100_is_not() {
    let text = format!("{}\n{}\n", "é".repeat(100), "é".repeat(101));
    assert_eq!(lines(&line_length("a.rs", &text)), [2]);
}

#[test]
fn a_function_of_71_lines_is_found_also_in_an_impl_and_in_a_macro() {
    let body = "    let _ = 0;\n".repeat(69);
    let long = format!("fn long() {{\n{body}}}\n");
    assert_eq!(lines(&function_length(&source(&long))), [1]);
    let fits = format!("fn fits() {{\n{}}}\n", "    let _ = 0;\n".repeat(68));
    assert!(function_length(&source(&fits)).is_empty());
    assert_eq!(lines(&function_length(&source(&format!("impl X {{\n{long}}}\n")))), [2]);
    assert_eq!(lines(&function_length(&source(&format!("m! {{\n{long}}}\n")))), [2]);
    assert!(
        function_length(&source("trait T { fn f(&self); }\ntype F = fn(u8) -> u8;")).is_empty()
    );
}

#[test]
fn a_file_of_701_lines_is_found_and_its_tests_do_not_count() {
    let text = "const A: u8 = 0;\n".repeat(701);
    assert_eq!(file_length(&source(&text)).len(), 1);
    let tests = format!("{}#[cfg(test)]\nmod tests {{}}\n", "const A: u8 = 0;\n".repeat(700));
    assert!(file_length(&source(&tests)).is_empty());
}

#[test]
fn tests_longer_than_a_third_of_a_file_are_found() {
    let file = |code, tests| {
        let (code, tests) = ("fn f() {}\n".repeat(code), "fn t() {}\n".repeat(tests));
        source(&format!("{code}#[cfg(test)]\nmod tests {{\n{tests}}}\n"))
    };
    assert_eq!(inline_tests(&file(100, 60)).len(), 1);
    assert!(inline_tests(&file(200, 60)).is_empty());
    assert!(inline_tests(&file(10, 60)).is_empty(), "short files may");
}

#[test]
fn what_was_left_for_later_is_found() {
    let left = concat!("fn f() {\n    to", "do!();\n    let x = db", "g!(1);\n}\n");
    assert_eq!(lines(&forbidden_words(&source(left))), [2, 3]);
    assert!(forbidden_words(&source("fn todo() {}\nfn f() { todo() }\n")).is_empty());
    assert_eq!(lines(&forbidden_text("a.md", concat!("fine\nFIX", "ME later\n"))), [2]);
}

#[test]
fn unwrap_is_found_outside_tests_only() {
    let text = "fn f(x: Option<u8>) {\n    x.unwrap();\n    Option::expect(x, \"y\");\n}\n\
                #[cfg(test)]\nmod tests { fn t() { None::<u8>.unwrap(); } }\n";
    assert_eq!(lines(&panicking_calls(&source(text), &[])), [2, 3]);
    let why = "an argument";
    assert!(panicking_calls(&source(text), &[Exception { path: "components/x/", why }]).is_empty());
    assert!(panicking_calls(&source("fn f() { x.unwrap_or(1); }"), &[]).is_empty());
    assert_eq!(panicking_calls(&source("m!(x.unwrap());"), &[]).len(), 1, "in a macro");
}

#[test]
fn unsafe_is_found_except_where_it_is_argued() {
    let text = "fn f() {\n    unsafe { g() }\n}\n";
    assert_eq!(lines(&unsafe_code(&source(text), &[])), [2]);
    let exception = Exception { path: "components/x/src/lib.rs", why: "an argument" };
    assert!(unsafe_code(&source(text), &[exception]).is_empty());
    assert!(unsafe_code(&source("#![forbid(unsafe_code)]"), &[]).is_empty());
}

#[test]
fn paths_of_a_machine_are_found() {
    let text = concat!("see /ro", "ot/x\nfine\n/opt/me/checkout\n");
    assert_eq!(lines(&machine_paths("a.md", text, Some("/opt/me"))), [1, 3]);
    assert!(machine_paths("a.md", "/usr/bin/env, ~/x\n", Some("/opt/me")).is_empty());
}

#[test]
fn a_file_that_nobody_declares_is_found() {
    let parse = |path: &str, text: &str| Source::parse(path, text).expect("Rust");
    let sources = [
        parse("a/src/lib.rs", "mod b;\n#[path = \"odd.rs\"]\nmod d;\n"),
        parse("a/src/b/mod.rs", "mod c;"),
        parse("a/src/b/c.rs", "mod deep; const T: &str = include_str!(\"text.rs\");"),
        parse("a/src/b/c/deep.rs", ""),
        parse("a/src/odd.rs", ""),
        parse("a/src/b/text.rs", ""),
        parse("a/src/dead.rs", ""),
    ];
    let dead = dead_files(&["a/src/lib.rs".to_owned()], &sources);
    assert_eq!(dead.iter().map(|f| f.file.as_str()).collect::<Vec<_>>(), ["a/src/dead.rs"]);
}

#[test]
fn a_component_that_depends_on_another_is_found() {
    let package = |folder: &str, onto: &str| {
        serde_json::json!({ "packages": [{
            "manifest_path": format!("/x/{folder}/Cargo.toml"),
            "dependencies": [
                { "name": "outside" },
                { "name": "inside", "path": format!("/x/{onto}") },
            ],
        }]})
    };
    assert_eq!(dependencies(&package("components/udp", "components/ipv4"), "/x").len(), 1);
    assert_eq!(dependencies(&package("core", "build"), "/x").len(), 1);
    assert_eq!(dependencies(&package("platforms/native", "components/tap"), "/x").len(), 1);
    assert!(dependencies(&package("components/udp", "core"), "/x").is_empty());
    assert!(dependencies(&package("components/udp", "components/udp/part"), "/x").is_empty());
    assert_eq!(dependencies(&package("components/udp", "components/udp2"), "/x").len(), 1);
    assert!(dependencies(&package("apps/hello", "components/udp"), "/x").is_empty());
}

#[test]
fn an_unfinished_component_is_found() {
    let code = "//! Purpose.\n//!\n//! More.\n#![forbid(unsafe_code)]\n#[test]\nfn t() {}\n";
    let metadata = "[package.metadata.waitless]\ncomponent = \"X\"\n\
                    [package.metadata.waitless.config]\nttl = { type = \"u8\", doc = \"d\" }\n";
    let findings = |code: &str, manifest: &str| {
        unfinished_component("components/x", manifest, &[&source(code)], &[]).len()
    };
    assert_eq!(findings(code, metadata), 0);
    assert_eq!(findings(code, "[package]\n"), 1);
    assert_eq!(findings(code, &metadata.replace("\"d\"", "\"\"")), 1);
    assert_eq!(findings(code, &metadata.replace("component =", "other =")), 1);
    assert_eq!(findings(&code.replace("#[test]", ""), metadata), 1);
    assert_eq!(findings(&code.replace("//! More.\n", ""), metadata), 1);
    assert_eq!(findings(&code.replace("forbid", "deny"), metadata), 1);
}

#[test]
fn a_link_to_nowhere_is_found() {
    let read = |path: &str| match path {
        "docs/a.md" => Some("# One thing, twice\n".to_owned()),
        "README.md" => Some("# Top\n".to_owned()),
        _ => None,
    };
    let text = "[a](a.md) [b](../README.md#top) [c](https://example.org/x)\n[d](gone.md)\n\
                [e](a.md#gone) [f](a.md#one-thing-twice)\n`[g](code.md)`\n";
    assert_eq!(lines(&broken_links("docs/a.md", text, &read)), [2, 3]);
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let known = Known {
        make_targets: set(&["run", "test"]),
        make_variables: set(&["APP"]),
        build: [("graph".to_owned(), set(&["--svg"])), ("check".to_owned(), set(&[]))].into(),
        packages: set(&["build", "hello"]),
    };
    let text = "`make run APP=hello`, `make gone`\n`make run PPA=x`\n```\n\
                cargo run -p build -- graph --svg x.svg # a picture\n\
                cargo run -p build -- grpah\n\
                cargo run -p build -- graph --gif x\n\
                cargo run -p helo\n\
                cargo run -p build -- check | graph\n\
                cargo run -p build -- check | grpah\n```\nmake sure: prose is no command\n";
    assert_eq!(lines(&unknown_commands("README.md", text, &known)), [1, 2, 5, 6, 7, 9]);
}
