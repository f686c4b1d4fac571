//! Taking a text apart into pieces that are read one by one.
//!
//! A piece whose text is known need not be read again, so that one changed document in a file of thousands costs
//! the parsing of one.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse::TypeMeta;

/// A document of a file, or an object in a list that is written in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Chunk<'a> {
    /// The line it begins on, counted from 1 in the file.
    pub(super) line: u64,
    pub(super) text: &'a str,
    /// What the list that it stands in says of its type.
    pub(super) inherited: TypeMeta<'a>,
}

impl Chunk<'_> {
    /// Whether this may be JSON. YAML knows braces as well.
    pub(super) fn has_braces(&self) -> bool {
        self.text.starts_with('{')
    }
}

/// What is read of a list before its items are.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(rename = "apiVersion")]
    version: Cow<'a, str>,
    kind: Cow<'a, str>,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

/// The pieces of `text`, in their order. Together they say what the whole says.
pub(super) fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut line = 1;
    for text in documents(text) {
        chunks.extend(items(text, line).unwrap_or_else(|| {
            let inherited = TypeMeta::default();
            vec![Chunk { line, text, inherited }]
        }));
        line += newlines(text);
    }
    chunks
}

/// A line that begins with three dashes begins a document, whatever is open before it.
fn documents(text: &str) -> Vec<&str> {
    let begins = |rest: &str, mark: &str| rest.starts_with(mark);
    // Directives and ends of documents reach beyond the document they stand in.
    let is_plain = |at: usize| !begins(&text[at..], "...") && !begins(&text[at..], "%");
    let mut starts = Vec::new();
    let mut at = 0;
    loop {
        if !is_plain(at) {
            return vec![text];
        }
        let is_mark = begins(&text[at..], "---");
        if is_mark && text[at + 3..].chars().next().is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            starts.push(at);
        }
        let Some(next) = memchr::memchr(b'\n', &text.as_bytes()[at..]) else { break };
        at += next + 1;
    }
    let mut documents = Vec::with_capacity(starts.len() + 1);
    let mut from = 0;
    for start in starts.into_iter().chain([text.len()]) {
        if !text[from..start].is_empty() {
            documents.push(&text[from..start]);
        }
        from = start;
    }
    documents
}

/// The single object or the items of a list, if the document is JSON.
fn items(document: &str, line: u64) -> Option<Vec<Chunk<'_>>> {
    let body = document.strip_prefix("---").unwrap_or(document).trim_start_matches([' ', '\t', '\n', '\r']);
    if !body.starts_with('{') {
        return None;
    }
    let line_of = |at: &str| line + newlines(&document[..offset(document, at)]);
    let list = serde_json::from_str::<List<'_>>(body).ok().and_then(|list| {
        let inherited = TypeMeta::of_items(intern(&list.version)?, intern(&list.kind)?)?;
        Some((inherited, list.items.unwrap_or_default()))
    });
    let Some((inherited, items)) = list else {
        return Some(vec![Chunk { line: line_of(body), text: body, inherited: TypeMeta::default() }]);
    };
    let mut chunks = Vec::with_capacity(items.len());
    let (mut here, mut at) = (line, document);
    for item in items {
        let (before, rest) = at.split_at(offset(at, item.get()));
        here += newlines(before);
        at = rest;
        chunks.push(Chunk { line: here, text: item.get(), inherited });
    }
    Some(chunks)
}

/// The same text, which does not depend on how it was escaped.
fn intern(text: &str) -> Option<&'static str> {
    let known = ["v1", "List", "ServiceList", "NodeList", "EndpointSliceList", "ServiceCIDRList"];
    let groups = ["discovery.k8s.io/v1", "networking.k8s.io/v1"];
    known.into_iter().chain(groups).find(|known| *known == text)
}

/// Where in `whole` its part `part` begins, in bytes.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

fn newlines(text: &str) -> u64 {
    memchr::memchr_iter(b'\n', text.as_bytes()).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces in short: `LINE TEXT`, without what surrounds the text.
    fn pieces(text: &str) -> Vec<String> {
        chunks(text).iter().map(|chunk| format!("{} {}", chunk.line, chunk.text.trim())).collect()
    }

    #[test]
    fn documents_are_cut_where_yaml_cuts_them() {
        let table: [(&str, &[&str]); 10] = [
            ("", &[]),
            ("a: 1", &["1 a: 1"]),
            ("a: 1\n---\nb: 2\n", &["1 a: 1", "2 ---\nb: 2"]),
            ("---\na: 1\n--- \n---\tx\n---", &["1 ---\na: 1", "3 ---", "4 ---\tx", "5 ---"]),
            ("a: |\n ---\n---a\n", &["1 a: |\n ---\n---a"]),
            ("a: \"\n---\n\"", &["1 a: \"", "2 ---\n\""]),
            ("a: 1\r\n---\r\nb: 2\r\n", &["1 a: 1", "2 ---\r\nb: 2"]),
            ("%YAML 1.2\n---\na: 1\n", &["1 %YAML 1.2\n---\na: 1"]),
            ("a: 1\n...\n%YAML 1.2\n---\nb: 2\n", &["1 a: 1\n...\n%YAML 1.2\n---\nb: 2"]),
            ("é\n---\né\n", &["1 é", "2 ---\né"]),
        ];
        for (text, expected) in table {
            assert_eq!(pieces(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lists_in_json_are_cut_into_their_items() {
        let list = "\n{\"kind\": \"ServiceList\", \"apiVersion\": \"v1\",\n\"items\": [{\"a\": 1}, \n\n{\"b\":\n2}],\n \"x\": {}}";
        assert_eq!(pieces(list), ["3 {\"a\": 1}", "5 {\"b\":\n2}"]);
        assert!(chunks(list).iter().all(|chunk| chunk.inherited.name == Some("Service")));
        let after = format!("a: 1\n--- {list}");
        assert_eq!(pieces(&after), ["1 a: 1", "4 {\"a\": 1}", "6 {\"b\":\n2}"]);
        let plain = "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"a\": 1}]}";
        assert_eq!(pieces(plain), ["1 {\"a\": 1}"]);
        assert_eq!(chunks(plain)[0].inherited, TypeMeta::default());
        for whole in ["{a: 1}", "{\"apiVersion\": \"v1\", \"kind\": \"Service\"}", "{\"items\": [1]}", "{"] {
            assert_eq!(pieces(&format!("\n{whole}\n")), [format!("2 {whole}")]);
        }
    }
}
