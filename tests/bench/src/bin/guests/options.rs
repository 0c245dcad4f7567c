//! What the command line says.

use std::path::PathBuf;
use waitless_tests::lab::Arch;

/// How to measure, and what.
#[derive(Debug)]
pub struct Options {
    /// Words: workloads whose names contain one of them run. All of the usual ones when empty.
    pub workloads: Vec<String>,
    /// How long each load lasts.
    pub seconds: u32,
    /// Virtual processors of a guest, and queue pairs of its card.
    pub cores: usize,
    /// How often each contender is booted.
    pub runs: usize,
    /// What the guest is an image for. Linux is here for 64-bit PCs alone.
    pub arch: Arch,
    /// A guest's memory, in QEMU's words.
    pub memory: String,
    /// Processes on this machine's kernel, not guests.
    pub native: bool,
    /// With the processor's help.
    pub kvm: bool,
    /// Contenders whose names contain one of these words take part. All when empty.
    pub only: Vec<String>,
    /// Figures during which others took more of the machine than this share are dropped.
    pub drop: f64,
    /// Says where our image's instructions go.
    pub profile: bool,
    /// What is asked for while instructions are counted.
    pub path: String,
    /// Where the figures are written as JSON.
    pub json: PathBuf,
    /// Where the chart is drawn.
    pub chart: PathBuf,
}

impl Options {
    /// Whether the contender of this name takes part.
    pub fn lets(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// Reads the command line, without the program's name.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let target = waitless_tests::lab::target();
        let mut options = Self {
            workloads: Vec::new(),
            seconds: 4,
            cores: 1,
            runs: 3,
            arch: Arch::X86_64,
            memory: "512M".to_owned(),
            native: false,
            kvm: false,
            only: Vec::new(),
            drop: 1.0,
            profile: false,
            path: "/health".to_owned(),
            json: target.join("bench.json"),
            chart: target.join("bench.svg"),
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            let list = |text: String| text.split(',').map(str::to_owned).collect();
            match word.as_str() {
                "--workload" => options.workloads = list(value()?),
                "--seconds" => options.seconds = number(&word, &value()?)?,
                "--cores" => options.cores = number(&word, &value()?)?,
                "--runs" => options.runs = number(&word, &value()?)?,
                "--drop" => options.drop = f64::from(number::<u32>(&word, &value()?)?) / 100.0,
                "--memory" => options.memory = value()?,
                "--only" => options.only = list(value()?),
                "--path" => options.path = value()?,
                "--json" => options.json = value()?.into(),
                "--chart" => options.chart = value()?.into(),
                "--profile" => options.profile = true,
                "--kvm" => options.kvm = true,
                "--arch" => options.arch = arch(&value()?)?,
                "--platform" => options.native = platform(&value()?)?,
                _ => return Err(format!("{word}: not known\n{HELP}")),
            }
        }
        let wrong = options.seconds == 0 || options.cores == 0 || options.runs == 0;
        if wrong {
            return Err("--seconds, --cores and --runs are at least 1".to_owned());
        }
        if options.arch == Arch::Aarch64 {
            if options.native {
                return Err("--platform native is this machine's own: leave --arch out".to_owned());
            }
            // Who is emulated needs the emulation of its own.
            options.kvm = false;
            options.only = vec!["waitless".to_owned()];
        }
        Ok(options)
    }
}

fn arch(name: &str) -> Result<Arch, String> {
    let all = [Arch::X86_64, Arch::Aarch64];
    let found = all.into_iter().find(|arch| arch.name() == name);
    found.ok_or_else(|| format!("--arch {name}: x86_64 or aarch64"))
}

fn platform(name: &str) -> Result<bool, String> {
    match name {
        "native" => Ok(true),
        "qemu" => Ok(false),
        _ => Err(format!("--platform {name}: qemu or native")),
    }
}

fn number<T: std::str::FromStr>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{word} {text}: a number, please"))
}

const HELP: &str = "\
  --workload WORDS   names of workloads or parts of them, with commas; `all` for every one
  --seconds 4        how long each load lasts
  --cores 1          a guest's processors
  --arch x86_64      or aarch64, with our image alone
  --runs 3           how often each contender is booted
  --memory 512M      a guest's memory
  --platform qemu    or native: processes, without guests
  --kvm              with the processor's help
  --only WORDS       contenders: waitless, hyper, nginx
  --profile          with `instructions`: where our image's go
  --path /health     what `instructions` asks for; of anything else, 4 at a time
  --drop 100         drop figures during which others took more per cent of the machine
  --json FILE        the figures
  --chart FILE       throughput and latency against connections, as SVG";
