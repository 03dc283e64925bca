// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! A brick without space.

use std::time::Duration;

use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::replica::{IMAGE, seconds};
use crate::verdict::assert_image;
use crate::volumes::Volume;
use support::eventually;

/// Of the image: 64 MiB, on a brick of 32.
const BLOCKS: u64 = 16384;
/// Under load: these get their space before it ends.
const LOADED: u64 = 1024;

/// What has space goes on to be served; the rest fails, and says why. Nothing is lost, and space
/// that is freed is used.
pub(crate) fn space_runs_out_and_comes_back() {
    let _turn = cluster().shared();
    let mut filler = None;
    let volume = Volume::start_on(&[], 1, &[], |folder| {
        let node = cluster().node(0);
        node.run(&["mount", "-t", "tmpfs", "-o", "size=32m", "small", folder.to_str().unwrap()])
            .unwrap();
        node.run(&["mkdir", folder.join("b").to_str().unwrap()]).unwrap();
        filler = Some(node.path(&folder.join("filler")));
    });
    let filler = filler.unwrap();
    volume.image(IMAGE, BLOCKS * 4096);
    let mut gateway = Gateway::with(&volume.cfgstring(IMAGE, ""), BLOCKS * 4096);
    gateway.load(0, LOADED, 8);
    std::thread::sleep(seconds(3));
    gateway.stop().without_errors();
    fill(&filler);
    let mut refused = None;
    for at in (LOADED..BLOCKS).step_by(16) {
        let answer = gateway.ask(&format!("write {at} 16 1"));
        if answer.is_failure() {
            refused = Some((at, answer));
            break;
        }
        answer.good();
    }
    let (at, answer) = refused.expect("32 MiB hold no 64");
    println!("block {at}: {answer:?}");
    assert_eq!(answer.text, "sense (7, 27, 7)");
    assert!(answer.time < Duration::from_secs(2), "{answer:?}");
    assert_image(&volume, IMAGE, LOADED, &[&gateway], &[0]);
    std::fs::remove_file(&filler).unwrap();
    let write = format!("write {at} 16 2");
    let gateway = std::cell::RefCell::new(gateway);
    eventually("freed space is used", || gateway.borrow_mut().ask(&write).status == 0);
    let mut gateway = gateway.into_inner();
    gateway.ask("flush").good();
    let expected = vec![format!("{}:2", gateway.id); 16].join(" ");
    assert_eq!(gateway.ask(&format!("read {at} 16")).good(), expected);
    gateway.load(0, LOADED, 8);
    std::thread::sleep(seconds(1));
    gateway.stop().without_errors();
    assert_image(&volume, IMAGE, LOADED, &[&gateway], &[0]);
}

/// Writes until there is no space left.
fn fill(path: &std::path::Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let mut len = 1 << 20;
    while len > 512 {
        if file.write_all(&vec![1; len]).is_err() {
            len /= 2;
        }
    }
}
