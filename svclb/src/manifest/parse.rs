//! From the text of a file to the API objects in it.

use std::{borrow::Cow, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    ManifestError, Object, Resource,
    check::{self, Refusal},
    chunk::{Chunk, chunks},
    decode::decode,
    defaults,
    fault::Fault,
    tree::{self, Tree, Value},
};

/// Reads the objects in `text`: YAML or JSON, any number of documents, lists of objects taken apart. `file` is
/// the name that errors begin with.
///
/// What an API server would refuse is an error, with the line; what it would fill in is filled in.
pub fn parse(text: &str, file: &str) -> Result<Vec<Object>, ManifestError> {
    let mut objects = Vec::new();
    for chunk in chunks(text) {
        let before = chunk.line - 1;
        let found = parse_chunk(&chunk, file)?;
        objects.extend(found.into_iter().map(|object| Object { line: before + object.line, ..object }));
    }
    Ok(objects)
}

/// Reads the objects in a piece of the text of `file`; their lines are counted from 1 in the piece.
pub(super) fn parse_chunk(chunk: &Chunk<'_>, file: &str) -> Result<Vec<Object>, ManifestError> {
    // Reading JSON as what it is is much faster, but tells no lines; so errors are told by the other way.
    if chunk.has_braces()
        && let Some(tree) = tree::json(chunk.text)
        && let Ok(objects) = objects(&[tree], chunk.inherited)
    {
        return Ok(objects);
    }
    let trees = tree::documents(chunk.text).map_err(|fault| (fault, String::new()));
    trees.and_then(|trees| objects(&trees, chunk.inherited)).map_err(|(fault, object)| {
        let line = chunk.line - 1 + fault.line;
        error(&Fault { line, ..fault }, &object, file)
    })
}

fn error(fault: &Fault, object: &str, file: &str) -> ManifestError {
    let (file, line, object) = (file.to_owned(), fault.line, one_line(object).into_owned());
    let (field, message) = (one_line(&fault.field).into_owned(), one_line(&fault.message).into_owned());
    match (object.as_str(), field.as_str()) {
        ("", _) => ManifestError::Syntax { file, line, message },
        (_, "") => ManifestError::Syntax { file, line, message: format!("{object}: {message}") },
        _ => ManifestError::Field { file, line, object, field, message },
    }
}

/// The type of an object, as it says itself or as the list that it stands in says for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct TypeMeta<'a> {
    pub(super) version: Option<&'a str>,
    pub(super) name: Option<&'a str>,
}

impl<'a> TypeMeta<'a> {
    /// What a list of this type says of the type of its items; `None` if this is no list.
    pub(super) fn of_items(version: &'a str, name: &'a str) -> Option<Self> {
        match (version, name) {
            ("v1", "List") => Some(Self::default()),
            ("v1", "ServiceList" | "NodeList" | "PodList")
            | ("discovery.k8s.io/v1", "EndpointSliceList")
            | ("networking.k8s.io/v1", "ServiceCIDRList") => {
                Some(Self { version: Some(version), name: name.strip_suffix("List") })
            }
            _ => None,
        }
    }
}

/// A fault and the object that has it.
type Faulty = (Fault, String);

fn objects(trees: &[Tree], inherited: TypeMeta<'_>) -> Result<Vec<Object>, Faulty> {
    let mut objects = Vec::new();
    trees.iter().try_for_each(|tree| read(tree, inherited, &mut objects))?;
    Ok(objects)
}

fn read<'a>(tree: &'a Tree, inherited: TypeMeta<'a>, objects: &mut Vec<Object>) -> Result<(), Faulty> {
    if !matches!(tree.value, Value::Map(_)) {
        return Err((Fault::new(tree.line, "", "not an API object"), String::new()));
    }
    let version = header(tree, "apiVersion", inherited.version)?;
    let name = header(tree, "kind", inherited.name)?;
    if let Some(of_items) = TypeMeta::of_items(version, name) {
        return items(tree, of_items, objects);
    }
    let resource = match (version, name) {
        ("v1", "Service") => {
            Resource::Service(Arc::new(object(tree, name, check::service, defaults::service)?))
        }
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            Resource::EndpointSlice(Arc::new(object(tree, name, check::slice, defaults::slice)?))
        }
        ("v1", "Node") => Resource::Node(Arc::new(object(tree, name, check::node, defaults::node)?)),
        ("v1", "Pod") => Resource::Pod(Arc::new(object(tree, name, check::pod, defaults::pod)?)),
        ("networking.k8s.io/v1", "ServiceCIDR") => {
            let cidr = object(tree, name, check::service_cidr, defaults::service_cidr)?;
            Resource::ServiceCidr(Arc::new(cidr))
        }
        _ => Resource::Ignored(one_line(&format!("{version} {name}")).into_owned()),
    };
    objects.push(Object { line: tree.line, resource });
    Ok(())
}

fn header<'a>(tree: &'a Tree, field: &str, inherited: Option<&'a str>) -> Result<&'a str, Faulty> {
    let faulty = |line, message| (Fault::new(line, "", format!("{field}: {message}")), String::new());
    match tree.get(field) {
        Some(value) => value.text().ok_or_else(|| faulty(value.line, "not a string")),
        None => inherited.ok_or_else(|| faulty(tree.line, "not set")),
    }
}

fn items<'a>(list: &'a Tree, inherited: TypeMeta<'a>, objects: &mut Vec<Object>) -> Result<(), Faulty> {
    let Some(items) = list.get("items") else { return Ok(()) };
    match &items.value {
        Value::Null => Ok(()),
        Value::List(items) => items.iter().try_for_each(|item| read(item, inherited, objects)),
        _ => Err((Fault::new(items.line, "", "items: not a list"), String::new())),
    }
}

fn object<T: DeserializeOwned>(
    tree: &Tree,
    kind: &str,
    check: fn(&T) -> Result<(), Refusal>,
    fill_in: fn(&mut T),
) -> Result<T, Faulty> {
    let checked = decode(tree).and_then(|object| match check(&object) {
        Ok(()) => Ok(object),
        Err((field, message)) => Err(Fault::new(tree.line_of(&field), field, message)),
    });
    let mut object = checked.map_err(|fault| (fault, title(tree, kind)))?;
    fill_in(&mut object);
    Ok(object)
}

/// What an object that may be malformed is called: `Service default/web`, or its kind alone.
fn title(tree: &Tree, kind: &str) -> String {
    let of_metadata = |field| tree.get("metadata").and_then(|metadata| metadata.get(field)?.text());
    let Some(name) = of_metadata("name").filter(|name| !name.is_empty()) else { return kind.to_owned() };
    match of_metadata("namespace") {
        _ if matches!(kind, "Node" | "ServiceCIDR") => format!("{kind} {name}"),
        None | Some("") => format!("{kind} default/{name}"),
        Some(namespace) => format!("{kind} {namespace}/{name}"),
    }
}

/// Text of a manifest as part of a line of the log, which it must not break.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !text.contains(breaks) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if breaks(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests;
