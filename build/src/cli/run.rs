#[derive(clap::Args, Debug)]
pub struct Run {}
impl Run { pub fn run(&self) -> Result<std::process::ExitCode, String> { Ok(std::process::ExitCode::SUCCESS) } }
