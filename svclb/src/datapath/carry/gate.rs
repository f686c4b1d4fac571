//! What programs look up before they open a flow: without it they open none, and find nothing wrong with that.

use aya::maps::MapError;
use svclb_common::{
    cell::Word32,
    family::{Address, V4, V6},
    key::FrontendKey,
    layout::map,
    service::{Frontend, ServiceRanges},
};

use crate::{
    datapath::{
        Error,
        family::MapFamily,
        pins::Pins,
        sweep::fd,
        tables::{Hash, absent, element, open_array, open_hash},
    },
    sys::{
        hash,
        mapped::{Access, MappedArray},
    },
};

/// The maps, of each family.
pub(super) const MAPS: [&str; 5] =
    [map::FRONTENDS, map::NODE_PORTS, map::CLUSTER_IPS, map::EXTERNAL_IPS, map::RANGES];

/// Makes `own` say what `older` does.
pub(super) fn fill_all(older: &Pins, own: &Pins) -> Result<(), Error> {
    Gate::<V4>::open(older)?.fill(&Gate::<V4>::open(own)?)?;
    Gate::<V6>::open(older)?.fill(&Gate::<V6>::open(own)?)
}

/// Empties the maps of both families.
pub(super) fn close_all(older: &Pins) -> Result<(), Error> {
    Gate::<V4>::open(older)?.close()?;
    Gate::<V6>::open(older)?.close()
}

struct Gate<F: MapFamily> {
    frontends: Hash<FrontendKey<F::Addr>, Frontend>,
    node_ports: MappedArray<Word32>,
    cluster_ips: Hash<F::Addr, u32>,
    external_ips: Hash<F::Addr, u32>,
    ranges: MappedArray<ServiceRanges<F::Addr>>,
}

impl<F: MapFamily> Gate<F> {
    fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self {
            frontends: open_hash(pins, &F::map(map::FRONTENDS))?,
            node_ports: open_array(pins, &F::map(map::NODE_PORTS), Access::Write)?,
            cluster_ips: open_hash(pins, &F::map(map::CLUSTER_IPS))?,
            external_ips: open_hash(pins, &F::map(map::EXTERNAL_IPS))?,
            ranges: open_array(pins, &F::map(map::RANGES), Access::Write)?,
        })
    }

    fn ranges(&self) -> Result<&ServiceRanges<F::Addr>, Error> {
        element(&self.ranges, F::map(map::RANGES), 0)
    }

    fn fill(&self, own: &Self) -> Result<(), Error> {
        copy::<F, _, _>(&self.frontends, &own.frontends, map::FRONTENDS)?;
        copy::<F, _, _>(&self.cluster_ips, &own.cluster_ips, map::CLUSTER_IPS)?;
        copy::<F, _, _>(&self.external_ips, &own.external_ips, map::EXTERNAL_IPS)?;
        for (port, service) in self.node_ports.iter().filter(|(_, service)| service.load() != 0) {
            element(&own.node_ports, F::map(map::NODE_PORTS), port)?.store(service.load());
        }
        let (from, to) = (self.ranges()?, own.ranges()?);
        for (from, to) in
            [&from.cover].into_iter().chain(&from.cidrs).zip([&to.cover].into_iter().chain(&to.cidrs))
        {
            to.mask.store(from.mask.load());
            to.addr.store(from.addr.load());
        }
        to.len.store(from.len.load());
        Ok(())
    }

    /// First what is said of addresses without a frontend: a Service that is not there any more is to be nobody's, and
    /// not to be refused.
    fn close(&mut self) -> Result<(), Error> {
        let ranges = self.ranges()?;
        ranges.len.store(0);
        ranges.cover.addr.store(F::Addr::ZERO);
        clear::<F, _, _>(&mut self.cluster_ips, map::CLUSTER_IPS)?;
        clear::<F, _, _>(&mut self.external_ips, map::EXTERNAL_IPS)?;
        for (_, service) in self.node_ports.iter().filter(|(_, service)| service.load() != 0) {
            service.store(0);
        }
        clear::<F, _, _>(&mut self.frontends, map::FRONTENDS)
    }
}

fn copy<F: MapFamily, K: aya::Pod, V: aya::Pod>(
    from: &Hash<K, V>,
    to: &Hash<K, V>,
    name: &str,
) -> Result<(), Error> {
    for item in from {
        let (key, value) = item.map_err(|error| Error::map(F::map(name), &error))?;
        hash::insert(fd(to), &key, &value).map_err(|error| Error::map(F::map(name), &error))?;
    }
    Ok(())
}

fn clear<F: MapFamily, K: aya::Pod, V: aya::Pod>(map: &mut Hash<K, V>, name: &str) -> Result<(), Error> {
    let failed = |error: MapError| Error::map(F::map(name), &error);
    let keys = map.keys().collect::<Result<Vec<K>, _>>().map_err(failed)?;
    keys.iter().try_for_each(|key| map.remove(key).or_else(absent)).map_err(failed)
}
