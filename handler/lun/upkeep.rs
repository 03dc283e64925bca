//! What is done for a LUN every few seconds, whether it has commands or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;

use super::backend::Backend;
use super::watch::Watched;
use super::{Lun, fence, restore};
use crate::report;

impl<B: Backend> Watched for Lun<B> {
    /// An image that has grown makes the LUN grow; one that was cut off is reported, once, and the LUN stays as it is. An outage that
    /// does not end gets help.
    fn look(self: Arc<Self>) {
        fence::beat(&self);
        // In an outage there is nothing to be seen.
        if let Some(lasting) = self.outage.lasting() {
            if lasting >= restore::PATIENCE {
                restore::start(&self);
            }
            return;
        }
        let (label, now) = (&self.label, self.bytes.load(Ordering::Relaxed));
        // An image that cannot be looked at now is looked at later.
        let Some(Ok(image)) = self.image.get().map(|image| image.size()) else { return };
        if image < now {
            if !self.cut_off.swap(true, Ordering::Relaxed) {
                report::error_always!(
                    "{label}: the image has been cut off: {image} bytes of {now}; reads past them fail"
                );
            }
            return;
        }
        self.cut_off.store(false, Ordering::Relaxed);
        let grown = self.block_size.lun_in(image).unwrap_or(0);
        if grown <= now {
            return;
        }
        // First our own limit, so that no initiator finds a LUN larger than what is served.
        self.bytes.store(grown, Ordering::Relaxed);
        match self.link.resize(grown) {
            Ok(()) => report::info_always!("{label}: the image has grown: {now} -> {grown} bytes"),
            // Closed meanwhile.
            Err(Errno::ENODEV) => {}
            Err(errno) => {
                self.bytes.store(now, Ordering::Relaxed);
                report::warning!("{label}: the image has grown to {grown} bytes, but the kernel refused: {errno}");
            }
        }
    }
}
