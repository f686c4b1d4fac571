//! The line that describes a packet; `bpf-fixtures/README.md` has its grammar.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use anyhow::{Context as _, anyhow, bail};

use super::{Body, Check, Extension, Flag, Fragment, Icmp, Outer, Packet, Sctp, Tcp, sctp};

/// MAC addresses of packets on their way to the node.
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const NODE: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A router that records the way, with room for two addresses: the second word must
/// not be taken for ports.
const RECORD_ROUTE: [u8; 12] = [7, 11, 4, 0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0];

/// The way back by one router, loose and strict, and padding.
const LOOSE_SOURCE_ROUTE: [u8; 8] = [131, 7, 4, 198, 51, 100, 1, 0];
const STRICT_SOURCE_ROUTE: [u8; 8] = [1, 137, 7, 4, 198, 51, 100, 1];

/// Ten words: the longest header there is.
const LONGEST: [u8; 40] = {
    let mut options = [1; 40];
    options[39] = 0;
    options
};

/// Maximum segment size 1460, window scale 7: a SYN's usual options.
const SYN_OPTIONS: [u8; 8] = [2, 4, 5, 0xb4, 1, 3, 3, 7];

impl FromStr for Packet {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        if let Some((error, about)) = line.split_once(" about ") {
            let mut bytes = usize::MAX;
            let mut words: Vec<&str> = error.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| word.starts_with("quotes=")) {
                bytes = words.remove(at)["quotes=".len()..].parse()?;
            }
            let mut packet: Self = words.join(" ").parse()?;
            packet.payload = about.parse::<Self>()?.quoted(bytes);
            return Ok(packet);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let [protocol, src, ">", dst, rest @ ..] = &words[..] else {
            bail!("`{line}` does not begin as `<protocol> <source> > <destination>`");
        };
        let mut packet = Self::begin(protocol, src, dst).with_context(|| format!("in `{line}`"))?;
        packet.change(rest).with_context(|| format!("in `{line}`"))?;
        Ok(packet)
    }
}

