//! BoringSSL's tests of TLS, some thousand cases with a peer that breaks rules on purpose, against
//! our server and our client: `components/tls/examples/bogo` is what the runner starts for each.

use std::path::Path;
use waitless_tests::lab::{Lab, cargo, checkout, run_in, target};

/// Names a checkout of BoringSSL, which is no part of this tree.
const FOLDER: &str = "BOGO_DIR";

pub fn all_cases(_: &Lab) {
    let folder = std::env::var(FOLDER).unwrap_or_else(|_| panic!("{FOLDER} names no checkout"));
    let build = ["build", "--quiet", "--package", "tls", "--example", "bogo"];
    let built = cargo(&checkout(), &build).status().expect("cargo runs");
    assert!(built.success(), "the shim was not built");
    let shim = target().join("debug/examples/bogo");
    let config = checkout().join("components/tls/examples/bogo/config.json");
    let [shim, config] = [shim, config].map(|path| path.display().to_string());
    // What it does not know, the shim leaves out; an alert says enough of what went wrong.
    let arguments = ["test", ".", "-v", "-timeout", "1h", "-args", "-allow-unimplemented"];
    let more = ["-loose-errors", "-shim-path", &shim, "-shim-config", &config];
    let arguments = [&arguments[..], &more].concat();
    let ran = run_in(&Path::new(&folder).join("ssl/test/runner"), "go", &arguments, b"");
    let said = |word: &str| ran.output.lines().filter(|line| line.starts_with(word)).count();
    let failed: Vec<&str> =
        ran.output.lines().filter(|line| line.starts_with("FAILED (")).collect();
    println!("{} cases passed, {} were left out", said("PASSED ("), said("UNIMPLEMENTED ("));
    assert!(ran.status.success() && failed.is_empty(), "{failed:#?}\n{}", ran.errors);
    assert!(said("PASSED (") > 500, "{}", ran.output);
}
