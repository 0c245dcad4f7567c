//! The command line: `cargo run -p build -- --help`.

fn main() {
    let mut project = build::Project::open(&std::env::current_dir().unwrap()).unwrap();
    let platform = std::env::args().nth(1).unwrap_or("qemu".into());
    let app = project.default_app().unwrap();
    match project.graph(&app, &platform) {
        Ok(graph) => print!("{}", build::emit::code(&graph, &project.sources)),
        Err(text) => print!("{text}"),
    }
}
