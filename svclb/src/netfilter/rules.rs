//! The rules of others, and a table of svclb's own that keeps the kernel's NAT going.
//!
//! The kernel translates the packets of a connection that it knows as long as two things are there: a chain of NAT, for the
//! hooks of NAT, and a rule that asks connection tracking, for those of connection tracking. The last of either takes its
//! hooks with it, and connections that were translated go on untranslated. So as long as there are connections that
//! kube-proxy's rules have set up, there is a table with such a chain and such a rule, which decides nothing.

use std::{fmt, io};

use nix::libc::{AF_INET, AF_INET6, ENOENT};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};

use super::{
    conntrack::{acknowledgement, dump, open},
    message::{Message, attribute, text},
};

/// `NFNL_SUBSYS_NFTABLES`.
const NFTABLES: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_MSG_BATCH_END`.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
/// `NFT_MSG_*` (`linux/netfilter/nf_tables.h`).
const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const GET_CHAIN: u16 = NFTABLES << 8 | 4;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
/// `NFTA_TABLE_NAME`.
const TABLE_NAME: u16 = 1;
/// `NFTA_CHAIN_*`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
/// `NFTA_HOOK_*`.
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
/// `NFTA_RULE_*`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
/// `NFTA_LIST_ELEM`, and `NFTA_EXPR_*`.
const ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
/// `NFTA_CT_*`, and `NFT_CT_DIRECTION`.
const CT_REGISTER: u16 = 1;
const CT_KEY: u16 = 2;
const DIRECTION: u32 = 1;
/// `NFTA_CMP_*`, `NFT_CMP_EQ`, and `NFTA_DATA_VALUE`.
const COMPARE_REGISTER: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_DATA: u16 = 3;
const EQUAL: u32 = 0;
const VALUE: u16 = 1;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// `IP_CT_DIR_ORIGINAL`: chains of NAT see nothing else.
const ORIGINAL: u8 = 0;
/// `NF_INET_POST_ROUTING`, and `NF_ACCEPT` (`linux/netfilter.h`).
const POST_ROUTING: u32 = 4;
const ACCEPT: u32 = 1;
/// `NF_IP_PRI_NAT_SRC` (`linux/netfilter_ipv4.h`).
const SOURCE_NAT: i32 = 100;

/// Both families.
const FAMILIES: [u8; 2] = [AF_INET as u8, AF_INET6 as u8];

/// The name of the table, and of its chain.
const TABLE: &str = "svclb";
const CHAIN: &str = "keeps-nat";

/// Rules of kube-proxy that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Those of its mode iptables (or ipvs), by nftables' iptables.
    Iptables,
    /// Those of its mode nftables.
    Nftables,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        })
    }
}

/// The rules of kube-proxy that there are.
pub fn leftovers() -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    each_chain(|_, table, chain| {
        let kind = leftover(table, chain);
        found.extend(kind.filter(|kind| !found.contains(kind)));
    })?;
    Ok(found)
}

/// Whose a chain is.
fn leftover(table: &[u8], chain: &[u8]) -> Option<Leftover> {
    match (table, chain) {
        (b"kube-proxy", _) => Some(Leftover::Nftables),
        (_, b"KUBE-SERVICES" | b"KUBE-NODEPORTS" | b"KUBE-EXTERNAL-SERVICES") => Some(Leftover::Iptables),
        _ => None,
    }
}

/// Makes the kernel's NAT go on, whoever removes rules. Does nothing if that is so.
pub fn keep_nat() -> io::Result<()> {
    let mut kept = Vec::new();
    each_chain(|family, table, _| {
        if table == TABLE.as_bytes() {
            kept.push(family);
        }
    })?;
    FAMILIES.into_iter().filter(|family| !kept.contains(family)).try_for_each(|family| {
        let mut table = Message::new(NEW_TABLE, NLM_F_CREATE, 2, family, 0);
        table.put_text(TABLE_NAME, TABLE);
        let mut chain = Message::new(NEW_CHAIN, NLM_F_CREATE, 3, family, 0);
        chain.put_text(CHAIN_TABLE, TABLE);
        chain.put_text(CHAIN_NAME, CHAIN);
        chain.put_text(CHAIN_TYPE, "nat");
        chain.put(CHAIN_POLICY, &ACCEPT.to_be_bytes());
        chain.nest(CHAIN_HOOK, |hook| {
            hook.put(HOOK_NUMBER, &POST_ROUTING.to_be_bytes());
            hook.put(HOOK_PRIORITY, &SOURCE_NAT.to_be_bytes());
        });
        batch([table, chain, asking_rule(family)])
    })
}

/// The rule `ct direction original`.
fn asking_rule(family: u8) -> Message {
    let mut rule = Message::new(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, LAST, family, 0);
    rule.put_text(RULE_TABLE, TABLE);
    rule.put_text(RULE_CHAIN, CHAIN);
    rule.nest(RULE_EXPRESSIONS, |rule| {
        expression(rule, "ct", |ct| {
            ct.put(CT_REGISTER, &REGISTER.to_be_bytes());
            ct.put(CT_KEY, &DIRECTION.to_be_bytes());
        });
        expression(rule, "cmp", |compare| {
            compare.put(COMPARE_REGISTER, &REGISTER.to_be_bytes());
            compare.put(COMPARE_HOW, &EQUAL.to_be_bytes());
            compare.nest(COMPARE_DATA, |data| data.put(VALUE, &[ORIGINAL]));
        });
    });
    rule
}

fn expression(rule: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    rule.nest(ELEMENT, |element| {
        element.put_text(EXPRESSION_NAME, name);
        element.nest(EXPRESSION_DATA, fill);
    });
}

/// Leaves the kernel's NAT to others.
pub fn leave_nat() -> io::Result<()> {
    FAMILIES.into_iter().try_for_each(|family| {
        let mut table = Message::new(DELETE_TABLE, NLM_F_ACK, LAST, family, 0);
        table.put_text(TABLE_NAME, TABLE);
        match batch([table]) {
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(()),
            result => result,
        }
    })
}

/// The number of the last request in a batch, which is answered.
const LAST: u32 = 4;

/// Carries out all or nothing.
fn batch<const N: usize>(messages: [Message; N]) -> io::Result<()> {
    let socket = open()?;
    let mut bytes = Message::new(BEGIN, 0, 1, 0, NFTABLES).finish();
    for message in messages {
        bytes.extend(message.finish());
    }
    bytes.extend(Message::new(END, 0, LAST + 1, 0, NFTABLES).finish());
    socket.send(&bytes, 0)?;
    acknowledgement(&socket, LAST)
}

/// Calls `found` for each chain: its family, its table, its name.
fn each_chain(mut found: impl FnMut(u8, &[u8], &[u8])) -> io::Result<()> {
    let socket = open()?;
    for family in FAMILIES {
        socket.send(&Message::new(GET_CHAIN, NLM_F_DUMP, 0, family, 0).finish(), 0)?;
        dump(&socket, |family, attributes| {
            if let (Some(table), Some(name)) =
                (attribute(attributes, CHAIN_TABLE), attribute(attributes, CHAIN_NAME))
            {
                found(family, text(table), text(name));
            }
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_tell_whose_they_are() {
        for (table, chain, wanted) in [
            ("kube-proxy", "services", Some(Leftover::Nftables)),
            ("nat", "KUBE-SERVICES", Some(Leftover::Iptables)),
            ("filter", "KUBE-EXTERNAL-SERVICES", Some(Leftover::Iptables)),
            // The kubelet's.
            ("mangle", "KUBE-KUBELET-CANARY", None),
            ("filter", "KUBE-FIREWALL", None),
            ("nat", "POSTROUTING", None),
            (TABLE, CHAIN, None),
        ] {
            assert_eq!(leftover(table.as_bytes(), chain.as_bytes()), wanted, "{table} {chain}");
        }
    }
}
