// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
use proptest::prelude::*;

use super::*;

/// One buffer an entry, and the iovecs over them, which the list under test may edit.
fn scatter(lens: &[usize]) -> (Vec<Vec<u8>>, Vec<iovec>) {
    let mut buffers: Vec<Vec<u8>> = lens.iter().map(|&len| vec![0xee; len]).collect();
    let entries = buffers
        .iter_mut()
        .map(|b| iovec { iov_base: b.as_mut_ptr().cast(), iov_len: b.len() })
        .collect();
    (buffers, entries)
}

fn list(entries: &mut [iovec]) -> IoVecs {
    // SAFETY: the entries and their buffers outlive the list in every test here.
    unsafe { IoVecs::new(entries.as_mut_ptr(), entries.len()) }
}

#[test]
fn head_cuts_only_the_first_entry() {
    let (_buffers, mut entries) = scatter(&[10, 4]);
    let list = list(&mut entries);
    assert_eq!(list.head(3).iter().map(|e| e.iov_len).collect::<Vec<_>>(), [3]);
    assert_eq!(list.head(12).iter().map(|e| e.iov_len).collect::<Vec<_>>(), [10]);
    assert_eq!(list.head(99).iter().map(|e| e.iov_len).collect::<Vec<_>>(), [10, 4]);
}

#[test]
fn a_buffer_shows_windows_of_a_repeated_block() {
    let mut buffer = Buffer::of([1, 2, 3].repeat(3));
    buffer.set_window(2, 5);
    let mut moved = buffer;
    assert_eq!(moved.data().to_vec(), [3, 1, 2, 3, 1]);
    moved.set_window(7, 100);
    assert_eq!(moved.data().to_vec(), [2, 3]);
    assert!(Buffer::empty().is_empty() && Buffer::empty().data().is_empty());
}

#[test]
fn windows_share_their_bytes() {
    let bytes: Arc<[u8]> = [1, 2, 3].repeat(3).into();
    let windows = [Window::new(Arc::clone(&bytes), 2, 5), Window::new(Arc::clone(&bytes), 7, 100)];
    assert_eq!(windows.map(|window| window.data().to_vec()), [vec![3, 1, 2, 3, 1], vec![2, 3]]);
    assert!(Window::new(bytes, 9, 1).data().is_empty());
}

proptest! {
    #[test]
    fn advancing_then_storing_touches_exactly_the_rest(
        lens in proptest::collection::vec(0_usize..20, 0..8),
        steps in proptest::collection::vec(0_usize..30, 0..5),
    ) {
        let (buffers, mut entries) = scatter(&lens);
        let mut list = list(&mut entries);
        let total: usize = lens.iter().sum();
        let mut skipped = 0;
        for step in steps {
            list.advance(step);
            skipped = (skipped + step).min(total);
            prop_assert_eq!(list.len(), total - skipped);
        }
        prop_assert_eq!(list.to_vec(), vec![0xee; total - skipped]);
        prop_assert_eq!(list.store(&vec![0; total]), total - skipped);
        let flat: Vec<u8> = buffers.concat();
        prop_assert!(flat[..skipped].iter().all(|&b| b == 0xee));
        prop_assert!(flat[skipped..].iter().all(|&b| b == 0));
    }
}
