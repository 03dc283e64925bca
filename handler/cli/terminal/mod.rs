// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Styles, widths and line breaks of terminal output.

pub(crate) mod table;
pub(crate) mod units;

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

use crate::scrape::{Lun, Snapshot, State, Volume};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A styled text; anstream removes the styles where they are not wanted.
pub(crate) fn styled(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// Columns of the terminal; `None` if standard output is not one.
pub(crate) fn width() -> Option<usize> {
    use std::io::IsTerminal as _;
    let size = std::io::stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().map(|(columns, _)| usize::from(columns))
}

/// Columns that a text takes, without its styles.
pub(crate) fn columns(text: &str) -> usize {
    anstream::adapter::strip_str(text).map(UnicodeWidthStr::width).sum()
}

/// Cuts a styled line to `width` columns. Styles are kept.
pub(crate) fn cut(line: &str, width: usize) -> String {
    let (mut visible, mut escape) = (0, false);
    let kept = |c: &char| {
        if *c == '\x1b' {
            escape = true;
        }
        let is_style = escape;
        if escape {
            escape = *c != 'm';
        } else {
            visible += c.width().unwrap_or(0);
        }
        is_style || visible <= width
    };
    line.chars().filter(kept).collect()
}

/// Wraps a paragraph to the terminal between words, with these indents; one line elsewhere.
pub(crate) fn paragraph(text: &str, first: &str, rest: &str) -> String {
    match width() {
        None => format!("{first}{text}"),
        Some(width) => {
            textwrap::fill(text, between_words(width).initial_indent(first).subsequent_indent(rest))
        }
    }
}

/// Wraps a sentence to `width` columns.
pub(crate) fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let lines = textwrap::wrap(sentence, between_words(width));
    lines.into_iter().map(std::borrow::Cow::into_owned).collect()
}

fn between_words<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false)
}

/// "1 error", "2 errors".
pub(crate) fn plural(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Name and style of a LUN's state.
pub(crate) fn state(state: State) -> (&'static str, Style) {
    match state {
        State::Ready => ("ready", GOOD),
        State::NotReady => ("not ready", BAD),
        State::Outage => ("OUTAGE", BAD),
    }
}

/// "3 LUNs: 2 ready, 1 OUTAGE".
pub(crate) fn summary(snapshot: &Snapshot) -> String {
    let all = snapshot.luns.len();
    let parts: Vec<String> = [State::Outage, State::NotReady, State::Ready]
        .into_iter()
        .filter_map(|wanted| {
            let (name, style) = state(wanted);
            let number = snapshot.how_many(wanted);
            (number > 0).then(|| styled(&format!("{number} {name}"), style))
        })
        .collect();
    let colon = if all == 0 { "" } else { ": " };
    format!("{}{colon}{}", plural(all, "LUN"), parts.join(", "))
}

/// "tcmu-glfs 0.1.0, gfapi 11.1".
pub(crate) fn versions(snapshot: &Snapshot) -> String {
    let known = !matches!(snapshot.gfapi.as_str(), "" | "unknown");
    format!(
        "tcmu-glfs {}{}",
        snapshot.version,
        if known { format!(", gfapi {}", snapshot.gfapi) } else { String::new() }
    )
}

/// VOLUME/PATH.
pub(crate) fn image(lun: &Lun) -> String {
    format!("{}/{}", lun.volume, lun.image.trim_start_matches('/'))
}

/// Style of a connection, by its bricks.
pub(crate) fn bricks(Volume { connected, bricks, .. }: &Volume) -> Style {
    if *connected <= 0.0 && *bricks > 0.0 {
        BAD
    } else if connected < bricks {
        WARN
    } else {
        PLAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_between_their_styles() {
        let line = format!("ab {} ef", styled("cd", BAD));
        assert_eq!(cut(&line, 4), format!("ab {}", styled("c", BAD)));
        assert_eq!(cut(&line, 80), line);
    }

    #[test]
    fn widths_are_those_of_a_terminal() {
        assert_eq!((columns("盘盘"), columns(&styled("é", BAD))), (4, 1));
        assert_eq!(cut("盘盘x", 3), "盘");
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        assert_eq!(wrapped("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("one", 80), ["one"]);
        assert_eq!(
            wrapped("cfgstring /a/path-that-is-long", 8),
            ["cfgstring", "/a/path-that-is-long"]
        );
    }
}
