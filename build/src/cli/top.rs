//! Where an image's time goes, live: the cycles of each instance, as `/metrics` counts them in a
//! graph with `trace = true`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Which image to watch.
#[derive(clap::Args, Debug)]
pub struct Top {
    /// Where it answers `/metrics`: a name or an address, with a port other than 80 behind a colon
    host: String,
    /// Seconds between two looks, 1 to 60
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=60)
    )]
    interval: u64,
    /// How many tables are printed; without it, until Ctrl-C
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
}

/// What `/metrics` said of time.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Look {
    /// By instance, in the order of the graph: its component, cycles of `receive` and `transmit`.
    instances: Vec<(String, String, [u64; 2])>,
    /// Cycles between sweeps.
    between: u64,
    /// Sweeps so far.
    sweeps: u64,
}

impl Top {
    /// Prints tables.
    ///
    /// # Errors
    /// One line when nobody answers, or the image does not trace.
    pub fn run(&self) -> Result<(), String> {
        let host = with_port(&self.host);
        let mut last = look(&host)?;
        let live = std::io::stdout().is_terminal();
        let mut left = self.count;
        while left != Some(0) {
            let start = Instant::now();
            std::thread::sleep(Duration::from_secs(self.interval));
            let now = look(&host)?;
            let table = table(&last, &now, start.elapsed().as_secs_f64());
            // To the top left, and what was there before is gone.
            let clear = if live { "\x1b[H\x1b[2J" } else { "" };
            let mut out = std::io::stdout().lock();
            if write!(out, "{clear}{table}").and_then(|()| out.flush()).is_err() {
                return Ok(());
            }
            last = now;
            left = left.map(|left| left - 1);
        }
        Ok(())
    }
}

fn with_port(host: &str) -> String {
    let host = host.trim_start_matches("http://").trim_end_matches('/');
    // The colons of an IPv6 address stand before the bracket, or there are several.
    let behind = host.rsplit(']').next().unwrap_or(host);
    match (behind.contains(':'), host.matches(':').count()) {
        (true, 1) => host.to_owned(),
        (true, _) if host.starts_with('[') => host.to_owned(),
        (true, _) => format!("[{host}]:80"),
        (false, _) => format!("{host}:80"),
    }
}

fn look(host: &str) -> Result<Look, String> {
    let text = metrics(host).map_err(|error| {
        format!("{host}: {error}; next: is an image there, with a route for /metrics?")
    })?;
    let look = parse(&text);
    if look.instances.is_empty() {
        return Err(format!(
            "{host} does not count its cycles; next: add `trace = true` to [app] in its \
             waitless.toml, and build it again"
        ));
    }
    Ok(look)
}

