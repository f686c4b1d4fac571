//! Manifests as people write them, and bytes as nobody does.

use proptest::prelude::*;

use super::*;
use crate::model::{Objects, Settings, build};

fn apply(objects: &mut Objects, object: &Object) {
    object.resource.change().iter().for_each(|change| objects.apply(change));
}

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  clusterIP: 10.0.0.1
  ports:
  - name: http
    port: 80
    targetPort: http
";

const SLICE: &str = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-1
  labels:
    kubernetes.io/service-name: web
addressType: IPv4
ports:
- name: http
  port: 8080
endpoints:
- addresses: [10.1.0.1]
  nodeName: node-1
";

const NODE: &str = "{\"apiVersion\": \"v1\", \"kind\": \"Node\", \"metadata\": {\"name\": \"node-1\"}}\n";

/// What a file has, in short: `LINE KIND KEY`, or its error.
fn contents(text: &str) -> Vec<String> {
    let line = |object: &Object| match (object.resource.id(), &object.resource) {
        (Some(id), _) => format!("{} {id}", object.line),
        (None, Resource::Ignored(kind)) => format!("{} ignored {kind}", object.line),
        (None, _) => unreachable!(),
    };
    match parse(text, "f.yaml") {
        Ok(objects) => objects.iter().map(line).collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn documents_lists_and_json_are_taken_apart() {
    let indented = |text: &str| {
        let lines = text.lines().enumerate();
        let indent = |(i, line)| format!("{}{line}\n", if i == 0 { "- " } else { "  " });
        lines.map(indent).collect::<String>()
    };
    let slice_list = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSliceList\nitems:\n\
        - { metadata: { name: a, namespace: x }, addressType: IPv4 }\n";
    let table: [(&str, String, &[&str]); 9] = [
        ("nothing", String::new(), &[]),
        ("comments and empty documents", "---\n# nothing\n---\n".to_owned(), &[]),
        ("one object", SERVICE.to_owned(), &["1 Service default/web"]),
        (
            "several documents",
            format!("---\n{SERVICE}---\n---\n{SLICE}---\n{NODE}"),
            &["2 Service default/web", "14 EndpointSlice default/web-1", "28 Node node-1"],
        ),
        (
            "a list",
            format!("kind: List\nitems:\n{}{}apiVersion: v1\n", indented(SERVICE), indented(SLICE)),
            &["3 Service default/web", "13 EndpointSlice default/web-1"],
        ),
        ("a list of one type", slice_list.to_owned(), &["4 EndpointSlice x/a"]),
        ("an empty list", "apiVersion: v1\nkind: ServiceList\nitems:\n".to_owned(), &[]),
        ("JSON", NODE.to_owned(), &["1 Node node-1"]),
        (
            "other kinds",
            format!(
                "apiVersion: v1\nkind: ConfigMap\n---\n{SERVICE}---\napiVersion: serving.knative.dev/v1\nkind: Service\n"
            ),
            &["1 ignored v1 ConfigMap", "4 Service default/web", "15 ignored serving.knative.dev/v1 Service"],
        ),
    ];
    for (case, text, expected) in table {
        assert_eq!(contents(&text), expected, "{case}");
    }
}

#[test]
fn errors_name_file_line_object_and_field() {
    let with = |from: &str, to: &str| {
        assert!(SERVICE.contains(from));
        format!("{NODE}---\n{}", SERVICE.replace(from, to))
    };
    let table = [
        (
            "a wrong type in the second document",
            with("port: 80", "port: x"),
            "f.yaml:11: Service default/web: spec.ports[0].port: invalid type: string \"x\", expected i32",
        ),
        (
            "an impossible value",
            with("port: 80", "port: 70000"),
            "f.yaml:11: Service default/web: spec.ports[0].port: 70000 is not a port number (1 to 65535)",
        ),
        ("no name", with("  name: web\n", ""), "f.yaml:5: Service: metadata.name: not set"),
        (
            "a namespace",
            with("  name: web", "  name: web\n  namespace: 5"),
            "f.yaml:7: Service default/web: metadata.namespace: invalid type: integer `5`, expected a string",
        ),
        ("not YAML", with("spec:", "spec: ]"), "f.yaml:7: misplaced bracket"),
        ("no kind", with("kind: Service\n", ""), "f.yaml:3: kind: not set"),
        ("no version", with("apiVersion: v1\n", ""), "f.yaml:3: apiVersion: not set"),
        ("a kind that is no text", with("kind: Service", "kind: [a]"), "f.yaml:4: kind: not a string"),
        ("no object", "a: 1\n---\nb\n".to_owned(), "f.yaml:1: apiVersion: not set"),
        ("a text", "just words\n".to_owned(), "f.yaml:1: not an API object"),
        (
            "a list of nothing",
            "apiVersion: v1\nkind: List\nitems: x\n".to_owned(),
            "f.yaml:3: items: not a list",
        ),
        (
            "an object in a list",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata: 5\n".to_owned(),
            "f.yaml:6: Node: metadata: invalid type: integer `5`, expected ObjectMeta",
        ),
        (
            "JSON",
            "{\n \"apiVersion\": \"v1\",\n \"kind\": \"Node\",\n \"metadata\": {\n  \"name\": 5\n }\n}"
                .to_owned(),
            "f.yaml:5: Node: metadata.name: invalid type: integer `5`, expected a string",
        ),
    ];
    for (case, text, expected) in table {
        assert_eq!(contents(&text), [expected], "{case}\n{text}");
    }
}

#[test]
fn an_object_without_defaults_becomes_a_balanced_service() {
    let mut objects = Objects::default();
    for object in parse(&format!("{SERVICE}---\n{SLICE}"), "f.yaml").unwrap() {
        apply(&mut objects, &object);
    }
    let snapshot = build(&objects, &Settings { node_name: "node-1".into(), ..Settings::default() });
    assert_eq!((snapshot.frontends(), snapshot.backends()), (1, 1));
    assert!(snapshot.services.values().all(|service| service.backends[0].local));
    assert!(snapshot.notices.is_empty() && snapshot.skipped.is_empty());
}

#[test]
fn objects_may_be_as_kubectl_prints_them() {
    let text = r#"
apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":80}]}}
    creationTimestamp: "2026-11-01T10:00:00Z"
    labels: {"on": "1"}
    managedFields:
    - apiVersion: v1
      fieldsType: FieldsV1
      fieldsV1:
        f:spec:
          f:ports:
            .: {}
            k:{"port":80,"protocol":"TCP"}:
              .: {}
              f:port: {}
      manager: kubectl
      operation: Update
      time: 2026-11-01T10:00:00Z
    name: web
    namespace: shop
    resourceVersion: "733"
    uid: 7e2c2a5e-6c3e-4a24-9d0b-000000000000
  spec:
    clusterIP: 10.96.0.10
    clusterIPs:
    - 10.96.0.10
    internalTrafficPolicy: Cluster
    ipFamilies:
    - IPv4
    ipFamilyPolicy: SingleStack
    ports:
    - nodePort: 30080
      port: 80
      protocol: TCP
      targetPort: 8080
    sessionAffinity: None
    type: LoadBalancer
  status:
    loadBalancer:
      ingress:
      - ip: 192.0.2.1
        ipMode: VIP
kind: List
metadata:
  resourceVersion: ""
"#;
    assert_eq!(contents(text), ["4 Service shop/web"]);
    let mut objects = Objects::default();
    for object in parse(text, "f.yaml").unwrap() {
        apply(&mut objects, &object);
    }
    let snapshot = build(&objects, &Settings::default());
    assert_eq!((snapshot.frontends(), snapshot.notices.len()), (3, 0));
}

/// What a parsed file is used for; none of it may panic.
fn exercise(text: &str) {
    let mut objects = Objects::default();
    match parse(text, "f.yaml") {
        Ok(parsed) => parsed.iter().for_each(|object| apply(&mut objects, object)),
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
    build(&objects, &Settings::default());
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn no_yaml_like_text_panics(text in "([a-c:&*!|>'\"\\[\\]{}?,#%@ \n\t-]|---\n|kind: List|items:){0,60}") {
        exercise(&text);
    }

    #[test]
    fn no_mutation_of_a_manifest_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<Option<char>>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text: Vec<char> = format!("{SERVICE}---\n{SLICE}---\n{NODE}").chars().collect();
        for (place, replacement) in edits {
            let place = place.index(text.len());
            match replacement {
                Some(replacement) => text[place] = replacement,
                None => drop(text.remove(place)),
            }
        }
        exercise(&text.iter().collect::<String>());
        exercise(&text[..cut.index(text.len())].iter().collect::<String>());
    }

    #[test]
    fn no_value_in_any_field_panics(
        place in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "~", "-1", "0", "65536", "1e3", "99999999999999999999", "true", "[]", "{}", "[1]", "{a: b}", "''",
            "x", "!!int 'x'", "&a [b]", "*a", "|", "\"\\n\"", "None", "::", "2026-01-01T00:00:00Z",
        ]),
    ) {
        let text = format!("{SERVICE}---\n{SLICE}");
        let with_value = text.lines().filter(|line| line.contains(": ")).count();
        let place = place.index(with_value);
        let mut seen = 0;
        let lines = text.lines().map(|line| match line.split_once(": ") {
            Some((key, _)) if { seen += 1; seen - 1 == place } => format!("{key}: {value}\n"),
            _ => format!("{line}\n"),
        });
        exercise(&lines.collect::<String>());
    }
}
