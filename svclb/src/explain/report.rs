//! What is printed.

use serde::Serialize;

use super::packet::Packet;

/// What becomes of a packet, and why.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Explanation {
    /// The packet.
    pub(super) packet: Packet,
    /// The device where it meets programs.
    pub(super) device: String,
    /// The hook there.
    pub(super) hook: String,
    /// The program.
    pub(super) program: String,
    /// What was decided, in that order.
    pub(super) steps: Vec<Step>,
    /// What becomes of it.
    pub(super) verdict: Verdict,
    /// Why that is not what its sender wants, and what to look at.
    pub(super) causes: Vec<String>,
    /// Where the tables are not what the API wants.
    pub(super) disagreements: Vec<String>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Step {
    /// What it is about.
    #[serde(rename = "step")]
    pub(super) about: &'static str,
    /// What was decided.
    pub(super) detail: String,
    /// The object that it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<Object>,
}

/// An object of the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Object {
    /// `Service`, `EndpointSlice` or `Pod`.
    pub(super) kind: &'static str,
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
    /// `metadata.resourceVersion`; none where nobody tells.
    pub(super) resource_version: Option<String>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// `translated`, `passed`, `refused`, `answered` or `dropped`.
    pub(super) action: &'static str,
    /// The drop reason, as metrics name it.
    pub(super) reason: Option<&'static str>,
    /// For people.
    pub(super) detail: String,
    /// The source that it is given.
    pub(super) from: Option<String>,
    /// The destination that it is given.
    pub(super) to: Option<String>,
    /// The device by which it goes on, if the program sends it.
    pub(super) device: Option<String>,
}

impl Explanation {
    /// Adds a step.
    pub(super) fn step(&mut self, step: &'static str, detail: impl Into<String>) {
        self.steps.push(Step { about: step, detail: detail.into(), object: None });
    }

    /// Adds a step that follows from an object.
    pub(super) fn step_of(&mut self, step: &'static str, object: Object, detail: impl Into<String>) {
        self.steps.push(Step { about: step, detail: detail.into(), object: Some(object) });
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { packet, device, hook, program, steps, verdict, causes, disagreements } = self;
        let flags = if packet.flags.is_empty() { String::new() } else { format!(" {}", packet.flags) };
        let mut lines = vec![format!(
            "{}{flags} {} ({} bytes)",
            packet.protocol.to_uppercase(),
            packet.ends(),
            packet.bytes
        )];
        lines.push(format!("  {:<10} {device}, {hook}: {program}", "at"));
        for Step { about, detail, object } in steps {
            let object = object.as_ref().map_or(String::new(), |object| format!(" [{}]", object.text()));
            lines.push(format!("  {about:<10} {detail}{object}"));
        }
        let reason = verdict.reason.map_or(String::new(), |reason| format!(" ({reason})"));
        lines.push(format!("  {:<10} {}{reason}: {}", "verdict", verdict.action, verdict.detail));
        lines.extend(causes.iter().map(|cause| format!("  {:<10} {cause}", "cause")));
        lines.extend(disagreements.iter().map(|line| format!("  {:<10} {line}", "disagrees")));
        lines.join("\n")
    }
}

impl Object {
    fn text(&self) -> String {
        let Self { kind, namespace, name, resource_version } = self;
        let version = resource_version.as_ref().map_or(String::new(), |it| format!(", version {it}"));
        format!("{kind} {namespace}/{name}{version}")
    }
}
