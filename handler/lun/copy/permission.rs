// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Whether initiators of one LUN may have another one copied from or to.
//!
//! The kernel does not tell which initiator a command is from, so nobody may be let do by a copy
//! what they could not do by themselves: every initiator that can reach the receiving LUN must be
//! able to reach the other one, by the same target, and to write it if it is written. As the
//! kernel's target has it in configfs:
//!
//! * each target portal group with the receiving LUN admits only the initiators of its ACLs
//!   (`generate_node_acls` 0, and no session from before that);
//! * each of its ACLs that maps the receiving LUN maps the other one, not write-protected if it is
//!   the destination;
//! * nobody holds a reservation of the other one.
//!
//! What cannot be read is a no.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Whether it is so: `target` is the target's folder in configfs, the LUNs are named by their
/// backstores (`user_1/d0`).
pub(super) fn is_permitted(target: &Path, receiving: &str, other: &str, writes: bool) -> bool {
    let core = target.join("core");
    let luns = [core.join(receiving), core.join(other)].map(fs::canonicalize);
    let [Ok(receiving), Ok(other)] = luns else { return false };
    is_unreserved(&other) && are_reached_alike(target, &receiving, &other, writes).unwrap_or(false)
}

/// Whether no initiator holds a reservation (`target_core_configfs.c`,
/// `target_pr_res_holder_show`).
fn is_unreserved(lun: &Path) -> bool {
    fs::read_to_string(lun.join("pr/res_holder")).is_ok_and(|holder| {
        let holder = holder.trim_end();
        holder.starts_with("No SPC-") || holder == "SPC_RESERVATIONS_DISABLED"
    })
}

fn are_reached_alike(
    target: &Path,
    receiving: &Path,
    other: &Path,
    writes: bool,
) -> io::Result<bool> {
    let mut is_exported = false;
    for fabric in folders(target, "")?.into_iter().filter(|fabric| !fabric.ends_with("core")) {
        for port in folders(&fabric, "")? {
            // Not every fabric calls its groups tpgt_N.
            for group in folders(&port, "")? {
                match admits_alike(&group, receiving, other, writes)? {
                    Some(false) => return Ok(false),
                    Some(true) => is_exported = true,
                    None => {}
                }
            }
        }
    }
    // Else the command is from an initiator that is not understood here.
    Ok(is_exported)
}

