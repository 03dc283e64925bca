// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What a LUN shows of itself to whoever keeps an eye on it.

use std::sync::{Arc, Weak};

use super::Lun;
use super::backend::Backend;
use super::gate::Lock;
use crate::config::Config;
use crate::metrics::{FenceState, Identity, LunState, Observed};
use crate::runner::Device;

/// What the LUN is called: as in targetcli, or by its image where that is not known.
pub(super) fn name(device: &Device<'_>, config: &Config) -> String {
    device.name().unwrap_or_else(|| format!("{}/{}", config.volume, config.path))
}

/// From now on the LUN can be seen.
pub(super) fn show<B: Backend>(lun: &Arc<Lun<B>>, config: &Config) {
    let identity = Identity {
        volume: config.volume.clone(),
        image: config.path.clone(),
        servers: config.hosts.clone(),
        cache: config.cache.text(),
        fence: config.fence.text(),
    };
    let seen: Weak<Lun<B>> = Arc::downgrade(lun);
    lun.meter.attach(identity, seen);
}

impl<B: Backend> Observed for Lun<B> {
    fn observe(&self) -> LunState {
        let image = self.gate.image();
        LunState {
            bytes: self.size.bytes(),
            ready: image.is_some(),
            outage: self.gate.outage().is_some(),
            read_only: !self.gate.is_writable(),
            fence: match self.gate.lock() {
                Lock::Unfenced => FenceState::Open,
                Lock::Held => FenceState::Owned,
                Lock::Standby => FenceState::Standby,
            },
            encrypted: image.and_then(|image| image.encrypted()),
        }
    }
}
