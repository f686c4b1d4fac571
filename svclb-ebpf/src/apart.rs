//! Functions that the verifier follows once, whoever calls them.
//!
//! A function with a symbol of its own is global to the verifier (Linux 5.6):
//! it assumes nothing of the arguments and of what comes back, and so looks at it once instead
//! of once for each way that leads there. That is worth a function to whatever many ways lead to.

use svclb_common::{
    balance::{Scratch, ask, claim, find_port},
    family::{Addr4, Addr6, Family, V4, V6},
};

use crate::{flow, kernel::NoPacket};

/// The functions of a family.
pub(crate) trait Apart: Family {
    /// [`claim`].
    fn claim(scratch: &mut Scratch<Self::Addr>) -> bool;
    /// [`ask`].
    fn ask(scratch: &mut Scratch<Self::Addr>) -> bool;
    /// [`find_port`].
    fn find_port(scratch: &mut Scratch<Self::Addr>) -> bool;
}

macro_rules! apart {
    ($family:ty, $addr:ty, $($does:ident as $symbol:ident),+) => {
        $(
            #[inline(never)]
            #[unsafe(no_mangle)]
            extern "C" fn $symbol() -> u32 {
                flow::scratch::<$family>()
                    .map_or(0, |scratch| u32::from($does::<$family, _>(&NoPacket, scratch)))
            }
        )+

        impl Apart for $family {
            $(
                #[inline(always)]
                fn $does(scratch: &mut Scratch<$addr>) -> bool {
                    // The function finds the same value in its map: Linux before 6.2 takes no pointer argument of such
                    // a function for a map's key. So what was written to it is written before, and read anew after.
                    let scratch = core::hint::black_box(scratch);
                    let is_done = $symbol() != 0;
                    core::hint::black_box(scratch);
                    is_done
                }
            )+
        }
    };
}
apart!(V4, Addr4, claim as svclb_claim_v4, ask as svclb_ask_v4, find_port as svclb_find_port_v4);
apart!(V6, Addr6, claim as svclb_claim_v6, ask as svclb_ask_v6, find_port as svclb_find_port_v6);
