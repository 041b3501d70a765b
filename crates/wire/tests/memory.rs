//! What decoding allocates at its peak, counted by the allocator: compressed bombs do not get memory.

#![expect(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait; it only forwards to the system's"
)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use common::frames::{Frame, hidden_run_blocks, object, run_blocks, stored_blocks};
use common::{N1024, N16384, context, file, small_context};
use hei_ckks::KeyManifest;
use hei_wire::{DecodeError, Format, KeyShape, Reason, Shape, hei, seal};
use miniz_oxide::deflate::compress_to_vec_zlib;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The counters are shared, so the measurements take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Counting;

fn grown(size: usize) {
    let live = LIVE.fetch_add(size, Relaxed) + size;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call is forwarded unchanged to the system allocator, whose contract is this trait's; the counters do not
// allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise about `pointer` and `layout` is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted as if both lived at once, as they may.
        grown(size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peak of live bytes while `work` runs, beyond those before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = work();
    (result, PEAK.load(Relaxed) - before)
}

const MARGIN: usize = (5 << 20) / 2;

#[test]
fn a_zstd_stream_takes_its_length_and_a_window() {
    let _turn = TURN.lock().unwrap();
    let big = context(N16384);
    let members = file(N16384, "logreg_in_0.bin")[16..].to_vec();
    let expected = members.len() + 16;
    let shape = Shape::ciphertext(&big, 2, big.scale());
    let zstd = |blocks: Vec<u8>| {
        let content = Some(members.len() as u64);
        object([4, 1], 2, &Frame { content, window: Some(0x58), flags: 0, blocks }.bytes())
    };
    let invalid = |reason: Reason| Err(DecodeError::Invalid(reason));
    let start = || stored_blocks(&members[..97], false);
    let table: Vec<(&str, Vec<u8>, Result<(), DecodeError>)> = vec![
        ("an honest stream", zstd(stored_blocks(&members, true)), Ok(())),
        ("zeros declared", zstd([start(), run_blocks(4096)].concat()), invalid(Reason::LengthMismatch)),
        (
            "zeros hidden",
            zstd([start(), hidden_run_blocks(80_000, 128 << 10)].concat()),
            invalid(Reason::TrailingBytes),
        ),
        (
            "blocks of 1 MiB",
            zstd([start(), hidden_run_blocks(1000, (1 << 20) - 1)].concat()),
            invalid(Reason::NonCanonical),
        ),
        (
            "after the members",
            zstd([stored_blocks(&members, false), hidden_run_blocks(300, 128 << 10)].concat()),
            invalid(Reason::TrailingBytes),
        ),
        (
            "an honest bomb",
            object([4, 1], 2, &Frame::stored(&[members.as_slice(), &vec![0; 64 << 20]].concat()).bytes()),
            invalid(Reason::LengthMismatch),
        ),
    ];
    for (name, bytes, outcome) in table {
        let (result, used) = peak(|| seal::decode_ciphertext(&bytes, &shape).map(drop));
        assert_eq!(result, outcome, "{name}");
        assert!(used <= expected + MARGIN, "{name}: {used} bytes for an object of {expected}");
        println!("{name}: {} bytes in, {used} bytes at the peak", bytes.len());
    }
}

#[test]
fn streams_larger_than_the_window_take_no_more() {
    let _turn = TURN.lock().unwrap();
    let context = small_context(65536, &[50; 12], 1);
    let shape = Shape::ciphertext(&context, context.max_level(), context.scale());
    let words = vec![1u64; 65536 * 11];
    let poly = hei_ring::Poly::from_data(65536, words).unwrap();
    let ciphertext = hei_ckks::Ciphertext::new(&context, vec![poly.clone(), poly], context.scale()).unwrap();
    let plain = seal::encode_ciphertext(&ciphertext, &context).unwrap();
    drop(ciphertext);
    for bytes in [
        plain.clone(),
        object([3, 7], 1, &compress_to_vec_zlib(&plain[16..], 1)),
        object([3, 7], 2, &Frame::stored(&plain[16..]).bytes()),
    ] {
        let (result, used) = peak(|| seal::decode_ciphertext(&bytes, &shape));
        assert!(result.is_ok());
        assert!(used <= plain.len() + MARGIN, "{used} bytes for an object of {}", plain.len());
    }
}

#[test]
fn a_zlib_bomb_takes_no_window_at_all() {
    let _turn = TURN.lock().unwrap();
    let context = context(N1024);
    let shape = Shape::ciphertext(&context, 2, context.scale());
    let members = &file(N1024, "ct_full_none.bin")[16..97];
    let bomb = compress_to_vec_zlib(&[members, vec![0; 32 << 20].as_slice()].concat(), 9);
    let bytes = object([4, 1], 1, &bomb);
    assert!((bytes.len() as u64) < shape.max_encoded_len(Format::Seal));
    let (result, used) = peak(|| seal::decode_ciphertext(&bytes, &shape).map(drop));
    assert!(result.is_err());
    assert!(used <= shape.max_encoded_len(Format::Seal) as usize + (128 << 10), "{used} bytes");
}

#[test]
fn keys_take_what_they_are_and_a_window() {
    let _turn = TURN.lock().unwrap();
    let context = context(N16384);
    let bytes = file(N16384, "relin_seeded_zstd.bin");
    let (key, used) = peak(|| seal::decode_relin_keys(&bytes, &context).unwrap());
    let held: usize = key.0.digits().iter().map(|digit| 2 * 8 * digit.parts().0.data().len()).sum();
    // And a polynomial that is being made from words.
    let poly = 8 * key.0.digits()[0].parts().0.data().len();
    assert!(used <= held + poly + MARGIN, "{used} bytes for a key of {held}");
    let bomb = object([4, 1], 2, &Frame::stored(&vec![0; 64 << 20]).bytes());
    let (result, used) = peak(|| seal::decode_relin_keys(&bomb, &context).map(drop));
    assert_eq!(result, Err(Reason::LengthMismatch.into()));
    assert!(used < 8 << 10, "{used} bytes");
}

#[test]
fn headers_that_lie_about_lengths_allocate_nothing() {
    let _turn = TURN.lock().unwrap();
    let context = context(N1024);
    let shape = Shape::ciphertext(&context, 2, context.scale());
    let mut bytes = file(N1024, "ct_full_none.bin");
    bytes[105..113].copy_from_slice(&(1u64 << 60).to_le_bytes());
    let (result, used) = peak(|| seal::decode_ciphertext(&bytes, &shape).map(drop));
    assert_eq!(result, Err(DecodeError::Invalid(Reason::LengthMismatch)));
    assert!(used < 8 << 10, "{used} bytes");

    // Key-switching keys of so many slots, and of so many digits.
    let keys = file(N1024, "relin_none.bin");
    for at in [48, 56] {
        let mut bytes = keys.clone();
        bytes[at..at + 8].copy_from_slice(&(1u64 << 40).to_le_bytes());
        let (result, used) = peak(|| seal::decode_relin_keys(&bytes, &context).map(drop));
        assert_eq!(result, Err(Reason::LengthMismatch.into()));
        assert!(used < 8 << 10, "{used} bytes");
    }
    let mut header = vec![0xe7, b'h', b'e', b'i', 1, 3, 1, 32, 0, 4, 0, 0, 4, 0, 2, 0, 0, 16];
    header.extend([0; 6]);
    header.extend(context.params_id().0);
    header.extend(1f64.to_le_bytes());
    header.extend(u64::MAX.to_le_bytes());
    header.extend([40, 30, 30, 40]);
    let mut manifest = KeyManifest::new();
    manifest.need_relinearization(2);
    let keys = KeyShape::new(&context, &manifest);
    let (result, used) = peak(|| hei::decode_evaluation_keys(&header, &keys).map(drop));
    assert_eq!(result, Err(Reason::Truncated.into()), "4096 keys are announced");
    assert!(used < 8 << 10, "{used} bytes");

    // A hei/1 header of the largest counts there are.
    let mut header = vec![0xe7, b'h', b'e', b'i', 1, 1, 1, 0];
    header.extend(131_072u32.to_le_bytes());
    header.extend([64, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    header.extend(context.params_id().0);
    header.extend(context.scale().to_le_bytes());
    header.extend(u64::MAX.to_le_bytes());
    header.extend([60; 64]);
    let (result, used) = peak(|| hei::decode_ciphertext(&header, &shape).map(drop));
    assert_eq!(result, Err(DecodeError::Invalid(Reason::NonCanonical)));
    assert!(used < 8 << 10, "{used} bytes");
}
