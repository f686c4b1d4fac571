//! What `svclb services -o json` tells, as far as this world reads it.

use std::net::IpAddr;

use serde::Deserialize;

/// A Service's port.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServicePort {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: String,
    #[serde(default)]
    pub(super) algorithm: String,
    #[serde(default)]
    pub(super) frontends: Vec<Frontend>,
    #[serde(default)]
    pub(super) backends: Vec<Backend>,
}

/// An address clients use.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Frontend {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

/// Where traffic goes.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Backend {
    pub(super) address: IpAddr,
    #[serde(default)]
    pub(super) state: String,
}

/// Reads the command's output.
pub(super) fn parse(json: &str) -> serde_json::Result<Vec<ServicePort>> {
    serde_json::from_str(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_shape_is_read() {
        let json = r#"[{"namespace":"default","name":"web","port_name":null,"protocol":"TCP","algorithm":"random",
            "frontends":[{"type":"ClusterIP","address":"10.96.0.10","port":80}],
            "backends":[{"address":"10.244.1.11","port":8080,"node":"node1","local":true,"state":"active"}]}]"#;
        let services = parse(json).unwrap();
        assert_eq!(services[0].name, "web");
        assert_eq!(services[0].frontends[0].kind, "ClusterIP");
        assert_eq!(services[0].backends[0].address.to_string(), "10.244.1.11");
    }
}
