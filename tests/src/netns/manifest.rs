//! Services and EndpointSlices as text.

use std::fmt::Write as _;

use serde_json::Value;

use super::layout::{Family, Frontend, Machine, POD_PORT, SERVICE_PORT, node_of, node_port};

/// What an EndpointSlice says of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready.
    Ready,
    /// Terminates and still serves.
    Draining,
    /// Terminates and does not serve any more.
    Terminating,
    /// Not ready yet.
    NotReady,
}

impl State {
    /// Ready, serving, terminating.
    fn conditions(self) -> [bool; 3] {
        match self {
            Self::Ready => [true, true, false],
            Self::Draining => [false, true, true],
            Self::Terminating => [false, false, true],
            Self::NotReady => [false, false, false],
        }
    }
}

/// A pod behind a Service.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The pod.
    pub pod: Machine,
    /// Its conditions.
    pub state: State,
    /// `hints` in YAML's flow style; empty for none.
    pub hints: &'static str,
}

/// A Service of every type at once, in both families, for TCP and UDP.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// What its addresses and node port end with.
    pub number: u8,
    /// What is behind it.
    pub endpoints: Vec<Endpoint>,
    /// More fields of its `spec`: lines without indentation.
    spec: Vec<String>,
    /// Its annotations, in YAML's flow style.
    annotations: Vec<String>,
}

impl Service {
    /// A Service with backends.
    pub fn new(name: &'static str, number: u8, pods: &[Machine]) -> Self {
        let service = Self { name, number, endpoints: Vec::new(), spec: Vec::new(), annotations: Vec::new() };
        pods.iter().fold(service, |service, pod| service.endpoint(*pod, State::Ready))
    }

    /// With another endpoint.
    #[must_use]
    pub fn endpoint(mut self, pod: Machine, state: State) -> Self {
        self.endpoints.push(Endpoint { pod, state, hints: "" });
        self
    }

    /// With hints for the last endpoint, such as `{ forNodes: [{ name: node1 }] }`.
    #[must_use]
    pub fn hints(mut self, hints: &'static str) -> Self {
        if let Some(endpoint) = self.endpoints.last_mut() {
            endpoint.hints = hints;
        }
        self
    }

    /// With another field of its `spec`, such as `internalTrafficPolicy: Local`.
    #[must_use]
    pub fn spec(mut self, line: &str) -> Self {
        self.spec.push(format!("  {line}\n"));
        self
    }

    /// With an annotation.
    #[must_use]
    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.push(format!("{name}: \"{value}\""));
        self
    }

    /// The Service and its slices, the documents of one file.
    pub fn yaml(&self) -> String {
        format!("{}{}", self.service(), self.slices())
    }

    /// The Service and its slices, one after the other.
    pub fn objects(&self) -> anyhow::Result<Vec<Value>> {
        Ok(serde_saphyr::from_multiple(&self.yaml())?)
    }

    /// The Service alone.
    pub fn service(&self) -> String {
        let Self { name, number, .. } = self;
        let [cluster, external, load_balancer] =
            [Frontend::ClusterIp, Frontend::ExternalIp, Frontend::LoadBalancer]
                .map(|kind| Family::ALL.map(|family| kind.of(*number, family).ip()));
        let node_port = node_port(*number);
        format!(
            "---
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: default, annotations: {{ {annotations} }} }}
spec:
  type: LoadBalancer
  clusterIP: \"{c4}\"
  clusterIPs: [\"{c4}\", \"{c6}\"]
  ipFamilies: [IPv4, IPv6]
  ipFamilyPolicy: RequireDualStack
  externalIPs: [\"{e4}\", \"{e6}\"]
{more}  ports:
    - {{ name: tcp, protocol: TCP, port: {SERVICE_PORT}, targetPort: {POD_PORT}, nodePort: {node_port} }}
    - {{ name: udp, protocol: UDP, port: {SERVICE_PORT}, targetPort: {POD_PORT}, nodePort: {node_port} }}
status:
  loadBalancer:
    ingress:
      - {{ ip: \"{l4}\", ipMode: VIP }}
      - {{ ip: \"{l6}\", ipMode: VIP }}
",
            annotations = self.annotations.join(", "),
            more = self.spec.concat(),
            c4 = cluster[0],
            c6 = cluster[1],
            e4 = external[0],
            e6 = external[1],
            l4 = load_balancer[0],
            l6 = load_balancer[1],
        )
    }

    /// Its slices, one per family.
    pub fn slices(&self) -> String {
        Family::ALL.into_iter().map(|family| self.slice(family)).collect()
    }

    fn slice(&self, family: Family) -> String {
        let (name, kind) = (self.name, family.as_str());
        let mut slice = format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-{suffix}
  namespace: default
  labels: {{ kubernetes.io/service-name: {name} }}
addressType: {kind}
ports:
  - {{ name: tcp, protocol: TCP, port: {POD_PORT} }}
  - {{ name: udp, protocol: UDP, port: {POD_PORT} }}
endpoints:{none}
",
            suffix = kind.to_lowercase(),
            none = if self.endpoints.is_empty() { " []" } else { "" },
        );
        for Endpoint { pod, state, hints } in &self.endpoints {
            let (address, node) = (pod.address(family), node_of(pod).name);
            let [ready, serving, terminating] = state.conditions();
            let hints = if hints.is_empty() { String::new() } else { format!(", hints: {hints}") };
            // Writing to a String does not fail.
            writeln!(
                slice,
                "  - {{ addresses: [\"{address}\"], nodeName: {node}, conditions: {{ ready: {ready}, \
                 serving: {serving}, terminating: {terminating} }}{hints} }}"
            )
            .ok();
        }
        slice
    }
}
