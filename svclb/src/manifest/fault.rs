//! Something wrong with one value of a document.

use std::fmt;

/// What is wrong, with which field of the document, on which line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Counted from 1 in the file; 0 until it is known.
    pub(crate) line: u64,
    /// The path of the field; empty for the document as a whole.
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn new(line: u64, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { line, field: field.into(), message: message.into() }
    }

    /// The same fault, seen from the value that has the faulty one under `key`.
    pub(crate) fn under_key(self, key: &str) -> Self {
        let field = match self.field.as_str() {
            "" => key.to_owned(),
            rest if rest.starts_with('[') => format!("{key}{rest}"),
            rest => format!("{key}.{rest}"),
        };
        Self { field, ..self }
    }

    /// The same fault, seen from the list that has the faulty value at `index`.
    pub(crate) fn under_index(self, index: usize) -> Self {
        let separator = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        Self { field: format!("[{index}]{separator}{}", self.field), ..self }
    }

    /// The same fault, on `line` unless a line closer to it is known.
    pub(crate) fn at(self, line: u64) -> Self {
        if self.line == 0 { Self { line, ..self } } else { self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_from_the_inside() {
        let fault = Fault::new(0, "", "x").under_key("port").under_index(2).under_key("ports");
        assert_eq!(fault.under_key("spec").field, "spec.ports[2].port");
        let fault = Fault::new(0, "", "x").under_index(0).under_index(1).under_key("a");
        assert_eq!(fault.field, "a[1][0]");
        assert_eq!(fault.at(3).at(4).line, 3);
    }
}
