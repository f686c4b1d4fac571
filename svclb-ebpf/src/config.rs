//! The settings, read one by one: all of them together do not fit on the stack.

use aya_ebpf::Global;
use svclb_common::{config::DatapathConfig, flow::TIMEOUTS};

/// Settings; the agent replaces them at load time.
#[unsafe(no_mangle)]
static CONFIG: Global<DatapathConfig> = Global::new(DatapathConfig::PER_PACKET);

/// One field. A volatile read, because the compiler would take the value that the object
/// holds for the one that the agent will have put there.
macro_rules! field {
    ($($field:tt)+) => {
        // SAFETY: `Global` is transparent, and what it holds is plain.
        unsafe { (&raw const (*(&raw const CONFIG).cast::<DatapathConfig>()).$($field)+).read_volatile() }
    };
}

/// [`DatapathConfig::host_netns`].
#[inline(always)]
pub(crate) fn host_netns() -> u64 {
    field!(host_netns)
}

/// [`DatapathConfig::socket_mode`].
#[inline(always)]
pub(crate) fn socket_mode() -> u32 {
    field!(socket_mode)
}

/// Lowest and highest port for source translation, host byte order.
#[inline(always)]
pub(crate) fn snat_ports() -> (u16, u16) {
    (field!(snat_port_min), field!(snat_port_max))
}

/// Whether a flag of [`DatapathConfig::flags`] is set.
#[inline(always)]
pub(crate) fn is_set(flag: u32) -> bool {
    field!(flags) & flag != 0
}

/// Nanoseconds for which a flow is remembered, by the number of its state.
#[inline(always)]
pub(crate) fn timeout(number: u32) -> u64 {
    // SAFETY: as above; the mask keeps the index within the array.
    let seconds = unsafe {
        let first =
            (&raw const (*(&raw const CONFIG).cast::<DatapathConfig>()).timeouts.seconds).cast::<u32>();
        first.add(number as usize & (TIMEOUTS - 1)).read_volatile()
    };
    u64::from(seconds) * 1_000_000_000
}
