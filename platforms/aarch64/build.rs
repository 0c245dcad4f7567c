//! Lets the linker find `link-aarch64.ld`, which the target specification names, wherever an
//! image that depends on this crate is linked.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-search=native={here}");
    println!("cargo::rerun-if-changed=link-aarch64.ld");
}
