//! The way of a frame through a device's program, and what became of it.

use std::net::{IpAddr, SocketAddr};

use svclb_common::{
    balance::{Learned, Place, Scratch, Tables, decides, learn},
    flow::{Action, FlowEntry},
    key::Hook,
    packet::{Packet, Unparsed},
    verdict::DropReason,
    wire::{Cursor, Eth},
};

use super::{
    Net, Sketch, UPLINK_IN, World,
    frame::{assert_only_ends_changed, ends},
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

impl<F: Net> World<F> {
    /// Runs the program of `place` over a frame.
    pub(crate) fn pass(&self, place: Place, frame: &[u8]) -> Outcome {
        let mut frame = frame.to_vec();
        let verdict = self.run(place, &mut frame);
        Outcome { verdict, frame }
    }

    /// Exactly the steps of the kernel's program.
    fn run(&self, place: Place, frame: &mut [u8]) -> Verdict {
        let mut cursor = Cursor::from(frame);
        let Some(eth) = cursor.take::<Eth>() else { return Verdict::Unparsed(Unparsed::Short) };
        if eth.ethertype != F::ETHERTYPE {
            return Verdict::Unparsed(Unparsed::Foreign);
        }
        let packet = match Packet::<F>::parse(eth, cursor) {
            Ok(packet) => packet,
            Err(why) => return Verdict::Unparsed(why),
        };
        let key = packet.flow(place.hook);
        let entry = match self.flow(&key) {
            Some(entry) if decides::<F>(entry, packet.transport, packet.flags, self) => entry,
            _ => match learn(self, place, &mut Scratch::new(key), packet.transport, packet.flags) {
                Learned::Known => match self.flow(&key).or_else(|| self.half_open(&key)) {
                    Some(entry) => entry,
                    None => return Verdict::Lost,
                },
                Learned::NotOurs => return Verdict::NotOurs,
                Learned::Refused(reason) => return Verdict::Refused(reason),
                Learned::Dropped(reason) => return Verdict::Dropped(reason),
            },
        };
        self.act(packet, entry)
    }

    /// Does what a flow says.
    fn act(&self, mut packet: Packet<'_, F>, entry: &FlowEntry<F::Addr>) -> Verdict {
        entry.touch(packet.flags, self.now());
        if entry.recipe.is_one_way() {
            let end = |addr| F::ip(addr);
            return Verdict::Tunnelled(end(entry.recipe.src), end(entry.recipe.dst));
        }
        packet.rewrite(&entry.recipe);
        Verdict::Translated(Action::of(entry.recipe.action), entry.recipe.ifindex)
    }

    /// Takes a frame out of a packet to `to`, as the program of the uplink does.
    pub(crate) fn unwrap(&self, to: IpAddr, sketch: &Sketch) -> Sent {
        let before = sketch.build();
        let mut frame = before.clone();
        let mut cursor = Cursor::from(frame.as_mut_slice());
        let eth = cursor.take::<Eth>().unwrap();
        let Ok(packet) = Packet::<F>::parse(eth, cursor) else { panic!("a frame that was built") };
        let key = packet.flow(Hook::Ingress);
        let mut scratch = Scratch::new(key);
        scratch.set_inner(F::addr(to), 20, packet.flags);
        let verdict = match learn(self, UPLINK_IN, &mut scratch, packet.transport, packet.flags) {
            Learned::Known => {
                let entry = self.flow(&key).or_else(|| self.half_open(&key)).unwrap();
                let verdict = self.act(packet, entry);
                assert_only_ends_changed(&before, &frame);
                let (src, dst) = ends(&frame);
                return Sent { verdict, src, dst };
            }
            Learned::NotOurs => Verdict::NotOurs,
            Learned::Refused(reason) => Verdict::Refused(reason),
            Learned::Dropped(reason) => Verdict::Dropped(reason),
        };
        let (src, dst) = ends(&before);
        Sent { verdict, src, dst }
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
