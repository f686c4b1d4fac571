//! What the programs of a lab have counted and told.

use aya::maps::{HashMap, PerCpuArray, RingBuf};
use svclb_common::{
    event::{Event, Log, LogKey},
    layout::{map, row_of},
    service::{Entrance, Load, Outcomes, ServiceId, Traffic},
    verdict::DropReason,
};

use super::lab::{Lab, of};

impl Lab {
    /// Packets by reason since the lab began.
    pub fn drops(&mut self) -> anyhow::Result<Vec<(DropReason, u64)>> {
        let counters = PerCpuArray::<_, u64>::try_from(self.map_mut(map::DROPS)?)?;
        DropReason::ALL
            .iter()
            .map(|reason| Ok((*reason, counters.get(&(*reason as u32), 0)?.iter().sum())))
            .collect()
    }

    /// The events since the last call.
    pub fn events(&mut self) -> anyhow::Result<Vec<Event>> {
        let mut ring = RingBuf::try_from(self.map_mut(map::EVENTS)?)?;
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            events.push(bytemuck::pod_read_unaligned(&item));
        }
        Ok(events)
    }

    /// A service cell's traffic since the lab began.
    pub fn traffic(&mut self, is_v4: bool, service: ServiceId) -> anyhow::Result<Traffic> {
        let counters = PerCpuArray::<_, Traffic>::try_from(self.map_mut(&of(map::TRAFFIC, is_v4))?)?;
        Ok(counters.get(&service, 0)?.iter().fold(Traffic::default(), |sum, cpu| Traffic {
            flows: sum.flows + cpu.flows,
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
        }))
    }

    /// New flows of a backend cell since the lab began.
    pub fn picks(&mut self, is_v4: bool, backend: u32) -> anyhow::Result<u64> {
        Ok(self.load_of(is_v4, backend)?.flows)
    }

    /// What a backend cell's flows have come to since the lab began.
    pub fn load_of(&mut self, is_v4: bool, backend: u32) -> anyhow::Result<Load> {
        let counters = PerCpuArray::<_, Load>::try_from(self.map_mut(map::LOADS)?)?;
        Ok(counters.get(&row(is_v4, backend), 0)?.iter().fold(Load::default(), |sum, cpu| Load {
            flows: sum.flows + cpu.flows,
            packets: sum.packets + cpu.packets,
            bytes: sum.bytes + cpu.bytes,
        }))
    }

    /// What became of a backend cell's flows since the lab began.
    pub fn outcomes(&mut self, is_v4: bool, backend: u32) -> anyhow::Result<Outcomes> {
        self.get(map::OUTCOMES, row(is_v4, backend))
    }

    /// New flows of a service cell by kind of frontend since the lab began.
    pub fn entrance(&mut self, is_v4: bool, service: ServiceId) -> anyhow::Result<Entrance> {
        self.get(map::ENTRANCES, row(is_v4, service))
    }

    /// Says until when a service's new flows are spoken for.
    pub fn spend(&mut self, is_v4: bool, service: ServiceId, due: u64) -> anyhow::Result<()> {
        let entrance = self.entrance(is_v4, service)?;
        self.set(map::ENTRANCES, row(is_v4, service), Entrance { due, ..entrance })
    }

    /// Logs of the flight recorder.
    pub fn logs(&mut self) -> anyhow::Result<Vec<(LogKey, Log)>> {
        Ok(HashMap::try_from(self.map_mut(map::RECORDER)?)?.iter().collect::<Result<_, _>>()?)
    }
}

/// The row of a cell in a map of both families.
fn row(is_v4: bool, cell: u32) -> u32 {
    const AF_INET6: u8 = 10;
    row_of(if is_v4 { 2 } else { AF_INET6 }, cell)
}