impl Packet {
    /// The packet that `line` makes of this one: changes of it, or a packet of its own
    /// that may quote this one.
    pub fn then(&self, line: &str) -> anyhow::Result<Self> {
        if line.contains(" > ") {
            let mut packet: Self = line.parse()?;
            match packet.body {
                Body::Icmp(Icmp::PortUnreachable | Icmp::TimeExceeded) if packet.payload.is_empty() => {
                    packet.payload = self.quoted(8);
                }
                Body::Icmp(Icmp::TooBig(_)) if packet.payload.is_empty() => {
                    packet.payload = self.quoted_long();
                }
                _ => {}
            }
            return Ok(packet);
        }
        let mut packet = self.clone();
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "same").collect();
        packet.change(&words).with_context(|| format!("in `{line}`"))?;
        Ok(packet)
    }

    fn begin(protocol: &str, src: &str, dst: &str) -> anyhow::Result<Self> {
        let has_ports = matches!(protocol, "tcp" | "udp" | "sctp");
        let ((src, sport), (dst, dport)) = (end(src, has_ports)?, end(dst, has_ports)?);
        if src.is_ipv4() != dst.is_ipv4() {
            bail!("{src} and {dst} are of two families");
        }
        let body = match protocol {
            "tcp" => Body::Tcp(Tcp {
                sport,
                dport,
                seq: 1000,
                ack: 0,
                flags: Vec::new(),
                window: 64_000,
                options: Vec::new(),
                check: Check::Full,
            }),
            "udp" => Body::Udp { sport, dport, check: Check::Full },
            "sctp" => Body::Sctp(Sctp { sport, dport, tag: 7, chunk: 0, check: Check::Full }),
            "esp" => Body::Other(50),
            "unreachable" => Body::Icmp(Icmp::PortUnreachable),
            "too-big" => Body::Icmp(Icmp::TooBig(1300)),
            "time-exceeded" => Body::Icmp(Icmp::TimeExceeded),
            "parameter-problem" => Body::Icmp(Icmp::ParameterProblem),
            "redirect" => Body::Icmp(Icmp::Redirect),
            "echo" => Body::Icmp(Icmp::EchoRequest),
            "echo-reply" => Body::Icmp(Icmp::EchoReply),
            "icmp" => Body::Other(1),
            "data/tcp" => Body::Other(6),
            "data/udp" => Body::Other(17),
            other => bail!("no protocol `{other}`"),
        };
        Ok(Self {
            from: PEER,
            to: NODE,
            ethertype: None,
            src,
            dst,
            tos: 0,
            flow: 0,
            id: 0x1234,
            df: false,
            ttl: 63,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: None,
            body,
            payload: Vec::new(),
            outer: None,
            padding: 0,
        })
    }

    fn change(&mut self, words: &[&str]) -> anyhow::Result<()> {
        words.iter().try_for_each(|word| match word.split_once('=') {
            Some((name, value)) => self.set(name, value).with_context(|| format!("`{word}`")),
            None => self.mark(word),
        })
    }

    fn mark(&mut self, word: &str) -> anyhow::Result<()> {
        let flag = match word {
            "syn" => Flag::Syn,
            "ack" => Flag::Ack,
            "fin" => Flag::Fin,
            "rst" => Flag::Rst,
            "psh" => Flag::Psh,
            "df" => {
                self.df = true;
                return Ok(());
            }
            "bare" => {
                self.outer = None;
                return Ok(());
            }
            "turned" => {
                (self.from, self.to) = (self.to, self.from);
                return Ok(());
            }
            "delivered" => {
                self.to = [0; 6];
                return Ok(());
            }
            "answer" => {
                (self.from, self.to) = (NODE, PEER);
                (self.id, self.df, self.ttl) = (0, true, 64);
                if let Body::Tcp(tcp) = &mut self.body {
                    (tcp.seq, tcp.window) = (0, 0);
                }
                return Ok(());
            }
            _ => bail!("no word `{word}`"),
        };
        self.tcp_mut()?.flags.push(flag);
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        match name {
            "src" if matches!(self.body, Body::Other(_)) => self.src = value.parse()?,
            "dst" if matches!(self.body, Body::Other(_)) => self.dst = value.parse()?,
            "src" => {
                let end: SocketAddr = value.parse()?;
                self.src = end.ip();
                *self.ports_mut()?.0 = end.port();
            }
            "dst" => {
                let end: SocketAddr = value.parse()?;
                self.dst = end.ip();
                *self.ports_mut()?.1 = end.port();
            }
            "from" => self.from = mac(value)?,
            "to" => self.to = mac(value)?,
            "ethertype" => self.ethertype = Some(u16::from_str_radix(value, 16)?),
            "tos" => self.tos = value.parse()?,
            "flow" => self.flow = value.parse()?,
            "id" => self.id = value.parse()?,
            "ttl" => self.ttl = value.parse()?,
            "options" => self.options = options(value)?.to_vec(),
            "extensions" => self.extensions = Extension::list(value)?,
            "mtu" => match &mut self.body {
                Body::Icmp(Icmp::TooBig(mtu)) => *mtu = value.parse()?,
                _ => bail!("only `too-big` has one"),
            },
            "in-ip" => self.outer = Some(outer(value, false)?),
            "in-udp" => self.outer = Some(outer(value, true)?),
            "outer-ttl" => self.outer.as_mut().context("nothing is around it")?.ttl = value.parse()?,
            "fragment" => self.fragment = Some(fragment(value)?),
            "seq" => self.tcp_mut()?.seq = value.parse()?,
            "ack" => self.tcp_mut()?.ack = value.parse()?,
            "window" => self.tcp_mut()?.window = value.parse()?,
            "tcp-options" if value == "syn" => self.tcp_mut()?.options = SYN_OPTIONS.to_vec(),
            "check" => *self.check_mut()? = check(value)?,
            "data" => self.payload = value.as_bytes().to_vec(),
            "size" => self.payload = (0..value.parse::<usize>()?).map(|at| at as u8).collect(),
            "zero-for" => self.payload = self.zero_payload(value)?.to_vec(),
            "padding" => self.padding = value.parse()?,
            "chunk" => {
                let Body::Sctp(sctp) = &mut self.body else { bail!("only SCTP has that") };
                sctp.chunk = sctp::chunk(value).with_context(|| format!("no chunk `{value}`"))?;
            }
            _ => bail!("nothing is called so"),
        }
        Ok(())
    }

    /// The data that makes the checksum zero once the packet is to `dst`: the sum of
    /// data and header then is all ones.
    fn zero_payload(&self, dst: &str) -> anyhow::Result<[u8; 2]> {
        let mut packet = self.clone();
        packet.set("dst", dst)?;
        packet.payload = vec![0; 2];
        let frame = packet.frame();
        match frame[..] {
            // A UDP header ends with its checksum, which is what the sum lacks.
            [.., high, low, _, _] => Ok([high, low]),
            _ => bail!("no header"),
        }
    }

    fn tcp_mut(&mut self) -> anyhow::Result<&mut Tcp> {
        let Body::Tcp(tcp) = &mut self.body else { bail!("only TCP has that") };
        Ok(tcp)
    }

    fn ports_mut(&mut self) -> anyhow::Result<(&mut u16, &mut u16)> {
        match &mut self.body {
            Body::Tcp(tcp) => Ok((&mut tcp.sport, &mut tcp.dport)),
            Body::Udp { sport, dport, .. } => Ok((sport, dport)),
            Body::Sctp(sctp) => Ok((&mut sctp.sport, &mut sctp.dport)),
            Body::Other(_) | Body::Icmp(_) => bail!("the protocol has no ports"),
        }
    }

    fn check_mut(&mut self) -> anyhow::Result<&mut Check> {
        match &mut self.body {
            Body::Tcp(tcp) => Ok(&mut tcp.check),
            Body::Udp { check, .. } => Ok(check),
            Body::Sctp(sctp) => Ok(&mut sctp.check),
            Body::Other(_) | Body::Icmp(_) => bail!("that checksum cannot be chosen"),
        }
    }
}

