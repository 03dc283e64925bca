//! What is done for a LUN every few seconds, whether it has commands or not.

use std::sync::Arc;

use super::backend::Backend;
use super::watch::Watched;
use super::{Lun, fence, restore, size};

impl<B: Backend> Watched for Lun<B> {
    /// The owner shows that it is alive, an outage that does not end gets help, and the LUN grows with its image.
    fn look(self: Arc<Self>) {
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
