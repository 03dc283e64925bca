// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Heartbeats beside frozen and slow volumes, and panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::super::testing::{image, owner};
use super::*;

#[test]
fn a_frozen_volume_and_slow_ones_do_not_delay_the_heartbeats_of_256_luns() {
    let owners: Vec<_> = (0..256).map(|_| owner()).collect();
    let beats: Vec<_> = owners.iter().map(|(volume, _)| volume.state().heartbeat.clone()).collect();
    // The first is frozen, and idle: it is looked at. The others take 30 ms for a call, which is 8
    // s for all of them.
    for (number, (_, lun)) in owners.iter().enumerate() {
        if number == 0 {
            image(lun).freeze(true);
        } else {
            image(lun).delay(Duration::from_millis(30));
        }
    }
    let begin = Instant::now();
    let monitored =
        owners.iter().map(|(_, lun)| Arc::clone(lun) as Arc<dyn Monitored>).collect::<Vec<_>>();
    tick_all(monitored.clone(), Site::current);
    let took = begin.elapsed();
    // The next one is not late either.
    for (_, lun) in owners.iter().skip(1) {
        lun.locking.served();
    }
    tick_all(monitored, Site::current);
    let mut late = owners.len();
    while begin.elapsed() < Duration::from_secs(4) && late > 1 {
        late = owners
            .iter()
            .zip(&beats)
            .filter(|((volume, _), beat)| volume.state().heartbeat == **beat)
            .count();
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(late, 1, "only the frozen one's is missing");
    assert!(took < Duration::from_secs(2), "the monitor took {took:?}");
    image(&owners[0].1).freeze(false);
}

#[test]
fn a_panic_over_one_lun_costs_no_other_its_turn() {
    struct Panics;

    impl Monitored for Panics {
        fn send_heartbeat(self: Arc<Self>) {
            panic!("the heartbeat that was to panic");
        }

        fn tick(self: Arc<Self>, _: &Site) {
            panic!("the tick that was to panic");
        }
    }

    #[derive(Default)]
    struct Counts(AtomicU32);

    impl Monitored for Counts {
        fn send_heartbeat(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn tick(self: Arc<Self>, _: &Site) {
            self.0.fetch_add(10, Ordering::SeqCst);
        }
    }

    let counts = Arc::new(Counts::default());
    tick_all(vec![Arc::new(Panics), counts.clone()], Site::current);
    assert_eq!(counts.0.load(Ordering::SeqCst), 11);
}

#[test]
fn a_lun_that_no_thread_can_be_had_for_is_not_monitored_and_the_next_one_is() {
    let (_volume, lun) = owner();
    let mut monitor = Monitor::default();
    let monitored = || -> Weak<dyn Monitored> { Arc::downgrade(&lun) as Weak<dyn Monitored> };
    assert!(!monitor.add(monitored(), || false) && monitor.monitored.is_empty());
    assert!(monitor.add(monitored(), || true) && monitor.monitored.len() == 1);
    assert!(monitor.add(monitored(), || panic!("it runs")) && monitor.monitored.len() == 2);
}
