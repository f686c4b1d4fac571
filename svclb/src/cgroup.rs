//! Control groups of version 2: where they are, and which of them are pods'.

mod pods;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

pub use self::pods::PodGroups;

/// Where cgroup v2 is mounted: `/sys/fs/cgroup`, or below it on hosts that
/// keep version 1 too.
pub fn mount_point() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let mut found: Vec<_> = mount_points(&mounts).filter(|(_, path)| is_group(path)).collect();
    // One of the whole before one of a part, as containers have.
    found.sort_by_key(|(root, _)| *root != "/");
    found.into_iter().next().map(|(_, path)| path).context("cgroup v2 is not mounted")
}

/// Whether a folder is a control group of version 2.
pub fn is_group(folder: &Path) -> bool {
    folder.join("cgroup.controllers").is_file()
}

/// The group and the place of each mount of cgroup v2 (`proc_pid_mountinfo`(5)); another mount may hide it.
fn mount_points(mountinfo: &str) -> impl Iterator<Item = (&str, PathBuf)> {
    mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        filesystem.starts_with("cgroup2 ").then_some((words.next()?, words.next()?.into()))
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
40 31 0:38 /pod /part rw,relatime shared:4 - cgroup2 cgroup2 rw
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
";
        let expected = [("/pod", "/part".into()), ("/", "/sys/fs/cgroup/unified".into())];
        assert_eq!(mount_points(mountinfo).collect::<Vec<_>>(), expected);
        assert_eq!(mount_points("31 23 0:28 / / rw - ext4 /dev/vda rw\n").next(), None);
    }
}
