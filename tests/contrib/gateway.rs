// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The plugin in a fake tcmu-runner, with LUNs in all sorts of states and a load on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libc::{ENOSPC, ENOTCONN, EROFS};

use support::faults::{self, Fault};
use support::runner::{Lun, OK};
use support::volume::LocalVolume;

const MIB: u64 = 1 << 20;

/// One at a time: they would see each other's LUNs.
static ONE: Mutex<()> = Mutex::new(());

pub(crate) struct Gateway {
    _one: MutexGuard<'static, ()>,
    volume: LocalVolume,
    unlucky: Lun,
    _others: [Lun; 2],
    load: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let volume = LocalVolume::new();
        for image in ["busy.img", "unlucky.img", "archive.img"] {
            volume.image(image, 16 * MIB);
        }
        let busy = Lun::opened(&volume.cfgstring("busy.img", ""), 16 * MIB);
        let over = Arc::new(AtomicBool::new(false));
        let load = {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    round(&busy);
                }
            })
        };
        Self {
            _one: one,
            unlucky: Lun::opened(&volume.cfgstring("unlucky.img", ""), 16 * MIB),
            _others: [
                Lun::opened(&volume.cfgstring("archive.img", ";access=ro"), 16 * MIB),
                // Comes up, and is not ready: nobody listens there.
                Lun::opened("glfs/vol@127.0.0.1/later.img;port=9", MIB),
            ],
            volume,
            load: Some(load),
            over,
        }
    }

    /// Whatever can go wrong with a LUN does, once.
    pub(crate) fn misfortune(&self) {
        let (lun, path) = (&self.unlucky, self.volume.path("unlucky.img"));
        faults::set(&path, Some(Fault::NoSpace));
        assert_ne!(lun.submit_unmap(0, 4096).wait().0, OK);
        assert_ne!(lun.write(0, &[1; 512]), OK);
        for errno in [ENOSPC, EROFS, libc::ENXIO] {
            faults::set(&path, Some(Fault::Late(errno)));
            assert_ne!(lun.write(0, &[1; 512]), OK);
        }
        faults::set(&path, Some(Fault::Slow(Duration::from_millis(1100))));
        assert_eq!(lun.write(0, &[1; 512]), OK);
        faults::set(&path, Some(Fault::AtSubmit(ENOTCONN)));
        assert_ne!(lun.read(0, 512).0, OK);
        // An outage that can be seen.
        thread::sleep(Duration::from_secs(2));
        faults::set(&path, None);
        assert_eq!(lun.read(0, 512).0, OK);
    }
}

/// A bit of everything, at a pace that leaves the machine alone.
fn round(lun: &Lun) {
    let block = vec![3; 4096];
    let reads: Vec<_> = (0..32).map(|n| lun.submit_read(n * 65536, 4096)).collect();
    let writes: Vec<_> = (0..16).map(|n| lun.submit_write(n * 131_072, &block)).collect();
    assert!(reads.into_iter().chain(writes).all(|command| command.wait().0 == OK));
    assert_eq!(lun.read(0, 1 << 20).0, OK);
    assert_eq!(lun.flush(), OK);
    assert_eq!(lun.submit_unmap(8 * MIB, 65536).wait().0, OK);
    assert_eq!(lun.submit_write_same(9 * MIB, 65536, &[7; 512]).wait().0, OK);
    assert_eq!(lun.submit_compare_and_write(10 * MIB, &[0; 512], &[0; 512]).wait().0, OK);
    thread::sleep(Duration::from_millis(20));
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.load.take().map(JoinHandle::join);
        assert!(
            thread::panicking() || ended.is_none_or(|ended| ended.is_ok()),
            "the load has failed"
        );
    }
}
