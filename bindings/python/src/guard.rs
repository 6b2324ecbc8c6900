//! A handle that one call at a time has: a second thread is refused, and so are a call after the end and a
//! call of another process.

use crate::errors::classes::{ClosedHandleError, InUseError, OtherProcessError, PanicError};
use lockstep_io::made_in::{ELSEWHERE, MadeIn};
use pyo3::PyResult;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

enum Slot<T> {
    Free(Box<T>),
    InUse,
    Closed,
    Panicked,
}

/// A handle, while no call has it.
pub(crate) struct Guarded<T> {
    slot: Mutex<Slot<T>>,
    born: MadeIn,
    class: &'static str,
}

impl<T> Drop for Guarded<T> {
    /// In a child the handle is the parent's: what its end would do there, it would do to the parent. The
    /// child's copies of its sockets go with the child.
    fn drop(&mut self) {
        if !self.born.is_here() {
            let slot = self.slot.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(std::mem::replace(slot, Slot::Closed));
        }
    }
}

/// A handle in use by a call: it goes back when the call ends.
pub(crate) struct CheckedOut<'a, T> {
    guarded: &'a Guarded<T>,
    handle: Option<Box<T>>,
}

impl<T> Guarded<T> {
    /// `class` is its name in Python.
    pub(crate) fn new(class: &'static str, handle: T) -> Self {
        Self { slot: Mutex::new(Slot::Free(Box::new(handle))), born: MadeIn::here(), class }
    }

    fn locked(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the handle out for one call.
    #[inline]
    pub(crate) fn check_out(&self) -> PyResult<CheckedOut<'_, T>> {
        // Before the lock: a thread that the child has not may hold it for ever.
        if !self.born.is_here() {
            return Err(OtherProcessError::new_err(format!("{}: {ELSEWHERE}", self.class)));
        }
        let mut slot = self.locked();
        match std::mem::replace(&mut *slot, Slot::InUse) {
            Slot::Free(handle) => Ok(CheckedOut { guarded: self, handle: Some(handle) }),
            other => {
                *slot = other;
                Err(self.refusal(&slot))
            }
        }
    }

    #[cold]
    fn refusal(&self, slot: &Slot<T>) -> pyo3::PyErr {
        let class = self.class;
        match slot {
            Slot::Closed => ClosedHandleError::new_err(format!("the {class} is closed: make a new one")),
            Slot::Panicked => PanicError::new_err(format!(
                "a call of this {class} has panicked before, which is a defect of lockstep: close it, and make a new one"
            )),
            Slot::Free(_) | Slot::InUse => InUseError::new_err(format!(
                "the {class} is in use by another call: a handle belongs to one thread at a time, and its calls do not \
                 nest; make a handle for each thread"
            )),
        }
    }

    /// Closes the handle. To close it again does nothing.
    pub(crate) fn close(&self) -> PyResult<()> {
        if !self.born.is_here() {
            return Ok(()); // it is the parent's
        }
        let mut slot = self.locked();
        if matches!(*slot, Slot::InUse) {
            return Err(self.refusal(&slot));
        }
        let closed = std::mem::replace(&mut *slot, Slot::Closed);
        drop(slot);
        drop(closed);
        Ok(())
    }

    /// Whether it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.born.is_here() && matches!(*self.locked(), Slot::Closed)
    }
}

impl<T> Deref for CheckedOut<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.handle.as_deref().expect("it goes back with the end alone")
    }
}

impl<T> DerefMut for CheckedOut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.handle.as_deref_mut().expect("it goes back with the end alone")
    }
}

impl<T> Drop for CheckedOut<'_, T> {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        let after = if std::thread::panicking() { Slot::Panicked } else { Slot::Free(handle) };
        *self.guarded.locked() = after;
    }
}
