// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What servers send, for the fuzzers of `tests/fuzz`: compiled with `--cfg fuzzing` alone.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::glusterd::Glusterd;
use super::volfile::{Volfile, translators};

/// Reads a volfile. What is accepted as a server's ends with the volume, and describes the graph
/// that it describes.
pub fn volfile(text: &str) {
    let read = translators(text);
    if let Ok(volfile) = Volfile::from_glusterd(text.to_owned(), "v") {
        assert!(read.last().is_some_and(|top| top.name == "v" && !top.kind.is_empty()));
        assert!(volfile.is_graph_of(&volfile), "not its own graph");
        assert!(volfile.clients().len() <= read.len(), "more bricks than translators");
    }
}

/// Asks a server for a volfile whose answer, and all that it says afterwards, is `bytes`.
pub fn glusterd(bytes: &[u8]) {
    let Ok((ours, mut theirs)) = UnixStream::pair() else { return };
    let sent = theirs.write_all(bytes).and_then(|()| theirs.shutdown(Shutdown::Write));
    assert!(sent.is_ok(), "more than a socket takes");
    let mut server = Glusterd::over(ours);
    drop(server.volfile("v", 100_000).map(|(read, _)| volfile(read.text())));
    drop(server.wait_for_change(Duration::from_secs(1)));
}
