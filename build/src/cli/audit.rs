#![allow(missing_docs)]
#[derive(clap::Args, Debug)]
pub struct Audit {}
impl Audit {
    pub fn run(&self) -> Result<std::process::ExitCode, String> {
        Ok(std::process::ExitCode::SUCCESS)
    }
}
pub struct Allow;
pub struct Finding;
pub fn audit_image() {}
