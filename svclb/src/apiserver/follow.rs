//! The states of one kind: listing, watching, unavailable.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use kube::{
    Api, Client, Resource as _,
    core::Status,
    runtime::watcher::{self, Config, Event, InitialListStrategy, watcher},
};
use tokio::{sync::mpsc, time::sleep};

use super::{
    Pace,
    error::chain,
    kind::{Kind, stripped},
    received::Received,
    told::{Entry, News},
};
use crate::model::{ObjectKey, name::check_metadata};

/// A streamed list that was begun this often and never became complete is asked for in pages from then on: some
/// servers accept the question and never say that the list is complete.
const STREAM_ATTEMPTS: u32 = 3;

/// Objects of a page.
const PAGE: u32 = 500;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Go on where it was, later.
    Resume,
    /// Begin anew with a list, later.
    Restart,
    /// The server has no streamed lists: begin anew with pages, at once.
    Pages,
    /// The server does not serve this kind to us: ask again rarely.
    Unavailable,
}

/// Follows one kind until nobody listens.
pub(super) async fn follow<K: Kind, T>(
    client: Client,
    node_name: &str,
    pace: Pace,
    wrap: impl Fn(News<K>) -> T,
    sender: mpsc::Sender<T>,
) {
    let api: Api<Received<K>> = Api::all(client);
    let mut config = Config {
        label_selector: K::LABELS.map(Into::into),
        field_selector: K::fields(node_name),
        initial_list_strategy: InitialListStrategy::StreamingList,
        page_size: Some(PAGE),
        ..Config::default()
    };
    let mut delays = delays(pace);
    let mut said: Option<String> = None;
    let mut streams_begun = 0;
    let mut is_listed = false;
    'anew: loop {
        let mut events = std::pin::pin!(watcher(api.clone(), config.clone()));
        let mut list = Some(List::default());
        while let Some(event) = events.next().await {
            let news = match event {
                Ok(Event::Init) => {
                    list = Some(List::default());
                    streams_begun += 1;
                    if is_streaming(&config) && streams_begun > STREAM_ATTEMPTS {
                        config.initial_list_strategy = InitialListStrategy::ListWatch;
                        continue 'anew;
                    }
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    let (list, entry) = (list.get_or_insert_default(), entry(object));
                    if is_listed {
                        list.entries.push(entry);
                        continue;
                    }
                    list.keys.push(entry.key.clone());
                    News::Found(entry)
                }
                Ok(Event::InitDone) => {
                    let List { keys, entries } = list.take().unwrap_or_default();
                    if std::mem::replace(&mut is_listed, true) {
                        News::Listed(entries)
                    } else {
                        News::Complete(keys)
                    }
                }
                Ok(event @ (Event::Apply(_) | Event::Delete(_))) => {
                    if let Some(news) = news(event) {
                        news
                    } else {
                        sleep(delays.next().unwrap_or(pace.retry_most)).await;
                        continue 'anew;
                    }
                }
                Err(error) => {
                    let answer = answer::<K>(&error, &config, list.is_some());
                    say::<K>(&error, answer, &mut said);
                    match answer {
                        Answer::Pages => config.initial_list_strategy = InitialListStrategy::ListWatch,
                        Answer::Unavailable => {
                            if sender.send(wrap(News::Unavailable)).await.is_err() {
                                return;
                            }
                            sleep(pace.rarely).await;
                        }
                        Answer::Resume | Answer::Restart => {
                            let delay = delays.next().unwrap_or(pace.retry_most);
                            sleep(delay.max(asked_delay(&error, pace))).await;
                        }
                    }
                    if answer == Answer::Resume {
                        continue;
                    }
                    continue 'anew;
                }
            };
            // Not before: a list that breaks off again and again is an error that lasts.
            if list.is_none() {
                delays = self::delays(pace);
                said = None;
                streams_begun = 0;
            }
            if sender.send(wrap(news)).await.is_err() {
                return;
            }
        }
    }
}

/// What has arrived of a list. Of the first one the agent is told at once, for nothing is at stake before it is
/// complete, and so it is never as a whole in memory. A later one counts when it is complete.
struct List<K> {
    keys: Vec<ObjectKey>,
    entries: Vec<Entry<K>>,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), entries: Vec::new() }
    }
}

fn is_streaming(config: &Config) -> bool {
    config.initial_list_strategy == InitialListStrategy::StreamingList
}

/// An object by its name. One that no object may have is no better than an object that cannot be read.
pub(super) fn entry<K: Kind>(object: Received<K>) -> Entry<K> {
    let key = ObjectKey::of(object.meta());
    let version = object.meta().resource_version.clone();
    let object = object.0.map_err(|invalid| invalid.error).and_then(|object| {
        let named = check_metadata(object.meta(), K::NAMING);
        named.map_err(|(field, message)| format!("{field}: {message}")).map(|()| stripped(object))
    });
    Entry::new(key, object).at(version)
}

/// What an event of a watch tells; `None` if nobody knows whom it is about, so that only a list can.
pub(super) fn news<K: Kind>(event: Event<Received<K>>) -> Option<News<K>> {
    let (object, is_gone) = match event {
        Event::Apply(object) => (object, false),
        Event::Delete(object) => (object, true),
        Event::Init | Event::InitApply(_) | Event::InitDone => return None,
    };
    let entry = entry(object);
    if !entry.is_named() {
        tracing::warn!("API server: an event about a {} without a name: all are listed anew", K::kind(&()));
        return None;
    }
    Some(if is_gone { News::Deleted(entry.key) } else { News::Applied(entry) })
}

