//! What was asked.

use std::collections::BTreeMap;

use super::resource::{self, Resource};

/// A verb of RBAC, which is more than the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// All objects, or a page of them.
    List,
    /// What happens to them.
    Watch,
    /// A new object.
    Create,
    /// A change to an object.
    Patch,
    /// Anything else, which nobody should ask.
    Other,
}

impl Verb {
    /// As in a role.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Other => "other",
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The header `user-agent`.
    pub agent: String,
    /// The header `authorization`.
    pub authorization: String,
    /// What it means.
    pub verb: Verb,
}

impl Call {
    pub(super) fn of(parts: &axum::http::request::Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_watch = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let verb = match parts.method.as_str() {
            "GET" if is_watch => Verb::Watch,
            "GET" => Verb::List,
            "POST" => Verb::Create,
            "PATCH" => Verb::Patch,
            _ => Verb::Other,
        };
        let header = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query,
            agent: header("user-agent"),
            authorization: header("authorization"),
            verb,
        }
    }

    /// A field of the query; what is not there is empty.
    pub fn field(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The kind, if it is one that can be listed.
    pub fn resource(&self) -> Option<Resource> {
        resource::ALL.into_iter().find(|resource| resource.path() == self.path)
    }

    /// Whether it asks for this kind by this verb.
    pub fn is(&self, resource: Resource, verb: Verb) -> bool {
        self.verb == verb && self.path == resource.path()
    }

    /// Whether it asks for all objects of a kind, by a list or by a watch that begins with them.
    pub fn is_listing(&self, resource: Resource) -> bool {
        self.is(resource, Verb::List)
            || self.is(resource, Verb::Watch) && self.field("sendInitialEvents") == "true"
    }

    /// Group and resource, as in a role.
    pub fn subject(&self) -> Option<(&'static str, &'static str)> {
        let listed = self.resource().map(|resource| (resource.group(), resource.plural));
        let is_event = self.path.starts_with(resource::EVENTS.0);
        listed.or(is_event.then_some(("events.k8s.io", "events")))
    }
}
