//! From the text of a file to the API objects in it.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{
    ManifestError, Object, Resource,
    check::{self, Refusal},
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
    let error = |Fault { line, field, message }, object: String| {
        let (file, object) = (file.to_owned(), one_line(&object));
        let (field, message) = (one_line(&field), one_line(&message));
        match (object.as_str(), field.as_str()) {
            ("", _) => ManifestError::Syntax { file, line, message },
            (_, "") => ManifestError::Syntax { file, line, message: format!("{object}: {message}") },
            _ => ManifestError::Field { file, line, object, field, message },
        }
    };
    let documents = tree::documents(text).map_err(|fault| error(fault, String::new()))?;
    let mut objects = Vec::new();
    for document in &documents {
        read(document, Kind::default(), &mut objects).map_err(|(fault, object)| error(fault, object))?;
    }
    Ok(objects)
}

/// The type of an object, as it says itself or as the list that it stands in says for it.
#[derive(Clone, Copy, Default)]
struct Kind<'a> {
    version: Option<&'a str>,
    name: Option<&'a str>,
}

/// A fault and the object that has it.
type Faulty = (Fault, String);

fn read<'a>(tree: &'a Tree, inherited: Kind<'a>, objects: &mut Vec<Object>) -> Result<(), Faulty> {
    if !matches!(tree.value, Value::Map(_)) {
        return Err((Fault::new(tree.line, "", "not an API object"), String::new()));
    }
    let version = header(tree, "apiVersion", inherited.version)?;
    let name = header(tree, "kind", inherited.name)?;
    let resource = match (version, name) {
        ("v1", "List") => return items(tree, Kind::default(), objects),
        ("v1", "ServiceList" | "NodeList") | ("discovery.k8s.io/v1", "EndpointSliceList") => {
            return items(tree, Kind { version: Some(version), name: name.strip_suffix("List") }, objects);
        }
        ("v1", "Service") => {
            Resource::Service(Arc::new(object(tree, name, check::service, defaults::service)?))
        }
        ("discovery.k8s.io/v1", "EndpointSlice") => {
            Resource::EndpointSlice(Arc::new(object(tree, name, check::slice, defaults::slice)?))
        }
        ("v1", "Node") => Resource::Node(Arc::new(object(tree, name, check::node, |_| {})?)),
        _ => Resource::Ignored(one_line(&format!("{version} {name}"))),
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

fn items<'a>(list: &'a Tree, inherited: Kind<'a>, objects: &mut Vec<Object>) -> Result<(), Faulty> {
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
        _ if kind == "Node" => format!("{kind} {name}"),
        None | Some("") => format!("{kind} default/{name}"),
        Some(namespace) => format!("{kind} {namespace}/{name}"),
    }
}

/// Text of a manifest as part of a line of the log, which it must not break.
pub(crate) fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let escaped = |c: char| if breaks(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests;
