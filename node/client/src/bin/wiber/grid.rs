//! Text in columns, with colours that take no room.

use clap::builder::styling::{AnsiColor, Effects, Style as Look};

use crate::cli;

/// How a table may look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    pub(crate) coloured: bool,
}

impl Style {
    pub(crate) fn paint(self, text: &str, look: Look) -> String {
        if self.coloured && !look.is_plain() && !text.is_empty() {
            format!("{look}{text}{look:#}")
        } else {
            text.to_owned()
        }
    }
}

pub(crate) const GOOD: Look = AnsiColor::Green.on_default();
pub(crate) const ODD: Look = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Look = AnsiColor::Red.on_default().effects(Effects::BOLD);
pub(crate) const FAINT: Look = Look::new().effects(Effects::DIMMED);
const HEAD: Look = Look::new().effects(Effects::BOLD);

/// A cell with more characters does not make its column wider: it makes its own line longer, and the others stay in view.
const MAX_COUNTED_CHARS: usize = 40;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    head: &'static str,
    is_number: bool,
    /// What stands between this cell and the one before it, if this one says anything.
    joint: &'static str,
}

impl Column {
    pub(crate) const fn text(head: &'static str) -> Self {
        Self {
            head,
            is_number: false,
            joint: "  ",
        }
    }

    /// Aligned to the right.
    pub(crate) const fn number(head: &'static str) -> Self {
        Self {
            is_number: true,
            ..Self::text(head)
        }
    }

    /// The half-width of an interval, whose middle is in the column before.
    pub(crate) const fn plus_minus(head: &'static str) -> Self {
        Self {
            joint: " ± ",
            ..Self::number(head)
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    look: Look,
}

impl Cell {
    /// The look of a cell that says nothing remarkable.
    pub(crate) const PLAIN: Look = Look::new();

    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            look: Look::new(),
        }
    }

    /// A node's own words, which must not reach the terminal as commands to it.
    pub(crate) fn words(text: &str) -> Self {
        Self::new(cli::one_line(text))
    }

    /// What is unknown is `-`.
    pub(crate) fn known<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> Self {
        value.map_or_else(|| Self::new("-"), |value| Self::new(write(value)))
    }

    /// What is unknown is left out: for the second half of a pair.
    pub(crate) fn known_or_blank<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> Self {
        Self::new(value.map(write).unwrap_or_default())
    }

    pub(crate) fn look(self, look: Look) -> Self {
        Self { look, ..self }
    }
}

/// A head line and a line for each row. A row's last cell may be as long as it likes, and the row may end early with
/// it; the other cells make their columns as wide as they need, up to [`MAX_COUNTED_CHARS`].
pub(crate) fn grid(columns: &[Column], rows: &[Vec<Cell>], style: Style) -> String {
    let heads: Vec<Cell> = columns
        .iter()
        .map(|column| Cell::new(column.head).look(HEAD))
        .collect();
    let mut widths = vec![0; columns.len()];
    for row in std::iter::once(&heads).chain(rows) {
        let counted = row.len().saturating_sub(1);
        for (width, cell) in widths.iter_mut().zip(&row[..counted]) {
            let chars = cell.text.chars().count();
            if chars <= MAX_COUNTED_CHARS {
                *width = chars.max(*width);
            }
        }
    }
    std::iter::once(&heads)
        .chain(rows)
        .map(|row| line(columns, &widths, row, style) + "\n")
        .collect()
}

fn line(columns: &[Column], widths: &[usize], row: &[Cell], style: Style) -> String {
    let mut out = String::new();
    // Written before the next text only, so that no line ends in blanks.
    let mut blanks = String::new();
    for (at, cell) in row.iter().enumerate() {
        let column = &columns[at];
        let padding = " ".repeat(widths[at].saturating_sub(cell.text.chars().count()));
        match column.joint {
            _ if at == 0 => {}
            joint if cell.text.is_empty() => blanks.push_str(&" ".repeat(joint.chars().count())),
            joint => blanks.push_str(joint),
        }
        if column.is_number {
            blanks.push_str(&padding);
        }
        if !cell.text.is_empty() {
            out.push_str(&std::mem::take(&mut blanks));
            out.push_str(&style.paint(&cell.text, cell.look));
        }
        if !column.is_number {
            blanks.push_str(&padding);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::text("id"),
        Column::number("offset"),
        Column::plus_minus("bound"),
        Column::text(""),
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |words: [&str; 4]| words.map(Cell::new).to_vec();
        let mut rows = vec![
            row(["n1", "+12 µs", "140 µs", ""]),
            row(["number-two", "-1.250000 s ", "", "a remark of any length"]),
        ];
        rows.push(vec![Cell::new("n3"), Cell::new("no answer").look(BAD)]);
        rows
    }

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let expected = "\
id                offset ±  bound
n1                +12 µs ± 140 µs
number-two  -1.250000 s            a remark of any length
n3             no answer
";
        assert_eq!(grid(&COLUMNS, &rows(), Style::default()), expected);
    }

    #[test]
    fn a_cell_that_is_very_long_moves_its_own_line_only() {
        let long = "x".repeat(MAX_COUNTED_CHARS + 1);
        let rows = [[&long, "1", "2", ""], ["n1", "3", "4", ""]];
        let rows = rows.map(|row| row.map(Cell::new).to_vec());
        assert_eq!(
            grid(&COLUMNS, &rows, Style::default()),
            format!("id  offset ± bound\n{long}       1 ±     2\nn1       3 ±     4\n")
        );
    }

    #[test]
    fn colours_move_nothing() {
        let coloured = grid(&COLUMNS, &rows(), Style { coloured: true });
        assert!(
            coloured.contains("\x1b[1m\x1b[31mno answer\x1b[0m"),
            "{coloured:?}"
        );
        let mut plain = String::new();
        for part in coloured.split('\x1b') {
            plain.push_str(
                part.strip_prefix('[')
                    .map_or(part, |rest| rest.split_once('m').map_or(rest, |(_, text)| text)),
            );
        }
        assert_eq!(plain, grid(&COLUMNS, &rows(), Style::default()));
    }

    #[test]
    fn a_nodes_words_are_no_commands_to_the_terminal() {
        assert_eq!(Cell::words("it\x1b[2J is\nlate").text, "it [2J is late");
    }
}
