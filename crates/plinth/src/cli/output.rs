//! How answers look: tables for people, JSON for programs.

use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

/// How answers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: OutputFormat,
}

/// Rows under headings.
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty table.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
            .set_header(headings.map(str::to_uppercase));
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// Adds a row of as many cells as there are columns.
    pub(crate) fn cells(&mut self, cells: Vec<String>) {
        self.0.add_row(cells);
    }

    /// Its rows as they are shown.
    pub(crate) fn text(&self) -> String {
        self.0.trim_fmt()
    }

    /// An empty table with headings that are known only now.
    pub(crate) fn with_headings(headings: &[String]) -> Self {
        let mut table = Self::new([]);
        table.0.set_header(headings);
        table
    }
}

impl Output {
    /// Answers in a format.
    pub(crate) const fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.format == OutputFormat::Json
    }

    /// Shows an answer: as it is for programs, as a table for people.
    pub(crate) fn show<T: Serialize>(
        self,
        answer: &T,
        table: impl FnOnce(&T) -> Table,
    ) -> Result<()> {
        if self.is_json() {
            return self.json(answer);
        }
        self.text(&table(answer).text())
    }

    /// Shows an answer: as it is for programs, as a sentence for people.
    pub(crate) fn say<T: Serialize>(
        self,
        answer: &T,
        sentence: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if self.is_json() {
            return self.json(answer);
        }
        self.text(&sentence(answer))
    }

    /// Shows one JSON document on one line.
    pub(crate) fn json<T: Serialize>(self, answer: &T) -> Result<()> {
        self.text(&serde_json::to_string(answer)?)
    }

    /// Shows text and ends the line.
    pub(crate) fn text(self, text: &str) -> Result<()> {
        writeln!(std::io::stdout().lock(), "{text}")?;
        Ok(())
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }
}

/// Says an instant for people: UTC to the millisecond.
pub(crate) fn time_text(unix_ms: i64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    let shape = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(shape).ok())
        .unwrap_or_else(|| unix_ms.to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn instants_are_as_long_as_each_other() {
        assert_eq!(
            super::time_text(1_700_000_000_120),
            "2023-11-14T22:13:20.120Z"
        );
        assert_eq!(super::time_text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::time_text(i64::MAX), i64::MAX.to_string());
    }
}
