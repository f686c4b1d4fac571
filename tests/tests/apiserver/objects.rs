//! Objects and kinds that cannot be had.

use serde_json::json;
use svclb_tests::apiserver::{
    Expiry,
    call::Verb,
    fault::{Fault, Interruption},
    resource::SERVICES,
};

use crate::support::{
    NODE, VERBS, Watch, expected, filled_server, node, service, service_cidr, service_place, slice,
};

#[tokio::test]
async fn an_object_that_cannot_be_read_stays_as_it_was_and_stops_no_other() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        let server = filled_server()?;
        if !has_streams {
            server.disable_streams();
        }
        let mut odd = service("odd", 5);
        odd["spec"]["ports"] = json!("all");
        server.apply(odd.clone());
        let mut watch = Watch::start(&server).await?;
        watch.next().await?;
        assert!(watch.is_partial, "it may be wanted");
        assert!(!watch.known.contains_key(&service_place("odd")) && watch.known.len() == 6);

        server.apply(service("odd", 5));
        watch.agrees_with(&server).await?;
        assert!(!watch.is_partial);

        let good = watch.known.clone();
        server.apply(odd.clone());
        server.apply(slice("more", 1));
        watch.until_known(&("endpointslices", "default".into(), "more".into()), true).await?;
        server.interrupt(Interruption::Gone);
        server.apply(slice("even-more", 1));
        watch.until_known(&("endpointslices", "default".into(), "even-more".into()), true).await?;
        assert_eq!(watch.known.get(&service_place("odd")), good.get(&service_place("odd")));
        assert!(!watch.is_partial, "the last good state is known");
        server.delete("services", "default", "odd");
        watch.agrees_with(&server).await?;
        assert_eq!(watch.deleted, [service_place("odd")]);
    }
    Ok(())
}

#[tokio::test]
async fn an_unreadable_object_that_goes_is_told_by_a_batch_without_changes() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut odd = service("odd", 5);
    odd["spec"]["ports"] = json!("all");
    server.apply(odd);
    let mut watch = Watch::start(&server).await?;
    assert!(watch.next().await?.is_partial);
    server.delete("services", "default", "odd");
    let batch = watch.next().await?;
    assert!(!batch.is_partial && batch.changes.is_empty(), "{batch:?}");
    Ok(())
}

#[tokio::test]
async fn kinds_that_are_not_served_are_done_without_until_they_are() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        for code in [403, 404] {
            let server = filled_server()?;
            if !has_streams {
                server.disable_streams();
            }
            let refused = ["servicecidrs", "nodes"];
            for (plural, verb) in refused.into_iter().flat_map(|plural| VERBS.map(|verb| (plural, verb))) {
                server.inject(plural, verb, Fault::Status(code), usize::MAX);
            }
            let mut watch = Watch::start(&server).await?;
            watch.next().await?;
            let mut needed = expected(&server)?;
            needed.retain(|(plural, ..), _| !refused.contains(plural));
            assert_eq!(watch.known, needed, "{code}");
            server.heal();
            watch.agrees_with(&server).await?;

            // What was told stays when the right to see it goes.
            for (plural, verb) in refused.into_iter().flat_map(|plural| VERBS.map(|verb| (plural, verb))) {
                server.inject(plural, verb, Fault::Status(code), usize::MAX);
            }
            server.interrupt(Interruption::Gone);
            server.apply(service("web", 9));
            watch.agrees_with(&server).await?;
            assert_eq!(watch.deleted, []);
        }
    }
    Ok(())
}

#[tokio::test]
async fn services_that_may_not_be_seen_are_waited_for() -> anyhow::Result<()> {
    let server = filled_server()?;
    server.inject("services", Verb::Watch, Fault::Status(403), usize::MAX);
    let mut watch = Watch::start(&server).await?;
    let asked = |calls: &[svclb_tests::apiserver::call::Call]| {
        calls.iter().filter(|call| call.is_listing(SERVICES)).count()
    };
    server.until("several questions", |calls, _| (asked(calls) > 3).then_some(())).await?;
    assert!(watch.batches.try_recv().is_err());
    server.heal();
    watch.agrees_with(&server).await?;
    assert_eq!(watch.count, 1);
    Ok(())
}

#[tokio::test]
async fn the_own_node_and_service_cidrs_are_followed() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    server.apply(service_cidr("more"));
    let mut changed = node(NODE);
    changed["spec"]["taints"] = json!([{ "key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule" }]);
    server.apply(changed);
    server.apply(node("node3"));
    watch.agrees_with(&server).await?;
    server.delete("nodes", "", NODE);
    server.delete("servicecidrs", "", "kubernetes");
    watch.agrees_with(&server).await?;
    assert_eq!(watch.deleted.len(), 2);
    Ok(())
}

/// By events, and by a list after an outage in which it went and came; told twice as well.
#[tokio::test]
async fn what_is_deleted_and_made_again_under_its_name_is_the_new_one() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        let mut server = filled_server()?;
        if !has_streams {
            server.disable_streams();
        }
        server.apply(service("again", 5));
        let mut watch = Watch::start(&server).await?;
        watch.agrees_with(&server).await?;
        server.delete("services", "default", "again");
        server.apply(service("again", 5));
        server.apply(service("again", 5));
        watch.agrees_with(&server).await?;

        let before = (watch.deleted.len(), watch.known.clone());
        server.stop()?;
        server.delete("services", "default", "again");
        server.apply(service("again", 5));
        server.expire(Expiry::Status);
        server.resume()?;
        watch.agrees_with(&server).await?;
        assert_eq!(watch.deleted.len(), before.0, "a list takes nothing away that is in it");
        assert_ne!(watch.known, before.1, "another one has another uid");
    }
    Ok(())
}
