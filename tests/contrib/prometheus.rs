// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A Prometheus server of the test's own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use support::eventually;
use support::metrics::socket;

/// A process that ends with its owner.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(command: &mut Command) -> Self {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|why| panic!("{:?} is needed: {why}", command.get_program())))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.0.kill().is_err();
        let _status = self.0.wait();
    }
}

pub(crate) struct Prometheus {
    address: String,
    _daemon: Daemon,
    _folder: TempDir,
}

impl Prometheus {
    /// Asks this process' plugin every second, and applies these rules.
    pub(crate) fn start(rules: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, plugin) = (free_address(), forward());
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\n\
             scrape_configs:\n- job_name: tcmu-glfs\n  static_configs:\n  \
             - {{targets: ['{plugin}'], labels: {{instance: gw1}}}}\n",
            rules.display()
        );
        fs::write(&config, text).unwrap();
        let mut server = Command::new("prometheus");
        server.arg(format!("--config.file={}", config.display()));
        server.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        server.arg(format!("--web.listen-address={address}"));
        let daemon = Daemon::start(&mut server);
        eventually("Prometheus is ready", || {
            get(&address, "/-/ready").is_ok_and(|text| text.contains(" 200 OK"))
        });
        Self { address, _daemon: daemon, _folder: folder }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What an expression finds now: a line for each series.
    pub(crate) fn query(&self, expression: &str) -> Result<String, String> {
        run(Command::new("promtool").args([
            "query",
            "instant",
            &format!("http://{}", self.address),
            "--",
            expression,
        ]))
    }

    /// Name and expression of each rule, as the server has read them. It must have been able to
    /// apply them.
    pub(crate) fn rules(&self) -> Vec<(String, String)> {
        let answer = get(&self.address, "/api/v1/rules").unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let json: Value = serde_json::from_str(body).unwrap();
        let rules = json["data"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| group["rules"].as_array().unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        rules
            .map(|rule| {
                assert_eq!(rule["health"], "ok", "{rule}");
                (text(&rule["name"]), text(&rule["query"]))
            })
            .collect()
    }
}

/// What the command says, or how it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .unwrap_or_else(|why| panic!("{:?} is needed: {why}", command.get_program()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// A place that nobody listens at.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// An answer, with its head.
pub(crate) fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Prometheus asks over TCP alone: a place where the plugin's socket answers, as
/// `systemd-socket-proxyd` makes one.
fn forward() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, Ok(mut plugin)) = (client.unwrap(), UnixStream::connect(socket()))
            else {
                continue;
            };
            thread::spawn(move || {
                let (mut from_client, mut to_plugin) =
                    (client.try_clone().unwrap(), plugin.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut from_client, &mut to_plugin));
                let _hung_up = std::io::copy(&mut plugin, &mut client).is_err();
                let _gone = client.shutdown(Shutdown::Both).is_err();
            });
        }
    });
    address
}
