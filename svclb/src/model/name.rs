//! Names that objects, namespaces and ports may have.
//!
//! They are parts of lines, keys of maps and texts of a fixed length in tables, which hold because of this. An API server
//! admits no others.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The longest DNS label (RFC 1123), in bytes: namespaces, Services and ports.
pub(crate) const LABEL: usize = 63;
/// The longest DNS subdomain (RFC 1123), in bytes: everything else.
pub(crate) const SUBDOMAIN: usize = 253;

/// What the objects of a kind may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// They have no namespace.
    Cluster,
    /// They have one, and names of at most so many bytes.
    Namespaced(usize),
}

/// Says why `name` is none. Nothing is a name for what may go without one.
pub(crate) fn check(name: &str, longest: usize) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.len() > longest {
        return Err(format!("longer than {longest} characters"));
    }
    if !name.chars().all(is_allowed) {
        return Err(format!("{name:?} is not a name of lower-case letters, digits, '-' and '.'"));
    }
    Ok(())
}

/// The field by which an object cannot be known, and why.
pub(crate) fn check_metadata(metadata: &ObjectMeta, naming: Naming) -> Result<(), (String, String)> {
    let of = |field: &str, result: Result<(), String>| {
        result.map_err(|message| (format!("metadata.{field}"), message))
    };
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let longest = match naming {
        Naming::Cluster if !namespace.is_empty() => {
            return of("namespace", Err("objects of this kind have none".to_owned()));
        }
        Naming::Cluster => SUBDOMAIN,
        Naming::Namespaced(longest) => longest,
    };
    of(
        "name",
        match metadata.name.as_deref() {
            None | Some("") => Err("not set".to_owned()),
            Some(name) => check(name, longest),
        },
    )?;
    of("namespace", check(namespace, LABEL))
}

#[cfg(test)]
mod tests {
    use svclb_common::service::{LABEL_LEN, NODE_NAME_LEN};

    use super::*;

    #[test]
    fn tables_hold_every_name() {
        const { assert!(LABEL <= LABEL_LEN && SUBDOMAIN <= NODE_NAME_LEN) };
    }

    #[test]
    fn table() {
        let long = |length| "a".repeat(length);
        let table = [
            (String::new(), true),
            ("web-1.example".into(), true),
            (long(LABEL), true),
            (long(LABEL + 1), false),
            ("Web".into(), false),
            ("a b".into(), false),
            ("a\nb".into(), false),
            ("ä".into(), false),
        ];
        for (name, is_name) in table {
            assert_eq!(check(&name, LABEL).is_ok(), is_name, "{name:?}");
        }
        assert!(!check("a\nb", LABEL).unwrap_err().contains('\n'));
    }
}
