//! Turns the manifest into the graph that `src/main.rs` is linked with.

fn main() {
    build::generate();
}
