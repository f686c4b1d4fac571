//! Answers to calls.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode, header::CONTENT_TYPE},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{
    Expiry, Shared,
    call::{Call, Verb},
    fault::{self, Fault, Interruption},
    pipe::{Broken, Pipe},
    resource::{EVENTS, Resource},
    selector::Selector,
};

/// How much somebody may send.
const LARGEST: usize = 1 << 20;

/// How long a watch lasts that does not say.
const LONGEST: &str = "1800";

/// A line of JSON that is no event.
const GARBAGE: &str = "{\"type\":\"ADDED\",\"object\":17}\n";

/// Answers one call.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let call = Call::of(&parts);
    shared.with(|state| state.calls.push(call.clone()));
    let plural = call.subject().map_or("", |(_group, plural)| plural);
    wait_while_held(&shared, plural).await;
    let fault = shared.with(|state| fault::take(&mut state.faults, plural, call.verb));
    if let Some(Fault::Status(code)) = fault {
        return refusal(code);
    }
    let selector = Selector::parse(call.field("labelSelector"), call.field("fieldSelector"));
    match (call.resource(), call.verb, selector) {
        (Some(_), Verb::List | Verb::Watch, Err(_)) => refusal(400),
        (Some(resource), Verb::List, Ok(selector)) => list(&shared, &call, resource, &selector, fault),
        (Some(resource), Verb::Watch, Ok(selector)) => watch(shared, &call, resource, selector, fault),
        (None, Verb::Create | Verb::Patch, _) if call.path.starts_with(EVENTS.0) => {
            let bytes = to_bytes(body, LARGEST).await.unwrap_or_default();
            event(&shared, &call, serde_json::from_slice(&bytes).unwrap_or_default())
        }
        _ => refusal(404),
    }
}

async fn wait_while_held(shared: &Shared, plural: &str) {
    let mut pulse = shared.subscribe();
    while shared.lock().held.contains(plural) && pulse.changed().await.is_ok() {}
}

fn list(
    shared: &Shared,
    call: &Call,
    resource: Resource,
    selector: &Selector,
    fault: Option<Fault>,
) -> Response<Body> {
    let mut state = shared.lock();
    let (version, mut items) = match call.field("continue") {
        "" => (state.store.version(), state.store.list(resource.plural, selector)),
        token => match state.store.kept(token) {
            Some(rest) => rest,
            None => return refusal(410),
        },
    };
    let limit = call.field("limit").parse().unwrap_or(usize::MAX);
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if items.len() > limit {
        let rest = items.split_off(limit);
        metadata["remainingItemCount"] = json!(rest.len());
        metadata["continue"] = json!(state.store.keep(version, rest));
    }
    let list = json!({
        "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version,
        "metadata": metadata, "items": items,
    });
    let (mut pipe, body) = Pipe::new(fault);
    tokio::spawn(async move { pipe.send(&list).await });
    ok(body)
}

fn watch(
    shared: Arc<Shared>,
    call: &Call,
    resource: Resource,
    selector: Selector,
    fault: Option<Fault>,
) -> Response<Body> {
    let has_initial = call.field("sendInitialEvents") == "true";
    let version = call.field("resourceVersion").parse();
    {
        let state = shared.lock();
        let is_unknown = call.field("resourceVersionMatch") != "NotOlderThan";
        if has_initial && (state.has_no_streams || is_unknown) {
            return refusal(422);
        }
        let has_expired = version.as_ref().is_ok_and(|version| {
            *version > 0 && state.store.since(resource.plural, *version, &selector).is_none()
        });
        if has_expired && state.expiry == Expiry::Status {
            return refusal(410);
        }
    }
    let (pipe, body) = Pipe::new(fault);
    let seconds = Some(call.field("timeoutSeconds")).filter(|text| !text.is_empty()).unwrap_or(LONGEST);
    let watch = Watch {
        has_bookmarks: call.field("allowWatchBookmarks") == "true",
        deadline: Instant::now() + Duration::from_secs(seconds.parse().unwrap_or(1)),
        shared,
        resource,
        selector,
        fault,
        pipe,
    };
    let from = if has_initial { None } else { Some(version.unwrap_or(0)) };
    // How it ends is the client's business.
    tokio::spawn(async move { watch.run(from).await.ok() });
    ok(body)
}

/// One watch.
struct Watch {
    shared: Arc<Shared>,
    resource: Resource,
    selector: Selector,
    has_bookmarks: bool,
    deadline: Instant,
    fault: Option<Fault>,
    pipe: Pipe,
}

