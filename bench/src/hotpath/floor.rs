//! The floor's tables, with the same Service as svclb's.

use std::net::{IpAddr, SocketAddr};

use aya::maps::{Array, HashMap};

use crate::{
    case::Family,
    world::{Ends, backends},
    wrapper::Wrapper,
};

/// Link address of the node of all backends, as its neighbour tells.
const NEXT_HOP: [u8; 6] = [2, 0, 0, 0, 2, 2];

/// TCP's protocol number.
const TCP: u32 = 6;

/// Writes the Service and its backends.
pub(crate) fn fill(wrapper: &mut Wrapper) -> anyhow::Result<()> {
    for family in Family::BOTH {
        let count = backends(family).count() as u32;
        let frontend = Ends::of(family).node_port;
        let port = u32::from(frontend.port().to_be()) | TCP << 16;
        match frontend.ip() {
            IpAddr::V4(ip) => {
                let mut services = HashMap::<_, [u32; 3], [u32; 2]>::try_from(wrapper.map("SERVICES_V4")?)?;
                services.insert([u32::from_ne_bytes(ip.octets()), port, 0], [0, count], 0)?;
            }
            IpAddr::V6(ip) => {
                let mut services = HashMap::<_, [u64; 3], [u32; 2]>::try_from(wrapper.map("SERVICES_V6")?)?;
                let [first, second] = halves(ip);
                services.insert([first, second, port.into()], [0, count], 0)?;
            }
        }
        for (number, backend) in backends(family).enumerate() {
            write(wrapper, number as u32, backend)?;
        }
    }
    Ok(())
}

fn write(wrapper: &mut Wrapper, number: u32, backend: SocketAddr) -> anyhow::Result<()> {
    let [upper @ .., e, f] = NEXT_HOP;
    let (upper, lower) = (u32::from_ne_bytes(upper), u32::from(u16::from_ne_bytes([e, f])));
    let port = u32::from(backend.port().to_be());
    match backend.ip() {
        IpAddr::V4(ip) => {
            let mut backends = Array::<_, [u32; 4]>::try_from(wrapper.map("BACKENDS_V4")?)?;
            backends.set(number, [u32::from_ne_bytes(ip.octets()), port, upper, lower], 0)?;
        }
        IpAddr::V6(ip) => {
            let mut backends = Array::<_, [u64; 4]>::try_from(wrapper.map("BACKENDS_V6")?)?;
            let [first, second] = halves(ip);
            let third = u64::from(port) | u64::from(upper) << 32;
            backends.set(number, [first, second, third, lower.into()], 0)?;
        }
    }
    Ok(())
}

/// An address as the two words that lie in a packet.
fn halves(ip: std::net::Ipv6Addr) -> [u64; 2] {
    let octets = ip.octets();
    let half = |from: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&octets[from..from + 8]);
        u64::from_ne_bytes(bytes)
    };
    [half(0), half(8)]
}
