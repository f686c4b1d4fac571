//! The way of a frame through a device's program, and what became of it.

use std::net::SocketAddr;

use svclb_common::{
    balance::{Learned, Place, Scratch, Tables, decides, learn},
    flow::Action,
    packet::{Packet, Unparsed},
    verdict::DropReason,
    wire::{Cursor, Eth},
};

use super::{
    Net, Sketch, World,
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
    /// It has become its own answer.
    Echoed,
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
        let mut cursor = Cursor::from(&mut *frame);
        let Some(eth) = cursor.take::<Eth>() else { return Verdict::Unparsed(Unparsed::Short) };
        if eth.ethertype != F::ETHERTYPE {
            return Verdict::Unparsed(Unparsed::Foreign);
        }
        let mut packet = match Packet::<F>::parse(eth, cursor) {
            Ok(packet) => packet,
            Err(Unparsed::Icmp) => return self.hear(place, frame),
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
        entry.touch(packet.flags, self.now());
        packet.rewrite(&entry.recipe);
        Verdict::Translated(Action::of(entry.recipe.action), entry.recipe.ifindex)
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
