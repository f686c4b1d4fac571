//! What a pass leaves wrong, for the board of problems.

use super::Syncer;
use crate::{
    condition::{self, Problem, Topic},
    netdev::Network,
};

impl Syncer {
    /// Tells what does not hold after a pass.
    pub(in crate::agent) fn tell(&self, network: &Network) {
        let retried = "it is tried again twice a second; the log has the first occurrence";
        let failed = self.failures.lines().map(|line| {
            Problem::error(format!("tables or hooks could not be written: {line}"), "tables", retried)
        });
        condition::tell(Topic::Pass, failed.chain(self.lesser()));
        let refusals = self.attachments.refusals().map(|(ifindex, line)| {
            let name =
                network.links.get(&ifindex).map_or_else(|| ifindex.to_string(), |link| link.name.clone());
            let what = format!("the device carries no programs: {line}");
            Problem::error(
                what,
                name,
                "svclb check says what the device can do; leave it out by --uplink or --pod-interface",
            )
        });
        condition::tell(Topic::Devices, refusals);
        let room = self.refused.lines().map(|line| {
            let place = line.split(": ").next().unwrap_or_default();
            Problem::error(
                format!("a Service port does not fit: {line}"),
                place,
                "delete Services, or ask for fewer ports; docs/tables.md has the sizes",
            )
        });
        condition::tell(Topic::Room, room);
        let older = self.older.as_ref().map(|_| {
            let what = "an older agent's programs are still beside these";
            Problem::warning(what, "hooks", "wait: they go when all flows have changed hands")
        });
        condition::tell(Topic::Succession, older);
        let notices = self.services.model().notices().take(condition::MOST + 1).map(|notice| {
            let place = format!("{} {}", notice.kind.as_str(), notice.object);
            let what = format!("{}: {}: {}", notice.reason.as_str(), notice.field, notice.message);
            Problem::warning(what, place, "mend the object; its Events say the same")
        });
        condition::tell(Topic::Objects, notices);
        let unread = self.services.is_partial().then(|| {
            let what = "some objects have never had a state that can be read: what they had before stays";
            Problem::error(what, "source", "the agent's log names them")
        });
        condition::tell(Topic::Unread, unread);
    }

    /// What keeps no other Service from working.
    fn lesser(&self) -> impl Iterator<Item = Problem> {
        let missing = self.missing.lines().map(|name| {
            Problem::error(
                "an uplink that the configuration names is not there",
                name,
                "mend --uplink, or make the device",
            )
        });
        let ranges = self.left_out.lines().map(|line| {
            Problem::warning(
                format!("a ServiceCIDR has no room: {line}"),
                "ServiceCIDR",
                "have fewer ServiceCIDRs",
            )
        });
        missing.chain(ranges)
    }

    /// Makes the next pass look at all hooks, whatever has changed.
    pub(in crate::agent) fn doubt_hooks(&mut self) {
        self.is_stale = true;
        self.attached = None;
    }
}
