//! Rules for one Rust file.

use crate::tidy::source::Source;

/// A file longer than this says more than one thing.
const MAX_LINES: usize = 400;

/// Files that may be longer, and why.
const LONG: &[(&str, &str)] = &[];

/// Where `unsafe` is, and why: a file, or all files below a folder.
const UNSAFE: &[(&str, &str)] = &[
    ("svclb-common/src/wire.rs", "headers are laid over the bytes of a packet"),
    ("svclb-common/src/crc32c.rs", "keys are handed to maps as wide words"),
    ("svclb-common/src/key.rs", "keys are handed to maps as wide words"),
    ("svclb-common/src/cell.rs", "flow entries are handed to maps as bytes"),
    ("svclb-common/src/pod.rs", "what the kernel writes is read as these types"),
    ("bench-ebpf/src/", "contexts, packets and maps of the kernel are pointers"),
    ("svclb-ebpf/src/", "contexts and maps of the kernel are pointers"),
    ("svclb/src/sys.rs", "system calls no crate has"),
    ("svclb/src/sys/", "system calls no crate has"),
];

/// Where the agent reads the wall clock, which jumps, and why that harms nobody.
const WALL: &[(&str, &str)] = &[
    ("svclb/src/condition.rs", "problems tell since when; nothing is decided by it"),
    ("svclb/src/datapath/recorder.rs", "events are told with the time of day; nothing is decided by it"),
    ("svclb/src/health/state.rs", "/healthz tells when; differences are of the other clock"),
    ("svclb/src/manifest/folder.rs", "times of files are of this clock; a wrong guess costs a read"),
    ("svclb/src/metrics.rs", "metrics tell when, and compare with times of the API"),
];

/// What the reference would have to share code with.
const JUDGED: &[&str] = &["svclb", "svclb_common"];

/// One line for each place that breaks a rule.
pub(super) fn check(source: &Source) -> Vec<String> {
    [purpose, length, leftovers, promises, tests_run, unsafety, exceptions, wall_clock, independence]
        .iter()
        .flat_map(|rule| rule(source))
        .map(|(line, advice)| format!("{}:{line}: {advice}", source.path))
        .collect()
}

