//! Looks at every LUN every few seconds, and at what concerns all of them: the site file, and the plugin's own lines.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::config::Site;
use crate::{report, site};

/// Between two looks. At an image it is one `fstat` on the open descriptor: no look-up, nothing that a busy volume would notice.
const ROUND: Duration = Duration::from_secs(3);

/// Something to look at, on the watch's thread.
pub(super) trait Watched: Send + Sync {
    /// Takes a look; the site file is as given. May block, within bounds: the others wait.
    fn look(self: Arc<Self>, site: &Site);
}

#[derive(Default)]
struct Watch {
    watched: Vec<Weak<dyn Watched>>,
    running: bool,
}

static WATCH: Mutex<Watch> = Mutex::new(Watch { watched: Vec::new(), running: false });

fn watch() -> MutexGuard<'static, Watch> {
    WATCH.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at `watched` from now on, as long as it lives.
pub(super) fn add(watched: Weak<dyn Watched>) {
    let mut watch = watch();
    watch.watched.push(watched);
    if !watch.running {
        watch.running = thread::Builder::new().name(String::from("glfs-watch")).spawn(run).is_ok();
    }
}

/// The thread: ends when there is nothing left to look at.
fn run() {
    loop {
        thread::sleep(ROUND);
        let alive: Vec<_> = {
            let mut watch = watch();
            watch.watched.retain(|watched| watched.strong_count() > 0);
            if watch.watched.is_empty() {
                watch.running = false;
                return;
            }
            watch.watched.iter().filter_map(Weak::upgrade).collect()
        };
        let site = site::follow();
        report::PLUGIN.settle(false);
        for watched in alive {
            watched.look(&site);
        }
    }
}
