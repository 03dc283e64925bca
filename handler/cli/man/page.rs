// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A manual page being written.

use roff::{Inline, Roff, bold, roman};

/// When the text of the pages was last changed.
const CHANGED: &str = "2026-11-21";

/// In texts, what stands between backquotes is set in bold.
#[derive(Debug, Default)]
pub(super) struct Page(Roff);

impl Page {
    /// A page with a title; without one it is a part of another.
    pub(super) fn new(name: &str, section: &str) -> Self {
        let mut page = Roff::new();
        let source = concat!("tcmu-glfs ", env!("CARGO_PKG_VERSION"));
        page.control("TH", [name, section, CHANGED, source, "GlusterFS LUNs"]);
        Self(page)
    }

    pub(super) fn section(&mut self, title: &str) {
        self.0.control("SH", [title]);
    }

    pub(super) fn subsection(&mut self, title: &str) {
        self.0.control("SS", [title]);
    }

    /// The first text under a heading, or after an item.
    pub(super) fn text(&mut self, text: &str) {
        self.0.text(inlines(text));
    }

    /// A paragraph after another one.
    pub(super) fn paragraph(&mut self, text: &str) {
        self.0.control("PP", []);
        self.text(text);
    }

    /// Something, and what it is.
    pub(super) fn item(&mut self, head: &str, text: &str) {
        self.0.control("TP", []);
        self.text(head);
        self.text(text);
    }

    /// Lines that stay as they are.
    pub(super) fn example<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.0.control("PP", []);
        self.0.control("RS", ["4"]);
        self.0.control("nf", []);
        for line in lines {
            self.0.text([roman(line)]);
        }
        self.0.control("fi", []);
        self.0.control("RE", []);
    }

    /// The page as far as it goes.
    pub(super) fn render(&self) -> String {
        self.0.render()
    }
}

fn inlines(text: &str) -> Vec<Inline> {
    let pieces = text.split('`').enumerate();
    pieces.map(|(number, piece)| if number % 2 == 0 { roman(piece) } else { bold(piece) }).collect()
}