/// The text that `host` answers on `/metrics`.
fn metrics(host: &str) -> std::io::Result<String> {
    let other = |message: &str| std::io::Error::other(message.to_owned());
    let address = host.to_socket_addrs()?.next().ok_or_else(|| other("no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // With the older version, the answer ends with the connection.
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| other("no HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        status => Err(other(&format!("HTTP status {}", status.unwrap_or("?")))),
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer: thousands of counters.
const LONGEST: u64 = 4 << 20;

/// What of the counters is time.
fn parse(text: &str) -> Look {
    let mut look = Look::default();
    let mut places = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once("{instance=\"") else { continue };
        let Some((instance, value)) = rest.split_once("\"} ") else { continue };
        let Ok(value) = value.trim().parse() else { continue };
        match name {
            "waitless_sweep_between_cycles_total" => look.between = value,
            "waitless_sweep_sweeps_total" => look.sweeps = value,
            _ => {}
        }
        let name = name.strip_prefix("waitless_").unwrap_or(name);
        for (at, end) in
            ["_sweep_receive_cycles_total", "_sweep_transmit_cycles_total"].into_iter().enumerate()
        {
            let Some(component) = name.strip_suffix(end) else { continue };
            let place = *places.entry(instance.to_owned()).or_insert_with(|| {
                let component = component.replace('_', "-");
                look.instances.push((instance.to_owned(), component, [0; 2]));
                look.instances.len() - 1
            });
            look.instances[place].2[at] = value;
        }
    }
    look
}

/// What went on between two looks, which are `seconds` apart; the dearest first.
fn table(before: &Look, after: &Look, seconds: f64) -> String {
    let grown = |now: u64, then: u64| now.saturating_sub(then) as f64;
    let mut rows: Vec<_> = after
        .instances
        .iter()
        .map(|(name, component, now)| {
            let then = before.instances.iter().find(|(other, ..)| other == name);
            let then = then.map_or([0; 2], |(_, _, then)| *then);
            let [up, down] = [0, 1].map(|at| grown(now[at], then[at]));
            (name, component, up, down)
        })
        .collect();
    let busy: f64 = rows.iter().map(|(_, _, up, down)| up + down).sum();
    let between = grown(after.between, before.between);
    let all = (busy + between).max(1.0);
    let sweeps = grown(after.sweeps, before.sweeps);
    rows.sort_by(|a, b| (b.2 + b.3).total_cmp(&(a.2 + a.3)));
    let width = rows.iter().map(|(name, ..)| name.len()).max().unwrap_or(0).max(8);
    let mut out = format!(
        "{:.0} sweeps a second, {:.0} cycles each; {:.1} % of the time between them\n\n",
        sweeps / seconds,
        busy / sweeps.max(1.0),
        100.0 * between / all
    );
    let _ = writeln!(
        out,
        "{:width$}  {:>7}  {:>12}  {:>8}  {:>8}  component",
        "instance", "share", "cycles/sweep", "receive", "transmit"
    );
    for (name, component, up, down) in rows {
        let share = |part: f64| 100.0 * part / busy.max(1.0);
        let _ = writeln!(
            out,
            "{name:width$}  {:>6.1}%  {:>12.0}  {:>7.1}%  {:>7.1}%  {component}",
            share(up + down),
            (up + down) / sweeps.max(1.0),
            share(up),
            share(down)
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
# TYPE waitless_virtio_net_sweep_receive_cycles counter
waitless_virtio_net_received_frames_total{instance=\"nic\"} 77
waitless_virtio_net_sweep_receive_cycles_total{instance=\"nic\"} 100
waitless_http1_sweep_receive_cycles_total{instance=\"http\"} 10
waitless_http1_sweep_receive_cycles_total{instance=\"https\"} 5
waitless_virtio_net_sweep_transmit_cycles_total{instance=\"nic\"} 50
waitless_http1_sweep_transmit_cycles_total{instance=\"http\"} 20
waitless_sweep_between_cycles_total{instance=\"sweep\"} 1000
waitless_sweep_sweeps_total{instance=\"sweep\"} 4
";

    fn row(name: &str, component: &str, cycles: [u64; 2]) -> (String, String, [u64; 2]) {
        (name.to_owned(), component.to_owned(), cycles)
    }

    #[test]
    fn time_is_found_among_the_counters() {
        let look = parse(SAID);
        let expected = [
            row("nic", "virtio-net", [100, 50]),
            row("http", "http1", [10, 20]),
            row("https", "http1", [5, 0]),
        ];
        assert_eq!(look.instances, expected);
        assert_eq!((look.between, look.sweeps), (1000, 4));
        assert_eq!(
            parse("<html>\n{instance=\"\nwaitless_x_total{instance=\"y\"} z"),
            Look::default()
        );
    }

    #[test]
    fn a_table_shows_what_has_grown() {
        let before = parse(SAID);
        let after = Look {
            instances: vec![
                row("nic", "virtio-net", [150, 60]),
                row("http", "http1", [100, 70]),
                row("https", "http1", [5, 0]),
            ],
            between: 1800,
            sweeps: 24,
        };
        let expected = "\
10 sweeps a second, 10 cycles each; 80.0 % of the time between them

instance    share  cycles/sweep   receive  transmit  component
http        70.0%             7     45.0%     25.0%  http1
nic         30.0%             3     25.0%      5.0%  virtio-net
https        0.0%             0      0.0%      0.0%  http1
";
        assert_eq!(table(&before, &after, 2.0), expected);
        // An image that was started again counts from zero.
        assert!(table(&after, &before, 1.0).contains("0 sweeps a second"));
    }

    #[test]
    fn a_port_is_added_where_there_is_none() {
        for (host, expected) in [
            ("10.0.2.15", "10.0.2.15:80"),
            ("localhost:8080", "localhost:8080"),
            ("http://localhost:8080/", "localhost:8080"),
            ("fd00::1", "[fd00::1]:80"),
            ("[fd00::1]", "[fd00::1]:80"),
            ("[fd00::1]:81", "[fd00::1]:81"),
        ] {
            assert_eq!(with_port(host), expected);
        }
    }
}
