// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The end of a test under load: nothing was answered wrong, and the image is what the journals
//! say.

use std::time::Duration;

use crate::checker::History;
use crate::gateway::{Done, Gateway};
use crate::stamp::Content;
use crate::volumes::Volume;
use support::runner::OK;

/// All that these gateways have done to one image, so far.
pub(crate) fn history(writers: &[&Gateway]) -> History {
    let mut history = History::default();
    writers.iter().flat_map(|writer| writer.journals()).for_each(|journal| history.add(journal));
    history
}

/// Panics unless an image of `blocks` blocks is what its writers' journals allow: all that they
/// have read, the image as a gateway gives it that comes afterwards, and the copies on these
/// bricks.
pub(crate) fn assert_image(
    volume: &Volume,
    image: &str,
    blocks: u64,
    writers: &[&Gateway],
    copies: &[usize],
) {
    let history = history(writers);
    assert_history(&history, volume, image, blocks, copies);
}

/// The same, of a history that is known already.
pub(crate) fn assert_history(
    history: &History,
    volume: &Volume,
    image: &str,
    blocks: u64,
    copies: &[usize],
) {
    let mut wrong = history.wrong_reads();
    let mut fresh = Gateway::start();
    // The image may have more blocks than the load was on.
    let opened = fresh.open(&volume.cfgstring(image, ";open=fail"), blocks * 4096);
    println!("a fresh gateway has opened it in {:.1?}", opened.time);
    opened.good();
    let mut look = |place: &str, contents: &[Content]| {
        assert_eq!(contents.len(), usize::try_from(blocks).unwrap());
        wrong.extend(
            history.wrong_blocks(contents).into_iter().map(|text| format!("{place}: {text}")),
        );
    };
    look("a fresh gateway", &fresh.image(blocks));
    for &brick in copies {
        look(
            &format!("brick {brick}"),
            &Content::of_file(&volume.brick(brick).join(image), blocks),
        );
    }
    assert_eq!(fresh.ask("close").status, OK);
    assert!(
        wrong.is_empty(),
        "{} objections:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

impl Done {
    /// Panics if a command failed, other than with an answer that asks for its repetition.
    pub(crate) fn without_errors(self) -> Self {
        println!("load: {self:?}");
        assert_eq!(self.errors, 0, "{self:?}");
        assert!(
            self.acknowledged > 100 && self.read > 10 && self.flushed > 0,
            "hardly any load: {self:?}"
        );
        self
    }
}

/// Panics if a gap was longer than it may be.
pub(crate) fn assert_gap(what: &str, gap: Duration, limit: Duration) {
    println!("{what}: nothing was served for {gap:.1?} (limit {limit:?})");
    assert!(gap <= limit, "{what}: nothing was served for {gap:?}, more than {limit:?}");
}
