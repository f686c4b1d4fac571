//! Events.

use std::time::Duration;

use serde_json::Value;
use svclb::{
    apiserver::{Events, Severity},
    model::ObjectKey,
};
use svclb_tests::apiserver::{ApiServer, call::Verb, fault::Fault};

use crate::support::{NODE, connect};

async fn events(server: &ApiServer) -> anyhow::Result<Events> {
    let (client, _settings) = connect(server, Duration::from_secs(30)).await?;
    let (events, task) = Events::new(client, NODE);
    tokio::spawn(task);
    Ok(events)
}

fn key() -> ObjectKey {
    ObjectKey { namespace: "shop".into(), name: "web".into() }
}

#[tokio::test]
async fn events_say_who_tells_what_about_whom() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    let events = events(&server).await?;
    events.node("", Severity::Normal, "Starting", "svclb is starting");
    events.service(
        &key(),
        "uid-1",
        Severity::Warning,
        "FailedToStartServiceHealthcheck",
        "port 30000 is in use",
    );
    let written = server.until("events", |_, events| (events.len() == 2).then(|| events.to_vec())).await?;
    let at = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(String::from);
    for (event, expected) in written.iter().zip([
        ["Normal", "Starting", "svclb is starting", "Node", NODE, NODE, "default"],
        [
            "Warning",
            "FailedToStartServiceHealthcheck",
            "port 30000 is in use",
            "Service",
            "web",
            "uid-1",
            "shop",
        ],
    ]) {
        let pointers = ["/type", "/reason", "/note", "/regarding/kind", "/regarding/name", "/regarding/uid"];
        for (pointer, expected) in pointers.into_iter().zip(expected) {
            assert_eq!(at(event, pointer).as_deref(), Some(expected), "{pointer} of {event:#}");
        }
        assert_eq!(at(event, "/reportingController").as_deref(), Some("svclb"));
        assert_eq!(at(event, "/reportingInstance").as_deref(), Some(NODE));
        assert!(at(event, "/action").is_some() && at(event, "/eventTime").is_some(), "{event:#}");
    }
    let calls = server.calls();
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(
        paths,
        ["/apis/events.k8s.io/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/shop/events",]
    );
    Ok(())
}

#[tokio::test]
async fn the_same_is_told_once_and_the_like_is_counted() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    let events = events(&server).await?;
    for message in ["a", "a", "b", "b", "a"] {
        events.service(&key(), "uid-1", Severity::Warning, "Ignored", message);
    }
    events.service(&key(), "uid-1", Severity::Warning, "Last", "");
    server.until("the last event", |_, events| (events.len() == 2).then_some(())).await?;
    assert_eq!(server.events()[0]["series"]["count"], 2);
    let verbs: Vec<_> = server.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::Create, Verb::Patch, Verb::Create]);
    assert_eq!(events.dropped(), 0);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_does_not_take_events() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    let events = events(&server).await?;
    server.hold("events");
    for number in 0..300 {
        events.node("", Severity::Normal, "Number", &number.to_string());
    }
    assert!(events.dropped() > 0, "there is an end to what may wait");
    server.release();
    server
        .until("an event", |_, events| events.iter().any(|event| event["reason"] == "Number").then_some(()))
        .await
}

#[tokio::test]
async fn a_refused_event_is_counted_and_the_next_one_is_told() -> anyhow::Result<()> {
    let server = ApiServer::start()?;
    let events = events(&server).await?;
    server.inject("events", Verb::Create, Fault::Status(403), 1);
    events.node("", Severity::Normal, "Refused", "a");
    events.node("", Severity::Normal, "Taken", "b");
    server.until("the next event", |_, events| (!events.is_empty()).then_some(())).await?;
    let reasons: Vec<_> = server.events().iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons, ["Taken"]);
    assert_eq!(events.dropped(), 1);
    Ok(())
}