/// A line, counted from 1, and what to do there.
type Finding = (usize, &'static str);

fn purpose(source: &Source) -> Vec<Finding> {
    let is_told = source.text.first().is_some_and(|line| line.starts_with("//!"));
    if is_told { vec![] } else { vec![(1, "say in a `//!` line what the file is for")] }
}

fn length(source: &Source) -> Vec<Finding> {
    let is_listed = LONG.iter().any(|(path, _reason)| *path == source.path);
    if source.text.len() <= MAX_LINES || is_listed {
        return vec![];
    }
    vec![(MAX_LINES + 1, "split the file: it has more than 400 lines")]
}

fn leftovers(source: &Source) -> Vec<Finding> {
    let code = lines(&source.code, |line| line.contains("todo!") || line.contains("unimplemented!"));
    let comments = lines(&source.comments, |line| has_word(line, "FIXME") || has_word(line, "XXX"));
    code.chain(comments).map(|line| (line, "finish this, or leave it out")).collect()
}

fn promises(source: &Source) -> Vec<Finding> {
    let is_open = |line: &str| has_word(line, "TODO") && !has_issue(line);
    lines(&source.comments, is_open).map(|line| (line, "name the issue of this TODO as #number")).collect()
}

fn tests_run(source: &Source) -> Vec<Finding> {
    lines(&source.code, |line| line.contains("#[ignore"))
        .map(|line| (line, "run the test, or let it skip with a reason"))
        .collect()
}

fn unsafety(source: &Source) -> Vec<Finding> {
    let is_listed = |(path, _reason): &(&str, &str)| {
        source.path == *path || path.ends_with('/') && source.path.starts_with(path)
    };
    if UNSAFE.iter().any(is_listed) {
        return vec![];
    }
    lines(&source.code, |line| has_word(line, "unsafe"))
        .map(|line| (line, "move `unsafe` to one of the modules listed in xtask/src/tidy/rules.rs"))
        .collect()
}

fn exceptions(source: &Source) -> Vec<Finding> {
    lines(&source.code, |line| line.contains("#[allow(") || line.contains("#![allow("))
        .map(|line| (line, "write `#[expect(…, reason = …)]`, which ends with its cause"))
        .collect()
}

fn wall_clock(source: &Source) -> Vec<Finding> {
    let is_listed = WALL.iter().any(|(path, _reason)| *path == source.path);
    let is_the_agents = source.path.starts_with("svclb/src/") && !source.path.ends_with("tests.rs");
    if is_listed || !is_the_agents {
        return vec![];
    }
    let reads = ["SystemTime::now", "Timestamp::now", "Zoned::now", "CLOCK_REALTIME"];
    lines(&source.code, |line| reads.iter().any(|read| line.contains(read)))
        .map(|line| (line, "ask a clock that does not jump, or list the file in xtask/src/tidy/rules.rs"))
        .collect()
}

/// A reference that shares code with what it judges would be wrong together with it.
fn independence(source: &Source) -> Vec<Finding> {
    let folder = "tests/src/reference";
    if source.path != format!("{folder}.rs") && !source.path.starts_with(&format!("{folder}/")) {
        return vec![];
    }
    let is_foreign = |line: &str| {
        let inside = line.match_indices("crate::").any(|(at, _)| !line[at..].starts_with("crate::reference"));
        inside || JUDGED.iter().any(|word| has_word(line, word))
    };
    lines(&source.code, is_foreign)
        .map(|line| (line, "the reference shares no code with the rest: write it here"))
        .collect()
}

/// Numbers of the lines for which `rule` holds.
fn lines(lines: &[String], rule: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    lines.iter().enumerate().filter(move |(_, line)| rule(line)).map(|(index, _)| index + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

fn has_issue(line: &str) -> bool {
    line.split('#').skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The advice for a file that starts as it should and goes on with `body`.
    fn advice(path: &str, body: &str) -> Vec<String> {
        check(&Source::new(path, &format!("//! A file.\n{body}")))
    }

    fn has(body: &str, words: &str) -> bool {
        advice("svclb/src/a.rs", body)
            .iter()
            .any(|line| line.starts_with("svclb/src/a.rs:2: ") && line.contains(words))
    }

    #[test]
    fn a_good_file() {
        let body = "#[expect(dead_code, reason = \"why\")]\n// TODO(#12): later\nfn a() { b(\"todo! unsafe\") } // unsafe\n";
        assert_eq!(advice("svclb/src/a.rs", body), Vec::<String>::new());
    }

    #[test]
    fn a_file_without_purpose() {
        assert_eq!(check(&Source::new("a.rs", "fn a() {}")).len(), 1);
        assert_eq!(check(&Source::new("a.rs", "")).len(), 1);
    }

    #[test]
    fn a_long_file() {
        assert!(advice("a.rs", &"\n".repeat(MAX_LINES - 1)).is_empty());
        assert_eq!(advice("a.rs", &"\n".repeat(MAX_LINES)).len(), 1);
    }

    #[test]
    fn work_left_over() {
        for body in ["todo!()", "unimplemented!()", "// FIXME: x", "/* XXX */"] {
            assert!(has(body, "finish this"), "{body}");
        }
    }

    #[test]
    fn a_promise_without_an_issue() {
        assert!(has("// TODO: later", "name the issue"));
        assert!(has("// TODO # later", "name the issue"));
    }

    #[test]
    fn a_test_that_does_not_run() {
        assert!(has("#[ignore]", "run the test"));
        assert!(has("#[ignore = \"slow\"]", "run the test"));
    }

    #[test]
    fn unsafe_out_of_place() {
        assert!(has("unsafe { a() }", "move `unsafe`"));
        assert!(has("#[unsafe(no_mangle)]", "move `unsafe`"));
        assert!(advice("svclb-ebpf/src/deep/a.rs", "unsafe {}").is_empty());
        assert!(advice("svclb/src/sys.rs", "unsafe {}").is_empty());
        assert!(advice("svclb/src/a.rs", "#![deny(unsafe_code)]").is_empty());
    }

    #[test]
    fn a_clock_that_jumps() {
        assert!(has("let now = SystemTime::now();", "does not jump"));
        assert!(has("clock_gettime(ClockId::CLOCK_REALTIME)", "does not jump"));
        for path in ["svclb/src/metrics.rs", "svclb/src/metrics/tests.rs", "tests/src/a.rs"] {
            assert!(advice(path, "SystemTime::now()").is_empty(), "{path}");
        }
        assert!(advice("svclb/src/a.rs", "Instant::now(); // not SystemTime::now()").is_empty());
    }

    #[test]
    fn a_reference_that_is_not_independent() {
        let shares = |path: &str, body: &str| !advice(path, body).is_empty();
        for body in ["use svclb::model::Policy;", "use svclb_common::key;", "use crate::netns::World;"] {
            assert!(shares("tests/src/reference/state.rs", body), "{body}");
            assert!(shares("tests/src/reference.rs", body), "{body}");
            assert!(!shares("tests/src/model/tables.rs", body), "{body}");
        }
        assert!(!shares("tests/src/reference/state.rs", "use crate::reference::Family; // as svclb does"));
    }

    #[test]
    fn an_exception_without_end() {
        assert!(has("#[allow(dead_code)]", "expect"));
        assert!(has("#![allow(dead_code)]", "expect"));
    }
}
