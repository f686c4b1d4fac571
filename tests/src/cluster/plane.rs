//! etcd, API server and controllers, for the time of one run.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::{
    Assets,
    kubectl::{self, Kubectl, User},
    member::Member,
    object,
    relay::Upstream,
};
use crate::netns::{
    layout::{Family, NODE1, NODE2, ROUTER},
    leftover,
    namespace::Namespace,
};

/// How long a part of the control plane may take to start, with every core busy.
pub const START: Duration = Duration::from_mins(2);

/// Where worlds find the API server.
pub(super) fn relay_address() -> SocketAddr {
    (ROUTER.address(Family::V4), PORT).into()
}

/// The port of the API server in its namespace, and of the relays.
const PORT: u16 = 6443;

/// The client address of etcd.
const ETCD: &str = "http://127.0.0.1:2379";

/// Addresses of Services. The worlds route none of them: only svclb can make them work.
const SERVICES: &str = "10.96.0.0/16,fd00:10:96::/112";

/// The controllers that the scenarios need: the first writes slices, one copies custom
/// Endpoints to slices, the others remove what nobody owns any more.
const CONTROLLERS: &str = "endpointslice-controller,endpointslice-mirroring-controller,\
                           endpoints-controller,garbage-collector-controller,namespace-controller,\
                           service-cidr-controller";

/// A control plane that scenarios share.
pub struct Plane {
    // In this order: processes, then what they stand on.
    members: Option<Mutex<Members>>,
    kubectl: Kubectl,
    upstream: Upstream,
    _folder: TempDir,
}

struct Members {
    controllers: Option<Member>,
    apiserver: Member,
    _etcd: Member,
}

impl Plane {
    /// Starts the binaries and waits until they are ready, or looks at the cluster that is there.
    pub fn start(assets: &Assets) -> anyhow::Result<Self> {
        leftover::remove_abandoned_folders()?;
        let folder = tempfile::Builder::new().prefix(&leftover::prefix()).tempdir()?;
        match assets {
            Assets::Cluster { kubeconfig, kubectl } => Self::join(folder, kubeconfig, kubectl),
            Assets::Binaries { etcd, apiserver, controllers, kubectl } => {
                Self::found(folder, [etcd, apiserver, kubectl], controllers.as_deref())
            }
        }
    }

    fn join(folder: TempDir, kubeconfig: &str, kubectl: &Path) -> anyhow::Result<Self> {
        let namespace = Arc::new(Namespace::here("host")?);
        let kubectl = Kubectl {
            program: kubectl.into(),
            namespace: Arc::clone(&namespace),
            kubeconfig: kubeconfig.into(),
            home: folder.path().into(),
        };
        kubectl.run(&["get", "--raw", "/readyz"]).context("the cluster of KUBECONFIG does not answer")?;
        let (host, port) =
            kubectl::server(&kubectl.json(&["config", "view", "--minify", "--flatten", "--raw"])?)?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let upstream = Upstream { namespace, address: format!("{host}:{port}") };
        Ok(Self { members: None, kubectl, upstream, _folder: folder })
    }

    fn found(
        folder: TempDir,
        [etcd, apiserver, kubectl]: [&Path; 3],
        controllers: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let files = Files::write(folder.path())?;
        let namespace = Arc::new(Namespace::apart("plane")?);
        let kubectl = Kubectl {
            program: kubectl.into(),
            namespace: Arc::clone(&namespace),
            kubeconfig: files.kubeconfig.clone().into(),
            home: folder.path().into(),
        };
        let etcd = Member::start(&namespace, "etcd", etcd, files.etcd())?;
        let mut apiserver = Member::start(&namespace, "kube-apiserver", apiserver, files.apiserver())?;
        apiserver.ready(|| is_ready(&kubectl))?;
        let start =
            |program| Member::start(&namespace, "kube-controller-manager", program, files.controllers());
        let mut controllers = controllers.map(start).transpose()?;
        if let Some(controllers) = &mut controllers {
            kubectl.run(&["create", "service", "clusterip", "ring", "--tcp=80"])?;
            controllers.ready(|| write_slices(&kubectl))?;
            kubectl.run(&["delete", "service", "ring"])?;
        }
        for (node, zone) in [(NODE1, "a"), (NODE2, "b")] {
            let file = folder.path().join(node.name);
            fs::write(&file, object::node(&node, zone))?;
            kubectl.run(&["create", "-f", &file.to_string_lossy()])?;
        }
        let upstream = Upstream { namespace, address: format!("127.0.0.1:{PORT}") };
        let members = Some(Mutex::new(Members { controllers, apiserver, _etcd: etcd }));
        Ok(Self { members, kubectl, upstream, _folder: folder })
    }

    /// The administrator's client.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Whether the cluster is the ring's own, so that objects outside of namespaces may change.
    pub fn is_own(&self) -> bool {
        self.members.is_some()
    }

