// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! How things look on a terminal.

pub(crate) mod table;
pub(crate) mod units;

use anstyle::{AnsiColor, Style};

use crate::scrape::{Lun, Picture, State};

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style. Whoever writes it takes the styles out again where they are not wanted.
pub(crate) fn styled(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// The first characters of a line in styles; the styles are not cut.
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
            visible += 1;
        }
        is_style || visible <= width
    };
    line.chars().filter(kept).collect()
}

/// A sentence in lines.
pub(crate) fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.extend([" ", word]);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A LUN's state, and how it looks.
pub(crate) fn state(state: State) -> (&'static str, Style) {
    match state {
        State::Ready => ("ready", GOOD),
        State::NotReady => ("not ready", BAD),
        State::Outage => ("OUTAGE", BAD),
    }
}

/// "3 LUNs: 2 ready, 1 OUTAGE".
pub(crate) fn verdict(picture: &Picture) -> String {
    let all = picture.luns.len();
    let parts: Vec<String> = [State::Outage, State::NotReady, State::Ready]
        .into_iter()
        .filter_map(|wanted| {
            let (name, style) = state(wanted);
            let number = picture.how_many(wanted);
            (number > 0).then(|| styled(&format!("{number} {name}"), style))
        })
        .collect();
    let colon = if all == 0 { "" } else { ": " };
    format!("{all} LUN{}{colon}{}", if all == 1 { "" } else { "s" }, parts.join(", "))
}

/// "tcmu-glfs 0.1.0, gfapi 11.1".
pub(crate) fn versions(picture: &Picture) -> String {
    let known = !matches!(picture.gfapi.as_str(), "" | "unknown");
    format!(
        "tcmu-glfs {}{}",
        picture.version,
        if known { format!(", gfapi {}", picture.gfapi) } else { String::new() }
    )
}

/// VOLUME/PATH.
pub(crate) fn image(lun: &Lun) -> String {
    format!("{}/{}", lun.volume, lun.image.trim_start_matches('/'))
}

/// How a connection with so many of all bricks looks.
pub(crate) fn bricks(connected: f64, all: f64) -> Style {
    if connected <= 0.0 && all > 0.0 {
        BAD
    } else if connected < all {
        DOUBTFUL
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
    fn sentences_are_wrapped_between_words() {
        assert_eq!(wrapped("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("one", 80), ["one"]);
    }
}
