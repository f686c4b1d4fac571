//! What is asked of the server.

use std::collections::BTreeSet;

use svclb::{
    apiserver::{Events, Severity},
    rbac::CALLS,
};
use svclb_tests::apiserver::{
    call::Verb,
    fault::Fault,
    resource::{ALL, NODES, SERVICE_CIDRS, SERVICES, SLICES},
};

use crate::support::{NODE, Watch, connect, filled_server, service, service_place};

/// Kinds, and how they are selected: as kube-proxy does.
const SELECTED: [(svclb_tests::apiserver::resource::Resource, &str, &str); 4] = [
    (SERVICES, "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"),
    (SLICES, "!service.kubernetes.io/headless", ""),
    (NODES, "", "metadata.name=node1"),
    (SERVICE_CIDRS, "", ""),
];

#[tokio::test]
async fn the_server_selects_and_every_call_says_who_asks() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        let server = filled_server()?;
        if !has_streams {
            server.disable_streams();
        }
        let mut watch = Watch::start(&server).await?;
        watch.agrees_with(&server).await?;
        let watches = |calls: &[svclb_tests::apiserver::call::Call], resource| {
            calls.iter().filter(|call| call.is(resource, Verb::Watch)).count()
        };
        let expected = if has_streams { 1 } else { 2 };
        let all_watch = |calls: &[_]| ALL.iter().all(|resource| watches(calls, *resource) >= expected);
        server.until("watches of all kinds", |calls, _| all_watch(calls).then_some(())).await?;
        for (resource, labels, fields) in SELECTED {
            let calls: Vec<_> =
                server.calls().into_iter().filter(|call| call.path == resource.path()).collect();
            for call in &calls {
                assert_eq!(
                    (call.field("labelSelector"), call.field("fieldSelector")),
                    (labels, fields),
                    "{call:?}"
                );
                assert!(call.agent.starts_with("svclb/"), "{call:?}");
                assert_eq!(call.authorization, "Bearer test");
                if call.verb == Verb::Watch {
                    assert_eq!(call.field("allowWatchBookmarks"), "true", "{call:?}");
                    assert!(call.field("timeoutSeconds").parse::<u32>().unwrap() > 60, "{call:?}");
                }
                if call.field("sendInitialEvents") == "true" {
                    assert_eq!(call.field("resourceVersion"), "", "a consistent list: {call:?}");
                }
            }
            let lists = calls.iter().filter(|call| call.verb == Verb::List).count();
            assert_eq!(lists, usize::from(!has_streams), "{calls:#?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn large_lists_come_in_pages() -> anyhow::Result<()> {
    let server = filled_server()?;
    server.disable_streams();
    for number in 0..1100 {
        server.apply(service(&format!("s{number}"), 3));
    }
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    assert_eq!(watch.count, 1);
    let calls = server.calls();
    let pages: Vec<_> = calls.iter().filter(|call| call.is(SERVICES, Verb::List)).collect();
    assert_eq!(pages.len(), 3, "{pages:#?}");
    assert!(pages[1..].iter().all(|call| !call.field("continue").is_empty()));

    Ok(())
}

#[tokio::test]
async fn a_page_that_has_expired_makes_the_list_begin_anew() -> anyhow::Result<()> {
    let server = filled_server()?;
    server.disable_streams();
    for number in 0..1100 {
        server.apply(service(&format!("s{number}"), 3));
    }
    // The second page is refused.
    server.inject("services", Verb::List, Fault::None, 1);
    server.inject("services", Verb::List, Fault::Status(410), 1);
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    assert_eq!(watch.count, 1);
    let calls = server.calls();
    let pages: Vec<_> = calls.iter().filter(|call| call.is(SERVICES, Verb::List)).collect();
    let beginnings = pages.iter().filter(|call| call.field("continue").is_empty()).count();
    assert_eq!((pages.len(), beginnings), (5, 2), "{pages:#?}");
    Ok(())
}

#[tokio::test]
async fn labels_that_come_and_go_look_like_deletions() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    let mut other = service("web", 1);
    other["metadata"]["labels"] = serde_json::json!({ "service.kubernetes.io/service-proxy-name": "" });
    let mut headless = service("web", 1);
    headless["spec"]["clusterIP"] = serde_json::json!("None");
    for object in [other, headless] {
        server.apply(object);
        watch.until_known(&service_place("web"), false).await?;
        server.apply(service("web", 1));
        watch.until_known(&service_place("web"), true).await?;
    }
    watch.agrees_with(&server).await
}

#[tokio::test]
async fn nothing_is_called_that_a_role_does_not_allow() -> anyhow::Result<()> {
    let server = filled_server()?;
    let (client, _settings) = connect(&server, std::time::Duration::from_secs(30)).await?;
    let (events, task) = Events::new(client, NODE);
    let task = tokio::spawn(task);
    let mut watches = Vec::new();
    for has_streams in [true, false] {
        if !has_streams {
            server.disable_streams();
        }
        let mut watch = Watch::start(&server).await?;
        watch.agrees_with(&server).await?;
        watches.push(watch);
    }
    for message in ["a", "b"] {
        events.node("", Severity::Normal, "Starting", message);
    }
    let asked = |calls: &[svclb_tests::apiserver::call::Call]| -> BTreeSet<_> {
        calls.iter().map(|call| (call.subject().unwrap_or_default(), call.verb.as_str())).collect()
    };
    let allowed: BTreeSet<_> = CALLS
        .iter()
        .flat_map(|call| call.verbs.iter().map(|verb| ((call.group, call.resource), *verb)))
        .collect();
    server.until("all that is allowed", |calls, _| (asked(calls) == allowed).then_some(())).await?;
    task.abort();
    Ok(())
}
