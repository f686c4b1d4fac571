//! The decisions on a packet's way, in words.

use std::net::SocketAddr;

use svclb_common::{
    flow::Action,
    key::Hook,
    service::{FrontendKind, List},
    verdict::DropReason,
};

use super::{
    account::{BackendAccount, PortAccount},
    ground::Place,
    packet::Packet,
    report::{Explanation, Object, Verdict},
    scene::Scene,
};
use crate::{
    datapath::replica::{KnownFlow, Ran, Way},
    model::{Family, ServicePortKey, SliceAccount},
    netdev::Role,
};

/// Backends that are named one by one.
const MOST: usize = 16;

/// What a reason means.
pub(super) fn words(reason: DropReason) -> &'static str {
    match reason {
        DropReason::NoBackend => "the Service has no endpoint that serves",
        DropReason::BrokenTables => {
            "a slot names no backend: the tables contradict themselves; restart the agent"
        }
        DropReason::PortsExhausted => "no source port is free towards the backend: widen --snat-ports",
        DropReason::FlowTableFull => "the flow table takes no more entries: raise --max-flows",
        DropReason::NoRoute => "the node has no route to the backend by a device that carries programs",
        DropReason::HopLimit => "the packet's hop limit has run out",
        DropReason::TooBig => "the packet is larger than the way to the backend carries (MTU)",
        DropReason::Unwritable => "the packet could not be changed",
        DropReason::EventLost => "an event was lost",
        DropReason::StrayReset => "a reset or an ICMP error about a connection that nobody knows",
        DropReason::NoLocalBackend => "the policy is Local, and all endpoints are on other nodes",
        DropReason::SourceRange => "the source is in none of the ranges in loadBalancerSourceRanges",
        DropReason::UnknownPort => "the ClusterIP has no such port",
        DropReason::UnallocatedVip => "the address is in a Service CIDR, and no proxied Service has it",
        DropReason::UnknownFragment => "the first fragment of its datagram has not come by",
        DropReason::BadTunnel => "another node sent it for a backend that this node does not have",
        DropReason::RateLimited => "the Service takes no more new flows this second",
    }
}

/// What the programs did with a packet.
pub(super) struct Played {
    /// The program that had the last word.
    pub(super) ran: Ran,
    /// The packet as it came out.
    pub(super) out: Option<Packet>,
    /// The flow that the packet is of now, if it is of one.
    pub(super) after: Option<KnownFlow>,
}

fn program(role: Role, hook: Hook) -> &'static str {
    match (role, hook) {
        (Role::Pod, Hook::Ingress) => "pod_ingress",
        (Role::Pod, Hook::Egress) => "pod_egress",
        (Role::Uplink, Hook::Ingress) => "uplink_ingress",
        (Role::Uplink, Hook::Egress) => "uplink_egress",
    }
}

impl Scene {
    /// Explains a packet.
    pub(super) async fn explain(
        &mut self,
        packet: Packet,
        device: Option<&str>,
    ) -> anyhow::Result<Explanation> {
        let place = self.ground.place(device, packet.from.ip(), packet.to.ip()).await?;
        let side = if place.hook == Hook::Ingress { "ingress" } else { "egress" };
        let mut told = Explanation {
            packet,
            device: place.name.clone(),
            hook: side.into(),
            program: place.role.map_or("none", |role| program(role, place.hook)).into(),
            steps: Vec::new(),
            verdict: Verdict::default(),
            causes: Vec::new(),
            disagreements: Vec::new(),
        };
        tell_place(&mut told, &place);
        if place.is_host && self.tell_socket(&mut told, true)? {
            self.tell_frontend_of_socket(&mut told).await;
            self.socket_causes(&mut told).await;
            return Ok(told);
        }
        if !place.is_host && place.role == Some(Role::Pod) {
            self.tell_socket(&mut told, false)?;
            self.tell_opt_out(&mut told).await;
        }
        let Some(role) = place.role else {
            told.verdict = Verdict {
                action: "passed",
                detail: format!("{} carries no program of svclb", place.name),
                ..Verdict::default()
            };
            told.causes.push(format!(
                "nobody translates what comes by {}: name it with --uplink or --pod-interface if it leads to clients",
                place.name
            ));
            return Ok(told);
        };
        let played = self.play(&mut told, &place, role)?;
        self.tell_decisions(&mut told, &played).await;
        self.tell_verdict(&mut told, &place, &played).await;
        self.causes(&mut told, &played).await;
        Ok(told)
    }

