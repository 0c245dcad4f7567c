//! What comes out: a table, JSON, and a chart.

use crate::chart;
use crate::contender::Contender;
use crate::machine;
use crate::options::Options;
use crate::workloads::{Figure, rounded};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::path::Path;

/// All figures of all runs.
pub struct Results<'a> {
    options: &'a Options,
    names: Vec<&'static str>,
    load_average: String,
    /// By what was measured, in the order in which it was first.
    rows: Vec<Row>,
}

struct Row {
    what: String,
    unit: &'static str,
    /// Of each contender.
    cells: Vec<Cell>,
}

#[derive(Clone, Default)]
struct Cell {
    values: Vec<f64>,
    failures: Vec<String>,
    dropped: usize,
    others: Vec<f64>,
}

impl<'a> Results<'a> {
    /// None yet.
    pub fn new(options: &'a Options, contenders: &[Contender]) -> Self {
        let names = contenders.iter().map(|contender| contender.name).collect();
        Self { options, names, load_average: machine::load_average(), rows: Vec::new() }
    }

    /// What is measured, in a line.
    pub fn heading(&self) -> String {
        let options = self.options;
        let how = match (options.native, options.kvm) {
            (true, _) => "processes on this machine".to_owned(),
            (false, kvm) => {
                let with = if kvm { "KVM" } else { "TCG" };
                let arch = options.arch.name();
                format!("QEMU with {with}, {arch}, {} vCPU, {}", options.cores, options.memory)
            }
        };
        format!(
            "{how}; {} runs, {} s for each load; load average at the start {}",
            options.runs, options.seconds, self.load_average
        )
    }

    /// Adds a figure, unless others took too much of the machine meanwhile.
    pub fn add(&mut self, contender: &Contender, figure: Figure, others: f64) {
        let column = self.names.iter().position(|name| *name == contender.name);
        let column = column.expect("a contender of this run");
        let known = self.rows.iter().position(|row| row.what == figure.what);
        let row = known.unwrap_or_else(|| {
            let cells = vec![Cell::default(); self.names.len()];
            self.rows.push(Row { what: figure.what.clone(), unit: figure.unit, cells });
            self.rows.len() - 1
        });
        let cell = &mut self.rows[row].cells[column];
        match figure.value {
            _ if others > self.options.drop => cell.dropped += 1,
            Ok(value) => {
                cell.values.push(value);
                cell.others.push(others);
            }
            Err(said) => cell.failures.push(said),
        }
    }

    /// As a table in Markdown: median, least and most, and the ratio to the first contender.
    pub fn table(&self) -> String {
        let mut out = format!("{}\n\n| what |", self.heading());
        for (column, name) in self.names.iter().enumerate() {
            let _ = write!(out, " {name} |{}", if column > 0 { " ratio |" } else { "" });
        }
        out.push_str(" taken by others |\n|---|");
        for column in 0..self.names.len() {
            out.push_str(if column > 0 { "---|---|" } else { "---|" });
        }
        out.push_str("---|\n");
        for row in &self.rows {
            let _ = write!(out, "| {}, {} |", row.what, row.unit);
            for (column, cell) in row.cells.iter().enumerate() {
                let _ = write!(out, " {} |", cell.text());
                if column > 0 {
                    let _ = write!(out, " {} |", ratio(row, column).unwrap_or_default());
                }
            }
            let others = row.cells.iter().flat_map(|cell| &cell.others);
            let most = others.fold(0.0, |most: f64, share| most.max(*share));
            let _ = writeln!(out, " {:.0} % |", 100.0 * most);
        }
        out
    }

    /// Writes JSON and the chart, and says where.
    pub fn save(&self) {
        let options = self.options;
        let text = serde_json::to_string_pretty(&self.json()).unwrap_or_default() + "\n";
        save(&options.json, &text);
        let lines = |unit: &str, behind: &str| {
            let by = |column| self.by_connections(column, unit, behind);
            (0..self.names.len()).map(|column| (self.names[column], by(column))).collect()
        };
        let (rates, waits): (Vec<_>, Vec<_>) =
            (lines("requests/s", ""), lines("ms", ", 99 of 100"));
        if rates.iter().any(|(_, points): &(_, Vec<_>)| points.len() > 1) {
            save(&options.chart, &chart::svg(&self.heading(), &rates, &waits));
        }
    }

    /// Medians of a contender on `/health`, by the number of connections.
    fn by_connections(&self, column: usize, unit: &str, behind: &str) -> Vec<(f64, f64)> {
        let point = |row: &Row| {
            let count = row.what.strip_prefix("/health, ")?.strip_suffix(behind)?;
            let count = count.strip_suffix(" connections")?.parse().ok()?;
            Some((count, row.cells[column].median()?)).filter(|_| row.unit == unit)
        };
        self.rows.iter().filter_map(point).collect()
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            let cells = self.names.iter().zip(&row.cells);
            let cells = cells.map(|(name, cell)| ((*name).to_owned(), cell.json()));
            json!({ "what": row.what, "unit": row.unit, "of": cells.collect::<Map<_, _>>() })
        };
        json!({
            "how": self.heading(),
            "cores": self.options.cores,
            "seconds": self.options.seconds,
            "native": self.options.native,
            "kvm": self.options.kvm,
            "figures": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

impl Cell {
    fn sorted(&self) -> Vec<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    fn median(&self) -> Option<f64> {
        let values = self.sorted();
        values.get(values.len() / 2).copied()
    }

    fn text(&self) -> String {
        let values = self.sorted();
        let text = match values.as_slice() {
            [] => String::new(),
            [one] => rounded(*one),
            [least, .., most] => {
                let median = rounded(values[values.len() / 2]);
                format!("{median} ({} to {})", rounded(*least), rounded(*most))
            }
        };
        match self.failures.last() {
            Some(said) => format!("{text} failed {}×: {said}", self.failures.len()),
            None if self.dropped > 0 => format!("{text} ({} dropped)", self.dropped),
            None => text,
        }
    }

    fn json(&self) -> Value {
        json!({
            "values": self.values,
            "median": self.median(),
            "failures": self.failures,
            "dropped": self.dropped,
            "taken by others": self.others,
        })
    }
}

/// How many times better the first contender is than that in `column`.
fn ratio(row: &Row, column: usize) -> Option<String> {
    let (ours, theirs) = (row.cells[0].median()?, row.cells[column].median()?);
    let more_is_better = row.unit.ends_with("/s");
    let (better, worse) = if more_is_better { (ours, theirs) } else { (theirs, ours) };
    (worse > 0.0).then(|| format!("{}×", rounded(better / worse)))
}

fn save(file: &Path, text: &str) {
    match std::fs::write(file, text) {
        Ok(()) => println!("written: {}", file.display()),
        Err(error) => println!("{}: {error}", file.display()),
    }
}
