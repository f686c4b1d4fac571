//! Where the server is, and who we are.

use std::sync::Arc;

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    Error, Settings,
    contact::{Contact, ContactLayer},
    error::chain,
};

/// How svclb calls itself.
const AGENT: &str = concat!("svclb/", env!("CARGO_PKG_VERSION"));

/// Reads the configuration; nothing is sent. Credentials in files are read again as they change.
///
/// Proxies are those of the kubeconfig and of the environment.
pub async fn connect(settings: &Settings) -> Result<Client, Error> {
    let mut config = configuration(settings).await?;
    let pace = settings.pace;
    config.connect_timeout = Some(pace.connect);
    config.read_timeout = Some(pace.silence);
    config.write_timeout = Some(pace.silence);
    // A connection that waited in the pool must not count its wait as silence.
    config.reset_reader_on_write = true;
    // Repetitions are `follow`'s business, which tells an outage from a refusal.
    config.default_retry = false;
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));

    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let contact = Contact::new(server.clone(), pace.between_watches);
    let builder = ClientBuilder::try_from(config)
        .map_err(|error| Error::Credentials { server, message: chain(&error) })?;
    Ok(builder.with_layer(&ContactLayer(Arc::new(contact))).build())
}

async fn configuration(settings: &Settings) -> Result<Config, Error> {
    let Some(path) = &settings.kubeconfig else {
        return Config::incluster().map_err(|error| Error::InCluster(chain(&error)));
    };
    let wrong = |error: kube::config::KubeconfigError| Error::Kubeconfig {
        path: path.clone(),
        message: chain(&error),
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(wrong)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(wrong)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::apiserver::Pace;

    fn settings(path: &Path) -> Settings {
        Settings {
            kubeconfig: Some(path.to_owned()),
            node_name: "a".into(),
            follows_pods: false,
            pace: Pace::default(),
        }
    }

    fn kubeconfig(cluster: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts: [{{ name: a, context: {{ cluster: a, user: a }} }}]\n\
             users: [{{ name: a, user: {{ token: secret }} }}]\nclusters: [{{ name: a, cluster: {cluster} }}]\n"
        )
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_one_line_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let table = [
            (None, "No such file"),
            (Some("]".to_owned()), "config"),
            (Some(kubeconfig("{}")), "cluster url"),
            (
                Some(kubeconfig("{ server: 'https://192.0.2.1', certificate-authority: missing.pem }")),
                "missing.pem",
            ),
        ];
        for (text, expected) in table {
            if let Some(text) = &text {
                fs::write(&path, text).unwrap();
            }
            let Err(error) = connect(&settings(&path)).await else { panic!("{text:?} is usable") };
            let line = error.to_string();
            assert!(line.starts_with(&format!("--kubeconfig {}: ", path.display())), "{line}");
            assert!(line.contains(expected) && line.lines().count() == 1, "{expected}: {line}");
            assert!(!line.contains("secret"), "{line}");
        }
    }

    #[tokio::test]
    async fn tls_needs_nothing_that_is_not_built_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, kubeconfig("{ server: 'https://192.0.2.1:6443', insecure-skip-tls-verify: true }"))
            .unwrap();
        assert!(connect(&settings(&path)).await.is_ok());
    }
}