    /// Runs the programs.
    fn play(&mut self, told: &mut Explanation, place: &Place, role: Role) -> anyhow::Result<Played> {
        let packet = &told.packet;
        let (family, ends) = (packet.family(), (packet.from, packet.to));
        let number = packet.transport().map_or(0, crate::model::Protocol::number);
        let before = self.replica.flow(family, ends, number, place.hook);
        let mut frame = packet.frame.clone();
        let mut ran = None;
        if place.has_xdp {
            let name = "uplink_xdp";
            let front = self
                .replica
                .run(name, family, place.index, &frame)
                .or_else(|_| self.replica.run("uplink_xdp_page", family, place.index, &frame))?;
            if front.way == Way::On && !front.is_done {
                told.step("xdp", "left to the TC program of the device");
                frame.clone_from(&front.frame);
            } else {
                told.program = name.into();
                told.hook = "xdp".into();
                ran = Some(front);
            }
        }
        let ran = match ran {
            Some(ran) => ran,
            None => self.replica.run(program(role, place.hook), family, place.index, &frame)?,
        };
        let after = self.replica.flow(family, ends, number, place.hook);
        match (&before, &after) {
            (Some(flow), _) => {
                let table =
                    if flow.established { "an established flow" } else { "a flow that is not established" };
                told.step(
                    "flow",
                    format!("{table}, {}, last packet {} s ago", flow.state, flow.idle_seconds),
                );
            }
            (None, Some(_)) => told.step("flow", "no flow has this tuple: the packet opens one"),
            (None, None) => told.step("flow", "no flow has this tuple"),
        }
        Ok(Played { out: Packet::read(ran.frame.clone()), ran, after })
    }

    /// Tells what was decided.
    async fn tell_decisions(&mut self, told: &mut Explanation, played: &Played) {
        let (family, decided) = (told.packet.family(), &played.ran.decided);
        let service = decided.frontend.map(|it| it.service).or(played.after.as_ref().map(|it| it.service));
        let Some((key, port)) = service.and_then(|id| self.port(family, id)) else {
            told.step("frontend", format!("the tables have no Service that is called by {}", told.packet.to));
            self.tell_missing(told).await;
            return;
        };
        let object = self.service_object(&key).await;
        let kind = decided.frontend.and_then(|it| FrontendKind::of(it.kind));
        let what = match kind {
            Some(kind) => format!("{} of {key}", kind.as_str()),
            None => format!("the flow's: {key}"),
        };
        told.step_of("frontend", object.clone(), what);
        self.tell_list(told, played, kind, &key, &port, &object).await;
        told.disagreements = self.disagreements(&key, &port).await;
    }

