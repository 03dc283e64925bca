// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What an admin decides about the metrics, and decides anew while the daemon runs. By the
//! library's own interface: this copy of it has no LUNs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use handler_glfs::metrics::{Settings, configure};

use support::eventually;

fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.contains("\ntcmu_glfs_build_info{")
}

fn is_clean(text: &[u8]) -> bool {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool.expect("promtool is needed (Debian: prometheus)");
    promtool.stdin.take().unwrap().write_all(text).unwrap();
    let output = promtool.wait_with_output().unwrap();
    output.status.success() && output.stderr.is_empty()
}

#[test]
fn settings_take_effect_at_once_and_can_be_taken_back() {
    let folder = tempfile::Builder::new().prefix("metrics-").tempdir_in("/tmp").unwrap();
    let (socket, moved) =
        (folder.path().join("a/metrics.sock"), folder.path().join("b/metrics.sock"));
    let file = folder.path().join("tcmu-glfs.prom");
    let mut settings = Settings { socket: socket.clone(), ..Settings::default() };
    configure(settings.clone());
    eventually("it listens", || answers(&socket));

    settings.textfile = Some(file.clone());
    settings.interval = Duration::from_secs(1);
    configure(settings.clone());
    eventually("there is a file", || file.exists());
    assert!(is_clean(&fs::read(&file).unwrap()));
    fs::write(&file, "old").unwrap();
    eventually("it is renewed", || fs::read(&file).unwrap() != b"old");

    settings.socket.clone_from(&moved);
    settings.textfile = None;
    configure(settings.clone());
    eventually("it has moved", || answers(&moved));
    assert!(!socket.exists());
    eventually("the file is gone", || !file.exists());

    // As by `rm -r /run/tcmu-glfs`.
    fs::remove_file(&moved).unwrap();
    eventually("the socket is back", || answers(&moved));

    settings.textfile = Some(file.clone());
    configure(Settings { enabled: false, ..settings.clone() });
    eventually("it is off", || !moved.exists());
    configure(settings.clone());
    eventually("it is on again", || answers(&moved) && file.exists());
    configure(Settings { enabled: false, ..settings });
    eventually("nothing is left", || !moved.exists() && !file.exists());
}
