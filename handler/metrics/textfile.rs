// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Text file for `node_exporter`'s textfile collector, which reads every `*.prom` of a folder at
//! each scrape: the file is replaced atomically.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Replaces the file. World-readable: `node_exporter` runs unprivileged.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path);
    // Left by a daemon that died here, or planted by a user who may write to the folder. Removing a
    // symbolic link removes the link itself, and O_EXCL follows none that is made meanwhile.
    if let Err(why) = fs::remove_file(&new)
        && why.kind() != io::ErrorKind::NotFound
    {
        return Err(why);
    }
    let mut file = File::create_new(&new)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    drop(file);
    fs::rename(&new, path).inspect_err(|_| {
        let _gone_already = fs::remove_file(&new).is_err();
    })
}

/// Removes the file: stale metrics are worse than none.
pub(super) fn remove(path: &Path) {
    let _gone_already = fs::remove_file(path).is_err();
}

/// Temporary name in that folder, which `node_exporter` does not match.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_symbolic_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("tcmu-glfs.prom"), folder.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&victim, beside(&path)).unwrap();
        write(&path, "a 1\n").unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 1\n");
    }

    #[test]
    fn the_file_is_replaced_whole_and_can_be_read_by_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tcmu-glfs.prom");
        for text in ["a 1\nb 2\n", "a 3\n"] {
            write(&path, text).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path);
        assert!(!path.exists());
        assert!(write(&folder.path().join("no/such/folder.prom"), "").is_err());
    }
}
