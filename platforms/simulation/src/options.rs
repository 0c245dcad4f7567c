//! What the command line says of the runs.

use waitless::Duration;

pub const HELP: &str = "\
Simulates hosts with this image's graph, which visit each other over a bad wire.

  --seeds N            how many runs, one for each seed [100]
  --seed N             the first seed; alone, this one only
  --hosts N            how many hosts, 2 to 16 [3]
  --visits N           how many visits each host makes [8]
  --path PATH          what they ask for; several times for several [/]
  --post PATH=BYTES    where they send so many bytes, and expect them back
  --loss N%            frames that are lost [0%]
  --duplicate N%       frames that come twice [0%]
  --corrupt N%         IP packets of which a bit flips [0%]
  --reorder [N%]       frames that others overtake [0%; 5% without a number]
  --delay TIME[±N]     how long a frame takes, and how much that varies, as in 40ms±10 [1ms]
  --rate BITS          bits that a host sends in a second, as in 10M [no limit]
  --partition A..B     from A to B, the first host hears nobody, as in 5s..8s
  --patience TIME      after how much virtual time a visit hangs [10m]
  --pcap FILE          where the frames of a run that fails go
  --verbose            a line for each seed, with the digest of its frames";

/// What there is to do.
pub enum Command {
    Run(Options),
    Help,
}

/// How runs are.
#[derive(Clone, Debug)]
pub struct Options {
    pub first: u64,
    pub count: u64,
    pub hosts: u8,
    pub visits: u32,
    pub paths: Vec<String>,
    pub posts: Vec<(String, usize)>,
    /// Shares in a thousand.
    pub loss: u16,
    pub duplicate: u16,
    pub corrupt: u16,
    pub reorder: u16,
    pub delay: Duration,
    pub jitter: Duration,
    pub rate: Option<u64>,
    pub partition: Option<(Duration, Duration)>,
    pub patience: Duration,
    pub pcap: Option<String>,
    pub verbose: bool,
    /// Whether this process is one of several, and reports to the first.
    pub part: bool,
    /// The words that say how the wire is, to say them again.
    words: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first: 1,
            count: 100,
            hosts: 3,
            visits: 8,
            paths: Vec::new(),
            posts: Vec::new(),
            loss: 0,
            duplicate: 0,
            corrupt: 0,
            reorder: 0,
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            rate: None,
            partition: None,
            patience: Duration::from_secs(600),
            pcap: None,
            verbose: false,
            part: false,
            words: Vec::new(),
        }
    }
}

