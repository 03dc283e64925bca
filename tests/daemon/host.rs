// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A host: an emulated kernel, a D-Bus of its own, and the distribution's tcmu-runner with the
//! plugin, which sees the kernel's files where it expects them.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::kernel::Kernel;
use support::{eventually, runner};

/// Mounts what is named in pairs until `--`, and becomes the daemon.
const BECOME_THE_DAEMON: &str = r#"
set -e
while [ "$1" != -- ]; do mount "$1" "$2" "$3"; shift 3; done
shift
exec env LD_PRELOAD="$PRELOAD" "$@"
"#;

/// A bus that lets everyone do everything: it has one service and one client.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=ADDRESS</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/>
  </policy>
</busconfig>
"#;

/// The compiled preload.c.
static PRELOAD: LazyLock<PathBuf> =
    LazyLock::new(|| compile("preload", include_bytes!("preload.c")));

/// Libraries that this process has compiled.
static COMPILED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A library made of a C file.
pub(crate) fn compile(name: &str, source: &[u8]) -> PathBuf {
    let library = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .suffix(".so")
        .tempfile_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .into_temp_path()
        .keep()
        .unwrap();
    let mut compiler = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-x", "c", "-o"])
        .arg(&library)
        .arg("-")
        .stdin(Stdio::piped())
        .spawn()
        .expect("a C compiler");
    compiler.stdin.take().unwrap().write_all(source).unwrap();
    assert!(compiler.wait().unwrap().success(), "{name}.c does not compile");
    COMPILED.lock().unwrap().push(library.clone());
    library
}

/// As [`support::prerequisites::missing`], of what these tests need beside Gluster.
pub(crate) fn missing() -> Option<ExitCode> {
    let tools = ["tcmu-runner", "dbus-daemon", "dbus-send", "cc"];
    let is_missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    let missing: Vec<&str> = tools.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return None;
    }
    let in_ci = std::env::var_os("CI").is_some();
    let verdict = if in_ci { "FAILED" } else { "SKIPPED, nothing was tested" };
    eprintln!("{verdict}: the tests of the daemon need {}", missing.join(", "));
    Some(if in_ci { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Removes what this process has compiled.
pub(crate) fn clean_up() {
    for library in COMPILED.lock().unwrap().drain(..) {
        fs::remove_file(library).unwrap();
    }
}

/// What a daemon holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) kib: u64,
    pub(crate) threads: u64,
    pub(crate) fds: usize,
}

impl Usage {
    pub(crate) fn of(pid: Pid) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self { kib: field("VmRSS:"), threads: field("Threads:"), fds }
    }
}

/// The plugin of this build, or the one that `HANDLER_SO` names.
pub(crate) fn plugin() -> PathBuf {
    std::env::var_os("HANDLER_SO").map_or_else(runner::plugin, PathBuf::from)
}

/// Where valgrind writes what it finds, and nothing else.
const MEMCHECK_LOG: &str = "memcheck.log";

/// What memcheck finds in libraries of others.
const SUPPRESSIONS: &str =
    concat!("--suppressions=", env!("CARGO_MANIFEST_DIR"), "/daemon/memcheck.supp");

/// Whether daemons are to run under valgrind's memcheck (`MEMCHECK=1`).
fn is_checked() -> bool {
    std::env::var_os("MEMCHECK").is_some()
}

pub(crate) struct Host {
    pub(crate) kernel: Kernel,
    root: TempDir,
    bus: Child,
    daemon: Option<Child>,
}

impl Host {
    /// With a daemon that has started.
    pub(crate) fn start() -> Self {
        let mut host = Self::without_daemon();
        host.start_daemon();
        host
    }

    /// With a daemon that has another handler instead of the plugin.
    pub(crate) fn with_handler(handler: &Path) -> Self {
        let mut host = Self::new(handler);
        host.start_daemon();
        host
    }

    pub(crate) fn without_daemon() -> Self {
        Self::new(&plugin())
    }

    fn new(handler: &Path) -> Self {
        // The name of a socket has room for 107 bytes: not in Cargo's folder.
        let root = tempfile::Builder::new().prefix("tcmu-").tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        for folder in ["log", "run", "etc", "handlers"] {
            fs::create_dir(path(folder)).unwrap();
        }
        let kernel = Kernel::start(root.path());
        symlink(handler, path("handlers/handler_glfs.so")).unwrap();
        fs::write(path("etc/tcmu.conf"), "log_level = 3\n").unwrap();
        let address = path("bus");
        fs::write(path("bus.conf"), BUS.replace("ADDRESS", address.to_str().unwrap())).unwrap();
        let bus = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg("--config-file")
            .arg(path("bus.conf"))
            .stdin(Stdio::null())
            // It may not raise its limit of files here, and says so.
            .stderr(fs::File::create(path("bus.log")).unwrap())
            .spawn()
            .expect("dbus-daemon is needed (Debian: dbus)");
        eventually("the bus listens", || address.exists());
        Self { kernel, root, bus, daemon: None }
    }

