//! Settings that are one of a few words.

use std::str::FromStr;

use serde::{Serialize, Serializer};

/// An enum whose variants have words, with what is planned and not there yet.
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+ }
        not yet [$($later:literal),*]
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The word that flags and files have for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(refusal(text, &[$($word),+], &[$($later),*])),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

choice! {
    /// `--socket-lb`: for whom addresses are translated at the socket.
    SocketLb {
        /// For all processes.
        #[default]
        All = "all",
        /// For those of the host.
        Host = "host",
        /// For nobody.
        Off = "off",
    }
    not yet []
}

choice! {
    /// `--tc`: how programs are attached to devices.
    Tc {
        /// By TCX if the kernel has it.
        #[default]
        Auto = "auto",
        /// By TCX.
        Tcx = "tcx",
        /// As filters of a clsact qdisc.
        Clsact = "clsact",
    }
    not yet []
}

choice! {
    /// `--xdp`: whether packets from outside are taken before the stack sees them.
    Xdp {
        /// In drivers where that is a gain.
        #[default]
        Auto = "auto",
        /// In drivers wherever they can.
        Native = "native",
        /// In the kernel, in front of the stack.
        Generic = "generic",
        /// Nowhere.
        Off = "off",
    }
    not yet []
}

choice! {
    /// `--external-mode`: by whom a client outside is answered when the backend is on another node.
    ExternalMode {
        /// By the node that it sent to.
        #[default]
        Snat = "snat",
        /// By the backend's node.
        Dsr = "dsr",
        /// By the backend's node for TCP, by the node that it sent to for everything else.
        Hybrid = "hybrid",
    }
    not yet []
}

choice! {
    /// `--dsr-encapsulation`: what packets to the backend's node travel in.
    DsrEncapsulation {
        /// IP in IP.
        #[default]
        Ipip = "ipip",
        /// UDP, where the network passes no other protocol.
        Gue = "gue",
    }
    not yet []
}

choice! {
    /// `--masquerade`: where clients get the node's address as their source.
    Masquerade {
        /// Where their own would not lead the answer back here.
        #[default]
        Safe = "safe",
        /// Where kube-proxy gives it to them.
        Compat = "compat",
    }
    not yet []
}

fn refusal(text: &str, words: &[&str], later: &[&str]) -> String {
    let words = words.join(" or ");
    if later.contains(&text) {
        format!("{text:?} is not there yet; use {words}")
    } else {
        format!("{text:?} is unknown; use {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["all", "host", "off"] {
            assert_eq!(word.parse::<SocketLb>().map(SocketLb::as_str), Ok(word));
        }
        assert_eq!("native".parse(), Ok(Xdp::Native));
        assert_eq!("x".parse::<Xdp>(), Err("\"x\" is unknown; use auto or native or generic or off".into()));
        assert!("dsr".parse() == Ok(ExternalMode::Dsr) && "ip".parse::<DsrEncapsulation>().is_err());
        assert!("Auto".parse::<Tc>().is_err());
    }
}
