// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Ctrl-C, while there is something to be cleared away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the user has asked for the end.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on a signal is noted; the second one ends the process at once, whatever it is
    /// doing.
    pub(crate) fn catch() -> io::Result<Self> {
        const KILLED: i32 = 128;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: it ends the process if the flag is set already.
            flag::register_conditional_shutdown(signal, KILLED + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
