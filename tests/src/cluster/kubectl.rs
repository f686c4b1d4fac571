//! Commands of `kubectl`, and the kubeconfig they and the agents use.

use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::netns::{namespace::Namespace, process};

/// `kubectl`, as the administrator.
pub struct Kubectl {
    pub(super) program: PathBuf,
    /// Where the API server can be reached from.
    pub(super) namespace: Arc<Namespace>,
    /// The value of `KUBECONFIG`.
    pub(super) kubeconfig: OsString,
    /// Its home and cache.
    pub(super) home: PathBuf,
}

impl Kubectl {
    /// Runs a command and gives what it printed; an error says what it complained of.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.output(arguments)?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {complaint}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command that may fail.
    pub fn output(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg("--cache-dir").arg(self.home.join("cache")).args(arguments);
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.home).env_remove("KUBERC");
        process::output(&self.namespace, command)
    }

    /// Runs a command that prints JSON.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let text = self.run(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {}: no JSON", arguments.join(" ")))
    }

    /// The kubeconfig that reaches the same API server through a relay, as `user` where
    /// the cluster is the ring's own.
    pub(super) fn relayed(&self, relay: SocketAddr, user: Option<&User>) -> anyhow::Result<Value> {
        let config = self.json(&["config", "view", "--minify", "--flatten", "--raw"])?;
        relayed(config, relay, user)
    }
}

/// Who speaks to the API server of the ring's own cluster.
pub(super) struct User {
    /// The name that roles are bound to.
    pub(super) name: &'static str,
    /// The groups, with commas.
    pub(super) groups: &'static str,
    token: &'static str,
}

impl User {
    /// Everything is allowed.
    pub(super) const ADMIN: Self = Self { name: "admin", groups: "system:masters", token: "admin" };
    /// The API server binds this name to the role of Service proxies.
    pub(super) const PROXY: Self =
        Self { name: "system:kube-proxy", groups: "system:authenticated", token: "proxy" };

    /// The line of `--token-auth-file`.
    pub(super) fn line(&self) -> String {
        format!("{},{},{},\"{}\"\n", self.token, self.name, self.name, self.groups)
    }
}

/// A kubeconfig for a cluster that this ring has started.
pub(super) fn config(server: &str, authority: &Path, user: &User) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "ring",
        "clusters": [{ "name": "ring", "cluster": { "server": server, "certificate-authority": authority } }],
        "contexts": [{ "name": "ring", "context": { "cluster": "ring", "user": user.name } }],
        "users": [{ "name": user.name, "user": { "token": user.token } }],
    })
}

/// The host and port of a kubeconfig's only cluster.
pub(super) fn server(config: &Value) -> anyhow::Result<(String, u16)> {
    let url =
        config["clusters"][0]["cluster"]["server"].as_str().context("the kubeconfig names no server")?;
    let rest = url.strip_prefix("https://").with_context(|| format!("{url}: not https"))?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().with_context(|| url.to_owned())?),
        _ => (authority, 443),
    };
    Ok((host.trim_matches(['[', ']']).to_owned(), port))
}

fn relayed(mut config: Value, relay: SocketAddr, user: Option<&User>) -> anyhow::Result<Value> {
    let (host, _) = server(&config)?;
    let cluster = &mut config["clusters"][0]["cluster"];
    let path = cluster["server"].as_str().and_then(|url| url.splitn(4, '/').nth(3)).unwrap_or_default();
    let url = format!("https://{relay}/{path}");
    cluster["server"] = url.trim_end_matches('/').into();
    if cluster["tls-server-name"].is_null() {
        cluster["tls-server-name"] = host.into();
    }
    if let Some(user) = user {
        config["users"][0]["user"] = json!({ "token": user.token });
    }
    Ok(config)
}

/// Writes a kubeconfig.
pub(super) fn save(config: &Value, file: &Path) -> anyhow::Result<()> {
    fs::write(file, config.to_string()).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_host_and_a_port() -> anyhow::Result<()> {
        for (url, host, port) in [
            ("https://127.0.0.1:6443", "127.0.0.1", 6443),
            ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443),
            ("https://[2001:db8::1]", "2001:db8::1", 443),
            ("https://example.org/k8s/clusters/c1", "example.org", 443),
        ] {
            let config = config(url, "ca".as_ref(), &User::ADMIN);
            assert_eq!(server(&config)?, (host.to_owned(), port), "{url}");
        }
        assert!(server(&config("http://127.0.0.1", "ca".as_ref(), &User::ADMIN)).is_err());
        Ok(())
    }

    #[test]
    fn a_relay_keeps_the_name_that_the_certificate_has() -> anyhow::Result<()> {
        let relay = "192.0.2.1:6443".parse()?;
        let before = config("https://example.org/k8s", "ca".as_ref(), &User::ADMIN);
        let after = relayed(before, relay, Some(&User::PROXY))?;
        let cluster = &after["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://192.0.2.1:6443/k8s");
        assert_eq!(cluster["tls-server-name"], "example.org");
        assert_eq!(after["users"][0]["user"]["token"], "proxy");
        Ok(())
    }
}
