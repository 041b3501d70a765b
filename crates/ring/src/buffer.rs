//! Limb buffers that are used again.
//!
//! A polynomial takes hundreds of kilobytes. Asked for at every operation, that memory comes from the operating system page by
//! page, each page is zeroed and faulted in, and returned at once: more time than the arithmetic takes. So each thread keeps
//! the buffers of dropped polynomials, up to a ceiling, and hands them out again.
//!
//! Secrets are wiped by their owners before their buffers get here.

use std::cell::RefCell;

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

#[cfg(test)]
mod tests {
    use super::*;

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
