//! Functions that the verifier looks at once, whoever calls them.
//!
//! What is rare and long goes into one: the verifier would else look at it again for each way that
//! leads to it. Such a function has a symbol of its own, is given the context and numbers only, and
//! nothing is known of what it is given. So there is one for each family and medium.

/// Declares a function of a family and a medium, and four symbols that the verifier looks at once. `$name` is
/// what calls them, `$body` is what they do.
macro_rules! entries {
    (
        $(#[$doc:meta])*
        $visible:vis fn $name:ident($($argument:ident: $kind:ty)?) = $symbol:ident => $body:ident;
    ) => {
        $(#[$doc])*
        #[inline(always)]
        $visible fn $name<F: $crate::kernel::Maps, M: $crate::medium::Medium>(
            medium: M
            $(, $argument: $kind)?
        ) -> i32 {
            use svclb_common::family::{Family as _, V4};
            let context = medium.context();
            match (M::IS_FRAME, F::AF == V4::AF) {
                (false, true) => $symbol::skb4(context.cast() $(, $argument)?),
                (false, false) => $symbol::skb6(context.cast() $(, $argument)?),
                (true, true) => $symbol::xdp4(context.cast() $(, $argument)?),
                (true, false) => $symbol::xdp6(context.cast() $(, $argument)?),
            }
        }

        mod $symbol {
            use aya_ebpf::bindings::{__sk_buff, xdp_md};
            use svclb_common::family::{V4, V6};

            use super::$body;
            use crate::{skb::Skb, xdp::Xdp};

            #[inline(never)]
            #[unsafe(export_name = concat!(stringify!($symbol), "_skb4"))]
            pub(super) extern "C" fn skb4(context: *mut __sk_buff $(, $argument: $kind)?) -> i32 {
                $body::<V4, Skb>(Skb(context) $(, $argument)?)
            }

            #[inline(never)]
            #[unsafe(export_name = concat!(stringify!($symbol), "_skb6"))]
            pub(super) extern "C" fn skb6(context: *mut __sk_buff $(, $argument: $kind)?) -> i32 {
                $body::<V6, Skb>(Skb(context) $(, $argument)?)
            }

            #[inline(never)]
            #[unsafe(export_name = concat!(stringify!($symbol), "_xdp4"))]
            pub(super) extern "C" fn xdp4(context: *mut xdp_md $(, $argument: $kind)?) -> i32 {
                $body::<V4, Xdp>(Xdp(context) $(, $argument)?)
            }

            #[inline(never)]
            #[unsafe(export_name = concat!(stringify!($symbol), "_xdp6"))]
            pub(super) extern "C" fn xdp6(context: *mut xdp_md $(, $argument: $kind)?) -> i32 {
                $body::<V6, Xdp>(Xdp(context) $(, $argument)?)
            }
        }
    };
}
pub(crate) use entries;
