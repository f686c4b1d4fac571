//! The memory of the process.

/// Gives freed memory back to the kernel, which the C library keeps for later: after a list of all objects that is many
/// times what is kept of it.
pub fn trim() {
    // SAFETY: has no preconditions (malloc_trim(3)).
    #[cfg(target_env = "gnu")]
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
