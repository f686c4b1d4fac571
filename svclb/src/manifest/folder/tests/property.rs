//! Whatever happens to the files: what was told adds up to what the files say.

use proptest::prelude::*;

use super::*;
use crate::{manifest::contents::Contents, source::Batch};

const FILES: [&str; 3] = ["a.yaml", "b.json", "c.yml"];

#[derive(Clone, Debug)]
enum Step {
    /// Write objects, each a name and a value, in one of the forms.
    Write {
        file: usize,
        objects: Vec<(u8, u8)>,
        form: u8,
    },
    /// Write what is no manifest.
    Break {
        file: usize,
    },
    Remove {
        file: usize,
    },
    Rename {
        from: usize,
        to: usize,
    },
}

/// How the folder comes to know.
#[derive(Clone, Copy, Debug)]
enum How {
    Named,
    Scan,
    Parts,
}

fn steps() -> impl Strategy<Value = Vec<(Step, How)>> {
    let file = || 0..FILES.len();
    let step = prop_oneof![
        6 => (file(), prop::collection::vec((0..5_u8, 0..3_u8), 0..5), 0..3_u8)
            .prop_map(|(file, objects, form)| Step::Write { file, objects, form }),
        1 => file().prop_map(|file| Step::Break { file }),
        1 => file().prop_map(|file| Step::Remove { file }),
        2 => (file(), file()).prop_map(|(from, to)| Step::Rename { from, to }),
    ];
    let how = prop_oneof![Just(How::Named), Just(How::Scan), Just(How::Parts)];
    prop::collection::vec((step, how), 1..12)
}

fn text(objects: &[(u8, u8)], form: u8) -> String {
    let kinds = ["Node", "Service"];
    let object = |(name, value): &(u8, u8)| {
        let kind = kinds[usize::from(*name) % 2];
        format!(
            "{{ \"apiVersion\": \"v1\", \"kind\": \"{kind}\",\n \"metadata\": {{ \"name\": \"n{name}\", \"labels\": {{ \"on\": \"{value}\" }} }} }}\n"
        )
    };
    let objects: Vec<_> = objects.iter().map(object).collect();
    match form {
        0 => objects.join("---\n"),
        1 => format!("{{ \"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}] }}", objects.join(", ")),
        _ => format!("kind: List\napiVersion: v1\nitems: [{}]\n", objects.join(", ")),
    }
}

proptest! {
    #[test]
    fn batches_add_up_to_what_the_files_say(steps in steps()) {
        let mut world = World::new();
        let mut told = Objects::default();
        let mut good: BTreeMap<&str, String> = BTreeMap::new();
        fold(&mut told, &world.folder.scan().batch)?;
        // Each write has a time of its own, as with people.
        for ((step, how), ago) in steps.into_iter().zip((60..1000).rev()) {
            let touched = match step {
                Step::Write { file, objects, form } => {
                    let text = text(&objects, form);
                    world.write_before(ago, FILES[file], &text);
                    good.insert(FILES[file], text);
                    vec![FILES[file]]
                }
                Step::Break { file } => {
                    world.write_before(ago, FILES[file], "]");
                    vec![FILES[file]]
                }
                Step::Remove { file } => {
                    let _it_may_not_be_there = fs::remove_file(world.path(FILES[file]));
                    good.remove(FILES[file]);
                    vec![FILES[file]]
                }
                Step::Rename { from, to } => {
                    let (from, to) = (FILES[from], FILES[to]);
                    let is_there = fs::rename(world.path(from), world.path(to)).is_ok();
                    // What is broken keeps the last good version of its new name.
                    if is_there && from != to
                        && let Some(text) = good.remove(from)
                        && fs::read_to_string(world.path(to)).unwrap() == text
                    {
                        good.insert(to, text);
                    }
                    vec![from, to]
                }
            };
            match how {
                How::Named => fold(&mut told, &world.folder.look_at(touched).batch)?,
                How::Scan => fold(&mut told, &world.folder.scan().batch)?,
                // The rest of a round that has begun, and a whole one.
                How::Parts => for _ in 0..=2 * FILES.len() + 2 {
                    fold(&mut told, &world.folder.patrol(1).batch)?;
                },
            }
            prop_assert_eq!(&told, &fresh(&good), "after {:?}", how);
            prop_assert_eq!(&told, &world.folder.objects());
        }
    }
}

/// Applies a batch, every change of which must change something.
fn fold(objects: &mut Objects, batch: &Batch) -> Result<(), TestCaseError> {
    for change in &batch.changes {
        let before = objects.clone();
        objects.apply(change);
        prop_assert_ne!(&before, &*objects, "{:?} changes nothing", change);
    }
    objects.set_partial(batch.is_partial);
    Ok(())
}

/// What files with these texts say to a reader who has seen no others.
fn fresh(files: &BTreeMap<&str, String>) -> Objects {
    let mut contents = Contents::default();
    let mut report = Report::default();
    for (file, text) in files {
        contents.update(&(*file).into(), text.as_bytes(), &mut report);
    }
    contents.settle(&mut report);
    contents.objects()
}
