//! Whether every dependency may be used: its licence against the list in `deny.toml`.

use anyhow::Context as _;
use serde_json::Value;

use crate::workspace::Workspace;

/// One line for each package whose licence is not allowed.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let allowed = allowed(&workspace.shell.read_file("deny.toml")?)?;
    let packages = workspace.metadata["packages"].as_array().context("`cargo metadata` lists no packages")?;
    Ok(packages.iter().filter_map(|package| complaint(package, &allowed)).collect())
}

fn complaint(package: &Value, allowed: &[String]) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    match package["license"].as_str() {
        None => Some(format!("deny.toml: {name} names no licence")),
        Some(licence) if is_allowed(licence, allowed) => None,
        Some(licence) => Some(format!("deny.toml: {name} is licensed {licence}, which is not on the list")),
    }
}

/// The strings of `allow = [ … ]` in the section `[licenses]`.
fn allowed(deny: &str) -> anyhow::Result<Vec<String>> {
    let lines = deny.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let section = lines.skip_while(|line| *line != "[licenses]").skip(1);
    let list: Vec<&str> =
        section.take_while(|line| !is_header(line)).skip_while(|line| !line.starts_with("allow")).collect();
    let list = list.join(" ");
    let (_, list) = list.split_once('[').context("deny.toml has no list `allow` in [licenses]")?;
    let (list, _) = list.split_once(']').context("deny.toml: the list `allow` does not end")?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

fn is_header(line: &str) -> bool {
    line.starts_with('[') && line.ends_with(']')
}

/// Whether an SPDX expression can be met by the allowed licences: `AND` needs both sides, `OR` one.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // cargo's older form of OR
    let expression = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = expression.split_whitespace().peekable();
    either(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        // both sides are read, whatever the first says
        met |= both(words, allowed);
    }
    met
}

fn both(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words, allowed);
        return words.next_if_eq(&")").is_some() && met;
    }
    let mut licence = words.next().unwrap_or_default().to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[graph]\nallow = [\"no\"]\n[licenses]\nversion = 2\nallow = [\n  \"MIT\", # why [not]\n  \"ISC\",\n]\n[bans]\n";

    #[test]
    fn the_list_is_read_from_its_section() {
        assert_eq!(allowed(DENY).unwrap(), ["MIT", "ISC"]);
        assert!(allowed("[licenses]\n[bans]\nallow = []").is_err());
    }

    #[test]
    fn expressions_are_met() {
        let list = ["MIT", "Apache-2.0", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "(GPL-3.0 OR MIT) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert!(is_allowed(good, &list), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "MIT WITH LLVM-exception", "(MIT", "", "MIT MIT"] {
            assert!(!is_allowed(bad, &list), "{bad}");
        }
    }

    #[test]
    fn a_package_that_is_not_allowed_is_named() {
        let package = serde_json::json!({ "name": "left-pad", "license": "WTFPL" });
        let line = complaint(&package, &["MIT".to_owned()]).unwrap();
        assert!(line.contains("left-pad") && line.contains("WTFPL"));
        assert!(complaint(&serde_json::json!({ "name": "x" }), &[]).is_some());
    }
}
