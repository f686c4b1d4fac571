//! Packets as the XDP program in front of the stack sees them.

use anyhow::{Context as _, anyhow};
use aya::{
    maps::xdp::DevMapHash,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use svclb_common::layout::map;

use crate::lab::{FRAME, Hook, Lab, Verdict};

/// Bytes of a `struct xdp_md` (linux/bpf.h).
pub(crate) const CONTEXT: usize = 24;

/// What `svclb_ebpf` leaves before a packet that is translated and goes on to the stack.
const MARK: [u8; 4] = u32::from_be_bytes(*b"svcl").to_ne_bytes();

impl Lab {
    /// Runs the XDP program `name` on a frame that came in by a device.
    pub(crate) fn run_in_front(
        &mut self,
        name: &str,
        ifindex: u32,
        frame: &[u8],
    ) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let mut programs = self.programs_mut();
        let (_, program) = programs.find(|(found, _)| *found == name).with_context(|| name.to_owned())?;
        let program: &mut Xdp = program.try_into()?;
        if program.fd().is_err() {
            program.load().with_context(|| format!("the kernel refused {name}"))?;
        }
        let mut out = vec![0; FRAME + frame.len()];
        let (before, mut after) = (context(frame.len(), ifindex), [0; CONTEXT]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&before),
            ctx_out: Some(&mut after),
            ..TestRunOptions::new()
        };
        let ran = program.test_run(options).with_context(|| format!("{name} on {} bytes", frame.len()))?;
        out.truncate(ran.data_size_out as usize);
        let (verdict, metadata) = verdict_in_front(ran.return_value, &after, &out)?;
        Ok((verdict, out.split_off(metadata)))
    }

    /// Runs the XDP program, and the TC program of the device on what it hands on: as if the latter
    /// had been alone, or an error.
    pub(crate) fn run_both(&mut self, ifindex: u32, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let (verdict, mut out) = self.run_in_front("uplink_xdp", ifindex, frame)?;
        match verdict {
            Verdict::Next => {
                anyhow::ensure!(out == frame, "it goes on, and is not as it came");
                self.run_on(ifindex, Hook::UplinkIngress, frame)
            }
            Verdict::Done => {
                // Where the driver has no room for a mark.
                let (again, same) = self.run_on(ifindex, Hook::UplinkIngress, &out)?;
                anyhow::ensure!(
                    again == Verdict::Next && same == out,
                    "it is translated, and the next program does not let it be: {again:?}"
                );
                Ok((Verdict::Next, out))
            }
            Verdict::Back | Verdict::Redirect => {
                let is_answer = out[..6] == frame[6..12] && out[6..12] == frame[..6];
                if !is_answer {
                    // The TC program leaves the next hop to the kernel.
                    out[..12].copy_from_slice(&frame[..12]);
                }
                Ok((Verdict::Redirect, out))
            }
            Verdict::Drop => Ok((verdict, out)),
        }
    }

    /// Lets XDP programs send frames to a device.
    pub(crate) fn open_to(&mut self, ifindex: u32) -> anyhow::Result<()> {
        let mut devices = DevMapHash::try_from(self.map_mut(map::XDP_UPLINKS)?)?;
        devices.insert(ifindex, ifindex, None, 0).context(map::XDP_UPLINKS)
    }
}

/// A `struct xdp_md` (linux/bpf.h): nothing before the frame, its end, and where it came from.
pub(crate) fn context(len: usize, ifindex: u32) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    context[4..8].copy_from_slice(&(len as u32).to_ne_bytes());
    context[12..16].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

/// What an XDP program's code means, and the bytes that it left before the packet, from the `struct xdp_md` and
/// the bytes that came out.
pub(crate) fn verdict_in_front(
    code: u32,
    after: &[u8; CONTEXT],
    out: &[u8],
) -> anyhow::Result<(Verdict, usize)> {
    let metadata = u32::from_ne_bytes(*after.first_chunk().context("no context")?) as usize;
    let is_marked = metadata != 0;
    anyhow::ensure!(
        !is_marked || out.get(..metadata) == Some(&MARK),
        "{:?} stands before the packet",
        out.get(..metadata)
    );
    let verdict = match code {
        1 => Verdict::Drop,
        2 if is_marked => Verdict::Done,
        2 => Verdict::Next,
        3 => Verdict::Back,
        4 => Verdict::Redirect,
        other => return Err(anyhow!("the program returned {other}, which no program of svclb does")),
    };
    Ok((verdict, metadata))
}

#[cfg(test)]
mod tests {
    use svclb_common::config::DatapathConfig;
    use svclb_tests::packet::{Packet, judge};

    use super::*;
    use crate::{
        node::{Device, Node},
        tables::{Services, Written},
    };

