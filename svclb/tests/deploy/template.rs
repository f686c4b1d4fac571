//! The part of Helm's templates that the chart keeps to, so that its tests need no helm.
//!
//! There are `{{ .path }}`, the functions `toYaml`, `nindent`, `quote` and `default`, pipes, `if` and `with` up to
//! `end`, and `{{-` and `-}}`, which trim. Everything else, a path that leads nowhere included, is an error.

use serde_json::Value;

/// What `template` becomes; `.` is `root` outside of `with`.
pub(crate) fn render(template: &str, root: &Value) -> Result<String, String> {
    let pieces = pieces(template)?;
    let mut rest = pieces.as_slice();
    let mut out = String::new();
    match block(&mut rest, root, &mut out)? {
        Stop::Text => Ok(out),
        Stop::End => Err("an `end` without a beginning".into()),
    }
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Action(String),
}

/// Text and actions in turn, trimmed.
fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut trims = false;
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or("an action without `}}`")?;
        let (action, trims_left) = action.strip_prefix("- ").map_or((action, false), |action| (action, true));
        let (action, trims_right) =
            action.strip_suffix(" -").map_or((action, false), |action| (action, true));
        let text = if trims { text.trim_start() } else { text };
        let text = if trims_left { text.trim_end() } else { text };
        pieces.push(Piece::Text(text.to_owned()));
        pieces.push(Piece::Action(action.trim().to_owned()));
        (rest, trims) = (after, trims_right);
    }
    pieces.push(Piece::Text(if trims { rest.trim_start() } else { rest }.to_owned()));
    Ok(pieces)
}

/// What ended a block.
enum Stop {
    Text,
    End,
}

fn block(rest: &mut &[Piece], dot: &Value, out: &mut String) -> Result<Stop, String> {
    while let Some((piece, after)) = rest.split_first() {
        *rest = after;
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Action(action) if action == "end" => return Ok(Stop::End),
            Piece::Action(action) => match action.split_once(' ') {
                Some((word @ ("if" | "with"), condition)) => {
                    let value = pipeline(condition, dot)?;
                    let mut inner = String::new();
                    let Stop::End = block(rest, if word == "with" { &value } else { dot }, &mut inner)?
                    else {
                        return Err(format!("`{action}` has no `end`"));
                    };
                    if is_true(&value) {
                        out.push_str(&inner);
                    }
                }
                _ => out.push_str(&printed(&pipeline(action, dot)?, action)?),
            },
        }
    }
    Ok(Stop::Text)
}

fn printed(value: &Value, action: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!("`{action}` is nothing that can be printed: {value}")),
    }
}

/// `text/template` calls these values empty, and everything else true.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn pipeline(text: &str, dot: &Value) -> Result<Value, String> {
    let mut piped = None;
    for stage in text.split('|') {
        let words: Vec<&str> = stage.split_whitespace().collect();
        piped = Some(match (words.as_slice(), piped) {
            ([path], None) if path.starts_with('.') => lookup(path, dot)?,
            ([function, arguments @ ..], piped) => {
                let arguments = arguments.iter().map(|word| argument(word, dot));
                let arguments: Vec<Value> = arguments.chain(piped.map(Ok)).collect::<Result<_, _>>()?;
                call(function, &arguments)?
            }
            ([], _) => return Err(format!("`{text}` has an empty part")),
        });
    }
    piped.ok_or_else(|| "an empty action".into())
}

fn argument(word: &str, dot: &Value) -> Result<Value, String> {
    if word.starts_with('.') {
        return lookup(word, dot);
    }
    word.parse::<u64>().map(Value::from).map_err(|error| format!("`{word}`: {error}"))
}

fn lookup(path: &str, dot: &Value) -> Result<Value, String> {
    let names = path[1..].split('.').filter(|name| !name.is_empty());
    let mut value = dot;
    for name in names {
        value = value.get(name).ok_or_else(|| format!("`{path}`: there is no {name}"))?;
    }
    Ok(value.clone())
}

fn call(function: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = match (function, arguments) {
        ("toYaml", [value]) => yaml(value)?,
        ("nindent", [spaces, Value::String(text)]) => {
            let spaces = spaces.as_u64().ok_or("`nindent` takes a number")?;
            let margin = format!("\n{}", " ".repeat(usize::try_from(spaces).map_err(|e| e.to_string())?));
            format!("{margin}{}", text.replace('\n', &margin))
        }
        ("quote", [value]) => Value::String(printed(value, "quote")?).to_string(),
        ("default", [fallback, value]) => return Ok(if is_true(value) { value } else { fallback }.clone()),
        _ => return Err(format!("`{function}` with {} arguments is not of the subset", arguments.len())),
    };
    Ok(Value::String(text))
}

/// In block style as Helm writes it, so that a wrong indent shows.
fn yaml(value: &Value) -> Result<String, String> {
    let text = serde_saphyr::to_string(value).map_err(|error| error.to_string())?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn root() -> Value {
        json!({ "a": { "b": "x", "n": 5, "no": "", "list": ["y", "z"], "map": { "k": "v" }, "none": {} } })
    }

    #[test]
    fn the_subset_renders() {
        let table = [
            ("p{{ .a.b }}s", "pxs"),
            ("{{ .a.n }}", "5"),
            ("{{ .a.b | quote }} {{ .a.n | quote }}", "\"x\" \"5\""),
            ("{{ .a.no | default .a.b }}{{ .a.n | default .a.b }}", "x5"),
            ("m:\n  {{- toYaml .a.map | nindent 2 }}\nn", "m:\n  k: v\nn"),
            ("{{- if .a.no }}no{{ end }}{{ if .a.b }}yes{{ end }}", "yes"),
            ("{{ with .a }}{{ .b }}{{ with .map }}{{ .k }}{{ end }}{{ end }}", "xv"),
            ("a\n  {{- with .a.none }}\n  b\n  {{- end }}\nc", "a\nc"),
            ("a {{ .a.b -}} \n c", "a xc"),
        ];
        for (template, wanted) in table {
            assert_eq!(render(template, &root()).as_deref(), Ok(wanted), "{template}");
        }
        let list = render("{{ toYaml .a.list | nindent 2 }}", &root()).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&list).unwrap(), json!(["y", "z"]));
    }

    #[test]
    fn what_is_not_of_the_subset_is_an_error() {
        let table = [
            "{{ .a.c }}",
            "{{ .a.map }}",
            "{{ end }}",
            "{{ if .a }}",
            "{{ .a.b",
            "{{ range .a.list }}{{ end }}",
            "{{ if .a }}{{ else }}{{ end }}",
            "{{ include .a.b }}",
            "{{ .a.b | upper }}",
            "{{ $x := .a }}",
            "{{ .a.b | }}",
            "{{ .a.list | nindent 2 }}",
            "{{ with .a }}{{ .a.b }}{{ end }}",
        ];
        for template in table {
            assert!(render(template, &root()).is_err(), "{template}");
        }
    }
}
