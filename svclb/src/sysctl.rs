//! What kube-proxy's configuration sets on the host: connection tracking, and the agent's own worth in memory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

use crate::config::Conntrack;

/// Where the kernel's settings for connection tracking are.
const NETFILTER: &str = "proc/sys/net/netfilter";
/// How many buckets the table of connections has.
const HASH_SIZE: &str = "sys/module/nf_conntrack/parameters/hashsize";
/// Entries for each bucket.
const PER_BUCKET: u32 = 4;

/// Why a setting of the host could not be made.
#[derive(Debug, Error)]
#[error("{field}: cannot set {} to {value}: {source}; mend that, or leave the field out", path.display())]
pub struct SysctlError {
    /// The field that asks for it.
    field: &'static str,
    path: PathBuf,
    value: i64,
    source: io::Error,
}

/// Sets what is asked for of the host's connection tracking, and returns what has changed, each a line. What has
/// the value already is not written: it may be on a file system that is read-only.
pub fn set_conntrack(conntrack: &Conntrack) -> Result<Vec<String>, SysctlError> {
    // Of the host, however many of them this process may use.
    let cpus = aya::util::online_cpus().map_or(1, |cpus| cpus.len() as u32);
    conntrack_below(Path::new("/"), conntrack, cpus)
}

/// Makes the agent more, or less, likely to be chosen when the host is out of memory (-1000 to 1000).
pub fn set_oom_score_adj(score: i32) -> Result<(), SysctlError> {
    set(Path::new("/proc/self/oom_score_adj"), "oomScoreAdj", score.into()).map(|_changed| ())
}

