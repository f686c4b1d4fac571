//! A Rust file, taken apart into code and comments, each by line.

/// One file. A rule looks where it means to: `unsafe` in a sentence is no code, a rule's own strings are neither.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: String,
    /// As it is in the file.
    pub(super) text: Vec<String>,
    /// Without comments and without what is in quotes.
    pub(super) code: Vec<String>,
    /// Comments alone.
    pub(super) comments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    BlockComment {
        depth: u32,
    },
    Text,
    /// Ends with a quote and this many `#`.
    RawText {
        hashes: usize,
    },
}

impl Source {
    /// Takes `text` apart.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = apart(text);
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self { path: path.to_owned(), text: lines(text), code: lines(&code), comments: lines(&comments) }
    }
}

/// Two texts with the lines of `text`: its code, its comments.
fn apart(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut state = State::Code;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (after, length) = step(state, rest, code.chars().next_back());
        let (taken, left) = rest.split_at(length.max(next.len_utf8()));
        // a mark belongs to what it opens or closes
        let is = |wanted: fn(State) -> bool| wanted(state) || wanted(after);
        let is_comment = is(|state| matches!(state, State::LineComment | State::BlockComment { .. }));
        let is_text = is(|state| matches!(state, State::Text | State::RawText { .. }));
        for char in taken.chars() {
            let blank = if char == '\n' { '\n' } else { ' ' };
            code.push(if is_comment || is_text { blank } else { char });
            comments.push(if is_comment { char } else { blank });
        }
        (state, rest) = (after, left);
    }
    (code, comments)
}

/// The state after the next token of `rest`, and the token's length in bytes; 0 for any one character.
fn step(state: State, rest: &str, before: Option<char>) -> (State, usize) {
    match state {
        State::Code if rest.starts_with("//") => (State::LineComment, 2),
        State::Code if rest.starts_with("/*") => (State::BlockComment { depth: 1 }, 2),
        State::Code if rest.starts_with('"') => (State::Text, 1),
        State::Code if rest.starts_with('\'') => (State::Code, character(rest)),
        State::Code if rest.starts_with('r') && !before.is_some_and(is_word_but_prefix) => raw(rest),
        State::LineComment if rest.starts_with('\n') => (State::Code, 0),
        State::BlockComment { depth } if rest.starts_with("/*") => {
            (State::BlockComment { depth: depth + 1 }, 2)
        }
        State::BlockComment { depth: 1 } if rest.starts_with("*/") => (State::Code, 2),
        State::BlockComment { depth } if rest.starts_with("*/") => {
            (State::BlockComment { depth: depth - 1 }, 2)
        }
        State::Text if rest.starts_with('\\') => (state, 1 + rest.chars().nth(1).map_or(0, char::len_utf8)),
        State::Text if rest.starts_with('"') => (State::Code, 1),
        State::RawText { hashes } if rest.starts_with(&format!("\"{}", "#".repeat(hashes))) => {
            (State::Code, 1 + hashes)
        }
        _ => (state, 0),
    }
}

/// `br"…"` and `cr"…"` are raw as well, so those letters before an `r` do not make it part of a name.
fn is_word_but_prefix(char: char) -> bool {
    (char.is_alphanumeric() || char == '_') && char != 'b' && char != 'c'
}

fn raw(rest: &str) -> (State, usize) {
    let hashes = rest[1..].chars().take_while(|char| *char == '#').count();
    if rest[1 + hashes..].starts_with('"') {
        return (State::RawText { hashes }, 2 + hashes);
    }
    (State::Code, 0)
}

/// The length of a character in quotes that could be mistaken for something else; a lifetime has none.
fn character(rest: &str) -> usize {
    ["'\"'", "'\\\"'", "'\\''", "'\\\\'"]
        .iter()
        .find(|literal| rest.starts_with(**literal))
        .map_or(0, |l| l.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        apart(text).0.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_no_code() {
        let (code, comments) = apart("a // b\nc /* d /* e */ f */ g");
        assert_eq!(code.split_whitespace().collect::<String>(), "acg");
        assert!(comments.contains("// b") && comments.contains("f */") && !comments.contains('g'));
    }

    #[test]
    fn text_is_neither() {
        assert_eq!(code(r#"a "b // \" c" d"#), "a d");
        assert_eq!(code("a r#\"b \" c\"# d"), "a d");
        assert_eq!(code("a br\"b\\\" d"), "a b d");
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_open_nothing() {
        assert_eq!(code("'\"' a '\\'' b '\\\\' c <'d> // e"), "'\"' a '\\'' b '\\\\' c <'d>");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let source = Source::new("x.rs", "a\n\"b\nc\" // d\ne");
        assert_eq!(source.code.len(), 4);
        assert_eq!(source.code[3], "e");
        assert!(source.comments[2].contains("// d"));
    }
}
