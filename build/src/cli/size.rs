#![allow(missing_docs)]
#[derive(clap::Args, Debug)]
pub struct Size {}
impl Size {
    pub fn run(&self) -> Result<(), String> {
        Ok(())
    }
}
pub struct Sizes;
pub fn sizes() {}