    /// Starts the daemon, and waits until it has taken over the devices that are there.
    pub(crate) fn start_daemon(&mut self) {
        assert!(self.daemon.is_none(), "a daemon runs");
        let path = |name: &str| self.root.path().join(name);
        let bind = |own: &str, place: &str| {
            ["--rbind".to_owned(), path(own).display().to_string(), place.to_owned()]
        };
        let own = [bind("run", "/run"), bind("etc", "/etc/tcmu")];
        let output = fs::File::create(path("daemon.out")).unwrap();
        let memcheck = format!("--log-file={}", path(MEMCHECK_LOG).display());
        let under: &[&str] = if is_checked() {
            &["valgrind", "-q", "--num-callers=30", SUPPRESSIONS, &memcheck]
        } else {
            &[]
        };
        let daemon = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", BECOME_THE_DAEMON, "sh"])
            .args(self.kernel.mounts().iter().chain(&own).flatten())
            .arg("--")
            .args(under)
            .args(["tcmu-runner", "--handler-path"])
            .arg(path("handlers"))
            .arg("--tcmu-log-dir")
            .arg(path("log"))
            .env("PRELOAD", &*PRELOAD)
            .env("TCMU_KERNEL", self.kernel.socket())
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus_address())
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        eventually("the daemon has started", || {
            let ended = self.daemon.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the daemon has ended: {ended:?}\n{}", self.log());
            self.kernel.has_daemon()
        });
    }

    fn bus_address(&self) -> String {
        format!("unix:path={}", self.root.path().join("bus").display())
    }

    pub(crate) fn pid(&self) -> Pid {
        let daemon = self.daemon.as_ref().expect("a daemon");
        Pid::from_raw(i32::try_from(daemon.id()).unwrap())
    }

    /// SIGTERM; how the daemon ended, and how long that took.
    pub(crate) fn stop_daemon(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let mut daemon = self.daemon.take().unwrap();
        let mut status = None;
        eventually("the daemon has ended", || {
            status = daemon.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap(), begin.elapsed())
    }

    /// kill -9.
    pub(crate) fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("a daemon");
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        eventually("the kernel knows that the daemon is gone", || !self.kernel.has_daemon());
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log/tcmu-runner.log")).unwrap_or_default()
    }

    /// What it has printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.root.path().join("daemon.out")).unwrap_or_default()
    }

    /// Asks the daemon over D-Bus, as targetcli does before it creates a LUN. The reason, if the
    /// config is refused.
    pub(crate) fn check_config(&self, config: &str) -> Result<(), String> {
        let mut ask = Command::new("dbus-send");
        ask.arg(format!("--bus={}", self.bus_address()))
            .args(["--print-reply=literal", "--dest=org.kernel.TCMUService1"])
            .args(["/org/kernel/TCMUService1/glfs", "org.kernel.TCMUService1.CheckConfig"])
            .arg(format!("string:{config}"));
        let mut text = String::new();
        eventually("the daemon answers on the bus", || {
            let output = ask.output().expect("dbus-send is needed (Debian: dbus-bin)");
            let error = String::from_utf8_lossy(&output.stderr);
            text = String::from_utf8(output.stdout).unwrap();
            // It has just started.
            let is_early = error.contains("ServiceUnknown") || error.contains("UnknownMethod");
            assert!(output.status.success() || is_early, "{text}{error}");
            output.status.success()
        });
        match text.trim_start().split_once(char::is_whitespace) {
            Some(("boolean", rest)) => match rest.trim_start().split_once(char::is_whitespace) {
                Some(("true", _)) => Ok(()),
                Some(("false", reason)) => Err(reason.trim().to_owned()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// From now on the daemon can create no thread, or it can again.
    pub(crate) fn set_out_of_threads(&self, out: bool) {
        let file = self.root.path().join("run/out-of-threads");
        if out {
            fs::write(file, "").unwrap();
        } else {
            fs::remove_file(file).unwrap();
        }
    }

    /// A file in the daemon's folder of configuration.
    pub(crate) fn configuration(&self, name: &str) -> PathBuf {
        self.root.path().join("etc").join(name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if is_checked() && !std::thread::panicking() {
            if self.daemon.is_some() {
                self.stop_daemon();
            }
            let found = fs::read_to_string(self.root.path().join(MEMCHECK_LOG)).unwrap();
            assert!(found.is_empty(), "{found}");
        }
        if std::thread::panicking() {
            eprintln!("--- the daemon's log\n{}---\n{}---", self.log(), self.output());
        }
        for process in self.daemon.iter_mut().chain([&mut self.bus]) {
            let _gone_already = process.kill().is_err();
            let _status = process.wait();
        }
    }
}
