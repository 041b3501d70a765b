//! Limb buffers that are used again.
//!
//! A polynomial takes hundreds of kilobytes. Asked for at every operation, that memory comes from the operating system page by
//! page, each page is zeroed and faulted in, and returned at once: more time than the arithmetic takes. So each thread keeps
//! the buffers of dropped polynomials, up to a ceiling, and hands them out again.
//!
//! Secrets are wiped by their owners before their buffers get here.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use std::cell::RefCell;

use bytemuck::Pod;
use zeroize::Zeroize;

/// Words a thread keeps: 64 MiB.
const CEILING: usize = 8 << 20;

struct Pool {
    free: Vec<Vec<u64>>,
    words: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: Vec::new(), words: 0 }) };
}

/// A buffer with room for `words`, at most twice as large, and whatever it held.
fn take(words: usize) -> Vec<u64> {
    let kept = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let place = pool.free.iter().rposition(|b| (words..=2 * words).contains(&b.capacity()))?;
        let buffer = pool.free.remove(place);
        pool.words -= buffer.capacity();
        Some(buffer)
    });
    kept.ok().flatten().unwrap_or_else(|| Vec::with_capacity(words))
}

/// A buffer of any words, for whoever writes all of them before reading one.
pub(crate) fn take_any(words: usize) -> Vec<u64> {
    let mut buffer = take(words);
    buffer.resize(words, 0);
    buffer
}

/// A buffer of zeros.
pub(crate) fn take_zeroed(words: usize) -> Vec<u64> {
    let mut buffer = take(words);
    buffer.clear();
    buffer.resize(words, 0);
    buffer
}

/// A copy of some words.
pub(crate) fn take_copy(words: &[u64]) -> Vec<u64> {
    let mut buffer = take(words.len());
    buffer.clear();
    buffer.extend_from_slice(words);
    buffer
}

/// Keeps a buffer for later, unless the thread is ending; what has waited longest goes when there is too much.
pub(crate) fn give(buffer: Vec<u64>) {
    let words = buffer.capacity();
    if words == 0 {
        return;
    }
    // An error means that the thread is ending: the buffer is freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if words > CEILING {
            return;
        }
        while pool.words + words > CEILING {
            let oldest = pool.free.remove(0);
            pool.words -= oldest.capacity();
        }
        pool.words += words;
        pool.free.push(buffer);
    });
}

/// Overwrites a buffer with zeros, what it holds beyond its length as well. Its length stays.
///
/// Slices are filled in one go; a `Vec` as such would be wiped word by word, which takes as long as a transform.
pub(crate) fn wipe(buffer: &mut Vec<u64>) {
    buffer.as_mut_slice().zeroize();
    buffer.spare_capacity_mut().zeroize();
}

/// Numbers in a buffer that is used again, wiped when it is dropped: scratch for what is secret.
pub struct Wiped<T: Pod> {
    words: Vec<u64>,
    length: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Wiped<T> {
    /// Any numbers: to be written before they are read.
    ///
    /// # Panics
    /// For numbers that do not fit words: more than eight bytes each.
    pub fn any(length: usize) -> Self {
        assert!(align_of::<T>() <= align_of::<u64>(), "numbers lie in words");
        let words = take_any((length * size_of::<T>()).div_ceil(size_of::<u64>()));
        Self { words, length, kind: PhantomData }
    }

    /// Zeros.
    ///
    /// # Panics
    /// As [`any`](Self::any).
    pub fn zero(length: usize) -> Self {
        let mut numbers = Self::any(length);
        numbers.words.fill(0);
        numbers
    }
}

impl<T: Pod> Deref for Wiped<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }
}

impl<T: Pod> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
    }
}

impl<T: Pod> Drop for Wiped<T> {
    fn drop(&mut self) {
        wipe(&mut self.words);
        give(core::mem::take(&mut self.words));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiped_numbers_leave_zeros_behind() {
        let mut numbers = Wiped::<i8>::zero(5001);
        assert!(numbers.len() == 5001 && numbers.iter().all(|x| *x == 0));
        numbers.fill(7);
        let words = numbers.words.capacity();
        drop(numbers);
        let seen = POOL.with(|pool| {
            let pool = pool.borrow();
            let last = pool.free.last().unwrap();
            (last.capacity(), last.iter().all(|w| *w == 0))
        });
        assert_eq!(seen, (words, true));
        let doubles = Wiped::<f64>::zero(600);
        assert_eq!(doubles[599], 0.0);
    }

    #[test]
    fn buffers_come_back_clean_and_no_more_than_the_ceiling_is_kept() {
        give(vec![7; 1000]);
        let buffer = take_zeroed(600);
        assert!(buffer.capacity() >= 1000 && buffer.iter().all(|w| *w == 0) && buffer.len() == 600);
        give(buffer);
        assert_eq!(take_any(700).len(), 700);
        assert_eq!(take_copy(&[5; 3]), [5; 3]);
        assert!(take(499).capacity() < 1000, "not more than twice as large");
        for _ in 0..4 {
            give(Vec::with_capacity(CEILING / 2 + 1));
        }
        POOL.with(|pool| {
            let pool = pool.borrow();
            assert!(pool.words <= CEILING);
            assert_eq!(pool.words, pool.free.iter().map(Vec::capacity).sum::<usize>());
        });
    }
}
