//! What is done for a LUN every few seconds, whether it has commands or not.

use std::sync::Arc;

use log::LevelFilter;

use super::backend::Backend;
use super::config::{Config, LogLevel, Site};
use super::watch::Watched;
use super::{Lun, fence, restore, size};

/// What a LUN's `log-level=` means for its own lines. Between the ends it is tcmu-runner's level that counts.
pub(super) fn detail(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Critical | LogLevel::Error => LevelFilter::Error,
        LogLevel::Warning | LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug | LogLevel::Trace => LevelFilter::Debug,
    }
}

impl<B: Backend> Lun<B> {
    /// Does what the site file says now, as far as that can be done while the LUN is open.
    fn follow(&self, site: &Site) {
        // A profile that is gone will be missed when the LUN is opened next.
        if let Ok(config) = Config::read(&self.cfgstring, site) {
            self.log.set_detail(detail(config.log_level));
            self.source.set_log_level(config.log_level);
        }
    }
}

impl<B: Backend> Watched for Lun<B> {
    /// The owner shows that it is alive, an outage that does not end gets help, and the LUN grows with its image.
    fn look(self: Arc<Self>, site: &Site) {
        self.follow(site);
        self.log.settle(false);
        fence::beat(&self);
        // In an outage there is nothing to be seen.
        if let Some(lasting) = self.outage.lasting() {
            if lasting >= restore::PATIENCE {
                restore::start(&self);
            }
            return;
        }
        size::follow(&self);
    }
}
