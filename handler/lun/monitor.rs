// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Periodic work of all LUNs: heartbeats, the image's size, the volume's space, bricks and graphs;
//! and of the plugin: the site file, suppressed log lines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use ::log::LevelFilter;

use super::backend::Backend;
use super::recovery::{self, Task};
use super::{Lun, lock, size, space_warning};
use crate::config::{Config, LogLevel, Site};
use crate::log;
use crate::threads;

/// Interval between two ticks: a third of the owner's timeout (`heartbeat.rs`).
const TICK_INTERVAL: Duration = Duration::from_secs(3);

/// A LUN that is monitored. Nothing of it blocks: one LUN must not delay another's heartbeat.
pub(super) trait Monitored: Send + Sync {
    /// Sends the heartbeat. Called for all LUNs before the first `tick`.
    fn send_heartbeat(self: Arc<Self>);

    /// Does what is due, with this site file.
    fn tick(self: Arc<Self>, site: &Site);
}

#[derive(Default)]
struct Monitor {
    monitored: Vec<Weak<dyn Monitored>>,
    running: bool,
}

static MONITOR: Mutex<Monitor> = Mutex::new(Monitor { monitored: Vec::new(), running: false });

impl Monitor {
    fn add(&mut self, monitored: Weak<dyn Monitored>, start: impl FnOnce() -> bool) -> bool {
        self.running = self.running || start();
        if self.running {
            self.monitored.push(monitored);
        }
        self.running
    }
}

/// Monitors a LUN from now on, as long as it lives. False: no thread could be had, so the LUN must
/// not be served.
#[must_use]
pub(super) fn add(monitored: Weak<dyn Monitored>) -> bool {
    threads::lock(&MONITOR).add(monitored, || threads::spawn("glfs-monitor", run))
}

/// The thread: ends with the last LUN.
fn run() {
    loop {
        thread::sleep(TICK_INTERVAL);
        let alive: Vec<_> = {
            let mut monitor = threads::lock(&MONITOR);
            monitor.monitored.retain(|monitored| monitored.strong_count() > 0);
            if monitor.monitored.is_empty() {
                monitor.running = false;
                return;
            }
            monitor.monitored.iter().filter_map(Weak::upgrade).collect()
        };
        tick_all(alive, Site::reload);
    }
}

/// One tick of all LUNs. A panic ends only the call that it happens in.
fn tick_all(alive: Vec<Arc<dyn Monitored>>, read_site: fn() -> Arc<Site>) {
    for monitored in &alive {
        catch_panic(|| Arc::clone(monitored).send_heartbeat());
    }
    catch_panic(|| log::PLUGIN.flush_suppressed(false));
    let mut site = None;
    catch_panic(|| site = Some(read_site()));
    let site = site.unwrap_or_else(Site::current);
    for monitored in alive {
        catch_panic(|| monitored.tick(&site));
    }
}

fn catch_panic(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        log::error!(log::PLUGIN, "PANIC while a LUN was seen to; it is tried again");
    }
}

impl<B: Backend> Lun<B> {
    /// Applies the keys of the site file that can change while the LUN is open.
    fn apply_site(&self, site: &Site) {
        // A profile that is gone will be missed when the LUN is opened next.
        if let Ok(config) = Config::read(&self.cfgstring, site) {
            self.log.set_max_level(max_level(config.log_level));
            self.source.set_log_level(config.log_level);
        }
    }

    /// Follows the size of the image and the space of the volume, on a thread of its own: it blocks
    /// as long as the storage does.
    fn check_storage(self: &Arc<Self>) {
        if let Some(check) = self.storage_check.take() {
            let lun = Arc::clone(self);
            threads::spawn("glfs-call", move || {
                size::check(&lun);
                space_warning::check(&lun);
                drop(check);
            });
        }
    }
}

impl<B: Backend> Monitored for Lun<B> {
    fn send_heartbeat(self: Arc<Self>) {
        lock::send_heartbeat(&self);
    }

    fn tick(self: Arc<Self>, site: &Site) {
        self.apply_site(site);
        self.log.flush_suppressed(false);
        if let Some(image) = self.gate.image() {
            let losses = image.brick_losses();
            if self.brick_losses.swap(losses, Ordering::Relaxed) != losses {
                self.recovery.request(Task::CheckQuorum);
            }
            if image.is_superseded() && self.moves.is_due() {
                self.recovery.request(Task::Move);
            }
        }
        recovery::start(&self);
        // In an outage there is nothing to be seen.
        if self.gate.outage().is_none() {
            self.check_storage();
        }
    }
}

/// What a LUN's `log-level=` means for its own lines. Between the ends it is tcmu-runner's level
/// that counts.
pub(super) fn max_level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Critical | LogLevel::Error => LevelFilter::Error,
        LogLevel::Warning | LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug | LogLevel::Trace => LevelFilter::Debug,
    }
}

#[cfg(test)]
mod tests;
