// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! What `cache=none` promises.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use support::cluster::Volume;
use support::runner::{Lun, OK};
use support::{eventually, faults, pattern};

const MIB: u64 = 1 << 20;

/// The argument that makes this executable a gateway, to be killed.
pub(crate) const GATEWAY: &str = "--be-a-gateway";

/// Writes block after block, says which were acknowledged, and never flushes nor ends.
pub(crate) fn gateway(cfgstring: &str) -> ! {
    let lun = Lun::opened(cfgstring, 16 * MIB);
    let mut out = std::io::stdout();
    for block in (0..4096_u64).cycle() {
        assert_eq!(lun.write(i64::try_from(block * 4096).unwrap(), &pattern(block, 4096)), OK);
        writeln!(out, "{block}").unwrap();
        out.flush().unwrap();
    }
    unreachable!()
}

/// The volume has write-behind on, as every new volume does.
pub(crate) fn acknowledged_writes_survive() {
    let volume = Volume::start(&[], 1, &[]);
    volume.image("disk.img", 16 * MIB);
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .args([GATEWAY, &volume.cfgstring("disk.img", "")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines.map_while(Result::ok) {
        acknowledged.push(line.parse::<u64>().unwrap());
        if acknowledged.len() == 500 {
            gateway.kill().unwrap();
        }
    }
    gateway.wait().unwrap();
    assert!(acknowledged.len() >= 500);
    let brick = File::open(volume.on_brick(0, "disk.img")).unwrap();
    for block in acknowledged {
        let mut bytes = vec![0; 4096];
        brick.read_exact_at(&mut bytes, block * 4096).unwrap();
        assert!(bytes == pattern(block, 4096), "block {block} was acknowledged and is lost");
    }
}

/// Two connections stand for two gateways: they share nothing but the bricks. The volume has all
/// its caches on.
pub(crate) fn gateways_agree() {
    let caches =
        ["io-cache", "read-ahead", "quick-read", "open-behind", "stat-prefetch", "write-behind"];
    let on: Vec<(String, &str)> =
        caches.iter().map(|cache| (format!("performance.{cache}"), "on")).collect();
    let on: Vec<(&str, &str)> = on.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let volume = Volume::start(&[], 1, &on);
    // Small enough for quick-read to keep the whole image.
    volume.image("disk.img", 32768);
    let one = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), 32768);
    let other = Lun::opened(&volume.cfgstring("disk.img", ";connection=own"), 32768);
    for round in 0..300 {
        let (writer, reader) = if round % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let data = pattern(round, 4096);
        assert_eq!(writer.write(4096, &data), OK);
        assert!(reader.read(4096, 4096) == (OK, data), "stale in round {round}");
    }
}

/// The bricks call fsync for a write with `O_DSYNC`, unless the volume has them take another way to
/// their disks. (Only a volume that is stopped can be told to.)
pub(crate) fn forced_writes() {
    for (options, flushes) in [(&[][..], 0), (&[("storage.linux-aio", "on")][..], 2)] {
        let volume = Volume::start(&[], 1, options);
        let image = format!("{flushes}.img");
        volume.image(&image, MIB);
        let lun = Lun::opened(&volume.cfgstring(&image, ""), MIB);
        assert_eq!(lun.submit_forced_write(0, &[1; 512]).wait().0, OK);
        assert_eq!(lun.submit_forced_compare_and_write(0, &[1; 512], &[2; 512]).wait().0, OK);
        let calls = (faults::calls(&image, "durablewrite"), faults::calls(&image, "sync"));
        assert_eq!(calls, (2 - flushes, flushes), "{options:?}");
        assert_eq!(lun.read(0, 512), (OK, vec![2; 512]));
    }
}

/// The brick has no time to do anything later. How often: `FUA_KILLS`. That it has called fsync
/// before it answered, which a brick that dies alone does not tell, its own `O_DSYNC` shows.
pub(crate) fn forced_writes_survive_the_brick() {
    const KILLS: u64 = 5;
    let kills = std::env::var("FUA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    // Calls are counted by the name, and other tests have images, too.
    let volume = Volume::start(&[], 1, &[]);
    volume.image("killed.img", MIB);
    let lun = Lun::opened(&volume.cfgstring("killed.img", ""), MIB);
    for round in 0..kills {
        let place = round % 256 * 4096;
        let offset = i64::try_from(place).unwrap();
        eventually("the LUN serves", || lun.read(offset, 512).0 == OK);
        let (before, data) = (faults::calls("killed.img", "durablewrite"), pattern(round, 4096));
        assert_eq!(lun.submit_forced_write(offset, &data).wait().0, OK, "round {round}");
        volume.kill_bricks();
        assert_eq!(faults::calls("killed.img", "durablewrite"), before + 1);
        let mut bytes = vec![0; 4096];
        File::open(volume.on_brick(0, "killed.img"))
            .unwrap()
            .read_exact_at(&mut bytes, place)
            .unwrap();
        assert!(bytes == data, "what was acknowledged in round {round} is lost");
        volume.restart_bricks();
    }
}
