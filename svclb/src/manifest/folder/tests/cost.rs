//! What a change costs, in counts: it is in proportion to the file that changed.

use super::*;
use crate::manifest::Effort;

/// A folder of `files`, which were written long ago, after its first look.
fn world(files: &[(String, String)]) -> World {
    let mut world = World::new();
    for (file, text) in files {
        world.write_before(60, file, text);
    }
    assert_eq!(world.folder.scan().effort.read, files.len());
    world
}

fn many() -> World {
    let file = |i| (format!("f{i:03}.yaml"), node(&format!("n{i}")));
    world(&(0..300).map(file).collect::<Vec<_>>())
}

#[test]
fn one_file_of_many_is_the_only_one_that_is_touched() {
    let mut world = many();
    world.write("f007.yaml", &node("other"));
    let report = world.folder.look_at(["f007.yaml"]);
    assert_eq!(report.effort, Effort { looked_at: 1, read: 1, parsed: 1, compared: 2 });
    assert_eq!(report.batch.changes.len(), 2, "one object comes, one goes");

    fs::remove_file(world.path("f007.yaml")).unwrap();
    let report = world.folder.look_at(["f007.yaml", ".hidden.yaml", "notes.txt"]);
    assert_eq!(report.effort, Effort { looked_at: 1, read: 0, parsed: 0, compared: 1 });
    assert_eq!(report.batch.changes.len(), 1);
}

#[test]
fn metadata_alone_shows_that_nothing_changed() {
    let mut world = many();
    let report = world.folder.scan();
    assert_eq!(report.effort, Effort { looked_at: 300, ..Effort::default() });
    assert!(report.batch.changes.is_empty());
}

#[test]
fn a_round_is_walked_in_parts() {
    let mut world = many();
    world.write_before(30, "f150.yaml", &node("other"));
    fs::remove_file(world.path("f200.yaml")).unwrap();
    world.write_before(30, "new.yaml", &node("new"));
    let mut total = Effort::default();
    let mut changes = 0;
    // 300 files are four parts, and the end of the folder may need a fifth.
    for _ in 0..5 {
        let report = world.folder.patrol(90);
        assert!(report.effort.looked_at <= 90);
        total.looked_at += report.effort.looked_at;
        total.read += report.effort.read;
        changes += report.batch.changes.len();
        if total.looked_at >= 300 && world.folder.round.is_none() {
            break;
        }
    }
    assert_eq!((total.looked_at, total.read), (300, 2));
    assert_eq!(changes, 4, "one replaces another, one goes, one comes");
}

#[test]
fn one_document_of_many_is_the_only_one_that_is_parsed() {
    let documents = |changed: usize| {
        let label = |i| if i == changed { "new" } else { "old" };
        let document = |i| {
            format!("apiVersion: v1\nkind: Node\nmetadata:\n  name: n{i}\n  labels: {{ on: {} }}\n", label(i))
        };
        (0..500).map(document).collect::<Vec<_>>().join("---\n")
    };
    let items = |changed: usize| {
        let label = |i| if i == changed { "new" } else { "old" };
        let item = |i| {
            format!(
                "{{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{{\"name\":\"n{i}\",\"labels\":{{\"on\":\"{}\"}}}}}}",
                label(i)
            )
        };
        let items = (0..500).map(item).collect::<Vec<_>>().join(",\n");
        format!("{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{items}]}}")
    };
    let forms: [(&str, &dyn Fn(usize) -> String); 2] = [("a.yaml", &documents), ("a.json", &items)];
    for (file, text) in forms {
        let mut world = world(&[(file.to_owned(), text(500))]);
        world.write(file, &text(77));
        let report = world.folder.look_at([file]);
        assert_eq!(report.effort, Effort { looked_at: 1, read: 1, parsed: 1, compared: 1 }, "{file}");
        assert_eq!(report.batch.changes.len(), 1, "{file}");

        world.write(file, &format!("\n\n{}", text(77)));
        let report = world.folder.look_at([file]);
        assert!(report.effort.parsed <= 1 && report.batch.changes.is_empty(), "{file}: lines moved");
    }
}