    /// Tells of the list, and of what was chosen from it.
    async fn tell_list(
        &mut self,
        told: &mut Explanation,
        played: &Played,
        kind: Option<FrontendKind>,
        key: &ServicePortKey,
        port: &PortAccount,
        object: &Object,
    ) {
        let decided = &played.ran.decided;
        if kind == Some(FrontendKind::LoadBalancer)
            && let Some(ranges) = &port.source_ranges
        {
            let is_in =
                if played.ran.reasons.contains(&DropReason::SourceRange) { "in none" } else { "in one" };
            let ranges = join(ranges.iter().map(String::as_str));
            told.step_of(
                "ranges",
                object.clone(),
                format!("{} is {is_in} of {ranges}", told.packet.from.ip()),
            );
        }
        if let Some(slab) = decided.slab {
            let is_internal = kind == Some(FrontendKind::ClusterIp);
            let (field, policy) = if is_internal {
                ("internalTrafficPolicy", &port.internal)
            } else {
                ("externalTrafficPolicy", &port.external)
            };
            let tables = self.applied.tables(key.family);
            let is_local = tables
                .service(self.applied.service_id(key).unwrap_or(0))
                .is_some_and(|entry| policy == "Local" && entry.cell.list(List::Local).slab == slab);
            let list = if is_local { "backends of this node" } else { "backends of all nodes" };
            told.step_of("policy", object.clone(), format!("{field} {policy}: {list}"));
            let listed: Vec<_> =
                port.backends.iter().filter(|it| if is_local { it.in_local } else { it.cluster }).collect();
            told.step("backends", named(&listed));
            if port.affinity != 0 {
                let back = if decided.has_home {
                    "the client comes back to its backend"
                } else {
                    "nothing is known of the client"
                };
                told.step_of("affinity", object.clone(), format!("ClientIP, {} s: {back}", port.affinity));
            }
            self.tell_slices(told, key).await;
        }
        if let Some(backend) = self.chosen(told, played) {
            let how = match (&decided.slab, decided.is_kept || decided.slab.is_none()) {
                (Some(slab), false) if slab.len > 1 && !decided.has_home => {
                    format!(
                        "{backend}, by {} among {} places; another packet may get another one",
                        port.algorithm, slab.len
                    )
                }
                (_, true) => format!("{backend}, which the flow has"),
                _ => backend.to_string(),
            };
            told.step("backend", how);
        }
    }

