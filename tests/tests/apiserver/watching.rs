//! Changes, interruptions, outages.

use std::time::Duration;

use svclb::source::Change;
use svclb_tests::apiserver::{
    ApiServer, Expiry,
    call::Verb,
    fault::{Fault, Interruption},
    resource::{SERVICES, SLICES},
};

use crate::support::{FAULTS, VERBS, Watch, filled_server, service, service_place, slice};

/// How often all objects of a kind were asked for.
fn listings(server: &ApiServer) -> usize {
    server.calls().iter().filter(|call| call.is_listing(SERVICES)).count()
}

#[tokio::test]
async fn changes_are_told_and_what_does_not_count_is_not() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    let mut annotated = service("web", 1);
    annotated["metadata"]["annotations"] = serde_json::json!({ "example.com/a": "b" });
    server.apply(annotated);
    server.apply(service("new", 3));
    let batch = watch.next().await?;
    assert!(
        matches!(&batch.changes[..], [Change::Service(key, Some(_))] if *key.name == *"new"),
        "{batch:#?}"
    );
    server.delete("services", "default", "new");
    server.delete("endpointslices", "default", "db");
    watch.agrees_with(&server).await?;
    assert_eq!(watch.deleted.len(), 2);
    Ok(())
}

#[tokio::test]
async fn what_comes_while_the_agent_is_busy_is_told_once() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    for round in 0..200 {
        server.apply(service("web", 10 + round));
    }
    server.apply(slice("last", 1));
    watch.agrees_with(&server).await?;
    assert!(watch.count <= 202);
    assert!(watch.batches.try_recv().is_err(), "nothing is left");
    Ok(())
}

#[tokio::test]
async fn an_interrupted_watch_goes_on_where_it_was() -> anyhow::Result<()> {
    for how in [Interruption::End, Interruption::Cut] {
        let server = filled_server()?;
        let mut watch = Watch::start(&server).await?;
        watch.agrees_with(&server).await?;
        for address in 3..6 {
            server.hold("services");
            server.interrupt(how);
            server.apply(service("web", address));
            server.delete("services", "default", "db");
            server.release();
            watch.agrees_with(&server).await?;
        }
        assert_eq!(listings(&server), 1, "{how:?}");
        assert_eq!(watch.deleted, [service_place("db")]);
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_version_leads_to_a_list_and_only_differences_are_told() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        for expiry in [Expiry::Event, Expiry::Status] {
            let server = filled_server()?;
            if !has_streams {
                server.disable_streams();
            }
            let mut watch = Watch::start(&server).await?;
            watch.agrees_with(&server).await?;
            let before = listings(&server);
            for plural in ["services", "endpointslices"] {
                server.hold(plural);
            }
            server.interrupt(Interruption::End);
            server.delete("services", "default", "db");
            server.apply(service("new", 3));
            server.expire(expiry);
            server.release();
            watch.agrees_with(&server).await?;
            let case = format!("{expiry:?}, streams: {has_streams}");
            assert_eq!(watch.deleted, [service_place("db")], "{case}");
            assert!(listings(&server) > before, "{case}");
            assert_eq!(watch.known.len(), 6, "{case}");
        }
    }
    Ok(())
}

/// A list that follows an expired version fails in every way; nothing is taken back meanwhile.
#[tokio::test]
async fn half_a_list_takes_nothing_back() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        for fault in FAULTS {
            let server = filled_server()?;
            if !has_streams {
                server.disable_streams();
            }
            let mut watch = Watch::start_with(&server, Duration::from_millis(300)).await?;
            watch.agrees_with(&server).await?;
            for resource in [SERVICES, SLICES] {
                for verb in VERBS {
                    server.inject(resource.plural, verb, fault, 2);
                }
            }
            server.interrupt(Interruption::Gone);
            server.apply(service("zoo", 3));
            server.delete("services", "default", "db");
            watch.agrees_with(&server).await?;
            assert_eq!(watch.deleted, [service_place("db")], "{fault:?}, streams: {has_streams}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_bookmark_is_as_good_as_a_change() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    // Versions go on by another kind's changes, which a watch of Services hears of by bookmarks only.
    server.apply(slice("web", 5));
    watch.agrees_with(&server).await?;
    server.bookmark();
    server.apply(service("web", 6));
    watch.agrees_with(&server).await?;
    server.apply(slice("web", 7));
    watch.agrees_with(&server).await?;
    server.bookmark();
    let watches = |calls: &[svclb_tests::apiserver::call::Call]| {
        calls.iter().filter(|call| call.is(SERVICES, Verb::Watch)).count()
    };
    let before = watches(&server.calls());
    server.expire(Expiry::Event);
    server.interrupt(Interruption::End);
    server.until("watches that go on", |calls, _| (watches(calls) > before).then_some(())).await?;
    server.apply(service("web", 8));
    watch.agrees_with(&server).await?;
    Ok(())
}

#[tokio::test]
async fn an_outage_changes_nothing_and_the_first_answer_ends_it() -> anyhow::Result<()> {
    let mut server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    for address in 3..6 {
        let count = watch.count;
        server.stop()?;
        server.delete("services", "default", "gone");
        server.apply(service("web", address));
        server.apply(service("gone", address));
        assert!(watch.batches.try_recv().is_err(), "an outage tells nothing");
        server.resume()?;
        watch.agrees_with(&server).await?;
        assert!(watch.count > count);
    }
    assert!(watch.deleted.len() <= 2);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_awaited() -> anyhow::Result<()> {
    let mut server = filled_server()?;
    server.stop()?;
    let mut watch = Watch::start(&server).await?;
    assert!(watch.batches.try_recv().is_err());
    server.resume()?;
    watch.agrees_with(&server).await?;
    assert_eq!(watch.count, 1);
    Ok(())
}

#[tokio::test]
async fn a_watch_that_tells_no_event_is_replaced_by_a_list() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    server.inject("services", Verb::Watch, Fault::Garbage, 1);
    server.interrupt(Interruption::End);
    server
        .until("a list", |calls, _| {
            (calls.iter().filter(|call| call.is_listing(SERVICES)).count() > 1).then_some(())
        })
        .await?;
    server.apply(service("web", 4));
    watch.agrees_with(&server).await
}

#[tokio::test]
async fn the_task_ends_when_nobody_listens() -> anyhow::Result<()> {
    let server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    watch.batches.close();
    tokio::time::timeout(Duration::from_secs(10), &mut watch.task).await??;
    Ok(())
}
