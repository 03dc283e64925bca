// SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later
//! Memory for what accompanies calls, so that a command costs no allocation.
//!
//! What is allocated on the command thread is freed on a thread of libgfapi's, which is what
//! `malloc` is slowest at.

use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes that a slot takes, and how they are aligned. A READ or WRITE needs them all.
const SLOT_BYTES: usize = 120;
const SLOT_ALIGN: usize = 64;
/// A device's ring rarely has more commands in flight: the kernel's target allows 128 per session
/// by default.
const SLOTS: u32 = 128;
/// No slot.
const NO_SLOT: u32 = u32::MAX;

/// A number of slots. What does not fit, or finds none free, goes to the heap.
///
/// # Invariants
/// The free slots are a list from `first`. A slot that is not in it belongs to whoever took it.
pub(super) struct Slab {
    slots: Box<[Slot]>,
    /// The first free slot, and above it a count of changes: a slot that was taken and given back
    /// between another thread's look and its exchange is not mistaken for one that never moved.
    first: AtomicU64,
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slab").finish_non_exhaustive()
    }
}

#[repr(C, align(64))]
struct Slot {
    room: UnsafeCell<MaybeUninit<[u8; SLOT_BYTES]>>,
    /// The next free slot, of one that is free.
    next: AtomicU32,
}

// SAFETY: `room` is touched only by the owner of the slot, and ownership passes through `first`
// (acquire, release).
unsafe impl Sync for Slab {}

impl Slab {
    pub(super) fn new() -> Self {
        let slot = |n| Slot {
            room: UnsafeCell::new(MaybeUninit::uninit()),
            next: AtomicU32::new(if n + 1 < SLOTS { n + 1 } else { NO_SLOT }),
        };
        Self { slots: (0..SLOTS).map(slot).collect(), first: AtomicU64::new(0) }
    }

    /// Puts a value somewhere.
    pub(super) fn insert<T>(&self, value: T) -> *mut T {
        let fits = size_of::<T>() <= SLOT_BYTES && align_of::<T>() <= SLOT_ALIGN;
        match fits.then(|| self.acquire()).flatten() {
            Some(slot) => {
                let place = slot.room.get().cast::<T>();
                // SAFETY: the slot is ours; size and alignment were checked.
                unsafe { place.write(value) };
                place
            }
            None => Box::into_raw(Box::new(value)),
        }
    }

    /// Takes a value back.
    ///
    /// # Safety
    /// `place` is what [`insert`](Self::insert) of this slab gave, for this type, and is not used
    /// any more.
    pub(super) unsafe fn remove<T>(&self, place: *mut T) -> T {
        let slots = self.slots.as_ptr_range();
        let slot = place.cast_const().cast::<Slot>();
        if !slots.contains(&slot) {
            // SAFETY: not of a slot, so of a box (caller).
            return *unsafe { Box::from_raw(place) };
        }
        // SAFETY: the slot holds a value of this type (caller), which leaves it.
        let value = unsafe { place.read() };
        // SAFETY: within the slots.
        let number = unsafe { slot.offset_from(slots.start) };
        self.release(u32::try_from(number).unwrap_or(NO_SLOT));
        value
    }

    fn acquire(&self) -> Option<&Slot> {
        let mut seen = self.first.load(Ordering::Acquire);
        loop {
            let slot = self.slots.get(number(seen)?)?;
            // Another thread may take the slot meanwhile and change this: then the exchange fails,
            // because the count has moved.
            let next = slot.next.load(Ordering::Relaxed);
            match self.first.compare_exchange_weak(
                seen,
                changed(seen, next),
                Ordering::Acquire,
                Ordering::Acquire,
            ) {
                Ok(_) => return Some(slot),
                Err(now) => seen = now,
            }
        }
    }

    fn release(&self, slot: u32) {
        let Some(given) = usize::try_from(slot).ok().and_then(|slot| self.slots.get(slot)) else {
            return;
        };
        let mut seen = self.first.load(Ordering::Relaxed);
        loop {
            given.next.store(index(seen), Ordering::Relaxed);
            match self.first.compare_exchange_weak(
                seen,
                changed(seen, slot),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// The slot's number, of the word in `first`.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
const fn index(word: u64) -> u32 {
    word as u32
}

fn number(word: u64) -> Option<usize> {
    let index = index(word);
    if index == NO_SLOT { None } else { usize::try_from(index).ok() }
}

fn changed(word: u64, slot: u32) -> u64 {
    ((word >> 32).wrapping_add(1) << 32) | u64::from(slot)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_put_comes_back_from_slots_from_the_heap_and_from_slots_used_again() {
        let slab = Slab::new();
        for round in 0..3_u64 {
            let places: Vec<*mut u64> = (0..300).map(|n| slab.insert(round * 1000 + n)).collect();
            assert_eq!(places.iter().collect::<HashSet<_>>().len(), 300, "a place was given twice");
            let in_slots = places
                .iter()
                .filter(|place| slab.slots.as_ptr_range().contains(&place.cast_const().cast()));
            assert_eq!(in_slots.count(), 128);
            // SAFETY: each place once.
            let values = places.into_iter().map(|place| unsafe { slab.remove(place) });
            assert!(values.eq((0..300).map(|n| round * 1000 + n)));
        }
        let large = slab.insert([7_u8; 1000]);
        // SAFETY: just put.
        assert_eq!(unsafe { slab.remove(large) }, [7; 1000]);
    }

    #[test]
    fn threads_never_share_a_slot() {
        let slab = Slab::new();
        thread::scope(|scope| {
            for thread in 0..8_u64 {
                let slab = &slab;
                scope.spawn(move || {
                    for n in 0..20_000 {
                        let value = [thread, n, thread ^ n];
                        let (one, other) =
                            (slab.insert(value), slab.insert(value.map(|part| !part)));
                        // SAFETY: just put, by this thread.
                        assert_eq!(unsafe { slab.remove(one) }, value);
                        // SAFETY: as above.
                        assert_eq!(unsafe { slab.remove(other) }, value.map(|part| !part));
                    }
                });
            }
        });
        let free =
            std::iter::from_fn(|| slab.acquire().map(std::ptr::from_ref)).collect::<HashSet<_>>();
        assert_eq!(free.len(), 128, "slots were lost");
    }
}
