//! The model against the tables in `bpf-fixtures/semantics/`. Needs nothing but a compiler.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt::Write as _,
};

use anyhow::{Context as _, bail};
use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use serde_json::Value;
use svclb::{
    config::NodePortAddresses,
    model::{BackendState, Family, FrontendKind, List, Model, Objects, Outcome, ServicePort, Settings},
};
use svclb_tests::semantics::{
    layout::Layout,
    situation::Situation,
    theme::{Theme, folder},
};

/// One test for each file.
macro_rules! themes {
    ($(fn $theme:ident by $judge:ident;)+) => {
        $(
            #[test]
            fn $theme() {
                run(stringify!($theme), $judge).unwrap_or_else(|error| panic!("{error:#}"));
            }
        )+

        #[test]
        fn every_file_is_run() {
            let files: BTreeSet<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
                .collect();
            assert_eq!(files, [$(stringify!($theme)),+].map(str::to_owned).into());
        }
    };
}
themes! {
    fn affinity by affinity_of;
    fn endpoints by endpoint_of;
    fn external_addresses by path_of;
    fn hints by path_of;
    fn node_ports by path_of;
    fn paths by path_of;
    fn refusals by path_of;
    fn source_ranges by path_of;
}

/// What the model makes of a situation, in the words of a theme.
type Judge = fn(&Situation<'_>, &Model) -> anyhow::Result<String>;

fn run(name: &str, judge: Judge) -> anyhow::Result<()> {
    let theme = Theme::read(name)?;
    let layout = Layout::default();
    let mut wrong = String::new();
    // Many combinations are about one set of objects.
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    for row in &theme.rows {
        for combination in &theme.combinations(row)? {
            for family in Family::ALL {
                for protocol in ["TCP", "UDP"] {
                    let situation = Situation { combination, layout: &layout, family, protocol };
                    let objects = serde_json::to_string(&situation.objects()?)?;
                    let model = match models.entry(objects) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(new) => {
                            let model = model(new.key(), &layout)?;
                            new.insert(model)
                        }
                    };
                    let outcome = judge(&situation, model)?;
                    if outcome != row.outcome {
                        writeln!(
                            wrong,
                            "{family} {protocol} {combination:?}: {outcome}, not {}",
                            row.outcome
                        )?;
                    }
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{name}:\n{wrong}") }
}

/// The model after it has read objects as text.
fn model(text: &str, layout: &Layout) -> anyhow::Result<Model> {
    let mut objects = Objects::default();
    for object in serde_json::from_str::<Vec<Value>>(text)? {
        match object["kind"].as_str() {
            Some("Node") => objects.apply_node(serde_json::from_value::<Node>(object)?),
            Some("Service") => objects.apply_service(serde_json::from_value::<Service>(object)?),
            Some("EndpointSlice") => objects.apply_slice(serde_json::from_value::<EndpointSlice>(object)?),
            other => bail!("no kind {other:?}"),
        }
    }
    let settings = Settings { node_name: layout.here.clone(), ..Settings::default() };
    Ok(Model::of(&objects, settings))
}

fn service<'a>(situation: &Situation<'_>, model: &'a Model) -> anyhow::Result<&'a ServicePort> {
    let mut of_family = model.services().iter().filter(|(key, _)| key.family == situation.family);
    of_family.next().map(|(_, service)| service).context("the Service is not proxied")
}

/// Whether the node answers where the client calls.
fn is_captured(situation: &Situation<'_>, model: &Model) -> anyhow::Result<bool> {
    let kind = situation.frontend()?;
    let has_frontend = service(situation, model)?.frontends.iter().any(|frontend| frontend.kind == kind);
    if kind != FrontendKind::NodePort {
        return Ok(has_frontend);
    }
    let addresses = situation.layout.of(situation.family);
    let address =
        if situation.get("address") == Some("secondary") { addresses.secondary } else { addresses.host };
    let others = match situation.family {
        Family::V4 => "2001:db8::/32",
        Family::V6 => "192.0.2.0/24",
    };
    let around =
        |address: std::net::IpAddr| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
    let entry = match situation.get("setting") {
        None | Some("all") => None,
        Some("primary") => Some("primary".to_owned()),
        Some("around-secondary") => Some(around(addresses.secondary)),
        Some("other-family") => Some(others.to_owned()),
        Some("nowhere") => Some(around(addresses.elsewhere)),
        Some(other) => bail!("no setting {other}"),
    };
    let setting = NodePortAddresses::new(entry.as_slice()).map_err(anyhow::Error::msg)?;
    Ok(has_frontend && setting.accepts(address, model.node()))
}

/// `cluster local-1 remote-1`, `local local-1`, `refuse`, `drop` or `not-captured`.
fn path_of(situation: &Situation<'_>, model: &Model) -> anyhow::Result<String> {
    if !is_captured(situation, model)? {
        return Ok("not-captured".to_owned());
    }
    let service = service(situation, model)?;
    let kind = situation.frontend()?;
    let (source, client) = situation.client()?;
    if !service.admits(kind, client) {
        return Ok("drop".to_owned());
    }
    Ok(match service.select(kind, source) {
        Outcome::List(list) => {
            let word = if list == List::Cluster { "cluster" } else { "local" };
            format!("{word} {}", names(situation, service, list)?.join(" "))
        }
        Outcome::Refuse => "refuse".to_owned(),
        Outcome::Drop => "drop".to_owned(),
    })
}

fn names(situation: &Situation<'_>, service: &ServicePort, list: List) -> anyhow::Result<Vec<&'static str>> {
    service.candidates(list).map(|backend| situation.name_of(backend.address)).collect()
}

/// What becomes of the only endpoint: its state and its lists, or `gone`.
fn endpoint_of(situation: &Situation<'_>, model: &Model) -> anyhow::Result<String> {
    let service = service(situation, model)?;
    let Some(backend) = service.backends.first() else { return Ok("gone".to_owned()) };
    let mut words = vec![match backend.state {
        BackendState::Active => "active",
        BackendState::Terminating => "terminating",
    }];
    words.extend(backend.lists.cluster.then_some("cluster"));
    words.extend(backend.lists.local.then_some("local"));
    Ok(words.join(" "))
}

/// `stay NAME`, `choose NAMES`, `refuse` or `drop`, for a client that the node remembers.
fn affinity_of(situation: &Situation<'_>, model: &Model) -> anyhow::Result<String> {
    let service = service(situation, model)?;
    let outcome = service.select(situation.frontend()?, situation.client()?.0);
    let Outcome::List(list) = outcome else {
        return Ok(if outcome == Outcome::Drop { "drop" } else { "refuse" }.to_owned());
    };
    let names = names(situation, service, list)?;
    let remembered = situation.get("remembered").context("nobody is remembered")?;
    let idle = if situation.get("idle") == Some("within") { 9 } else { 10 };
    let holds = service.policy.affinity.is_some_and(|seconds| idle < seconds.get());
    Ok(if holds && names.contains(&remembered) {
        format!("stay {remembered}")
    } else {
        format!("choose {}", names.join(" "))
    })
}

#[test]
fn a_theme_that_is_not_complete_is_refused() {
    let head = "about: x\nproduct: { a: ['1', '2'], b: [x] }\nrows:\n";
    let table = [
        ("- { a: any, b: x, outcome: o }", None),
        ("- { a: ['1'], b: x, outcome: o }", Some("no row has")),
        ("- { a: any, b: x, outcome: o }\n- { a: '1', b: x, outcome: p }", Some("both have")),
        ("- { a: any, b: z, outcome: o }", Some("no value of b")),
        ("- { a: any, b: x, c: x, outcome: o }", Some("no dimension")),
        ("- { a: any, outcome: o }", Some("nothing is said of b")),
    ];
    for (rows, expected) in table {
        let result = Theme::parse(&format!("{head}{rows}\n"));
        match (result, expected) {
            (Ok(_), None) => {}
            (Err(error), Some(words)) => assert!(format!("{error:#}").contains(words), "{rows}: {error:#}"),
            (result, _) => panic!("{rows}: {:?}", result.map(|_| "read")),
        }
    }
}
