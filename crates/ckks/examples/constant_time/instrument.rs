//! What needs assembly: a breakpoint, and two requests to valgrind.
#![expect(unsafe_code, reason = "a breakpoint and valgrind's requests; this program is never shipped")]

use core::arch::asm;

/// Stops here under a tracer. One function, so that the tracer knows it by its address.
#[inline(never)]
pub(crate) fn breakpoint() {
    // SAFETY: raises a trap that whoever traces this program swallows.
    unsafe { asm!("int3", options(nomem, nostack)) };
}

/// From here on memcheck reports every jump and every address that depends on these words.
pub(crate) fn poison<T>(words: &[T]) {
    request(1, words);
}

/// What has become public.
pub(crate) fn publish<T>(words: &[T]) {
    request(2, words);
}

/// `VALGRIND_MAKE_MEM_UNDEFINED` (1) and `VALGRIND_MAKE_MEM_DEFINED` (2) of memcheck, as valgrind.h has them: four
/// rotations by 128 bits in all and an exchange of a register with itself, which do nothing outside of valgrind.
fn request<T>(what: u64, words: &[T]) {
    let code = (u64::from(b'M') << 24 | u64::from(b'C') << 16) + what;
    let arguments = [code, words.as_ptr() as u64, size_of_val(words) as u64, 0, 0, 0];
    // SAFETY: rdi is as it was after the four rotations, and memcheck reads the six words only.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(), inout("rdx") 0u64 => _, options(nostack)
        );
    }
}
