//! Files that somebody wrote who means harm: each is taken as a whole or not at all, and nobody else notices.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{ManifestError, Report, contents::Contents};
use crate::{
    hostile::{
        isolation::{Neighbours, settings, settled, told},
        mutation::{Hostile, any_hostile},
        template::neighbours,
    },
    model::{Model, Snapshot},
    plan::{
        Limits,
        tests::follower::{Follower, any_limits, roomy},
    },
};

const FILES: [&str; 2] = ["b.json", "c.yaml"];

/// How objects stand in a file.
#[derive(Clone, Copy, Debug)]
enum Form {
    Documents,
    List,
    Yaml,
}

/// What becomes of a file.
#[derive(Clone, Debug)]
enum Step {
    /// Objects, the last of which may be one that is as it should be.
    Write {
        file: usize,
        objects: Vec<Hostile>,
        form: Form,
        has_good: bool,
    },
    Remove {
        file: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let file = || 0..FILES.len();
    let form = select(vec![Form::Documents, Form::List, Form::Yaml]);
    prop_oneof![
        8 => (file(), vec(any_hostile(), 1..4), form, any::<bool>())
            .prop_map(|(file, objects, form, has_good)| Step::Write { file, objects, form, has_good }),
        1 => file().prop_map(|file| Step::Remove { file }),
    ]
}

fn good() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "good", "name": "good" },
        "spec": { "clusterIP": "10.96.0.200", "ports": [{ "port": 80 }] },
    })
}

fn text(objects: &[Hostile], form: Form, has_good: bool) -> String {
    let good = has_good.then(good);
    let texts = objects.iter().map(Hostile::text).chain(good.as_ref().map(Value::to_string));
    match form {
        Form::Documents => texts.collect::<Vec<_>>().join("\n---\n"),
        Form::List => {
            let items = texts.collect::<Vec<_>>().join(",\n");
            format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n{items}]}}")
        }
        Form::Yaml => {
            let values = objects.iter().map(Hostile::value).chain(good);
            let texts = values.map(|value| serde_saphyr::to_string(&value).unwrap_or_default());
            texts.collect::<Vec<_>>().join("\n---\n")
        }
    }
}

/// A folder, and what follows it.
struct Node {
    contents: Contents,
    model: Model,
    tables: Follower,
}

impl Node {
    fn new(limits: Limits) -> Self {
        let (contents, model) = (Contents::default(), Model::new(settings()));
        Self { contents, model, tables: Follower::new(limits) }
    }

    /// Reads the first file.
    fn meet_neighbours(&mut self) -> Neighbours {
        let texts: Vec<_> = neighbours().iter().map(Value::to_string).collect();
        let report = self.write("a.yaml", &texts.join("\n---\n"));
        assert_eq!(report.errors.len(), 0);
        Neighbours::of(&report.batch.changes)
    }

    /// Ends a look at the folder; what it told.
    fn settle(&mut self, mut report: Report) -> Report {
        self.contents.settle(&mut report);
        report.batch.changes.iter().for_each(|change| self.model.apply(change));
        self.model.settle();
        self.tables.advance(Snapshot { services: self.model.services().clone(), ..Snapshot::default() });
        report
    }

    fn write(&mut self, file: &str, text: &str) -> Report {
        let mut report = Report::default();
        self.contents.update(&Arc::from(file), text.as_bytes(), &mut report);
        self.settle(report)
    }
}

/// What the objects of a file may be called in a report.
fn titles(objects: &[Hostile]) -> BTreeSet<String> {
    let mut titles = BTreeSet::new();
    for value in objects.iter().map(Hostile::value) {
        let text = |of: &Value| of.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&value["kind"]), text(&value["metadata"]["name"]));
        let namespace = Some(text(&value["metadata"]["namespace"])).filter(|it| !it.is_empty());
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        titles.insert(match kind.as_str() {
            _ if name.is_empty() => kind,
            "Node" | "ServiceCIDR" => format!("{kind} {name}"),
            _ => format!("{kind} {namespace}/{name}"),
        });
    }
    titles.into_iter().map(|title| super::parse::one_line(&title).into_owned()).collect()
}

