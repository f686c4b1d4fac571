//! The smallest world with a choice: one client, one virtual address, two backends.

use svclb_common::wire::Transport;

use crate::world::{ACK, FAR, FAR2, Net, POD, POD_IN, POD_OUT, SYN, Sent, VIP, World, at, open};

/// One client pod, one virtual address, two backends.
pub(crate) struct Pair<F: Net> {
    pub(crate) world: World<F>,
    transport: Transport,
    pub(crate) service: u32,
}

impl<F: Net> Pair<F> {
    pub(crate) fn new(transport: Transport) -> Self {
        let mut world = World::new();
        let service = world.serve(transport, at::<F>(VIP, 80), &[at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        Self { world, transport, service }
    }

    pub(crate) fn there(&self, flags: u8) -> Sent {
        self.world.send(POD_IN, &open(self.transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).with(flags))
    }

    pub(crate) fn back(&self, from: Sent, flags: u8) -> Sent {
        self.world.send(POD_OUT, &open(self.transport, from.dst, from.src).with(flags))
    }

    /// Opens and establishes the flow.
    pub(crate) fn establish(&self) -> Sent {
        let sent = self.there(SYN);
        self.back(sent, SYN | ACK);
        assert_eq!(self.there(ACK), sent);
        assert_eq!((self.world.flows.len(), self.world.half_open.len()), (2, 0));
        sent
    }

    /// How often a new selection differs: tries until it does.
    pub(crate) fn selects_anew(&self, mut again: impl FnMut(Sent) -> Sent) {
        let first = self.there(SYN);
        assert!((0..64).any(|_| again(first).dst != first.dst), "64 times the same of two backends");
    }

    /// Gives up the backend that `sent` went to.
    pub(crate) fn retire(&mut self, sent: Sent) {
        let ids = if sent.dst == at::<F>(FAR, 8080) { (1, 2) } else { (2, 1) };
        self.world.set_backends(self.service, &[ids.1]);
        self.world.retire(ids.0);
    }
}
