//! One pass from what is wanted to what is in the kernel.

mod answer;
mod hooks;
mod pass;
mod succession;
mod tell;

use std::{collections::BTreeSet, net::IpAddr, process, sync::Arc};

use svclb_common::{
    config::{DatapathConfig, SocketMode},
    service::LOCAL_NODE_PORTS,
};

pub(super) use self::pass::Pass;
use super::{
    RunError, Settings, detect,
    devices::{Chosen, addresses},
    few::by_service,
    loopback::{Loopback, Need},
    opt_outs::PodOptOuts,
    services::{Services, Written},
    stranded::Stranded,
    told::Told,
};
use crate::{
    config::NodePortAddresses,
    datapath::{
        Error,
        addresses::AddressMaps,
        attach::{Attachments, Wanted},
        carry::Carry,
        loader::{self, Programs},
        loopback,
        pods::PodMaps,
        ranges::RangeMaps,
        readback,
        resize::Resize,
        tables::Tables,
        xdp::attached_xdp,
    },
    model::{Delta, Family, Frontend, FrontendKind, Model, NodeState},
    netdev::Network,
    plan::{Limits, Readback},
    source::Batch,
    sys::mapped::Access,
    takeover::Takeover,
};

/// The one writer of tables and hooks.
pub(super) struct Syncer {
    settings: Settings,
    services: Services,
    programs: Programs,
    datapath: DatapathConfig,
    /// Flow tables that change their size.
    resize: Resize,
    /// Whether the programs are those of an earlier step of that.
    is_outdated: bool,
    addresses: AddressMaps,
    ranges: RangeMaps,
    pods: PodMaps,
    attachments: Attachments,
    /// An agent of another layout whose programs are still attached.
    older: Option<Carry>,
    loopback: Loopback,
    opt_outs: PodOptOuts,
    stranded: Stranded,
    takeover: Takeover,
    /// What was last attached to; hooks are left alone while it stays.
    attached: Option<Wanted>,
    /// The network that addresses, ranges and hooks were last brought in line with.
    seen: Option<Arc<Network>>,
    /// Whether they are to be looked at again, whatever has changed.
    is_stale: bool,
    /// Devices that a default route has left by, while they are there.
    uplinks: BTreeSet<u32>,
    /// What the Node object said while it was there.
    node: NodeState,
    refused: Told,
    missing: Told,
    left_out: Told,
    without_xdp: Told,
    failures: Told,
}

impl Syncer {
    /// Loads the programs and takes over what is in the kernel.
    pub(super) fn new(settings: &Settings) -> Result<Self, RunError> {
        let pins = &settings.pins;
        let capacities = settings.capacities();
        let older = Carry::find(pins, &capacities)?;
        older.as_ref().map_or(Ok(()), Carry::share)?;
        let resize = Resize::plan(pins, &capacities)?;
        let datapath = settings.datapath()?;
        let programs = loader::load(pins, &capacities, &resize, &datapath)?;
        older.as_ref().map_or(Ok(()), Carry::fill)?;
        let tables = Tables::open(pins, Access::Write)?;
        let state = tables.state()?;
        state.synced.store(0);
        state.pid.store(process::id());
        state.writes.store(0);
        state.applied.store(0);
        for (word, seconds) in state.timeouts.iter().zip(settings.config.flow_timeouts.0.seconds) {
            word.store(seconds);
        }
        let limits = Limits { maglev_table: settings.config.maglev_table_size.get(), ..Limits::default() };
        let read = Readback::new(readback::read(&tables)?, &limits);
        let attachments = Attachments::adopt(pins, settings.tc)?;
        let mode = settings.devices.socket_mode;
        Ok(Self {
            settings: settings.clone(),
            services: Services::adopt(tables, read, limits, settings.model.clone())?,
            uplinks: attachments.uplinks(),
            programs,
            resize,
            is_outdated: false,
            datapath,
            addresses: AddressMaps::open(pins)?,
            ranges: RangeMaps::open(pins)?,
            pods: PodMaps::open(pins)?,
            opt_outs: PodOptOuts::open(
                pins,
                settings.devices.cgroup.as_deref().filter(|_| mode == SocketMode::All),
            )?,
            stranded: Stranded::open(pins, mode != SocketMode::Off)?,
            takeover: Takeover::new(pins),
            attachments,
            older,
            loopback: Loopback::default(),
            attached: None,
            seen: None,
            is_stale: true,
            node: NodeState::default(),
            refused: Told::default(),
            missing: Told::default(),
            left_out: Told::default(),
            without_xdp: Told::default(),
            failures: Told::default(),
        })
    }

    /// Begins with what `model` has been told before.
    pub(super) fn begin_with(&mut self, model: Model) {
        self.services.begin_with(model);
    }

    /// What is wanted.
    pub(super) fn model(&self) -> &Model {
        self.services.model()
    }

    /// Takes in what the source tells.
    pub(super) fn take(&mut self, batch: Batch) {
        self.services.take(batch);
    }

