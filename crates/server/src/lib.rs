//! The encrypted inference server.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

pub mod clock;
pub mod compute;
pub mod id;
pub mod store;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data is valid after any panic: every critical section here leaves it whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
