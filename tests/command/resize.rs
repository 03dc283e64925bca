// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! `tcmu-glfs resize`.

use serde_json::json;

use crate::cluster::Volume;
use crate::support::{place, run};

pub(crate) fn grow() {
    for (layout, bricks, options) in [
        (&[][..], 1, &[][..]),
        (&["disperse", "3", "redundancy", "1"], 3, &[]),
        (&[], 1, &[("features.shard", "on"), ("features.shard-block-size", "4MB")]),
    ] {
        let volume = Volume::start(layout, bricks, options);
        let image = place(&volume, "disk.img");
        run(&["create", &image, "--size", "1G"]).well("created");
        run(&["resize", &image, "--size", "2G"])
            .well("1.00 GiB (1073741824 bytes) -> 2.00 GiB (2147483648 bytes)");
        run(&["resize", &image, "--size", "+512"]).well("-> 2.00 GiB (2147484160 bytes)");
        run(&["resize", &image, "--size", "2147484160"]).well("already");
        run(&["resize", &image, "--size", "1G"])
            .failed(&["is not made smaller", "create a smaller image"]);
        let info = run(&["info", "--json", &image]).json();
        assert_eq!(info["size_bytes"], json!((2_u64 << 30) + 512));
        assert!(
            info["allocated_bytes"].as_u64().unwrap() < 1 << 20,
            "growing takes no space: {info}"
        );
        run(&["resize", &place(&volume, "no.img"), "--size", "1G"])
            .failed(&["no such file", "tcmu-glfs create"]);
    }
}
