//! What a kube-proxy's own file sets, field by field.

use std::path::Path;

use super::{
    ConfigError, File, RunConfig,
    resolve::{Environment, resolve},
};
use crate::{
    config::{Layer, Source},
    manifest::tree::{Tree, Value},
};

/// A field that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path: `iptables.masqueradeAll`.
    pub field: String,
    /// What is written there.
    pub value: String,
    /// Whether `svclb run --config` does it.
    pub is_obeyed: bool,
}

/// What a file comes to.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The mode, `iptables` where the file does not say.
    pub mode: String,
    /// What is set to something, but for `apiVersion` and `kind`.
    pub settings: Vec<Setting>,
    /// What `svclb run` would do with this file.
    pub config: RunConfig,
}

/// Looks through kube-proxy's own file.
pub fn survey(path: &Path) -> Result<Survey, ConfigError> {
    let file = File::read(path)?;
    let (_, idle) = file.layer()?;
    let flags = Layer { source: Some(Source::InCluster), ..Layer::default() };
    let config = resolve(flags, Some(path), &Environment::here())?.config;
    let mut settings = Vec::new();
    let mut mode = String::new();
    for tree in file.trees() {
        if let Some(text) = tree.get("mode").and_then(Tree::text) {
            text.clone_into(&mut mode);
        }
        leaves(&tree, "", &mut settings);
    }
    settings.retain(|setting| !matches!(&*setting.field, "apiVersion" | "kind"));
    for setting in &mut settings {
        setting.is_obeyed = !idle.contains(&setting.field);
    }
    if mode.is_empty() {
        "iptables".clone_into(&mut mode);
    }
    Ok(Survey { mode, settings, config })
}

/// Lists what is set to more than the zero of its type.
fn leaves(tree: &Tree, path: &str, settings: &mut Vec<Setting>) {
    let value = match &tree.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
                leaves(value, &path, settings);
            }
            return;
        }
        Value::Null => return,
        Value::List(items) if items.is_empty() => return,
        Value::List(items) => items.iter().filter_map(Tree::text).collect::<Vec<_>>().join(","),
        Value::Bool(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Unsigned(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    };
    if !matches!(&*value, "" | "0" | "0s" | "false") {
        settings.push(Setting { field: path.to_owned(), value, is_obeyed: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_that_is_set_is_taken_or_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.conf");
        let text = "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clusterCIDR: 10.244.0.0/16
hostnameOverride: ''
ipvs: { scheduler: lc, strictARP: true, syncPeriod: 30s }
nodePortAddresses: [10.0.0.0/8, 'fd00::/8']
";
        std::fs::write(&path, text).unwrap();
        let survey = survey(&path).unwrap();
        let of = |is_obeyed| {
            let settings = survey.settings.iter().filter(move |setting| setting.is_obeyed == is_obeyed);
            settings.map(|setting| format!("{}={}", setting.field, setting.value)).collect::<Vec<_>>()
        };
        assert_eq!(
            of(true),
            ["clusterCIDR=10.244.0.0/16", "ipvs.syncPeriod=30s", "nodePortAddresses=10.0.0.0/8,fd00::/8"]
        );
        assert_eq!(of(false), ["mode=ipvs", "ipvs.scheduler=lc", "ipvs.strictARP=true"]);
        assert_eq!(survey.mode, "ipvs");
        assert!(!survey.config.masquerade_all);
    }
}