    /// Whether somebody writes the scenarios' EndpointSlices. In a cluster that is there
    /// already nobody does: its controller skips Pods whose Node does not exist.
    pub fn has_controllers(&self) -> bool {
        self.members.as_ref().is_some_and(|members| lock(members).controllers.is_some())
    }

    /// Ends the API server and starts it again after `meanwhile`.
    pub fn restart_apiserver(&self, meanwhile: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Some(members) = &self.members else { bail!("this API server is not ours to restart") };
        let mut members = lock(members);
        members.apiserver.stop()?;
        meanwhile()?;
        members.apiserver.restart(&self.upstream.namespace)?;
        members.apiserver.ready(|| is_ready(&self.kubectl))
    }

    pub(super) fn upstream(&self) -> Upstream {
        self.upstream.clone()
    }

    /// Writes the kubeconfig of the agents in a world.
    pub(super) fn agents_kubeconfig(&self, file: &Path) -> anyhow::Result<()> {
        let user = self.is_own().then_some(&User::PROXY);
        kubectl::save(&self.kubectl.relayed(relay_address(), user)?, file)
    }
}

fn lock(members: &Mutex<Members>) -> MutexGuard<'_, Members> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `kubectl create` checks objects by the schema, which comes a moment after readiness.
fn is_ready(kubectl: &Kubectl) -> anyhow::Result<bool> {
    for path in ["/readyz", "/openapi/v3/api/v1"] {
        if !kubectl.output(&["get", "--raw", path, "--request-timeout", "5s"])?.status.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Controllers announce nothing; that a Service has got its slice says that they work.
fn write_slices(kubectl: &Kubectl) -> anyhow::Result<bool> {
    const OF_IT: &str = "kubernetes.io/service-name=ring";
    Ok(!kubectl.run(&["get", "endpointslices", "--selector", OF_IT, "-o", "name"])?.is_empty())
}

/// The files that the control plane's processes read and write.
struct Files {
    folder: PathBuf,
    kubeconfig: PathBuf,
}

impl Files {
    fn write(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "ring");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["127.0.0.1", "192.0.2.1", "10.96.0.1", "kubernetes.default.svc"].map(String::from);
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        let accounts = KeyPair::generate()?;
        let tokens = [User::ADMIN, User::PROXY].map(|user| user.line()).concat();
        for (file, text) in [
            ("ca.crt", authority.pem()),
            ("apiserver.crt", certificate.pem()),
            ("apiserver.key", key.serialize_pem()),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
            ("tokens", tokens),
        ] {
            fs::write(folder.join(file), text).with_context(|| format!("cannot write {file}"))?;
        }
        let kubeconfig = folder.join("kubeconfig");
        let server = format!("https://127.0.0.1:{PORT}");
        kubectl::save(&kubectl::config(&server, &folder.join("ca.crt"), &User::ADMIN), &kubeconfig)?;
        Ok(Self { folder: folder.into(), kubeconfig })
    }

    /// A flag whose value is a file of the run.
    fn flag(&self, flag: &str, file: &str) -> String {
        format!("{flag}={}", self.folder.join(file).display())
    }

    fn etcd(&self) -> Vec<String> {
        vec![
            self.flag("--data-dir", "etcd"),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            "--listen-peer-urls=http://127.0.0.1:2380".into(),
            // What is lost with the machine's power is lost with the run as well.
            "--unsafe-no-fsync".into(),
        ]
    }

    fn apiserver(&self) -> Vec<String> {
        vec![
            format!("--etcd-servers={ETCD}"),
            "--bind-address=127.0.0.1".into(),
            // The Service `kubernetes` leads to the relays.
            format!("--advertise-address={}", ROUTER.v4),
            format!("--secure-port={PORT}"),
            self.flag("--cert-dir", "certificates"),
            self.flag("--tls-cert-file", "apiserver.crt"),
            self.flag("--tls-private-key-file", "apiserver.key"),
            self.flag("--token-auth-file", "tokens"),
            "--authorization-mode=RBAC".into(),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            self.flag("--service-account-key-file", "accounts.pub"),
            self.flag("--service-account-signing-key-file", "accounts.key"),
            // No controller makes accounts for Pods.
            "--disable-admission-plugins=ServiceAccount".into(),
        ]
    }

    fn controllers(&self) -> Vec<String> {
        vec![
            self.flag("--kubeconfig", "kubeconfig"),
            "--leader-elect=false".into(),
            format!("--controllers={CONTROLLERS}"),
            format!("--service-cluster-ip-range={SERVICES}"),
            "--allocate-node-cidrs=false".into(),
            "--bind-address=127.0.0.1".into(),
            self.flag("--cert-dir", "certificates"),
        ]
    }
}