fn delays(pace: Pace) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(pace.retry)
        .with_max_delay(pace.retry_most)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// What the server itself says about it.
fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::WatchError(status)
        | watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

fn answer<K: Kind>(error: &watcher::Error, config: &Config, is_listing: bool) -> Answer {
    match (status(error).map(|status| status.code), error) {
        (Some(400 | 422), watcher::Error::WatchStartFailed(_)) if is_streaming(config) => Answer::Pages,
        // kube's watcher knows 410 within a watch only. As the status of the call, as with any version that the
        // server does not like, it would resume for ever.
        (Some(410), _) | (Some(400 | 422), watcher::Error::WatchStartFailed(_)) => Answer::Restart,
        (Some(403..=405), _) if K::IS_OPTIONAL => Answer::Unavailable,
        // What cannot be read as an event may have been one: only a list tells what was missed.
        _ if is_garbage(error) => Answer::Restart,
        // A list with a hole is no list.
        _ if is_listing => Answer::Restart,
        _ => Answer::Resume,
    }
}

/// Whether a line of a watch is no event. Where it is an object of JSON, kube takes it for a `Status`, all of whose
/// fields may be missing.
fn is_garbage(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchFailed(kube::Error::SerdeError(_) | kube::Error::Api(_)))
}

/// How long the server wants to be left alone.
fn asked_delay(error: &watcher::Error, pace: Pace) -> Duration {
    let details = status(error).and_then(|status| status.details.as_ref());
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into()).min(pace.retry_most)
}

/// Says once what only somebody else can repair. Of outages [`contact`](super::contact) tells.
fn say<K: Kind>(error: &watcher::Error, answer: Answer, said: &mut Option<String>) {
    let is_refusal = match (status(error), error) {
        _ if is_garbage(error) => true,
        (Some(status), _) => (400..500).contains(&status.code) && !matches!(status.code, 401 | 410 | 429),
        (None, error) => matches!(
            error,
            watcher::Error::NoResourceVersion | watcher::Error::InitialListFailed(kube::Error::SerdeError(_))
        ),
    };
    let reason = chain(error);
    if !is_refusal || answer == Answer::Pages || said.as_ref() == Some(&reason) {
        return;
    }
    let kind = K::plural(&());
    if answer == Answer::Unavailable {
        tracing::warn!("API server: {kind} are not served to svclb, which does without: {reason}");
    } else {
        tracing::error!("API server: cannot follow {kind}; what is programmed stays: {reason}");
    }
    *said = Some(reason);
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{core::v1::Service, networking::v1::ServiceCIDR};

    use super::*;

    fn refused(code: u16) -> Box<Status> {
        Box::new(Status::failure("no", "No").with_code(code))
    }

    #[test]
    fn each_error_has_its_answer() {
        let start = |code| watcher::Error::WatchStartFailed(kube::Error::Api(refused(code)));
        let list = |code| watcher::Error::InitialListFailed(kube::Error::Api(refused(code)));
        let within = |code| watcher::Error::WatchError(refused(code));
        let garbage = || serde_json::from_str::<u8>("x").unwrap_err();
        let streaming = Config::default().streaming_lists();
        let pages = Config::default();
        let unreadable = |error| watcher::Error::WatchFailed(error);
        let table = [
            (start(410), &pages, Answer::Restart, Answer::Restart),
            (within(410), &pages, Answer::Restart, Answer::Restart),
            (list(410), &pages, Answer::Restart, Answer::Restart),
            (start(422), &streaming, Answer::Pages, Answer::Pages),
            (start(400), &streaming, Answer::Pages, Answer::Pages),
            (start(422), &pages, Answer::Restart, Answer::Restart),
            (start(403), &streaming, Answer::Resume, Answer::Unavailable),
            (list(404), &pages, Answer::Resume, Answer::Unavailable),
            (start(401), &streaming, Answer::Resume, Answer::Resume),
            (start(500), &streaming, Answer::Resume, Answer::Resume),
            (list(429), &pages, Answer::Resume, Answer::Resume),
            (within(500), &pages, Answer::Resume, Answer::Resume),
            (unreadable(kube::Error::SerdeError(garbage())), &pages, Answer::Restart, Answer::Restart),
            (unreadable(kube::Error::Api(refused(0))), &pages, Answer::Restart, Answer::Restart),
            (watcher::Error::NoResourceVersion, &pages, Answer::Resume, Answer::Resume),
        ];
        for (error, config, needed, optional) in table {
            assert_eq!(answer::<Service>(&error, config, false), needed, "{error}");
            assert_eq!(answer::<ServiceCIDR>(&error, config, false), optional, "{error}");
            let listing = if needed == Answer::Resume { Answer::Restart } else { needed };
            assert_eq!(answer::<Service>(&error, config, true), listing, "{error}");
        }
    }

    #[test]
    fn delays_grow_and_stop_growing() {
        let pace = Pace::default();
        let delays: Vec<_> = delays(pace).take(20).collect();
        assert!(delays[0] >= pace.retry && delays[0] <= pace.retry * 2);
        assert!(delays.iter().all(|delay| *delay <= pace.retry_most * 2));
        assert!(delays[19] >= pace.retry_most);
    }
}
