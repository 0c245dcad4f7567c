#[derive(clap::Args, Debug)]
pub struct New {}
impl New {
    pub fn run(&self) -> Result<(), String> {
        Ok(())
    }
}
