//! Virtual servers of the kernel's IPVS, as `/proc/net/ip_vs` lists them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// A virtual server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualServer {
    /// Its address.
    pub address: SocketAddr,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// How it chooses: `rr`, `lc`, `sh` and so on.
    pub scheduler: String,
    /// How many real servers it has.
    pub servers: usize,
}

/// All of them; none without IPVS.
pub fn servers() -> Vec<VirtualServer> {
    parse(&fs::read_to_string("/proc/net/ip_vs").unwrap_or_default())
}

fn parse(text: &str) -> Vec<VirtualServer> {
    let mut servers: Vec<VirtualServer> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            // A heading begins with an arrow as well, and there is no server before it.
            (Some("->"), ..) => {
                if let Some(server) = servers.last_mut() {
                    server.servers += 1;
                }
            }
            (Some(protocol @ ("TCP" | "UDP" | "SCTP")), Some(address), Some(scheduler)) => {
                if let Some(address) = parse_address(address) {
                    let (protocol, scheduler) = (protocol.to_owned(), scheduler.to_owned());
                    servers.push(VirtualServer { address, protocol, scheduler, servers: 0 });
                }
            }
            _ => {}
        }
    }
    servers
}

/// An address in hexadecimal digits, or in brackets; the port in hexadecimal digits.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip: IpAddr = match address.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse().ok()?,
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes it (`net/netfilter/ipvs/ip_vs_ctl.c`).
    #[test]
    fn table() {
        let text = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr 
  -> C0A80002:192B      Masq    1      0          0
  -> C0A80003:192B      Masq    1      2          1
UDP  [fd00:0010:0096:0000:0000:0000:0000:000a]:0035 sh persistent 10800
FWM  00000001 wlc
";
        let found = parse(text);
        let lines: Vec<_> = found
            .iter()
            .map(|it| format!("{} {} {} {}", it.protocol, it.address, it.scheduler, it.servers))
            .collect();
        assert_eq!(lines, ["TCP 10.96.0.1:443 rr 2", "UDP [fd00:10:96::a]:53 sh 0"]);
    }
}
