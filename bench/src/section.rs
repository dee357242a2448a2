//! Further measurements: a table each, of rows whose columns are estimates.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::statistics::Estimate;

/// What a further measurement is about, the same in every process.
#[derive(Debug)]
pub(crate) struct Subject {
    /// Its name in JSON.
    pub(crate) key: &'static str,
    /// Its title, with the unit.
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// Each column's name, for people and in JSON.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

/// What one process shows about one row: the values of each column.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) row: String,
    pub(crate) values: Vec<Vec<f64>>,
}

/// A measurement, summed up.
#[derive(Debug)]
pub(crate) struct Section {
    subject: &'static Subject,
    rows: Vec<(String, Vec<Option<Estimate>>)>,
}

// === impl Section ===

impl Section {
    /// Sums up what each process shows. All have the same rows.
    pub(crate) fn of(subject: &'static Subject, processes: &[Vec<Measured>]) -> Self {
        let names = processes.first().into_iter().flatten().map(|one| &one.row);
        let rows = names.enumerate().map(|(row, name)| {
            let estimates = (0..subject.columns.len()).map(|column| {
                let of_process = |rows: &Vec<Measured>| rows.get(row)?.values.get(column).cloned();
                Estimate::of(&processes.iter().filter_map(of_process).collect::<Vec<_>>())
            });
            (name.clone(), estimates.collect())
        });
        Self { subject, rows: rows.collect() }
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("\n{}\n\n{:<26}", self.subject.title, "");
        for (name, _) in self.subject.columns {
            let _ = write!(text, "{name:>26}");
        }
        for (name, estimates) in &self.rows {
            let _ = write!(text, "\n{name:<26}");
            for estimate in estimates {
                let words = estimate.map_or_else(
                    || "-".to_owned(),
                    |one| format!("{:.2} ({:.2} to {:.2})", one.median, one.low, one.high),
                );
                let _ = write!(text, "{words:>26}");
            }
        }
        text.push('\n');
        text
    }

    /// For programs: its name and its rows.
    pub(crate) fn json(&self) -> (String, Value) {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(name, estimates)| {
                let mut row = Map::from_iter([("name".to_owned(), json!(name))]);
                for ((_, key), estimate) in self.subject.columns.iter().zip(estimates) {
                    row.insert((*key).to_owned(), json!(estimate.map(Estimate::json)));
                }
                Value::Object(row)
            })
            .collect();
        (self.subject.key.to_owned(), json!({"unit": self.subject.unit, "rows": rows}))
    }
}
