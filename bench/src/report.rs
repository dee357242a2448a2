//! The figures as a table, as JSON and as a drawing.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::race::{Bursts, Tools};
use crate::section::Section;
use crate::statistics::Estimate;

/// What was measured, and on what.
#[derive(Debug)]
pub(crate) struct Report {
    machine: Machine,
    runs: [usize; 2],
    rows: Vec<Row>,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Machine {
    envoy: String,
    kernel: String,
    cores: usize,
    module: u64,
}

/// One contender; what it adds per request in microseconds, direct and proxied.
#[derive(Debug)]
struct Row {
    name: &'static str,
    whole: [Option<Estimate>; 2],
    added: [Option<Estimate>; 2],
}

// === impl Report ===

impl Report {
    /// Sums up the bursts of each process.
    pub(crate) fn of(
        tools: Tools<'_>,
        bursts: usize,
        processes: &[Vec<Bursts>],
        sections: Vec<Section>,
    ) -> Result<Self> {
        let mut names: Vec<&'static str> = Vec::new();
        for one in processes.iter().flatten() {
            if !names.contains(&one.name) {
                names.push(one.name);
            }
        }
        let rows = names.into_iter().map(|name| {
            let estimate = |is_direct, of: fn(&Bursts) -> &Vec<f64>| {
                let lists: Vec<Vec<f64>> = processes
                    .iter()
                    .flatten()
                    .filter(|one| one.name == name && one.is_direct == is_direct)
                    .map(|one| of(one).clone())
                    .collect();
                Estimate::of(&lists)
            };
            Row {
                name,
                whole: [true, false].map(|is_direct| estimate(is_direct, |one| &one.whole)),
                added: [true, false].map(|is_direct| estimate(is_direct, |one| &one.added)),
            }
        });
        let (machine, runs) = (Machine::here(tools)?, [processes.len(), bursts]);
        Ok(Self { machine, runs, rows: rows.collect(), sections })
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let Machine { envoy, kernel, cores, module } = &self.machine;
        let [processes, bursts] = self.runs;
        let mut text = format!(
            "Envoy {envoy}, Linux {kernel}, {cores} cores, module of {module} bytes\n\
             {processes} processes, {bursts} bursts of each contender in each\n\
             Processor time per request in microseconds, median and 95 % interval\n\n\
             {:<26}{:>9}{:>24}{:>9}{:>24}\n",
            "", "direct", "added", "proxied", "added"
        );
        for row in &self.rows {
            let _ = write!(text, "{:<26}", row.name);
            for (whole, added) in row.whole.iter().zip(&row.added) {
                let whole = whole.map_or_else(|| "-".to_owned(), |one| format!("{:.1}", one.median));
                let added = added.map_or_else(|| "-".to_owned(), words);
                let _ = write!(text, "{whole:>9}{added:>24}");
            }
            text.push('\n');
        }
        text.extend(self.sections.iter().map(Section::table));
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let Machine { envoy, kernel, cores, module } = &self.machine;
        let [processes, bursts] = self.runs;
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let [direct, proxied] = row.whole.map(|one| one.map(Estimate::json));
                let [direct_added, proxied_added] = row.added.map(|one| one.map(Estimate::json));
                json!({
                    "name": row.name,
                    "direct": {"whole": direct, "added": direct_added},
                    "proxied": {"whole": proxied, "added": proxied_added},
                })
            })
            .collect();
        let mut all = json!({
            "envoy": envoy, "kernel": kernel, "cores": cores, "moduleBytes": module,
            "processes": processes, "bursts": bursts, "unit": "microseconds per request", "contenders": rows,
        });
        if let Value::Object(all) = &mut all {
            all.extend(self.sections.iter().map(Section::json));
        }
        all
    }

    /// For a page: what each contender adds to a proxied request. Colours that can be read on white and on black.
    pub(crate) fn svg(&self) -> String {
        const LEFT: f64 = 210.0;
        const WIDTH: f64 = 400.0;
        const LINE: usize = 24;
        let bars: Vec<(&str, Estimate)> =
            self.rows.iter().skip(1).filter_map(|row| Some((row.name, row.added[1]?))).collect();
        let most = bars.iter().map(|(_, one)| one.high).fold(1.0, f64::max);
        let x = |value: f64| LEFT + WIDTH * value.max(0.0) / most;
        let height = LINE * (bars.len() + 2);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 780 {height}\" font-family=\"sans-serif\" \
             font-size=\"13\" fill=\"#808080\">\n<text x=\"10\" y=\"18\" font-weight=\"bold\">Processor time added to a \
             proxied request, in microseconds (median, 95 % interval)</text>\n"
        );
        for (at, (name, one)) in bars.iter().enumerate() {
            let top = LINE * (at + 1) + 8;
            let (middle, base) = (top + 8, top + 13);
            let colour = if name.starts_with("Coalmine") { "#d9822b" } else { "#4a90d9" };
            let (low, end, high) = (x(one.low), x(one.median), x(one.high));
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{base}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"{LEFT}\" y=\"{top}\" width=\"{:.1}\" height=\"16\" fill=\"{colour}\"/>\
                 <path d=\"M{low:.1} {middle}H{high:.1}\" stroke=\"#808080\" stroke-width=\"3\"/>\
                 <text x=\"{:.1}\" y=\"{base}\">{}</text>",
                LEFT - 8.0,
                end - LEFT,
                high + 8.0,
                words(*one)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// As `+7.6 (7.1 to 8.2)`.
fn words(one: Estimate) -> String {
    format!("{:+.1} ({:.1} to {:.1})", one.median, one.low, one.high)
}

// === impl Machine ===

impl Machine {
    fn here(tools: Tools<'_>) -> Result<Self> {
        let output = Command::new(tools.envoy).arg("--version").output().context("cannot run Envoy")?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        // `<program>  version: <commit>/<version>/..`
        let version = output.split_once("version: ").and_then(|(_, version)| version.split('/').nth(1));
        let envoy = version.context("Envoy does not tell its version")?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("no version of Linux")?;
        Ok(Self {
            envoy: envoy.to_owned(),
            kernel: kernel.trim().to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            module: tools.filter.metadata()?.len(),
        })
    }
}
