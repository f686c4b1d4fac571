//! The way of a frame through a device's program, and what became of it.

use std::net::{IpAddr, SocketAddr};

use svclb_common::{
    balance::{Learned, Place, Scratch, Tables, decides, established, follow, learn_part},
    family::IpHeader as _,
    flow::{Action, FlowEntry, Tick},
    inner::{Inner, look},
    key::{FlowKey, Hook},
    outline::Outline,
    packet::{Absent, Packet, Unparsed},
    verdict::DropReason,
    wire::{Cursor, Eth, Transport},
};

use super::{
    Net, Sketch, UPLINK_IN, World,
    frame::{assert_only_ends_changed, ends, wrap},
};

/// What a program decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The datapath cannot read it.
    Unparsed(Unparsed),
    /// It is no Service's.
    NotOurs,
    /// It was rewritten; the device of [`Action::Deliver`] beside it.
    Translated(Action, u32),
    /// It has become its own answer.
    Echoed,
    /// It travels to another node, in a packet from the first address to the second.
    Tunnelled(IpAddr, IpAddr),
    /// The sender is told that nobody serves.
    Refused(DropReason),
    /// It goes nowhere.
    Dropped(DropReason),
    /// Its entry was pushed out of the table before it could be used.
    Lost,
}

/// A frame after a program.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) frame: Vec<u8>,
}

/// What etherparse reads in a frame after a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) verdict: Verdict,
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
}

/// Rewritten to these ends; only [`Action::Deliver`] names a device.
pub(crate) fn translated(action: Action, ifindex: u32, src: SocketAddr, dst: SocketAddr) -> Sent {
    Sent { verdict: Verdict::Translated(action, ifindex), src, dst }
}

/// Left as it was.
pub(crate) fn untouched(verdict: Verdict, sketch: &Sketch) -> Sent {
    Sent { verdict, src: sketch.src, dst: sketch.dst }
}

/// The outline of a frame that has an IP header.
fn outline<F: Net>(frame: &mut [u8]) -> Result<Outline, Unparsed> {
    let mut rest = Cursor::from(frame);
    rest.skip(size_of::<Eth>());
    let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
    Outline::of::<F>(ip, &rest)
}

/// What a program knows of a fragment's flow.
fn portless<F: Net>(frame: &mut [u8], outline: Outline, place: Place) -> FlowKey<F::Addr> {
    let mut rest = Cursor::from(frame);
    rest.skip(size_of::<Eth>());
    let ip = rest.take::<F::Header>().unwrap();
    let hook = place.hook as u8;
    FlowKey { src: ip.src(), dst: ip.dst(), sport: 0, dport: 0, proto: outline.proto, hook, pad: 0 }
}

impl<F: Net> World<F> {
    /// Runs the program of `place` over a frame.
    pub(crate) fn pass(&self, place: Place, frame: &[u8]) -> Outcome {
        let mut frame = frame.to_vec();
        let verdict = self.run(place, &mut frame);
        Outcome { verdict, frame }
    }

    /// Exactly the steps of the kernel's program.
    fn run(&self, place: Place, frame: &mut [u8]) -> Verdict {
        let mut cursor = Cursor::from(&mut *frame);
        let Some(eth) = cursor.take::<Eth>() else { return Verdict::Unparsed(Unparsed::Short) };
        if eth.ethertype != F::ETHERTYPE {
            return Verdict::Unparsed(Unparsed::Foreign);
        }
        let outline = match Packet::<F>::parse(eth, cursor) {
            Ok(mut packet) => match established(self, &packet.flow(place.hook), packet.flags) {
                Some(entry) if decides::<F>(entry, packet.transport, packet.flags, self) => {
                    return self.act(&mut packet, entry);
                }
                _ => Outline::plain(packet.transport),
            },
            Err(Unparsed::Extended | Unparsed::Fragment) => match outline::<F>(frame) {
                Ok(outline) => outline,
                Err(why) => return Verdict::Unparsed(why),
            },
            Err(Unparsed::Icmp) => return self.hear(place, frame),
            Err(why) => return Verdict::Unparsed(why),
        };
        let mut scratch = Scratch::new(portless::<F>(frame, outline, place));
        let mut cursor = Cursor::from(frame);
        let Some(eth) = cursor.take::<Eth>() else { return Verdict::Unparsed(Unparsed::Short) };
        scratch.outline = outline;
        if outline.is_headless() {
            let learned = follow(self, place, &mut scratch);
            let mut absent = Absent::default();
            let transport = Transport::of(scratch.key.proto).unwrap_or(Transport::Udp);
            return match Packet::<F>::later(eth, cursor, transport, &mut absent) {
                Ok(mut packet) => self.finish(learned, &scratch, &mut packet),
                Err(why) => Verdict::Unparsed(why),
            };
        }
        let mut packet = match Packet::<F>::parse_at(eth, cursor, outline) {
            Ok(packet) => packet,
            Err(why) => return Verdict::Unparsed(why),
        };
        scratch.key = packet.flow(place.hook);
        let learned = learn_part(self, place, &mut scratch, packet.transport, packet.flags);
        if scratch.shown().sign != 0 {
            self.shown.borrow_mut().push(*scratch.shown());
        }
        self.finish(learned, &scratch, &mut packet)
    }