    /// Whether the source knows that it has not told everything.
    pub(super) fn is_partial(&self) -> bool {
        self.services.is_partial()
    }

    /// Takes as little memory as possible, at the cost of a look at everything.
    pub(super) fn compact(&mut self) {
        if let Err(error) = self.services.compact() {
            tracing::warn!("more memory is used than needed: {error}");
        }
    }

    /// Brings the kernel to what is wanted. What was written stays written, and is known.
    ///
    /// Until the source has told everything, the tables stay as an earlier agent left them, and its hooks are kept
    /// up: pods come and go while an API server is away.
    /// What follows from the node's network and from few other things is looked at when one of them has changed: of
    /// most passes the cause is an endpoint.
    pub(super) async fn sync(&mut self, network: &Arc<Network>) -> Pass {
        let delta = self.services.settle();
        let mut pass = Pass { delta, ..Pass::default() };
        self.tell_node_ports(&pass.delta);
        if !self.services.are_usable() {
            return pass;
        }
        let is_seen = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, network));
        pass.has_moved = self.is_stale || !is_seen || pass.delta.node_changed || pass.delta.cidrs_changed;

        // Each part goes as far as it can: a full table of addresses must not keep Services from changing.
        // A device leads somewhere once it carries programs, so addresses come before hooks for those that do and
        // after them for those that did not.
        let mut failures = Vec::new();
        if pass.has_moved {
            failures.extend(self.sync_addresses(network).err());
        }
        let had_streams = self.services.have_streams();
        match self.sync_services() {
            Ok(written) => {
                pass.is_applied = self.services.are_loaded();
                pass.has_moved |=
                    written.as_ref().is_some_and(|written| written.is_full || written.moves_cluster_ips);
                pass.written = written;
            }
            Err(error) => {
                pass.has_moved = true;
                failures.push(error);
            }
        }
        pass.has_moved |= self.services.have_streams() != had_streams;
        if pass.has_moved {
            failures.extend(self.sync_ranges().err());
        }
        // Before the hooks: a pod that has opted out is never translated by this agent.
        if self.services.are_loaded() {
            let (model, tables) = (self.services.model(), self.services.tables());
            failures.extend(self.opt_outs.sync(model.opt_outs(), tables).err());
        }
        if pass.has_moved {
            // Before programs see a packet of theirs, and again for those that have begun meanwhile.
            let own = network.addresses.iter().map(|(_, ip)| *ip).collect();
            let is_loaded = self.services.are_loaded();
            if is_loaded {
                self.takeover.begin(self.services.tables(), self.services.applied(), &own);
            }
            failures.extend(self.sync_hooks(network).await.err());
            if is_loaded {
                self.takeover.end(self.services.tables(), self.services.applied(), &own);
            }
            failures.extend(self.sync_addresses(network).err());
            self.seen = Some(Arc::clone(network));
        }
        if failures.is_empty() {
            failures.extend(self.succeed(network).await.err());
        }
        let mut has_more = false;
        match self.stranded.end(self.services.tables()) {
            Ok(more) => has_more = more,
            Err(error) => failures.push(error),
        }

        let works = failures.is_empty() && !self.attachments.is_incomplete() && self.older.is_none();
        self.failures.now(failures.iter().map(ToString::to_string), |line| tracing::error!("{line}"));
        self.mark(works && self.services.are_complete());
        self.is_stale = !works;
        pass.is_to_be_repeated = !works || has_more;
        pass
    }

    /// Resolves when another pass finds a pod that it has not found before.
    pub(super) async fn pods_changed(&mut self) {
        tokio::select! {
            () = self.opt_outs.changed() => {}
            () = self.takeover.lapsed() => self.stranded.note(),
        }
    }

    /// Addresses of the node on which node ports answer.
    pub(super) fn node_port_addresses(&self) -> Vec<IpAddr> {
        self.addresses.local().filter(|(_, flags)| flags & LOCAL_NODE_PORTS != 0).map(|(ip, _)| ip).collect()
    }

    fn sync_addresses(&mut self, network: &Network) -> Result<(), Error> {
        let node = self.services.model().node();
        if node.exists {
            self.node.clone_from(node);
        }
        // Until the Node is known, what an earlier agent chose by it stays.
        let node_port_addresses = &self.settings.config.node_port_addresses;
        let chooses_by_node = *node_port_addresses == NodePortAddresses::Primary && !self.node.exists;
        let node_ports = |ip| {
            if chooses_by_node {
                self.addresses.flags(ip) & LOCAL_NODE_PORTS != 0
            } else {
                node_port_addresses.accepts(ip, &self.node)
                    // ipvs, and caches on the node, put addresses of Services on devices.
                    && !self.services.applied().tables(Family::of(ip)).has_cluster_ip(ip)
            }
        };
        // What leads somewhere by an older agent's programs goes on to: both agents' programs look here.
        let older: BTreeSet<u32> = self.older.iter().flat_map(Carry::devices).collect();
        let carries = |index| self.attachments.carries(index) || older.contains(&index);
        let wanted = addresses(network, carries, node_ports);
        let addresses = self.addresses.apply(&wanted, self.services.tables());
        let config = &self.settings.config;
        let rules = detect::rules(&config.detect_local, &config.cluster_cidrs, &self.node, network);
        let pods = rules.map_or(Ok(()), |rules| self.pods.apply(&rules, self.services.tables()));
        addresses.and(pods)
    }

    /// Nothing in the API says which ports are node ports; the Services that there are show some.
    fn tell_node_ports(&self, delta: &Delta) {
        let (range, services) = (self.settings.config.snat_ports, self.services.model().services());
        for (key, service) in delta.services.iter().filter_map(|key| services.get_key_value(key)) {
            let is_inside = |it: &&Frontend| it.kind == FrontendKind::NodePort && range.contains(it.port);
            for frontend in service.frontends.iter().filter(is_inside) {
                tracing::warn!(
                    "{key}: its node port {} is among the ports for source translation, {range}: choose others by \
                     --snat-ports",
                    frontend.port
                );
            }
        }
    }

    fn sync_services(&mut self) -> Result<Option<Written>, Error> {
        if !self.services.are_due() {
            return Ok(None);
        }
        self.mark(false);
        let written = self.services.write();
        // What was written before a failure stays written.
        if written.as_ref().map_or(true, |written| written.may_strand) {
            self.stranded.note();
        }
        let written = written?;
        if written.writes > 0 {
            tracing::info!(
                writes = written.writes,
                services = self.services.model().services().len(),
                "tables change"
            );
        }
        let refused = by_service(&written.refused).flat_map(|(told, rest)| {
            let lines = told.iter().map(|refused| format!("{}: {}", refused.key, refused.reason));
            let service = told.first().filter(|_| rest > 0).map(|refused| &refused.key);
            let more = service
                .map(|key| format!("{}/{}: {rest} more of its ports do not fit", key.namespace, key.name));
            lines.chain(more)
        });
        self.refused.now(refused, |line| tracing::error!("{line}"));
        Ok(Some(written))
    }

    fn sync_ranges(&mut self) -> Result<(), Error> {
        if !self.services.are_loaded() {
            return Ok(());
        }
        let services = &self.services;
        let cover = |family| services.applied().cluster_ip_cover(family);
        let left_out = self.ranges.apply(services.model().service_cidrs(), cover, services.tables())?;
        let lines = left_out.iter().map(|range| {
            format!(
                "ServiceCIDR {range}: no room: addresses in it that no Service has are routed like others"
            )
        });
        self.left_out.now(lines, |line| tracing::warn!("{line}"));
        Ok(())
    }

    /// Hooks come after the tables: a program that finds a frontend finds its backends.
    async fn sync_hooks(&mut self, network: &Network) -> Result<(), Error> {
        let older = self.older.take();
        let result = self.sync_hooks_beside(network, older.as_ref()).await;
        self.older = older;
        result
    }

    /// The same, beside the programs of an older agent.
    async fn sync_hooks_beside(&mut self, network: &Network, older: Option<&Carry>) -> Result<(), Error> {
        let is_same = |index: &u32| {
            network.links.contains_key(index)
                && self.seen.as_ref().is_none_or(|seen| seen.births.of(*index) == network.births.of(*index))
        };
        self.uplinks.retain(is_same);
        let mut xdp = attached_xdp(&self.settings.pins);
        xdp.extend(older.into_iter().flat_map(Carry::xdp_devices));
        let Chosen { mut wanted, missing, without_xdp } =
            self.settings.devices.chosen(network, &self.uplinks, &xdp);
        self.without_xdp.now(without_xdp, |line| tracing::info!("{line}"));
        self.missing.now(missing, |name| tracing::warn!("--uplink {name}: there is no such device"));
        self.uplinks.extend(&network.default_routes);
        // What is in the tables counts, told by the source or not: another agent may just take over.
        let need = match (wanted.loopback, self.services.have_streams()) {
            (true, _) => Need::Everybody,
            (false, true) => Need::Streams,
            (false, false) => Need::Nobody,
        };
        let pins = &self.settings.pins;
        wanted.loopback = self.loopback.choose(need, || loopback::open(pins), || loopback::close(pins))?;
        if self.attached.as_ref() == Some(&wanted) && !self.attachments.is_incomplete() {
            return Ok(());
        }
        // Until it is sure, nothing is.
        self.attached = None;
        self.attach(&wanted, older).await?;
        self.attached = Some(wanted);
        Ok(())
    }

    /// Tells other processes.
    fn mark(&self, synced: bool) {
        if let Ok(state) = self.services.tables().state() {
            state.synced.store(synced.into());
        }
    }

    /// Says that nobody follows changes any more.
    pub(super) fn leave(&self) {
        self.mark(false);
    }
}
