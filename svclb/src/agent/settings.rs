//! The agent's settings, validated.

use std::collections::BTreeMap;

use svclb_common::{
    config::{
        BPF_LOOP, DSR_GUE, DSR_TCP, DSR_UDP, DatapathConfig, MASQUERADE_ALL, MASQUERADE_COMPAT,
        NODE_PORT_LOOPBACK_V4, NODE_PORT_LOOPBACK_V6, VIP_ECHO,
    },
    encap::Encapsulation,
    layout::map,
};

use super::{Devices, RunError};
use crate::{
    config::{self, DsrEncapsulation, ExternalMode, RunConfig},
    datapath::{attach::TcMode, object::Capacities, pins::Pins, probe},
    model::{self, NodeState},
    netdev::{Network, Role, lacks_room},
    sys::netns,
};

/// What the agent was asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All of it, as it is told under `/configz`.
    pub config: RunConfig,
    /// The file of `--config`.
    pub file: Option<config::File>,
    /// `--bpffs`.
    pub pins: Pins,
    /// What to attach to.
    pub devices: Devices,
    /// How to attach.
    pub tc: TcMode,
    /// What the model has to know.
    pub model: model::Settings,
}

impl Settings {
    /// What `config`, read from `file` in part, comes to with these devices.
    pub fn new(config: RunConfig, file: Option<config::File>, devices: Devices) -> Self {
        Self {
            pins: Pins::new(&config.bpffs),
            devices,
            tc: config.tc.into(),
            model: model::Settings {
                node_name: config.node_name.clone(),
                algorithm: config.algorithm,
                rate: config.max_new_flows_per_second,
                sandboxes: config.sandbox_runtime_classes.clone(),
                lists_local: config.external_mode != ExternalMode::Snat,
                self_probe: config.self_probe,
            },
            file,
            config,
        }
    }

    /// Capacities other than the bytecode's.
    pub(super) fn capacities(&self) -> Capacities {
        let mut capacities = BTreeMap::new();
        for family in ["V4", "V6"] {
            if let Some(flows) = self.config.max_flows {
                capacities.insert(format!("{}_{family}", map::FLOWS), flows);
                capacities.insert(format!("{}_{family}", map::HALF_OPEN), flows.div_ceil(4).max(16));
            }
        }
        capacities
    }

    /// Settings of the programs.
    pub(super) fn datapath(&self) -> Result<DatapathConfig, RunError> {
        let host_netns = netns::cookie().map_err(|error| {
            RunError::Kernel(format!("this kernel lacks SO_NETNS_COOKIE (Linux 5.14): {error}"))
        })?;
        Ok(DatapathConfig {
            host_netns,
            socket_mode: self.devices.socket_mode as u32,
            snat_port_min: self.config.snat_ports.min,
            snat_port_max: self.config.snat_ports.max,
            flags: self.flags(),
            timeouts: self.config.flow_timeouts.0,
            ..DatapathConfig::PER_PACKET
        })
    }

    /// What is wrong with the uplinks for direct server return, a line for each.
    pub(super) fn lacks_room(&self, network: &Network) -> Vec<String> {
        if self.config.external_mode == ExternalMode::Snat {
            return Vec::new();
        }
        let encapsulation = Encapsulation::of(self.config.dsr_encapsulation == DsrEncapsulation::Gue);
        let roles = self.devices.roles(network).devices;
        let uplinks = roles.iter().filter(|(_, role)| **role == Role::Uplink);
        uplinks.filter_map(|(index, _)| lacks_room(network.links.get(index)?, encapsulation)).collect()
    }

    fn flags(&self) -> u32 {
        let on_loopback = |address: &str| {
            let address = address.parse().ok();
            let setting = &self.config.node_port_addresses;
            let accepts = |address| setting.accepts(address, &NodeState::default());
            self.config.localhost_node_ports && address.is_some_and(accepts)
        };
        let mode = self.config.external_mode;
        let flags = [
            (MASQUERADE_ALL, self.config.masquerade_all),
            (MASQUERADE_COMPAT, self.config.masquerade == config::Masquerade::Compat),
            (BPF_LOOP, probe::has_loop()),
            (VIP_ECHO, self.config.vip_echo),
            (DSR_TCP, mode != ExternalMode::Snat),
            (DSR_UDP, mode == ExternalMode::Dsr),
            (DSR_GUE, self.config.dsr_encapsulation == DsrEncapsulation::Gue),
            (NODE_PORT_LOOPBACK_V4, on_loopback("127.0.0.1")),
            (NODE_PORT_LOOPBACK_V6, on_loopback("::1")),
        ];
        flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum()
    }
}
