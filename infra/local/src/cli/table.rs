//! Rows with their columns aligned, printed as they come.

use super::output::{Paint, Tone, printable};

/// The widths of columns. They only grow, so that rows which come later still stand beneath earlier ones.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    titles: [&'static str; N],
    widths: [usize; N],
}

/// A cell: its text, and its tone if it has one.
pub(super) type Cell = (String, Option<Tone>);

impl<const N: usize> Table<N> {
    /// Columns with these titles.
    pub(super) fn new(titles: [&'static str; N]) -> Self {
        Self { titles, widths: titles.map(str::len) }
    }

    /// Makes room for rows before the first of them is printed.
    pub(super) fn fit(&mut self, rows: &[[Cell; N]]) {
        for row in rows {
            for (width, (text, _)) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(printable(text).chars().count());
            }
        }
    }

    /// The titles as a line.
    pub(super) fn head(&self, paint: Paint) -> String {
        let titles = self.titles.map(|title| (title.to_owned(), None));
        paint.heading(&self.line(&titles, paint))
    }

    /// The row as a line.
    pub(super) fn line(&self, row: &[Cell; N], paint: Paint) -> String {
        let mut line = String::new();
        for (width, (text, tone)) in self.widths.iter().zip(row) {
            let text = printable(text);
            let gap = width.saturating_sub(text.chars().count()) + 2;
            line.push_str(&tone.map_or_else(|| text.to_string(), |tone| paint.toned(tone, &text)));
            line.extend(std::iter::repeat_n(' ', gap));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<const N: usize>(cells: [&str; N]) -> [Cell; N] {
        cells.map(|cell| (cell.to_owned(), None))
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["TYPE", "STATUS", "CAUSE"]);
        let rows = [row(["order.created", "applied", ""]), row(["é\n", "rejected", "wrong_signature"])];
        table.fit(&rows);
        let lines = [table.head(Paint::none()), table.line(&rows[0], Paint::none())];
        assert_eq!(lines, ["TYPE           STATUS    CAUSE", "order.created  applied"]);
        assert_eq!(table.line(&rows[1], Paint::none()), "é\\u{a}         rejected  wrong_signature");
    }

    #[test]
    fn a_later_row_that_is_wider_pushes_only_itself() {
        let mut table = Table::new(["A", "B"]);
        table.fit(&[row(["1", "2"])]);
        assert_eq!(table.line(&row(["longer", "2"]), Paint::none()), "longer  2");
    }
}