    async fn tell_slices(&mut self, told: &mut Explanation, key: &ServicePortKey) {
        let Some(service) = self.objects(Some(key)).await.and_then(|objects| objects.service) else { return };
        let is_of = |slice: &SliceAccount| {
            slice.endpoints.first().is_none_or(|it| Family::of(it.address) == key.family)
        };
        for slice in service.account.slices.into_iter().filter(is_of) {
            let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready).count();
            let detail = format!("{} endpoints, {ready} of them ready", slice.endpoints.len());
            let object = Object {
                kind: "EndpointSlice",
                namespace: key.namespace.as_ref().into(),
                name: slice.name,
                resource_version: Some(slice.resource_version).filter(|version| !version.is_empty()),
            };
            told.step_of("slice", object, detail);
        }
    }

    /// The backend that the packet goes to.
    pub(super) fn chosen(&self, told: &Explanation, played: &Played) -> Option<SocketAddr> {
        let tables = self.applied.tables(told.packet.family());
        let of = |id| tables.backend(id).map(|it| SocketAddr::new(it.key.address, it.key.port));
        match &played.after {
            Some(flow) if flow.is_original => Some(flow.written.1),
            Some(_) => None,
            None => played.ran.decided.backend.and_then(of),
        }
    }

    async fn tell_verdict(&mut self, told: &mut Explanation, place: &Place, played: &Played) {
        let Played { ran, out, after } = played;
        let reason = ran.reasons.iter().rev().copied().find(|reason| *reason != DropReason::EventLost);
        let out = out.as_ref().filter(|out| (out.from, out.to) != (told.packet.from, told.packet.to));
        let mut verdict = Verdict { reason: reason.map(DropReason::as_str), ..Verdict::default() };
        if let (Some(out), None) = (out, reason) {
            (verdict.from, verdict.to) = (Some(out.from.to_string()), Some(out.to.to_string()));
            if out.from != told.packet.from {
                told.step("source", format!("{} becomes {}", told.packet.from, out.from));
            } else if after.as_ref().is_none_or(|flow| flow.is_original) {
                told.step("source", "the client's own address is kept");
            }
        }
        let action = after.as_ref().map(|flow| flow.action);
        (verdict.action, verdict.detail) = match (ran.way, reason, out) {
            (Way::Dropped, Some(reason), _) => ("dropped", words(reason).into()),
            (Way::Dropped, None, _) => ("dropped", "without a reason".into()),
            (Way::On, Some(reason), None) => ("passed", format!("left as it is: {}", words(reason))),
            (Way::On, _, Some(out)) => {
                ("translated", format!("goes on to the node's stack as {}", out.ends()))
            }
            (Way::On, None, None) => {
                ("passed", "goes on as it is, to other programs and to the node's stack".into())
            }
            (_, Some(reason), out) => {
                let flags = out.map_or("", |out| out.flags.as_str());
                let how = match reason {
                    DropReason::TooBig | DropReason::HopLimit => "by an ICMP error",
                    _ if flags.contains("RST") => "by a TCP reset",
                    _ => "by ICMP port unreachable",
                };
                let action = if matches!(reason, DropReason::TooBig | DropReason::HopLimit) {
                    "answered"
                } else {
                    "refused"
                };
                (action, format!("{}; the sender is told {how}", words(reason)))
            }
            (Way::Back, None, None) => ("answered", format!("an answer goes back by {}", place.name)),
            (_, None, out) => {
                let ends = out.map_or_else(|| "in another packet".into(), |out| format!("as {}", out.ends()));
                let device = match (action, out) {
                    (Some(Action::Reflect), _) => place.name.clone(),
                    (Some(Action::Deliver), _) => self.ground.name(svclb_common::balance::LOOPBACK_IFINDEX),
                    (_, Some(out)) => match self.ground.route(out.to.ip()).await {
                        Some(route) => self.ground.name(route.device),
                        None => place.name.clone(),
                    },
                    (_, None) => match after {
                        Some(flow) => match self.ground.route(flow.written.1.ip()).await {
                            Some(route) => self.ground.name(route.device),
                            None => place.name.clone(),
                        },
                        None => place.name.clone(),
                    },
                };
                let detail = format!("routed and sent by {device}, {ends}");
                verdict.device = Some(device);
                ("translated", detail)
            }
        };
        told.verdict = verdict;
    }

    /// Tells of the frontend that a process of the host calls.
    async fn tell_frontend_of_socket(&mut self, told: &mut Explanation) {
        let Some((key, kind)) = self.called(&told.packet) else { return };
        let Some((key, port)) = self.applied.service_id(&key).and_then(|id| self.port(key.family, id)) else {
            return;
        };
        let object = self.service_object(&key).await;
        told.step_of("frontend", object, format!("{} of {key}", kind.as_str()));
        let listed: Vec<_> = port.backends.iter().filter(|it| it.is_listed()).collect();
        told.step("backends", named(&listed));
        self.tell_slices(told, &key).await;
        told.disagreements = self.disagreements(&key, &port).await;
    }

    /// The Service port that a packet names, and how, whether or not it answers there.
    pub(super) fn called(&self, packet: &Packet) -> Option<(ServicePortKey, FrontendKind)> {
        let family = packet.family();
        let tables = self.applied.tables(family);
        let protocol = packet.transport()?;
        let of = |address| crate::plan::FrontendKey { address, port: packet.to.port(), protocol };
        let entry = tables
            .frontend(&of(Some(packet.to.ip())))
            .or_else(|| self.ground.is_own(packet.to.ip()).then(|| tables.frontend(&of(None))).flatten())?;
        Some((self.owner(family, entry.service)?.clone(), entry.kind))
    }
}

/// Where the packet comes by.
fn tell_place(told: &mut Explanation, place: &Place) {
    let kind = match place.role {
        Some(Role::Pod) => "leads to a pod",
        Some(Role::Uplink) => "leads to other nodes and the outside",
        None => "carries no programs",
    };
    let by = if place.is_host { "is sent by a process of this node and leaves by" } else { "comes by" };
    let front = if place.has_xdp { ", after an XDP program" } else { "" };
    told.step("device", format!("the packet {by} {}, which {kind}{front}", place.name));
}

/// Backends, one by one as far as they are few.
fn named(backends: &[&BackendAccount]) -> String {
    if backends.is_empty() {
        return "none".into();
    }
    let mut text = join(backends.iter().take(MOST).map(|it| it.describe()));
    if backends.len() > MOST {
        text.extend([" and ", &(backends.len() - MOST).to_string(), " more"]);
    }
    text
}

/// Words with commas.
pub(super) fn join<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    words.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}
