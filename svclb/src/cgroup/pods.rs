//! The control groups of pods, by what kubelets call them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs, io,
    os::unix::fs::{DirEntryExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask};
use tokio::time::sleep;

/// How far below the root kubelets put pods, with room for nodes that are containers.
const DEEPEST: usize = 8;
/// How many folders are looked into at once. Nodes have some hundreds that are no pod's.
const MOST: usize = 16_384;
/// Room for events that are fetched at once, in bytes.
const BUFFER: usize = 4096;
/// How long a folder that was not there may be missed if the kernel does not tell of it.
const RETRY: Duration = Duration::from_secs(5);

/// The pods' control groups below a root.
pub struct PodGroups {
    root: PathBuf,
    /// The kernel's word that a folder was made; without it they are looked for again and again.
    made: Option<EventStream<Vec<u8>>>,
}

impl PodGroups {
    /// Those below `root`, a folder of cgroup v2.
    pub fn below(root: &Path) -> Self {
        let made = Inotify::init().and_then(|inotify| inotify.into_event_stream(vec![0; BUFFER]));
        let made = made.inspect_err(|error| tracing::debug!("cgroups: no inotify: {error}"));
        Self { root: root.to_owned(), made: made.ok() }
    }

    /// The groups of the pods of these UIDs that are there, by UID: numbers as `bpf_get_current_cgroup_id` gives them.
    pub fn find(&mut self, uids: &BTreeSet<String>) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        let mut left = VecDeque::from([(self.root.clone(), 0)]);
        let mut seen = 0;
        while let Some((folder, depth)) = left.pop_front() {
            seen += 1;
            if seen > MOST || found.len() == uids.len() {
                break;
            }
            // Watched first: what is made between the two is found by the one or told by the other.
            self.watch(&folder, depth);
            // A group that goes meanwhile has no pods.
            for (name, path, number) in children(&folder).unwrap_or_default() {
                match uid(&name) {
                    Some(uid) if uids.contains(&uid) => drop(found.insert(uid, number)),
                    None if depth < DEEPEST => left.push_back((path, depth + 1)),
                    Some(_) | None => {}
                }
            }
        }
        found
    }

    /// Asks for word of what is made in a folder that may hold pods: the root, and those of kubelets.
    fn watch(&self, folder: &Path, depth: usize) {
        let below = folder.strip_prefix(&self.root).unwrap_or(folder);
        let is_kubelets = depth == 0 || below.to_string_lossy().contains("kube");
        if let Some(made) = self.made.as_ref().filter(|_| is_kubelets) {
            let mask = WatchMask::CREATE | WatchMask::ONLYDIR;
            if let Err(error) = made.watches().add(folder, mask) {
                tracing::debug!("{}: not watched: {error}", folder.display());
            }
        }
    }

    /// Resolves when it is worth while to look again for what is missing.
    pub async fn changed(&mut self) {
        let Some(made) = &mut self.made else { return sleep(RETRY).await };
        tokio::select! {
            event = made.next() => {
                // Several folders that were made together are one change.
                while made.next().now_or_never().flatten().is_some() {}
                if !matches!(event, Some(Ok(_))) {
                    self.made = None;
                }
            }
            () = sleep(RETRY) => {}
        }
    }
}

/// Name, path and number of the groups in a group.
fn children(folder: &Path) -> io::Result<Vec<(String, PathBuf, u64)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            // The number of the folder is that of the group (Linux 5.5, 64 bits).
            let number = entry.metadata().map_or_else(|_| entry.ino(), |metadata| metadata.ino());
            children.push((entry.file_name().to_string_lossy().into_owned(), entry.path(), number));
        }
    }
    Ok(children)
}

/// The UID in the name of a pod's group: `pod<uid>`, or of systemd's driver
/// `kubepods-burstable-pod<uid with underscores>.slice`.
fn uid(name: &str) -> Option<String> {
    let uid = match name.strip_suffix(".slice") {
        Some(slice) => slice.rsplit_once("-pod")?.1,
        None => name.strip_prefix("pod")?,
    };
    (!uid.is_empty()).then(|| uid.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_drivers() {
        let table = [
            ("pod0f1e-22", Some("0f1e-22")),
            ("kubepods-besteffort-pod0f1e_22.slice", Some("0f1e-22")),
            ("kubepods-pod0f1e_22.slice", Some("0f1e-22")),
            ("kubelet-kubepods-burstable-pod0f1e_22.slice", Some("0f1e-22")),
            ("kubepods-besteffort.slice", None),
            ("kubepods.slice", None),
            ("kubepods", None),
            ("pod", None),
            ("system.slice", None),
            ("cri-containerd-0f1e.scope", None),
        ];
        for (name, right) in table {
            assert_eq!(uid(name).as_deref(), right, "{name}");
        }
    }

    #[tokio::test]
    async fn groups_are_found_when_they_come() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        let uids: BTreeSet<String> = ["a-1", "b-2", "c-3"].map(String::from).into();
        make("kubepods.slice/kubepods-pod_.slice");
        make("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda_1.slice/podb-2");
        make("system.slice/other.service");
        let mut groups = PodGroups::below(root.path());
        let found = groups.find(&uids);
        assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["a-1"], "a pod is in no other");
        make("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podc_3.slice");
        groups.changed().await;
        let found = groups.find(&uids);
        let folder = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podc_3.slice";
        assert_eq!(found["c-3"], fs::metadata(root.path().join(folder)).unwrap().ino());
        // A root that is not there yet.
        fs::remove_dir_all(root.path()).unwrap();
        assert_eq!(groups.find(&uids), BTreeMap::new());
    }
}
