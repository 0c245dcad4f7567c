//! `cargo run -p build -- --help`.

fn main() -> std::process::ExitCode {
    build::cli::main()
}