fn conntrack_below(root: &Path, conntrack: &Conntrack, cpus: u32) -> Result<Vec<String>, SysctlError> {
    let seconds = |duration: Option<Duration>| {
        duration.map(|duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
    };
    let max = conntrack.max(cpus);
    let wanted = [
        ("conntrack.maxPerCore", "nf_conntrack_max", max.map(i64::from)),
        (
            "conntrack.tcpEstablishedTimeout",
            "nf_conntrack_tcp_timeout_established",
            seconds(conntrack.tcp_established_timeout),
        ),
        (
            "conntrack.tcpCloseWaitTimeout",
            "nf_conntrack_tcp_timeout_close_wait",
            seconds(conntrack.tcp_close_wait_timeout),
        ),
        ("conntrack.tcpBeLiberal", "nf_conntrack_tcp_be_liberal", conntrack.tcp_be_liberal.then_some(1)),
        ("conntrack.udpTimeout", "nf_conntrack_udp_timeout", seconds(conntrack.udp_timeout)),
        (
            "conntrack.udpStreamTimeout",
            "nf_conntrack_udp_timeout_stream",
            seconds(conntrack.udp_stream_timeout),
        ),
    ];
    let mut changes = Vec::new();
    for (field, name, value) in wanted {
        let Some(value) = value else { continue };
        changes.extend(set(&root.join(NETFILTER).join(name), field, value)?);
    }
    if let Some(buckets) = max.map(|max| i64::from(max / PER_BUCKET)) {
        let path = root.join(HASH_SIZE);
        if read(&path).is_none_or(|now| now < buckets) {
            changes.extend(set(&path, "conntrack.maxPerCore", buckets)?);
        }
    }
    Ok(changes)
}

/// A line about the change, if there was one.
fn set(path: &Path, field: &'static str, value: i64) -> Result<Option<String>, SysctlError> {
    let now = read(path);
    if now == Some(value) {
        return Ok(None);
    }
    fs::write(path, value.to_string()).map_err(|source| SysctlError {
        field,
        path: path.to_owned(),
        value,
        source,
    })?;
    let before = now.map_or_else(|| "unknown".to_owned(), |now| now.to_string());
    Ok(Some(format!("{field}: {} is {value}, was {before}", path.display())))
}

fn read(path: &Path) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    /// A host on which everything has the value 7.
    fn host() -> TempDir {
        let root = TempDir::new().unwrap();
        let names = [
            "nf_conntrack_max",
            "nf_conntrack_tcp_timeout_established",
            "nf_conntrack_tcp_timeout_close_wait",
            "nf_conntrack_tcp_be_liberal",
            "nf_conntrack_udp_timeout",
            "nf_conntrack_udp_timeout_stream",
        ];
        fs::create_dir_all(root.path().join(NETFILTER)).unwrap();
        fs::create_dir_all(root.path().join(HASH_SIZE).parent().unwrap()).unwrap();
        for name in names {
            fs::write(root.path().join(NETFILTER).join(name), "7\n").unwrap();
        }
        fs::write(root.path().join(HASH_SIZE), "7\n").unwrap();
        root
    }

    fn values(root: &Path) -> Vec<(String, String)> {
        let files = fs::read_dir(root.join(NETFILTER)).unwrap().map(|entry| entry.unwrap().path());
        let changed = files.chain([root.join(HASH_SIZE)]).filter_map(|path| {
            let value = fs::read_to_string(&path).unwrap().trim().to_owned();
            (value != "7").then(|| (path.file_name().unwrap().to_string_lossy().into_owned(), value))
        });
        let mut changed: Vec<_> = changed.collect();
        changed.sort();
        changed
    }

    #[test]
    fn what_is_asked_for_is_set_and_nothing_else() {
        let seconds = |n| Some(Duration::from_secs(n));
        let table: [(Conntrack, &[(&str, &str)]); 6] = [
            (Conntrack::default(), &[]),
            (Conntrack { max_per_core: Some(0), min: Some(9), ..Conntrack::default() }, &[]),
            (
                Conntrack { max_per_core: Some(1000), min: Some(1), ..Conntrack::default() },
                &[("hashsize", "500"), ("nf_conntrack_max", "2000")],
            ),
            (
                Conntrack { max_per_core: Some(4), min: Some(1), ..Conntrack::default() },
                &[("nf_conntrack_max", "8")],
            ),
            (
                Conntrack { tcp_be_liberal: true, udp_timeout: seconds(30), ..Conntrack::default() },
                &[("nf_conntrack_tcp_be_liberal", "1"), ("nf_conntrack_udp_timeout", "30")],
            ),
            (
                Conntrack {
                    tcp_established_timeout: seconds(86400),
                    tcp_close_wait_timeout: seconds(3600),
                    udp_stream_timeout: seconds(180),
                    ..Conntrack::default()
                },
                &[
                    ("nf_conntrack_tcp_timeout_close_wait", "3600"),
                    ("nf_conntrack_tcp_timeout_established", "86400"),
                    ("nf_conntrack_udp_timeout_stream", "180"),
                ],
            ),
        ];
        for (conntrack, expected) in table {
            let root = host();
            let changes = conntrack_below(root.path(), &conntrack, 2).unwrap();
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(values(root.path()), expected, "{conntrack:?}");
            assert_eq!(changes.len(), expected.len(), "{changes:?}");
            assert!(conntrack_below(root.path(), &conntrack, 2).unwrap().is_empty(), "once");
        }
    }

    #[test]
    fn what_cannot_be_set_is_an_error_that_names_the_field() {
        let root = host();
        fs::remove_dir_all(root.path().join("proc")).unwrap();
        let conntrack = Conntrack { udp_timeout: Some(Duration::from_secs(1)), ..Conntrack::default() };
        let line = conntrack_below(root.path(), &conntrack, 2).unwrap_err().to_string();
        assert!(
            line.starts_with("conntrack.udpTimeout: cannot set ") && line.contains("No such file"),
            "{line}"
        );
    }

    #[test]
    fn what_is_as_it_should_be_is_not_written() {
        let root = host();
        let path = root.path().join(NETFILTER).join("nf_conntrack_udp_timeout");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        let conntrack = Conntrack { udp_timeout: Some(Duration::from_secs(7)), ..Conntrack::default() };
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(conntrack_below(root.path(), &conntrack, 2).unwrap(), Vec::<String>::new());
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }
}