    const SERVICES: &str = "\
web:
  frontends: [node-port ipv4:30080/udp, node-port ipv6:30080/udp]
  backends: ['10.244.2.7:8080/udp', '[fd00:244:2::7]:8080/udp']
far:
  frontends: [node-port ipv4:30081/udp]
  backends: ['10.244.3.7:8080/udp']
none:
  frontends: [node-port ipv4:30082/udp]
";

    fn lab(node: &Node) -> Lab {
        let mut lab = Lab::new(DatapathConfig::PER_PACKET, &[]).unwrap();
        let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
        Written::new(&mut lab, node, &services, |_| true).unwrap();
        lab
    }

    fn run(lab: &mut Lab, node: &Node, frame: &[u8]) -> (Verdict, Vec<u8>) {
        lab.run_in_front("uplink_xdp", node.index(Device::Uplink), frame).unwrap()
    }

    fn frame(line: &str) -> Vec<u8> {
        line.parse::<Packet>().unwrap().frame()
    }

    #[test]
    fn a_frame_with_a_vlans_tag_goes_on_to_its_vlans_device() {
        let node = Node::new().unwrap();
        let mut lab = lab(&node);
        for line in [
            "udp 192.0.2.2:50000 > 192.0.2.1:30080 data=hello",
            "udp 192.0.2.2:50000 > 192.0.2.1:30082 data=hello",
            "udp [2001:db8::2]:50000 > [2001:db8::1]:30080 data=hello",
        ] {
            let plain = frame(line);
            for tags in [&[0x8100_u16][..], &[0x88a8, 0x8100]] {
                let mut tagged = plain.clone();
                for tag in tags.iter().rev() {
                    let [high, low] = tag.to_be_bytes();
                    tagged.splice(12..12, [high, low, 0, 5]);
                }
                assert_eq!(run(&mut lab, &node, &tagged), (Verdict::Next, tagged), "{line}");
            }
            assert_ne!(run(&mut lab, &node, &plain).0, Verdict::Next, "{line}");
        }
    }

    #[test]
    fn a_frame_of_several_buffers_is_translated_by_its_first() {
        let node = Node::new().unwrap();
        Node::set_mtu(Device::Uplink, 9000).unwrap();
        let mut lab = lab(&node);
        let big = frame("udp 192.0.2.2:50000 > 192.0.2.1:30080 size=8000");
        let (verdict, out) = run(&mut lab, &node, &big);
        assert_eq!((verdict, out.len()), (Verdict::Back, big.len()));
        assert_eq!(judge(&out), Ok(()));
        assert_eq!(out[50..], big[50..], "the payload");
        let big = frame("udp [2001:db8::2]:50000 > [2001:db8::1]:30080 size=8000");
        let (verdict, out) = run(&mut lab, &node, &big);
        assert_eq!((verdict, judge(&out)), (Verdict::Back, Ok(())));
    }

    #[test]
    fn what_is_too_large_for_the_way_goes_on_as_it_is() {
        let node = Node::new().unwrap();
        let mut lab = lab(&node);
        // The device has an MTU of 1500.
        for to in ["192.0.2.1:30080", "192.0.2.1:30081"] {
            let big = frame(&format!("udp 192.0.2.2:50000 > {to} size=2000"));
            assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big), "{to}");
        }
        let big = frame("udp [2001:db8::2]:50000 > [2001:db8::1]:30080 size=2000");
        assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big));
    }

    #[test]
    fn several_buffers_are_neither_cut_nor_handed_to_other_devices() {
        let node = Node::new().unwrap();
        Node::set_mtu(Device::Uplink, 9000).unwrap();
        Node::set_mtu(Device::Second, 9000).unwrap();
        let mut lab = lab(&node);
        for port in [30081, 30082] {
            let big = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} size=8000"));
            assert_eq!(run(&mut lab, &node, &big), (Verdict::Next, big), "{port}");
            let small = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} size=80"));
            assert_ne!(run(&mut lab, &node, &small).0, Verdict::Next, "{port}");
        }
        let refused = lab.drops().unwrap().iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(refused, 1, "the one that was answered");
    }

    #[test]
    fn the_program_for_frames_of_one_buffer_does_the_same() {
        let node = Node::new().unwrap();
        let mut lab = lab(&node);
        for port in [30080, 30081, 30082] {
            let frame = frame(&format!("udp 192.0.2.2:50000 > 192.0.2.1:{port} data=hello"));
            let device = node.index(Device::Uplink);
            let one = lab.run_in_front("uplink_xdp_page", device, &frame).unwrap();
            assert_eq!(one, lab.run_in_front("uplink_xdp", device, &frame).unwrap(), "{port}");
        }
    }
}
