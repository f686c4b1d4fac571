//! The built-in manifests: ordinary Kubernetes YAML, to be read and edited.

use std::{fs, io, path::Path};

/// Each file with its text.
const FILES: [(&str, &str); 7] = [
    ("nodes.yaml", include_str!("manifests/nodes.yaml")),
    ("web.yaml", include_str!("manifests/web.yaml")),
    ("web-nodeport.yaml", include_str!("manifests/web-nodeport.yaml")),
    ("web-lb.yaml", include_str!("manifests/web-lb.yaml")),
    ("web-dual.yaml", include_str!("manifests/web-dual.yaml")),
    ("db.yaml", include_str!("manifests/db.yaml")),
    ("docs.yaml", include_str!("manifests/docs.yaml")),
];

/// Writes them to a new folder.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    FILES.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::{
        core::v1::{Node, Service},
        discovery::v1::EndpointSlice,
    };
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::sandbox::{layout::PODS, path};

    fn of_kind<T: DeserializeOwned>(kind: &str) -> Vec<T> {
        let documents = FILES.iter().flat_map(|(_, text)| text.split("\n---\n"));
        let header = format!("kind: {kind}\n");
        documents
            .filter(|document| document.lines().any(|line| line == header.trim_end()))
            .map(|document| serde_saphyr::from_str(document).unwrap())
            .collect()
    }

    #[test]
    fn every_document_is_what_it_says() {
        assert_eq!(of_kind::<Node>("Node").len(), 2);
        assert_eq!(of_kind::<Service>("Service").len(), 6);
        assert_eq!(of_kind::<EndpointSlice>("EndpointSlice").len(), 6);
    }

    #[test]
    fn every_slice_names_its_service_and_all_pods_of_its_family() {
        let services: BTreeSet<_> =
            of_kind::<Service>("Service").into_iter().map(|s| s.metadata.name).collect();
        for slice in of_kind::<EndpointSlice>("EndpointSlice") {
            let labels = slice.metadata.labels.unwrap();
            assert!(services.contains(&labels.get("kubernetes.io/service-name").cloned()));
            let v6 = usize::from(slice.address_type == "IPv6");
            for (endpoint, pod) in slice.endpoints.iter().zip(&PODS) {
                assert_eq!(endpoint.addresses, [pod.addresses()[v6].to_string()]);
                assert_eq!(endpoint.node_name.as_deref(), Some(pod.node));
            }
        }
    }

    #[test]
    fn every_address_that_is_asked_is_in_a_manifest() {
        let text: String = FILES.iter().map(|(_, text)| *text).collect();
        for path in path::built_in() {
            let ip = path.to.ip().to_string();
            let port = path.to.port();
            let known =
                if port < 30000 { text.contains(&ip) } else { text.contains(&format!("nodePort: {port}")) };
            assert!(known, "{}", path.to);
        }
    }
}
