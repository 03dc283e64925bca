// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The site file on disk. A mistake in it takes no LUN down: what was right last stays in use, and
//! is kept on disk for a daemon that is restarted meanwhile.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use crate::lun::config::{Site, SiteError};
use crate::{metrics, report};

/// A longer one has not been written by a person.
const LONGEST: u64 = 1 << 20;

/// Its name, and where the last good one is kept.
static FILE: LazyLock<String> =
    LazyLock::new(|| from_environment("TCMU_GLFS_CONFIG", "/etc/tcmu/glfs.toml"));
static KEPT: LazyLock<PathBuf> = LazyLock::new(|| {
    Path::new(&from_environment("TCMU_GLFS_STATE", "/var/lib/tcmu-glfs")).join("glfs.toml")
});

fn from_environment(variable: &str, otherwise: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| otherwise.to_owned())
}

/// What a file looked like from outside: as long as this stays, it is not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stamp {
    Absent,
    Unreadable(io::ErrorKind),
    /// Device, inode, bytes, and when it and its inode changed.
    File(u64, u64, u64, (i64, i64), (i64, i64)),
}

#[derive(Default)]
struct Store {
    /// None: nobody has looked yet.
    stamp: Option<Stamp>,
    site: Arc<Site>,
    /// The last version of the file that was right.
    good: Option<Arc<Site>>,
    /// What is still to be said, and kept.
    news: Option<Result<String, String>>,
    unsaved: Option<String>,
    /// What the metrics have been told last.
    metrics: Option<metrics::Settings>,
}

static STORE: LazyLock<Mutex<Store>> = LazyLock::new(Mutex::default);

fn store() -> MutexGuard<'static, Store> {
    STORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is in use, after a look at the file. Reads, and does nothing else: any user may be the
/// cause.
#[must_use]
pub fn current() -> Arc<Site> {
    let mut store = store();
    store.look();
    Arc::clone(&store.site)
}

/// The same, and whatever is new is said and kept.
pub fn follow() -> Arc<Site> {
    let (site, news, unsaved, settings) = {
        let mut store = store();
        store.look();
        let settings = settings(&store.site);
        let changed = store.metrics.replace(settings.clone()).as_ref() != Some(&settings);
        (
            Arc::clone(&store.site),
            store.news.take(),
            store.unsaved.take(),
            changed.then_some(settings),
        )
    };
    if let Some(settings) = settings {
        metrics::configure(settings);
    }
    match news {
        Some(Ok(text)) => report::info_always!(report::PLUGIN, "{text}"),
        Some(Err(text)) => report::error_always!(report::PLUGIN, "{text}"),
        None => {}
    }
    if let Some(why) = unsaved.and_then(|text| keep(&text).err()) {
        let (file, kept) = (&*FILE, KEPT.display());
        report::warning_always!(
            report::PLUGIN,
            "{file} could not be kept in {kept}, for a restart with a broken one: {why}"
        );
    }
    site
}

/// `[metrics]`. For tests, the environment may name another socket, or none.
fn settings(site: &Site) -> metrics::Settings {
    let mut settings = site.metrics().clone();
    if let Some(socket) = std::env::var_os("TCMU_GLFS_METRICS_SOCKET") {
        settings.enabled &= !socket.is_empty();
        settings.socket = socket.into();
    }
    settings
}

/// What the file says, for a tool that an admin waits for: a mistake is told, nothing takes its
/// place.
///
/// # Errors
/// The first mistake, or why the file cannot be read.
pub fn read() -> Result<Site, SiteError> {
    match load(Path::new(&*FILE)) {
        Ok(None) => Ok(Site::none(&FILE)),
        Ok(Some((text, _))) => Site::parse(&text, &FILE),
        Err(why) => Err(SiteError::unreadable(&FILE, &why.to_string())),
    }
}

impl Store {
    fn look(&mut self) {
        let stamp = fs::metadata(&*FILE)
            .map_or_else(|why| Stamp::of_error(&why), |found| Stamp::of(&found));
        if self.stamp.as_ref() == Some(&stamp) {
            return;
        }
        let before = self.stamp.replace(stamp);
        let broken = match load(Path::new(&*FILE)) {
            Ok(None) => {
                self.site = Arc::new(Site::none(&FILE));
                self.news =
                    before.map(|_| Ok(format!("{}: gone; what is built in is in use", *FILE)));
                return;
            }
            Ok(Some((text, stamp))) => {
                self.stamp = Some(stamp);
                match Site::parse(&text, &FILE) {
                    Ok(site) => {
                        self.site = Arc::new(site);
                        self.good = Some(Arc::clone(&self.site));
                        self.news = Some(Ok(format!("{}: read", *FILE)));
                        self.unsaved = Some(text);
                        return;
                    }
                    Err(mistake) => mistake,
                }
            }
            Err(why) => SiteError::unreadable(&FILE, &why.to_string()),
        };
        if self.good.is_none() {
            self.good = kept().map(Arc::new);
        }
        let (last, what) = match &self.good {
            Some(good) => (good.as_ref().clone(), "the last version that was right"),
            None => (Site::none(&FILE), "what is built in"),
        };
        self.news = Some(Err(format!("{broken}; {what} stays in use")));
        self.site = Arc::new(last.in_place_of(&FILE, broken));
    }
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        let (changed, touched) =
            ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
        Self::File(found.dev(), found.ino(), found.len(), changed, touched)
    }

    fn of_error(why: &io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            other => Self::Unreadable(other),
        }
    }
}

/// The text of a file, and what it looked like when it was read. None: there is no such file.
fn load(path: &Path) -> io::Result<Option<(String, Stamp)>> {
    // Before it is opened: that of a pipe would wait.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(found) if found.len() > LONGEST => return Err(io::Error::other("longer than 1 MiB")),
        Ok(_) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    }
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = String::new();
    Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text)?;
    Ok(Some((text, stamp)))
}

/// The last good one of an earlier daemon.
fn kept() -> Option<Site> {
    let (text, _) = load(&KEPT).ok()??;
    Site::parse(&text, &KEPT.to_string_lossy()).ok()
}

/// Keeps a good one. Whoever reads it finds the old or the new, whatever happens meanwhile.
fn keep(text: &str) -> io::Result<()> {
    if load(&KEPT).is_ok_and(|kept| kept.is_some_and(|(kept, _)| kept == text)) {
        return Ok(());
    }
    fs::create_dir_all(KEPT.parent().unwrap_or(Path::new("/")))?;
    let new = KEPT.with_extension("toml.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, &*KEPT)
}
