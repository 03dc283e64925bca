//! COMPARE AND WRITE from two gateways at once.

use crate::gateway::Gateway;
use crate::nodes::cluster;
use crate::replica::IMAGE;
use crate::volumes::Volume;

const BLOCKS: u64 = 256;

/// Both increment one number: none of the increments is lost, and none is made twice. `CAW_INCREMENTS` asks for more of them.
pub(crate) fn increments_add_up() {
    let each = std::env::var("CAW_INCREMENTS").map_or(1000, |number| number.parse::<u64>().unwrap()) / 2;
    let _turn = cluster().shared();
    let volume = Volume::start(&["replica", "3"], 3, &[]);
    volume.image(IMAGE, BLOCKS * 4096);
    let gateway = || Gateway::with(&volume.cfgstring(IMAGE, ""), BLOCKS * 4096);
    let (mut one, mut other) = (gateway(), gateway());
    let order = format!("caw-increment 7 {each}");
    one.order(&order);
    other.order(&order);
    let answers = [one.answer(), other.answer()];
    println!("{answers:?}");
    let in_vain: u64 = answers.iter().map(|answer| answer.clone().good().parse::<u64>().unwrap()).sum();
    assert!(in_vain > 0, "they never met: nothing was tested");
    for brick in 0..3 {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = [0; 8];
        std::fs::File::open(volume.brick(brick).join(IMAGE)).unwrap().read_exact_at(&mut bytes, 7 * 4096).unwrap();
        assert_eq!(u64::from_le_bytes(bytes), 2 * each, "brick {brick}");
    }
}
