//! What cells and devices are called.

use std::collections::BTreeMap;

use crate::{
    datapath::{attach::attached, pins::Pins, readback, tables::Tables},
    netdev::device_names,
    plan::{Applied, Limits, Readback},
    sys::mapped::Access,
};

/// The names of now.
pub(super) struct Names {
    pub(super) applied: Applied,
    devices: BTreeMap<u32, String>,
    roles: BTreeMap<String, &'static str>,
}

impl Names {
    /// Reads the tables, and asks for devices.
    pub(super) fn read(pins: &Pins) -> anyhow::Result<Self> {
        let tables = Tables::open(pins, Access::Read)?;
        let applied = Readback::new(readback::read(&tables)?, &Limits::default()).applied;
        let devices = device_names();
        let role = |program: &str| if program.starts_with("pod") { "pod" } else { "uplink" };
        // Who may not ask the kernel for programs does without the roles.
        let roles = attached(pins, &devices)
            .unwrap_or_default()
            .into_iter()
            .filter(|attached| attached.device != "cgroup")
            .map(|attached| (attached.device, role(&attached.program)))
            .collect();
        Ok(Self { applied, devices, roles })
    }

    /// The name of a device, and what it leads to.
    pub(super) fn device(&self, ifindex: u32) -> (String, &'static str) {
        let name = self.devices.get(&ifindex).cloned().unwrap_or_else(|| format!("device {ifindex}"));
        let role = self.roles.get(&name).copied().unwrap_or_default();
        (name, role)
    }
}
