//! The results as a table that is Markdown, too.

use std::fmt::Write as _;

use super::{
    figures::{Results, thousands},
    machine,
    plan::Scale,
};

const HEAD: [&str; 7] = ["row", "figure", "measured", "target", "met", "× floor", "note"];

pub(super) fn render(results: &Results) -> String {
    let floor = &results.floor;
    let mut out = format!(
        "{floor}; least for a commit {:.0} µs\n{} processors, load average {} before and {} after{}\n\n",
        floor.commit_us(),
        machine::processors(),
        or_unknown(results.load_before),
        or_unknown(results.load_after),
        match results.scale {
            Scale::Full => String::new(),
            less => format!("; {}: fewer messages than the targets are about", less.name()),
        },
    );
    let rows = results.figures.iter().map(|figure| {
        [
            figure.row().to_owned(),
            figure.name.clone(),
            figure.measured(),
            figure.aimed(),
            figure
                .is_met()
                .map_or("", |met| if met { "yes" } else { "NO" })
                .to_owned(),
            figure.floor_ratio.map(thousands).unwrap_or_default(),
            figure.note.clone(),
        ]
    });
    out.push_str(&grid(rows.collect()));
    for (row, reason) in &results.failed {
        let _ = writeln!(out, "\nNOT MEASURED: {row}: {reason}");
    }
    for read in &results.readbacks {
        let _ = writeln!(out, "\n{read}");
    }
    for broken in &results.broken {
        let _ = writeln!(out, "BROKEN: {broken}");
    }
    out
}

fn or_unknown(load: Option<f64>) -> String {
    load.map_or_else(|| "?".to_owned(), |load| format!("{load:.1}"))
}

/// Columns as wide as their widest cell.
fn grid(rows: Vec<[String; 7]>) -> String {
    let mut all = vec![HEAD.map(str::to_owned)];
    all.extend(rows);
    let width = |column: usize| {
        all.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut out = String::new();
    for (at, row) in all.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
        if at == 0 {
            for width in widths {
                let _ = write!(out, "|{}", "-".repeat(width + 2));
            }
            out.push_str("|\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |first: &str| {
            std::array::from_fn(|at| {
                if at == 0 {
                    first.to_owned()
                } else {
                    "µs".to_owned()
                }
            })
        };
        let table = grid(vec![row("a"), row("something long")]);
        let lengths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lengths.len(), 4);
        assert!(lengths.iter().all(|length| *length == lengths[0]), "{table}");
    }
}
