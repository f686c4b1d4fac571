//! The cluster that a kubeconfig file names.

use std::{
    env, fs,
    net::{TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// The kubeconfig file that is meant: the flag's, else the first of `KUBECONFIG` that is there.
pub(crate) fn kubeconfig(flag: Option<&Path>) -> Option<PathBuf> {
    let variable = env::var_os("KUBECONFIG").unwrap_or_default();
    flag.map(Path::to_owned).or_else(|| env::split_paths(&variable).find(|path| path.is_file()))
}

/// Whether the API server that the file names accepts connections; the error says why not.
pub(crate) fn reach(file: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let config: Value =
        serde_saphyr::from_str(&text).with_context(|| format!("{} is no kubeconfig", file.display()))?;
    let server = server(&config).with_context(|| format!("{} names no server", file.display()))?;
    let authority = authority(server).with_context(|| format!("{}: no URL: {server}", file.display()))?;
    let addresses = authority.to_socket_addrs().with_context(|| format!("{server} has no address"))?;
    for address in addresses {
        if TcpStream::connect_timeout(&address, PATIENCE).is_ok() {
            return Ok(());
        }
    }
    bail!("{server} does not answer")
}

/// The server of the current context.
fn server(config: &Value) -> Option<&str> {
    let named = |list: &str, name: &Value| {
        config[list].as_array()?.iter().find(|entry| entry["name"] == *name).cloned()
    };
    let context = named("contexts", &config["current-context"])?;
    let cluster = context["context"]["cluster"].clone();
    let clusters = config["clusters"].as_array()?;
    clusters.iter().find(|entry| entry["name"] == cluster)?["cluster"]["server"].as_str()
}

/// `host:port` of a URL.
fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next().filter(|authority| !authority.is_empty())?;
    let port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let has_port =
        authority.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_the_current_context_is_found() {
        let config = serde_json::json!({
            "current-context": "b",
            "contexts": [
                { "name": "a", "context": { "cluster": "x" } }, { "name": "b", "context": { "cluster": "y" } },
            ],
            "clusters": [
                { "name": "x", "cluster": { "server": "https://192.0.2.1" } },
                { "name": "y", "cluster": { "server": "https://192.0.2.2:6443" } },
            ],
        });
        assert_eq!(server(&config), Some("https://192.0.2.2:6443"));
        assert_eq!(server(&serde_json::json!({})), None);
    }

    #[test]
    fn a_url_has_a_port() {
        for (url, expected) in [
            ("https://192.0.2.1:6443", Some("192.0.2.1:6443")),
            ("https://192.0.2.1/prefix", Some("192.0.2.1:443")),
            ("http://api.example", Some("api.example:80")),
            ("https://[2001:db8::1]", Some("[2001:db8::1]:443")),
            ("https://[2001:db8::1]:6443", Some("[2001:db8::1]:6443")),
            ("192.0.2.1", None),
            ("ftp://x", None),
        ] {
            assert_eq!(authority(url).as_deref(), expected, "{url}");
        }
    }
}