/// Judges what is said of a file that is not taken.
fn judge_error(error: &ManifestError, file: &str, objects: &[Hostile]) -> Result<(), TestCaseError> {
    let line = error.to_string();
    prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
    let place = line.strip_prefix(&format!("{file}:")).and_then(|rest| rest.split_once(": "));
    prop_assert!(
        place.is_some_and(|(number, _)| number.parse::<u64>().is_ok_and(|number| number > 0)),
        "{}",
        line
    );
    match error {
        ManifestError::Field { object, field, .. } => {
            prop_assert!(titles(objects).contains(object), "{}", line);
            prop_assert!(!field.is_empty(), "{}", line);
        }
        ManifestError::Syntax { message, .. } => prop_assert!(!message.is_empty()),
        other => return Err(TestCaseError::fail(format!("{other}"))),
    }
    Ok(())
}

#[test]
fn a_thousand_ports_are_a_service_like_any_other() {
    let names = || (0..1000).map(|number| format!("p{number}"));
    let ports: Vec<_> = names().zip(1..).map(|(name, port)| json!({ "name": name, "port": port })).collect();
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "evil", "name": "many" },
        "spec": { "clusterIP": "10.96.0.66", "externalIPs": ["10.96.0.1"], "ports": ports },
    });
    let ports: Vec<_> = names().map(|name| json!({ "name": name, "port": 8080 })).collect();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "namespace": "evil", "name": "many", "labels": { "kubernetes.io/service-name": "many" } },
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{ "addresses": ["10.244.6.1"] }, { "addresses": ["10.244.6.2"] }],
    });
    let few = Limits { frontends: 100, services: 50, slots: 80, ..roomy() };
    for limits in [roomy(), few] {
        let mut node = Node::new(limits);
        let neighbours = node.meet_neighbours();
        let report = node.write("b.json", &format!("{service}\n---\n{slice}"));
        assert_eq!(report.errors.len(), 0);
        neighbours.judge(&node.model, &node.contents.objects()).unwrap();
        assert_eq!(node.model.services().keys().filter(|key| *key.name == *"many").count(), 1000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_hostile_file_is_taken_as_a_whole_or_not_at_all(steps in vec(any_step(), 1..6), limits in any_limits()) {
        let mut node = Node::new(limits);
        let neighbours = node.meet_neighbours();
        for step in &steps {
            let before = node.contents.objects();
            match step {
                Step::Write { file, objects, form, has_good } => {
                    let (file, text) = (FILES[*file], text(objects, *form, *has_good));
                    let report = node.write(file, &text);
                    let refused: Vec<_> = report.errors.iter().filter(|error| error.keeps_last_good()).collect();
                    if let [error] = refused[..] {
                        judge_error(error, file, objects)?;
                        prop_assert_eq!(&report.batch.changes, &[]);
                        prop_assert_eq!(&node.contents.objects(), &before);
                    } else {
                        prop_assert_eq!(refused.len(), 0);
                        let has_good = *has_good && node.contents.objects().services().all(|it| it.metadata.name.as_deref() != Some("good"));
                        prop_assert!(!has_good, "half of {} is in force", file);
                    }
                }
                Step::Remove { file } => {
                    node.contents.forget(FILES[*file]);
                    node.settle(Report::default());
                }
            }
            neighbours.judge(&node.model, &node.contents.objects())?;
            // What went before left no trace.
            prop_assert_eq!(told(&node.model), told(&settled(&node.contents.changes())));
        }
        for file in FILES {
            node.contents.forget(file);
        }
        node.settle(Report::default());
        neighbours.judge_alone(&node.model)?;
    }
}
