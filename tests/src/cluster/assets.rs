//! The binaries of a control plane, or a cluster that is there already.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

/// The folder of the binaries, as kubebuilder's envtest calls it.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The cluster that `kubectl` uses as well.
const KUBECONFIG: &str = "KUBECONFIG";

/// What the ring uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assets {
    /// Binaries, started for the run.
    Binaries {
        /// The store.
        etcd: PathBuf,
        /// The API server.
        apiserver: PathBuf,
        /// The controllers that write EndpointSlices; without them the ring writes the slices.
        controllers: Option<PathBuf>,
        /// The client.
        kubectl: PathBuf,
    },
    /// A cluster that runs already.
    Cluster {
        /// How to reach it: what the variable holds.
        kubeconfig: String,
        /// The client.
        kubectl: PathBuf,
    },
}

/// Why the ring cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Neither variable is set.
    Nothing,
    /// The folder lacks binaries.
    Binaries(PathBuf, Vec<&'static str>),
    /// There is no client, neither in the folder nor on the path.
    Kubectl,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(
                f,
                "etcd and kube-apiserver are missing: set {ASSETS} to their folder, or {KUBECONFIG} to a cluster"
            ),
            Self::Binaries(folder, names) => {
                write!(f, "{ASSETS}={} lacks {}", folder.display(), names.join(" and "))
            }
            Self::Kubectl => f.write_str("kubectl is missing: put it on the path or beside kube-apiserver"),
        }
    }
}

impl Assets {
    /// Looks where the environment says. Binaries come before a cluster.
    pub fn find() -> Result<Self, Missing> {
        let of = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let path: Vec<_> = env::var_os("PATH").iter().flat_map(env::split_paths).collect();
        Self::find_in(of(ASSETS).as_deref(), of(KUBECONFIG).as_deref(), &path)
    }

    fn find_in(assets: Option<&str>, kubeconfig: Option<&str>, path: &[PathBuf]) -> Result<Self, Missing> {
        let of = |folder: &Path, name| Some(folder.join(name)).filter(|file| file.is_file());
        let on_path = || path.iter().find_map(|folder| of(folder, "kubectl"));
        let Some(folder) = assets.map(Path::new) else {
            let kubeconfig = kubeconfig.ok_or(Missing::Nothing)?.to_owned();
            return Ok(Self::Cluster { kubeconfig, kubectl: on_path().ok_or(Missing::Kubectl)? });
        };
        match (of(folder, "etcd"), of(folder, "kube-apiserver")) {
            (Some(etcd), Some(apiserver)) => Ok(Self::Binaries {
                etcd,
                apiserver,
                controllers: of(folder, "kube-controller-manager"),
                kubectl: of(folder, "kubectl").or_else(on_path).ok_or(Missing::Kubectl)?,
            }),
            (etcd, apiserver) => {
                let all = [("etcd", etcd), ("kube-apiserver", apiserver)];
                let names = all.into_iter().filter(|(_, file)| file.is_none()).map(|(name, _)| name);
                Err(Missing::Binaries(folder.into(), names.collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    fn find(names: &[&str], on_path: &[&str]) -> Result<Assets, Missing> {
        let (assets, path) = (folder(names), folder(on_path));
        Assets::find_in(assets.path().to_str(), Some("ignored"), &[path.path().into()])
    }

    #[test]
    fn what_is_missing_is_named() {
        let cases: [(&[&str], &[&str], &str); 4] = [
            (&[], &["kubectl"], "lacks etcd and kube-apiserver"),
            (&["etcd"], &["kubectl"], "lacks kube-apiserver"),
            (&["kube-apiserver", "kubectl"], &[], "lacks etcd"),
            (&["etcd", "kube-apiserver"], &[], "kubectl is missing"),
        ];
        for (names, on_path, words) in cases {
            let missing = find(names, on_path).unwrap_err().to_string();
            assert!(missing.contains(words), "{names:?}: {missing}");
        }
        assert_eq!(Assets::find_in(None, None, &[]), Err(Missing::Nothing));
        assert_eq!(Assets::find_in(None, Some("file"), &[]), Err(Missing::Kubectl));
    }

    #[test]
    fn controllers_may_be_missing_and_kubectl_is_found_beside_or_on_the_path() {
        for (names, on_path, has_controllers) in [
            (&["etcd", "kube-apiserver", "kubectl"][..], &[][..], false),
            (&["etcd", "kube-apiserver", "kube-controller-manager"], &["kubectl"], true),
        ] {
            let Ok(Assets::Binaries { controllers, .. }) = find(names, on_path) else {
                panic!("{names:?}: not found");
            };
            assert_eq!(controllers.is_some(), has_controllers, "{names:?}");
        }
    }
}
