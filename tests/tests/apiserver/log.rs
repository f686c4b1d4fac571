//! What is said of it all: one line when something lasts, and one when it is over.

use std::{
    io,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use svclb_tests::apiserver::{
    call::{Call, Verb},
    fault::{Fault, Interruption},
    resource::SERVICES,
};
use tokio::{sync::Notify, time::timeout};
use tracing::subscriber::DefaultGuard;

use crate::support::{PATIENCE, Watch, filled_server, service, slice};

/// What this thread says.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>, Arc<Notify>);

impl Log {
    fn listen(&self) -> DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("info,kube_client=off,kube_runtime=off")
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Waits for lines with these words.
    async fn until(&self, words: &str, count: usize) -> anyhow::Result<()> {
        let waiting = async {
            while self.lines(words).len() < count {
                self.1.notified().await;
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("{words:?}: {:#?}", self.lines("")))
    }

    fn lines(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        text.lines().filter(|line| line.contains(words)).map(String::from).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        self.1.notify_one();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn asked(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.is_listing(SERVICES)).count()
}

#[tokio::test]
async fn an_outage_is_one_line_and_its_end_is_another() -> anyhow::Result<()> {
    let log = Log::default();
    let _listening = log.listen();
    let mut server = filled_server()?;
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    assert_eq!(log.lines(""), [""; 0]);

    for plural in ["services", "endpointslices", "nodes", "servicecidrs"] {
        server.inject(plural, Verb::Watch, Fault::Status(503), usize::MAX);
    }
    let before = asked(&server.calls());
    server.interrupt(Interruption::Gone);
    server.until("many questions", |calls, _| (asked(calls) > before + 5).then_some(())).await?;
    assert_eq!(log.lines("WARN").len(), 1, "{:#?}", log.lines(""));
    assert!(log.lines("WARN")[0].contains("503"));
    server.heal();
    server.apply(service("web", 4));
    server.apply(slice("web", 4));
    watch.agrees_with(&server).await?;
    log.until("answers again", 1).await?;

    server.stop()?;
    log.until("WARN", 2).await?;
    server.apply(service("web", 5));
    server.resume()?;
    watch.agrees_with(&server).await?;
    log.until("answers again", 2).await?;
    assert_eq!(log.lines("API server").len(), 4, "{:#?}", log.lines(""));
    assert!(log.lines("WARN")[1].contains(&server.address().to_string()));
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_one_line_that_says_what_is_done_without() -> anyhow::Result<()> {
    let log = Log::default();
    let _listening = log.listen();
    let server = filled_server()?;
    server.inject("services", Verb::Watch, Fault::Status(403), 5);
    server.inject("servicecidrs", Verb::Watch, Fault::Status(404), 5);
    let mut watch = Watch::start(&server).await?;
    watch.agrees_with(&server).await?;
    assert_eq!(log.lines("cannot follow services").len(), 1, "{:#?}", log.lines(""));
    assert_eq!(log.lines("servicecidrs are not served").len(), 1, "{:#?}", log.lines(""));
    assert_eq!(log.lines("WARN").len() + log.lines("ERROR").len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_unreadable_object_is_named_once() -> anyhow::Result<()> {
    let log = Log::default();
    let _listening = log.listen();
    let server = filled_server()?;
    let mut odd = service("odd", 5);
    odd["spec"]["ports"] = serde_json::json!("all");
    server.apply(odd.clone());
    let mut watch = Watch::start(&server).await?;
    watch.next().await?;
    server.apply(odd);
    server.interrupt(Interruption::Gone);
    server.apply(service("web", 4));
    watch.until_known(&crate::support::service_place("web"), true).await?;
    server.until("another list", |calls, _| (asked(calls) > 1).then_some(())).await?;
    server.apply(service("last", 4));
    watch.until_known(&crate::support::service_place("last"), true).await?;
    assert_eq!(log.lines("Service default/odd: cannot be read").len(), 1, "{:#?}", log.lines(""));
    Ok(())
}
