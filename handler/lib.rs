// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `handler_glfs.so`: SCSI LUNs from image files on a GlusterFS volume, for tcmu-runner, through
//! libgfapi.
//!
//! # Layers
//! ```text
//! tcmu-runner (C) --> runner --> lun --> lun::backend (the port) <-- gluster --> libgfapi (C)
//! ```
//! * [`scsi`] is the vocabulary of commands, sense and errors; `iovec` the data of a command.
//! * [`config`] is the configuration: the cfgstring of each LUN, and the site file.
//! * [`runner`] is the edge to the daemon: its C ABI, its threads, its log.
//! * [`lun`] is the disk: sizes, ranges, short transfers, the sense for each error. No `unsafe`.
//! * [`gluster`] is the edge to libgfapi: connections, files, asynchronous calls.
//! * [`metrics`] and `log` are leaves, which all of them use.
//! * this file puts them together. `tests/layering` holds each file to its layer.
//!
//! # The life of a WRITE
//! The core's command thread calls `write` (`runner/data.rs`). It wraps the raw pointers into a
//! [`runner::Command`], finds the device's LUN, and calls [`lun`]'s `write`. It passes the LUN's
//! gate (`lun/gate.rs`; in `gate/state.rs` the table of what a command gets in which state), and is
//! moved into a request (`lun/rw`). The backend (`gluster/file.rs`) has it submitted with
//! `glfs_pwritev_async` (`gluster/aio.rs`), and returns; so do all the others. Later a thread of
//! libgfapi calls `answered` (`gluster/aio.rs`), which hands the outcome to the request: done,
//! continued if short, or failed with the status for its errno; and the command is completed, once,
//! by being consumed. Other commands, file by file: docs/architecture.md.
//!
//! # Threads
//! The core's command thread submits and returns; libgfapi's event threads complete, and submit
//! what follows from an answer.
//!
//! | thread | how many | what it does |
//! |---|---|---|
//! | `glfs-io` | one a connection | completes what libgfapi answered inside the submitting call |
//! | `glfs-caw` | up to four an image, while it has COMPARE AND WRITEs | serves them |
//! | `glfs-call` | one a call | a call that may hang: waited for within a bound, or not at all |
//! | `glfs-recover` | one a LUN that recovers or moves | opens, waits for bricks, locks, moves |
//! | `glfs-monitor` | one, and one a volume | heartbeats, growth, the site file; new volfiles |
//! | `glfs-reaper` | one | ends connections that are not used, and looks after libgfapi's log |
//! | `glfs-metrics` | one | answers GET /metrics, writes the textfile |
//! | `glfs-log` | one | writes lines into the daemon's log |
//!
//! No lock is held across a submit or a completion, and only one across a call into the daemon:
//! that of [`runner::DeviceHandle`], which keeps the device alive meanwhile.

#[forbid(unsafe_code)]
pub mod config;
pub mod gluster;
pub mod iovec;
mod log;
#[forbid(unsafe_code)]
pub mod lun;
#[forbid(unsafe_code)]
pub mod metrics;
pub mod runner;
#[forbid(unsafe_code)]
pub mod scsi;
mod threads;

use std::ffi::c_int;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use config::{Config, Site};
use lun::Lun;
use runner::{Arrival, Device, Verdict};
use scsi::Cdb;

/// The handler of the subtype `glfs`.
struct Glfs;

/// libgfapi's own log, in the daemon's log directory. The daemon's logrotate pattern covers the
/// name; that the file has been renamed is noticed (`gluster/logging.rs`).
const GFAPI_LOG: &std::ffi::CStr = c"tcmu-runner-glfs.log";

/// Bounds how long the daemon's exit waits for volumes to disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(3);

impl runner::Handler for Glfs {
    fn help(&self) -> String {
        config::help()
    }

    fn check_config(&self, cfgstring: &str) -> Result<(), String> {
        Config::read(cfgstring, &Site::current()).map(drop).map_err(|e| e.to_string())
    }

    fn filter(&self, cdb: &Cdb, arrival: &Arrival) -> Verdict {
        lun::filter(cdb, arrival, lun::Attributes::UNKNOWN)
    }

    fn open(&self, device: &Device<'_>) -> Result<Arc<dyn runner::Lun>, Errno> {
        let cfgstring = device.cfgstring().map_err(|text| {
            log::error_always!(log::PLUGIN, "Not opened: the configuration is not UTF-8: {text}");
            Errno::EINVAL
        })?;
        let config = Config::read(cfgstring, &Site::reload()).map_err(|why| {
            log::error_always!(log::PLUGIN, "Not opened: {cfgstring}: {why}");
            Errno::EINVAL
        })?;
        self.update_logdir();
        Ok(Lun::open(device, &config, gluster::Opener::new(&config))?)
    }

    fn update_logdir(&self) {
        if let Some(path) = runner::log_file(GFAPI_LOG) {
            gluster::set_log_file(&path);
        }
    }

    fn destroy(&self) {
        gluster::shut_down(DISCONNECT_TIMEOUT);
        log::PLUGIN.flush_suppressed(true);
    }
}

/// What tcmu-runner calls after loading the library: the only symbol that is exported.
///
/// 0, or -1 if this process is not a tcmu-runner this handler can serve (its log says why).
#[unsafe(no_mangle)]
pub extern "C" fn handler_init() -> c_int {
    let load = || {
        runner::register(&Glfs).map_or(-1, |()| {
            metrics::set_storage(metrics::Storage {
                volumes: gluster::volumes,
                version: gluster::version,
            });
            // Metrics are served from now on: `tcmu-glfs status` tells a daemon without LUNs from
            // one that has not loaded the handler. tcmu-runner (1.5.4, main.c) does not fork after
            // it has loaded handlers, so threads may start here.
            drop(Site::reload());
            0
        })
    };
    std::panic::catch_unwind(load).unwrap_or(-1)
}
