// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A table that fits the terminal: names are shortened first, then columns left out, the least
//! important first.

use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;

use super::{BOLD, DIM, PLAIN};

/// A column, and what it may lose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Stands above the heads of neighbours that share it.
    pub(crate) group: &'static str,
    pub(crate) head: &'static str,
    pub(crate) align: Align,
    /// It is at least so wide, so that a table that is drawn again does not jump.
    pub(crate) least: usize,
    /// Columns of the highest rank are left out first; those of rank 0 stay.
    pub(crate) rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
    /// To the left, and shortened to so many characters before any column is left out.
    Shrink(usize),
}

/// A text to be aligned; control characters are shown as ?, as names come from configurations.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: &str, style: Style) -> Self {
        Self { text: text.replace(char::is_control, "?"), style }
    }

    pub(crate) fn plain(text: &str) -> Self {
        Self::new(text, PLAIN)
    }

    /// What is zero or unknown steps back.
    pub(crate) fn number(text: &str, style: Style) -> Self {
        Self::new(text, if matches!(text, "0" | "-") { DIM } else { style })
    }

    fn width(&self) -> usize {
        super::columns(&self.text)
    }
}

/// The lines of the table: heads, then one a row. `width` is that of the terminal, if it is one.
pub(crate) fn render(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>) -> Vec<String> {
    let mut shown: Vec<(usize, Column, usize)> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(Cell::width);
            (index, *column, cells.chain([column.head.len(), column.least]).max().unwrap_or(0))
        })
        .collect();
    if let Some(width) = width {
        fit(&mut shown, width);
    }
    let mut lines = Vec::with_capacity(rows.len() + 2);
    if shown.iter().any(|(_, column, _)| !column.group.is_empty()) {
        lines.push(groups(&shown));
    }
    lines.push(line(&shown, |_, column| Cell::new(column.head, BOLD)));
    for row in rows {
        let cell = |index| row.get(index).cloned().unwrap_or_else(|| Cell::plain(""));
        lines.push(line(&shown, |index, _| cell(index)));
    }
    lines
}

/// Between neighbours of a group one blank, else two.
fn gap(before: Option<&(usize, Column, usize)>, column: &Column) -> usize {
    match before {
        None => 0,
        Some((_, before, _)) if !column.group.is_empty() && before.group == column.group => 1,
        Some(_) => 2,
    }
}

fn total(shown: &[(usize, Column, usize)]) -> usize {
    let mut before = None;
    shown
        .iter()
        .map(|now| {
            let gap = gap(before, &now.1);
            before = Some(now);
            gap + now.2
        })
        .sum()
}

fn fit(shown: &mut Vec<(usize, Column, usize)>, width: usize) {
    let full: Vec<usize> = shown.iter().map(|&(.., wide)| wide).collect();
    // Shortened at first all the way: what is left over when the columns are chosen is given back.
    for (_, column, wide) in shown.iter_mut() {
        if let Align::Shrink(least) = column.align {
            *wide = least.min(*wide);
        }
    }
    while total(shown) > width {
        let Some(rank) =
            shown.iter().map(|(_, column, _)| column.rank).max().filter(|&rank| rank > 0)
        else {
            break;
        };
        shown.retain(|(_, column, _)| column.rank != rank);
    }
    let mut spare = width.saturating_sub(total(shown));
    // Fairly: a character each in turn.
    while spare > 0 {
        let short = |index: usize, wide: usize| full.get(index).is_some_and(|&full| wide < full);
        let before = spare;
        for (.., wide) in
            shown.iter_mut().filter(|(index, _, wide)| short(*index, *wide)).take(spare)
        {
            *wide += 1;
            spare -= 1;
        }
        if spare == before {
            break;
        }
    }
}

fn line(shown: &[(usize, Column, usize)], cell: impl Fn(usize, &Column) -> Cell) -> String {
    let mut line = String::new();
    let mut before = None;
    for (place, now @ (index, column, wide)) in shown.iter().enumerate() {
        let cell = cell(*index, column);
        let text = shorten(&cell.text, *wide);
        let pad = " ".repeat(wide.saturating_sub(super::columns(&text)));
        line += &" ".repeat(gap(before, column));
        let text = super::styled(&text, cell.style);
        match column.align {
            Align::Right => line += &(pad + &text),
            // No blanks at the end of a line.
            _ if place + 1 == shown.len() => line += &text,
            Align::Left | Align::Shrink(_) => line += &(text + &pad),
        }
        before = Some(now);
    }
    line
}

/// A name and a rule over the columns that share it.
fn groups(shown: &[(usize, Column, usize)]) -> String {
    let mut line = String::new();
    let mut blanks = 0;
    for group in shown.chunk_by(|a, b| a.1.group == b.1.group) {
        let name = group.first().map_or("", |(_, column, _)| column.group);
        let wide = total(group);
        if name.is_empty() {
            blanks += wide + 2;
            continue;
        }
        let left = wide.saturating_sub(name.len() + 2) / 2;
        let right = wide.saturating_sub(name.len() + 2 + left);
        line += &" ".repeat(blanks);
        line += &super::styled(&format!("{} {name} {}", "-".repeat(left), "-".repeat(right)), DIM);
        blanks = 2;
    }
    line
}

/// Replaces the middle of a text by `~`: names differ at their ends.
fn shorten(text: &str, width: usize) -> String {
    if super::columns(text) <= width {
        return text.to_owned();
    }
    let tail_width = width / 2;
    let head = take(text.chars(), width.saturating_sub(tail_width + 1));
    let tail: String = take(text.chars().rev(), tail_width).chars().rev().collect();
    format!("{head}~{tail}")
}

/// The first characters that fit into `width` columns.
fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { group: "", head: "NAME", align: Align::Shrink(6), least: 0, rank: 0 },
        Column { group: "READ", head: "a", align: Align::Right, least: 4, rank: 0 },
        Column { group: "READ", head: "b", align: Align::Right, least: 4, rank: 2 },
        Column { group: "", head: "END", align: Align::Left, least: 0, rank: 1 },
    ];

    fn rendered(width: Option<usize>) -> Vec<String> {
        let rows = [vec!["a-long-name", "1", "20", "x"], vec!["b\x1b", "300", "4", "y"]];
        let rows: Vec<Vec<Cell>> =
            rows.into_iter().map(|row| row.into_iter().map(Cell::plain).collect()).collect();
        render(&COLUMNS, &rows, width)
            .iter()
            .map(|line| anstream::adapter::strip_str(line).to_string())
            .collect()
    }

    #[test]
    fn what_has_room_is_shown_whole() {
        let whole = [
            "             - READ --",
            "NAME            a    b  END",
            "a-long-name     1   20  x",
            "b?            300    4  y",
        ];
        assert_eq!(rendered(None), whole);
        assert_eq!(rendered(Some(27)), whole);
    }

    #[test]
    fn names_are_shortened_first_then_columns_go_by_their_rank() {
        assert_eq!(rendered(Some(25))[2], "a-lo~name     1   20  x");
        assert_eq!(rendered(Some(19))[2], "a-l~name     1  x");
        assert_eq!(rendered(Some(12))[2], "a-~ame     1");
        assert_eq!(rendered(Some(3))[2], "a-~ame     1");
    }
}
