//! Words in map values that one side writes while the other reads.
//!
//! Each word is only ever accessed whole and is aligned to its size, so a reader
//! sees the old or the new value, never a mixture. On the host these are atomics
//! with acquire and release; the BPF back end of LLVM 22 cannot select a relaxed
//! atomic load for the processor level that is built for, and one volatile
//! access is the same instruction there.
#![expect(unsafe_code, reason = "shared words are read and written through UnsafeCell")]

use core::cell::UnsafeCell;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $int:ty, $atomic:ty) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Debug)]
        pub struct $name(UnsafeCell<$int>);

        // SAFETY: every access is one aligned machine access of the whole word.
        unsafe impl Sync for $name {}

        impl $name {
            /// A word that holds `value`.
            #[inline(always)]
            pub const fn new(value: $int) -> Self {
                Self(UnsafeCell::new(value))
            }

            /// The value.
            #[cfg(target_arch = "bpf")]
            #[inline(always)]
            pub fn load(&self) -> $int {
                // SAFETY: valid and aligned as long as `self` is.
                unsafe { self.0.get().read_volatile() }
            }

            /// Replaces the value.
            #[cfg(target_arch = "bpf")]
            #[inline(always)]
            pub fn store(&self, value: $int) {
                // SAFETY: valid and aligned as long as `self` is.
                unsafe { self.0.get().write_volatile(value) }
            }

            /// The value; what was stored before it is seen as well.
            #[cfg(not(target_arch = "bpf"))]
            pub fn load(&self) -> $int {
                // SAFETY: valid and aligned as long as `self` is, and accessed by atomics only.
                unsafe { <$atomic>::from_ptr(self.0.get()) }.load(core::sync::atomic::Ordering::Acquire)
            }

            /// Replaces the value, after everything that was stored before.
            #[cfg(not(target_arch = "bpf"))]
            pub fn store(&self, value: $int) {
                // SAFETY: valid and aligned as long as `self` is, and accessed by atomics only.
                unsafe { <$atomic>::from_ptr(self.0.get()) }.store(value, core::sync::atomic::Ordering::Release);
            }
        }
    };
}

word!(
    /// A shared byte.
    Word8, u8, core::sync::atomic::AtomicU8
);
word!(
    /// A shared word of 32 bits.
    Word32, u32, core::sync::atomic::AtomicU32
);
word!(
    /// A shared word of 64 bits.
    Word64, u64, core::sync::atomic::AtomicU64
);

#[cfg(not(target_arch = "bpf"))]
impl Word64 {
    /// Adds to a number that the programs count in at the same time; it wraps.
    pub fn add(&self, change: i64) {
        // SAFETY: valid and aligned as long as `self` is, and accessed by atomics only.
        let word = unsafe { core::sync::atomic::AtomicU64::from_ptr(self.0.get()) };
        word.fetch_add(change.cast_unsigned(), core::sync::atomic::Ordering::Relaxed);
    }
}

/// A value that is written only while no reader can find it, and read by copying.
#[repr(transparent)]
#[derive(Debug)]
pub struct Quiet<T>(UnsafeCell<T>);

// SAFETY: whoever writes has taken the value out of every reader's reach before.
unsafe impl<T: Copy + Sync> Sync for Quiet<T> {}

impl<T: Copy> Quiet<T> {
    /// A cell that holds `value`.
    #[inline(always)]
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// A copy of the value.
    #[inline(always)]
    pub fn load(&self) -> T {
        // SAFETY: valid and aligned as long as `self` is; nobody writes while readers can find it.
        unsafe { self.0.get().read() }
    }

    /// Replaces the value; no reader can find it until a word leads to it.
    #[inline(always)]
    pub fn store(&self, value: T) {
        // SAFETY: as above.
        unsafe { self.0.get().write(value) }
    }
}
