// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! The files that the kernel shows: configfs, sysfs and `/dev`, in folders that the daemon finds
//! mounted over the host's. They are plain files: to write to one is a request ([`super::Kernel`]).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Backstore;

/// The number of the HBA in configfs: `user_1`.
const HBA: u32 = 1;

/// A target portal group.
const GROUP: &str = "sys/kernel/config/target/iscsi/iqn.2026-01.org.example:t/tpgt_1";

/// Devices that the daemon and libgfapi find beside the UIO devices.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// A target port group of an admin's, as the kernel makes it, with implicit ALUA.
const PORT_GROUP: [(&str, &str); 15] = [
    ("alua_access_state", "0"),
    ("alua_access_status", "None"),
    ("alua_access_type", "Implicit"),
    ("alua_support_active_nonoptimized", "1"),
    ("alua_support_active_optimized", "1"),
    ("alua_support_lba_dependent", "1"),
    ("alua_support_offline", "1"),
    ("alua_support_standby", "1"),
    ("alua_support_transitioning", "1"),
    ("alua_support_unavailable", "1"),
    ("implicit_trans_secs", "0"),
    ("nonop_delay_msecs", "100"),
    ("preferred", "0"),
    ("tg_pt_gp_id", "1"),
    ("trans_delay_msecs", "0"),
];

#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The files of a kernel without devices.
    pub(crate) fn new(root: &Path) -> Self {
        let tree = Self { root: root.to_owned() };
        for folder in ["sys/class/uio", "sys/kernel/config/target/core", "dev/shm"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        tree.write("sys/module/target_core_user/parameters/block_netlink", "unblocked\n");
        tree.write("sys/module/target_core_user/parameters/reset_netlink", "");
        for device in DEVICES {
            tree.write(&format!("dev/{device}"), "");
        }
        symlink("/proc/self/fd", root.join("dev/fd")).unwrap();
        tree
    }

    /// Mounts, in a mount namespace of the caller's, as arguments of `mount`.
    pub(crate) fn mounts(&self) -> Vec<[String; 3]> {
        let bind = |own: &str, place: &str| {
            ["--rbind".to_owned(), self.root.join(own).display().to_string(), place.to_owned()]
        };
        let devices = DEVICES.map(|device| {
            let device = format!("/dev/{device}");
            let own = self.root.join(&device[1..]).display().to_string();
            ["--bind".to_owned(), device, own]
        });
        let folders = [
            bind("sys/class", "/sys/class"),
            bind("sys/kernel", "/sys/kernel"),
            bind("sys/module", "/sys/module"),
            bind("dev", "/dev"),
        ];
        devices.into_iter().chain(folders).collect()
    }

    /// What the kernel calls a device: the daemon finds all else by it.
    pub(crate) fn uio_name(backstore: &Backstore) -> String {
        format!("tcm-user/{HBA}/{}/{}", backstore.name, backstore.config)
    }

    fn folder(backstore: &str) -> String {
        format!("sys/kernel/config/target/core/user_{HBA}/{backstore}")
    }

    /// The backstore and the file in its folder that a path of configfs names.
    pub(crate) fn parse(path: &str) -> Option<(&str, &str)> {
        path.strip_prefix("/sys/kernel/config/target/core/user_1/")?.split_once('/')
    }

    pub(crate) fn add(&self, backstore: &Backstore, minor: u32, ring_bytes: usize) {
        let folder = Self::folder(&backstore.name);
        let file = |name: &str, text: &str| self.write(&format!("{folder}/{name}"), text);
        file("control", "");
        file("enable", "1\n");
        file("action/block_dev", "unblocked\n");
        file("action/reset_ring", "");
        file("pr/res_holder", "No SPC-3 Reservation holder\n");
        let serial = format!("0b5e{minor:04}-0000-4000-8000-000000000000");
        file("wwn/vpd_unit_serial", &format!("T10 VPD Unit Serial Number: {serial}\n"));
        fs::create_dir_all(self.root.join(&folder).join("alua/default_tg_pt_gp")).unwrap();
        if backstore.implicit_alua {
            for (name, value) in PORT_GROUP {
                file(&format!("alua/group/{name}"), &format!("{value}\n"));
            }
            file("alua/group/members", "");
        }
        self.update(backstore);
        self.write(
            &format!("sys/class/uio/uio{minor}/maps/map0/size"),
            &format!("{ring_bytes:#x}\n"),
        );
        let name = format!("{}\n", Self::uio_name(backstore));
        self.write(&format!("sys/class/uio/uio{minor}/name"), &name);
        self.write(&format!("dev/uio{minor}"), "");
    }

    /// What changes in the life of a backstore.
    pub(crate) fn update(&self, backstore: &Backstore) {
        let folder = Self::folder(&backstore.name);
        let Backstore { config, bytes, block_size, max_sectors, .. } = backstore;
        let area = backstore.data_area_bytes >> 20;
        let time_out = backstore.cmd_time_out.map_or(0, |time_out| time_out.as_secs());
        let info = format!(
            "Status: ACTIVATED  Max Queue Depth: 128  SectorSize: {block_size}  \
             HwMaxSectors: {max_sectors}\n        \
             Config: {config} Size: {bytes} MaxDataAreaMB: {area}\n"
        );
        self.write(&format!("{folder}/info"), &info);
        for (name, value) in [
            ("hw_block_size", block_size.to_string()),
            ("block_size", block_size.to_string()),
            ("hw_max_sectors", max_sectors.to_string()),
            ("cmd_time_out", time_out.to_string()),
            ("dev_size", bytes.to_string()),
            ("dev_config", config.clone()),
            ("emulate_write_cache", u8::from(backstore.write_cache).to_string()),
        ] {
            self.write(&format!("{folder}/attrib/{name}"), &format!("{value}\n"));
        }
    }

    /// An iSCSI target with these backstores, which only ACLs admit to.
    pub(crate) fn export(&self, backstores: &[&str]) {
        self.write(&format!("{GROUP}/attrib/generate_node_acls"), "0\n");
        self.write(&format!("{GROUP}/dynamic_sessions"), "\0");
        for (number, backstore) in backstores.iter().enumerate() {
            let lun = self.root.join(format!("{GROUP}/lun/lun_{number}"));
            fs::create_dir_all(&lun).unwrap();
            let to = format!("../../../../../../target/core/user_{HBA}/{backstore}");
            symlink(to, lun.join("a1b2c3")).unwrap();
        }
    }

    /// An ACL of that target, which maps some of its LUNs.
    pub(crate) fn admit(&self, initiator: &str, luns: &[usize]) {
        for number in luns {
            let mapped = format!("{GROUP}/acls/{initiator}/lun_{number}");
            self.write(&format!("{mapped}/write_protect"), "0\n");
            let to = format!("../../../lun/lun_{number}");
            symlink(to, self.root.join(mapped).join("d4e5f6")).unwrap();
        }
    }

    pub(crate) fn remove(&self, backstore: &str, minor: u32) {
        fs::remove_dir_all(self.root.join(Self::folder(backstore))).unwrap();
        fs::remove_dir_all(self.root.join(format!("sys/class/uio/uio{minor}"))).unwrap();
        fs::remove_file(self.root.join(format!("dev/uio{minor}"))).unwrap();
    }

    /// Writes a file at once: who reads it sees the old text or the new one.
    fn write(&self, file: &str, text: &str) {
        let path = self.root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let new = self.root.join(format!(".{}", file.replace('/', "-")));
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }
}
