//! The end of what programs are doing.

use nix::libc;

/// `MEMBARRIER_CMD_GLOBAL` (Linux 4.16, before that `MEMBARRIER_CMD_SHARED`).
const GLOBAL: libc::c_int = 1;

/// Waits until every packet that a program had begun with is done with: what it looked up before is used no more. The
/// kernel promises more, that every CPU has been through its scheduler (`membarrier(2)`).
///
/// Kernels whose CPUs are kept from interruptions (`nohz_full`) refuse: there, packets have the time that the caller's next
/// system calls take.
pub fn wait() {
    // SAFETY: no memory is handed over.
    let _refused = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
}
