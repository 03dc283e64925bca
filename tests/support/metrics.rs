// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What the plugin in this process tells of itself.

use std::io::{Read as _, Write as _};
use std::ops::Add as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::{eventually, scratch};

/// Where the plugin is told to listen.
const SOCKET: &str = "TCMU_GLFS_METRICS_SOCKET";
/// Set in processes where a test has decided about it.
pub const DECIDED: &str = "TCMU_GLFS_TEST_METRICS_DECIDED";

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    extern "C" fn remove() {
        let _gone_already = std::fs::remove_dir_all(&*FOLDER).is_err();
    }
    // The name of a socket has room for 107 bytes. What a process that is killed leaves behind is
    // Cargo's, if that is not too long.
    let place = scratch::folder();
    let place = if place.as_os_str().len() < 70 { place } else { "/tmp".into() };
    let folder = tempfile::Builder::new().prefix("glfs-").tempdir_in(place).unwrap().keep();
    // SAFETY: a plain C function to call at exit.
    unsafe { libc::atexit(remove) };
    folder
});

/// Where the plugin listens.
pub fn socket() -> PathBuf {
    FOLDER.join("run/metrics.sock")
}

/// Gives the plugin a socket of its own.
pub fn keep_to_this_process() {
    if std::env::var_os(DECIDED).is_none() {
        // SAFETY: nothing but the standard library reads the environment before the plugin is
        // loaded.
        unsafe { std::env::set_var(SOCKET, socket()) };
    }
}

/// Tells a process that is to be started where its plugin shall listen; nowhere, if this is empty.
pub fn decide(command: &mut Command, socket: &Path) {
    command.env(DECIDED, "1").env(SOCKET, socket);
}

/// Asks with these headers; head and body of the answer.
pub fn ask(request: &str) -> (String, String) {
    eventually("the plugin listens", || UnixStream::connect(socket()).is_ok());
    let mut stream = UnixStream::connect(socket()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// All numbers, in the classic format.
pub fn scrape() -> String {
    let (head, body) = ask("GET /metrics HTTP/1.0\r\n\r\n");
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    body
}

/// Name, labels, value of each sample.
pub fn samples(text: &str) -> impl Iterator<Item = (&str, &str, f64)> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        (name, labels, value.parse().unwrap())
    })
}

/// The sum of the samples that have this name and these labels. None if there are none.
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let has = |found: &str| labels.iter().all(|label| found.contains(label.as_str()));
    samples(text)
        .filter(|(found, has_labels, _)| *found == name && has(has_labels))
        .map(|(_, _, value)| value)
        .reduce(f64::add)
}

/// The numbers of one LUN, as they are now.
pub struct Numbers {
    text: String,
    lun: String,
}

impl Numbers {
    /// Of the LUN whose image this is, on the local volume.
    pub fn of(image: &str) -> Self {
        Self { text: scrape(), lun: format!("local/{image}") }
    }

    /// The sum over all series of this name and label. -1 if there is none.
    pub fn get(&self, name: &str, label: &[(&str, &str)]) -> i64 {
        let labels: Vec<_> = label.iter().copied().chain([("lun", self.lun.as_str())]).collect();
        #[expect(clippy::cast_possible_truncation, reason = "counters are whole")]
        let value = sum(&self.text, &format!("tcmu_glfs_{name}"), &labels).unwrap_or(-1.0) as i64;
        value
    }

    /// Commands of a kind: answered, failed in this way, and bytes of those that did not fail.
    pub fn of_op(&self, op: &str, class: &str) -> [i64; 3] {
        [
            self.get("operations_total", &[("op", op)]),
            self.get("errors_total", &[("op", op), ("class", class)]),
            self.get("data_bytes_total", &[("op", op)]),
        ]
    }
}