impl Watch {
    async fn run(mut self, from: Option<u64>) -> Result<(), Broken> {
        let mut pulse = self.shared.subscribe();
        let (interruptions, mut bookmarks) = {
            let state = self.shared.lock();
            (state.interruption.0, state.bookmarks)
        };
        let mut version = match from {
            Some(version) => version,
            None => self.list().await?,
        };
        match self.fault {
            Some(Fault::End) => return Ok(()),
            Some(Fault::ErrorEvent(code)) => return self.error(code).await,
            Some(Fault::Garbage) if from.is_some() => self.pipe.write(GARBAGE.into()).await?,
            _ => {}
        }
        loop {
            pulse.mark_unchanged();
            let (events, now, interruption, marks) = {
                let state = self.shared.lock();
                let interruption = state.interruption.1.filter(|_| state.interruption.0 > interruptions);
                let events = state.store.since(self.resource.plural, version, &self.selector);
                (events, state.store.version(), interruption, state.bookmarks)
            };
            match interruption {
                Some(Interruption::End) => return Ok(()),
                Some(Interruption::Gone) => return self.error(410).await,
                Some(Interruption::Cut) => {
                    self.pipe
                        .write("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"ha".into())
                        .await?;
                    self.pipe.cut().await;
                    return Err(Broken);
                }
                None => {}
            }
            let Some(events) = events else { return self.error(410).await };
            for event in events {
                self.pipe.send(&event).await?;
            }
            version = now;
            if marks > bookmarks && self.has_bookmarks {
                self.bookmark(version, false).await?;
            }
            bookmarks = marks;
            tokio::select! {
                changed = pulse.changed() => changed.map_err(|_no_server| Broken)?,
                () = sleep_until(self.deadline) => return Ok(()),
                () = self.pipe.closed() => return Err(Broken),
            }
        }
    }

    /// Tells all objects, and that these were all.
    async fn list(&mut self) -> Result<u64, Broken> {
        let (version, objects) = {
            let state = self.shared.lock();
            (state.store.version(), state.store.list(self.resource.plural, &self.selector))
        };
        for (index, object) in objects.into_iter().enumerate() {
            if index == 0 && self.fault == Some(Fault::Garbage) {
                self.pipe.write(GARBAGE.into()).await?;
            } else {
                self.pipe.send(&json!({ "type": "ADDED", "object": object })).await?;
            }
        }
        if self.fault != Some(Fault::NoBookmark) {
            self.bookmark(version, true).await?;
        }
        self.shared.lock().last_list = Some(std::time::Instant::now());
        Ok(version)
    }

    async fn bookmark(&mut self, version: u64, is_initial: bool) -> Result<(), Broken> {
        let mut metadata = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if is_initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let Resource { api_version, kind, .. } = self.resource;
        let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
        self.pipe.send(&json!({ "type": "BOOKMARK", "object": object })).await
    }

    async fn error(&mut self, code: u16) -> Result<(), Broken> {
        self.pipe.send(&json!({ "type": "ERROR", "object": status(code) })).await
    }
}

/// Keeps an Event, or changes one that is kept.
fn event(shared: &Shared, call: &Call, body: Value) -> Response<Body> {
    let name = |event: &Value| event["metadata"]["name"].as_str().map(String::from);
    let (namespace, rest) = call.path[EVENTS.0.len()..].split_once(EVENTS.1).unwrap_or_default();
    let stored = shared.with(|state| match (call.verb, rest.strip_prefix('/')) {
        (Verb::Create, None) if body["metadata"]["namespace"].as_str().unwrap_or(namespace) == namespace => {
            state.events.push(body.clone());
            Some(body)
        }
        (Verb::Patch, Some(wanted)) => {
            let event = state.events.iter_mut().find(|event| name(event).as_deref() == Some(wanted))?;
            for (field, value) in body.as_object()? {
                event[field] = value.clone();
            }
            Some(event.clone())
        }
        _ => None,
    });
    match stored {
        Some(event) => ok(Body::from(event.to_string())),
        None => refusal(404),
    }
}

fn ok(body: Body) -> Response<Body> {
    response(StatusCode::OK, body)
}

fn refusal(code: u16) -> Response<Body> {
    let status_code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response(status_code, Body::from(status(code).to_string()))
}

fn response(code: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}

/// What the API says when it refuses.
fn status(code: u16) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let details = if code == 429 { json!({ "retryAfterSeconds": 1 }) } else { json!({}) };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{reason} by the test"), "reason": reason, "details": details, "code": code,
    })
}
