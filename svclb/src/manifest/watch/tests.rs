//! Batches as they arrive.

use std::fs;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::model::Objects;

fn node(name: &str) -> String {
    format!("{{ apiVersion: v1, kind: Node, metadata: {{ name: {name} }} }}\n")
}

/// What the batches add up to.
struct Listener {
    receiver: Receiver<Batch>,
    objects: Objects,
}

impl Listener {
    /// The next batch: how many changes it had, and the names in force since.
    async fn next(&mut self) -> (usize, String) {
        let batch = timeout(Duration::from_secs(5), self.receiver.recv()).await.expect("a batch in time");
        let batch = batch.expect("the task runs");
        batch.changes.iter().for_each(|change| self.objects.apply(change));
        (batch.changes.len(), self.names())
    }

    /// Waits until exactly `expected` is in force. The promise is a second; the rest is for a busy machine.
    async fn expect(&mut self, expected: &str) {
        while self.names() != expected {
            self.next().await;
        }
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.objects.nodes().filter_map(|node| node.metadata.name.clone()).collect();
        names.join(" ")
    }
}

#[tokio::test]
async fn changes_are_told_until_nobody_listens() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("folder");
    let file = path.join("a.yaml");
    fs::create_dir(&path).unwrap();
    fs::write(&file, node("a")).unwrap();
    fs::write(path.join("z.yaml"), node("z")).unwrap();
    let (receiver, task) = watch(&path).unwrap();
    let task = tokio::spawn(task);
    let mut listener = Listener { receiver, objects: Objects::default() };
    assert_eq!(listener.next().await, (2, "a z".to_owned()), "the first batch is complete");

    fs::write(&file, node("b")).unwrap();
    assert_eq!(listener.next().await, (2, "b z".to_owned()), "one comes, one goes");
    fs::write(path.join(".new"), node("c")).unwrap();
    fs::rename(path.join(".new"), &file).unwrap();
    listener.expect("c z").await;
    fs::write(&file, "]").unwrap();
    fs::write(path.join("b.yaml"), node("d")).unwrap();
    listener.expect("c d z").await;
    fs::rename(&file, path.join("e.yaml")).unwrap();
    fs::remove_file(path.join("z.yaml")).unwrap();
    listener.expect("d").await;

    fs::rename(&path, dir.path().join("away")).unwrap();
    fs::write(dir.path().join("away/b.yaml"), node("x")).unwrap();
    fs::create_dir(&path).unwrap();
    fs::write(&file, node("e")).unwrap();
    listener.expect("e").await;

    drop(listener);
    timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_empty_folder_is_told_as_well() {
    let dir = TempDir::new().unwrap();
    let (receiver, task) = watch(dir.path()).unwrap();
    tokio::spawn(task);
    let mut listener = Listener { receiver, objects: Objects::default() };
    assert_eq!(listener.next().await, (0, String::new()));
}

#[tokio::test]
async fn without_events_the_ticks_find_changes() {
    let dir = TempDir::new().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let (sender, receiver) = channel(1);
    tokio::spawn(follow(folder, Events::none(dir.path()), sender));
    let mut listener = Listener { receiver, objects: Objects::default() };
    assert_eq!(listener.next().await, (0, String::new()));
    fs::write(dir.path().join("a.yaml"), node("a")).unwrap();
    assert_eq!(listener.next().await, (1, "a".to_owned()));
}

#[tokio::test]
async fn files_that_could_not_be_read_yet_are_told_of() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a.yaml"), "]").unwrap();
    let (mut receiver, task) = watch(dir.path()).unwrap();
    tokio::spawn(task);
    let first = receiver.recv().await.unwrap();
    assert_eq!(first, Batch { is_partial: true, ..Batch::default() });
    fs::write(dir.path().join("a.yaml"), "").unwrap();
    assert_eq!(receiver.recv().await.unwrap(), Batch::default());
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(watch(&dir.path().join("missing")), Err(ManifestError::Folder { .. })));
}
