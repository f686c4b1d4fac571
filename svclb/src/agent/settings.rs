//! The agent's settings, validated.

use std::{collections::BTreeMap, path::PathBuf};

use svclb_common::{
    config::{DatapathConfig, SNAT_PORTS},
    layout::map,
};

use super::{Devices, RunError};
use crate::{
    datapath::{attach::TcMode, object::Capacities, pins::Pins},
    sys::netns,
};

/// What the agent was asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `--node-name`.
    pub node_name: String,
    /// `--manifests`.
    pub manifests: PathBuf,
    /// `--bpffs`.
    pub pins: Pins,
    /// What to attach to.
    pub devices: Devices,
    /// How to attach.
    pub tc: TcMode,
    /// Capacity of the flow tables.
    pub max_flows: Option<u32>,
}

impl Settings {
    /// Capacities other than the bytecode's.
    pub(super) fn capacities(&self) -> Capacities {
        let mut capacities = BTreeMap::new();
        for family in ["V4", "V6"] {
            if let Some(flows) = self.max_flows {
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
            snat_port_min: SNAT_PORTS.0,
            snat_port_max: SNAT_PORTS.1,
            ..DatapathConfig::PER_PACKET
        })
    }
}
