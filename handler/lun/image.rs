//! The image of a LUN: not open yet, open, or opened anew while the LUN serves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::backend::Opened;

#[derive(Debug)]
pub(super) struct Image<B> {
    current: RwLock<Current<B>>,
    writable: AtomicBool,
}

#[derive(Debug)]
enum Current<B> {
    NotYet,
    Open(Arc<B>),
    /// The LUN is closed.
    Closed,
}

impl<B> Image<B> {
    /// Not open yet.
    pub(super) fn new() -> Self {
        Self { current: RwLock::new(Current::NotYet), writable: AtomicBool::new(true) }
    }

    /// The image, if it is open. Not to be kept: it may be replaced, and then what is submitted to the old one fails.
    pub(super) fn get(&self) -> Option<Arc<B>> {
        match &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            Current::Open(image) => Some(Arc::clone(image)),
            Current::NotYet | Current::Closed => None,
        }
    }

    /// Whether it may be written, as far as is known.
    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Whether the LUN has been closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(*self.current.read().unwrap_or_else(PoisonError::into_inner), Current::Closed)
    }

    /// Puts an image in place of the one there is, or is not. What is not in use any more then, to be closed: that one, or the
    /// new one if the LUN has been closed meanwhile.
    pub(super) fn replace(&self, opened: Opened<B>) -> Replaced<B> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let new = Arc::new(opened.image);
        if matches!(*current, Current::Closed) {
            return Replaced::TooLate(new);
        }
        self.writable.store(opened.writable, Ordering::Relaxed);
        match std::mem::replace(&mut *current, Current::Open(new)) {
            Current::Open(old) => Replaced::Another(old),
            Current::NotYet | Current::Closed => Replaced::Nothing,
        }
    }

    /// Takes the image out, for good.
    pub(super) fn close(&self) -> Option<Arc<B>> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *current, Current::Closed) {
            Current::Open(image) => Some(image),
            Current::NotYet | Current::Closed => None,
        }
    }
}

/// What [`Image::replace`] found.
#[derive(Debug)]
pub(super) enum Replaced<B> {
    /// No image had been open.
    Nothing,
    /// This one.
    Another(Arc<B>),
    /// The LUN is closed, and this one is not needed.
    TooLate(Arc<B>),
}
