#[derive(clap::Args, Debug)]
pub struct Add {}
impl Add { pub fn run(&self, _: crate::Project) -> Result<(), String> { Ok(()) } }
