//! Comparing memory, eight bytes at a time.
//!
//! The standard library's own function for this target goes byte by byte, at some 20 instructions each, and a request
//! compares names and hosts all the time.
#![expect(unsafe_code, reason = "it is the function that the compiler calls to compare memory")]

/// Negative, 0 or positive, as the `size` bytes at `left` are less than, equal to or greater than those at `right`.
///
/// # Safety
/// Both have to be readable for `size` bytes.
#[inline(never)]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, size: usize) -> i32 {
    let mut at = 0;
    // SAFETY: no read goes beyond `size`.
    unsafe {
        while size - at >= 8 {
            let left = left.add(at).cast::<u64>().read_unaligned();
            let right = right.add(at).cast::<u64>().read_unaligned();
            if left != right {
                // The first byte that differs is the highest one that does, read as a big number.
                return if left.swap_bytes() < right.swap_bytes() { -1 } else { 1 };
            }
            at += 8;
        }
        if size - at >= 4 {
            let left = left.add(at).cast::<u32>().read_unaligned();
            let right = right.add(at).cast::<u32>().read_unaligned();
            if left != right {
                return if left.swap_bytes() < right.swap_bytes() { -1 } else { 1 };
            }
            at += 4;
        }
        while at < size {
            let (left, right) = (left.add(at).read(), right.add(at).read());
            if left != right {
                return i32::from(left) - i32::from(right);
            }
            at += 1;
        }
    }
    0
}