/// Six bytes in hexadecimal, with colons between them.
fn mac(text: &str) -> anyhow::Result<[u8; 6]> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().map_err(|_bytes| anyhow!("six bytes are a link's address"))
}

fn end(text: &str, has_port: bool) -> anyhow::Result<(IpAddr, u16)> {
    if has_port {
        let end: SocketAddr = text.parse().with_context(|| format!("`{text}`"))?;
        return Ok((end.ip(), end.port()));
    }
    Ok((text.parse().with_context(|| format!("`{text}`"))?, 0))
}

/// `SOURCE>DESTINATION`, as addresses or with ports.
fn outer(text: &str, has_ports: bool) -> anyhow::Result<Outer> {
    let (src, dst) = text.split_once('>').context("no `>` between source and destination")?;
    let ((src, sport), (dst, dport)) = (end(src, has_ports)?, end(dst, has_ports)?);
    Ok(Outer { src, dst, ports: has_ports.then_some((sport, dport)), ttl: 64 })
}

fn options(name: &str) -> anyhow::Result<&'static [u8]> {
    match name {
        "record-route" => Ok(&RECORD_ROUTE),
        "longest" => Ok(&LONGEST),
        "loose-source-route" => Ok(&LOOSE_SOURCE_ROUTE),
        "strict-source-route" => Ok(&STRICT_SOURCE_ROUTE),
        _ => Err(anyhow!("no options `{name}`")),
    }
}

/// `0+`: the first of several; `185`: the last one, 185 units of 8 bytes from the start.
fn fragment(text: &str) -> anyhow::Result<Fragment> {
    let (offset, more) = text.strip_suffix('+').map_or((text, false), |offset| (offset, true));
    Ok(Fragment { offset: offset.parse()?, more })
}

fn check(name: &str) -> anyhow::Result<Check> {
    match name {
        "full" => Ok(Check::Full),
        "partial" => Ok(Check::Partial),
        "none" => Ok(Check::None),
        _ => Err(anyhow!("no checksum `{name}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_special() {
        let packet: Packet = "tcp 10.0.0.1:40000 > 10.0.0.2:80 syn ttl=7 data=hi".parse().unwrap();
        assert_eq!(packet.source().to_string(), "10.0.0.1:40000");
        assert_eq!(packet.destination().to_string(), "10.0.0.2:80");
        assert_eq!((packet.ttl, &packet.payload[..]), (7, &b"hi"[..]));
        assert_eq!(packet.ip_len(), 20 + 20 + 2);
    }

    #[test]
    fn a_change_changes_nothing_else() {
        let packet: Packet = "udp [fd00::1]:1 > [fd00::2]:2 data=hi".parse().unwrap();
        let mut moved = packet.then("dst=[fd00::3]:4").unwrap();
        assert_eq!(moved.destination().to_string(), "[fd00::3]:4");
        moved.change(&["dst=[fd00::2]:2"]).unwrap();
        assert_eq!(moved, packet);
        assert_eq!(packet.then("same").unwrap(), packet);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "tcp 10.0.0.1:1 10.0.0.2:2",
            "tcp 10.0.0.1 > 10.0.0.2",
            "tcp 10.0.0.1:1 > [fd00::2]:2",
            "udp 10.0.0.1:1 > 10.0.0.2:2 syn",
            "udp 10.0.0.1:1 > 10.0.0.2:2 colour=red",
            "sctp 10.0.0.1 > 10.0.0.2 src=10.0.0.1:1",
        ] {
            assert!(line.parse::<Packet>().is_err(), "{line}");
        }
    }
}