impl Options {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
        let mut options = Self::default();
        let (mut seed, mut seeds) = (None, None);
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            let (name, mut value) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                _ => (argument.clone(), None),
            };
            match name.as_str() {
                "--help" | "-h" => return Ok(Command::Help),
                "--verbose" => {
                    options.verbose = true;
                    continue;
                }
                "--part" => {
                    options.part = true;
                    continue;
                }
                known if OWN.contains(&known) || SETTINGS.contains(&known) => {}
                _ => return Err(format!("there is no option `{name}`; --help lists them")),
            }
            if value.is_none() {
                value = arguments.next_if(|next| !next.starts_with("--"));
            }
            let value = match (name.as_str(), value) {
                (_, Some(value)) => value,
                ("--reorder", None) => "5%".to_owned(),
                _ => return Err(format!("`{name}` needs a value")),
            };
            let wrong = || format!("`{value}` does not fit `{name}`");
            match name.as_str() {
                "--seed" => seed = Some(value.parse().map_err(|_| wrong())?),
                "--seeds" => seeds = Some(value.parse().map_err(|_| wrong())?),
                "--pcap" => options.pcap = Some(value),
                _ => {
                    options.set(&name, &value).ok_or_else(wrong)?;
                    options.words.push((name, value));
                }
            }
        }
        options.first = seed.unwrap_or(1);
        options.count = seeds.unwrap_or(if seed.is_some() { 1 } else { 100 });
        if options.paths.is_empty() && options.posts.is_empty() {
            options.paths.push("/".to_owned());
        }
        Ok(Command::Run(options))
    }

    /// All seeds.
    pub fn seeds(&self) -> std::ops::Range<u64> {
        self.first..self.first.saturating_add(self.count)
    }

    /// The command that runs `seed` again.
    pub fn again(&self, app: &str, seed: u64) -> String {
        let words = self.words.iter().map(|(name, value)| format!(" {name} '{value}'"));
        format!("cargo run -p build -- sim {app} --seed {seed}{}", words.collect::<String>())
    }

    /// The arguments of a process that runs `count` seeds from `first` on.
    pub fn part(&self, first: u64, count: u64) -> Vec<String> {
        let mut all = vec![format!("--seed={first}"), format!("--seeds={count}")];
        all.push("--part".to_owned());
        all.extend(self.verbose.then(|| "--verbose".to_owned()));
        all.extend(self.pcap.iter().map(|file| format!("--pcap={file}")));
        for (name, value) in &self.words {
            all.extend([name.clone(), value.clone()]);
        }
        all
    }

    /// Whether the wire is so bad that a visit may fail.
    pub fn excuses(&self) -> bool {
        self.partition.is_some() || self.loss > 50 || self.corrupt > 50
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--hosts" => self.hosts = value.parse().ok().filter(|it| (2..=16).contains(it))?,
            "--visits" => self.visits = value.parse().ok().filter(|it| *it <= 100_000)?,
            "--path" => self.paths.push(value.starts_with('/').then(|| value.to_owned())?),
            "--post" => {
                let (path, count) = value.rsplit_once('=')?;
                self.posts.push((path.to_owned(), count.parse().ok()?));
            }
            "--loss" => self.loss = share(value)?,
            "--duplicate" => self.duplicate = share(value)?,
            "--corrupt" => self.corrupt = share(value)?,
            "--reorder" => self.reorder = share(value)?,
            "--delay" => {
                let (delay, jitter) = value.split_once('±').unwrap_or((value, "0"));
                self.delay = time(delay)?;
                // A bare number has the unit of what it varies.
                let unit = delay.trim_start_matches(|it: char| it.is_ascii_digit());
                let bare = jitter.bytes().all(|it| it.is_ascii_digit());
                self.jitter =
                    time(&if bare { format!("{jitter}{unit}") } else { jitter.to_owned() })?;
            }
            "--rate" => self.rate = Some(bits(value)?),
            "--partition" => {
                let (from, to) = value.split_once("..")?;
                self.partition = Some((time(from)?, time(to)?));
            }
            "--patience" => self.patience = time(value)?,
            _ => return None,
        }
        Some(())
    }
}

/// What says which seeds are run, and is no part of the command that runs one again.
const OWN: [&str; 3] = ["--pcap", "--seed", "--seeds"];

/// What [`Options::set`] knows.
const SETTINGS: [&str; 12] = [
    "--corrupt",
    "--delay",
    "--duplicate",
    "--hosts",
    "--loss",
    "--partition",
    "--path",
    "--patience",
    "--post",
    "--rate",
    "--reorder",
    "--visits",
];

/// `2%` or `0.5%`, in a thousand.
fn share(text: &str) -> Option<u16> {
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
    (0.0..=100.0).contains(&percent).then(|| (percent * 10.0).round() as u16)
}

fn time(text: &str) -> Option<Duration> {
    let number = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let count: u64 = number.parse().ok()?;
    match &text[number.len()..] {
        "us" => Some(Duration::from_micros(count)),
        "ms" => Some(Duration::from_millis(count)),
        "s" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_secs(count.checked_mul(60)?)),
        _ => None,
    }
}

fn bits(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
    let count: u64 = number.parse().ok()?;
    let unit = match &text[number.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    count.checked_mul(unit).filter(|bits| *bits > 0)
}