/// The rule, for one target portal group. None: it has not got the receiving LUN.
fn admits_alike(
    group: &Path,
    receiving: &Path,
    other: &Path,
    writes: bool,
) -> io::Result<Option<bool>> {
    let exports =
        |lun: &Path| linking(folders(&group.join("lun"), "lun_")?, |backstore| backstore == lun);
    let (receiving, other) = (exports(receiving)?, exports(other)?);
    if receiving.is_empty() {
        return Ok(None);
    }
    let read = |file: &str| fs::read_to_string(group.join(file));
    // Initiators choose their names, and not all are UTF-8.
    let sessions = match fs::read(group.join("dynamic_sessions")) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Vec::new(),
        sessions => sessions?,
    };
    let is_open = read("attrib/generate_node_acls")?.trim() != "0"
        || sessions.iter().any(|byte| *byte != 0 && !byte.is_ascii_whitespace());
    if is_open {
        return Ok(Some(false));
    }
    for acl in folders(&group.join("acls"), "")? {
        let mapped = folders(&acl, "lun_")?;
        let mapping = |luns: &[PathBuf]| {
            linking(mapped.clone(), |lun| luns.iter().any(|exported| exported == lun))
        };
        let writable = |lun: &Path| {
            fs::read_to_string(lun.join("write_protect")).is_ok_and(|text| text.trim() == "0")
        };
        let may = mapping(&other)?.iter().any(|lun| !writes || writable(lun));
        if !mapping(&receiving)?.is_empty() && !may {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

/// The folders in a folder whose names begin so. None, if it is missing.
fn folders(folder: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let begins = |name: &OsStr| name.as_bytes().starts_with(prefix.as_bytes());
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if begins(&entry.file_name()) && entry.file_type()?.is_dir() {
            // Without links on its way, as what links lead to is.
            found.push(fs::canonicalize(entry.path())?);
        }
    }
    Ok(found)
}

/// Those of `luns` that have a link to such a place: a LUN names its backstore so, and a LUN of an
/// ACL the one of its group.
fn linking(luns: Vec<PathBuf>, is: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut matching = Vec::new();
    for lun in luns {
        for entry in fs::read_dir(&lun)? {
            let entry = entry?;
            if entry.file_type()?.is_symlink() && is(&fs::canonicalize(entry.path())?) {
                matching.push(lun);
                break;
            }
        }
    }
    Ok(matching)
}

#[cfg(test)]
pub(in crate::lun) mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// The target's folder in configfs, with targets of one portal group each.
    pub(in crate::lun) struct Configfs {
        root: TempDir,
    }

    impl Configfs {
        pub(in crate::lun) fn new() -> Self {
            Self { root: TempDir::new().unwrap() }
        }

        pub(in crate::lun) fn path(&self) -> &Path {
            self.root.path()
        }

        pub(in crate::lun) fn write(&self, file: &str, text: &str) {
            let path = self.root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        pub(in crate::lun) fn lun(&self, backstore: &str, serial: &str) {
            let text = format!("T10 VPD Unit Serial Number: {serial}\n");
            self.write(&format!("core/{backstore}/wwn/vpd_unit_serial"), &text);
            self.write(&format!("core/{backstore}/pr/res_holder"), "No SPC-3 Reservation holder\n");
        }

        fn group(target: &str) -> String {
            format!("iscsi/iqn.2026-01.org.example:{target}/tpgt_1")
        }

        fn link(&self, to: &str, folder: &str) {
            fs::create_dir_all(self.root.path().join(folder)).unwrap();
            let link = self.root.path().join(folder).join("a1b2c3");
            symlink(self.root.path().join(to), link).unwrap();
        }

        /// A target with these LUNs, which only ACLs admit to.
        pub(in crate::lun) fn export(&self, target: &str, backstores: &[&str]) {
            let group = Self::group(target);
            self.write(&format!("{group}/attrib/generate_node_acls"), "0\n");
            self.write(&format!("{group}/dynamic_sessions"), "\0");
            for (number, backstore) in backstores.iter().enumerate() {
                self.link(&format!("core/{backstore}"), &format!("{group}/lun/lun_{number}"));
            }
        }

        /// An ACL that maps some of them, and whether they are write-protected.
        pub(in crate::lun) fn admit(&self, target: &str, initiator: &str, luns: &[(usize, bool)]) {
            let group = Self::group(target);
            for (number, protected) in luns {
                let mapped = format!("{group}/acls/{initiator}/lun_{number}");
                self.link(&format!("{group}/lun/lun_{number}"), &mapped);
                let protected = if *protected { "1\n" } else { "0\n" };
                self.write(&format!("{mapped}/write_protect"), protected);
            }
            self.write(&format!("{group}/acls/{initiator}/info"), "");
        }
    }

    const ONE: &str = "user_1/d0";
    const OTHER: &str = "user_1/d1";

    fn two_luns() -> Configfs {
        let configfs = Configfs::new();
        configfs.lun(ONE, "1");
        configfs.lun(OTHER, "2");
        configfs.write("version", "");
        configfs.write("iscsi/discovery_auth/userid", "");
        configfs.export("t", &[ONE, OTHER]);
        configfs.admit("t", "iqn.a", &[(0, false), (1, false)]);
        configfs
    }

    /// Whether the other one may be read, and written.
    fn permitted(configfs: &Configfs) -> (bool, bool) {
        let is = |writes| is_permitted(configfs.path(), ONE, OTHER, writes);
        (is(false), is(true))
    }

    #[test]
    fn an_initiator_that_has_both_luns_may_copy_between_them() {
        let configfs = two_luns();
        assert_eq!(permitted(&configfs), (true, true));
        configfs.admit("t", "iqn.b", &[(1, true)]);
        assert_eq!(permitted(&configfs), (true, true), "it does not reach the receiving one");
    }

    #[test]
    fn every_acl_of_the_receiving_lun_must_map_the_other_one() {
        let configfs = two_luns();
        configfs.admit("t", "iqn.b", &[(0, false)]);
        assert_eq!(permitted(&configfs), (false, false));
        let torn = two_luns();
        torn.link("nothing", &format!("{}/acls/iqn.b/lun_0", Configfs::group("t")));
        assert_eq!(permitted(&torn), (false, false), "an ACL that cannot be read");
        let by_another_target = two_luns();
        by_another_target.export("u", &[ONE]);
        by_another_target.admit("u", "iqn.a", &[(0, false)]);
        assert_eq!(permitted(&by_another_target), (false, false));
        let unknown = Configfs::new();
        unknown.lun(ONE, "1");
        unknown.lun(OTHER, "2");
        assert_eq!(permitted(&unknown), (false, false), "no target has it");
    }

    #[test]
    fn what_is_write_protected_may_only_be_read() {
        let configfs = two_luns();
        configfs.admit("t", "iqn.b", &[(0, false), (1, true)]);
        assert_eq!(permitted(&configfs), (true, false));
    }

    #[test]
    fn a_target_that_admits_everybody_permits_nothing() {
        let group = Configfs::group("t");
        let cases: [(_, &[u8]); 3] = [
            ("attrib/generate_node_acls", b"1\n"),
            ("dynamic_sessions", b"iqn.old\n\0"),
            ("dynamic_sessions", b"\xff\n\0"),
        ];
        for (file, text) in cases {
            let configfs = two_luns();
            fs::write(configfs.path().join(&group).join(file), text).unwrap();
            assert_eq!(permitted(&configfs), (false, false), "{file}");
        }
        let other_name = two_luns();
        other_name.link(&format!("core/{ONE}"), "srpt/mlx4_0/mlx4_0/lun/lun_0");
        assert_eq!(permitted(&other_name), (false, false), "a group by another name");
        let loopback = two_luns();
        loopback.link(&format!("core/{ONE}"), "loopback/naa.1/tpgt_1/lun/lun_0");
        assert_eq!(permitted(&loopback), (false, false), "it has no ACLs");
    }

    #[test]
    fn a_lun_that_is_reserved_takes_no_part() {
        let configfs = two_luns();
        let with = |holder: &str| {
            configfs.write(&format!("core/{OTHER}/pr/res_holder"), holder);
            permitted(&configfs)
        };
        assert_eq!(with("SPC-3 Reservation: iSCSI Initiator: iqn.b\n"), (false, false));
        assert_eq!(with("SPC-2 Reservation: iSCSI Initiator: iqn.b\n"), (false, false));
        assert_eq!(with("Passthrough\n"), (false, false));
        assert_eq!(with("SPC_RESERVATIONS_DISABLED\n"), (true, true));
        fs::remove_file(configfs.path().join(format!("core/{OTHER}/pr/res_holder"))).unwrap();
        assert_eq!(permitted(&configfs), (false, false), "not known");
    }
}
