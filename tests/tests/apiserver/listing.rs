//! The first batch, however hard it comes.

use std::time::Duration;

use svclb_tests::apiserver::{
    call::Verb,
    fault::Fault,
    resource::{ALL, SERVICES, SLICES},
};

use crate::support::{FAULTS, VERBS, Watch, expected, filled_server, service};

#[tokio::test]
async fn the_first_batch_waits_for_every_kind() -> anyhow::Result<()> {
    for resource in ALL {
        let server = filled_server()?;
        server.hold(resource.plural);
        let mut watch = Watch::start(&server).await?;
        let others_are_asked = |calls: &[svclb_tests::apiserver::call::Call]| {
            ALL.iter().all(|other| calls.iter().any(|call| call.is_listing(*other)))
        };
        server.until("questions", |calls, _| others_are_asked(calls).then_some(())).await?;
        server.apply(service("late", 9));
        server.release();
        watch.next().await?;
        let mut all = expected(&server)?;
        // It may be part of the first batch or of the second.
        for known in [&mut all, &mut watch.known] {
            known.remove(&crate::support::service_place("late"));
        }
        assert_eq!(watch.known, all, "held: {}", resource.plural);
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_cluster_is_a_complete_list() -> anyhow::Result<()> {
    let server = svclb_tests::apiserver::ApiServer::start()?;
    let mut watch = Watch::start(&server).await?;
    let batch = watch.next().await?;
    assert!(batch.changes.is_empty() && !batch.is_partial);
    server.apply(service("web", 1));
    assert_eq!(watch.next().await?.changes.len(), 1);
    Ok(())
}

/// Whatever happens to the lists, the first batch is complete.
#[tokio::test]
async fn the_first_batch_is_complete_after_every_fault() -> anyhow::Result<()> {
    for has_streams in [true, false] {
        for fault in FAULTS {
            for resource in [SERVICES, SLICES] {
                let server = filled_server()?;
                if !has_streams {
                    server.disable_streams();
                }
                for verb in VERBS {
                    server.inject(resource.plural, verb, fault, 2);
                }
                let mut watch = Watch::start_with(&server, Duration::from_millis(300)).await?;
                watch.next().await?;
                assert_eq!(watch.known, expected(&server)?, "{fault:?}, streams: {has_streams}");
                server.apply(service("web", 7));
                watch.agrees_with(&server).await?;
                assert_eq!(watch.deleted, [], "{fault:?}, streams: {has_streams}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_server_whose_streams_never_complete_is_asked_for_pages() -> anyhow::Result<()> {
    let server = filled_server()?;
    server.inject("services", Verb::Watch, Fault::NoBookmark, 3);
    let mut watch = Watch::start_with(&server, Duration::from_millis(100)).await?;
    watch.agrees_with(&server).await?;
    assert!(server.calls().iter().any(|call| call.is(SERVICES, Verb::List)));
    Ok(())
}
