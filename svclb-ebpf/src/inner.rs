//! What travels in other packets and is not plain: ICMP messages, fragments, headers with options.

use svclb_common::{
    inner::{AROUND_HEADERS, Inner, look},
    verdict::DropReason,
};

use crate::{
    act::drop,
    entry::entries,
    flow,
    kernel::{Kernel, Maps},
    medium::Medium,
    pipeline::{HEADLESS, ICMP, INSIDE},
};

entries! {
    /// Looks for such a packet in the one at hand, which the pipeline has found to be `code`. What is of a
    /// flow is taken out; a first packet is left in the scratch value. Returns what it
    /// found instead, or `code`.
    pub(crate) fn enter(code: i32) = svclb_inner => open;
}

#[inline(always)]
fn open<F: Maps, M: Medium>(medium: M, code: i32) -> i32 {
    let _more = medium.pull(AROUND_HEADERS);
    let Some(scratch) = flow::scratch::<F>() else { return code };
    let found = match look::<F, _>(&Kernel { medium }, medium.frame(), scratch) {
        Inner::Other => return code,
        Inner::Packet => return INSIDE,
        Inner::Message => ICMP,
        Inner::Later => HEADLESS,
    };
    if medium.unwrap(scratch.around()) { found } else { drop::<F, M>(medium, DropReason::Unwritable) }
}
