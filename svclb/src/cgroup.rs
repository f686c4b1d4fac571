//! Control groups of version 2: where they are, and which of them are pods'.

mod pods;

use std::{fs, path::PathBuf};

use anyhow::Context as _;

pub use self::pods::PodGroups;

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or below it on hosts that
/// keep version 1 too.
pub fn mount_point() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    parse_mount_point(&mounts).context("cgroup v2 is not mounted")
}

fn parse_mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        filesystem.starts_with("cgroup2 ").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_of_version_2_is_found_among_those_of_version_1() {
        let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
";
        assert_eq!(parse_mount_point(mountinfo), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(parse_mount_point("31 23 0:28 / / rw - ext4 /dev/vda rw\n"), None);
    }
}
