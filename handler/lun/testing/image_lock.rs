// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The lock of an image in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use nix::errno::Errno;

use super::super::backend::{AcquireError, Acquired, Enforcement, ImageLock, Preempt};
use super::Memory;

impl ImageLock for Memory {
    fn enforcement(&self) -> Result<Enforcement, Errno> {
        self.calls.wait();
        self.volume.state().enforcement
    }

    fn acquire(&self, heartbeat: &str, preempt: Preempt) -> Result<Acquired, AcquireError> {
        if self.has_lock_owner.load(Ordering::SeqCst) {
            return Err(AcquireError::Reopen);
        }
        self.calls.wait();
        let mut state = self.volume.state();
        if matches!(state.enforcement, Ok(Enforcement::Impossible(_))) {
            return Err(AcquireError::Storage(Errno::EINVAL));
        }
        let seen = state.holder.filter(|_| !self.sees_no_holder.load(Ordering::SeqCst));
        let previous = seen.filter(|holder| *holder != self.number).and(state.heartbeat.clone());
        let last = state.heartbeat.clone().unwrap_or_default();
        match (&preempt, &previous) {
            (Preempt::Never | Preempt::Silent, Some(_)) => return Err(AcquireError::Held),
            (Preempt::Never, None)
                if !last.is_empty() && self.replicated.load(Ordering::SeqCst) =>
            {
                return Err(AcquireError::Unconfirmed(last));
            }
            (Preempt::Own(prefix), _) if !last.starts_with(prefix.as_str()) => {
                return Err(AcquireError::Foreign(last));
            }
            _ => {}
        }
        state.holder = Some(self.number);
        state.heartbeat = Some(heartbeat.to_owned());
        Ok(Acquired { previous })
    }

    fn release(&self) -> Result<(), Errno> {
        let mut state = self.volume.state();
        if state.holder == Some(self.number) {
            (state.holder, state.heartbeat) = (None, Some(String::new()));
        }
        Ok(())
    }

    fn holds_lock(&self) -> Result<bool, Errno> {
        Ok(!self.is_refused())
    }

    fn heartbeat(&self) -> Result<String, Errno> {
        self.volume.state().heartbeat.clone().ok_or(Errno::ENODATA)
    }

    fn send_heartbeat(
        &self,
        heartbeat: String,
        done: impl FnOnce(Result<(), Errno>) + Send + 'static,
    ) {
        let (volume, calls) = (Arc::clone(&self.volume), Arc::clone(&self.calls));
        let thread = thread::Builder::new().name(String::from("memory"));
        let sent = thread.spawn(move || {
            calls.wait();
            volume.state().heartbeat = Some(heartbeat);
            done(Ok(()));
        });
        sent.unwrap();
    }
}
