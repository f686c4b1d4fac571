//! `svclb cleanup --handover`: flows go on under kube-proxy's rules.

use std::fmt;

use crate::{
    datapath::{
        Error,
        handover::{Handed, hand_over},
        pins::Pins,
    },
    netfilter::{conntrack::Conntrack, rules},
};

/// What became of the flows.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    handed: Handed,
    /// Whether kube-proxy's rules are there, and keep the kernel's NAT going.
    has_rules: bool,
}

/// Gives the flows of the tables to the stack. Programs are still attached, and no agent runs.
pub fn run(pins: &Pins) -> Result<Handover, Error> {
    let failed = |error: std::io::Error| Error::Load {
        what: "connection tracking, which flows are handed over to".into(),
        reason: error.to_string(),
    };
    let conntrack = Conntrack::open().map_err(failed)?;
    rules::keep_nat().map_err(failed)?;
    let has_rules = !rules::leftovers().map_err(failed)?.is_empty();
    Ok(Handover { handed: hand_over(pins, &conntrack)?, has_rules })
}

impl Handover {
    /// Leaves the kernel's NAT to the rules, if there are any.
    pub fn finish(&self) {
        if self.has_rules
            && let Err(error) = rules::leave_nat()
        {
            tracing::warn!("the nftables table svclb stays: {error}");
        }
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Handed { flows, tunnelled, sctp, clashes } = self.handed;
        write!(f, "{flows} flows are handed over")?;
        for (count, what) in [
            (tunnelled, "of mode dsr end, whose backends answer by themselves"),
            (sctp, "of SCTP end"),
            (clashes, "end, for other connections have their ports"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        if !self.has_rules {
            f.write_str(
                "; no rules of kube-proxy are there, so the nftables table svclb stays to keep the kernel's NAT going: \
                 remove it when they are (nft delete table ip svclb; nft delete table ip6 svclb)",
            )?;
        }
        Ok(())
    }
}
