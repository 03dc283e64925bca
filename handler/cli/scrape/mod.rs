// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Reads the metrics socket of the running plugin.

mod histogram;
mod snapshot;
mod text;

pub(crate) use histogram::Histogram;
pub(crate) use snapshot::{Lun, Snapshot, State, Volume};

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handler_glfs::config::Site;

/// How long the plugin may take. It only adds up counters: one that takes longer is stuck.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the plugin is asked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    /// The plugin's metrics socket, if not the one of the site file
    #[arg(long, value_name = "PATH", default_value_os_t = socket())]
    pub(crate) socket: PathBuf,
}

/// As the plugin has it. Where the site file is wrong, the plugin says so, and uses the last one
/// that was not.
fn socket() -> PathBuf {
    Site::current().metrics().socket.clone()
}

impl Source {
    /// Asks. An error is a sentence that says what to do next.
    pub(crate) fn scrape(&self) -> Result<Snapshot, String> {
        let answer = ask(&self.socket)
            .map_err(|error| next_step(&self.socket, &error, runner_is_running()))?;
        let body = body(&answer)
            .map_err(|why| format!("{} gave no metrics: {why}", self.socket.display()))?;
        Snapshot::parse(body).map_err(|why| {
            format!(
                "What {} tells is not understood (are plugin and tcmu-glfs of one version?): {why}",
                self.socket.display()
            )
        })
    }
}

fn ask(socket: &Path) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.set_write_timeout(Some(SCRAPE_TIMEOUT))?;
    stream.write_all(
        b"GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn body(answer: &str) -> Result<&str, String> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer is not HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.") && status.split(' ').nth(1) == Some("200") {
        Ok(body)
    } else {
        Err(status.to_owned())
    }
}

fn next_step(socket: &Path, error: &io::Error, running: bool) -> String {
    let path = socket.display();
    match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("{path} may be read by root only: run this as root, for example with sudo.")
        }
        ErrorKind::NotFound | ErrorKind::ConnectionRefused if !running => format!(
            "tcmu-runner is not running, so no LUN is served: systemctl start tcmu-runner (nothing \
             answers on {path})."
        ),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!(
            "tcmu-runner runs, but its handler glfs does not answer on {path}: see that \
             /etc/tcmu/glfs.toml has no \"enabled = false\" or other socket under [metrics], and \
             that /var/log/tcmu-runner.log shows the handler loaded."
        ),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!(
            "tcmu-runner does not answer on {path} within {} seconds: it is stopped or stuck; see \
             /var/log/tcmu-runner.log.",
            SCRAPE_TIMEOUT.as_secs()
        ),
        _ => format!("{path}: {error}: is it the socket of tcmu-runner's handler glfs?"),
    }
}

fn runner_is_running() -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        fs::read_to_string(process.path().join("comm"))
            .is_ok_and(|name| name.trim() == "tcmu-runner")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_next_step() {
        for (kind, running, words) in [
            (ErrorKind::PermissionDenied, true, "as root"),
            (ErrorKind::NotFound, false, "systemctl start tcmu-runner"),
            (ErrorKind::ConnectionRefused, false, "systemctl start tcmu-runner"),
            (ErrorKind::NotFound, true, "[metrics]"),
            (ErrorKind::WouldBlock, true, "stuck"),
            (ErrorKind::InvalidData, true, "is it the socket"),
        ] {
            let sentence = next_step(Path::new("/s"), &io::Error::from(kind), running);
            assert!(sentence.contains(words) && sentence.contains("/s"), "{sentence}");
        }
    }

    #[test]
    fn only_an_answer_that_says_it_is_well_is_read() {
        assert_eq!(body("HTTP/1.0 200 OK\r\nA: b\r\n\r\n# EOF\n"), Ok("# EOF\n"));
        assert_eq!(
            body("HTTP/1.0 404 Not Found\r\n\r\n"),
            Err("HTTP/1.0 404 Not Found".to_owned())
        );
        assert!(body("# EOF\n").is_err());
    }
}
