//! Folders as editors, administrators and the kubelet change them.

mod cost;
mod property;

use std::{os::unix::fs::symlink, time::Duration};

use tempfile::TempDir;

use super::*;

fn node(name: &str) -> String {
    format!("{{ apiVersion: v1, kind: Node, metadata: {{ name: {name} }} }}\n")
}

struct World {
    dir: TempDir,
    folder: Folder,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        Self { dir, folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// Writes a file as if it had been done `seconds` ago.
    fn write_before(&self, seconds: u64, file: &str, text: &str) {
        self.write(file, text);
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::options().append(true).open(self.path(file)).unwrap().set_modified(then).unwrap();
    }

    /// Scans; the names in force, whether they changed, and how many errors there were.
    fn scan(&mut self) -> (String, bool, usize) {
        let report = self.folder.scan();
        let objects = self.folder.objects();
        let names: Vec<_> = objects.nodes().filter_map(|node| node.metadata.name.clone()).collect();
        (names.join(" "), !report.batch.changes.is_empty(), report.errors.len())
    }
}

fn outcome(names: &str, changed: bool, errors: usize) -> (String, bool, usize) {
    (names.to_owned(), changed, errors)
}

#[test]
fn files_come_change_and_go() {
    let mut world = World::new();
    assert_eq!(world.scan(), outcome("", false, 0));
    world.write("a.yaml", &node("a"));
    world.write("b.json", &node("b"));
    world.write("c.yml", &node("c"));
    assert_eq!(world.scan(), outcome("a b c", true, 0));
    assert_eq!(world.scan(), outcome("a b c", false, 0));
    world.write("a.yaml", &node("x"));
    assert_eq!(world.scan(), outcome("b c x", true, 0));
    world.write("a.yaml", "]");
    assert_eq!(world.scan(), outcome("b c x", false, 1));
    assert_eq!(world.scan(), outcome("b c x", false, 0));
    fs::remove_file(world.path("b.json")).unwrap();
    assert_eq!(world.scan(), outcome("c x", true, 0));
}

#[test]
fn a_round_leaves_a_file_to_its_writer() {
    let mut world = World::new();
    world.write_before(90, "a.yaml", &node("a"));
    world.scan();
    world.write("a.yaml", "");
    assert!(world.folder.patrol(9).batch.changes.is_empty());
    world.write_before(60, "a.yaml", &node("b"));
    assert_eq!(world.folder.patrol(9).batch.changes.len(), 2);
}

#[test]
fn other_files_are_left_alone() {
    let mut world = World::new();
    for file in [".a.yaml", "a.yaml~", "a.yaml.swp", "README.md", "yaml", "a.txt"] {
        world.write(file, "]");
    }
    fs::create_dir(world.path("sub.yaml")).unwrap();
    symlink("nowhere", world.path("dangling.yaml")).unwrap();
    nix::unistd::mkfifo(&world.path("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(world.scan(), outcome("", false, 0));
}

#[test]
fn a_file_may_be_replaced_by_rename() {
    let mut world = World::new();
    world.write("a.yaml", &node("a"));
    world.scan();
    world.write(".a.yaml.new", &node("b"));
    fs::rename(world.path(".a.yaml.new"), world.path("a.yaml")).unwrap();
    assert_eq!(world.scan(), outcome("b", true, 0));
}

#[test]
fn a_mounted_config_map_changes_by_one_link() {
    let mut world = World::new();
    for (version, name) in [("..1", "a"), ("..2", "b")] {
        fs::create_dir(world.path(version)).unwrap();
        world.write(&format!("{version}/a.yaml"), &node(name));
    }
    symlink("..1", world.path("..data")).unwrap();
    symlink("..data/a.yaml", world.path("a.yaml")).unwrap();
    assert_eq!(world.scan(), outcome("a", true, 0));
    symlink("..2", world.path("..data_tmp")).unwrap();
    fs::rename(world.path("..data_tmp"), world.path("..data")).unwrap();
    assert_eq!(world.scan(), outcome("b", true, 0));
}

#[test]
fn a_folder_that_vanishes_stays_in_force_until_it_is_back() {
    let mut world = World::new();
    world.write("a.yaml", &node("a"));
    world.scan();
    let away = world.path("").with_extension("away");
    fs::rename(world.dir.path(), &away).unwrap();
    assert_eq!(world.scan(), outcome("a", false, 1));
    assert_eq!(world.scan(), outcome("a", false, 0));
    fs::rename(&away, world.dir.path()).unwrap();
    world.write("a.yaml", &node("b"));
    assert_eq!(world.scan(), outcome("b", true, 0));
}

#[test]
fn a_file_that_cannot_be_read_stays_in_force() {
    let mut world = World::new();
    world.write("a.yaml", &node("a"));
    world.write("b.yaml", &node("b"));
    world.scan();
    fs::remove_file(world.path("a.yaml")).unwrap();
    symlink("a.yaml", world.path("a.yaml")).unwrap();
    assert_eq!(world.scan(), outcome("a b", false, 1), "a link to itself");
    assert_eq!(world.scan(), outcome("a b", false, 0));
    fs::remove_file(world.path("a.yaml")).unwrap();
    assert_eq!(world.scan(), outcome("b", true, 0));
}

#[test]
fn a_folder_must_be_there_at_first() {
    let world = World::new();
    let error = Folder::open(&world.path("missing")).unwrap_err().to_string();
    assert!(error.contains("missing: No such file or directory"), "{error}");
    world.write("file", "");
    let error = Folder::open(&world.path("file")).unwrap_err().to_string();
    assert!(error.contains("file: Not a directory"), "{error}");
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let mut world = World::new();
    world.write("a.yaml", &node("a"));
    world.scan();
    File::create(world.path("a.yaml")).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
    assert_eq!(world.scan(), outcome("a", false, 1));
    assert_eq!(world.scan(), outcome("a", false, 0));
}
