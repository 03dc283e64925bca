// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Reading the site file from disk, again whenever it changes. A mistake in it takes no LUN down:
//! the last good version stays in use, and is saved on disk for a daemon that is restarted
//! meanwhile.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use super::site::{Site, SiteError};
use crate::threads::lock;
use crate::{log, metrics};

/// Bytes of a site file at most.
const LONGEST: u64 = 1 << 20;

/// Path of the site file.
static FILE: LazyLock<String> =
    LazyLock::new(|| from_environment("TCMU_GLFS_CONFIG", "/etc/tcmu/glfs.toml"));
/// Path of the last good version.
static LAST_GOOD: LazyLock<PathBuf> = LazyLock::new(|| {
    Path::new(&from_environment("TCMU_GLFS_STATE", "/var/lib/tcmu-glfs")).join("glfs.toml")
});

fn from_environment(variable: &str, otherwise: &str) -> String {
    std::env::var(variable)
        .ok()
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| otherwise.to_owned())
}

/// Identity of a file's content, without reading it: the file is read again when this changes.
/// Device, inode, bytes, modification and change time; or why there is none.
type FileIdentity = Result<(u64, u64, u64, (i64, i64), (i64, i64)), io::ErrorKind>;

/// The site in use, and the file that it was read from.
#[derive(Default)]
struct Cache {
    /// None before the first read.
    identity: Option<FileIdentity>,
    site: Arc<Site>,
    /// The last valid version of the file.
    last_good: Option<Arc<Site>>,
    /// A line about the last read, not yet written.
    pending_log: Option<Result<String, String>>,
    /// A valid text, not yet saved as the last good one.
    unsaved: Option<String>,
    /// Settings that the metrics were last configured with.
    metrics: Option<metrics::Settings>,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);

impl Site {
    /// The site in use, read again if the file has changed. Has no other effect: `check_config`
    /// calls it for any user.
    #[must_use]
    pub fn current() -> Arc<Self> {
        let mut cache = lock(&CACHE);
        cache.refresh();
        Arc::clone(&cache.site)
    }

    /// Like [`current`](Self::current), for the daemon itself: also logs what has changed, saves a
    /// valid file as the last good one, and configures the metrics.
    pub fn reload() -> Arc<Self> {
        let (site, line, unsaved, settings) = {
            let mut cache = lock(&CACHE);
            cache.refresh();
            let settings = metrics_settings(&cache.site);
            metrics::set_site_file_error(cache.site.mistake());
            let changed = cache.metrics.replace(settings.clone()).as_ref() != Some(&settings);
            (
                Arc::clone(&cache.site),
                cache.pending_log.take(),
                cache.unsaved.take(),
                changed.then_some(settings),
            )
        };
        if let Some(settings) = settings {
            metrics::configure(settings);
        }
        match line {
            Some(Ok(text)) => log::info_always!(log::PLUGIN, "{text}"),
            Some(Err(text)) => log::error_always!(log::PLUGIN, "{text}"),
            None => {}
        }
        if let Some(why) = unsaved.and_then(|text| save_last_good(&text).err()) {
            let (file, saved) = (&*FILE, LAST_GOOD.display());
            log::warning_always!(
                log::PLUGIN,
                "{file} could not be kept in {saved}, for a restart with a broken one: {why}"
            );
        }
        site
    }
}

/// The settings of `[metrics]`. For tests, the environment may name another socket, or none.
fn metrics_settings(site: &Site) -> metrics::Settings {
    let mut settings = site.metrics().clone();
    if let Some(socket) = std::env::var_os("TCMU_GLFS_METRICS_SOCKET") {
        settings.enabled &= !socket.is_empty();
        settings.socket = socket.into();
    }
    settings
}

impl Cache {
    /// Reads the file if its identity has changed.
    fn refresh(&mut self) {
        let identity = identity_of(fs::metadata(&*FILE));
        if self.identity == Some(identity) {
            return;
        }
        let before = self.identity.replace(identity);
        let broken = match load(Path::new(&*FILE)) {
            Ok(None) => {
                self.site = Arc::new(Site::none(&FILE));
                self.pending_log =
                    before.map(|_| Ok(format!("{}: gone; what is built in is in use", *FILE)));
                return;
            }
            Ok(Some((text, identity))) => {
                self.identity = Some(identity);
                match Site::parse(&text, &FILE) {
                    Ok(site) => {
                        self.site = Arc::new(site);
                        self.last_good = Some(Arc::clone(&self.site));
                        self.pending_log = Some(Ok(format!("{}: read", *FILE)));
                        self.unsaved = Some(text);
                        return;
                    }
                    Err(mistake) => mistake,
                }
            }
            Err(why) => SiteError::unreadable(&FILE, &why.to_string()),
        };
        if self.last_good.is_none() {
            self.last_good = load_last_good().map(Arc::new);
        }
        let (last, what) = match &self.last_good {
            Some(good) => (good.as_ref().clone(), "the last version that was right"),
            None => (Site::none(&FILE), "what is built in"),
        };
        self.pending_log = Some(Err(format!("{broken}; {what} stays in use")));
        self.site = Arc::new(last.in_place_of(&FILE, broken));
    }
}

fn identity_of(found: io::Result<fs::Metadata>) -> FileIdentity {
    let found = found.map_err(|why| why.kind())?;
    let (changed, touched) =
        ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Ok((found.dev(), found.ino(), found.len(), changed, touched))
}

/// Text and identity of a file; `None` if it does not exist.
fn load(path: &Path) -> io::Result<Option<(String, FileIdentity)>> {
    // Before opening it: opening a FIFO would block.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err(io::Error::other("not a regular file")),
        Ok(found) if found.len() > LONGEST => return Err(io::Error::other("longer than 1 MiB")),
        Ok(_) => {}
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    }
    let mut file = File::open(path)?;
    let identity = identity_of(Ok(file.metadata()?));
    let mut text = String::new();
    Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut text)?;
    Ok(Some((text, identity)))
}

/// The last good version, as an earlier daemon saved it.
fn load_last_good() -> Option<Site> {
    let (text, _) = load(&LAST_GOOD).ok()??;
    Site::parse(&text, &LAST_GOOD.to_string_lossy()).ok()
}

/// Saves a valid text as the last good version, atomically.
fn save_last_good(text: &str) -> io::Result<()> {
    if load(&LAST_GOOD).is_ok_and(|saved| saved.is_some_and(|(saved, _)| saved == text)) {
        return Ok(());
    }
    fs::create_dir_all(LAST_GOOD.parent().unwrap_or(Path::new("/")))?;
    let new = LAST_GOOD.with_extension("toml.new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, &*LAST_GOOD)
}
