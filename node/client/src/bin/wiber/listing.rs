//! How a command that lists things says them: as a table for people, or as one JSON document.

use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::{
    format::escaped,
    grid::{Cell, Column, Style, grid},
    output::{self, say},
};

/// How things of one kind are listed.
pub(crate) struct Listing<T: 'static> {
    /// What one of them is called.
    pub(crate) noun: &'static str,
    pub(crate) columns: &'static [Column],
    /// A cell for each column.
    pub(crate) row: fn(&T) -> Vec<Cell>,
}

/// `{"<noun>_count": n, "<noun>s": [...]}`
struct Document<'a, T> {
    noun: &'static str,
    items: &'a [T],
}

impl<T: Serialize> Serialize for Document<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(&format!("{}_count", self.noun), &self.items.len())?;
        map.serialize_entry(&format!("{}s", self.noun), self.items)?;
        map.end()
    }
}

impl<T: Serialize> Listing<T> {
    pub(crate) fn say(&self, items: &[T], json: bool) -> anyhow::Result<()> {
        let text = if json {
            self.document(items)?
        } else {
            self.table(items, output::style())
        };
        say(&text).map(|_| ())
    }

    pub(crate) fn document(&self, items: &[T]) -> anyhow::Result<String> {
        let noun = self.noun;
        Ok(escaped(&serde_json::to_string(&Document { noun, items })?) + "\n")
    }

    pub(crate) fn table(&self, items: &[T], style: Style) -> String {
        if items.is_empty() {
            return format!("no {}s\n", self.noun);
        }
        // A number is aligned only if another column follows it.
        let columns = [self.columns, &[Column::text("")]].concat();
        let row = |item| {
            let mut cells = (self.row)(item);
            cells.push(Cell::default());
            cells
        };
        let rows: Vec<Vec<Cell>> = items.iter().map(row).collect();
        grid(&columns, &rows, style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Listing<String> = Listing {
        noun: "word",
        columns: &[Column::text("word"), Column::number("bytes")],
        row: |word| vec![Cell::words(word), Cell::new(word.len().to_string())],
    };

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_document_has_every_thing_and_their_number() {
        let document = |items: &[&str]| WORDS.document(&words(items)).unwrap();
        assert_eq!(
            document(&["a", "b"]),
            "{\"word_count\":2,\"words\":[\"a\",\"b\"]}\n"
        );
        assert_eq!(document(&[]), "{\"word_count\":0,\"words\":[]}\n");
    }

    #[test]
    fn a_table_aligns_its_last_column_too_and_an_empty_one_is_a_sentence() {
        let table = |items: &[&str]| WORDS.table(&words(items), Style::default());
        assert_eq!(
            table(&["one", "eleven and more"]),
            "\
word             bytes
one                  3
eleven and more     15
"
        );
        assert_eq!(table(&[]), "no words\n");
    }

    #[test]
    fn the_longest_name_there_may_be_makes_its_own_line_long_and_no_other() {
        let longest = "x".repeat(249);
        let table = WORDS.table(&words(&["short", &longest]), Style::default());
        assert_eq!(table, format!("word   bytes\nshort      5\n{longest}    249\n"));
    }
}
