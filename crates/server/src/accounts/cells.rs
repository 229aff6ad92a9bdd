//! Values of the books and the forms in which they are printed.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::range::rfc3339;
use crate::columns::signed;

/// Where a spreadsheet takes the rest of a field for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Words, ours or somebody else's.
    Text,
    /// Atomic USDC.
    Usdc,
    /// Unix milliseconds.
    Time,
    Number,
}

/// A column of a sheet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether a table for people has room for it.
    pub(super) in_table: bool,
}

/// One value; none where nothing is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Text(Option<String>),
    Usdc(Option<i64>),
    Time(Option<i64>),
    Number(Option<i64>),
}

/// Rows under their columns.
pub(super) struct Sheet {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// Some text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(Some(text.into()))
    }

    /// Whether nothing is known.
    pub(super) fn is_none(&self) -> bool {
        self.as_text().is_none() && self.as_number().is_none()
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<i64> {
        match self {
            Self::Usdc(value) | Self::Time(value) | Self::Number(value) => *value,
            Self::Text(_) => None,
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone().unwrap_or_default(),
            Self::Usdc(usdc) => usdc.map(|atomic| signed(atomic.into())).unwrap_or_default(),
            Self::Time(at_ms) => at_ms.map(rfc3339).unwrap_or_default(),
            Self::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
        }
    }

    /// What we calculated is a number, also where it is below zero; words that begin as a formula does
    /// are said to be words.
    fn csv(&self) -> String {
        let text = self.plain();
        let text = match self {
            Self::Text(_) if text.starts_with(FORMULA) => format!("'{text}"),
            _ => text,
        };
        match text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(number) => number.map_or(Value::Null, Value::from),
            Self::Text(None) | Self::Usdc(None) | Self::Time(None) => Value::Null,
            other => Value::from(other.plain()),
        }
    }
}

/// The first line of a CSV.
pub(super) fn write_titles(to: &mut impl Write, columns: &[Column]) -> io::Result<()> {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    write!(to, "{}\r\n", names.join(","))
}

impl Sheet {
    pub(super) fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn write_csv(&self, to: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            let fields: Vec<_> = row.iter().map(Cell::csv).collect();
            write!(to, "{}\r\n", fields.join(","))?;
        }
        Ok(())
    }

    pub(super) fn write_json(&self, to: &mut impl Write) -> io::Result<()> {
        for row in &self.rows {
            let fields = self.columns.iter().zip(row);
            let document: Map<_, _> =
                fields.map(|(column, cell)| (column.name.to_owned(), cell.json())).collect();
            writeln!(to, "{}", Value::Object(document))?;
        }
        Ok(())
    }

    /// For people: what there is room for, numbers to the right.
    pub(super) fn table(&self) -> String {
        let shown = |row: &[String]| -> Vec<String> {
            let cells = self.columns.iter().zip(row).filter(|(column, _)| column.in_table);
            cells.map(|(_, cell)| printable(cell)).collect()
        };
        let kinds: Vec<Kind> =
            self.columns.iter().filter(|column| column.in_table).map(|column| column.kind).collect();
        let titles: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        let mut lines = vec![shown(&titles)];
        lines.extend(self.rows.iter().map(|row| shown(&row.iter().map(Cell::plain).collect::<Vec<_>>())));
        let width = |at: usize| {
            lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..kinds.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded = line.iter().zip(&kinds).zip(&widths).map(|((cell, kind), width)| match kind {
                Kind::Usdc | Kind::Number => format!("{cell:>width$}"),
                Kind::Text | Kind::Time => format!("{cell:<width$}"),
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A terminal does what control characters say: they are somebody else's.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
