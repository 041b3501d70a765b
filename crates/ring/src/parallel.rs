//! Limbs and digits on several threads (feature `parallel`).
//!
//! Off by default: without the feature these functions are plain loops, and this crate starts no thread. With it, nothing
//! changes either, unless work is done inside [`Threads::run`]: there loops are divided among the threads of that pool. There
//! is no global pool and no setting. Results are the same, bit for bit, because limbs do not depend on each other.

/// What a loop does with each word, which says from how many words on it is worth dividing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Reads and writes it a few times.
    Pass,
    /// Transforms it, or draws it from a stream.
    Transform,
}

#[cfg(feature = "parallel")]
impl Work {
    /// Waking a thread takes some microseconds; so does this many words.
    fn least(self) -> usize {
        match self {
            Self::Pass => 1 << 17,
            Self::Transform => 1 << 13,
        }
    }

    /// Only on a thread of somebody's pool: rayon would start a global one elsewhere.
    fn is_worth(self, words: usize) -> bool {
        words >= self.least() && rayon::current_thread_index().is_some() && rayon::current_num_threads() > 1
    }
}

/// Does `f` for every item, in any order. `words` are those of all items.
pub fn each<T: Send>(work: Work, words: usize, items: impl Iterator<Item = T>, f: impl Fn(T) + Sync + Send) {
    each_with(work, words, items, || (), |(), item| f(item));
}

/// [`each`] with something to work in, one for each thread.
pub fn each_with<T: Send, S>(
    work: Work,
    words: usize,
    items: impl Iterator<Item = T>,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, T) + Sync + Send,
) {
    #[cfg(feature = "parallel")]
    if work.is_worth(words) {
        use rayon::prelude::*;
        let items: Vec<T> = items.collect();
        return items.into_par_iter().with_max_len(1).for_each_init(scratch, f);
    }
    let _ = (work, words);
    let mut scratch = scratch();
    items.for_each(|item| f(&mut scratch, item));
}

/// What `f` makes of every item, in their order.
pub fn map<T: Send, R: Send>(
    work: Work,
    words: usize,
    items: impl Iterator<Item = T>,
    f: impl Fn(T) -> R + Sync + Send,
) -> Vec<R> {
    #[cfg(feature = "parallel")]
    if work.is_worth(words) {
        use rayon::prelude::*;
        let items: Vec<T> = items.collect();
        return items.into_par_iter().with_max_len(1).map(f).collect();
    }
    let _ = (work, words);
    items.map(f).collect()
}

/// What `f` makes of two things.
pub fn both<T: Send, R: Send>(
    work: Work,
    words: usize,
    [a, b]: [T; 2],
    f: impl Fn(T) -> R + Sync + Send,
) -> [R; 2] {
    #[cfg(feature = "parallel")]
    if work.is_worth(words) {
        return rayon::join(|| f(a), || f(b)).into();
    }
    let _ = (work, words);
    [f(a), f(b)]
}

#[cfg(feature = "parallel")]
pub use pool::{Threads, ThreadsError};

#[cfg(feature = "parallel")]
mod pool {
    /// Threads that divide limbs and digits among them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let threads = hei_ring::parallel::Threads::new(2)?;
    /// let sum = threads.run(|| 1 + 1); // evaluate, encrypt or make keys here
    /// assert_eq!((sum, threads.count()), (2, 2));
    /// # Ok(()) }
    /// ```
    #[derive(Debug)]
    pub struct Threads(rayon::ThreadPool);

    /// The operating system gave no threads.
    #[derive(Debug, thiserror::Error)]
    #[error("no pool of {count} threads: ask for fewer ({source})")]
    pub struct ThreadsError {
        count: usize,
        source: rayon::ThreadPoolBuildError,
    }

    impl Threads {
        /// A pool of its own, of `count` threads and at least one. They end when it is dropped.
        ///
        /// # Errors
        /// [`ThreadsError`].
        pub fn new(count: usize) -> Result<Self, ThreadsError> {
            // To rayon, none means as many as there are cores.
            let builder = rayon::ThreadPoolBuilder::new().num_threads(count.max(1));
            let pool = builder.thread_name(|i| format!("hei-limbs-{i}")).build();
            pool.map(Self).map_err(|source| ThreadsError { count, source })
        }

        /// How many there are.
        pub fn count(&self) -> usize {
            self.0.current_num_threads()
        }

        /// Does `f` on this pool: what it computes with this crate, and with the crates above, is divided among its threads.
        pub fn run<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
            self.0.install(f)
        }
    }
}