    fn finish(&self, learned: Learned, scratch: &Scratch<F::Addr>, packet: &mut Packet<'_, F>) -> Verdict {
        let key = &scratch.key;
        let early = || if scratch.seems_established() { None } else { self.half_open(key) };
        match learned {
            Learned::Known => match early().or_else(|| self.flow(key)).or_else(|| self.half_open(key)) {
                Some(entry) => self.act(packet, entry),
                None => Verdict::Lost,
            },
            Learned::NotOurs => Verdict::NotOurs,
            Learned::Refused(reason) => Verdict::Refused(reason),
            Learned::Dropped(reason) => Verdict::Dropped(reason),
        }
    }

    fn act(&self, packet: &mut Packet<'_, F>, entry: &FlowEntry<F::Addr>) -> Verdict {
        // Jiffies of 10 ms, the longest that there are.
        let tick = Tick::of(self.now() / 10_000_000);
        entry.touch(packet.flags, tick, || self.now());
        if entry.recipe.is_one_way() {
            let end = |addr| F::ip(addr);
            return Verdict::Tunnelled(end(entry.recipe.src), end(entry.recipe.dst));
        }
        packet.rewrite(&entry.recipe);
        Verdict::Translated(entry.recipe.action(), entry.hop.device())
    }

    /// Takes a frame out of a packet to `to`, as the program of the uplink does.
    pub(crate) fn unwrap(&self, to: IpAddr, sketch: &Sketch) -> Sent {
        let before = sketch.build();
        let Outcome { verdict, frame } = self.pass_inside(to, &before);
        if matches!(verdict, Verdict::Translated(..)) {
            assert_only_ends_changed(&before, &frame);
        } else {
            assert_eq!(before, frame, "{verdict:?} must leave the frame alone");
        }
        let (src, dst) = ends(&frame);
        Sent { verdict, src, dst }
    }

    /// The same of any frame. One that is not taken out is as it was.
    pub(crate) fn pass_inside(&self, to: IpAddr, frame: &[u8]) -> Outcome {
        let mut inside = frame.to_vec();
        let verdict = self.run_inside(to, &mut inside);
        Outcome { verdict, frame: inside }
    }

    fn run_inside(&self, to: IpAddr, frame: &mut [u8]) -> Verdict {
        let nothing = Outline::plain(Transport::Udp);
        let mut scratch = Scratch::new(portless::<F>(frame, nothing, UPLINK_IN));
        let mut cursor = Cursor::from(&mut *frame);
        let eth = cursor.take::<Eth>().unwrap();
        let (transport, flags) = match Packet::<F>::parse(eth, cursor) {
            Ok(packet) => {
                scratch.key = packet.flow(Hook::Ingress);
                scratch.outline = Outline::plain(packet.transport);
                scratch.set_inner(F::addr(to), F::OUTER, packet.flags);
                let goes_on = self.flow(&scratch.key).is_some_and(|entry| {
                    scratch.is_to(&entry.recipe) && decides::<F>(entry, packet.transport, packet.flags, self)
                });
                if goes_on {
                    return self.run(UPLINK_IN, frame);
                }
                (packet.transport, packet.flags)
            }
            Err(_) => match look::<F, _>(self, Cursor::from(wrap(frame, to).as_mut_slice()), &mut scratch) {
                Inner::Other => return Verdict::NotOurs,
                Inner::Message | Inner::Later => return self.run(UPLINK_IN, frame),
                Inner::Packet => (Transport::of(scratch.key.proto).unwrap(), scratch.flags()),
            },
        };
        let learned = learn_part(self, UPLINK_IN, &mut scratch, transport, flags);
        let mut cursor = Cursor::from(frame);
        let eth = cursor.take::<Eth>().unwrap();
        let mut packet = Packet::<F>::parse_at(eth, cursor, scratch.outline).unwrap();
        self.finish(learned, &scratch, &mut packet)
    }

    /// Sends a frame, and has etherparse judge what came out: both checksums are right,
    /// and nothing but the ends has changed, if those have.
    pub(crate) fn send(&self, place: Place, sketch: &Sketch) -> Sent {
        let before = sketch.build();
        let Outcome { verdict, frame: after } = self.pass(place, &before);
        if matches!(verdict, Verdict::Translated(..)) {
            assert_only_ends_changed(&before, &after);
        } else {
            assert_eq!(before, after, "{verdict:?} must leave the frame alone");
        }
        let (src, dst) = ends(&after);
        Sent { verdict, src, dst }
    }
}
